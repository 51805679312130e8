import pLimit from 'p-limit';
import type { Pointer } from '../ports.ts';
import { PARK_AFTER } from '../sql/delta.ts';
import { parkedQuery } from '../sql/ledger.ts';
import { ulid, ulidTime } from '../ulid.ts';
import { ledgerCounts } from './commit.ts';
import { StalePlan } from './deliver.ts';
import { attemptOf } from './diff.ts';
import { removeDemanded } from './demanded.ts';
import { closeInterrupted, interruptedRun } from './interrupted.ts';
import { holdLease, withLeases } from './lease.ts';
import { assertLedgerWhole, LedgerDamaged, sealed } from './ledger-check.ts';
import { PointerDamaged } from '../pointer-damaged.ts';
import type { Demanded, JournalFor, RunDocument, RunInput, RunPorts, SyncPlan } from './ports.ts';
import { syncKey } from './ports.ts';
import { stopRefused, withheldSince } from './recheck.ts';
import { rejectionRelation, UnknownName } from './relations.ts';
import type { RunReport } from './report.ts';
import { runAudience } from './run.ts';
import { sweep, withScratch } from './sweep.ts';
import { createTasks } from './tasks.ts';

export { INTERRUPTED, interruptedRun, RESUME_MAX_AGE } from './interrupted.ts';

/** What commands and functions do with runs. Each takes the ports and a way to open the journal of a run. */
export interface Operations {
  readonly ports: RunPorts;
  readonly journal: JournalFor;
}

/** A plan older than this is not sent any more: too much has changed since. Milliseconds. */
export const PLAN_MAX_AGE = 24 * 3_600_000;

/** A plan or run that cannot be sent (any more). Nothing was sent. */
export class PlanRefused extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'PlanRefused';
  }
}

/** The plan waits for a person's yes: only `approve` sends it. */
export class PlanHeld extends PlanRefused {
  constructor(id: string, held: string) {
    super(`Plan ${id} is held: ${held}`);
    this.name = 'PlanHeld';
  }
}

export interface RunOptions {
  readonly destinations?: readonly string[];
  /** "Now" for the run; the clock's now when left out. */
  readonly tick?: number;
}

/** Gate, materialize, diff, guard. Nothing is sent; the report's `run` is the plan's id. */
export async function plan(ops: Operations, audience: string, options: RunOptions = {}): Promise<RunReport> {
  return start(ops, newRun(ops, audience, options, 'plan'));
}

/** A run, sent. An interrupted one of the same audience is carried on (or closed, when it is old) first. */
export async function sync(
  ops: Operations,
  audience: string,
  options: RunOptions = {},
): Promise<RunReport & { continued?: RunReport; demanded?: readonly RunReport[] }> {
  await sweep(ops.ports);
  const continued = await carryOn(ops, audience);
  if (continued !== undefined && continued.code !== 0) return continued;
  let report = await start(ops, newRun(ops, audience, options, 'record'));
  const demanded = report.state === 'held' && report.findings === undefined ? await removeHeld(ops.ports, report) : [];
  // What was held is decided anew without those who went.
  if (demanded.length > 0) report = await start(ops, newRun(ops, audience, options, 'record'));
  return { ...report, ...(continued && { continued }), ...(demanded.length > 0 && { demanded }) };
}

/** Law 8: a hold stops everything but what a person demands. */
async function removeHeld(ports: RunPorts, { audience, tick, syncs }: RunReport): Promise<readonly RunReport[]> {
  const removed: RunReport[] = [];
  for (const { destination } of syncs) {
    const report = await removeDemanded(ports, { sync: syncKey(audience, destination), audience, destination }, tick);
    if (report !== undefined) removed.push(report);
  }
  return removed;
}

/** Law 11: sends exactly the plan, or nothing. */
export const syncPlan = (ops: Operations, id: string): Promise<RunReport> => sendPlan(ops, id, false);

/** Sends exactly the held plan. */
export const approve = (ops: Operations, id: string): Promise<RunReport> => sendPlan(ops, id, true);

