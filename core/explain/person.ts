import type { Row, StopEntry } from '../ports.ts';
import { memberKeyOf } from '../receipts/audit.ts';
import type { RunPorts } from '../run/ports.ts';
import { linesRelation } from '../run/relations.ts';
import { returnedMembers } from '../run/stops.ts';
import { type RowsAtHand, withRows } from '../sql/explain.ts';
import { quoteText } from '../sql/literal.ts';
import { MOVED_COLUMNS, movedQuery } from '../sql/merges.ts';
import { caughtUpQuery, STOP_COLUMNS, STOPS } from '../sql/stops.ts';
import { ulid } from '../ulid.ts';

/** Who is explained: a customer id may be another one's by now, and others may be theirs. */
export interface Person {
  /** The id that stands for them in a run. */
  readonly id: string;
  /** The id of the customers row that is taken for them. */
  readonly rowId: string;
  /** Member keys, their own first, then those of ids that were merged into theirs. */
  readonly keys: readonly string[];
  /** Merged ids, MOVED_COLUMNS. */
  readonly moved: readonly Row[];
  /** Their entries in the stop list that a run would go by, STOP_COLUMNS. */
  readonly stops: readonly Row[];
}

export const movedRows = (rows: readonly Row[]): RowsAtHand => ({ columns: MOVED_COLUMNS, rows });
export const stopRows = (rows: readonly Row[]): RowsAtHand => ({ columns: STOP_COLUMNS, rows });

/** The person of a customer id as of the tick: merges and stop list as a run would see them. Changes nothing. */
export async function personOf(ports: RunPorts, customerId: string, tick: number): Promise<Person> {
  const query = movedQuery(ports.workspace, tick, ports.memberKey);
  const where = async (column: 'from_id' | 'to_id', id: string): Promise<readonly Row[]> =>
    query === null
      ? []
      : ports.warehouse.rows({ ...query, sql: `SELECT * FROM (\n${query.sql}\n) x WHERE x.${column} = ${quoteText(id)}` });
  const [away] = await where('from_id', customerId);
  const id = away === undefined ? customerId : String(away['to_id']);
  const moved = await where('to_id', id);
  const stands = moved.find((row) => row['stands'] === true)?.['from_id'];
  const keys = [memberKeyOf(ports.memberKey, id), ...moved.map((row) => String(row['member']))];
  const listed = await stopsOf(ports, keys, tick);
  // Who is erased already comes back as nothing else.
  const stops = listed.some(({ why }) => why === 'erased') ? listed : [...listed, ...(await returnedRows(ports, keys))];
  return { id, rowId: stands === undefined ? id : String(stands), keys, moved, stops };
}

/** Who came back with an identifier of an erased person is one too. */
async function returnedRows(ports: RunPorts, keys: readonly string[]): Promise<readonly Row[]> {
  // A folder of a run that is none: what is written of the tombstones is gone with it.
  const folder = `runs/${ulid(ports.clock.now(), ports.clock.random)}`;
  const back = await returnedMembers(ports, `${folder}/returned`, keys);
  await ports.store.files.remove(folder);
  return back.map(rowOf);
}

const rowOf = ({ at, member, purpose, why }: StopEntry): Row => ({ member, purpose, why, since: at });

/** Without those that the consents tables have caught up with: a run lifts them first. */
async function stopsOf(ports: RunPorts, keys: readonly string[], tick: number): Promise<readonly Row[]> {
  const { entries } = await ports.store.stops.since(null);
  const own = [...new Map(entries.map((entry) => [nameOf(entry), entry])).values()].filter(({ member }) => keys.includes(member));
  const now = Math.min(tick, ports.clock.now());
  const withdrawn = own.filter(({ why, at, purpose }) => why === 'no-consent' && purpose !== null && at <= now);
  const tables = ports.workspace.tables.filter(({ role }) => role === 'consents');
  if (withdrawn.length === 0 || tables.length === 0) return own.map(rowOf);
  const from = withdrawn.reduce((least, { at }) => Math.min(least, at), now);
  const caughtUp = caughtUpQuery(tables, linesRelation([], STOP_COLUMNS), { secret: ports.memberKey, now, from });
  const rows = await ports.warehouse.rows(withRows(caughtUp, { [STOPS]: stopRows(own.map(rowOf)) }));
  const lifted = new Set(rows.map((row) => `${String(row['member'])}/${String(row['purpose'])}`));
  return own.filter((entry) => !lifted.has(nameOf(entry))).map(rowOf);
}

const nameOf = ({ member, purpose }: Pick<StopEntry, 'member' | 'purpose'>): string => `${member}/${purpose ?? ''}`;
