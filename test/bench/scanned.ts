/**
 * `npm run bench:scanned [-- members [uuid | number]]` (after `npm run pre-test:trino`): what a run reads, query by query, on a real Trino.
 *
 * The real product, Athena's adapter, Trino 435 behind Athena's API, the files of both in an S3 on this machine. A shop with a ledger that holds
 * everybody, at one destination whose list is of identifiers: a day on which nothing changed, then one on which 1 % have another
 * address, 0.5 % are new and 0.5 % are gone. One in 25 shares a phone number with somebody. Customer ids are UUIDs as text, or numbers. Bytes are Trino's own count of what it read
 * (`physicalInputBytes`), which Athena bills; they grow with the members, so that the last column is a multiplication.
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { openWorkspace } from '../../cli/wiring.ts';
import type { Table } from '../../core/model.ts';
import type { Query, Warehouse, WarehouseUsage } from '../../core/ports.ts';
import { sealed } from '../../core/run/ledger-check.ts';
import { type Operations, sync } from '../../core/run/operations.ts';
import type { RunReport } from '../../core/run/report.ts';
import { ledgerRelation, snapshotRelation } from '../../core/run/relations.ts';
import { createTasks } from '../../core/run/tasks.ts';
import { ulid } from '../../core/ulid.ts';
import { standIns, startSandbox } from '../../sandbox/index.ts';
import { s3Files } from '../../stores/files-s3.ts';
import { BUCKET, DATABASE, openAthenaWorld } from '../support/athena.ts';
import { startS3 } from '../support/s3-server.ts';
import { makeLakeTables, trino, trinoEngine } from '../support/trino/engine.ts';
import { startTrino } from '../support/trino/server.ts';

const AT = 100_000_000;
const USD_PER_BYTE = 5 / 1e12;
const T = Date.parse('2026-06-01T06:00:00Z');
const DAY = 86_400_000;

const members = Number(process.argv[2] ?? 1_000_000);
if (!Number.isSafeInteger(members) || members < 1000) {
  process.stderr.write('How many members? A whole number from 1,000: npm run bench:scanned -- 1000000\n');
  process.exit(2);
}
const ids = process.argv[3] ?? 'uuid';
if (ids !== 'uuid' && ids !== 'number') {
  process.stderr.write('Which customer ids? npm run bench:scanned -- 1000000 uuid, or number\n');
  process.exit(2);
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const n = (count: number): string => Math.round(count).toLocaleString('en-US');

const ID = ids === 'uuid' ? 'varchar' : 'bigint';
const COLUMNS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  customers: {
    customer_id: ID,
    country: 'varchar',
    loyalty_tier: 'varchar',
    lifetime_value: 'decimal(12,2)',
    last_order_at: 'timestamp(3)',
    updated_at: 'timestamp(3)',
  },
  identifiers: { customer_id: ID, namespace: 'varchar', value: 'varchar', last_seen: 'timestamp(3)' },
  consents: { customer_id: ID, purpose: 'varchar', status: 'varchar', effective_from: 'timestamp(3)' },
};

/** Rows of a day: `day` 0 is what the ledger holds. Ids, addresses and times are as random as real ones. */
function rowsOf(table: string, day: number): string {
  const from = day === 0 ? 0 : Math.trunc(members / 200);
  const people = `(SELECT i FROM range(${from}, ${members + from}) t(i) ORDER BY hash(i)) t`;
  // Numbers as far apart as those of a hundred million people, so that they weigh as much.
  const id =
    ids === 'uuid' ? `CAST(md5('customer' || i) AS uuid)::varchar` : `CAST(${AT} + i * ${Math.trunc(AT / members)} AS bigint)`;
  const random = (of: string, most: number): string => `CAST(hash('${of}' || i) % ${most} AS bigint)`;
  const at = (of: string, days: number): string => `TIMESTAMP '2026-05-31' - INTERVAL 1 SECOND * ${random(of, days * 86_400)}`;
  const changed = day === 0 ? 'FALSE' : `${random('changed', 100)} = 0`;
  switch (table) {
    case 'customers':
      return `SELECT ${id} AS customer_id, ['DE', 'FR', 'IT'][1 + ${random('country', 3)}] AS country,
        ['gold', 'silver', 'none'][1 + ${random('tier', 3)}] AS loyalty_tier, CAST(${random('value', 100_000)} / 100 AS decimal(12,2)) AS lifetime_value,
        ${at('order', 300)} AS last_order_at, ${at('updated', 30)} AS updated_at FROM ${people}`;
    case 'identifiers':
      return `SELECT ${id} AS customer_id, 'email' AS namespace,
        substr(md5('mail' || i || CASE WHEN ${changed} THEN 'new' ELSE '' END), 1, 9) || '.' || ${random('digits', 1000)} || '@example.com' AS value, ${at('seen', 300)} AS last_seen FROM ${people}
        UNION ALL SELECT ${id}, 'phone', '+4915' || (100000000 + (CASE WHEN i % 50 < 2 THEN i - i % 2 ELSE i END * 7919) % 900000000), ${at('seen2', 300)} FROM ${people} WHERE i % 10 < 3`;
    default:
      return `SELECT ${id} AS customer_id, 'ads' AS purpose, 'granted' AS status, ${at('consent', 300)} AS effective_from FROM ${people}`;
  }
}

