import type { Duration } from '../model.ts';
import { PointerDamaged } from '../pointer-damaged.ts';
import type { Pointer } from '../ports.ts';
import { DELTAS_KEPT } from '../retention.ts';
import { minus } from '../time.ts';
import { ulid, ulidTime } from '../ulid.ts';
import { holderOf } from './lease.ts';
import type { RunDocument, RunPorts } from './ports.ts';
import { ledgerFilesOf } from './relations.ts';

/** What only costs and shows little when it is late is looked at this often. Milliseconds. */
const BETWEEN = 3_600_000;
/** A plan younger than this may still be sent, from the ledger it was made against. Milliseconds, more than a plan's own age. */
const PLANS_KEPT = 48 * 3_600_000;

/**
 * Deletes what our own storage has kept past its period (policies/retention.yaml, `storage`): snapshots, deltas and journals of runs after a
 * week unless it says otherwise; generations that are no longer current and the books of runs only where it says so.
 *
 * Never deleted: the current generation, what a plan that may be sent or a delivery that is not closed was made against, and receipts.
 * Doing it twice, or dying in the middle, does no harm: files go first, then what names them.
 */
export async function sweep(ports: RunPorts): Promise<void> {
  const { storage } = ports.workspace.retention;
  const now = ports.clock.now();
  const edge = (kept: Duration): number => minus(now, kept, 'UTC');
  await dropDeltas(ports, edge(storage.deltas ?? DELTAS_KEPT));
  if (storage.generations === undefined && storage.runs === undefined) return;
  const last = await ports.store.documents.get<{ readonly at: number }>('sweep', 'last');
  if (last !== null && now - last.at < BETWEEN) return;
  await ports.store.documents.put('sweep', 'last', { at: now });
  if (storage.generations !== undefined) await dropGenerations(ports, edge(storage.generations), now);
  if (storage.runs !== undefined) await dropBooks(ports, edge(storage.runs));
}

/** An interrupted delivery keeps its files until it is closed. */
async function dropDeltas({ store }: RunPorts, edge: number): Promise<void> {
  const { documents, files } = store;
  for (const { id, document } of await documents.list<RunDocument>('run', { limit: 1_000 })) {
    if (document.dropped === true || document.state === 'delivering' || ulidTime(id) >= edge) continue;
    await files.remove(`runs/${id}`);
    await documents.put('run', id, { ...document, dropped: true } satisfies RunDocument);
  }
  // Runs that died before they were in the books, and comparisons that did.
  for (const { id } of await documents.list(SCRATCH, { limit: 1_000 })) {
    if (ulidTime(id) >= edge) continue;
    if ((await documents.get('run', id)) === null) await files.remove(`runs/${id}`);
    await documents.remove(SCRATCH, id);
  }
}

const SCRATCH = 'scratch';

/** Does the work of a run that is in no books yet; should it die, the sweep finds its files. */
export async function withScratch<T>({ store }: RunPorts, run: string, work: () => Promise<T>): Promise<T> {
  await store.documents.put(SCRATCH, run, {});
  const result = await work();
  await store.documents.remove(SCRATCH, run);
  return result;
}

async function dropGenerations(ports: RunPorts, edge: number, now: number): Promise<void> {
  const { store } = ports;
  const needed = new Set<string>();
  for (const { id, document } of await store.documents.list<RunDocument>('run', { limit: 1_000 })) {
    const waits = ['planned', 'held'].includes(document.state) && now - ulidTime(id) < PLANS_KEPT;
    if (document.state !== 'delivering' && !waits) continue;
    for (const plan of document.plans)
      for (const file of [plan.ledger, plan.rejections]) for (const at of file?.files.locations ?? []) needed.add(at);
  }
  for (const sync of await store.pointers.syncs()) {
    const history = await store.pointers.history(sync);
    if (outdated(history, edge).length === 0) continue;
    // Nobody commits, rolls back or erases meanwhile.
    const lease = await store.leases.acquire(sync, holderOf(ports, ulid(now, ports.clock.random)), 60_000);
    if ('heldBy' in lease) continue;
    try {
      await dropOf(ports, sync, edge, needed);
    } catch (error) {
      // A damaged pointer needs what came before it.
      if (!(error instanceof PointerDamaged)) throw error;
    } finally {
      await store.leases.release(lease);
    }
  }
}

async function dropOf({ store }: RunPorts, sync: string, edge: number, needed: ReadonlySet<string>): Promise<void> {
  const current = await store.pointers.get(sync);
  const history = await store.pointers.history(sync);
  if (current === null || history[0]?.version !== current.version) return;
  const locations = (pointer: Pointer): readonly string[] => ledgerFilesOf(pointer).flatMap(({ files }) => files.locations);
  const gone = outdated(history, edge).filter((pointer) => !locations(pointer).some((at) => needed.has(at)));
  // A rollback and a retry give an earlier generation's files to a later version.
  const kept = new Set(history.filter((pointer) => !gone.includes(pointer)).flatMap(locations));
  for (const at of new Set(gone.flatMap(locations))) if (!kept.has(at)) await store.files.remove(store.files.keyOf(at));
  await store.pointers.forget(
    sync,
    gone.map(({ version }) => version),
  );
}

/** Those that ceased to be current before `edge`: when the next one took their place. @param history newest first */
const outdated = (history: readonly Pointer[], edge: number): readonly Pointer[] =>
  history.filter((pointer, i) => {
    const next = history[i - 1];
    // A rollback's pointer is as old as what it went back to, and older than what it replaced.
    return next !== undefined && Math.max(next.at, pointer.at) < edge;
  });

async function dropBooks({ store }: RunPorts, edge: number): Promise<void> {
  for (const { id, document } of await store.documents.list<RunDocument>('run')) {
    if (document.state === 'delivering' || ulidTime(id) >= edge) continue;
    await store.files.remove(`runs/${id}`);
    await store.documents.remove('run', id);
  }
}
