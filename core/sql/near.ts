import type { Query, Relation } from '../ports.ts';

/**
 * Law 6 asks who else holds an identifier. Nearly nobody shares one, and files of hashes cannot be looked into at a place: so the ledger is read
 * once, and what is found in it, everybody who leaves or changes and everybody who shares anything, answers all the questions.
 */

/**
 * A row an identifier of a member: `value`, how many `holders` it has in the ledger, and of the member what the ledger says. Of who is in the
 * delta all identifiers are there, of others only those that somebody else holds too.
 */
export const NEAR_COLUMNS = {
  member: 'varchar',
  hash: 'varchar',
  identifiers: 'array(varchar)',
  value: 'varchar',
  holders: 'bigint',
} as const;

/**
 * NEAR_COLUMNS of a ledger. Without the place of a value among a member's: DuckDB takes twice as long for all of it when UNNEST counts.
 * @param going column `member`: who is in the delta; others in it are ignored
 */
export const nearQuery = (relations: { readonly ledger: Relation; readonly going: Relation }): Query => ({
  sql: `SELECT x.member AS member, x.hash AS hash, x.identifiers AS identifiers, x.value AS value, x.holders AS holders
FROM (
  SELECT l.member, l.hash, l.identifiers, u.value, count(*) OVER (PARTITION BY u.value) AS holders
  FROM ledger l CROSS JOIN UNNEST(l.identifiers) AS u(value)
) x LEFT JOIN (SELECT DISTINCT member FROM going) g ON g.member = x.member
WHERE x.holders > 1 OR g.member IS NOT NULL`,
  relations,
});

/** SQL of a relation with a row a member of `near`: `member`, `hash`, `identifiers`. */
export const NEAR_MEMBERS = `(SELECT n.member AS member, n.hash AS hash, n.identifiers AS identifiers FROM (
    SELECT n.member, n.hash, n.identifiers, row_number() OVER (PARTITION BY n.member ORDER BY n.value) AS one FROM near n
  ) n WHERE n.one = 1)`;

/** Rows of the snapshot of sync `i`, as they are, of the candidates and of everybody near them: what is asked of them all is read once. */
export const aboutQuery = (
  i: number,
  relations: { readonly snapshot: Relation; readonly candidates: Relation; readonly near: Relation },
): Query => ({
  sql: `SELECT s.member AS member, s.matched AS matched, s.holdout AS holdout, s.country AS country, s.withheld_${i} AS withheld_${i},
  s.identifiers_${i} AS identifiers_${i}, s.traits_${i} AS traits_${i}, s.consent_${i} AS consent_${i}, s.evidence_${i} AS evidence_${i}
FROM snapshot s JOIN (SELECT member FROM candidates UNION SELECT member FROM near) a ON a.member = s.member`,
  relations,
});

/** `late`: 1 for who was found in the last round of a query, so that another one may find more. */
export const TOUCHED_COLUMNS = { member: 'varchar', late: 'integer' } as const;

/** Where law 6's second half begins: the members who lose an identifier at the platform. */
export const touchedSeedQuery = (removes: Relation): Query => ({
  sql: 'SELECT k AS member, CAST(1 AS integer) AS late FROM removes WHERE cardinality(ids) > 0',
  relations: { removes },
});

/** So many rounds of sharing one query follows. */
export const ROUNDS = 2;

/** Everybody who shares an identifier with a touched one, over as many corners as there are ROUNDS, and the touched ones. */
export function touchedQuery(relations: { readonly touched: Relation; readonly near: Relation }): Query {
  // Windows and no joins: a query that names a file twice reads it twice.
  let from = `SELECT n.member, n.value, CASE WHEN t.member IS NULL THEN 0 ELSE 1 END AS at_0
  FROM near n LEFT JOIN touched t ON t.member = n.member`;
  for (let round = 1; round <= ROUNDS; round++) {
    from = `SELECT x.*, max(x.by_${round}) OVER (PARTITION BY x.member) AS at_${round} FROM (
  SELECT x.*, max(x.at_${round - 1}) OVER (PARTITION BY x.value) AS by_${round} FROM (
  ${from}
  ) x
  ) x`;
  }
  return {
    sql: `SELECT x.member AS member, CAST(1 - min(x.at_${ROUNDS - 1}) AS integer) AS late FROM (
  ${from}
) x WHERE x.at_${ROUNDS} = 1 GROUP BY x.member`,
    relations,
  };
}

/** How many are touched, and how many of them were found last: `n`, `late`. */
export const touchedCountQuery = (touched: Relation): Query => ({
  sql: 'SELECT count(*) AS n, sum(late) AS late FROM touched',
  relations: { touched },
});
