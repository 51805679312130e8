import type { Relation, StopEntry } from '../ports.ts';
import { quoteText } from '../sql/literal.ts';
import { caughtUpQuery, STOP_COLUMNS } from '../sql/stops.ts';
import type { RunPorts } from './ports.ts';
import { linesRelation } from './relations.ts';
import { strongNamespaces, type Tombstone, TOMBSTONE } from '../forget/tombstones.ts';
import { MARK_COLUMNS, returnedQuery } from '../sql/person.ts';

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
 * Who may not be sent, as a relation for the snapshot, written under `prefix`: the stop list, and who came back with an identifier of an erased
 * person. Undefined when that is nobody. First lifts what the consents tables have caught up with by the tick: they are the source of
 * truth, and an entry holds only until they speak.
 */
export async function stopRelation(ports: RunPorts, prefix: string, tick: number): Promise<Relation | undefined> {
  const listed = await listedStops(ports, prefix, tick);
  const back = await returnedMembers(ports, prefix);
  return writeStops(ports, `${prefix}/stops`, [...listed, ...back]);
}

/** The stop list as it is in force, and as a relation (undefined when it is empty). */
export async function listedStops(ports: RunPorts, prefix: string, tick: number): Promise<readonly StopEntry[]> {
  const { entries } = await ports.store.stops.since(null);
  // The last one tells of an entry that was changed while it was read.
  const known = [...new Map(entries.map((entry) => [keyOf(entry), entry])).values()];
  const lifted = await caughtUp(ports, known, prefix, Math.min(tick, ports.clock.now()));
  await ports.store.stops.lift(known.filter((entry) => lifted.has(keyOf(entry))));
  return known.filter((entry) => !lifted.has(keyOf(entry)));
}

export async function writeStops(ports: RunPorts, key: string, some: readonly StopEntry[]): Promise<Relation | undefined> {
  if (some.length === 0) return undefined;
  const lines = some.map(({ at, ...entry }) => JSON.stringify({ ...entry, since: at }));
  return linesRelation([(await ports.store.files.write(`${key}.jsonl`, lines)).location], STOP_COLUMNS);
}

/** Who came back with an identifier of an erased person, as entries of the stop list; of some members only, where they are named. */
export async function returnedMembers(
  ports: RunPorts,
  prefix: string,
  members?: readonly string[],
): Promise<readonly StopEntry[]> {
  const stones = await ports.store.documents.list<Tombstone>(TOMBSTONE);
  if (stones.length === 0) return [];
  const lines = stones.flatMap(({ id: mark, document }) => [
    JSON.stringify({ mark }),
    ...document.keepers.map((keeper) => JSON.stringify({ mark, keeper })),
  ]);
  const marks = linesRelation([(await ports.store.files.write(`${prefix}/marks.jsonl`, lines)).location], MARK_COLUMNS);
  const { tables, consent } = ports.workspace;
  const source = { tables, consent, tick: ports.clock.now() };
  const query = returnedQuery(source, marks, [...strongNamespaces(ports.connectors)].toSorted(), ports.memberKey);
  const only = members && `SELECT * FROM (\n${query.sql}\n) x WHERE x.member IN (${members.map(quoteText).join(', ')})`;
  const rows = await ports.warehouse.rows({ ...query, ...(only !== undefined && { sql: only }) });
  const at = stones.reduce((least, { document }) => Math.min(least, document.at), ports.clock.now());
  return rows.map((row): StopEntry => ({ member: String(row['member']), purpose: null, why: 'erased', at }));
}

async function caughtUp(ports: RunPorts, known: readonly StopEntry[], prefix: string, now: number): Promise<ReadonlySet<string>> {
  const withdrawn = known.filter(({ why, at, purpose }) => why === 'no-consent' && purpose !== null && at <= now);
  const tables = ports.workspace.tables.filter(({ role }) => role === 'consents');
  if (withdrawn.length === 0 || tables.length === 0) return new Set();
  const stops = await writeStops(ports, `${prefix}/withdrawn`, withdrawn);
  if (stops === undefined) return new Set();
  const from = withdrawn.reduce((least, { at }) => Math.min(least, at), now);
  const rows = await ports.warehouse.rows(caughtUpQuery(tables, stops, { secret: ports.memberKey, now, from }));
  return new Set(rows.map((row) => `${String(row['member'])}/${String(row['purpose'])}`));
}

const keyOf = ({ member, purpose }: Pick<StopEntry, 'member' | 'purpose'>): string => `${member}/${purpose ?? ''}`;
