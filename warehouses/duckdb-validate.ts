import { DuckDBInstance } from '@duckdb/node-api';
import type { Table } from '../core/model.ts';
import type { SqlVerdict } from '../core/ports.ts';
import { nearest } from '../core/problems.ts';
import { quoteName, quoteTable } from '../core/sql/literal.ts';
import { sqlType } from './duckdb.ts';
import { MACROS, SETTINGS } from './duckdb-macros.ts';

/**
 * Functions that hand-written SQL may use: those that mean the same to Trino and to DuckDB with the macro pack (docs/sql.md).
 * Operators appear under their own names; `to_days` and `trunc` are what `interval '30' day` becomes inside DuckDB.
 */
const FUNCTIONS: ReadonlySet<string> = new Set(
  `+ - * / % || = <> < <= > >= ~~ !~~ like_escape not_like_escape abs ceil ceiling floor round mod power sqrt sign greatest least coalesce nullif if
  lower upper length substr substring replace strpos split_part reverse starts_with concat trim ltrim rtrim lpad rpad chr regexp_like regexp_replace
  count count_star sum avg min max min_by max_by arg_min arg_max bool_and bool_or every array_agg stddev stddev_pop stddev_samp var_pop var_samp variance
  row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
  date_diff date_add date_trunc year month day hour minute second quarter week day_of_week day_of_year date_part extract to_unixtime from_unixtime
  to_days to_hours to_minutes to_seconds to_months to_years to_weeks trunc
  cardinality element_at contains array_join array_distinct unnest sha256 to_hex to_utf8 from_base normalize json_extract_scalar array_except array_union
  encode hex unhex system.main.sha256`.split(/\s+/),
);

interface Node {
  readonly [key: string]: unknown;
}

/**
 * One SELECT, of known functions, over the workspace's tables: read by DuckDB's own parser and bound against empty tables made from the
 * contracts, in an instance that can reach nothing outside.
 */
