/**
 * `npm run bench:diff [-- members]`: what a diff costs, next to what the same comparison costs by hand, on the same files, in one run.
 *
 * 1. 10 million members against a ledger of 10 million, 2 % changed, 1 % gone, 1 % new: `candidatesQuery` and its counts through the
 *    warehouse, against the best of the hand-written DuckDB queries below. All write the same candidates, and their counts must agree.
 * 2. A run of the real product in which nothing changed, against its own materialize and diff alone; a tenth of the members.
 *
 * Every measurement is a process of its own, so that its peak memory is its own too; they take turns, and the fastest of each counts.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DuckDBInstance } from '@duckdb/node-api';
import { openWorkspace } from '../../cli/wiring.ts';
import type { FileSet } from '../../core/ports.ts';
import { sync } from '../../core/run/operations.ts';
import { createTasks } from '../../core/run/tasks.ts';
import {
  CANDIDATE_COLUMNS,
  candidateCountsQuery,
  candidatesQuery,
  LEDGER_COLUMNS,
  REJECTION_COLUMNS,
} from '../../core/sql/delta.ts';
import { ulid } from '../../core/ulid.ts';
import { openDuckDb } from '../../warehouses/duckdb.ts';

const ROUNDS = 3;
/** The goal is for two cores; the warehouse has the same threads and memory. */
const THREADS = 2;
const MEMORY = '3GiB';

interface Measured {
  readonly ms: number;
  /** Of all threads: says how much of the time was the machine's other work. */
  readonly cpuMs: number;
  readonly peakMiB: number;
  /** Of the candidates: op -> rows, to prove that all ways answer the same. */
  readonly counts: Readonly<Record<string, number>>;
}

type Timed = Omit<Measured, 'peakMiB'>;

/** A stop watch of wall and processor time. */
function watch(): () => { readonly ms: number; readonly cpuMs: number } {
  const [started, cpu] = [performance.now(), process.cpuUsage()];
  return () => {
    const { user, system } = process.cpuUsage(cpu);
    return { ms: performance.now() - started, cpuMs: (user + system) / 1000 };
  };
}

const HAND: Readonly<Record<string, string>> = {
  'full outer join': `SELECT coalesce(s.member, l.member) AS member,
      CASE WHEN s.member IS NULL THEN 'remove' WHEN l.member IS NULL THEN 'add' ELSE 'update' END AS op, s.hash_0 AS hash
    FROM snapshot s FULL OUTER JOIN ledger l ON s.member = l.member WHERE s.hash_0 IS DISTINCT FROM l.hash`,
  'inner join and two anti joins': `SELECT s.member, 'update' AS op, s.hash_0 AS hash FROM snapshot s JOIN ledger l ON s.member = l.member WHERE s.hash_0 <> l.hash
    UNION ALL SELECT member, 'add', hash_0 FROM snapshot s WHERE NOT EXISTS (FROM ledger l WHERE l.member = s.member)
    UNION ALL SELECT member, 'remove', NULL FROM ledger l WHERE NOT EXISTS (FROM snapshot s WHERE s.member = l.member)`,
  'full outer join, ledger first': `SELECT coalesce(s.member, l.member) AS member,
      CASE WHEN s.member IS NULL THEN 'remove' WHEN l.member IS NULL THEN 'add' ELSE 'update' END AS op, s.hash_0 AS hash
    FROM ledger l FULL OUTER JOIN snapshot s ON s.member = l.member WHERE s.hash_0 IS DISTINCT FROM l.hash`,
};