const contract = (name: string, columns: string): string => `apiVersion: v3.1.0
kind: DataContract
id: bench-${name}
name: ${name}
version: 1.0.0
status: active
servers: [{ server: local, type: athena, schema: shop, stagingDir: "s3://unused/" }]
schema:
  - name: ${name}
    customProperties: [{ property: sluice.role, value: ${name} }]
    properties:
${columns}`;
const required = ', required: true';
const LOGICAL = ids === 'uuid' ? 'string' : 'integer';

const FILES: Readonly<Record<string, string>> = {
  'contracts/customers.yaml': `${contract(
    'customers',
    `      - { name: customer_id, logicalType: ${LOGICAL}${required}, unique: true, primaryKey: true, primaryKeyPosition: 1 }
      - { name: country, logicalType: string }
      - { name: loyalty_tier, logicalType: string }
      - { name: lifetime_value, logicalType: number, physicalType: "decimal(12,2)" }
      - { name: last_order_at, logicalType: timestamp }
      - { name: updated_at, logicalType: timestamp }
`,
  )}slaProperties: [{ property: freshness, value: 9000, unit: h, element: customers.updated_at }]\n`,
  'contracts/identifiers.yaml': contract(
    'identifiers',
    `      - { name: customer_id, logicalType: ${LOGICAL}${required} }
      - { name: namespace, logicalType: string${required} }
      - { name: value, logicalType: string${required} }
      - { name: last_seen, logicalType: timestamp }
`,
  ),
  'contracts/consents.yaml': contract(
    'consents',
    `      - { name: customer_id, logicalType: ${LOGICAL}${required} }
      - { name: purpose, logicalType: string${required} }
      - { name: status, logicalType: string }
      - { name: effective_from, logicalType: timestamp }
`,
  ),
  'policies/consent.yaml': 'purposes:\n  ads: { basis: opt-in }\njurisdiction: { column: country }\n',
  'destinations/meta.yaml': 'connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n',
  'audiences/everybody.yaml':
    'description: Everybody of some value who ordered of late\nowner: crm@example.com\nschedule: manual\n' +
    'where: { all: [{ lifetime_value: { gte: 0 } }, { last_order_at: { after: 2020-01-01 } }, { country: { in: [DE, FR, IT] } }] }\n' +
    'syncs:\n  - { to: meta, mode: mirror, identifiers: [email, phone] }\n',
};