/** Drops a plan: its delta files are deleted and it can't be sent any more. */
export async function reject(ops: Pick<Operations, 'ports'>, id: string): Promise<RunDocument> {
  const document = await planDocument(ops.ports, id);
  if (document.state !== 'held' && document.state !== 'planned')
    throw new PlanRefused(`Plan ${id} is ${document.state}; there is nothing to reject.`);
  const rejected: RunDocument = { ...document, state: 'rejected' };
  await ops.ports.store.documents.put('run', id, rejected);
  await ops.ports.store.files.remove(`runs/${id}`);
  return rejected;
}

function newRun({ ports }: Operations, audience: string, options: RunOptions, until: RunInput['until']): RunInput {
  const tick = options.tick ?? ports.clock.now();
  return {
    run: ulid(ports.clock.now(), ports.clock.random),
    audience,
    tick,
    until,
    ...(options.destinations && { destinations: options.destinations }),
  };
}

async function start(ops: Operations, input: RunInput): Promise<RunReport> {
  const { ports } = ops;
  const audience = ports.workspace.audiences[input.audience];
  if (audience === undefined) throw new UnknownName('audience', input.audience);
  const destinations = audience.syncs.map((one) => one.to).filter((to) => input.destinations?.includes(to) ?? true);
  const run = (): Promise<RunReport> =>
    withScratch(ports, input.run, () => runAudience(ops.journal(input.run, createTasks(ports)), input, destinations));
  return input.until === 'plan' ? run() : withLeases(ports, input, destinations, run);
}

async function planDocument(ports: RunPorts, id: string): Promise<RunDocument> {
  const document = await ports.store.documents.get<RunDocument>('run', id);
  if (document === null) throw new PlanRefused(`There is no plan ${id}. Plans are listed by: sluice history`);
  return document;
}

/** The plan, if it may be sent (law 11). Throws `PlanRefused`, `PlanHeld` and `StalePlan`, each with what to do. */
export async function sendablePlan(ports: RunPorts, id: string, approved: boolean): Promise<RunDocument> {
  const document = await planDocument(ports, id);
  const { audience } = document.of;
  const again = `Nothing was sent. Make a new one: sluice plan ${audience}`;
  if (document.plans.length === 0) {
    throw new PlanRefused(`Run ${id} was stopped by a table that breaks its contract; it has nothing to send. ${again}`);
  }
  if (document.state === 'held' && !approved) throw new PlanHeld(id, document.held ?? '');
  if (!['planned', 'held', 'delivering'].includes(document.state))
    throw new PlanRefused(`Plan ${id} is ${document.state}. ${again}`);
  if (document.digest !== ports.digest) throw new PlanRefused(`The files have changed since plan ${id} was made. ${again}`);
  if (ports.clock.now() - ulidTime(id) > PLAN_MAX_AGE) throw new PlanRefused(`Plan ${id} is more than 24 hours old. ${again}`);
  for (const one of document.plans) {
    const pointer = await ports.store.pointers.get(syncKey(audience, one.destination));
    if ((pointer?.version ?? 0) !== one.version && pointer?.generation !== id) throw new StalePlan(audience, one.destination, id);
  }
  return document;
}

async function sendPlan(ops: Operations, id: string, approved: boolean): Promise<RunReport> {
  const { ports } = ops;
  const document = await sendablePlan(ports, id, approved);
  const { tick } = document.of;
  const destinations = document.plans.map((one) => one.destination);
  const input: RunInput = { ...document.of, until: 'record', approved };
  return withLeases(ports, document.of, destinations, async () => {
    const now = Math.max(tick, ports.clock.now());
    if (document.state === 'delivering') await stopRefused(ports, document, now);
    else await refuseWithdrawn(ports, document, now);
    return runAudience(ops.journal(id, createTasks(ports)), input, destinations);
  });
}

/** Between a plan and its sending people withdraw. A plan with one of them in it is not sent. */
export async function refuseWithdrawn(ports: RunPorts, document: RunDocument, now: number): Promise<void> {
  const { run, audience } = document.of;
  for (const [destination, n] of await withheldSince(ports, document, now)) {
    throw new PlanRefused(
      `${n} ${n === 1 ? 'member' : 'members'} of plan ${run} may not be sent to ${destination} any more (consent withdrawn, erased, excluded or merged into somebody else since). ` +
        `Nothing was sent. Make a new one: sluice plan ${audience}`,
    );
  }
}

