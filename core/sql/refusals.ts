import type { Query, Relation } from '../ports.ts';
import { quoteText } from './literal.ts';
import { demandedSql, STOPS } from './stops.ts';

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
