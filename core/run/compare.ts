import type { WithheldReason } from '../delta.ts';
import { prepareIdentifiers } from '../identifiers.ts';
import type { Audience, Mode, Workspace } from '../model.ts';
import type { Relation } from '../ports.ts';
import { NO_SNAPSHOT_COLUMNS, type Side, standingCountsQuery, standingsQuery } from '../sql/compare.ts';
import { movedQuery } from '../sql/merges.ts';
import { policiesRead } from '../sql/purposes.ts';
import { snapshotQuery } from '../sql/snapshot.ts';
import { ulid } from '../ulid.ts';
import { attemptOf } from './diff.ts';
import { gateTask } from './gate.ts';
import { ledgersOf, snapshotSpec, wholeSpec } from './materialize.ts';
import type { Finding, RunPorts } from './ports.ts';
import { syncKey } from './ports.ts';
import { withScratch } from './sweep.ts';
import { ledgerRelation, movedRelation, relationOf, resolveSync, snapshotRelation } from './relations.ts';

/** Where a person stands with a destination: in, or why not. */
export type Standing = 'in' | 'not-matched' | Exclude<WithheldReason, 'parked'>;

/** A person who stands elsewhere by the files of now than by those of then. Keyed hash of the customer id. */
export interface Move {
  readonly audience: string;
  readonly destination: string;
  readonly member: string;
  readonly before: Standing;
  readonly now: Standing;
}

export interface SyncComparison {
  readonly destination: string;
  readonly mode: Mode;
  /** People who would be sent by each. */
  readonly before: number;
  readonly now: number;
  readonly enter: number;
  readonly leave: number;
  readonly both: number;
  /** Of `both`: what is sent of them differs (identifiers, traits, consent). */
  readonly changed: number;
  /** Who stands elsewhere, from where to where; most people first. */
  readonly moves: readonly { readonly before: Standing; readonly now: Standing; readonly count: number }[];
}

export interface Comparison {
  readonly audience: string;
  readonly tick: number;
  /** `same`: both revisions ask the same of the same tables. `new`, `gone`: the other has no such audience, or does not send it. */
  readonly kind: 'compared' | 'same' | 'new' | 'gone';
  readonly syncs: readonly SyncComparison[];
  /** Tables that break the contracts of a revision: nothing was compared. */
  readonly findings?: readonly (Finding & { readonly side: 'before' | 'now' })[];
}

export interface CompareOptions {
  readonly destinations?: readonly string[];
  readonly tick: number;
  /** Told of every move, one after the other. */
  readonly onMove?: (move: Move) => Promise<void>;
}

/**
 * Who would enter and leave each destination of an audience by the workspace of `ports` and by another revision of it, over the same tick
 * and tables: a snapshot each, compared in SQL. Nothing is sent, no plan is made, and what was written for it is deleted.
 *
 * `ledger` matters only where a side has a rollout: who is held and outside it stays.
 */
