import type { Column, Table } from '../model.ts';
import { minus, resolveInstant } from '../time.ts';
import { quoteName, quoteText } from './literal.ts';
import { usableRows } from './retention.ts';
import { type EventCondition, instantSql, type RuleScope, ruleSql } from './rule.ts';

/**
 * All event conditions of one query, gathered so that each events table is read once: a row a customer with a number a condition.
 * The numbers are counts and exact decimal sums, so no engine's order of adding changes who is in.
 */
export class EventAggregates {
  readonly #tick: number;
  readonly #tables = new Map<
    string,
    { readonly alias: string; readonly table: Table; readonly numbers: Map<string, { name: string; condition: string }> }
  >();

  /** @param tick "now" of the run: by it rows are past their period */
  constructor(tick: number) {
    this.#tick = tick;
  }

  /** SQL of the number a condition measures, 0 for nothing. The query joins `joins()`. */
  numberOf(condition: EventCondition, scope: Pick<RuleScope, 'tick' | 'zone'>): string {
    const { table, measure } = condition;
    let found = this.#tables.get(table.physicalName);
    if (found === undefined) {
      found = { alias: `sluice_events_${this.#tables.size}`, table, numbers: new Map() };
      this.#tables.set(table.physicalName, found);
    }
    const rows = rowsSql(condition, scope);
    const value = measure.kind === 'sum' ? `sum(${exact(measure.column)})` : 'count(*)';
    const key = `${value} ${rows}`;
    const number = found.numbers.get(key) ?? {
      name: `${measure.kind === 'sum' ? 's' : 'n'}${found.numbers.size}`,
      condition: rows,
    };
    found.numbers.set(key, number);
    return `coalesce(${found.alias}.${number.name}, 0)`;
  }

  get tables(): readonly Table[] {
    return [...this.#tables.values()].map(({ table }) => table);
  }

  /** The common table expressions, `name AS (SELECT ...)`. */
  expressions(): readonly string[] {
    return [...this.#tables.values()].map(({ alias, table, numbers }) => {
      const all = [...numbers.entries()].map(([key, { name, condition }]) => ({
        name,
        condition,
        value: key.slice(0, -condition.length - 1),
      }));
      const one = all.length === 1;
      const columns = all.map(({ name, condition, value }) => `${value}${one ? '' : ` FILTER (WHERE ${condition})`} AS ${name}`);
      const where = one ? (all[0]?.condition ?? 'TRUE') : all.map(({ condition }) => `(${condition})`).join(' OR ');
      return `${alias} AS (
  SELECT CAST(e.${quoteName(fieldOf(table, 'customer_id').name)} AS varchar) AS customer_id, ${columns.join(', ')}
  FROM ${usableRows(table, this.#tick)} e
  WHERE ${where}
  GROUP BY 1
)`;
    });
  }

  /** `LEFT JOIN`s of the expressions to a customer id. */
  joins(customerId: string): readonly string[] {
    return [...this.#tables.values()].map(({ alias }) => `LEFT JOIN ${alias} ON ${alias}.customer_id = ${customerId}`);
  }
}

/** Which rows count. What is dated after the tick has not happened yet. */
function rowsSql({ table, where, within, before, after }: EventCondition, scope: Pick<RuleScope, 'tick' | 'zone'>): string {
  const time = fieldOf(table, 'occurred_at');
  const at = `e.${quoteName(time.name)}`;
  const instant = (ms: number): string => instantSql(ms, time, scope);
  const version = table.columns.find((column) => column.name === table.fields['event_version']);
  const kind = table.columns.find((column) => column.name === table.fields['event']);
  return [
    // A table of several kinds of event says of each row which it is.
    ...(kind === undefined ? [] : [`e.${quoteName(kind.name)} = ${quoteText(table.name)}`]),
    ...(within === undefined ? [] : [`${at} >= ${instant(minus(scope.tick, within, scope.zone))}`]),
    `${at} <= ${instant(scope.tick)}`,
    ...(before === undefined ? [] : [`${at} < ${instant(resolveInstant(before, scope.tick, scope.zone))}`]),
    ...(after === undefined ? [] : [`${at} > ${instant(resolveInstant(after, scope.tick, scope.zone))}`]),
    ...(version === undefined || table.activeVersions === undefined
      ? []
      : [`CAST(e.${quoteName(version.name)} AS varchar) IN (${table.activeVersions.map(quoteText).join(', ') || 'NULL'})`]),
    ...(where === undefined ? [] : [ruleSql(where, { tick: scope.tick, zone: scope.zone }, 'e')]),
  ].join(' AND ');
}

const exact = (column: Column): string =>
  `TRY_CAST(e.${quoteName(column.name)} AS decimal(38,${column.type === 'integer' ? 0 : column.scale}))`;

/** The column that a table has for a field of its role. Contracts without one do not get here. */
export function fieldOf(table: Table, field: string): Column {
  const column = table.columns.find(({ name }) => name === table.fields[field]);
  if (column === undefined) throw new RangeError(`The table ${table.name} has no column for "${field}"`);
  return column;
}
