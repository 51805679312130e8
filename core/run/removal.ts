import type { Outcome } from '../connector.ts';
import { intentLine, outcomeLine } from '../delivery/outcome-log.ts';
import { estimate } from '../delivery/estimate.ts';
import { WITHHELD } from '../delta.ts';
import type { Relation } from '../ports.ts';
import { REMOVE_LINE_COLUMNS, removesQuery } from '../sql/delta.ts';
import { NEAR_COLUMNS, nearQuery } from '../sql/near.ts';
import { ulid } from '../ulid.ts';
import { commitTask } from './commit.ts';
import { beginTask, deliverTask, finishTask } from './deliver.ts';
import { attemptOf, receiptTerms, rowsOf, shardsFor, touchedMembers, unloadShards } from './diff.ts';
import { withLeases } from './lease.ts';
import { withSync } from './ledgers.ts';
import { assertLedgerWhole } from './ledger-check.ts';
import type { Failure, RunDocument, RunPorts, Shard, SyncPlan, SyncResult } from './ports.ts';
import { syncKey } from './ports.ts';
import { ledgerRelation, relationOf, resolveSync } from './relations.ts';
import { reportOf, type RunReport } from './report.ts';
import { dropRun, putRun } from './run-documents.ts';
import { usedSince } from './usage.ts';

export interface Removal {
  readonly audience: string;
  readonly destination: string;
  readonly tick: number;
  /** Members (WHO_COLUMNS) of the sync's ledger who are to go; others in it are ignored. `all`: everybody, for `left`. */
  readonly who: Relation | 'all';
  /** What the destination answered to another call that takes people out of all its lists; the lists are then not asked. */
  readonly answers?: ReadonlyMap<string, Outcome>;
}

/**
 * Takes people out of one sync, outside a run of its audience: the same removes, budgets, outcomes, receipts and commit, no rule and no
 * snapshot. Works for a sync that is in no file any more, as long as its destination is. Undefined when the ledger holds none of them.
 *
 * Law 3: a delivery that dies is in the books as one that is delivering; the next run or removal commits what is known of it, and whoever
 * is still in the ledger is taken out then. Taking out twice is harmless. Throws `LeaseHeld`, `LedgerDamaged`, and what the ports throw.
 */
export async function removeFrom(given: RunPorts, removal: Removal): Promise<RunReport | undefined> {
  const { audience, destination, tick } = removal;
  const ports = withSync(given, audience, destination);
  const before = ports.warehouse.usage?.();
  const run = ulid(ports.clock.now(), ports.clock.random);
  const of = { run, audience, tick, destinations: [destination] };
  return withLeases(ports, of, [destination], async () => {
    const begun: RunDocument = {
      of,
      digest: ports.digest,
      state: 'delivering',
      snapshot: NO_SNAPSHOT,
      plans: [],
      removal: true,
    };
    // Before anything is written: whoever comes after a crash finds it, and its files.
    await putRun(ports.store.documents, begun);
    const plan = await planRemoval(ports, run, removal);
    if (plan === undefined) {
      await ports.store.files.remove(`runs/${run}`);
      await dropRun(ports.store.documents, run);
      return undefined;
    }
    const document: RunDocument = { ...begun, plans: [plan] };
    await putRun(ports.store.documents, document);
    if (removal.answers !== undefined) await writeAnswers(ports, plan.removeShards, removal.answers);
    const result =
      removal.answers === undefined
        ? await deliver(ports, of, plan)
        : await commitTask(ports)({ run, audience, tick, plan, snapshot: NO_SNAPSHOT, requests: 0 });
    const report = reportOf(
      { ...of, until: 'record' },
      {
        snapshot: NO_SNAPSHOT,
        plans: [plan],
        results: [result],
        ...usedSince(ports.warehouse, before),
      },
    );
    await putRun(ports.store.documents, { ...document, state: report.state, report });
    return report;
  });
}

const NO_SNAPSHOT = { files: { format: 'parquet', locations: [], rows: 0, bytes: 0 }, matched: 0 } as const;

