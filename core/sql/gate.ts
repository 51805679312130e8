import { STATUSES } from '../consent.ts';
import type { Column, LogicalType, QualityRule, Table } from '../model.ts';
import type { Query, Row } from '../ports.ts';
import { nearest } from '../problems.ts';
import { SIGNAL_KINDS } from '../signals.ts';
import { durationText, minus } from '../time.ts';
import { fieldOf } from './event.ts';
import { millisecondsOf, quoteName, quoteTable, quoteText } from './literal.ts';

/** What is wrong with a table. `schema`: table and contract disagree. `data`: its rows break the contract. Counts only, never a value. */
export interface GateFinding {
  readonly kind: 'schema' | 'data';
  /** The table's name in its contract. */
  readonly table: string;
  readonly message: string;
}

/** A table as the warehouse sees it; null when it is not there. */
export type Described = readonly { readonly name: string; readonly type: string }[] | null;

/** One query a table, one row each: every count that `dataFindings` judges. Columns `n` and `c0`, `c1`, ... in the order of `checksOf`. */
export const gateQueries = (
  tables: readonly Table[],
  tick: number,
): readonly { readonly table: Table; readonly query: Query }[] =>
  tables.map((table) => ({ table, query: gateQuery(table, tick) }));

export function gateQuery(table: Table, tick: number): Query {
  const checks = checksOf(table, tick);
  const from = `${quoteTable(table.physicalName)} t`;
  const unique = checks.find((check) => check.unique !== undefined)?.unique;
  const tables = [table];
  if (unique === undefined) {
    const counts = checks.map((check, i) => `${aloneSql(table, check)} AS c${i}`);
    return { sql: `SELECT ${['count(*) AS n', ...counts].join(',\n  ')}\nFROM ${from}`, tables };
  }
  // Rows are grouped by the column that must be unique, and counted on the way: what is asked of the others costs no second look at it.
  const inner = checks.flatMap(({ sql, unique: other }, i) => (other === undefined ? [`${sql} AS c${i}`] : []));
  const outer = checks.map((check, i) => {
    if (check.unique === unique) return `count(CASE WHEN g.id IS NOT NULL AND g.n > 1 THEN 1 END) AS c${i}`;
    return `${check.unique === undefined ? `${check.newest ? 'max' : 'sum'}(g.c${i})` : aloneSql(table, check)} AS c${i}`;
  });
  return {
    sql: `SELECT ${['sum(g.n) AS n', ...outer].join(',\n  ')}
FROM (
  SELECT ${[`t.${quoteName(unique)} AS id`, 'count(*) AS n', ...inner].join(',\n    ')}
  FROM ${from} GROUP BY t.${quoteName(unique)}
) g`,
    tables,
  };
}

/** Everything that is wrong with a table; its rows are judged only when its columns are right. */
export function gateFindings(table: Table, described: Described, rows: readonly Row[], tick: number): readonly GateFinding[] {
  const schema = schemaFindings(table, described);
  return schema.length > 0 ? schema : dataFindings(table, rows[0], tick);
}

/** Compares the declared columns with the table's. */
export function schemaFindings(table: Table, described: Described): readonly GateFinding[] {
  const find = (message: string): GateFinding => ({ kind: 'schema', table: table.name, message });
  if (described === null) return [find(`The table "${table.name}" is not there. ${table.file} says where it should be.`)];
  // Both engines compare names of columns without regard to case.
  const types = new Map(described.map(({ name, type }) => [name.toLowerCase(), type]));
  return table.columns.flatMap((column): GateFinding[] => {
    const type = types.get(column.name.toLowerCase());
    if (type === undefined) {
      const near = nearest(column.name, types.keys());
      return [
        find(
          `"${table.name}" has no column "${column.name}", which ${table.file} declares.${near === undefined ? '' : ` It has "${near}".`} ` +
            'A renamed column is a new major version of the contract.',
        ),
      ];
    }
    return fits(type, column)
      ? []
      : [
          find(
            `"${table.name}.${column.name}" is of type ${type}; ${table.file} declares ${declared(column)}. A retyped column is a new major version of the contract.`,
          ),
        ];
  });
}

const declared = ({ type, zoned }: Column): string => (type === 'timestamp' && zoned ? 'timestamp with time zone' : type);

