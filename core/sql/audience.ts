import type { Audience, Table, Workspace } from '../model.ts';
import type { Query } from '../ports.ts';
import { EventAggregates, fieldOf } from './event.ts';
import { quoteName, quoteTable } from './literal.ts';
import { usableRows } from './retention.ts';
import { atTick, piecesOf } from './hand-written.ts';
import { type RuleScope, ruleSql } from './rule.ts';

/**
 * Audiences as conditions on one row of the customers table, so that any number of them costs one pass: rules are inlined, event
 * conditions and hand-written audiences are joined by customer id, each once.
 */
export class Audiences {
  readonly #workspace: Workspace;
  readonly #tick: number;
  readonly #events: EventAggregates;
  readonly #handWritten = new Map<string, { readonly alias: string; readonly sql: string }>();
  readonly #open: string[] = [];
  readonly customers: Table;
  /** SQL of the customer id as text, over alias `c`. */
  readonly customerId: string;

  constructor(workspace: Workspace, tick: number) {
    this.#workspace = workspace;
    this.#tick = tick;
    this.#events = new EventAggregates(tick);
    this.customers = customersOf(workspace);
    this.customerId = `CAST(c.${quoteName(fieldOf(this.customers, 'customer_id').name)} AS varchar)`;
  }

  /** A boolean, never NULL: does the audience's rule match the customer? What the audience excludes is not looked at. */
  condition(audience: Audience): string {
    if (this.#open.includes(audience.name))
      throw new RangeError(`The audience "${audience.name}" is made of itself: ${this.#open.join(', ')}`);
    this.#open.push(audience.name);
    try {
      if (audience.sql !== undefined) return `${this.#member(audience.name, audience.sql.text)}.customer_id IS NOT NULL`;
      if (audience.where === undefined) throw new RangeError(`The audience "${audience.name}" has no rule`);
      return `coalesce(${ruleSql(audience.where, this.scope(audience))}, FALSE)`;
    } finally {
      this.#open.pop();
    }
  }

  /** What times, events and references in the audience's rule mean. */
  scope({ timeZone: zone }: Audience): Required<RuleScope> {
    return {
      tick: this.#tick,
      zone,
      event: (condition) => this.#events.numberOf(condition, { tick: this.#tick, zone }),
      audience: (name) => this.named(name),
    };
  }

  /** `condition` of the audience of that name. */
  named(name: string): string {
    const audience = Object.hasOwn(this.#workspace.audiences, name) ? this.#workspace.audiences[name] : undefined;
    if (audience === undefined) throw new RangeError(`There is no audience "${name}"`);
    return this.condition(audience);
  }

  #member(name: string, text: string): string {
    const found = this.#handWritten.get(name) ?? {
      alias: `sluice_audience_${this.#handWritten.size}`,
      sql: atTick(text, this.#tick),
    };
    this.#handWritten.set(name, found);
    return found.alias;
  }

  /** Whether the conditions read nothing but the customers table. */
  get narrow(): boolean {
    return this.#events.tables.length === 0 && this.#handWritten.size === 0;
  }

  expressions(): readonly string[] {
    const written = [...this.#handWritten.values()].map(
      // Its own columns keep their names; only the first counts, and a customer once.
      ({ alias, sql }) => `${alias} AS (
  SELECT DISTINCT CAST(x.customer_id AS varchar) AS customer_id
  FROM (
${this.#usable(sql)}
  ) x (customer_id)
)`,
    );
    return [...this.#events.expressions(), ...written];
  }

  /**
   * Hand-written SQL over what may still be used: a table with a retention is hidden behind a query of its name. Names with a schema can
   * not be hidden; `check` refuses SQL that asks such a table.
   */
  #usable(sql: string): string {
    const hidden = this.#workspace.tables.filter((table) => table.retention !== undefined && isNamed(table, sql));
    if (hidden.length === 0) return sql;
    const queries = hidden.map(
      (table) => `${quoteTable(table.physicalName)} AS (SELECT * FROM ${usableRows(table, this.#tick)} t)`,
    );
    return `WITH ${queries.join(', ')}\nSELECT * FROM (\n${sql}\n) q`;
  }

  /** Table and joins that the conditions need. `all rows`: of the customers also those past their period. */
  from(take: 'usable rows' | 'all rows' = 'usable rows'): string {
    const written = [...this.#handWritten.values()].map(
      ({ alias }) => `LEFT JOIN ${alias} ON ${alias}.customer_id = ${this.customerId}`,
    );
    return [`${usableRows(this.customers, this.#tick, take)} c`, ...this.#events.joins(this.customerId), ...written].join('\n  ');
  }

  /** Activation tables that the conditions read; of hand-written SQL those whose names it has in it. */
  tables(): readonly Table[] {
    const written = [...this.#handWritten.values()].flatMap(({ sql }) =>
      this.#workspace.tables.filter((table) => isNamed(table, sql)),
    );
    const read = [this.customers, ...this.#events.tables, ...written];
    return [...new Map(read.map((table) => [table.physicalName, table])).values()];
  }
}

/** Whether a table's name stands in SQL, quoted or not: rather once too often, since a table that is not needed does no harm. */
export function isNamed({ physicalName }: Table, sql: string): boolean {
  const name = (physicalName.split('.').at(-1) ?? physicalName).toLowerCase();
  const text = piecesOf(sql)
    .map((piece) => (piece.kind === 'text' ? ' ' : piece.text))
    .join('');
  return (
    text
      .toLowerCase()
      .split(/[^\p{L}\p{N}_$]+/u)
      .includes(name) || text.toLowerCase().includes(`"${name}"`)
  );
}

/** The customers whom the audience's rule matches: `customer_id` as text. */
export function audienceQuery(audience: Audience, workspace: Workspace, tick: number): Query {
  const audiences = new Audiences(workspace, tick);
  const condition = audiences.condition(audience);
  const expressions = audiences.expressions();
  const sql = `${expressions.length === 0 ? '' : `WITH ${expressions.join(', ')}\n`}SELECT ${audiences.customerId} AS customer_id
FROM ${audiences.from()}
WHERE ${condition}`;
  return { sql, tables: audiences.tables() };
}

/** The customers table: of several versions the newest one that is active. */
export function customersOf(workspace: Workspace): Table {
  const table = newestOf(workspace.tables.filter(({ role }) => role === 'customers'));
  if (table === undefined) throw new RangeError('No contract declares a table of role customers');
  return table;
}

function newestOf(tables: readonly Table[]): Table | undefined {
  const order = (table: Table) => [table.status === 'active' ? 1 : 0, ...table.version.split('.').map(Number)];
  return tables.toSorted((a, b) => {
    const [left, right] = [order(a), order(b)];
    const at = left.findIndex((number, i) => number !== right[i]);
    return at === -1 ? 0 : (right[at] ?? 0) - (left[at] ?? 0);
  })[0];
}
