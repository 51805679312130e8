import type { Query, Relation } from '../ports.ts';

/** One side of a comparison: a snapshot, the position of the sync in it, and whether the sync has a rollout there. */
export interface Side {
  readonly snapshot: Relation;
  readonly index: number;
  readonly rollout: boolean;
}

/** A snapshot of nobody, for a side that has no such sync. */
export const NO_SNAPSHOT_COLUMNS = {
  member: 'varchar',
  matched: 'boolean',
  holdout: 'boolean',
  country: 'varchar',
  withheld_0: 'varchar',
  hash_0: 'varchar',
  identifiers_0: 'array(varchar)',
} as const;

/**
 * Where a person stands by one side: `send` (matched and allowed; only normalisation can say whether an identifier is usable), `kept` (a
 * member outside a rollout), `not-matched`, or the reason why they are withheld.
 */
function standing(alias: string, { index, rollout }: Side): string {
  const outside = `${alias}.outside_${index}`;
  return `CASE
      WHEN ${alias}.member IS NULL OR (NOT ${alias}.matched AND ${alias}.withheld_${index} IS NOT NULL) THEN 'not-matched'
      WHEN ${alias}.withheld_${index} IS NOT NULL THEN ${alias}.withheld_${index}
      WHEN ${alias}.matched AND ${alias}.holdout THEN 'holdout'${rollout ? `\n      WHEN ${outside} AND l.hash <> '' THEN 'kept'` : ''}
      WHEN NOT ${alias}.matched THEN 'not-matched'${rollout ? `\n      WHEN ${outside} AND l.member IS NULL THEN 'rollout'` : ''}
      ELSE 'send' END`;
}

const everybody = (then: Side, now: Side): string => `
  SELECT coalesce(t.member, n.member) AS k, ${standing('t', then)} AS was, ${standing('n', now)} AS becomes,
    coalesce(t.hash_${then.index} = n.hash_${now.index}, FALSE) AS same,
    t.identifiers_${then.index} AS raw_was, n.identifiers_${now.index} AS raw_becomes, t.country AS country_was, n.country AS country_becomes
  FROM then_snapshot t
  FULL OUTER JOIN now_snapshot n ON n.member = t.member
  LEFT JOIN ledger l ON l.member = coalesce(t.member, n.member)`;

const relationsOf = (then: Side, now: Side, ledger: Relation) => ({
  then_snapshot: then.snapshot,
  now_snapshot: now.snapshot,
  ledger,
});

/** People of whom SQL can say everything, counted: `was`, `becomes`, `n`. The others are in `standingsQuery`. */
export const standingCountsQuery = (then: Side, now: Side, ledger: Relation): Query => ({
  sql: `SELECT was, becomes, count(*) AS n FROM (${everybody(then, now)}
) x WHERE was <> 'send' AND becomes <> 'send' GROUP BY was, becomes`,
  relations: relationsOf(then, now, ledger),
});

/**
 * Who would be sent by either side, as lines: `k`, `was`, `becomes`, `same` (what is sent), and the raw identifiers and country of the sides
 * that send; those of one side only where both are the same. `all`: everybody who moves too. Has the column `shard`.
 */
export function standingsQuery(then: Side, now: Side, ledger: Relation, all: boolean): Query {
  const sql = `SELECT k, was, becomes, same,
  CASE WHEN was = 'send' THEN raw_was END AS raw_was, CASE WHEN was = 'send' THEN country_was END AS country_was,
  CASE WHEN becomes = 'send' AND NOT (same AND was = 'send') THEN raw_becomes END AS raw_becomes,
  CASE WHEN becomes = 'send' AND NOT (same AND was = 'send') THEN country_becomes END AS country_becomes,
  0 AS shard
FROM (${everybody(then, now)}
) x WHERE was = 'send' OR becomes = 'send'${all ? ' OR was <> becomes' : ''}`;
  return { sql, relations: relationsOf(then, now, ledger) };
}
