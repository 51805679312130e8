import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Table } from '../../core/model.ts';
import type { Row } from '../../core/ports.ts';
import { LEDGER_COLUMNS } from '../../core/sql/delta.ts';
import { linkageQuery } from '../../core/sql/linkage.ts';
import { MOVED_COLUMNS, movedCountQuery, movedQuery, survivorsQuery } from '../../core/sql/merges.ts';
import { snapshotQuery } from '../../core/sql/snapshot.ts';
import { SNAPSHOT_COLUMNS } from '../../core/sql/snapshot-columns.ts';
import { audience, is, workspace } from '../core/sql/world.ts';
import { type AthenaWorld, openAthenaWorld } from '../support/athena.ts';
import { column, table } from './tables.ts';

const TICK = Date.parse('2026-06-01T06:00:00Z');
const lake = (name: string, role: Table['role'], columns: Table['columns']): Table =>
  table(name, role, columns, { servers: { aws: { type: 'athena', catalog: 'awsdatacatalog', database: 'gold' } } });
const id = column('customer_id', 'string');
const CUSTOMERS = lake('customers', 'customers', [id, column('country', 'string'), column('state', 'string')]);
const IDENTIFIERS = lake('identifiers', 'identifiers', [id, column('namespace', 'string'), column('value', 'string')]);
const CONSENTS = lake('consents', 'consents', [
  id,
  column('purpose', 'string'),
  column('status', 'string'),
  column('effective_from', 'timestamp'),
]);
const CHANGES = lake('changes', 'identity-changes', [
  column('from_id', 'string'),
  column('to_id', 'string'),
  column('kind', 'string'),
  column('changed_at', 'timestamp'),
]);
const ROWS: Readonly<Record<string, string>> = {
  customers: `SELECT 'c' || i AS customer_id, 'DE' AS country, CAST(NULL AS varchar) AS state FROM range(20) r(i)`,
  identifiers: `SELECT 'c' || i AS customer_id, 'email' AS namespace, 'm' || i || '@x.example' AS value FROM range(25) r(i)`,
  consents: `SELECT 'c' || i AS customer_id, 'ads' AS purpose, 'granted' AS status, TIMESTAMP '2026-01-01 00:00:00' AS effective_from FROM range(20) r(i)`,
  // c0 -> c10 -> c11, c1 -> c12, c2 -> gone, where c2 stands for it.
  changes: `SELECT f AS from_id, t AS to_id, 'merge' AS kind, TIMESTAMP '2026-02-01 00:00:00' AS changed_at FROM (VALUES ('c0', 'c10'), ('c10', 'c11'), ('c1', 'c12'), ('c2', 'gone')) v(f, t)`,
};

describe('merges, where every relation is a table of the lake that must know its columns', () => {
  let world: AthenaWorld;
  beforeAll(async () => {
    world = await openAthenaWorld({
      setup: [
        'CREATE SCHEMA awsdatacatalog.gold',
        ...Object.entries(ROWS).map(([name, sql]) => `CREATE TABLE awsdatacatalog.gold.${name} AS ${sql}`),
      ],
      tables: {},
    });
  });
  afterAll(() => world.close());

  it('are found, kept from the snapshot, counted, and moved in the ledger', async () => {
    const warehouse = world.open();
    const everybody = audience('all', is('country', { op: 'known' }, CUSTOMERS));
    const of = workspace([CUSTOMERS, IDENTIFIERS, CONSENTS, CHANGES], [everybody]);
    const moves = movedQuery(of, TICK, 'pepper');
    if (moves === null) throw new Error('there is a table of merges');
    const moved = { files: await warehouse.materialize(moves, world.prefix()), columns: MOVED_COLUMNS };
    const found = await warehouse.rows({
      sql: 'SELECT from_id, to_id, stands FROM moved ORDER BY from_id',
      relations: { moved },
    });
    expect(found.map((row) => [row['from_id'], row['to_id'], row['stands']])).toEqual([
      ['c0', 'c11', false],
      ['c1', 'c12', false],
      ['c10', 'c11', false],
      ['c2', 'gone', true],
    ]);
    const sync = { index: 0, purpose: 'ads', namespaces: ['email'], traits: [], salt: 's' };
    const spec = { audience: everybody, workspace: of, tick: TICK, memberKeySecret: 'pepper', syncs: [sync] };
    const written = async (query: ReturnType<typeof snapshotQuery>) => ({
      files: await warehouse.materialize(query, world.prefix()),
      columns: SNAPSHOT_COLUMNS,
    });
    const snapshot = await written(snapshotQuery({ ...spec, moved, decisions: null }));
    expect(snapshot.files.rows).toBe(17);
    const linkage = linkageQuery(of, ['email'], moved);
    const counts = linkage === null ? [] : await warehouse.rows(linkage);
    const numbers = counts.map((row: Row) => [row['n'], row['customers'], row['orphans']].map(Number));
    expect(numbers.toSorted((a, b) => Number(a[0]) - Number(b[0]))).toEqual([
      [1, 20, 5],
      [2, 1, 0],
      [3, 1, 0],
    ]);

    // The ledger of the day before anybody was merged.
    const before = await written(snapshotQuery({ ...spec, moved: null, decisions: null }));
    const ledger = {
      files: await warehouse.materialize(
        {
          sql: `SELECT s.member AS member, s.hash_0 AS hash, s.identifiers_0 AS identifiers, CAST(1 AS bigint) AS since, 'delivered' AS outcome FROM before s`,
          relations: { before },
        },
        world.prefix(),
      ),
      columns: LEDGER_COLUMNS,
    };
    expect(Number((await warehouse.rows(movedCountQuery({ ledger, moved })))[0]?.['n'])).toBe(4);
    const survivors = {
      files: await warehouse.materialize(survivorsQuery({ ledger, moved }), world.prefix()),
      columns: LEDGER_COLUMNS,
    };
    expect(survivors.files.rows).toBe(17);
    const [same] = await warehouse.rows({
      sql: `SELECT count(*) AS n, count(CASE WHEN l.hash = '' THEN 1 END) AS open FROM survivors l JOIN snapshot s ON s.member = l.member AND array_sort(s.identifiers_0) = array_sort(l.identifiers)`,
      relations: { survivors, snapshot },
    });
    expect([Number(same?.['n']), Number(same?.['open'])]).toEqual([17, 3]);
  });
});