export async function compare(ports: RunPorts, then: Workspace, audience: string, options: CompareOptions): Promise<Comparison> {
  const { tick } = options;
  const before: RunPorts = { ...ports, workspace: then };
  const [was, is] = [before, ports].map(({ workspace }) => sent(workspace, audience, options.destinations));
  const kind = was === undefined ? 'new' : is === undefined ? 'gone' : 'compared';
  if (was === undefined && is === undefined) return { audience, tick, kind: 'same', syncs: [] };
  const findings = [
    ...(await findingsOf(before, was, tick)).map((one) => ({ ...one, side: 'before' as const })),
    ...(await findingsOf(ports, is, tick)).map((one) => ({ ...one, side: 'now' as const })),
  ];
  if (findings.length > 0) return { audience, tick, kind, syncs: [], findings };
  const asked = await Promise.all([questionOf(before, was, tick), questionOf(ports, is, tick)]);
  if (asked[0].text === asked[1].text) return { audience, tick, kind: 'same', syncs: [] };

  const run = ulid(ports.clock.now(), ports.clock.random);
  const prefix = `runs/${run}/compare/${attemptOf(ports)}`;
  return withScratch(ports, run, async () => {
    try {
      return { audience, tick, kind, syncs: await compareSyncs() };
    } finally {
      await ports.store.files.remove(`runs/${run}`);
    }
  });

  async function compareSyncs(): Promise<SyncComparison[]> {
    ports.onProgress?.({ kind: 'step', audience, step: 'materialize' });
    const snapshots: Relation[] = [];
    for (const [i, side] of asked.entries()) {
      if (side.spec === undefined) {
        snapshots.push(NOBODY);
        continue;
      }
      const { spec } = await wholeSpec(side.ports, side.spec, `${prefix}/${i}`);
      const location = ports.store.files.location(`${prefix}/${i}/members`);
      snapshots.push(snapshotRelation({ files: await ports.warehouse.materialize(snapshotQuery(spec), location) }));
    }
    const destinations = [...new Set([...(is?.destinations ?? []), ...(was?.destinations ?? [])])];
    const syncs: SyncComparison[] = [];
    for (const destination of destinations) {
      ports.onProgress?.({ kind: 'step', audience, step: 'diff', destination });
      const sides = [was, is].map((one, i) => sideOf(one, destination, snapshots[i] ?? NOBODY));
      syncs.push(await compareSync(before, ports, audience, destination, sides as [Side, Side], prefix, options.onMove));
    }
    return syncs;
  }
}

const NOBODY = relationOf({ format: 'parquet', locations: [], rows: 0, bytes: 0 }, NO_SNAPSHOT_COLUMNS);

interface Sent {
  readonly audience: Audience;
  readonly destinations: readonly string[];
}

function sent(workspace: Workspace, name: string, only: readonly string[] | undefined): Sent | undefined {
  const audience = Object.hasOwn(workspace.audiences, name) ? workspace.audiences[name] : undefined;
  const destinations = audience?.syncs.map(({ to }) => to).filter((to) => only?.includes(to) ?? true) ?? [];
  return audience === undefined || destinations.length === 0 ? undefined : { audience, destinations };
}

async function findingsOf(ports: RunPorts, of: Sent | undefined, tick: number): Promise<readonly Finding[]> {
  if (of === undefined) return [];
  return (await gateTask(ports)({ audience: of.audience.name, tick, destinations: of.destinations })).findings;
}

/** The query of a side, and everything that decides its answer as a text. */
async function questionOf(ports: RunPorts, of: Sent | undefined, tick: number) {
  if (of === undefined) return { text: '', ports, spec: undefined };
  const { name } = of.audience;
  const ledgers = await ledgersOf(ports, name, of.destinations);
  const spec = snapshotSpec(ports, name, of.destinations, tick, ledgers);
  const merges = movedQuery(ports.workspace, tick, ports.memberKey);
  const query = snapshotQuery({ ...spec, moved: merges && movedRelation(null), decisions: null });
  // What strings say of consent is read by the policy, and not by the query.
  const { policies } = policiesRead(
    ports.workspace.consent,
    spec.syncs.map(({ purpose }) => purpose),
  );
  const syncs = of.destinations.map((to) => {
    const { connector, destination } = resolveSync(ports, name, to);
    return [to, connector.name, destination.purpose];
  });
  const servers = [query, merges].flatMap((one) => one?.tables ?? []).map((table) => table.servers);
  const text = JSON.stringify([query.sql, merges?.sql, servers, spec.syncs, syncs, policies]);
  return { text, ports, spec };
}

const sideOf = (of: Sent | undefined, destination: string, snapshot: Relation): Side => {
  const index = of?.destinations.indexOf(destination) ?? -1;
  const sync = of?.audience.syncs.find(({ to }) => to === destination);
  return index === -1
    ? { snapshot: NOBODY, index: 0, rollout: false }
    : { snapshot, index, rollout: (sync?.rollout ?? 100) < 100 };
};

/** A line of `standingsQuery`. */
interface Line {
  readonly k: string;
  readonly was: string;
  readonly becomes: string;
  readonly same: boolean;
  readonly raw_was?: readonly string[] | null;
  readonly raw_becomes?: readonly string[] | null;
  readonly country_was?: string | null;
  readonly country_becomes?: string | null;
}

