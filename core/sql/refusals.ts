import type { Table } from '../model.ts';
import type { Query, Relation } from '../ports.ts';
import { fieldOf } from './event.ts';
import { instantLiteral, millisecondsOf, quoteName, quoteTable, quoteText } from './literal.ts';
import { demandedSql, memberSql, STOPS } from './stops.ts';

/** From a snapshot that matches nobody: members of its ledger who refused or were erased, WHO_COLUMNS. */
export const demandedQuery = (snapshot: Relation): Query => ({
  sql: `SELECT member, withheld_0 AS why, evidence_0 AS e FROM snapshot
WHERE withheld_0 IN ('erased', 'no-consent') AND ${demandedSql('evidence_0')} IS NOT NULL`,
  relations: { snapshot },
});

/**
 * Members of a ledger who are in the stop list: for them no table is needed (law 4). WHO_COLUMNS.
 * @param purpose the destination's, an entry for another one does not count
 */
export const stoppedQuery = (ledger: Relation, stops: Relation, purpose: string): Query => ({
  sql: `SELECT l.member AS member, CASE WHEN max(CASE WHEN t.why = 'erased' THEN 1 ELSE 0 END) = 1 THEN 'erased' ELSE 'no-consent' END AS why,
  'withdrawn' || chr(31) || 'withdrawn' || chr(31) || CAST(min(t.since) AS varchar) || chr(31) || 'stop-list' || chr(31) AS e
FROM ledger l JOIN ${STOPS} t ON t.member = l.member
WHERE t.why = 'erased' OR t.purpose IS NULL OR t.purpose = ${quoteText(purpose)}
GROUP BY l.member`,
  relations: { ledger, [STOPS]: stops },
});

/**
 * Members of a ledger who have no row in the customers table any more, and whose last consent record for the purpose is an open refusal.
 * WHO_COLUMNS. Who has a row is decided by the snapshot; here there is no country, and a refusal refuses everywhere. Undefined where no table
 * could say so.
 */
export function goneQuery(
  ledger: Relation,
  tables: readonly Table[],
  of: { readonly purpose: string; readonly tick: number; readonly secret: string },
): Query | undefined {
  const customers = tables.find(({ role }) => role === 'customers');
  const consents = tables.filter(({ role }) => role === 'consents');
  if (customers === undefined || consents.length === 0) return undefined;
  const records = consents.map((table) => {
    const at = (name: string): string => `r.${quoteName(fieldOf(table, name).name)}`;
    const now = (name: string): string => {
      const column = fieldOf(table, name);
      return instantLiteral(column, of.tick, new Date(of.tick).toISOString().slice(0, 10));
    };
    const words = Object.entries(table.statuses ?? { denied: 'denied', withdrawn: 'withdrawn' })
      .filter(([, status]) => status === 'denied' || status === 'withdrawn')
      .map(([word]) => quoteText(word));
    const open =
      table.fields['effective_to'] === undefined
        ? ''
        : ` AND (${at('effective_to')} IS NULL OR ${at('effective_to')} > ${now('effective_to')})`;
    const bound = table.fields['namespace'] === undefined ? '' : ` AND ${at('namespace')} IS NULL`;
    return `SELECT CAST(${at('customer_id')} AS varchar) AS customer_id, ${millisecondsOf(at('effective_from'), fieldOf(table, 'effective_from'))} AS began,
      CASE WHEN ${words.length === 0 ? 'FALSE' : `${at('status')} IN (${words.join(', ')})`}${open} THEN 1 ELSE 0 END AS refuses
    FROM ${quoteTable(table.physicalName)} r
    WHERE ${at('purpose')} = ${quoteText(of.purpose)} AND ${at('effective_from')} <= ${now('effective_from')}${bound}`;
  });
  const id = `CAST(c.${quoteName(fieldOf(customers, 'customer_id').name)} AS varchar)`;
  const unit = 'chr(31)';
  return {
    sql: `SELECT l.member AS member, 'no-consent' AS why,
  'withdrawn' || ${unit} || 'withdrawn' || ${unit} || CAST(g.began AS varchar) || ${unit} || ${unit} AS e
FROM ledger l JOIN (
  SELECT ${memberSql(of.secret, 'x.customer_id')} AS member, x.began AS began
  FROM (
    SELECT r.customer_id, r.began, r.refuses, row_number() OVER (PARTITION BY r.customer_id ORDER BY r.began DESC, r.refuses DESC) AS n
    FROM (
    ${records.join('\n    UNION ALL\n    ')}
    ) r
  ) x
  LEFT JOIN ${quoteTable(customers.physicalName)} c ON ${id} = x.customer_id
  WHERE x.n = 1 AND x.refuses = 1 AND ${id} IS NULL
) g ON g.member = l.member`,
    tables: [...consents, customers],
    relations: { ledger },
  };
}
