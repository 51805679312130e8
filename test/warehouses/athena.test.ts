import { gzipSync } from 'node:zlib';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WarehouseError } from '../../core/ports.ts';
import { systemClock } from '../../stores/system-clock.ts';
import { warehouseContract } from '../contracts/warehouse.ts';
import { type AthenaWorld, BUCKET, openAthenaWorld } from '../support/athena.ts';
import { QueryFailure } from '../support/athena-endpoint.ts';
import { column, table } from './tables.ts';

warehouseContract('Athena, its API over DuckDB,', async () => {
  const world = await openAthenaWorld();
  return { ...world, warehouse: world.open() };
});

const TICK = Date.parse('2026-06-01T06:00:00Z');
const CUSTOMERS = table('customers', 'customers', [column('customer_id', 'string'), column('spent', 'number')], {
  physicalName: 'crm.customers',
  servers: { aws: { type: 'athena', catalog: 'awsdatacatalog', database: 'gold' } },
});
const ORDERS = table('orders', 'events', [column('customer_id', 'string'), column('seen_at', 'timestamp', { zoned: true })], {
  servers: { aws: { type: 'athena', catalog: 'awsdatacatalog', database: 'gold' } },
});

describe('Athena', () => {
  let world: AthenaWorld;
  beforeAll(async () => {
    world = await openAthenaWorld({
      setup: [
        'CREATE SCHEMA awsdatacatalog.gold',
        `CREATE TABLE awsdatacatalog.gold.customers AS SELECT 'c' || i AS customer_id, CAST(i AS decimal(12,2)) AS spent FROM range(2500) r(i)`,
        `CREATE TABLE awsdatacatalog.gold.orders_1 AS SELECT 'c1' AS customer_id, TIMESTAMPTZ '2026-05-01 00:00:00Z' AS seen_at`,
        `CREATE TABLE awsdatacatalog.gold.orders_2 AS SELECT 'c2' AS customer_id, TIMESTAMPTZ '2026-07-01 00:00:00Z' AS seen_at`,
        'CREATE VIEW awsdatacatalog.gold.orders AS FROM awsdatacatalog.gold.orders_2',
      ],
      versions: {
        'gold.orders': [
          { from: Date.parse('2026-05-01'), table: 'orders_1' },
          { from: TICK + 1, table: 'orders_2' },
        ],
      },
      tables: {
        'awsdatacatalog.gold.customers': {
          columns: [
            { name: 'customer_id', type: 'string' },
            { name: 'spent', type: 'decimal(12,2)' },
          ],
        },
        'awsdatacatalog.gold.orders': {
          columns: [
            { name: 'customer_id', type: 'string' },
            { name: 'seen_at', type: 'timestamp' },
          ],
          parameters: { table_type: 'ICEBERG' },
        },
      },
      cutoffBytes: 1_000_000,
      active: 4,
    });
  });
  afterAll(() => world.close());

  const failing = async (work: Promise<unknown>): Promise<readonly [string, string]> => {
    const error: unknown = await work.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WarehouseError);
    return [(error as WarehouseError).kind, (error as WarehouseError).message.replace(/[0-9a-f-]{36}/, 'ID')];
  };

  it('reads a table in the database of its server, whatever schema the SQL gives it, over many pages', async () => {
    const read = await world.open().rows({
      sql: `SELECT c.customer_id AS id, c.spent AS spent, 'crm.customers' AS text FROM "crm"."customers" c JOIN crm.customers d ON d.customer_id = c.customer_id ORDER BY c.spent`,
      tables: [CUSTOMERS],
    });
    expect([read.length, read[0], read.at(-1)]).toEqual([
      2500,
      { id: 'c0', spent: '0.00', text: 'crm.customers' },
      { id: 'c2499', spent: '2499.00', text: 'crm.customers' },
    ]);
  });

  it('describes a table by the catalog, an Iceberg table by the engine, and knows when there is none', async () => {
    const warehouse = world.open();
    expect(await warehouse.describe(CUSTOMERS)).toEqual([
      { name: 'customer_id', type: 'string' },
      { name: 'spent', type: 'decimal(12,2)' },
    ]);
    expect(await warehouse.describe(ORDERS)).toEqual([
      { name: 'customer_id', type: 'varchar' },
      { name: 'seen_at', type: 'timestamp with time zone' },
    ]);
    expect(await warehouse.describe({ ...CUSTOMERS, physicalName: 'gone' })).toBe(null);
  });

  it('reads an Iceberg table as it was at the tick of the run, in every query, though it changed since', async () => {
    const query = { sql: 'SELECT customer_id FROM "orders"', tables: [ORDERS] };
    expect(await world.open({ asOf: TICK }).rows(query)).toEqual([{ customer_id: 'c1' }]);
    expect(await world.open({ asOf: TICK + 1 }).rows(query)).toEqual([{ customer_id: 'c2' }]);
    expect(await world.open().rows(query)).toEqual([{ customer_id: 'c2' }]);
  });

  it('gives arrays as they are, in the order that was asked for, though Athena prints them so that nobody can tell', async () => {
    const read = await world.open().rows({
      sql: `SELECT n, ids FROM (VALUES (1, ARRAY['a', 'b']), (2, ARRAY['a, b']), (3, array_remove(ARRAY[''], ''))) AS v (n, ids) ORDER BY n DESC`,
    });
    expect(read).toEqual([
      { n: 3, ids: [] },
      { n: 2, ids: ['a, b'] },
      { n: 1, ids: ['a', 'b'] },
    ]);
  });

  it('starts a repeated step once: the same query of the same run, and the same result under the same prefix', async () => {
    const [scope, prefix] = ['run-1', world.prefix()];
    const before = world.endpoint.started.length;
    for (let i = 0; i < 3; i++) {
      const warehouse = world.open({ scope });
      expect(await warehouse.rows({ sql: `SELECT 'once' AS word` })).toEqual([{ word: 'once' }]);
      expect(await warehouse.materialize({ sql: `SELECT 'once' AS member` }, prefix)).toMatchObject({ rows: 1 });
    }
    // The third counts what was written.
    expect(world.endpoint.started.length - before).toBe(3);
    await world.open({ scope: 'run-2' }).rows({ sql: `SELECT 'once' AS word` });
    expect(world.endpoint.started.length - before).toBe(4);
  });

  it('hands over a query that outlives its worker: the next one waits for the same query, and nothing is stopped', async () => {
    world.endpoint.hold(/handed over/);
    const prefix = world.prefix();
    const query = { sql: `SELECT 'handed over' AS member` };
    const first = world.open({ scope: 'run-3', deadline: systemClock.now() + 600 });
    expect(await failing(first.materialize(query, prefix))).toEqual([
      'retryable',
      'Athena still works on the query, and the time to wait for it is up. The same step, started again, goes on waiting.',
    ]);
    await first.close();
    world.endpoint.hold();
    expect(await world.open({ scope: 'run-3' }).materialize(query, prefix)).toMatchObject({ rows: 1 });
    expect(world.endpoint.started.filter((sql) => /^UNLOAD[\s\S]*handed over/.test(sql)).length).toBe(1);
    expect(world.endpoint.stopped).toEqual([]);
  });

  it('stops what nobody waits for any more when it is closed', async () => {
    world.endpoint.hold(/nobody waits/);
    const warehouse = world.open();
    const waiting = failing(warehouse.rows({ sql: `SELECT 'nobody waits' AS word` }));
    while (!world.endpoint.started.some((sql) => sql.includes('nobody waits'))) await systemClock.sleep(5);
    await systemClock.sleep(50);
    await warehouse.close();
    expect(await waiting).toEqual(['retryable', 'Somebody or something cancelled the query in Athena. Run it again. Query ID.']);
    world.endpoint.hold();
  });

  it('asks again when Athena failed for a moment, in a folder of its own, because the first left orphans', async () => {
    const prefix = world.prefix();
    world.endpoint.failNext(
      /UNLOAD[\s\S]*orphans/,
      new QueryFailure('INTERNAL_ERROR_QUERY_ENGINE', { category: 1, retryable: true }),
      {
        after: true,
      },
    );
    const set = await world.open().materialize({ sql: `SELECT 'orphans' AS member` }, prefix);
    expect([set.rows, set.locations.every((location) => location.startsWith(`${prefix}/try-1/`))]).toEqual([1, true]);
    const read = await world
      .open()
      .rows({ sql: 'SELECT member FROM mine', relations: { mine: { files: set, columns: { member: 'varchar' } } } });
    expect(read).toEqual([{ member: 'orphans' }]);
  });

  it('waits while the queue of queries is full, and says so when it stays full', async () => {
    world.endpoint.refuseNext('StartQueryExecution', 'TooManyRequestsException', 2);
    expect(await world.open().rows({ sql: 'SELECT 1 AS n' })).toEqual([{ n: 1 }]);
    world.endpoint.refuseNext('GetQueryExecution', 'ThrottlingException', 2);
    expect(await world.open().rows({ sql: 'SELECT 2 AS n' })).toEqual([{ n: 2 }]);
    world.endpoint.refuseNext('StartQueryExecution', 'TooManyRequestsException', 100);
    expect(await failing(world.open().rows({ sql: 'SELECT 3 AS n' }))).toEqual([
      'retryable',
      'Athena takes no more queries now: the account runs or queues as many as its quota allows. Run it again later, or ask for a higher quota.',
    ]);
    world.endpoint.refuseNext('StartQueryExecution', 'TooManyRequestsException', 0);
  });

  it('says what to do when the workgroup stopped the query for what it read', async () => {
    world.endpoint.failNext(/too much/, new QueryFailure('Bytes scanned limit was exceeded', { state: 'CANCELLED' }));
    expect(await failing(world.open().rows({ sql: `SELECT 'too much' AS word` }))).toEqual([
      'capacity',
      'Athena stopped the query: it read more than the workgroup allows one query to read (bytesScannedCutoffPerQuery). Raise the limit of the workgroup, or let the rule read less of the table, by its partition column. Query ID.',
    ]);
  });

  it.each([
    [
      'INSUFFICIENT_RESOURCES: Query exhausted resources at this scale factor',
      'capacity',
      /needs more than Athena gives one query/,
    ],
    ['PERMISSION_DENIED: Insufficient Lake Formation permission(s) on customers', 'user', /Give the role of the function access/],
    [`INVALID_CAST_ARGUMENT: Cannot cast 'anna@example.com' to INT`, 'user', /INVALID_CAST_ARGUMENT/],
    [`TYPE_MISMATCH: line 1:8: 'anna@example.com'`, 'user', /\(TYPE_MISMATCH\)/],
  ])('tells of %s its kind and its way out, and no value', async (message, kind, expected) => {
    world.endpoint.failNext(/./, new QueryFailure(message));
    const [found, text] = await failing(world.open().rows({ sql: 'SELECT 4 AS n' }));
    expect([found, text.includes('anna')]).toEqual([kind, false]);
    expect(text).toMatch(expected);
  });

  it('refuses what Athena would refuse or misunderstand: a long query, many shards, a strange workgroup, a table elsewhere', async () => {
    const warehouse = world.open();
    expect((await failing(warehouse.rows({ sql: `SELECT '${'x'.repeat(262_144)}' AS n` })))[1]).toMatch(
      /^The query is 262,158 bytes long/,
    );
    expect(await failing(warehouse.unload({ sql: 'SELECT 1 AS n, 0 AS shard' }, world.prefix(), 101))).toEqual([
      'user',
      'Athena writes 100 shards at most, and 101 were asked for.',
    ]);
    expect((await failing(world.open({ workGroup: 'other' }).rows({ sql: 'SELECT 1 AS n' })))[1]).toMatch(/no such workgroup/);
    expect((await failing(world.open({ environment: 'prod' }).rows({ sql: 'SELECT 1', tables: [ORDERS] })))[1]).toBe(
      'contracts/orders.yaml does not say where "orders" is in the environment "prod".',
    );
    expect((await failing(warehouse.validate('SELECT 1', [])))[1]).toMatch(/run sluice check/);
  });

  it('takes no files when others lie under their prefix, or when the catalog does not read them back', async () => {
    const prefix = world.prefix();
    await world.clients.s3.send(
      new PutObjectCommand({
        Bucket: BUCKET,
        Key: `${prefix.slice(`s3://${BUCKET}/`.length)}/shard=0/stranger.gz`,
        Body: gzipSync('{"k":"x"}\n'),
      }),
    );
    // Only a partitioned UNLOAD adds to what is there.
    expect(await failing(world.open().unload({ sql: `SELECT 'a' AS k, 0 AS shard` }, prefix, 1))).toEqual([
      'user',
      "The files under a prefix are not those that Athena says it wrote there: 0 missing, 2 not of this query, 2 of 1 read back through sluice. Nothing was taken. Look at the table's storage.location.template.",
    ]);
  });

  it('reads of a folder of lines only the files it was given: their logs lie beside them', async () => {
    const put = (name: string, body: string | Buffer) =>
      world.clients.s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: `runs/r1/upserts/${name}`, Body: body }));
    await put('00.jsonl.gz', gzipSync('{"k":"a","ids":["e:1"]}\n{"k":"b","t":{"x":1}}\n'));
    await put('00.jsonl.gz.log', '{"k":"a","o":"delivered"}\n');
    const relation = (name: string, columns: Readonly<Record<string, string>>) => ({
      files: { format: 'jsonl' as const, locations: [`s3://${BUCKET}/runs/r1/upserts/${name}`], rows: 0, bytes: 0 },
      columns,
    });
    const read = await world.open().rows({
      sql: 'SELECT u.k AS k, l.o AS o FROM upserts u LEFT JOIN log l ON l.k = u.k ORDER BY u.k',
      relations: {
        upserts: relation('00.jsonl.gz', { k: 'varchar', ids: 'array(varchar)' }),
        log: relation('00.jsonl.gz.log', { k: 'varchar', o: 'varchar' }),
      },
    });
    expect(read).toEqual([
      { k: 'a', o: 'delivered' },
      { k: 'b', o: null },
    ]);
  });

  it('counts what it read and what that costs, ten megabytes a query at least', async () => {
    const warehouse = world.open();
    await warehouse.materialize({ sql: `SELECT 'a' AS member` }, world.prefix());
    const { queries, scannedBytes, billedBytes, usd } = warehouse.usage();
    expect([queries, billedBytes, usd.toFixed(6)]).toEqual([2, 2 * 10 * 2 ** 20, '0.000105']);
    expect(scannedBytes).toBeGreaterThan(0);
  });
});
