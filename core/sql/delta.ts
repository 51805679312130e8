import type { Mode } from '../model.ts';
import type { Query, Relation } from '../ports.ts';
import { NO_TEXTS } from './literal.ts';
import { NEAR_MEMBERS } from './near.ts';
import { demandedSql } from './stops.ts';

/**
 * The SQL of a diff, in three passes (docs/adr/0003): `candidatesQuery` compares keys and hashes, narrow columns only;
 * `payloadQuery` fetches what changed; after normalisation in TypeScript `removesQuery` and the queries of near.ts apply law 6.
 * All of it reads our own files, never an activation table, so one run sees one state of the world.
 */

/** Ledger members, one row a member. `hash` is empty when what the destination holds is not certain. */
export const LEDGER_COLUMNS = {
  member: 'varchar',
  hash: 'varchar',
  identifiers: 'array(varchar)',
  since: 'bigint',
  outcome: 'varchar',
} as const;

/** Rows a destination rejected: how often running with the same hash. Parked from `PARK_AFTER` on. */
export const REJECTION_COLUMNS = { member: 'varchar', hash: 'varchar', times: 'integer', reason: 'varchar' } as const;

export const CANDIDATE_COLUMNS = {
  member: 'varchar',
  op: 'varchar',
  reason: 'varchar',
  held: 'boolean',
  matched: 'boolean',
  hash: 'varchar',
  demanded: 'boolean',
} as const;

/** Law 2: a row rejected this many times running with the same payload is parked. */
export const PARK_AFTER = 3;

export interface DiffRelations {
  readonly snapshot: Relation;
  readonly ledger: Relation;
  readonly rejections: Relation;
  /** Merged ids, MOVED_COLUMNS, where their records must go from a platform that holds one a person. */
  readonly moved?: Relation;
}

/**
 * What is not as the ledger says. Columns CANDIDATE_COLUMNS; `op` is `add`, `update`, `remove`, `withhold`, `parked`,
 * or `holdout` and `rollout` (in the control group, outside the rollout: only normalisation can say whether an identifier is usable).
 * An unmatched ledger member of a non-mirror sync stays, unless withheld. Outside a rollout members stay as they are, unless withheld;
 * who is gone from the customers is no such member, and what a destination did not answer for is settled. `demanded`: withheld because the
 * person refused or asked to be forgotten, not for want of a record.
 * The record of a merged id goes in every mode, as soon as the survivor is looked at or held: nobody is there twice. Outside a rollout it
 * stays until the survivor is held.
 *
 * @param rollout whether the sync has one, and so the snapshot the column `outside_<i>`
 */
export function candidatesQuery(sync: number, mode: Mode, relations: DiffRelations, rollout = false): Query {
  const left = mode === 'mirror' ? `'remove'` : 'NULL';
  const { moved } = relations;
  const waiting = rollout ? ` WHEN w.outside_${sync} AND w.withheld_${sync} IS NULL AND l.hash <> '' THEN NULL` : '';
  const gone = moved
    ? `CASE WHEN o.member IS NOT NULL THEN 'remove'${waiting} WHEN w.member IS NOT NULL THEN 'remove' ELSE ${left} END`
    : left;
  const why = moved ? `CASE WHEN v.member IS NULL THEN 'left' ELSE coalesce(w.withheld_${sync}, 'merged') END` : `'left'`;
  const demandedOf = (s: string): string =>
    `coalesce(${s}.withheld_${sync} IN ('erased', 'no-consent') AND ${demandedSql(`${s}.evidence_${sync}`)} IS NOT NULL, FALSE)`;
  const demanded = moved ? `CASE WHEN s.member IS NULL THEN ${demandedOf('w')} ELSE ${demandedOf('s')} END` : demandedOf('s');
  const survivors = moved
    ? `
  LEFT JOIN moved v ON v.member = l.member
  LEFT JOIN snapshot w ON w.member = v.survivor
  LEFT JOIN ledger o ON o.member = v.survivor`
    : '';
  const outside = `s.outside_${sync}`;
  const stays = rollout ? `\n      WHEN ${outside} AND l.hash <> '' THEN NULL` : '';
  const waits = rollout ? `\n      WHEN ${outside} AND l.member IS NULL THEN 'rollout'` : '';
  const known = mode === 'add-only' ? `l.hash <> ''` : `s.hash_${sync} = l.hash`;
  const sql = `SELECT member, op, reason, held, matched, hash, demanded FROM (
  SELECT coalesce(s.member, l.member) AS member,
    CASE
      WHEN s.member IS NULL THEN ${gone}
      WHEN s.withheld_${sync} IS NOT NULL AND l.member IS NOT NULL THEN 'remove'
      WHEN NOT s.matched AND l.member IS NULL THEN NULL
      WHEN s.withheld_${sync} IS NOT NULL THEN 'withhold'
      WHEN s.matched AND s.holdout THEN 'holdout'${stays}
      WHEN NOT s.matched THEN ${left}${waits}
      WHEN l.member IS NOT NULL AND ${known} THEN NULL
      WHEN r.times >= ${PARK_AFTER} AND r.hash = s.hash_${sync} THEN 'parked'
      WHEN l.member IS NOT NULL THEN 'update'
      ELSE 'add'
    END AS op,
    CASE WHEN s.member IS NULL THEN ${why} WHEN s.withheld_${sync} IS NULL AND NOT s.matched THEN 'left' ELSE s.withheld_${sync} END AS reason,
    l.member IS NOT NULL AS held,
    coalesce(s.matched, FALSE) AS matched,
    s.hash_${sync} AS hash,
    ${demanded} AS demanded
  FROM snapshot s
  FULL OUTER JOIN ledger l ON s.member = l.member
  LEFT JOIN rejections r ON r.member = s.member${survivors}
) x WHERE op IS NOT NULL`;
  const { snapshot, ledger, rejections } = relations;
  return { sql, relations: { snapshot, ledger, rejections, ...(moved && { moved }) } };
}