const dir = realpathSync(mkdtempSync(join(tmpdir(), 'sluice-scanned-')));
for (const [path, text] of Object.entries(FILES)) {
  mkdirSync(dirname(join(dir, path)), { recursive: true });
  writeFileSync(join(dir, path), text);
}
const root = join(dir, 'buckets');
for (const bucket of [BUCKET, 'results', 'metastore', 'lake']) mkdirSync(join(root, bucket), { recursive: true });
const s3 = await startS3(root);
const server = await startTrino(s3.endpoint, {
  memory: { machine: 2560, query: 1500 },
  // Files here are a hundredth of the size: read as they are, in whole or with what lies between, they would cost what large ones do not.
  catalog: { 'parquet.small-file-threshold': '0B', 'parquet.max-merge-distance': '0B' },
});
const meta = standIns['meta'];
if (meta === undefined) throw new Error('There is no stand-in of meta.');
const sandbox = await startSandbox([meta]);
try {
  await makeLakeTables(server.endpoint, { bucket: BUCKET, database: DATABASE });
  await trino(server.endpoint, 'CREATE SCHEMA shop');
  const open = await openWorkspace(dir, {
    overrideFor: () => ({ endpoint: sandbox.platform('meta').endpoint, secret: sandbox.platform('meta').secret }),
  });
  if ('problems' in open) throw new Error(JSON.stringify(open.problems, null, 2));
  await writeDay(0);
  await seedLedger(open.operations);
  const unchanged = await measured('a day on which nothing changed', open.operations, T + DAY);
  await writeDay(1);
  const changed = await measured('a day with a delta of 2 %', open.operations, T + 2 * DAY);
  say(`\n${n(AT)} members: nothing changed $${usd(unchanged)}, a delta of 2 % $${usd(changed)}`);
  await open.close();
} finally {
  await sandbox.close();
  await server.close();
  await s3.close();
  rmSync(dir, { recursive: true, force: true });
}

function usd(bytes: number): string {
  return ((bytes / members) * AT * USD_PER_BYTE).toFixed(3);
}

/** The tables of a day, as Parquet that Trino wrote. */
async function writeDay(day: number): Promise<void> {
  const connection = await (await DuckDBInstance.create(':memory:', { threads: '2' })).connect();
  for (const [name, columns] of Object.entries(COLUMNS)) {
    mkdirSync(join(root, 'lake', `${day}/${name}`), { recursive: true });
    await connection.run(
      `COPY (${rowsOf(name, day)}) TO '${join(root, 'lake', `${day}/${name}/rows.parquet`)}' (FORMAT parquet, COMPRESSION zstd)`,
    );
    const list = Object.entries(columns).map(([column, type]) => `${column} ${type}`);
    await trino(server.endpoint, `DROP TABLE IF EXISTS shop.${name}`);
    await trino(
      server.endpoint,
      `CREATE TABLE shop.${name} (${list.join(', ')}) WITH (format = 'PARQUET', external_location = 's3://lake/${day}/${name}')`,
    );
  }
  connection.closeSync();
}

/** A ledger that holds everybody as a first run leaves it, made by SQL from a snapshot of the product. */
async function seedLedger(operations: Operations): Promise<void> {
  await onAthena(operations, T, async ({ ports }) => {
    const run = ulid(T, Math.random);
    const snapshot = await createTasks(ports).materialize({ run, audience: 'everybody', tick: T, destinations: ['meta'] });
    const write = async (name: string, query: Query) =>
      sealed(
        ports,
        await ports.warehouse.materialize(query, ports.store.files.location(`ledger/everybody/meta/${run}/a1/${name}`)),
      );
    const sent = `lower(to_hex(sha256(to_utf8(replace(split_part(x, chr(31), 2), '+', '')))))`;
    const all = await write('members', {
      sql: `SELECT s.member AS member, s.hash_0 AS hash, transform(s.identifiers_0, x -> split_part(x, chr(31), 1) || ':' || ${sent}) AS identifiers,
        ${T} AS since, 'accepted' AS outcome FROM snapshot s`,
      relations: { snapshot: snapshotRelation(snapshot) },
    });
    const none = await write('rejections', {
      sql: `SELECT l.member AS member, l.hash AS hash, CAST(1 AS integer) AS times, 'no' AS reason FROM ledger l WHERE 1 = 0`,
      relations: { ledger: ledgerRelation(all) },
    });
    const pointer = { generation: run, version: 1, fence: 1, members: all, rejections: none, at: T, purpose: 'ads' };
    await ports.store.pointers.move('everybody/meta', 0, pointer);
  });
}

