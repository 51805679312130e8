import { DAYS_KEPT, dayOf, type Linkage, type LinkageDay, linkageOf, linkageSpikes, nextDay } from '../linkage.ts';
import type { Relation } from '../ports.ts';
import { customersOf } from '../sql/audience.ts';
import { identifierColumns, SLOTS } from '../sql/identifiers.ts';
import { linkageQuery } from '../sql/linkage.ts';
import type { RunPorts, SnapshotLinkage } from './ports.ts';
import { syncKey } from './ports.ts';
import { resolveSync } from './relations.ts';

/** Kind of the documents that keep what is usual, one a day, by the day's name. */
const KIND = 'linkage';

interface Asked {
  readonly audience: string;
  readonly destinations: readonly string[];
  readonly tick: number;
}

/**
 * How well what the run reads is linked, and what of it is suddenly otherwise: one query, where there are identifiers to count. Undefined
 * where there are neither identifiers nor merges.
 *
 * @param moved the merges of the run; `merged` how many ids are merged away, null without a table that could say so
 */
export async function measureLinkage(
  ports: RunPorts,
  { audience, destinations, tick }: Asked,
  { moved, merged }: { readonly moved: Relation | null; readonly merged: number | null },
): Promise<SnapshotLinkage | undefined> {
  const { workspace, warehouse, store } = ports;
  const query = linkageQuery(workspace, namespacesOf(ports, audience, destinations), moved);
  if (query === null && merged === null) return undefined;
  const rows = query === null ? [] : await warehouse.rows(query);
  const now = linkageOf(
    rows.map((row) => ({
      namespace: String(row['namespace']),
      n: Number(row['n']),
      customers: Number(row['customers']),
      orphans: Number(row['orphans']),
    })),
    merged,
  );
  const days = await store.documents.list<LinkageDay>(KIND, { limit: DAYS_KEPT + 2 });
  const spikes = linkageSpikes(
    now,
    tick,
    days.map(({ document }) => document),
    workspace.identity.linkage,
  );
  return { now, spikes };
}

function namespacesOf(ports: RunPorts, audience: string, destinations: readonly string[]): readonly string[] {
  const namespaces = destinations.flatMap((to) => resolveSync(ports, audience, to).namespaces);
  return [...new Set(namespaces)].filter((name) => name !== 'external_id');
}

/**
 * What the linkage tells the snapshot, so that it looks at the tables once: whether nobody has more identifiers than a row has room for, and
 * whether the audience was most of the customers the last time. By counts of the same run, and on the safe side where they do not say.
 */
export async function shapeOf(
  ports: RunPorts,
  { audience, destinations }: Omit<Asked, 'tick'>,
  linkage: Linkage | undefined,
  moved: Relation | null,
): Promise<{ readonly few: boolean; readonly broad: boolean }> {
  const found = Object.values(linkage?.namespaces ?? {});
  const columns = identifierColumns(customersOf(ports.workspace), namespacesOf(ports, audience, destinations)).length;
  // A survivor may have the columns of every row that was merged into theirs.
  const most = found.reduce((sum, one) => sum + one.most, 0) + (moved === null || columns === 0 ? columns : Infinity);
  const customers = Math.max(0, ...found.map((one) => one.customers));
  const pointers = await Promise.all(destinations.map((to) => ports.store.pointers.get(syncKey(audience, to))));
  const members = Math.max(0, ...pointers.map((pointer) => pointer?.members.files.rows ?? 0));
  return { few: most <= SLOTS, broad: customers > 0 && members * 2 >= customers };
}

/** Counts a run among what is usual: one that was not held, or that a person approved. */
export async function keepLinkage({ store }: Pick<RunPorts, 'store'>, tick: number, now: Linkage): Promise<void> {
  const day = dayOf(tick);
  const before = await store.documents.get<LinkageDay>(KIND, day);
  if (before !== null && before.tick > tick) return;
  await store.documents.put(KIND, day, nextDay(before, now, tick));
}