/** Counts of the candidates by op, reason, held, matched and demanded; `n` rows each. */
export const candidateCountsQuery = (candidates: Relation): Query => ({
  sql: 'SELECT op, reason, held, matched, demanded, count(*) AS n FROM candidates GROUP BY op, reason, held, matched, demanded ORDER BY 1, 2, 3, 4, 5',
  relations: { candidates },
});

/** Members that stay though the rule matches them no more, of a non-mirror sync or outside a rollout: `n`. */
export const stayedQuery = (
  relations: Pick<DiffRelations, 'snapshot' | 'ledger'> & { readonly candidates: Relation },
): Query => ({
  sql: `SELECT count(*) AS n FROM ledger l LEFT JOIN snapshot s ON s.member = l.member LEFT JOIN candidates c ON c.member = l.member
WHERE c.member IS NULL AND (s.member IS NULL OR NOT s.matched)`,
  relations: { snapshot: relations.snapshot, ledger: relations.ledger, candidates: relations.candidates },
});

/** One shard number for a member key; `shards` at most 4,096. The key is a hash, so any digits of it spread evenly. */
const shardOf = (member: string, shards: number): string =>
  `cast(mod(from_base(substr(${member}, 1, 3), 16), ${shards}) AS integer)`;

/**
 * What TypeScript needs of every candidate that may be sent or removed: `k`, `op`, `why`, `h`, raw identifiers `raw`, traits `t`,
 * consent `c`, evidence `e`, `country`, `old`, the identifiers as sent, and where merges are told the ids they were `formerly`. Of who is removed nothing is fetched but the evidence. Sharded.
 * What the ledger says of them is taken from `near` where that is there, which is a small part of it.
 *
 * The condition on `op` stands inside the equality: beside it, DuckDB would compare every candidate with every row of the snapshot.
 */
export function payloadQuery(
  sync: number,
  shards: number,
  relations: Pick<DiffRelations, 'snapshot' | 'ledger' | 'moved'> & { readonly candidates: Relation; readonly near?: Relation },
): Query {
  const { snapshot, ledger, near, candidates, moved } = relations;
  const formerly = moved
    ? `\nLEFT JOIN (SELECT survivor, array_agg(from_id ORDER BY from_id) AS ids FROM moved GROUP BY survivor) f ON f.survivor = c.member`
    : '';
  const sql = `SELECT c.member AS k, c.op AS op, c.reason AS why, c.held AS held, c.hash AS h,
  CASE WHEN c.op <> 'remove' THEN s.identifiers_${sync} END AS raw, CASE WHEN c.op <> 'remove' THEN s.traits_${sync} END AS t, s.consent_${sync} AS c, s.evidence_${sync} AS e, s.country AS country, l.identifiers AS old${moved ? ', f.ids AS formerly' : ''},
  ${shardOf('c.member', shards)} AS shard
FROM candidates c
LEFT JOIN snapshot s ON s.member = CASE WHEN c.op IN ('add', 'update', 'holdout', 'rollout') OR c.reason <> 'left' THEN c.member END
LEFT JOIN ${near === undefined ? 'ledger' : NEAR_MEMBERS} l ON l.member = c.member${formerly}
WHERE c.op IN ('add', 'update', 'remove', 'holdout', 'rollout')`;
  return { sql, relations: { snapshot, ...(near === undefined ? { ledger } : { near }), candidates, ...(moved && { moved }) } };
}

