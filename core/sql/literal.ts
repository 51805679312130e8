import type { Column, LogicalType } from '../model.ts';

/**
 * The one place where values and names become SQL text. The text means the same to Trino and to DuckDB with the macro pack.
 */

/** `'it''s'`. Refuses NUL, which no engine stores in a text. */
export function quoteText(value: string): string {
  if (value.includes('\0')) throw new RangeError('A text with a NUL character can not be written in SQL');
  return `'${value.replaceAll("'", "''")}'`;
}

/** `"last_order_at"`. Refuses NUL, at which an engine may stop reading. */
export function quoteName(name: string): string {
  if (name.includes('\0')) throw new RangeError('A name with a NUL character can not be written in SQL');
  return `"${name.replaceAll('"', '""')}"`;
}

/** A table's physicalName, `schema.table` or `table`, each part quoted. */
export const quoteTable = (physicalName: string): string => physicalName.split('.').map(quoteName).join('.');

/** A number as written in a rule: digits, a point, an exponent. Refuses anything else. */
export function numberText(value: string): string {
  const text = value.trim().replace(/^\+/, '');
  if (!/^-?(\d+(\.\d+)?|\.\d+)(e[+-]?\d+)?$/i.test(text)) throw new RangeError(`"${value}" is not a number`);
  // Trino reads 1e6 as a double and 1000000 as an integer; both compare as the number they are.
  const plain = text.replace(/^(-?)\./, '$10.');
  return plain.startsWith('-') ? `(${plain})` : plain;
}

/** `DATE '2026-01-31'` of `YYYY-MM-DD`. */
export function dateLiteral(iso: string): string {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(iso)) throw new RangeError(`"${iso}" is not a calendar day`);
  return `DATE '${iso}'`;
}

/** Epoch milliseconds as `TIMESTAMP '2026-01-01 00:00:00.000'` in UTC, or with a zone for columns that have one. */
export function timestampLiteral(ms: number, zoned = false): string {
  const text = timestampText(ms);
  return zoned ? `CAST('${text} UTC' AS timestamp with time zone)` : `TIMESTAMP '${text}'`;
}

function timestampText(ms: number): string {
  const iso = new Date(Math.trunc(ms)).toISOString();
  if (iso.length !== 24) throw new RangeError(`${ms} is outside the years 0000 to 9999`);
  return `${iso.slice(0, 10)} ${iso.slice(11, 23)}`;
}

/** A LIKE pattern that matches the text itself; `%` may be put around it. Use with `ESCAPE '\'`. */
export const likeText = (text: string): string => text.replace(/[\\%_]/g, (sign) => `\\${sign}`);

/**
 * An array of texts with nothing in it. `ARRAY[]` alone has no type in Trino, and a cast to an array type is no SQL for DuckDB. Without the
 * cast its texts would be of type varchar(0), which Trino does not write to a file.
 */
export const NO_TEXTS = `array_remove(ARRAY[CAST('' AS varchar)], '')`;

/** Epoch milliseconds of a column of type date or timestamp; NULL stays NULL. */
export function millisecondsOf(expression: string, column: Pick<Column, 'type' | 'zoned'>): string {
  if (column.type === 'date')
    return `date_diff('millisecond', TIMESTAMP '1970-01-01 00:00:00', CAST(${expression} AS timestamp))`;
  const start = column.zoned ? `CAST('1970-01-01 00:00:00 UTC' AS timestamp with time zone)` : `TIMESTAMP '1970-01-01 00:00:00'`;
  return `date_diff('millisecond', ${start}, ${expression})`;
}

/**
 * SQL of epoch milliseconds as a timestamp in UTC; NULL stays NULL. By days and the rest of a day: Trino adds no more than 32 bits at once.
 * @param ms SQL of a bigint, twice in the text
 */
export const timestampOf = (ms: string): string =>
  `date_add('millisecond', mod(${ms}, 86400000), date_add('day', ${ms} / 86400000, TIMESTAMP '1970-01-01 00:00:00.000'))`;

/** An instant in the type of the column it is compared with; `day` is the calendar day it falls on for a date column. */
export const instantLiteral = (
  column: { readonly type: LogicalType; readonly zoned: boolean },
  ms: number,
  day: string,
): string => (column.type === 'date' ? dateLiteral(day) : timestampLiteral(ms, column.zoned));
