import type { PurposePolicy, Table } from '../model.ts';
import type { Query, Relation } from '../ports.ts';
import { evidenceSql, refusesSql } from './consent.ts';
import { DECISIONS } from './decisions.ts';
import { fieldOf } from './event.ts';
import { quoteName, quoteTable, quoteText } from './literal.ts';
import { MOVED } from './merges.ts';
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
 * Members of a ledger who have no row in the customers table any more, and whom their consents refuse. WHO_COLUMNS. Who has a row is decided by
 * the snapshot; here there is no country, and a refusal refuses everywhere.
 */
export function goneQuery(
  { ledger, decisions, moved }: { readonly ledger: Relation; readonly decisions: Relation; readonly moved: Relation | null },
  customers: Table,
  { policy, tick, secret }: { readonly policy: PurposePolicy; readonly tick: number; readonly secret: string },
): Query {
  const id = `CAST(c.${quoteName(fieldOf(customers, 'customer_id').name)} AS varchar)`;
  const rows = quoteTable(customers.physicalName);
  const merges = moved === null ? '' : `\n  LEFT JOIN ${MOVED} g ON g.to_id = d.customer_id AND g.stands`;
  return {
    sql: `SELECT x.member AS member, 'no-consent' AS why, x.e AS e
FROM (
  SELECT l.member AS member, ${evidenceSql(policy, 'd.own', `'opt-in'`, tick, 'd.own_ref')} AS e
  FROM ${DECISIONS} d${merges}
  LEFT JOIN ${rows} c ON ${id} = d.customer_id
  JOIN ${moved === null ? 'ledger' : `(SELECT l.member AS member, coalesce(v.survivor, l.member) AS survivor FROM ledger l LEFT JOIN ${MOVED} v ON v.member = l.member)`} l ON l.${moved === null ? 'member' : 'survivor'} = ${memberSql(secret, 'd.customer_id')}
  WHERE d.leads AND d.purpose = ${quoteText(policy.name)} AND ${refusesSql('d.own')} AND ${id} IS NULL${moved === null ? '' : ' AND g.from_id IS NULL'}
) x
WHERE ${demandedSql('x.e')} IS NOT NULL`,
    tables: [customers],
    relations: { ledger, [DECISIONS]: decisions, ...(moved && { [MOVED]: moved }) },
  };
}
