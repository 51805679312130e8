/**
 * `npm run bench:receipts [-- members]`: what receipts cost. Ten runs of a million members each (the first adds everybody, the others update),
 * with consent records of their own: bytes a million receipts, the time to write them from delta and logs, to verify all of them, and to find
 * those of one person.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { SEPARATOR } from '../../core/evidence.ts';
import type { Workspace } from '../../core/model.ts';
import type { Relation } from '../../core/ports.ts';
import { readableLinks, receiptsOf } from '../../core/receipts/audit.ts';
import { verifyReceipts } from '../../core/receipts/verify.ts';
import { writeReceipts } from '../../core/receipts/write.ts';
import type { RunDocument } from '../../core/run/ports.ts';
import {
  LEDGER_COLUMNS,
  LOG_COLUMNS,
  REJECTION_COLUMNS,
  REMOVE_LINE_COLUMNS,
  UPSERT_LINE_COLUMNS,
} from '../../core/sql/delta.ts';
import { receiptsQuery } from '../../core/sql/receipts.ts';
import { ulid } from '../../core/ulid.ts';
import { openLocalStore } from '../../stores/local.ts';
import { systemClock } from '../../stores/system-clock.ts';
import { openDuckDb } from '../../warehouses/duckdb.ts';

const MEMBERS = Number(process.argv[2] ?? 1_000_000);
const RUNS = 10;
const workspace = { retention: { storage: {}, version: 'none' } } as unknown as Workspace;
const dir = mkdtempSync(join(tmpdir(), 'sluice-bench-receipts-'));
const seconds = (from: number): string => ((performance.now() - from) / 1000).toFixed(2);
const none = (columns: Readonly<Record<string, string>>): Relation => ({
  files: { format: 'parquet', locations: [], rows: 0, bytes: 0 },
  columns,
});
const lines = (location: string, columns: Readonly<Record<string, string>>): Relation => ({
  files: { format: 'jsonl', locations: [location], rows: 0, bytes: 0 },
  columns,
});

try {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const [upserts, log] = [join(dir, 'upserts.jsonl'), join(dir, 'log.jsonl')];
  // As a diff writes them: two hashed identifiers, the terms, and a consent record with a reference and a start of its own.
  await connection.run(
    `CREATE TABLE people AS SELECT md5(CAST(i AS varchar)) AS k, i, sha256('mail' || i) AS mail, sha256('phone' || i) AS phone FROM range(${MEMBERS}) r(i)`,
  );
  await connection.run(`COPY (SELECT k, 'update' AS op, substr(k, 1, 16) AS h, ['email:' || mail, 'phone:' || phone] AS ids,
    ['ads', 'opt-in', ['DE', 'FR', 'GB', 'NL'][1 + i % 4]] AS c,
    'granted' || chr(31) || 'granted' || chr(31) || CAST(1700000000000 + i * 1000 AS varchar) || chr(31) || 'web-form' || chr(31) || md5('record' || i) AS e
    FROM people ORDER BY i) TO '${upserts}' (FORMAT json)`);
  await connection.run(`COPY (SELECT i AS n, k, 'accepted' AS o FROM people ORDER BY i) TO '${log}' (FORMAT json)`);
  connection.closeSync();
  instance.closeSync();

  const store = await openLocalStore({ root: join(dir, '.sluice'), clock: systemClock });
  const warehouse = await openDuckDb({ dir, temporary: join(dir, 'spill') });
  const relations = {
    ledger: none(LEDGER_COLUMNS),
    rejections: none(REJECTION_COLUMNS),
    snapshot: none({}),
    removes: none(REMOVE_LINE_COLUMNS),
    upserts: lines(upserts, UPSERT_LINE_COLUMNS),
    remove_log: none(LOG_COLUMNS),
    upsert_log: lines(log, LOG_COLUMNS),
  };
  const writing = performance.now();
  for (let day = 0; day < RUNS; day++) {
    const tick = Date.parse('2026-06-01T06:00:00Z') + day * 86_400_000;
    const run = ulid(tick, systemClock.random);
    const of = { run, audience: 'vips', destination: 'meta', tick, committedAt: tick, attempt: 'a1' };
    const facts = {
      connector: 'meta',
      purpose: 'ads',
      policyVersion: '0123456789ab',
      namespaces: ['external_id', 'email', 'phone', 'maid'],
      traits: [],
    };
    await writeReceipts({ store, warehouse }, of, receiptsQuery(relations, { ...of, ...facts, committed: true }));
    await store.documents.put('run', run, {
      of: { run, audience: 'vips', tick },
      state: 'done',
      plans: [],
    } as unknown as RunDocument);
  }
  console.log(`write ${RUNS} runs of ${MEMBERS.toLocaleString('en-US')} receipts: ${seconds(writing)} s`);

  const verifying = performance.now();
  const verdict = await verifyReceipts({ store, warehouse, workspace }, { now: Date.now() });
  const [sync] = verdict.syncs;
  if (!verdict.whole || sync === undefined) throw new Error(JSON.stringify(verdict.problems));
  console.log(
    `verify ${sync.receipts.toLocaleString('en-US')} receipts, ${(sync.bytes / 2 ** 20).toFixed(0)} MiB: ${seconds(verifying)} s`,
  );
  console.log(
    `size: ${(((sync.bytes / sync.receipts) * 1e6) / 2 ** 20).toFixed(1)} MiB a million receipts, ${(sync.bytes / sync.receipts).toFixed(1)} bytes each`,
  );

  const looking = performance.now();
  const { links } = await readableLinks({ store, workspace }, Date.now());
  // The same letters as DuckDB's md5('17').
  const found = await receiptsOf({ store, warehouse }, ['70efdf2ec9b086079795c442636b55fb'], links);
  if (found.length !== RUNS) throw new Error(`${found.length} receipts of one member, not ${RUNS}`);
  console.log(`one person's receipts among all: ${seconds(looking)} s`);
  if (!String(found[0]?.consent_record).match(/^[0-9a-f]{32}$/) || SEPARATOR.length !== 1)
    throw new Error('no consent record in the receipts');
  await warehouse.close();
  await store.close();
} finally {
  rmSync(dir, { recursive: true, force: true });
}
