import { DAYS_KEPT, dayOf, type Linkage, type LinkageDay, linkageOf, linkageSpikes, nextDay } from '../linkage.ts';
import type { Relation } from '../ports.ts';
import { linkageQuery } from '../sql/linkage.ts';
import type { RunPorts, SnapshotLinkage } from './ports.ts';
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
  const namespaces = destinations.flatMap((to) => resolveSync(ports, audience, to).namespaces);
  const wanted = [...new Set(namespaces)].filter((name) => name !== 'external_id');
  const query = linkageQuery(workspace, wanted, moved);
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

/** Counts a run among what is usual: one that was not held, or that a person approved. */
export async function keepLinkage({ store }: Pick<RunPorts, 'store'>, tick: number, now: Linkage): Promise<void> {
  const day = dayOf(tick);
  const before = await store.documents.get<LinkageDay>(KIND, day);
  if (before !== null && before.tick > tick) return;
  await store.documents.put(KIND, day, nextDay(before, now, tick));
}
