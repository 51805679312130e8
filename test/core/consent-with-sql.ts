import type { ConsentDecision, ConsentRecord, Residence } from '../../core/consent.ts';
import type { PurposePolicy } from '../../core/model.ts';
import type { Warehouse } from '../../core/ports.ts';
import { allowedSql, consentStates, countrySql, jurisdictionSql, reasonSql, regionSql } from '../../core/sql/consent.ts';
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
  ]);
  const time = (ms: number | null): string => (ms === null ? 'CAST(NULL AS timestamp)' : timestampLiteral(ms));
  const rows = histories.flatMap(({ records }, i) =>
    records.map(
      ({ status, from, to }) =>
        `(${quoteText(String(i))}, 'ads', ${status === null ? `'what'` : quoteText(status)}, ${time(from)}, ${time(to)})`,
    ),
  );
  // Records of another purpose and of another customer never count.
  rows.push(`('nobody', 'ads', 'denied', ${time(now)}, ${time(null)})`, `('0', 'other', 'denied', ${time(now)}, ${time(null)})`);
  const people = histories.map(
    ({ residence }, i) => `(${quoteText(String(i))}, ${text(residence.country)}, ${text(residence.region)})`,
  );
  const { basis, jurisdiction } = jurisdictionSql(policy, 'p.country', 'p.region');
  const state = { rank: 's.rank_0', refused: 's.refused_0' };
  const answers = await warehouse.rows({
    sql: `WITH "sluice_consents" AS (
  SELECT * FROM (VALUES ${rows.join(', ')}) AS v (customer_id, purpose, status, effective_from, effective_to)
), states AS (
  ${consentStates({ tables: [consents], purposes: ['ads'], tick: now }, 'customer')}
), people AS (
  SELECT v.customer_id, ${countrySql('v.country')} AS country, ${regionSql('v.region', countrySql('v.country'))} AS region
  FROM (VALUES ${people.join(', ')}) AS v (customer_id, country, region)
)
SELECT ${allowedSql(policy, state, basis, now)} AS allowed, ${reasonSql(policy, state, basis, now)} AS reason, ${basis} AS basis, ${jurisdiction} AS jurisdiction
FROM people p LEFT JOIN states s ON s.customer_id = p.customer_id
ORDER BY CAST(p.customer_id AS integer)`,
  });
  return answers as unknown as readonly ConsentDecision[];
}

const text = (value: string | null): string => (value === null ? 'CAST(NULL AS varchar)' : quoteText(value));