export async function validateSql(sql: string, tables: readonly Table[]): Promise<SqlVerdict> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    for (const statement of [...MACROS, ...SETTINGS]) await connection.run(statement);
    for (const table of tables) {
      const [schema, name] = table.physicalName.split('.');
      if (name !== undefined) await connection.run(`CREATE SCHEMA IF NOT EXISTS ${quoteName(schema ?? '')}`);
      const columns = table.columns.map((column) => `${quoteName(column.name)} ${sqlType(column)}`).join(', ');
      await connection.run(`CREATE TABLE IF NOT EXISTS ${quoteTable(table.physicalName)} (${columns})`);
    }
    await connection.run('SET enable_external_access = false');
    await connection.run('SET lock_configuration = true');

    const reader = await connection.runAndReadAll('SELECT json_serialize_sql($1::VARCHAR)', [sql]);
    const parsed = JSON.parse(String(reader.getRows()[0]?.[0])) as Node;
    if (parsed['error'] === true) return refused(parsed);
    const statements = parsed['statements'] as readonly Node[];
    if (statements.length !== 1) return { ok: false, message: `Write one SELECT; there are ${statements.length} statements.` };
    const stranger = firstStranger(parsed, tables);
    if (stranger !== undefined) return stranger;

    const prepared = await connection.runAndReadAll(`DESCRIBE ${sql}`);
    const columns = prepared.getRowObjectsJS().map((row) => ({ name: String(row['column_name']), type: String(row['column_type']).toLowerCase() }));
    return { ok: true, columns };
  } catch (error) {
    return bindError(error instanceof Error ? error.message : String(error), sql);
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

function refused(parsed: Node): SqlVerdict {
  const message = String(parsed['error_message'] ?? 'This is no SQL.');
  if (/only select statements/i.test(message)) return { ok: false, message: 'Only one SELECT may stand here; it must not change anything.' };
  const position = Number(parsed['position']);
  return { ok: false, message: tidy(message), ...(Number.isInteger(position) && { offset: position }) };
}

/** The first function, table or table function that is not allowed, anywhere in the syntax tree. */
function firstStranger(node: unknown, tables: readonly Table[], ctes: ReadonlySet<string> = new Set()): SqlVerdict | undefined {
  if (Array.isArray(node)) {
    for (const one of node) {
      const found = firstStranger(one, tables, ctes);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (typeof node !== 'object' || node === null) return undefined;
  const record = node as Node;
  const offset = typeof record['query_location'] === 'number' ? record['query_location'] : undefined;
  const at = offset !== undefined && offset < 2 ** 40 ? { offset } : {};
  const own = new Set([...ctes, ...cteNames(record)]);
  if (record['type'] === 'TABLE_FUNCTION') {
    const name = String((record['function'] as Node | undefined)?.['function_name'] ?? '');
    if (name !== 'unnest') return { ok: false, message: `The table function ${name} may not be used here; read the tables of the contracts.`, ...at };
  }
  if (record['type'] === 'BASE_TABLE') {
    const name = [record['schema_name'], record['table_name']].filter((part) => typeof part === 'string' && part !== '').join('.');
    const known = tables.map((table) => table.physicalName);
    if (!own.has(name) && !known.includes(name)) {
      const near = nearest(name, known);
      return { ok: false, message: `No contract describes a table "${name}".`, ...(near && { suggestion: near }), ...at };
    }
  }
  const called = record['class'] === 'FUNCTION' || record['class'] === 'WINDOW' ? String(record['function_name'] ?? '').toLowerCase() : '';
  if (called !== '' && !FUNCTIONS.has(called)) {
    const near = nearest(called, [...FUNCTIONS]);
    return { ok: false, message: `The function ${called} may not be used: it is not the same on every engine.`, ...(near && { suggestion: near }), ...at };
  }
  for (const value of Object.values(record)) {
    const found = firstStranger(value, tables, own);
    if (found !== undefined) return found;
  }
  return undefined;
}

function cteNames(record: Node): string[] {
  const map = (record['cte_map'] as Node | undefined)?.['map'];
  return Array.isArray(map) ? map.map((entry: Node) => String(entry['key'])) : [];
}

function bindError(text: string, sql: string): SqlVerdict {
  const first = text.split('\n')[0] ?? text;
  const candidate = /Candidate bindings: "([^"]+)"/.exec(text)?.[1] ?? /Did you mean "([^"]+)"/.exec(text)?.[1];
  const caret = caretOffset(text, sql);
  return { ok: false, message: tidy(first), ...(candidate && { suggestion: candidate }), ...(caret !== undefined && { offset: caret }) };
}

/** DuckDB shows the line and a caret under it; the offset in the text is the caret's place in that line. */
function caretOffset(text: string, sql: string): number | undefined {
  const match = /\nLINE (\d+): (.*)\n( *)\^/.exec(text);
  if (match === null) return undefined;
  const line = Number(match[1]) - 1;
  const shown = (match[2] ?? '').replace(/^\.\.\.|\.\.\.$/g, '');
  const start = sql.split('\n').slice(0, line).reduce((sum, one) => sum + one.length + 1, 0);
  const within = (sql.split('\n')[line] ?? '').replace(/^DESCRIBE /, '').indexOf(shown.replace(/^DESCRIBE /, ''));
  const caret = (match[3] ?? '').length - `LINE ${match[1]}: `.length - (match[2]?.startsWith('...') ? 3 : 0);
  const described = line === 0 && shown.startsWith('DESCRIBE ') ? 'DESCRIBE '.length : 0;
  return Math.max(0, start + Math.max(0, within) + caret - described);
}

const tidy = (message: string): string =>
  message
    .replace(/^(Binder|Catalog|Parser|Syntax) Error: /i, '')
    .replace(/\s*(Candidate bindings|Did you mean).*$/s, '')
    .replace(/!?$/, (end) => (end === '!' ? '.' : ''));
