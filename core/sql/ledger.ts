import type { Query, Relation } from '../ports.ts';
import { NOT_SENT } from '../delivery/outcome-log.ts';
import { NO_TEXTS } from './literal.ts';
import { demandedSql } from './stops.ts';

/** What a delivery did, as relations: the removes of the plan, the upserts of the plan, and the outcome logs of both. */
export interface DeliveryRelations {
  readonly ledger: Relation;
  readonly rejections: Relation;
  readonly snapshot: Relation;
  readonly removes: Relation;
  readonly upserts: Relation;
  readonly remove_log: Relation;
  readonly upsert_log: Relation;
  /** Column `member`: who is to be sent again by the next run, though nothing of theirs was delivered now. */
  readonly again?: Relation;
}

/**
 * One answer a member: where a line was answered twice (sent again after a crash), the better one is the truth, and it sorts first.
 * A `not-sent` only takes an intent back.
 */
export const answersOf = (log: string): string =>
  `SELECT k, min(o) AS o, min(r) AS r FROM ${log} WHERE k IS NOT NULL AND coalesce(r, '') <> '${NOT_SENT}' GROUP BY k`;

/** Outcomes of a delivery, counted: `o`, `r`, `n`. */
export const outcomesQuery = (relations: Pick<DeliveryRelations, 'remove_log' | 'upsert_log'>): Query => ({
  sql: `SELECT o, r, count(*) AS n FROM (${answersOf('remove_log')} UNION ALL ${answersOf('upsert_log')}) x GROUP BY o, r`,
  relations: { remove_log: relations.remove_log, upsert_log: relations.upsert_log },
});

const TAKEN = `('delivered', 'accepted')`;

/**
 * Generation n+1 = generation n (+) outcomes. Columns LEDGER_COLUMNS.
 *
 * A member keeps every identifier that the destination may hold: what was taken, what was there and not removed for certain, and
 * what went out without an answer. The hash is empty unless all of it is certain, so that the next diff looks at the member again.
 */
export function generationQuery(relations: DeliveryRelations, tick: number): Query {
  const { ledger, removes, upserts, remove_log, upsert_log, again } = relations;
  const none = NO_TEXTS;
  const sql = `WITH answers AS (
  ${answersOf('upsert_log')}
), removed AS (
  ${answersOf('remove_log')}
), touched AS (
  SELECT coalesce(r.k, u.k) AS k, r.k IS NOT NULL AS losing, r.why AS why, r.ids AS lost,
    coalesce(cardinality(r.ids) = 0 OR ro.o IN ${TAKEN}, FALSE) AS gone,
    u.k IS NOT NULL AS sent, u.h AS h, coalesce(u.l, u.ids) AS ids, uo.o AS o
  FROM removes r
  FULL OUTER JOIN upserts u ON u.k = r.k
  LEFT JOIN removed ro ON ro.k = r.k
  LEFT JOIN answers uo ON uo.k = u.k
), merged AS (
  SELECT coalesce(l.member, t.k) AS member, l.member IS NOT NULL AS old, l.hash AS old_hash, l.since AS since, l.outcome AS old_outcome,
    t.k IS NOT NULL AS touched, t.losing AS losing, t.gone AS gone, t.why AS why, t.sent AS sent, t.h AS h, t.o AS o,
    coalesce(t.ids, ${none}) AS ids,
    CASE WHEN t.k IS NULL THEN l.identifiers WHEN l.member IS NULL THEN ${none}
      WHEN t.losing AND t.gone THEN array_except(l.identifiers, t.lost) ELSE l.identifiers END AS kept${again === undefined ? '' : ',\n    g.member IS NOT NULL AS again'}
  FROM ledger l FULL OUTER JOIN touched t ON t.k = l.member${again === undefined ? '' : ' LEFT JOIN again g ON g.member = l.member'}
)
SELECT member,
  CASE
    WHEN NOT touched THEN ${again === undefined ? 'old_hash' : `CASE WHEN again THEN '' ELSE old_hash END`}
    WHEN o IN ${TAKEN} AND (NOT losing OR gone) THEN h
    ELSE ''
  END AS hash,
  CASE
    WHEN NOT touched THEN kept
    WHEN o IN ${TAKEN} AND (NOT losing OR gone) THEN ids
    WHEN o IN ${TAKEN} OR o = 'unknown' THEN array_union(ids, kept)
    ELSE kept
  END AS identifiers,
  coalesce(since, ${Math.trunc(tick)}) AS since,
  CASE
    WHEN NOT touched THEN old_outcome
    WHEN o IN ${TAKEN} OR o = 'unknown' THEN o
    WHEN losing AND NOT gone THEN 'unknown'
    ELSE old_outcome
  END AS outcome
FROM merged
WHERE NOT touched
  OR (sent AND (old OR o IN ${TAKEN} OR o = 'unknown'))
  OR (losing AND NOT sent AND NOT gone AND old)`;
  return { sql, relations: { ledger, removes, upserts, remove_log, upsert_log, ...(again && { again }) } };
}

