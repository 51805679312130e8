import type { Table } from '../model.ts';
import type { Query, Relation, Row } from '../ports.ts';
import { fieldOf } from './event.ts';
import { notBlank } from './identifiers.ts';
import { quoteName, quoteTable, quoteText } from './literal.ts';

/** One person's row of a ledger and of its rejections: LEDGER_COLUMNS, then `times`, `rejected_hash`, `rejected_reason`; one row, or none. */
export const memberQuery = (member: string, ledger: Relation, rejections: Relation): Query => ({
  sql: `SELECT l.member AS member, l.hash AS hash, l.identifiers AS identifiers, l.since AS since, l.outcome AS outcome,
  r.times AS times, r.hash AS rejected_hash, r.reason AS rejected_reason
FROM (SELECT * FROM ledger WHERE member = ${quoteText(member)}) l
FULL OUTER JOIN (SELECT * FROM rejections WHERE member = ${quoteText(member)}) r ON r.member = l.member`,
  relations: { ledger, rejections },
});

/**
 * A query over `snapshot`, `ledger` and `rejections` for one person alone, whose snapshot row is at hand: the same text as a run's, over
 * relations of a row at most. `columns` are those of the snapshot that the query reads.
 */
export function forOne(
  query: Query,
  member: string,
  row: Row | undefined,
  columns: Readonly<Record<string, 'varchar' | 'boolean'>>,
): Query {
  const cells = Object.entries(columns).map(([name, type]) => `CAST(${literal(row?.[name])} AS ${type}) AS ${name}`);
  const own = (relation: string): string => `SELECT * FROM sluice_${relation} WHERE member = ${quoteText(member)}`;
  return {
    sql: `WITH snapshot AS (
  SELECT ${cells.join(', ')}${row === undefined ? ' WHERE 1 = 0' : ''}
), ledger AS (
  ${own('ledger')}
), rejections AS (
  ${own('rejections')}
)
SELECT * FROM (
${query.sql}
) one`,
    relations: Object.fromEntries(
      Object.entries(query.relations ?? {})
        .filter(([name]) => name !== 'snapshot')
        .map(([name, relation]) => [`sluice_${name}`, relation]),
    ),
  };
}

function literal(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'TRUE' : 'FALSE';
  return typeof value === 'string' ? quoteText(value) : 'NULL';
}

/** How many identifiers the tables of role identifiers hold of a customer: `namespace`, `n`. */
export function identifierCountsQuery(tables: readonly Table[], customerId: string): Query {
  const rows = tables.map((table) => {
    const at = (field: string): string => `i.${quoteName(fieldOf(table, field).name)}`;
    return `SELECT ${at('namespace')} AS namespace FROM ${quoteTable(table.physicalName)} i
  WHERE CAST(${at('customer_id')} AS varchar) = ${quoteText(customerId)} AND ${notBlank(at('value'))}`;
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