/** Law 3: carries an interrupted delivery of the audience to its end, or closes it when its decisions are too old to act on. */
async function carryOn(ops: Operations, audience: string): Promise<RunReport | undefined> {
  const { ports } = ops;
  const interrupted = await interruptedRun(ports, audience);
  if (interrupted === undefined) return undefined;
  const { id, document, young } = interrupted;
  const destinations = document.of.destinations ?? document.plans.map((one) => one.destination);
  return withLeases(ports, document.of, destinations, async () => {
    if (young) await stopRefused(ports, document, ports.clock.now());
    if (young)
      return runAudience(ops.journal(id, createTasks(ports)), { ...document.of, until: 'record', approved: true }, destinations);
    await closeInterrupted(ports, document);
    return undefined;
  });
}

export interface SyncStatus {
  readonly audience: string;
  readonly destination: string;
  readonly mode: string;
  /** Members the destination took, and those it may hold (sent, never answered). */
  readonly members: number;
  readonly uncertain: number;
  readonly parked: readonly { readonly reason: string; readonly count: number }[];
  readonly generation: string | null;
  /** Tick of the current generation, epoch ms. */
  readonly at: number | null;
  /** Removals that people demanded in the runs that are kept; the median is of the runs' medians, each as often as it removed. */
  readonly demanded: Demanded | null;
  readonly lastRun: { readonly id: string; readonly state: RunDocument['state']; readonly tick: number } | null;
  readonly damaged?: string;
}

/** Where every sync stands. */
export function status({ ports }: Pick<Operations, 'ports'>, audiences?: readonly string[]): Promise<SyncStatus[]> {
  const wanted = Object.values(ports.workspace.audiences).filter(({ name }) => audiences?.includes(name) ?? true);
  const runs = ports.store.documents.list<RunDocument>('run', { limit: 1_000 });
  // Athena takes seconds for each question.
  const limit = pLimit(8);
  return Promise.all(
    wanted.flatMap((audience) =>
      audience.syncs.map(({ to, mode }) => limit(async () => standingOf(ports, await runs, audience.name, to, mode))),
    ),
  );
}

async function standingOf(
  ports: RunPorts,
  runs: readonly { readonly id: string; readonly document: RunDocument }[],
  audience: string,
  destination: string,
  mode: string,
): Promise<SyncStatus> {
  const key = syncKey(audience, destination);
  const last = runs.find(
    ({ document }) => document.of.audience === audience && document.plans.some((p) => p.destination === destination),
  );
  let pointer: Pointer | null = null;
  let damaged: string | undefined;
  try {
    pointer = await ports.store.pointers.get(key);
    await assertLedgerWhole(ports.store.files, key, pointer);
  } catch (error) {
    if (!(error instanceof LedgerDamaged)) throw error;
    damaged = error.message;
  }
  const readable = damaged === undefined ? pointer : null;
  const counts = readable === null ? { acknowledged: 0, uncertain: 0 } : await ledgerCounts(ports, readable.members);
  const parked =
    readable === null ? [] : await ports.warehouse.rows(parkedQuery(rejectionRelation(readable.rejections), PARK_AFTER));
  return {
    audience,
    destination,
    mode,
    members: counts.acknowledged,
    uncertain: counts.uncertain,
    parked: parked.map((row) => ({ reason: String(row['reason']), count: Number(row['n']) })),
    generation: pointer?.generation ?? null,
    at: pointer?.at ?? null,
    demanded: demandedIn(runs, audience, destination),
    lastRun: last ? { id: last.id, state: last.document.state, tick: last.document.of.tick } : null,
    ...(damaged !== undefined && { damaged }),
  };
}

function demandedIn(runs: readonly { readonly document: RunDocument }[], audience: string, destination: string): Demanded | null {
  const found = runs
    .filter(({ document }) => document.of.audience === audience)
    .flatMap(({ document }) => (document.report as RunReport | undefined)?.syncs ?? [])
    .flatMap((sync) => (sync.destination === destination && sync.demanded !== undefined ? [sync.demanded] : []))
    .toSorted((a, b) => a.p50Ms - b.p50Ms);
  const removed = found.reduce((sum, one) => sum + one.removed, 0);
  let seen = 0;
  const middle = found.find((one) => (seen += one.removed) * 2 >= removed);
  if (middle === undefined) return null;
  return { removed, p50Ms: middle.p50Ms, maxMs: Math.max(...found.map((one) => one.maxMs)) };
}