async function compareSync(
  before: RunPorts,
  ports: RunPorts,
  audience: string,
  destination: string,
  [then, now]: readonly [Side, Side],
  prefix: string,
  onMove: CompareOptions['onMove'],
): Promise<SyncComparison> {
  const { warehouse, store } = ports;
  const pointer = then.rollout || now.rollout ? await store.pointers.get(syncKey(audience, destination)) : null;
  const ledger = ledgerRelation(pointer?.members);
  const tally = new Map<string, number>();
  const note = (was: Standing, is: Standing, n: number) => {
    const pair = `${was} ${is}`;
    tally.set(pair, (tally.get(pair) ?? 0) + n);
  };
  const all = onMove !== undefined;
  for (const row of await warehouse.rows(standingCountsQuery(then, now, ledger))) {
    const [was, is] = [standingOf(String(row['was'])), standingOf(String(row['becomes']))];
    // Who moves comes as a line where moves are asked for.
    if (!all || row['was'] === row['becomes']) note(was, is, Number(row['n']));
  }
  const prepared = [before, ports].map((side) => namespacesOf(side, audience, destination));
  const usable = (side: 0 | 1, raw: readonly string[] | null | undefined, country: string | null | undefined): Standing =>
    prepareIdentifiers(prepared[side] ?? {}, raw ?? [], country ?? null).length > 0 ? 'in' : 'no-identifier';
  let changed = 0;
  const location = store.files.location(`${prefix}/${destination}`);
  for (const set of await warehouse.unload(standingsQuery(then, now, ledger, all), location, 1)) {
    for (const at of set.locations) {
      for await (const text of store.files.lines(store.files.keyOf(at))) {
        const line = JSON.parse(text) as Line;
        const was = line.was === 'send' ? usable(0, line.raw_was, line.country_was) : standingOf(line.was);
        const twice = line.same && line.was === 'send';
        const is =
          line.becomes !== 'send'
            ? standingOf(line.becomes)
            : usable(1, twice ? line.raw_was : line.raw_becomes, twice ? line.country_was : line.country_becomes);
        note(was, is, 1);
        if (was === 'in' && is === 'in' && line.was === 'send' && line.becomes === 'send' && !line.same) changed += 1;
        if (was !== is) await onMove?.({ audience, destination, member: line.k, before: was, now: is });
      }
    }
  }
  const moves = [...tally]
    .map(([pair, count]) => {
      const [was, is] = pair.split(' ') as [Standing, Standing];
      return { before: was, now: is, count };
    })
    .toSorted((a, b) => b.count - a.count || (`${a.before} ${a.now}` < `${b.before} ${b.now}` ? -1 : 1));
  const sum = (which: (was: Standing, is: Standing) => boolean): number =>
    moves.reduce((total, one) => total + (which(one.before, one.now) ? one.count : 0), 0);
  return {
    destination,
    mode: modeOf(ports, audience, destination) ?? modeOf(before, audience, destination) ?? 'mirror',
    before: sum((was) => was === 'in'),
    now: sum((_, is) => is === 'in'),
    enter: sum((was, is) => was !== 'in' && is === 'in'),
    leave: sum((was, is) => was === 'in' && is !== 'in'),
    both: sum((was, is) => was === 'in' && is === 'in'),
    changed,
    moves: moves.filter((one) => one.before !== one.now),
  };
}

const standingOf = (word: string): Standing => (word === 'kept' ? 'in' : (word as Standing));

const syncOf = ({ workspace }: RunPorts, audience: string, destination: string) =>
  Object.hasOwn(workspace.audiences, audience)
    ? workspace.audiences[audience]?.syncs.find(({ to }) => to === destination)
    : undefined;

const modeOf = (ports: RunPorts, audience: string, destination: string): Mode | undefined =>
  syncOf(ports, audience, destination)?.mode;

/** What identifiers are normalised with by a side; nothing where it has no such sync. */
const namespacesOf = (ports: RunPorts, audience: string, destination: string) =>
  syncOf(ports, audience, destination) === undefined ? {} : resolveSync(ports, audience, destination).accepts;
