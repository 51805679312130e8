import type { Relation, StopEntry } from '../ports.ts';
import { caughtUpQuery, STOP_COLUMNS } from '../sql/stops.ts';
import type { RunPorts } from './ports.ts';
import { linesRelation } from './relations.ts';

/** How old a delivery's knowledge of the stop list may be when it sends, milliseconds. */
const FRESH_MS = 1_000;

/** Why a member is not sent, by member key. */
export type Stopped = ReadonlyMap<string, StopEntry['why']>;

/**
 * Which of some members may not be sent for a purpose any more, as the stop list knows it now: the list is read once, and then what is
 * new at most once a second. What the store throws stops the delivery (law 1).
 */
export function stopListFor(
  { store, clock }: Pick<RunPorts, 'store' | 'clock'>,
  purpose: string,
): (keys: readonly string[]) => Promise<Stopped> {
  const stopped = new Map<string, StopEntry['why']>();
  let cursor: string | null = null;
  let asked = Number.NEGATIVE_INFINITY;
  return async (keys) => {
    const now = clock.now();
    if (now - asked >= FRESH_MS) {
      const news = await store.stops.since(cursor);
      for (const entry of news.entries) {
        if (entry.purpose !== null && entry.purpose !== purpose) continue;
        if (stopped.get(entry.member) !== 'erased') stopped.set(entry.member, entry.why);
      }
      cursor = news.cursor;
      asked = now;
    }
    return stopped.size === 0
      ? NONE
      : new Map(keys.flatMap((key) => (stopped.has(key) ? [[key, stopped.get(key) ?? 'erased']] : [])));
  };
}

const NONE: Stopped = new Map();

/**
 * The stop list as a relation for the snapshot, written under `prefix`; undefined when it is empty. First lifts what the consents tables
 * have caught up with by the tick: they are the source of truth, and an entry holds only until they speak.
 */
export async function stopRelation(ports: RunPorts, prefix: string, tick: number): Promise<Relation | undefined> {
  const { entries } = await ports.store.stops.since(null);
  // The last one tells of an entry that was changed while it was read.
  const known = [...new Map(entries.map((entry) => [keyOf(entry), entry])).values()];
  if (known.length === 0) return undefined;
  const written = async (name: string, some: readonly StopEntry[]): Promise<Relation> => {
    const lines = some.map(({ at, ...entry }) => JSON.stringify({ ...entry, since: at }));
    return linesRelation([(await ports.store.files.write(`${prefix}/${name}.jsonl`, lines)).location], STOP_COLUMNS);
  };
  const all = await written('all', known);
  const lifted = await caughtUp(ports, known, all, Math.min(tick, ports.clock.now()));
  if (lifted.size === 0) return all;
  await ports.store.stops.lift(known.filter((entry) => lifted.has(keyOf(entry))));
  const rest = known.filter((entry) => !lifted.has(keyOf(entry)));
  return rest.length === 0 ? undefined : written('left', rest);
}

async function caughtUp(
  ports: RunPorts,
  known: readonly StopEntry[],
  stops: Relation,
  now: number,
): Promise<ReadonlySet<string>> {
  const withdrawn = known.filter(({ why, at, purpose }) => why === 'no-consent' && purpose !== null && at <= now);
  const tables = ports.workspace.tables.filter(({ role }) => role === 'consents');
  if (withdrawn.length === 0 || tables.length === 0) return new Set();
  const from = withdrawn.reduce((least, { at }) => Math.min(least, at), now);
  const rows = await ports.warehouse.rows(caughtUpQuery(tables, stops, { secret: ports.memberKey, now, from }));
  return new Set(rows.map((row) => `${String(row['member'])}/${String(row['purpose'])}`));
}

const keyOf = ({ member, purpose }: Pick<StopEntry, 'member' | 'purpose'>): string => `${member}/${purpose ?? ''}`;
