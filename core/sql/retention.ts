import type { Column, Period, Table } from '../model.ts';
import { minus } from '../time.ts';
import { instantLiteral, quoteName, quoteTable } from './literal.ts';

/**
 * Retention as SQL (policies/retention.yaml). What is past its period is not read: neither by rules, nor to be sent. A row exactly as old as
 * its period is past it, and so is one whose age is not known.
 */

/** The rows of an activation table that may be used, as something to select from; columns past their own period are NULL. */
export function usableRows(table: Table, tick: number, take: 'usable rows' | 'all rows' = 'usable rows'): string {
  const name = quoteTable(table.physicalName);
  const { rows, fields = {} } = table.retention ?? {};
  const limited = rows !== undefined && take === 'usable rows';
  if (!limited && Object.keys(fields).length === 0) return name;
  const columns = table.columns.map((column) => fieldSql(column, fields[column.name], tick));
  return `(SELECT ${columns.join(', ')} FROM ${name}${limited ? ` WHERE ${withinSql(rows, tick)}` : ''})`;
}

/** A boolean, never NULL: may the row of `alias` be used? Over what `usableRows` gives, or over the table. */
export function usableSql(table: Table, tick: number, alias: string): string {
  const period = table.retention?.rows;
  return period === undefined ? 'TRUE' : `coalesce(${withinSql(period, tick, `${alias}.`)}, FALSE)`;
}

function fieldSql(column: Column, period: Period | undefined, tick: number): string {
  const name = quoteName(column.name);
  return period === undefined ? name : `CASE WHEN ${withinSql(period, tick)} THEN ${name} END AS ${name}`;
}

function withinSql({ by, period }: Period, tick: number, alias = ''): string {
  const edge = minus(tick, period, 'UTC');
  return `${alias}${quoteName(by.name)} > ${instantLiteral(by, edge, new Date(edge).toISOString().slice(0, 10))}`;
}