/** RemoveLine as written by normalisation. */
export const REMOVE_LINE_COLUMNS = { k: 'varchar', ids: 'array(varchar)', why: 'varchar', e: 'varchar' } as const;
/** UpsertLine; traits are not read by SQL. */
export const UPSERT_LINE_COLUMNS = {
  k: 'varchar',
  op: 'varchar',
  h: 'varchar',
  ids: 'array(varchar)',
  l: 'array(varchar)',
  c: 'array(varchar)',
  e: 'varchar',
} as const;
export const LOG_COLUMNS = { n: 'bigint', k: 'varchar', o: 'varchar', r: 'varchar' } as const;

/**
 * The removes to send, RemoveLine columns, `ids` empty where nothing is left to send. With `near` (for a list of identifiers) a value stays
 * while the ledger has more holders of it than lose it now (law 6). Only ledger rows count as holders: a member who is being added may be
 * refused, and then nobody would own the value.
 */
export function removesQuery({ raw_removes, near }: { readonly raw_removes: Relation; readonly near?: Relation }): Query {
  if (near === undefined) return { sql: 'SELECT k, ids, why, e FROM raw_removes', relations: { raw_removes } };
  const sql = `WITH losing AS (
  SELECT r.k AS k, u.value AS value FROM raw_removes r CROSS JOIN UNNEST(r.ids) AS u(value)
), losers AS (
  SELECT value, count(*) AS n FROM losing GROUP BY value
), holders AS (
  SELECT value, max(holders) AS n FROM near GROUP BY value
), going AS (
  SELECT l.k AS k, array_agg(l.value ORDER BY l.value) AS ids
  FROM losing l JOIN losers ON losers.value = l.value LEFT JOIN holders h ON h.value = l.value
  WHERE coalesce(h.n, 0) <= losers.n
  GROUP BY l.k
)
SELECT r.k AS k, coalesce(g.ids, ${NO_TEXTS}) AS ids, r.why AS why, r.e AS e FROM raw_removes r LEFT JOIN going g ON g.k = r.k`;
  return { sql, relations: { raw_removes, near } };
}

/** The removes with something to send, sharded. */
export const removeShardsQuery = (shards: number, removes: Relation): Query => ({
  sql: `SELECT k, ids, why, e, ${shardOf('k', shards)} AS shard FROM removes WHERE cardinality(ids) > 0`,
  relations: { removes },
});

/**
 * Members to send again because a match of theirs may have depended on a removed value: touched, still matched and allowed,
 * and not in the delta already. Columns of an UpsertLine, with `c` as `basis|jurisdiction|grant`; sharded. The hash stays the ledger's: outside a
 * rollout the row may have changed, and what is sent again is what the destination holds.
 */
export function resendQuery(
  sync: number,
  shards: number,
  relations: {
    readonly touched: Relation;
    readonly near: Relation;
    readonly candidates: Relation;
    readonly snapshot: Relation;
  },
): Query {
  const sql = `SELECT l.member AS k, 'update' AS op, l.hash AS h, l.identifiers AS ids, s.traits_${sync} AS t, s.consent_${sync} AS c, s.evidence_${sync} AS e,
  ${shardOf('l.member', shards)} AS shard
FROM touched t
JOIN ${NEAR_MEMBERS} l ON l.member = t.member
JOIN snapshot s ON s.member = l.member
LEFT JOIN candidates c ON c.member = l.member
WHERE c.member IS NULL AND s.matched AND s.withheld_${sync} IS NULL AND NOT s.holdout`;
  return { sql, relations };
}
