import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Server, Table } from '../../core/model.ts';
import type { Warehouse } from '../../core/ports.ts';
import { openDuckDb } from '../../warehouses/duckdb.ts';
import { column, table } from './tables.ts';

const COLUMNS = [
  column('customer_id', 'string'),
  column('n', 'integer'),
  column('amount', 'number'),
  column('ok', 'boolean'),
  column('day', 'date'),
  column('at', 'timestamp'),
  column('zoned', 'timestamp', { zoned: true }),
];
const ROWS = `SELECT * FROM (VALUES
  ('007', CAST(9007199254740993 AS BIGINT), CAST(12.5 AS DECIMAL(12,2)), TRUE, DATE '2026-02-03', TIMESTAMP '2026-02-03 04:05:06.789', TIMESTAMPTZ '2026-02-03 04:05:06+02'),
  ('Zoë, "the" 🦊', NULL, NULL, NULL, NULL, NULL, NULL)) AS v (customer_id, n, amount, ok, day, "at", zoned)`;
const READ = [
  {
    customer_id: '007',
    n: 9007199254740993n,
    amount: '12.50',
    ok: true,
    day: '2026-02-03',
    at: '2026-02-03T04:05:06.789Z',
    zoned: '2026-02-03T02:05:06.000Z',
  },
  { customer_id: 'Zoë, "the" 🦊', n: null, amount: null, ok: null, day: null, at: null, zoned: null },
];

let dir: string;
let warehouse: Warehouse;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-tables-'));
  const instance = await DuckDBInstance.create(join(dir, 'shop.duckdb'));
  const connection = await instance.connect();
  await connection.run(`SET TimeZone = 'UTC'; CREATE SCHEMA crm; CREATE TABLE crm.people AS ${ROWS}`);
  for (const [file, format] of [
    ['people.parquet', 'parquet'],
    ['people.csv', 'csv'],
    ['people.json', 'json'],
  ]) {
    await connection.run(`COPY (${ROWS}) TO '${join(dir, file!)}' (FORMAT ${format})`);
  }
  await connection.run(`COPY (${ROWS} LIMIT 1) TO '${join(dir, 'part-1.csv')}'`);
  await connection.run(
    `COPY (SELECT "at", customer_id, zoned, n, amount, ok, day FROM (${ROWS}) OFFSET 1) TO '${join(dir, 'part-2.csv')}'`,
  );
  connection.closeSync();
  instance.closeSync();
  writeFileSync(join(dir, 'bad.csv'), 'customer_id,n\na,1\nb,anna@example.com\n');
  writeFileSync(join(dir, 'none.json'), '');
  writeFileSync(join(dir, 'header.csv'), 'customer_id,n,amount,ok,day,at,zoned\n');
  warehouse = await openDuckDb({ dir });
});
afterAll(async () => {
  await warehouse.close();
  rmSync(dir, { recursive: true });
});

const people = (server: Server, physicalName = 'people'): Table =>
  table('people', 'customers', COLUMNS, { server, physicalName });
const local = (path: string, format: 'parquet' | 'csv' | 'json'): Server => ({ type: 'local', path, format });
const SERVERS: readonly (readonly [string, Server])[] = [
  ['Parquet', local('people.parquet', 'parquet')],
  ['CSV', local('people.csv', 'csv')],
  ['many CSV files with their columns in another order', local('part-*.csv', 'csv')],
  ['JSON lines', local('people.json', 'json')],
  ['a table of a DuckDB file', { type: 'duckdb', database: 'shop.duckdb', schema: 'crm' }],
];