/** Judges the row of `gateQuery`. */
export function dataFindings(table: Table, row: Row | undefined, tick: number): readonly GateFinding[] {
  const find = (message: string): GateFinding => ({ kind: 'data', table: table.name, message });
  const n = Number(row?.['n'] ?? 0);
  if (n === 0 && table.role === 'customers') return [find(`"${table.name}" is empty: everybody would be removed.`)];
  return checksOf(table, tick).flatMap(({ judge }, i) => {
    const cell = row?.[`c${i}`];
    const message = judge(cell === null || cell === undefined ? null : Number(cell), n);
    return message === undefined ? [] : [find(message)];
  });
}

/** Consent records with a status the contract does not list, or none and no string either: they refuse, and somebody should know. Column `n`. */
export function unknownStatusQuery(table: Table): Query {
  const words = Object.keys(table.statuses ?? Object.fromEntries(STATUSES.map((word) => [word, word])));
  const at = (field: string): string => `t.${quoteName(fieldOf(table, field).name)}`;
  const wordless = [
    `${at('status')} IS NULL`,
    ...SIGNAL_KINDS.filter((kind) => table.fields[kind] !== undefined).map((kind) => `coalesce(${at(kind)}, '') = ''`),
  ];
  return {
    sql: `SELECT count(*) AS n FROM ${quoteTable(table.physicalName)} t WHERE (${wordless.join(' AND ')}) OR ${at('status')} NOT IN (${words.map(quoteText).join(', ') || `''`})`,
    tables: [table],
  };
}

/** What `unknownStatusQuery` found: nothing that stops a run, because the records refuse. Undefined when all statuses are known. */
export function qualityFinding(table: Table, row: Row | undefined): QualityFinding | undefined {
  const rows = Number(row?.['n'] ?? 0);
  if (rows === 0) return undefined;
  const have = `${some(rows)} of "${table.name}" ${rows === 1 ? 'has a status' : 'have statuses'} that ${table.file} does not list`;
  return {
    table: table.name,
    rows,
    message: `${have}, so ${rows === 1 ? 'it refuses' : 'they refuse'}. List the words under sluice.statuses.`,
  };
}

/** Rows that a run goes on with, on the safe side, and that somebody should mend. */
export interface QualityFinding {
  readonly table: string;
  readonly rows: number;
  readonly message: string;
}

interface Check {
  /** An aggregate over `t`: a count, or where it is the `newest` epoch milliseconds. Not of a check that a column is `unique`. */
  readonly sql: string;
  readonly newest?: boolean;
  /** The check counts how many values this column has more than once. */
  readonly unique?: string;
  /** The message when it is wrong; `n` rows in all. */
  readonly judge: (count: number | null, n: number) => string | undefined;
}

const some = (count: number): string => `${count.toLocaleString('en-US')} ${count === 1 ? 'row' : 'rows'}`;

function checksOf(table: Table, tick: number): readonly Check[] {
  return [
    ...identityChecks(table),
    ...requiredChecks(table),
    ...freshnessChecks(table, tick),
    ...table.quality.map((rule) => qualityCheck(table, rule)),
  ];
}

/** A customer is one row, and has an id. */
function identityChecks(table: Table): readonly Check[] {
  if (table.role !== 'customers') return [];
  const column = fieldOf(table, 'customer_id');
  const id = `CAST(t.${quoteName(column.name)} AS varchar)`;
  return [
    {
      sql: `count(CASE WHEN ${id} IS NULL OR ${id} = '' THEN 1 END)`,
      judge: (count) =>
        count ? `${some(count)} of "${table.name}" ${count === 1 ? 'has' : 'have'} no ${column.name}.` : undefined,
    },
    {
      sql: '',
      unique: column.name,
      judge: (count) =>
        count
          ? `${count.toLocaleString('en-US')} ${count === 1 ? 'value' : 'values'} of "${table.name}.${column.name}" ${count === 1 ? 'is' : 'are'} there more than once.`
          : undefined,
    },
  ];
}

/** A check by itself. Values that are there more than once are grouped, not count(DISTINCT), which engines keep in memory. */
const aloneSql = (table: Table, { sql, unique: column }: Check): string =>
  column === undefined
    ? sql
    : `(SELECT count(*) FROM (SELECT 1 AS one FROM ${quoteTable(table.physicalName)} d WHERE d.${quoteName(column)} IS NOT NULL GROUP BY d.${quoteName(column)} HAVING count(*) > 1) g)`;

