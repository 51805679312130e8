import { createHash } from 'node:crypto';
import type { ConsentDecision, ConsentRecord, Residence } from '../../core/consent.ts';
import type { PurposePolicy } from '../../core/model.ts';
import type { Warehouse } from '../../core/ports.ts';
import { evidenceOf } from '../../core/evidence.ts';
import { allowedSql, consentStates, decidedSql, evidenceSql, reasonSql, stateOf } from '../../core/sql/consent.ts';
import { decisionsSql } from '../../core/sql/decisions.ts';
import { countrySql, jurisdictionSql, regionSql } from '../../core/sql/jurisdiction.ts';
import { digitOf, keyText, SIGNALS } from '../../core/sql/signals.ts';
import { signalsOf } from '../../core/signals.ts';
import { quoteText, timestampLiteral } from '../../core/sql/literal.ts';
import { column, table } from '../warehouses/tables.ts';

export interface History {
  readonly records: readonly ConsentRecord[];
  readonly residence: Residence;
}

/** The decisions of core/sql/consent.ts for many histories, in one query, over tables made of literals. */
export async function decideWithSql(
  warehouse: Warehouse,
  histories: readonly History[],
  policy: PurposePolicy,
  now: number,
): Promise<readonly ConsentDecision[]> {
  const consents = table('sluice_consents', 'consents', [
    column('customer_id', 'string'),
    column('purpose', 'string'),
    column('status', 'string'),
    column('effective_from', 'timestamp'),
    column('effective_to', 'timestamp'),
    column('source', 'string'),
    column('record_id', 'string'),
    column('tcf', 'string'),
    column('gpp', 'string'),
  ]);
  const time = (ms: number | null): string => (ms === null ? 'CAST(NULL AS timestamp)' : timestampLiteral(ms));
  const rows = histories.flatMap(({ records }, i) =>
    records.map(
      ({ status, wordless, from, to, source = null, id = null, tcf = null, gpp = null }) =>
        `(${quoteText(String(i))}, 'ads', ${text(wordless ? null : (status ?? 'what'))}, ${time(from)}, ${time(to)}, ${text(source)}, ${text(id)}, ${text(tcf)}, ${text(gpp)})`,
    ),
  );
  // Records of another purpose and of another customer never count.
  for (const stranger of [`'nobody', 'ads'`, `'0', 'other'`])
    rows.push(`(${stranger}, 'denied', ${time(now)}, ${time(null)}, 'import', '99', NULL, NULL)`);
  const people = histories.map(
    ({ residence }, i) => `(${quoteText(String(i))}, ${text(residence.country)}, ${text(residence.region)})`,
  );
  const { basis, jurisdiction } = jurisdictionSql(policy, 'p.country', 'p.region');
  const source = {
    tables: [consents],
    purposes: ['ads'],
    tick: now,
    sources: policy.sources,
    confirm: policy.doubleOptIn ? ['ads'] : [],
    signals: { policies: [(policy.tcf ?? policy.gpp) ? policy : undefined], known: true },
  };
  const evidence = evidenceSql(policy, 'p.decided', 'p.basis', now, 'p.ref');
  const answers = await warehouse.rows({
    sql: `WITH "sluice_consents" AS (
  SELECT * FROM (VALUES ${rows.join(', ')}) AS v (customer_id, purpose, status, effective_from, effective_to, source, record_id, tcf, gpp)
), ${SIGNALS} AS (
  SELECT * FROM (VALUES ${signalRows(histories, policy).join(', ')}) AS v (k, v)
), states AS (
  ${consentStates(source)}
), decisions AS (
  ${decisionsSql(source, [policy])}
), people AS (
  SELECT v.customer_id, ${countrySql('v.country')} AS country, ${regionSql('v.region', countrySql('v.country'))} AS region
  FROM (VALUES ${people.join(', ')}) AS v (customer_id, country, region)
)
SELECT ${allowedSql(policy, 'p.decided', 'p.basis', now)} AS allowed, ${reasonSql(policy, 'p.decided', 'p.basis', now)} AS reason,
  p.basis AS basis, p.jurisdiction AS jurisdiction, ${evidence} AS evidence, p.decided IS NOT DISTINCT FROM p.kept AS the_same
FROM (
  SELECT p.customer_id, ${basis} AS basis, ${jurisdiction} AS jurisdiction, ${decidedSql(policy, stateOf('s', 0))} AS decided, d.own AS kept, d.own_ref AS ref
  FROM people p LEFT JOIN states s ON s.customer_id = p.customer_id LEFT JOIN decisions d ON d.customer_id = p.customer_id AND d.leads
) p
ORDER BY CAST(p.customer_id AS integer)`,
  });
  return answers.map(({ the_same: same, ...row }) => {
    // A snapshot decides by itself, or by decisions that are kept: there is one decision.
    if (same !== true) throw new Error('the decision that is kept is another one');
    return { ...row, evidence: evidenceOf(String(row['evidence'])) };
  }) as unknown as readonly ConsentDecision[];
}

/** Each string once, as core/run/signals.ts reads them. */
function signalRows(histories: readonly History[], policy: PurposePolicy): readonly string[] {
  const strings = new Map<string, string>([['none', `('none', '0')`]]);
  for (const { tcf, gpp } of histories.flatMap(({ records }) => records)) {
    for (const [kind, string] of [['tcf', tcf] as const, ['gpp', gpp] as const]) {
      if (!string || strings.has(keyText(kind, string))) continue;
      const key = createHash('sha256').update(keyText(kind, string)).digest('hex').slice(0, 32);
      strings.set(keyText(kind, string), `('${key}', '${digitOf(signalsOf(kind, string, [policy])[0] ?? null)}')`);
    }
  }
  return [...strings.values()];
}

const text = (value: string | null): string => (value === null ? 'CAST(NULL AS varchar)' : quoteText(value));