describe('activation tables on this machine', () => {
  it.each(SERVERS)('reads %s as the contract types it', async (_name, server) => {
    expect(await warehouse.rows({ sql: 'SELECT * FROM "people" ORDER BY customer_id', tables: [people(server)] })).toEqual(READ);
  });

  it.each(SERVERS)('describes %s with types that keep the contract', async (_name, server) => {
    const described = await warehouse.describe(people(server));
    const types = Object.fromEntries((described ?? []).map(({ name, type }) => [name, type.replace(/\(.*\)/, '')]));
    expect(types).toEqual({
      customer_id: 'varchar',
      n: 'bigint',
      amount: 'decimal',
      ok: 'boolean',
      day: 'date',
      at: 'timestamp',
      zoned: 'timestamp with time zone',
    });
  });

  it('says null of a table whose file is not there', async () => {
    expect(await warehouse.describe(people(local('nobody.parquet', 'parquet')))).toBeNull();
    expect(await warehouse.describe(people({ type: 'duckdb', database: 'nobody.duckdb', schema: 'crm' }))).toBeNull();
    expect(await warehouse.describe(people({ type: 'duckdb', database: 'shop.duckdb', schema: 'other' }))).toBeNull();
  });

  it('refuses a query over a table that is not there, with the file that says where', async () => {
    const failure = warehouse.rows({ sql: 'SELECT 1 FROM people', tables: [people(local('nobody.csv', 'csv'))] });
    await expect(failure).rejects.toMatchObject({
      kind: 'user',
      message: expect.stringContaining('contracts/people.yaml') as string,
    });
  });

  it('describes a CSV column as a text when a value is not what the contract declares', async () => {
    const bad = table('bad', 'customers', [column('customer_id', 'string'), column('n', 'integer')], {
      server: local('bad.csv', 'csv'),
    });
    expect(await warehouse.describe(bad)).toEqual([
      { name: 'customer_id', type: 'varchar' },
      { name: 'n', type: 'varchar' },
    ]);
  });

  it('names no value when one can not be read', async () => {
    const bad = table('bad', 'customers', [column('customer_id', 'string'), column('n', 'integer')], {
      server: local('bad.csv', 'csv'),
    });
    const failure: unknown = await warehouse
      .rows({ sql: 'SELECT sum(n) AS n FROM bad', tables: [bad] })
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ kind: 'user' });
    expect(String((failure as Error).stack)).not.toContain('anna');
  });

  it('takes an empty JSON file and a CSV file with nothing but names as tables without rows', async () => {
    for (const server of [local('none.json', 'json'), local('header.csv', 'csv')]) {
      expect((await warehouse.describe(people(server)))?.map(({ name }) => name)).toEqual(COLUMNS.map(({ name }) => name));
      expect(await warehouse.rows({ sql: 'SELECT count(*) AS n FROM people', tables: [people(server)] })).toEqual([{ n: 0n }]);
    }
  });

  it('reads a table under a name with a schema, in many queries at once', async () => {
    const one = people(local('people.parquet', 'parquet'), 'crm.people');
    const other = people(local('header.csv', 'csv'), 'crm.people');
    const counts = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        warehouse.rows({ sql: 'SELECT count(*) AS n FROM "crm"."people"', tables: [i % 2 === 0 ? one : other] }),
      ),
    );
    expect(counts.map(([row]) => row?.['n'])).toEqual(Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? 2n : 0n)));
  });

  it('opens a DuckDB file once for many queries at once', async () => {
    const fresh = await openDuckDb({ dir });
    const inFile = people({ type: 'duckdb', database: 'shop.duckdb', schema: 'crm' });
    const counts = await Promise.all(
      Array.from({ length: 10 }, () => fresh.rows({ sql: 'SELECT count(*) AS n FROM people', tables: [inFile] })),
    );
    expect(counts.map(([row]) => row?.['n'])).toEqual(Array.from({ length: 10 }, () => 2n));
    await fresh.close();
  });

  it('says which environment a contract does not know', async () => {
    const elsewhere = await openDuckDb({ dir, environment: 'production' });
    await expect(elsewhere.describe(people(local('people.csv', 'csv')))).rejects.toThrow('"production"');
    await elsewhere.close();
  });
});

describe('memory and disk', () => {
  // More to sort than there is memory for.
  const large = {
    sql: `SELECT n, h, row_number() OVER (ORDER BY h) AS r FROM (SELECT n, to_hex(sha256(to_utf8(CAST(n AS varchar)))) AS h FROM unnest(generate_series(1, 600000)) AS t (n)) x`,
  };

  it('spills what does not fit into memory', async () => {
    const small = await openDuckDb({ dir, temporary: join(dir, 'spill'), memoryLimit: '64MiB', threads: 1 });
    expect((await small.materialize(large, join(dir, 'out'))).rows).toBe(600_000);
    await small.close();
  }, 60_000);

  it('answers with an error of kind capacity when there is no room', async () => {
    const small = await openDuckDb({ dir, memoryLimit: '64MiB', threads: 1 });
    await expect(small.rows({ sql: `SELECT count(*) FROM (${large.sql}) x WHERE r > 5` })).rejects.toMatchObject({
      kind: 'capacity',
    });
    await small.close();
  }, 60_000);
});
