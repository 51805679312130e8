/**
 * `npm run bench:retail -- path/to/online-retail.parquet`: a year of real transactions, replayed week by week through the whole product.
 *
 * After every week what each destination holds is compared with an oracle that reads the transactions file directly (retail/oracle.ts),
 * and the counts of every report must add up. At the end nothing changed is run too, and must make no request. Exit code 0 when nothing differs, 1 when something does, 2 when the file is absent.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { openWorkspace } from '../../cli/wiring.ts';
import { sync } from '../../core/run/operations.ts';
import type { RunReport, SyncReport } from '../../core/run/report.ts';
import { standIns, startSandbox } from '../../sandbox/index.ts';
import { DERIVED, readTransactions, writeTables } from './retail/derive.ts';
import { type Expectation, expectations, ORACLE_AUDIENCES, prepareOracle } from './retail/oracle.ts';
import { writeWorkspace } from './retail/workspace.ts';

const WEEK = 7 * 86_400_000;
/** Monday after the first transactions, to the Monday after the last: 54 weeks' ends, UTC. */
const FIRST = Date.parse('2010-12-06T00:00:00Z');
const LAST = Date.parse('2011-12-12T00:00:00Z');
const KINDS = ['meta', 'braze'] as const;

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const file = process.argv[2];
if (file === undefined || !existsSync(file)) {
  say(file === undefined ? 'Give the file: npm run bench:retail -- path/to/online-retail.parquet' : `${file} is not there.`);
  say(
    'It is the UCI data set "Online Retail" (doi 10.1057/dbm.2012.17, CC BY 4.0) as Parquet, columns as in the original. Nothing was run.',
  );
  process.exit(2);
}

/** Every way in which a sync differs from the oracle, in words with counts only. */
function mismatches(expected: Expectation, report: SyncReport, matched: number, held: ReadonlySet<string>): string[] {
  const found: string[] = [];
  const compare = (what: string, ours: number, theirs: number): void => {
    if (ours !== theirs) found.push(`${what}: ${ours}, by the oracle ${theirs}`);
  };
  compare('matched', matched, expected.matched);
  for (const [reason, n] of Object.entries(report.withheld)) compare(`withheld ${reason}`, n, expected.withheld[reason] ?? 0);
  compare('held', held.size, expected.held.size);
  compare('held that must not be', held.difference(expected.held).size, 0);
  compare('missing that must be held', expected.held.difference(held).size, 0);
  compare('members in the ledger', report.members, expected.sent);
  // Law 14, from the report alone.
  const withheld = Object.values(report.withheld).reduce((sum, n) => sum + n, 0);
  compare('unchanged + add + update + withheld', report.unchanged + report.add + report.update + withheld, matched);
  if (report.error !== undefined) found.push(report.error.message);
  const { rejected = 0, retry = 0 } = report.outcomes ?? {};
  if (rejected + retry > 0) found.push(`${rejected} rejected, ${retry} to retry`);
  return found;
}

const started = performance.now();
const folder = mkdtempSync(join(tmpdir(), 'sluice-retail-'));
const derivation = await (await DuckDBInstance.create(':memory:', { threads: '2' })).connect();
const oracle = await (await DuckDBInstance.create(':memory:', { threads: '2' })).connect();
const chosen = KINDS.map((kind) => {
  const standIn = standIns[kind];
  if (standIn === undefined) throw new Error(`There is no stand-in of ${kind}.`);
  return standIn;
});
const sandbox = await startSandbox(chosen);
try {
  for (const line of DERIVED) say(`derived  ${line}`);
  await readTransactions(derivation, file);
  await prepareOracle(oracle, file);
  writeWorkspace(folder, { meta: sandbox.platform('meta').endpoint, braze: sandbox.platform('braze').endpoint });
  for (const kind of KINDS)
    process.env[`SLUICE_SECRET_RETAIL_${kind.toUpperCase()}`] = JSON.stringify(sandbox.platform(kind).secret);
  process.exitCode = (await replay()) === 0 ? 0 : 1;
} finally {
  await sandbox.close();
  derivation.closeSync();
  oracle.closeSync();
  if (process.env['SLUICE_KEEP'] === undefined) rmSync(folder, { recursive: true, force: true });
  else say(`kept     ${folder}`);
}

