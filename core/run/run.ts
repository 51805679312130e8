import type { Durable } from '../ports.ts';
import type { DeliverInput, Failure, RunIdentity, RunInput, Shard, Snapshot, SyncPlan, SyncResult, Tasks } from './ports.ts';
import { type RunReport, reportOf } from './report.ts';
import { type Metered, together } from './usage.ts';

/** How many shards of one sync are delivered at once. The destination's own concurrency and budget bind below this. */
const SHARDS_AT_ONCE = 4;

/**
 * A run, from gate to record (docs/lifecycle.md). The same lines run on Lambda and on a laptop: what differs stands behind `Durable`
 * (docs/adr/0010). Everything that reads a clock, a file or the network is a task; here is only the order of things.
 *
 * Called again for the same run it returns what was done from the journal and goes on from there: a plan that is approved, a delivery
 * that was killed.
 *
 * @returns the report; `state` says how it ended. Throws what a task throws (`WarehouseError`, `LeaseHeld`, `StalePlan`, ...).
 */
export async function runAudience(durable: Durable<Tasks>, input: RunInput, destinations: readonly string[]): Promise<RunReport> {
  const { run, audience, tick } = input;
  const of: RunIdentity = { run, audience, tick, destinations };
  const gate = await durable.call('gate', 'gate', { audience, tick, destinations });
  const { quality, usage } = gate;
  if (gate.findings.length > 0) {
    const report = reportOf(input, { ...gate });
    await durable.call('record', 'record', { of, report });
    return report;
  }

  const snapshot = await durable.call('materialize', 'materialize', { run, audience, tick, destinations });
  const plans = await durable.map('diff', destinations, 1, (scope, destination, index) =>
    scope.call('diff', 'diff', { run, audience, tick, destination, index, snapshot }),
  );
  const guard = await durable.call('guard', 'guard', {
    run,
    audience,
    matched: snapshot.matched,
    plans,
    ...(snapshot.linkage && { spikes: snapshot.linkage.spikes }),
  });
  await durable.call('plan', 'plan', { of, snapshot, plans, ...guard, ...(usage && { gate: { usage } }) });
  if (input.until === 'plan' || (guard.held !== undefined && input.approved !== true)) {
    return reportOf(input, { snapshot, plans, quality, usage, ...guard });
  }

  const results = await durable.map('sync', plans, plans.length, (scope, plan) => deliverSync(scope, input, snapshot, plan));
  const report = reportOf(input, { snapshot, plans, quality, usage, results });
  await durable.call('record', 'record', { of, report });
  return report;
}

/** Delivers one sync: removes first, then the rest, then the commit. A delta with nothing in it makes no request and no generation. */
async function deliverSync(scope: Durable<Tasks>, input: RunInput, snapshot: Snapshot, plan: SyncPlan): Promise<SyncResult> {
  const { run, audience, tick } = input;
  const commit = { run, audience, tick, plan, snapshot };
  const begun = await scope.call('begin', 'begin', { run, audience, tick, plan });
  let requests = begun.requests;
  let failure = begun.failure;
  let spent: Metered = {};
  const { list } = begun;
  if (list !== undefined) {
    // Removes first: a changed address must be gone before the new one is added, and what a removal takes along is sent again after it.
    for (const [op, shards] of [
      ['remove', plan.removeShards],
      ['upsert', plan.upsertShards],
    ] as const) {
      if (failure !== undefined) break;
      const done = await scope.map(op, shards, SHARDS_AT_ONCE, (inner, shard, position) =>
        deliverShard(inner, { run, audience, destination: plan.destination, op, list, shard, position }),
      );
      requests += done.reduce((sum, one) => sum + one.requests, 0);
      spent = together(spent, ...done);
      failure = done.find((one) => one.failure !== undefined)?.failure;
    }
    if (failure === undefined) {
      const finished = await scope.call('finish', 'finish', { audience, list, plan, batches: requests });
      requests += finished.requests;
      failure = finished.failure;
    }
  }
  const result = await scope.call('commit', 'commit', {
    ...commit,
    requests,
    ...(list && { list }),
    ...(failure && { failure }),
  });
  return { ...result, ...together(spent, result) };
}

/** One shard, in as many turns as it takes: a worker that runs out of time, or of budget until later, hands over to the next. */
async function deliverShard(
  scope: Durable<Tasks>,
  input: DeliverInput & { shard: Shard },
): Promise<Metered & { requests: number; failure?: Failure }> {
  let requests = 0;
  let spent: Metered = {};
  for (let turn = 1; ; turn++) {
    if (turn > 1 && input.op === 'upsert')
      spent = together(spent, await scope.call(`recheck ${turn}`, 'recheck', { run: input.run, audience: input.audience }));
    const result = await scope.call(`turn ${turn}`, 'deliver', input);
    requests += result.requests;
    if (result.failure !== undefined) return { requests, failure: result.failure, ...spent };
    if (result.done) return { requests, ...spent };
    if (result.resumeAt !== undefined) await scope.waitUntil(`until turn ${turn + 1}`, result.resumeAt);
  }
}
