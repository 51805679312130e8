import type { Table, Workspace } from '../model.ts';
import type { Query, Relation } from '../ports.ts';
import { customersOf } from './audience.ts';
import { fieldOf } from './event.ts';
import { instantLiteral, NO_TEXTS, quoteName, quoteTable } from './literal.ts';
import { memberSql } from './stops.ts';

/** Name of the relation `from_id`, `to_id`: ids that were merged away, and who they are now. */
export const MERGED = 'sluice_merged';

/**
 * Name of the relation of merged ids with all that a run asks of them. Columns MOVED_COLUMNS: `stands` where the survivor has no row among
 * the customers, and this id has the row that is taken for it; `member` and `survivor` are the keys of both in ledgers.
 */
export const MOVED = 'sluice_moved';
export const MOVED_COLUMNS = {
  from_id: 'varchar',
  to_id: 'varchar',
  stands: 'boolean',
  member: 'varchar',
  survivor: 'varchar',
} as const;

/** How often chains of merges are halved: a chain of 2 to the power of this is followed to its end. */
const DOUBLINGS = 3;

/**
 * Common table expressions of merged ids as of the tick, to be named once in a query (engines compute them wherever they are named); none without a table of role identity-changes. The last merge of an id counts,
 * unless a later split gave the id a life of its own again, or the one it was merged into was merged into it later.
 */
export function mergeExpressions(tables: readonly Table[], tick: number): readonly string[] {
  if (tables.length === 0) return [];
  const changes = tables.map((table) => {
    const at = (field: string) => `g.${quoteName(fieldOf(table, field).name)}`;
    const time = fieldOf(table, 'changed_at');
    const now = instantLiteral(time, tick, new Date(tick).toISOString().slice(0, 10));
    return `SELECT CAST(${at('from_id')} AS varchar) AS from_id, CAST(${at('to_id')} AS varchar) AS to_id, lower(${at('kind')}) AS kind, CAST(${at('changed_at')} AS timestamp) AS changed_at
    FROM ${quoteTable(table.physicalName)} g WHERE ${at('changed_at')} <= ${now}`;
  });
  const chain = Array.from(
    { length: DOUBLINGS },
    (_, i) => `${i === DOUBLINGS - 1 ? MERGED : `${MERGED}_${i + 1}`} AS (
  SELECT a.from_id, coalesce(b.to_id, a.to_id) AS to_id FROM ${MERGED}_${i} a LEFT JOIN ${MERGED}_${i} b ON b.from_id = a.to_id
)`,
  );
  return [
    `sluice_changes AS (
    ${changes.join('\n    UNION ALL\n    ')}
)`,
    `${MERGED}_0 AS (
  SELECT from_id, to_id FROM (
    SELECT m.from_id, m.to_id, row_number() OVER (PARTITION BY m.from_id ORDER BY m.changed_at DESC, m.to_id) AS n
    FROM sluice_changes m
    LEFT JOIN (SELECT to_id, max(changed_at) AS changed_at FROM sluice_changes WHERE kind = 'split' GROUP BY to_id) s ON s.to_id = m.from_id
    LEFT JOIN (SELECT from_id, to_id, max(changed_at) AS changed_at FROM sluice_changes WHERE kind = 'merge' GROUP BY from_id, to_id) b
      ON b.from_id = m.to_id AND b.to_id = m.from_id
    WHERE m.kind = 'merge' AND m.from_id <> m.to_id AND (s.changed_at IS NULL OR s.changed_at <= m.changed_at)
      AND (b.changed_at IS NULL OR b.changed_at < m.changed_at OR (b.changed_at = m.changed_at AND m.to_id < m.from_id))
  ) x WHERE n = 1
)`,
    ...chain,
  ];
}

