import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Query, Relation, Warehouse } from '../../../core/ports.ts';
import {
  candidateCountsQuery,
  candidatesQuery,
  payloadQuery,
  removeShardsQuery,
  removesQuery,
  resendQuery,
  stayedQuery,
} from '../../../core/sql/delta.ts';
import { movedCountQuery, survivorsQuery } from '../../../core/sql/merges.ts';
import { generationQuery, outcomesQuery, rejectionsQuery } from '../../../core/sql/ledger.ts';
import { aboutQuery, nearQuery, touchedCountQuery, touchedQuery, touchedSeedQuery } from '../../../core/sql/near.ts';
import { openDuckDb } from '../../../warehouses/duckdb.ts';

/** Small files with the columns the queries read: a plan is made from types and sizes, not from what a row means. */
const FILES: Readonly<Record<string, string>> = {
  snapshot: `'k' || i AS member, true AS matched, false AS holdout, CAST(NULL AS varchar) AS withheld_0, 'h' || i AS hash_0,
    ['email' || i] AS identifiers_0, CAST([] AS varchar[]) AS traits_0, 'opt-in|DE|granted' AS consent_0, 'granted' AS evidence_0, 'DE' AS country`,
  ledger: `'k' || i AS member, 'h' || (i + 1) AS hash, ['email' || i] AS identifiers, 1 AS since, 'delivered' AS outcome`,
  rejections: `'k' || i AS member, 'h' || i AS hash, CAST(1 AS integer) AS times, 'r' AS reason`,
  candidates: `'k' || i AS member, 'update' AS op, CAST(NULL AS varchar) AS reason, true AS held, true AS matched, 'h' || i AS hash, false AS demanded`,
  raw_removes: `'k' || i AS k, ['email' || i] AS ids, 'left' AS why, 'granted' AS e`,
  removes: `'k' || i AS k, ['email' || i] AS ids, 'left' AS why, 'granted' AS e`,
  upserts: `'k' || i AS k, 'add' AS op, 'h' || i AS h, ['email' || i] AS ids, CAST(NULL AS varchar[]) AS l, 'granted' AS e`,
  near: `'k' || i AS member, 'h' || i AS hash, ['email' || i] AS identifiers, 'email' || i AS value, 2 AS holders`,
  going: `'k' || i AS member`,
  touched: `'k' || i AS member, 1 AS late`,
  moved: `'a' || i AS from_id, 'b' || i AS to_id, false AS stands, 'k' || i AS member, 'k' || (i + 5000) AS survivor`,
  remove_log: `i AS n, 'k' || i AS k, 'delivered' AS o, CAST(NULL AS varchar) AS r`,
  upsert_log: `i AS n, 'k' || i AS k, 'delivered' AS o, CAST(NULL AS varchar) AS r`,
};

describe('no join of the diff or the commit compares every row with every other:', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-joins-'));
  const relations: Record<string, Relation> = {};
  let warehouse: Warehouse;

  beforeAll(async () => {
    warehouse = await openDuckDb({ dir: folder, temporary: join(folder, 'spill') });
    for (const [name, columns] of Object.entries(FILES)) {
      const files = await warehouse.materialize({ sql: `SELECT ${columns} FROM range(3000) t(i)` }, join(folder, name));
      relations[name] = { files, columns: {} };
    }
  });
  afterAll(async () => {
    await warehouse.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const plan = async ({ sql, ...query }: Query): Promise<string> => {
    const rows = await warehouse.rows({ sql: `EXPLAIN ${sql}`, ...query });
    return rows.map((row) => String(row['explain_value'])).join('\n');
  };

  /** A query gets all the relations; it takes those it names. */
  type All = Record<keyof typeof FILES, Relation>;
  const QUERIES: Readonly<Record<string, (all: All) => Query>> = {
    'candidates, mirror': ({ moved: _moved, ...all }) => candidatesQuery(0, 'mirror', all as never),
    'candidates of merged ids': (all) => candidatesQuery(0, 'upsert', all as never),
    'merged ids in the ledger': (all) => movedCountQuery(all as never),
    'the ledger under survivors': (all) => survivorsQuery(all as never),
    'candidates, upsert': ({ moved: _moved, ...all }) => candidatesQuery(0, 'upsert', all as never),
    'candidate counts': (all) => candidateCountsQuery(all['candidates']!),
    stayed: (all) => stayedQuery(all as never),
    payload: ({ moved: _moved, near: _near, ...all }) => payloadQuery(0, 4, all as never),
    'payload of merged ids': ({ near: _near, ...all }) => payloadQuery(0, 4, all as never),
    'payload of a list of identifiers': ({ moved: _moved, ...all }) => payloadQuery(0, 4, all as never),
    'who a delta is about': (all) => aboutQuery(0, all as never),
    'who shares identifiers': (all) => nearQuery(all as never),
    'removes, shared identifiers': (all) => removesQuery(all as never),
    'removes, one record a member': ({ near: _near, ...all }) => removesQuery(all as never),
    'remove shards': (all) => removeShardsQuery(4, all['removes']!),
    'where touched begins': (all) => touchedSeedQuery(all['removes']!),
    touched: (all) => touchedQuery(all as never),
    'touched, counted': (all) => touchedCountQuery(all['touched']!),
    resend: (all) => resendQuery(0, 4, all as never),
    outcomes: (all) => outcomesQuery(all as never),
    generation: (all) => generationQuery(all as never, 0),
    rejections: (all) => rejectionsQuery(0, all as never),
  };
  it.each(Object.keys(QUERIES))('%s', async (name) => {
    const text = await plan(QUERIES[name]!(relations));
    expect(text).toMatch(/READ_PARQUET/);
    expect(text).not.toMatch(/NL_JOIN|NESTED_LOOP|CROSS_PRODUCT|PIECEWISE_MERGE/);
  });

  it('while a join on a condition of one side only would be caught', async () => {
    const text = await plan({
      sql: `SELECT c.member FROM candidates c LEFT JOIN snapshot s ON s.member = c.member AND c.op IN ('add', 'update')`,
      relations: { candidates: relations['candidates']!, snapshot: relations['snapshot']! },
    });
    expect(text).toMatch(/NL_JOIN/);
  });
});