async function onAthena<T>(
  operations: Operations,
  asOf: number,
  work: (operations: Operations) => Promise<T>,
  note?: (what: string, bytes: number) => void,
): Promise<T> {
  const tables = operations.ports.workspace.tables;
  const lake = await openAthenaWorld({
    root,
    s3: s3.endpoint,
    engine: trinoEngine(server.endpoint, root),
    tables: Object.fromEntries(
      tables.map((table) => [
        `awsdatacatalog.shop.${table.physicalName}`,
        {
          columns: Object.entries(COLUMNS[table.name] ?? {}).map(([name, type]) => ({
            name,
            type: type === 'varchar' ? 'string' : type,
          })),
        },
      ]),
    ),
  });
  try {
    const { ports } = operations;
    const athena = lake.open({ asOf, environment: 'local' });
    return await work({
      ...operations,
      ports: {
        ...ports,
        warehouse: note === undefined ? athena : noted(athena, note),
        store: {
          ...ports.store,
          files: s3Files({ client: lake.clients.s3, bucket: BUCKET, prefix: 'sluice/' }),
          receipts: s3Files({ client: lake.clients.s3, bucket: BUCKET, prefix: 'receipts/' }),
        },
      },
    });
  } finally {
    await lake.close();
  }
}

/** The warehouse, telling what each of its queries read. */
function noted(warehouse: Warehouse & { usage(): WarehouseUsage }, note: (what: string, bytes: number) => void): Warehouse {
  const told = async <T>(what: string, ask: () => Promise<T>): Promise<T> => {
    const before = warehouse.usage().scannedBytes;
    const answer = await ask();
    note(what, warehouse.usage().scannedBytes - before);
    return answer;
  };
  const nameOf = (prefix: string): string => {
    const parts = prefix.split('/');
    return parts.includes('receipts')
      ? 'receipts'
      : parts.slice(-1).join('') + (parts.includes('ledger') ? ' of the generation' : '');
  };
  const from = ({ sql, tables = [] }: Query): string =>
    tables.length > 0
      ? `rows of ${tables.map(({ name }: Table) => name).join(', ')}`
      : `rows: ${sql.replaceAll(/\s+/g, ' ').slice(0, 40)}`;
  return {
    ...warehouse,
    name: warehouse.name,
    describe: (table) => told(`describe ${table.name}`, () => warehouse.describe(table)),
    rows: (query) => told(from(query), () => warehouse.rows(query)),
    materialize: (query, prefix) => told(nameOf(prefix), () => warehouse.materialize(query, prefix)),
    unload: (query, prefix, shards) => told(nameOf(prefix), () => warehouse.unload(query, prefix, shards)),
    validate: (sql, tables) => warehouse.validate(sql, tables),
    usage: () => warehouse.usage(),
    close: () => warehouse.close(),
  };
}

async function measured(what: string, operations: Operations, tick: number): Promise<number> {
  say(`\n${what}, ${n(members)} members`);
  say(`${'query'.padEnd(44)} ${'bytes'.padStart(14)} ${'a member'.padStart(9)} ${`GB at ${n(AT)}`.padStart(18)}`);
  let total = 0;
  const line = (name: string, bytes: number): void =>
    say(
      `${name.padEnd(44)} ${n(bytes).padStart(14)} ${(bytes / members).toFixed(1).padStart(9)} ${(((bytes / members) * AT) / 1e9).toFixed(2).padStart(18)}`,
    );
  const report: RunReport = await onAthena(
    operations,
    tick,
    (there) => sync(there, 'everybody', { tick }),
    (name, bytes) => {
      total += bytes;
      line(name, bytes);
    },
  );
  line('all', total);
  const [done] = report.syncs;
  say(
    `${report.state}: ${JSON.stringify({ add: done?.add, update: done?.update, remove: done?.remove, resent: done?.resent, members: done?.members, error: done?.error })}`,
  );
  if (report.state !== 'done') throw new Error(`The run ended as ${report.state}: ${report.held ?? ''}`);
  return total;
}
