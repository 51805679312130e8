import type { FileSet, Relation, StopEntry } from '../ports.ts';
import { snapshotQuery } from '../sql/snapshot.ts';
import { demandedSql } from '../sql/stops.ts';
import { attemptOf } from './diff.ts';
import { snapshotSpec, wholeSpec } from './materialize.ts';
import type { RunDocument, RunPorts, SyncPlan, Tasks } from './ports.ts';
import { movedRelation, snapshotRelation } from './relations.ts';

/** How long a delivery sends on decisions that nobody looked at again, milliseconds: then its turn ends, and the consents are asked once more. */
export const TURN_MS = 5 * 60_000;
/** Asking takes at most this share of the time: a question that takes a minute is asked every ten. */
const SHARE = 10;
/** Entries the stop list is given at once. */
const AT_ONCE = 1_000;

type Refused = { readonly member: string; readonly since: number };
type Deciding = Pick<RunDocument, 'of' | 'plans'>;

/** People of a plan who may not be sent any more as of `now`, for whatever reason: how many, by destination; only those with any. */
export async function withheldSince(ports: RunPorts, document: Deciding, now: number): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for await (const { plan, relations } of decidedAnew(ports, document, now)) {
    const [row] = await ports.warehouse.rows({
      sql: `SELECT count(*) AS n FROM upserts u LEFT JOIN moved v ON v.member = u.k LEFT JOIN snapshot s ON s.member = u.k
WHERE s.withheld_${plan.index} IS NOT NULL OR v.member IS NOT NULL`,
      relations,
    });
    const n = Number(row?.['n'] ?? 0);
    if (n > 0) found.set(plan.destination, n);
  }
  return found;
}

/**
 * Puts everybody into the stop list who is about to be sent and has refused, or asked to be forgotten, since the delta was made. Only what
 * a record says counts: a consents table that is just being loaded stops nobody. The next run lifts the entries, because the tables know.
 *
 * @returns how many entries were given
 */
export async function stopRefused(ports: RunPorts, document: Deciding, now: number): Promise<number> {
  let given = 0;
  for await (const { plan, relations, prefix } of decidedAnew(ports, document, now)) {
    const [files] = await ports.warehouse.unload(
      {
        sql: `SELECT member, since, 0 AS shard FROM (
  SELECT u.k AS member, ${demandedSql(`s.evidence_${plan.index}`)} AS since
  FROM upserts u LEFT JOIN moved v ON v.member = u.k JOIN snapshot s ON s.member = coalesce(v.survivor, u.k)
  WHERE s.withheld_${plan.index} IN ('erased', 'no-consent')
) x WHERE since IS NOT NULL`,
        relations,
      },
      ports.store.files.location(`${prefix}/refused-${plan.index}`),
      1,
    );
    const purpose = ports.workspace.destinations[plan.destination]?.purpose ?? null;
    for await (const some of entriesOf(ports, files)) {
      await ports.store.stops.add(
        some.map(({ member, since }): StopEntry => ({ member, at: since, purpose, why: 'no-consent' })),
      );
      given += some.length;
    }
  }
  return given;
}

async function* entriesOf(ports: RunPorts, files: FileSet | undefined): AsyncIterable<readonly Refused[]> {
  let some: Refused[] = [];
  for (const location of files?.locations ?? []) {
    for await (const text of ports.store.files.lines(ports.store.files.keyOf(location))) {
      some.push(JSON.parse(text) as Refused);
      if (some.length < AT_ONCE) continue;
      yield some;
      some = [];
    }
  }
  if (some.length > 0) yield some;
}

interface Anew {
  readonly plan: SyncPlan;
  readonly relations: { readonly upserts: Relation; readonly snapshot: Relation; readonly moved: Relation };
  readonly prefix: string;
}

/** The audience materialized once more as of `now`, beside what each of its deltas would send. */
async function* decidedAnew(ports: RunPorts, { of, plans }: Deciding, now: number): AsyncIterable<Anew> {
  const upserts = plans.filter((one) => one.upsertShards.length > 0);
  if (upserts.length === 0) return;
  const prefix = `runs/${of.run}/recheck/${attemptOf(ports)}`;
  const destinations = plans.map((one) => one.destination);
  const { spec, moved } = await wholeSpec(ports, snapshotSpec(ports, of.audience, destinations, now, new Map()), prefix);
  const files = await ports.warehouse.materialize(snapshotQuery(spec), ports.store.files.location(`${prefix}/snapshot`));
  for (const plan of upserts) {
    const locations = plan.upsertShards.map((shard) => ports.store.files.location(shard.key));
    const lines: FileSet = { format: 'jsonl', locations, rows: 0, bytes: 0 };
    yield {
      plan,
      relations: {
        upserts: { files: lines, columns: { k: 'varchar' } },
        snapshot: snapshotRelation({ files }),
        moved: movedRelation(moved),
      },
      prefix,
    };
  }
}

/** Between two turns of a delivery: the consents are asked again, once for all shards and syncs of the run. */
export function recheckTask(ports: RunPorts): Tasks['recheck'] {
  return async ({ run }) => {
    const { documents } = ports.store;
    const began = ports.clock.now();
    const last = await documents.get<{ readonly next: number }>('recheck', run);
    if (last !== null && began < last.next) return { stopped: 0 };
    // First: the shards of the run end their turns together, and one question is enough.
    await documents.put('recheck', run, { next: began + TURN_MS });
    const document = await documents.get<RunDocument>('run', run);
    if (document === null) return { stopped: 0 };
    const stopped = await stopRefused(ports, document, began);
    const took = ports.clock.now() - began;
    await documents.put('recheck', run, { next: began + Math.max(TURN_MS, took * SHARE) });
    return { stopped };
  };
}
