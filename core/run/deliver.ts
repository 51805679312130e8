import { DestinationBroken, type ListSpec, type RemoteList, TryAgain } from '../connector.ts';
import { budgetedHttp, deliverShard } from '../delivery/deliver-shard.ts';
import type { Failure, RunPorts, RunDocument, Tasks } from './ports.ts';
import { syncKey } from './ports.ts';
import { holdLease } from './lease.ts';
import { resolveSync } from './relations.ts';

/** How often creating or finding the remote list is tried before the sync gives up. */
const ENSURE_TRIES = 4;
/** Milliseconds before the second try; doubles, with jitter. */
const ENSURE_WAIT = 500;

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
      await ports.store.documents.put('run', run, { ...document, state: 'delivering' } satisfies RunDocument);
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
    let requests = 0;
    for (let attempt = 1; ; attempt++) {
      try {
        const context = await ports.contextFor(resolved.destination);
        const http = budgetedHttp(context.http, resolved.destination, ports.store.budgets, ports.clock, () => requests++);
        const list: RemoteList = await resolved.connector.ensure({ ...context, http }, spec);
        return { list, requests };
      } catch (error) {
        if (error instanceof TryAgain && attempt < ENSURE_TRIES) {
          await ports.clock.sleep(error.afterMs ?? ENSURE_WAIT * 2 ** (attempt - 1) * (0.5 + ports.clock.random() / 2));
          continue;
        }
        return { requests, failure: failureOf(error, destination) };
      }
    }
  };
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
  throw error;
}

/** Delivers one shard until it is done, the destination is broken, or the worker's time is up. */
export function deliverTask(ports: RunPorts): Tasks['deliver'] {
  return async ({ run, audience, destination: to, op, list, shard, position }) => {
    const { connector, destination } = resolveSync(ports, audience, to);
    const lease = await holdLease(ports, run, audience, to);
    const context = await ports.contextFor(destination);
    const result = await deliverShard({
      connector,
      context,
      list,
      op,
      shard,
      destination,
      run,
      position,
      files: ports.store.files,
      budgets: ports.store.budgets,
      clock: ports.clock,
      shouldStop: async () => ports.stopped?.() === true || !(await lease.keep()),
      onProgress: (done) => ports.onProgress?.({ kind: 'delivered', audience, destination: to, done, of: shard.rows }),
    });
    if (!result.done && result.broken === undefined && result.resumeAt === undefined) throw new Stopped(audience, to, run);
    return {
      done: result.done,
      requests: result.requests,
      ...(result.resumeAt !== undefined && { resumeAt: result.resumeAt }),
      ...(result.broken && { failure: result.broken }),
    };
  };
}

/** A person stopped the run, or its lease was lost. What was answered is kept; the run can be carried on. */
export class Stopped extends Error {
  constructor(audience: string, destination: string, run: string) {
    super(`The delivery of "${audience}" to ${destination} (run ${run}) was stopped between two batches. Nothing is lost. Go on with: sluice sync ${audience}`);
    this.name = 'Stopped';
  }
}