async function planRemoval(ports: RunPorts, run: string, { audience, destination, who }: Removal): Promise<SyncPlan | undefined> {
  const { warehouse, store } = ports;
  const resolved = resolveSync(ports, audience, destination);
  const pointer = await store.pointers.get(syncKey(audience, destination));
  if (pointer === null) return undefined;
  await assertLedgerWhole(store.files, syncKey(audience, destination), pointer);
  const ledger = ledgerRelation(pointer.members);
  const prefix = `runs/${run}/${destination}/${attemptOf(ports)}`;
  const at = (name: string): string => store.files.location(`${prefix}/${name}`);
  const raw = await warehouse.materialize(
    who === 'all'
      ? {
          sql: `SELECT l.member AS k, l.identifiers AS ids, 'left' AS why, CAST(NULL AS varchar) AS e FROM ledger l`,
          relations: { ledger },
        }
      : {
          sql: 'SELECT l.member AS k, l.identifiers AS ids, w.why AS why, w.e AS e FROM ledger l JOIN who w ON w.member = l.member',
          relations: { ledger, who },
        },
    at('raw-removes'),
  );
  if (raw.rows === 0) return undefined;
  // When everybody goes nobody is left who could share anything.
  const near =
    resolved.connector.membership === 'identifier' && who !== 'all'
      ? relationOf(await warehouse.materialize(nearQuery({ ledger, going: who }), at('near')), NEAR_COLUMNS)
      : undefined;
  const removes = await warehouse.materialize(
    removesQuery({ raw_removes: relationOf(raw, REMOVE_LINE_COLUMNS), ...(near && { near }) }),
    at('removes'),
  );
  const going = relationOf(removes, REMOVE_LINE_COLUMNS);
  const removeShards = await unloadShards(ports, going, shardsFor(removes.rows), `${prefix}/remove-shards`);
  const touched = near !== undefined && removeShards.length > 0 ? await touchedMembers(ports, going, near, at) : null;
  const reasons = await warehouse.rows({
    sql: 'SELECT why, count(*) AS n FROM raw GROUP BY why',
    relations: { raw: relationOf(raw, REMOVE_LINE_COLUMNS) },
  });
  return {
    destination,
    mode: resolved.sync.mode,
    index: 0,
    version: pointer.version,
    members: pointer.members.files.rows,
    counts: {
      add: 0,
      update: 0,
      remove: raw.rows,
      unchanged: 0,
      withheld: Object.fromEntries(WITHHELD.map((reason) => [reason, 0])) as SyncPlan['counts']['withheld'],
      removeReasons: Object.fromEntries(reasons.map((row) => [String(row['why']), Number(row['n'])])),
      demanded: raw.rows,
      resent: 0,
    },
    ...estimate(resolved.connector, { upsert: 0, remove: rowsOf(removeShards) }, resolved.destination.budget),
    policy: ports.workspace.consent.version,
    ledger: pointer.members,
    rejections: pointer.rejections,
    ...(touched !== null && { again: touched.files }),
    removes,
    removeShards,
    upsertShards: [],
    ...(pointer.rollout !== undefined && { rollout: { now: pointer.rollout, before: pointer.rollout } }),
    // A removal sends nobody: what the others were sent for stays.
    receipt: { ...receiptTerms(resolved), ...(pointer.purpose !== undefined && { purpose: pointer.purpose }) },
  };
}

/** The tasks of a run in their order, without a journal: a removal that dies is not carried on but made anew. */
async function deliver(ports: RunPorts, of: RunDocument['of'], plan: SyncPlan): Promise<SyncResult> {
  const { run, audience, tick } = of;
  const begun = await beginTask(ports)({ run, audience, tick, plan });
  let { requests, failure } = begun;
  const { list } = begun;
  if (list !== undefined) {
    for (const [position, shard] of plan.removeShards.entries()) {
      if (failure !== undefined) break;
      const one = await deliverShard(ports, {
        run,
        audience,
        destination: plan.destination,
        op: 'remove',
        list,
        shard,
        position,
      });
      requests += one.requests;
      failure = one.failure;
    }
    if (failure === undefined) {
      const finished = await finishTask(ports)({ audience, list, plan, batches: requests });
      requests += finished.requests;
      failure = finished.failure;
    }
  }
  return commitTask(ports)({
    run,
    audience,
    tick,
    plan,
    snapshot: NO_SNAPSHOT,
    requests,
    ...(list && { list }),
    ...(failure && { failure }),
  });
}

/** Waits that are longer are for the next attempt. Milliseconds. */
const LONGEST_WAIT = 10 * 60_000;

async function deliverShard(
  ports: RunPorts,
  input: Parameters<ReturnType<typeof deliverTask>>[0],
): Promise<{ readonly requests: number; readonly failure?: Failure }> {
  let requests = 0;
  for (;;) {
    const result = await deliverTask(ports)(input);
    requests += result.requests;
    if (result.failure !== undefined) return { requests, failure: result.failure };
    if (result.done) return { requests };
    const wait = (result.resumeAt ?? 0) - ports.clock.now();
    if (wait > LONGEST_WAIT || (ports.deadline !== undefined && ports.clock.now() + Math.max(wait, 0) >= ports.deadline))
      return { requests, failure: { message: `${input.destination} asks for more patience.`, wayOut: LATER } };
    if (wait > 0) await ports.clock.sleep(wait);
  }
}

const LATER = 'What it took is in the ledger. The rest is tried again by the next run.';

/** Outcomes that another call gave, in the log of the removes, as if each had been asked for: an intent first, as in a delivery. */
async function writeAnswers(ports: RunPorts, shards: readonly Shard[], answers: ReadonlyMap<string, Outcome>): Promise<void> {
  for (const shard of shards) {
    const lines: string[] = [];
    let n = 0;
    for await (const text of ports.store.files.lines(shard.key)) {
      const { k } = JSON.parse(text) as { readonly k: string };
      const answer = answers.get(k);
      if (answer !== undefined && answer.kind !== 'retry')
        lines.push(intentLine(n, n + 1), outcomeLine(n, k, answer.kind, answer.kind === 'rejected' ? answer.reason : undefined));
      n += 1;
    }
    await ports.store.files.append(shard.log, lines);
  }
}