/** The common table expression MOVED, after those of `mergeExpressions`. */
export function movedExpression(customers: Table, memberKeySecret: string): string {
  const ids = `SELECT CAST(c.${quoteName(fieldOf(customers, 'customer_id').name)} AS varchar) AS id FROM ${quoteTable(customers.physicalName)} c`;
  const key = (id: string): string => memberSql(memberKeySecret, id);
  // An id that chains lead to and that leads on stands on a circle, or too far from its end: nobody is taken for anybody then.
  return `${MOVED} AS (
  SELECT m.from_id, m.to_id, ${key('m.from_id')} AS member, ${key('m.to_id')} AS survivor,
    CASE WHEN s.id IS NULL AND f.id IS NOT NULL AND n.from_id IS NULL
      THEN row_number() OVER (PARTITION BY m.to_id ORDER BY CASE WHEN f.id IS NULL THEN 1 ELSE 0 END, m.from_id) = 1 ELSE FALSE END AS stands
  FROM ${MERGED} m
  LEFT JOIN (${ids}) f ON f.id = m.from_id
  LEFT JOIN (${ids}) s ON s.id = m.to_id
  LEFT JOIN ${MERGED}_0 n ON n.from_id = m.to_id
)`;
}

/** MOVED as of the tick, to be kept beside a snapshot: the snapshot and the diffs of a run see the same merges. Null without such a table. */
export function movedQuery(workspace: Workspace, tick: number, memberKeySecret: string): Query | null {
  const changes = workspace.tables.filter(({ role }) => role === 'identity-changes');
  if (changes.length === 0) return null;
  const customers = customersOf(workspace);
  const expressions = [...mergeExpressions(changes, tick), movedExpression(customers, memberKeySecret)];
  return {
    sql: `WITH ${expressions.join(', ')}\nSELECT ${Object.keys(MOVED_COLUMNS).join(', ')} FROM ${MOVED}`,
    tables: [customers, ...changes],
  };
}

interface Moves {
  readonly ledger: Relation;
  readonly moved: Relation;
}

/** How many members of a ledger were merged away: `n`. */
export const movedCountQuery = ({ ledger, moved }: Moves): Query => ({
  sql: 'SELECT count(*) AS n FROM ledger l JOIN moved v ON v.member = l.member',
  relations: { ledger, moved },
});

/**
 * A ledger whose rows are the survivors', LEDGER_COLUMNS: for platforms whose list is a set of identifiers (docs/adr/0080). A survivor
 * holds what any of the merged ids held. The hash is empty, so that the diff looks at them: an update of who is still sent, a removal
 * of who is not, and a shared identifier stays in either case (law 6).
 */
export const survivorsQuery = ({ ledger, moved }: Moves): Query => ({
  sql: `WITH leaving AS (
  SELECT v.survivor AS member, l.identifiers AS identifiers, l.since AS since, l.outcome AS outcome
  FROM ledger l JOIN moved v ON v.member = l.member
), arriving AS (
  SELECT member, min(since) AS since, min(outcome) AS best, max(outcome) AS worst FROM leaving GROUP BY member
), brought AS (
  SELECT x.member AS member, array_agg(DISTINCT u.value ORDER BY u.value) AS identifiers
  FROM leaving x CROSS JOIN UNNEST(x.identifiers) AS u(value)
  GROUP BY x.member
), staying AS (
  SELECT l.member, l.hash, l.identifiers, l.since, l.outcome FROM ledger l LEFT JOIN moved v ON v.member = l.member WHERE v.member IS NULL
)
SELECT coalesce(l.member, a.member) AS member,
  CASE WHEN a.member IS NULL THEN l.hash ELSE '' END AS hash,
  CASE WHEN a.member IS NULL THEN l.identifiers
    ELSE array_union(coalesce(l.identifiers, ${NO_TEXTS}), coalesce(b.identifiers, ${NO_TEXTS})) END AS identifiers,
  least(coalesce(l.since, a.since), coalesce(a.since, l.since)) AS since,
  CASE WHEN a.worst = 'unknown' OR l.outcome = 'unknown' THEN 'unknown' ELSE coalesce(l.outcome, a.best) END AS outcome
FROM staying l
FULL OUTER JOIN arriving a ON a.member = l.member
LEFT JOIN brought b ON b.member = a.member`,
  relations: { ledger, moved },
});
