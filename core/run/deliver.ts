import { DestinationBroken, type ListSpec, type Op, type RemoteList, RowsRefused, TryAgain } from '../connector.ts';
import { budgetedHttp, deliverShard } from '../delivery/deliver-shard.ts';
import type { Destination } from '../model.ts';
import type { Failure, RunPorts, RunDocument, Tasks } from './ports.ts';
import { syncKey } from './ports.ts';
import { holdLease } from './lease.ts';
import { rowsOf } from './diff.ts';
import { TURN_MS } from './recheck.ts';
import { type Resolved, resolveSync } from './relations.ts';
import { putRun } from './run-documents.ts';
import { stopListFor } from './stops.ts';

/** How often a call outside the shards (creating the list, a manifest) is tried before the sync gives up. */
const TRIES = 4;
/** Milliseconds before the second try; doubles, with jitter. */
const FIRST_WAIT = 500;
/** A platform that asks for more patience than this is left alone until the next run. Milliseconds. */
const LONGEST_WAIT = 60_000;

/** The ledger moved since the plan was made: its delta would undo what was delivered meanwhile. */
export class StalePlan extends Error {
  constructor(audience: string, destination: string, run: string) {
    super(
      `Plan ${run} was made before the last delivery of "${audience}" to ${destination}, so it no longer says what would change. ` +
        `Nothing was sent. Make a new one: sluice plan ${audience}`,
    );
    this.name = 'StalePlan';
  }
}

/**
 * Before the first batch: the plan still fits the ledger (law 11), the lease is ours (law 7), the run is known to be delivering
 * (so that it is carried on if it dies), and the remote list exists. A delta with nothing to send asks the destination nothing (law 13).
 */
export function beginTask(ports: RunPorts): Tasks['begin'] {
  return async ({ run, audience, tick, plan }) => {
    const { destination } = plan;
    const resolved = resolveSync(ports, audience, destination);
    await holdLease(ports, run, audience, destination);
    const pointer = await ports.store.pointers.get(syncKey(audience, destination));
    // Its own generation: the process died between the commit and the end of the run.
    if ((pointer?.version ?? 0) !== plan.version && pointer?.generation !== run) throw new StalePlan(audience, destination, run);
    const document = await ports.store.documents.get<RunDocument>('run', run);
    if (document !== null && document.state !== 'delivering') {
      await putRun(ports.store.documents, { ...document, state: 'delivering' });
    }
    if (plan.removeShards.length === 0 && plan.upsertShards.length === 0) return { requests: 0 };

    ports.onProgress?.({ kind: 'step', audience, step: 'deliver', destination });
    const spec: ListSpec = {
      audience,
      description: resolved.audience.description,
      mode: resolved.sync.mode,
      destination,
      run,
      tick,
      identifiers: resolved.namespaces,
      traits: resolved.sync.traits.map((trait) => trait.name),
      ...(pointer?.list && { known: pointer.list }),
    };
    const answer = await remotely(ports, resolved, (context) => resolved.connector.ensure(context, spec));
    return answer.failure === undefined ? { list: answer.value as RemoteList, requests: answer.requests } : answer;
  };
}

/** After the last batch: what the platform wants at the end of a delivery (a manifest). A connector without such an end makes no request. */
export function finishTask(ports: RunPorts): Tasks['finish'] {
  return async ({ audience, list, plan, batches }) => {
    const resolved = resolveSync(ports, audience, plan.destination);
    const { connector } = resolved;
    if (connector.finish === undefined) return { requests: 0 };
    const totals = { upserts: rowsOf(plan.upsertShards), removes: rowsOf(plan.removeShards), batches };
    const { requests, failure } = await remotely(ports, resolved, async (context) => connector.finish?.(context, list, totals));
    return { requests, ...(failure && { failure }) };
  };
}

type AnyContext = Awaited<ReturnType<RunPorts['contextFor']>>;

/** One call of a connector outside the shards, under the budget, tried a few times while the platform does not answer. */
export async function remotely<T>(
  ports: RunPorts,
  { destination }: Pick<Resolved, 'destination'>,
  call: (context: AnyContext) => Promise<T>,
): Promise<{ value?: T; requests: number; failure?: Failure }> {
  let requests = 0;
  let rotated = false;
  let context: AnyContext | undefined;
  for (let attempt = 1; ; attempt++) {
    try {
      context ??= await ports.contextFor(destination);
      const http = budgetedHttp(context.http, destination, ports.store.budgets, ports.clock, () => requests++);
      return { value: await call({ ...context, http }), requests };
    } catch (error) {
      const next = rotated || !(error instanceof DestinationBroken) ? undefined : await rotatedSince(ports, destination, context);
      if (next !== undefined) {
        rotated = true;
        context = next;
        continue;
      }
      const wait =
        error instanceof TryAgain
          ? (error.afterMs ?? FIRST_WAIT * 2 ** (attempt - 1) * (0.5 + ports.clock.random() / 2))
          : Infinity;
      if (attempt >= TRIES || wait > LONGEST_WAIT) return { requests, failure: failureOf(error, destination.name) };
      await ports.clock.sleep(wait);
    }
  }
}

