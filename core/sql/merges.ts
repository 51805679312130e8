import type { Table } from '../model.ts';
import { fieldOf } from './event.ts';
import { instantLiteral, quoteName, quoteTable } from './literal.ts';

/** Name of the relation `from_id`, `to_id`: ids that were merged away, and who they are now. */
export const MERGED = 'sluice_merged';

/** How often chains of merges are halved: a chain of 2 to the power of this is followed to its end. */
const DOUBLINGS = 3;

/**
 * Common table expressions of merged ids as of the tick; none without a table of role identity-changes. The last merge of an id counts,
 * unless a later split gave the id a life of its own again.
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
    WHERE m.kind = 'merge' AND m.from_id <> m.to_id AND (s.changed_at IS NULL OR s.changed_at <= m.changed_at)
  ) x WHERE n = 1
)`,
    ...chain,
  ];
}