function requiredChecks(table: Table): readonly Check[] {
  const id = table.role === 'customers' ? table.fields['customer_id'] : undefined;
  const fields = new Set(Object.values(table.fields));
  return table.columns
    .filter(({ name, required }) => required && name !== id && (table.role === 'customers' || fields.has(name)))
    .map(({ name }) => ({
      sql: `count(CASE WHEN t.${quoteName(name)} IS NULL THEN 1 END)`,
      judge: (count: number | null) =>
        count
          ? `${some(count)} of "${table.name}" ${count === 1 ? 'has' : 'have'} no ${name}, which the contract requires.`
          : undefined,
    }));
}

function freshnessChecks(table: Table, tick: number): readonly Check[] {
  const { freshness } = table;
  const column = table.columns.find(({ name }) => name === freshness?.column);
  if (freshness === undefined || column === undefined) return [];
  const oldest = minus(tick, freshness.maxAge, 'UTC');
  return [
    {
      sql: `max(${millisecondsOf(`t.${quoteName(column.name)}`, column)})`,
      newest: true,
      judge: (newest) => {
        const limit = `the contract allows ${durationText(freshness.maxAge)}`;
        if (newest === null) return `"${table.name}.${column.name}" has no value to tell its age by; ${limit}.`;
        return newest < oldest
          ? `"${table.name}" is stale: the newest ${column.name} is ${age(tick - newest)} old; ${limit}.`
          : undefined;
      },
    },
  ];
}

function age(ms: number): string {
  const hours = Math.floor(ms / 3_600_000);
  if (hours >= 48) return `${Math.floor(hours / 24)} days`;
  return hours >= 1 ? `${hours} ${hours === 1 ? 'hour' : 'hours'}` : `${Math.floor(ms / 60_000)} minutes`;
}

function qualityCheck(table: Table, rule: QualityRule): Check {
  switch (rule.kind) {
    case 'row-count':
      return {
        sql: 'count(*)',
        judge: (_count, n) => {
          if (rule.min !== undefined && n < rule.min)
            return `"${table.name}" has ${some(n)}; the contract asks for at least ${rule.min.toLocaleString('en-US')}.`;
          return rule.max !== undefined && n > rule.max
            ? `"${table.name}" has ${some(n)}; the contract allows at most ${rule.max.toLocaleString('en-US')}.`
            : undefined;
        },
      };
    case 'null-values':
      return {
        sql: `count(CASE WHEN t.${quoteName(rule.column)} IS NULL THEN 1 END)`,
        judge: (count, n) => {
          const percent = n === 0 ? 0 : ((count ?? 0) / n) * 100;
          return percent > rule.maxPercent
            ? `${percent.toFixed(1)} % of "${table.name}.${rule.column}" is unknown; the contract allows ${rule.maxPercent} %.`
            : undefined;
        },
      };
    case 'unique':
      return {
        sql: '',
        unique: rule.column,
        judge: (count) =>
          count
            ? `${count.toLocaleString('en-US')} ${count === 1 ? 'value' : 'values'} of "${table.name}.${rule.column}" ${count === 1 ? 'is' : 'are'} there more than once.`
            : undefined,
      };
  }
}

/** Type names of Trino and DuckDB, lower case and without arguments, that hold what a logical type promises. */
const FITS: Readonly<Record<LogicalType, ReadonlySet<string>>> = {
  string: new Set(['varchar', 'char', 'string', 'text', 'uuid', 'enum']),
  integer: new Set([
    'tinyint',
    'smallint',
    'int',
    'integer',
    'bigint',
    'hugeint',
    'utinyint',
    'usmallint',
    'uinteger',
    'ubigint',
    'uhugeint',
  ]),
  number: new Set([
    'decimal',
    'numeric',
    'double',
    'real',
    'float',
    'tinyint',
    'smallint',
    'int',
    'integer',
    'bigint',
    'hugeint',
    'utinyint',
    'usmallint',
    'uinteger',
    'ubigint',
  ]),
  boolean: new Set(['boolean', 'bool']),
  date: new Set(['date']),
  timestamp: new Set(['timestamp', 'datetime', 'timestamp_s', 'timestamp_ms', 'timestamp_ns', 'timestamp without time zone']),
};
const ZONED: ReadonlySet<string> = new Set(['timestamp with time zone', 'timestamptz']);

function fits(type: string, column: Column): boolean {
  const base = type
    .toLowerCase()
    .replace(/\([^)]*\)/g, '')
    .replace(/\s+/g, ' ')
    .trim();
  return (column.type === 'timestamp' && column.zoned ? ZONED : FITS[column.type]).has(base);
}