/**
 * A platform that refuses a secret may have been given a new one meanwhile: the context with the secret as it is now, where that is
 * another than the one that was used.
 */
async function rotatedSince(
  ports: RunPorts,
  destination: Destination,
  used: AnyContext | undefined,
): Promise<AnyContext | undefined> {
  if (used === undefined) return undefined;
  try {
    const now = await ports.contextFor(destination, true);
    return JSON.stringify(now.secret) === JSON.stringify(used.secret) ? undefined : now;
  } catch (error) {
    // It is missing or lacks a key: what the platform said of the old one is the better answer.
    if (error instanceof DestinationBroken) return undefined;
    throw error;
  }
}

/** What a person is told of an error that stops a sync. Unknown errors are defects and are thrown on. */
export function failureOf(error: unknown, destination: string): Failure {
  if (error instanceof DestinationBroken) return { message: error.message, wayOut: error.wayOut };
  if (error instanceof TryAgain) {
    return {
      message: `${destination} did not answer: ${error.message}`,
      wayOut: `Nothing that ${destination} acknowledged has changed. Look whether the platform is up, then run the sync again.`,
    };
  }
  if (error instanceof RowsRefused) {
    return {
      message: `${destination} refused the request that opens or closes the delivery: ${error.reason}`,
      wayOut: `Look at the settings in destinations/${destination}.yaml.`,
    };
  }
  throw error;
}

/** Delivers one shard until it is done, the destination is broken, or the worker's time is up. */
export function deliverTask(ports: RunPorts): Tasks['deliver'] {
  return async ({ run, audience, destination: to, op, list, shard, position }) => {
    const { connector, destination } = resolveSync(ports, audience, to);
    const lease = await holdLease(ports, run, audience, to);
    const context = await ports.contextFor(destination);
    const send = (using: AnyContext): ReturnType<typeof deliverShard> =>
      deliverShard({
        connector,
        context: using,
        list,
        op,
        shard,
        destination,
        run,
        position,
        files: ports.store.files,
        budgets: ports.store.budgets,
        clock: ports.clock,
        stopList: stopListFor(ports, destination.purpose),
        ...deadlineOf(ports, op),
        shouldStop: async () => ports.stopped?.() === true || !(await lease.keep()),
        onProgress: (done) => ports.onProgress?.({ kind: 'delivered', audience, destination: to, done, of: shard.rows }),
      });
    let result = await send(context);
    const rotated = result.broken && (await rotatedSince(ports, destination, context));
    if (rotated !== undefined) {
      const again = await send(rotated);
      result = { ...again, requests: result.requests + again.requests };
    }
    if (!result.done && result.broken === undefined && result.resumeAt === undefined) throw new Stopped(audience, to, run);
    // Nobody may take the sync over while its run waits for tomorrow's budget.
    if (result.resumeAt !== undefined) await lease.keepUntil(result.resumeAt);
    return {
      done: result.done,
      requests: result.requests,
      ...(result.resumeAt !== undefined && { resumeAt: result.resumeAt }),
      ...(result.broken && { failure: result.broken }),
    };
  };
}

/** When this worker's time is up; a turn that adds people ends earlier, for a second look at their consent. A removal needs none. */
function deadlineOf({ deadline, clock }: RunPorts, op: Op): { readonly deadline?: number } {
  const turn = op === 'upsert' ? clock.now() + TURN_MS : Number.POSITIVE_INFINITY;
  const least = Math.min(deadline ?? Number.POSITIVE_INFINITY, turn);
  return Number.isFinite(least) ? { deadline: least } : {};
}

/** A person stopped the run, or its lease was lost. What was answered is kept; the run can be carried on. */
export class Stopped extends Error {
  constructor(audience: string, destination: string, run: string) {
    super(
      `The delivery of "${audience}" to ${destination} (run ${run}) was stopped between two batches. Nothing is lost. Go on with: sluice sync ${audience}`,
    );
    this.name = 'Stopped';
  }
}