/** Runs every week; answers the number of mismatches. */
async function replay(): Promise<number> {
  const sum = { weeks: 0, runs: 0, added: 0, updated: 0, removed: 0, requests: 0, mismatches: 0 };
  for (let tick = FIRST; tick <= LAST; tick += WEEK) {
    const day = new Date(tick).toISOString().slice(0, 10);
    await writeTables(derivation, tick, join(folder, 'tables'));
    const before = performance.now();
    const reports = await runWeek(tick);
    const seconds = (performance.now() - before) / 1000;
    const wanted = await expectations(oracle, tick);
    const week = { added: 0, updated: 0, removed: 0, requests: 0, mismatches: 0 };
    for (const audience of ORACLE_AUDIENCES) {
      const report = reports.get(audience);
      for (const kind of KINDS) {
        const syncReport = report?.syncs.find(({ destination }) => destination === kind);
        const expected = wanted.get(`${audience} ${kind}`);
        if (report === undefined || syncReport === undefined || expected === undefined || report.state !== 'done') {
          say(
            `${day}  ${audience} -> ${kind}: ${report?.state ?? 'no report'} ${report?.held ?? report?.findings?.[0]?.message ?? ''}`,
          );
          week.mismatches += 1;
          continue;
        }
        const found = mismatches(expected, syncReport, report.matched, heldBy(kind, audience));
        for (const one of found) say(`${day}  ${audience} -> ${kind}: ${one}`);
        week.mismatches += found.length;
        week.added += syncReport.add;
        week.updated += syncReport.update;
        week.removed += syncReport.remove;
        week.requests += syncReport.requests;
        sum.runs += 1;
      }
    }
    sum.weeks += 1;
    for (const key of ['added', 'updated', 'removed', 'requests', 'mismatches'] as const) sum[key] += week[key];
    say(
      `${day}  in ${week.added}, changed ${week.updated}, out ${week.removed}, requests ${week.requests}, mismatches ${week.mismatches}, ${seconds.toFixed(1)} s`,
    );
  }
  // Law 13: the last week once more.
  for (const [audience, { syncs }] of await runWeek(LAST)) {
    for (const { destination, requests } of syncs.filter((again) => again.requests > 0)) {
      say(`again       ${audience} -> ${destination}: ${requests} requests though nothing changed`);
      sum.mismatches += 1;
    }
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  say('');
  say(`weeks ${sum.weeks}, audiences ${ORACLE_AUDIENCES.length}, destinations ${KINDS.length}, syncs ${sum.runs}`);
  say(`members in ${sum.added}, changed ${sum.updated}, out ${sum.removed}, requests ${sum.requests}`);
  say(`mismatches ${sum.mismatches}, time ${seconds} s`);
  return sum.mismatches;
}

/** One run of every audience as of `tick`, as the command line would do it. */
async function runWeek(tick: number): Promise<ReadonlyMap<string, RunReport>> {
  const open = await openWorkspace(folder);
  if ('problems' in open) throw new Error(`The workspace has problems: ${JSON.stringify(open.problems, null, 2)}`);
  try {
    const reports = new Map<string, RunReport>();
    for (const audience of ORACLE_AUDIENCES) reports.set(audience, await sync(open.operations, audience, { tick }));
    return reports;
  } finally {
    await open.close();
  }
}

/** What the stand-in holds in the list of an audience; a list that was never needed holds nobody. */
function heldBy(kind: (typeof KINDS)[number], audience: string): ReadonlySet<string> {
  const lists = [...sandbox.platform(kind).held()].filter(([name]) => name.replaceAll('_', '-').includes(audience));
  if (lists.length > 1) throw new Error(`${kind} has ${lists.length} lists of ${audience}.`);
  return lists[0]?.[1] ?? new Set();
}
