import type { Table } from '../model.ts';
import type { Cell, Query, Relation, Row } from '../ports.ts';
import { fieldOf } from './event.ts';
import { notBlank } from './identifiers.ts';
import { NO_TEXTS, quoteName, quoteTable, quoteText } from './literal.ts';

/** Rows at hand in place of a relation. `columns` are those that the query reads, with their types. */
export interface RowsAtHand {
  readonly columns: Readonly<Record<string, string>>;
  readonly rows: readonly Row[];
}

/** A query over some rows at hand: the same text as a run's, behind expressions that hold the rows in place of its files. */
export function withRows(query: Query, given: Readonly<Record<string, RowsAtHand>>): Query {
  const names = Object.entries(given).map(([name, { columns, rows }]) => `${name} AS (\n  ${rowsSql(columns, rows)}\n)`);
  if (names.length === 0) return query;
  const text = query.sql.trim();
  const rest = /^WITH\s/i.test(text) ? `, ${text.slice(4).trimStart()}` : `\n${text}`;
  return {
    ...query,
    sql: `WITH ${names.join(', ')}${rest}`,
    relations: Object.fromEntries(Object.entries(query.relations ?? {}).filter(([name]) => !Object.hasOwn(given, name))),
  };
}

function rowsSql(columns: Readonly<Record<string, string>>, rows: readonly Row[]): string {
  const select = (row: Row | undefined): string =>
    `SELECT ${Object.entries(columns)
      .map(([name, type]) => `${literal(row?.[name], type)} AS ${name}`)
      .join(', ')}`;
  return rows.length === 0 ? `${select(undefined)} WHERE 1 = 0` : rows.map(select).join(' UNION ALL ');
}

function literal(value: Cell | undefined, type: string): string {
  if (type === 'array(varchar)') {
    const texts = (value ?? []) as readonly string[];
    return texts.length === 0 ? NO_TEXTS : `ARRAY[${texts.map(quoteText).join(', ')}]`;
  }
  const text =
    typeof value === 'boolean' || typeof value === 'number' || typeof value === 'bigint'
      ? String(value).toUpperCase()
      : typeof value === 'string'
        ? quoteText(value)
        : 'NULL';
  return `CAST(${text} AS ${type})`;
}

/** Rows of some members in a ledger or its rejections. */
export const membersQuery = (columns: Readonly<Record<string, string>>, keys: readonly string[], relation: Relation): Query => ({
  sql: `SELECT ${Object.keys(columns).join(', ')} FROM own WHERE member IN (${keys.map(quoteText).join(', ')})`,
  relations: { own: relation },
});

/** How many identifiers the tables of role identifiers hold of a person's ids: `namespace`, `n`. */
export function identifierCountsQuery(tables: readonly Table[], ids: readonly string[]): Query {
  const rows = tables.map((table) => {
    const at = (field: string): string => `i.${quoteName(fieldOf(table, field).name)}`;
    return `SELECT ${at('namespace')} AS namespace FROM ${quoteTable(table.physicalName)} i
  WHERE CAST(${at('customer_id')} AS varchar) IN (${ids.map(quoteText).join(', ')}) AND ${notBlank(at('value'))}`;
  });
  return { sql: `SELECT namespace, count(*) AS n FROM (${rows.join('\nUNION ALL\n')}) i GROUP BY namespace`, tables };
}

/** Which identifier columns of the customers table hold something for a customer: one row, `n_<i>` of 0 or 1 in the order of `columns`. */
export function identifierColumnsQuery(customers: Table, columns: readonly string[], customerId: string): Query {
  const id = `CAST(c.${quoteName(fieldOf(customers, 'customer_id').name)} AS varchar)`;
  const counts = columns.map(
    (name, i) => `CASE WHEN ${notBlank(`CAST(c.${quoteName(name)} AS varchar)`)} THEN 1 ELSE 0 END AS n_${i}`,
  );
  return {
    sql: `SELECT ${counts.join(', ')} FROM ${quoteTable(customers.physicalName)} c WHERE ${id} = ${quoteText(customerId)}`,
    tables: [customers],
  };
}