/**
 * Rejections after this delivery. Columns REJECTION_COLUMNS: counted up while the same payload is rejected, kept while it is still wanted,
 * dropped when it was taken, changed or left.
 */
export function rejectionsQuery(sync: number, relations: DeliveryRelations): Query {
  const { rejections, snapshot, upserts, upsert_log } = relations;
  const sql = `WITH now AS (
  SELECT u.k AS member, u.h AS hash, o.o AS o, o.r AS reason
  FROM upserts u JOIN (${answersOf('upsert_log')}) o ON o.k = u.k
)
SELECT n.member AS member, n.hash AS hash, CAST(CASE WHEN r.hash = n.hash THEN r.times + 1 ELSE 1 END AS integer) AS times, n.reason AS reason
FROM now n LEFT JOIN rejections r ON r.member = n.member
WHERE n.o = 'rejected'
UNION ALL
SELECT r.member, r.hash, r.times, r.reason
FROM rejections r
JOIN snapshot s ON s.member = r.member AND s.hash_${sync} = r.hash
LEFT JOIN now n ON n.member = r.member
WHERE n.member IS NULL OR n.o IN ('retry', 'unknown')`;
  return { sql, relations: { rejections, snapshot, upserts, upsert_log } };
}

/**
 * When the act that demanded each removal began, of those that took place: `n` of them, `oldest`, and `middle` (epoch ms). One row, `n` NULL
 * when nobody demanded one.
 */
export const demandedSinceQuery = ({ removes, remove_log }: Pick<DeliveryRelations, 'removes' | 'remove_log'>): Query => ({
  sql: `WITH gone AS (
  SELECT ${demandedSql('r.e')} AS since
  FROM removes r LEFT JOIN (${answersOf('remove_log')}) o ON o.k = r.k
  WHERE r.why IN ('erased', 'no-consent') AND (cardinality(r.ids) = 0 OR o.o IN ${TAKEN})
), known AS (
  SELECT since, row_number() OVER (ORDER BY since) AS i, count(*) OVER () AS n FROM gone WHERE since IS NOT NULL
)
SELECT max(n) AS n, min(since) AS oldest, max(CASE WHEN i = (n + 1) / 2 THEN since END) AS middle FROM known`,
  relations: { removes, remove_log },
});

/** Rejections after a removal that has no snapshot: those of everybody who was not taken out. Columns REJECTION_COLUMNS. */
export const rejectionsLeftQuery = ({ rejections, removes }: Pick<DeliveryRelations, 'rejections' | 'removes'>): Query => ({
  sql: `SELECT r.member AS member, r.hash AS hash, r.times AS times, r.reason AS reason
FROM rejections r LEFT JOIN removes m ON m.k = r.member WHERE m.k IS NULL`,
  relations: { rejections, removes },
});

/** Members by how certain they are: `outcome`, `certain`, `n`. */
export const ledgerCountsQuery = (ledger: Relation): Query => ({
  sql: `SELECT outcome, hash <> '' AS certain, count(*) AS n FROM ledger GROUP BY 1, 2`,
  relations: { ledger },
});

/** Parked members: `reason`, `n`. */
export const parkedQuery = (rejections: Relation, parkAfter: number): Query => ({
  sql: `SELECT reason, count(*) AS n FROM rejections WHERE times >= ${parkAfter} GROUP BY reason ORDER BY n DESC, reason`,
  relations: { rejections },
});
