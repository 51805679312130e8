import type { Table } from '../model.ts';
import type { Query, Relation } from '../ports.ts';
import { hashHex } from './canonical.ts';
import { fieldOf } from './event.ts';
import { instantLiteral, millisecondsOf, quoteName, quoteTable, quoteText } from './literal.ts';

/** The stop list as a relation of our own files: JSON lines of `StopEntry`, its `at` as `since`, because `at` is a word of SQL. */
export const STOPS = 'sluice_stops';
export const STOP_COLUMNS = { member: 'varchar', purpose: 'varchar', why: 'varchar', since: 'bigint' } as const;

/** Columns of who is to be taken out: `why` is a RemoveReason, `e` the evidence or NULL. */
export const WHO_COLUMNS = { member: 'varchar', why: 'varchar', e: 'varchar' } as const;

/** Relation `customer_id`, `since`: customers whose erasure a table asks for. */
export const ERASED = 'sluice_erased';
/** Relation `member`, `erased_at`, `stopped_<i>` per sync: when the stop list began to hold, NULL where it does not. */
export const STOPPED = 'sluice_stopped';

/** The name of a customer everywhere but in the tables, SQL over an expression of the id. */
export const memberSql = (secret: string, id: string): string => hashHex(`${quoteText(secret)} || ${id}`, 32);

/** Customers whose erasure was asked for by now and since when, ids that were merged away as the survivor. */
export function erasedExpression(tables: readonly Table[], tick: number, merged: string | undefined): readonly string[] {
  if (tables.length === 0) return [];
  const all = tables.map((table) => erasureRows(table, tick)).join(' UNION ALL ');
  const survivors =
    merged !== undefined
      ? ` UNION ALL SELECT m.to_id, e.since FROM (${all}) e JOIN ${merged} m ON m.from_id = e.customer_id`
      : '';
  return [
    `${ERASED} AS (
  SELECT e.customer_id, min(e.since) AS since FROM (${all}${survivors}) e GROUP BY e.customer_id
)`,
  ];
}

/** SELECT `customer_id`, `since` (epoch ms) of the requests in one table that were made by the tick. */
export function erasureRows(table: Table, tick: number): string {
  const time = fieldOf(table, 'requested_at');
  const now = instantLiteral(time, tick, new Date(tick).toISOString().slice(0, 10));
  const at = quoteName(time.name);
  return `SELECT CAST(${quoteName(fieldOf(table, 'customer_id').name)} AS varchar) AS customer_id, ${millisecondsOf(at, time)} AS since FROM ${quoteTable(table.physicalName)} WHERE ${at} <= ${now}`;
}

/** The stop list by member, entries of ids that were merged away for the survivor too. `purposes`: of the syncs, by their index. */
export function stoppedExpression(
  purposes: readonly { readonly index: number; readonly purpose: string }[],
  merged: string | undefined,
  secret: string,
): string {
  const survivors =
    merged === undefined
      ? ''
      : ` UNION ALL SELECT ${memberSql(secret, 'm.to_id')}, t.purpose, t.why, t.since FROM ${merged} m JOIN ${STOPS} t ON t.member = ${memberSql(secret, 'm.from_id')}`;
  const columns = purposes.map(
    ({ index, purpose }) =>
      `min(CASE WHEN t.why <> 'erased' AND (t.purpose IS NULL OR t.purpose = ${quoteText(purpose)}) THEN t.since END) AS stopped_${index}`,
  );
  return `${STOPPED} AS (
  SELECT t.member, min(CASE WHEN t.why = 'erased' THEN t.since END) AS erased_at, ${columns.join(', ')}
  FROM (SELECT member, purpose, why, since FROM ${STOPS}${survivors}) t GROUP BY t.member
)`;
}

const UNIT = 'chr(31)';

/** Evidence (core/evidence.ts) of an erasure, and of an entry in the stop list; `since` is SQL of epoch ms. */
export const erasureEvidence = (since: string): string =>
  `'erased' || ${UNIT} || ${UNIT} || coalesce(CAST(${since} AS varchar), '') || ${UNIT} || ${UNIT}`;
export const stopEvidence = (since: string): string =>
  `'withdrawn' || ${UNIT} || 'withdrawn' || ${UNIT} || CAST(${since} AS varchar) || ${UNIT} || 'stop-list' || ${UNIT}`;

/**
 * When somebody's own act that demands a removal began, of an evidence: the refusal or the request of erasure, epoch ms; NULL when nobody
 * refused (no record, an expired grant, a word that no contract lists).
 */
export const demandedSql = (evidence: string): string =>
  `CASE WHEN split_part(${evidence}, ${UNIT}, 1) IN ('erased', 'withdrawn', 'denied') AND split_part(${evidence}, ${UNIT}, 3) <> '' THEN CAST(split_part(${evidence}, ${UNIT}, 3) AS bigint) END`;

/**
 * Entries of the stop list that the consents tables have caught up with: `member`, `purpose`. A record about the customer and that purpose
 * began at or after the entry, whatever it says: from then on the tables decide.
 *
 * @param now epoch ms: records that begin later do not count
 * @param from epoch ms: the earliest entry, so that older records are not looked at
 */
export function caughtUpQuery(
  tables: readonly Table[],
  stops: Relation,
  { secret, now, from }: { readonly secret: string; readonly now: number; readonly from: number },
): Query {
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  const records = tables.map((table) => {
    const at = (name: string): string => `r.${quoteName(fieldOf(table, name).name)}`;
    const began = fieldOf(table, 'effective_from');
    const bound = ['namespace', 'value'].every((name) => table.fields[name] !== undefined)
      ? ` AND ${at('namespace')} IS NULL`
      : '';
    const [first, last] = [from, now].map((ms) => instantLiteral(began, ms, day(ms)));
    return `SELECT ${memberSql(secret, `CAST(${at('customer_id')} AS varchar)`)} AS member, ${at('purpose')} AS purpose, ${millisecondsOf(at('effective_from'), began)} AS began
  FROM ${quoteTable(table.physicalName)} r
  WHERE ${at('effective_from')} >= ${first} AND ${at('effective_from')} <= ${last}${bound}`;
  });
  return {
    sql: `SELECT DISTINCT t.member AS member, t.purpose AS purpose
FROM ${STOPS} t JOIN (
  ${records.join('\n  UNION ALL\n  ')}
) r ON r.member = t.member AND r.purpose = t.purpose AND r.began >= t.since
WHERE t.why = 'no-consent'`,
    tables,
    relations: { [STOPS]: stops },
  };
}