export interface HistoryEntry {
  readonly run: string;
  readonly audience: string;
  readonly tick: number;
  readonly state: RunDocument['state'];
  readonly held?: string;
  readonly report?: RunReport;
  readonly plans: readonly Pick<SyncPlan, 'destination' | 'counts' | 'members'>[];
  /** Generations this run wrote, still kept: destination -> true when current. */
  readonly generations: Readonly<Record<string, boolean>>;
}

/** Runs and plans, newest first; of one audience when named. */
export async function history({ ports }: Pick<Operations, 'ports'>, audience?: string, limit = 50): Promise<HistoryEntry[]> {
  const runs = await ports.store.documents.list<RunDocument>('run', { limit: 1_000 });
  const generations = new Map<string, Record<string, boolean>>();
  for (const one of Object.values(ports.workspace.audiences)) {
    for (const { to } of one.syncs) {
      for (const [i, pointer] of (await ports.store.pointers.history(syncKey(one.name, to))).entries()) {
        generations.set(pointer.generation, { ...generations.get(pointer.generation), [to]: i === 0 });
      }
    }
  }
  return runs
    .filter(({ document }) => audience === undefined || document.of.audience === audience)
    .slice(0, limit)
    .map(({ id, document }) => ({
      run: id,
      audience: document.of.audience,
      tick: document.of.tick,
      state: document.state,
      ...(document.held !== undefined && { held: document.held }),
      ...(document.report !== undefined && { report: document.report as RunReport }),
      plans: document.plans.map(({ destination, counts, members }) => ({ destination, counts, members })),
      generations: generations.get(id) ?? {},
    }));
}

/**
 * Makes an earlier generation current again. What was delivered since is then unknown to the ledger, so the next run sends the
 * difference anew: a way out of a damaged file, not an undo at the platform.
 */
export async function rollback(
  { ports }: Pick<Operations, 'ports'>,
  audience: string,
  destination: string,
  generation: string,
): Promise<Pointer> {
  const key = syncKey(audience, destination);
  return changePointer(ports, audience, destination, async (current) => {
    const target = (await ports.store.pointers.history(key)).find((one) => one.generation === generation);
    if (target === undefined)
      throw new PlanRefused(
        `"${audience}" has no generation ${generation} at ${destination}. They are listed by: sluice history ${audience}`,
      );
    await assertLedgerWhole(ports.store.files, key, target);
    return { ...target, version: current.version + 1 };
  });
}

/** Law 2: forgets the rejections of a sync, so that parked rows are sent again by the next run. */
export async function retryRejected(
  { ports }: Pick<Operations, 'ports'>,
  audience: string,
  destination: string,
): Promise<Pointer> {
  return changePointer(ports, audience, destination, async (current) => {
    if (current instanceof PointerDamaged) throw current;
    const empty = {
      sql: `SELECT member, hash, times, reason FROM rejections WHERE 1 = 0`,
      relations: { rejections: rejectionRelation(current.rejections) },
    };
    const run = ulid(ports.clock.now(), ports.clock.random);
    const at = ports.store.files.location(`ledger/${audience}/${destination}/${run}/${attemptOf(ports)}/rejections`);
    return {
      ...current,
      version: current.version + 1,
      rejections: await sealed(ports, await ports.warehouse.materialize(empty, at)),
    };
  });
}

async function changePointer(
  ports: RunPorts,
  audience: string,
  destination: string,
  next: (current: Pointer | PointerDamaged) => Promise<Pointer>,
): Promise<Pointer> {
  const key = syncKey(audience, destination);
  // A pointer that was altered by hand still has a version to move on from; only a rollback needs no more than that.
  const current = await ports.store.pointers.get(key).catch((error: unknown) => {
    if (error instanceof PointerDamaged) return error;
    throw error;
  });
  if (current === null) throw new PlanRefused(`"${audience}" was never delivered to ${destination}.`);
  const { lease } = await holdLease(ports, ulid(ports.clock.now(), ports.clock.random), audience, destination);
  try {
    const pointer = { ...(await next(current)), fence: lease.fence };
    await ports.store.pointers.move(key, current.version, pointer);
    return pointer;
  } finally {
    await ports.store.leases.release(lease);
  }
}