async function report(members: number): Promise<void> {
  if (!Number.isSafeInteger(members) || members < 1000) {
    process.stderr.write('How many members? A whole number from 1,000: npm run bench:diff -- 10000000\n');
    process.exit(2);
  }
  const folder = mkdtempSync(join(tmpdir(), 'sluice-diff-'));
  try {
    run('files', folder, members);
    const ways = ['ours', ...Object.keys(HAND).map((name) => `hand: ${name}`)];
    const best = takeTurns(ways, folder, members);
    for (const way of ways) row(way, best.get(way));
    const ours = one(best, 'ours');
    const hand = ways.slice(1).map((way) => one(best, way));
    for (const other of hand) {
      if (JSON.stringify(other.counts) !== JSON.stringify(ours.counts))
        throw new Error(`The ways disagree: ${JSON.stringify([ours.counts, other.counts])}`);
    }
    const least = (what: 'ms' | 'cpuMs'): number => Math.min(...hand.map((other) => other[what]));
    line(
      `diff of ${n(members)} against ${n(members)}: ${(ours.ms / least('ms')).toFixed(2)}x the best hand-written query (processor time ${(ours.cpuMs / least('cpuMs')).toFixed(2)}x), ${ours.peakMiB} MiB`,
    );

    const few = Math.trunc(members / 10);
    run('shop', folder, few);
    const steps = takeTurns(['run', 'materialize and diff'], folder, few);
    for (const way of steps.keys()) row(way, steps.get(way));
    const whole = one(steps, 'run');
    const parts = one(steps, 'materialize and diff');
    line(
      `a run of ${n(few)} in which nothing changed: ${(whole.ms / parts.ms).toFixed(2)}x materialize + diff ` +
        `(processor time ${(whole.cpuMs / parts.cpuMs).toFixed(2)}x), ` +
        `${whole.counts['requests']} requests, ${whole.peakMiB} MiB`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Every way in turn, `ROUNDS` times; the least time of each, with the highest peak seen. */
function takeTurns(ways: readonly string[], folder: string, members: number): Map<string, Measured> {
  const best = new Map<string, Measured>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const way of ways) {
      const now = run(way, folder, members);
      const before = best.get(way);
      best.set(way, {
        ms: Math.min(now.ms, before?.ms ?? Infinity),
        cpuMs: Math.min(now.cpuMs, before?.cpuMs ?? Infinity),
        peakMiB: Math.max(now.peakMiB, before?.peakMiB ?? 0),
        counts: now.counts,
      });
    }
  }
  return best;
}

function one(best: ReadonlyMap<string, Measured>, way: string): Measured {
  const found = best.get(way);
  if (found === undefined) throw new Error(`${way} was not measured.`);
  return found;
}

function run(way: string, folder: string, members: number): Measured {
  const done = spawnSync(process.execPath, [fileURLToPath(import.meta.url), 'child', way, folder, String(members)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (done.status !== 0) throw new Error(`${way} ended with ${done.signal ?? done.status}.`);
  return JSON.parse(done.stdout) as Measured;
}

/** One measurement. Peak memory is the process's own, Node and what came before the clock included. */
async function child(way: string, folder: string, members: number): Promise<Measured> {
  const measured = await measure(way, folder, members);
  return { ...measured, peakMiB: Math.round(process.resourceUsage().maxRSS / 1024) };
}

async function measure(way: string, folder: string, members: number): Promise<Timed> {
  if (way === 'files') return writeFiles(folder, members);
  if (way === 'shop') return openShop(folder, members);
  if (way === 'ours') return ours(folder, members);
  if (way === 'run' || way === 'materialize and diff') return unchanged(way, folder);
  const sql = HAND[way.replace('hand: ', '')];
  if (sql === undefined) throw new Error(`There is no way "${way}".`);
  return byHand(sql, folder);
}

const snapshotFile = (folder: string): string => join(folder, 'snapshot.parquet');
const ledgerFile = (folder: string): string => join(folder, 'ledger.parquet');

/** A snapshot and a ledger with the columns, types and sizes of real ones, in no order: keys are hashes. */
async function writeFiles(folder: string, members: number): Promise<Timed> {
  const connection = await (
    await DuckDBInstance.create(':memory:', { threads: String(THREADS), memory_limit: MEMORY })
  ).connect();
  // Any hash of the right length will do, and MD5 is quick.
  const key = `md5('key' || i)`;
  const hash = (text: string): string => `substr(md5(${text} || i), 1, 16)`;
  const write = (sql: string, file: string) => connection.run(`COPY (${sql}) TO '${file}' (FORMAT parquet, COMPRESSION zstd)`);
  const stop = watch();
  await write(
    `SELECT ${key} AS member, true AS matched, false AS holdout, CAST(NULL AS varchar) AS withheld_0,
       CASE WHEN i % 50 = 0 THEN ${hash("'new'")} ELSE ${hash("'old'")} END AS hash_0,
       ['email' || chr(31) || 'c' || i || '@example.com'] AS identifiers_0, CAST([] AS varchar[]) AS traits_0,
       'opt-in|DE|granted' AS consent_0, 'DE' AS country,
       concat_ws(chr(31), 'granted', 'granted', '1700000000000', 'import', 'r' || i) AS evidence_0
     FROM range(${Math.trunc(members / 100)}, ${members + Math.trunc(members / 100)}) t(i)`,
    snapshotFile(folder),
  );
  await write(
    `SELECT ${key} AS member, ${hash("'old'")} AS hash, ['email:' || md5('a' || i) || md5('b' || i)] AS identifiers,
       1700000000000 AS since, 'delivered' AS outcome FROM range(${members}) t(i)`,
    ledgerFile(folder),
  );
  connection.closeSync();
  return { ...stop(), counts: {} };
}

async function byHand(sql: string, folder: string): Promise<Timed> {
  const connection = await (
    await DuckDBInstance.create(':memory:', { threads: String(THREADS), memory_limit: MEMORY })
  ).connect();
  await connection.run(`SET preserve_insertion_order = false; SET temp_directory = '${join(folder, 'spill')}';
    CREATE VIEW snapshot AS FROM read_parquet('${snapshotFile(folder)}'); CREATE VIEW ledger AS FROM read_parquet('${ledgerFile(folder)}')`);
  const out = join(folder, `candidates-${process.pid}.parquet`);
  const stop = watch();
  await connection.run(`COPY (${sql}) TO '${out}' (FORMAT parquet, COMPRESSION zstd)`);
  const rows = (
    await connection.runAndReadAll(`SELECT op, count(*) FROM read_parquet('${out}') GROUP BY op ORDER BY op`)
  ).getRows();
  const time = stop();
  connection.closeSync();
  rmSync(out);
  return { ...time, counts: Object.fromEntries(rows.map(([op, count]) => [String(op), Number(count)])) };
}

async function ours(folder: string, members: number): Promise<Timed> {
  const warehouse = await openDuckDb({ dir: folder, temporary: join(folder, 'spill'), memoryLimit: MEMORY, threads: THREADS });
  const files = (location: string): FileSet => ({ format: 'parquet', locations: [location], rows: members, bytes: 0 });
  const relations = {
    snapshot: { files: files(snapshotFile(folder)), columns: {} },
    ledger: { files: files(ledgerFile(folder)), columns: LEDGER_COLUMNS },
    rejections: { files: { format: 'parquet' as const, locations: [], rows: 0, bytes: 0 }, columns: REJECTION_COLUMNS },
  };
  const prefix = join(folder, `candidates-${process.pid}`);
  const stop = watch();
  const found = await warehouse.materialize(candidatesQuery(0, 'mirror', relations), prefix);
  const rows = await warehouse.rows(candidateCountsQuery({ files: found, columns: CANDIDATE_COLUMNS }));
  const time = stop();
  await warehouse.close();
  rmSync(prefix, { recursive: true, force: true });
  const counts = rows.map((cells) => [String(cells['op']), Number(cells['n'])] as const).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { ...time, counts: Object.fromEntries(counts) };
}

const TEXTS: Readonly<Record<string, string>> = {
  'contracts/customers.yaml': contract('customers', 'customers', ['customer_id', 'country']),
  'contracts/identifiers.yaml': contract('identifiers', 'identifiers', ['customer_id', 'namespace', 'value']),
  'contracts/consents.yaml': contract('consents', 'consents', ['customer_id', 'purpose', 'status', 'effective_from']),
  'policies/consent.yaml': 'purposes:\n  newsletter: { basis: opt-in }\njurisdiction: { column: country }\n',
  'destinations/drop.yaml': 'connector: files\npurpose: newsletter\nsettings: {}\n',
  'audiences/everybody.yaml':
    'description: Everybody\nowner: crm@example.com\nwhere: { country: { is: known } }\nschedule: manual\n' +
    'syncs:\n  - to: drop\n    mode: mirror\n    identifiers: [email]\n',
};

function contract(name: string, role: string, columns: readonly string[]): string {
  const properties = columns.map((column) => {
    const type = column === 'effective_from' ? 'timestamp' : 'string';
    const key = name === column.replace('_id', 's') ? ', unique: true, primaryKey: true, primaryKeyPosition: 1' : '';
    return `      - { name: ${column}, logicalType: ${type}, physicalType: ${type === 'string' ? 'varchar' : type}, required: true${key} }\n`;
  });
  return (
    `apiVersion: v3.1.0\nkind: DataContract\nid: bench-${name}\nname: ${name}\nversion: 1.0.0\nstatus: active\n` +
    `servers:\n  - { server: local, type: local, path: tables/${name}.parquet, format: parquet }\n` +
    `schema:\n  - name: ${name}\n    physicalType: table\n    customProperties:\n      - { property: sluice.role, value: ${role} }\n` +
    `    properties:\n${properties.join('')}team: { name: bench }\n`
  );
}

/** A workspace whose ledger holds everybody already: one run of the real product, delivered to files. */
async function openShop(folder: string, members: number): Promise<Timed> {
  const shop = join(folder, 'shop');
  mkdirSync(join(shop, 'tables'), { recursive: true });
  for (const [file, text] of Object.entries(TEXTS)) {
    mkdirSync(dirname(join(shop, file)), { recursive: true });
    writeFileSync(join(shop, file), text);
  }
  const connection = await (
    await DuckDBInstance.create(':memory:', { threads: String(THREADS), memory_limit: MEMORY })
  ).connect();
  const write = (sql: string, table: string) =>
    connection.run(`COPY (${sql}) TO '${join(shop, 'tables', `${table}.parquet`)}' (FORMAT parquet)`);
  await write(`SELECT 'c' || i AS customer_id, 'DE' AS country FROM range(${members}) t(i)`, 'customers');
  await write(
    `SELECT 'c' || i AS customer_id, 'email' AS namespace, 'c' || i || '@example.com' AS value FROM range(${members}) t(i)`,
    'identifiers',
  );
  await write(
    `SELECT 'c' || i AS customer_id, 'newsletter' AS purpose, 'granted' AS status, TIMESTAMP '2026-01-01' AS effective_from FROM range(${members}) t(i)`,
    'consents',
  );
  connection.closeSync();
  const open = await opened(shop);
  const stop = watch();
  const report = await sync(open.operations, 'everybody');
  await open.close();
  if (report.syncs[0]?.members !== members)
    throw new Error(`The first run delivered ${report.syncs[0]?.members} of ${members}: ${report.state}.`);
  return { ...stop(), counts: {} };
}

async function opened(shop: string) {
  const open = await openWorkspace(shop);
  if ('problems' in open) throw new Error(JSON.stringify(open.problems, null, 2));
  return open;
}

async function unchanged(way: 'run' | 'materialize and diff', folder: string): Promise<Timed> {
  const open = await opened(join(folder, 'shop'));
  try {
    if (way === 'run') {
      const stop = watch();
      const report = await sync(open.operations, 'everybody');
      const time = stop();
      const [done] = report.syncs;
      if (done === undefined || report.state !== 'done' || done.add + done.update + done.remove > 0)
        throw new Error('Something changed.');
      return { ...time, counts: { requests: done.requests } };
    }
    // As in a run, from a cold start, under an id of its own.
    const tasks = createTasks(open.ports);
    const of = { run: ulid(Date.now(), Math.random), audience: 'everybody', tick: Date.now() };
    const stop = watch();
    const snapshot = await tasks.materialize({ ...of, destinations: ['drop'] });
    const made = await tasks.diff({ ...of, destination: 'drop', index: 0, snapshot });
    return { ...stop(), counts: { requests: made.requests } };
  } finally {
    await open.close();
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2).padStart(7)} s`;
}
function n(count: number): string {
  return count.toLocaleString('en-US');
}
function line(text: string): void {
  process.stdout.write(`${text}\n`);
}
function row(way: string, measured: Measured | undefined): void {
  if (measured !== undefined)
    line(
      `${way.padEnd(40)} ${seconds(measured.ms)}  ${seconds(measured.cpuMs)} of processor  ${String(measured.peakMiB).padStart(6)} MiB`,
    );
}

const [role = 'all', ...rest] = process.argv.slice(2);
if (role === 'child') process.stdout.write(JSON.stringify(await child(rest[0] ?? '', rest[1] ?? '', Number(rest[2]))));
else await report(Number(role === 'all' ? 10_000_000 : role));
