import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import type { Table } from '../core/model.ts';
import type { SqlVerdict } from '../core/ports.ts';
import { readError } from './duckdb-errors.ts';
import { quoteName, quoteTable } from '../core/sql/literal.ts';
import { MACROS, SETTINGS } from './duckdb-macros.ts';
import { sqlType } from './duckdb-sources.ts';
import { firstStranger, type Stranger } from './duckdb-subset.ts';

/**
 * Checks hand-written SQL with DuckDB's own parser and binder against empty tables made from the contracts, in an instance that can
 * reach nothing outside. The instance is made once for the same tables, because `check` asks for hundreds of audiences.
 */
export class SqlValidator {
  #made: { readonly tables: readonly Table[]; readonly sandbox: Promise<Sandbox> } | undefined;

  async validate(sql: string, tables: readonly Table[]): Promise<SqlVerdict> {
    if (this.#made?.tables !== tables) {
      this.close();
      this.#made = { tables, sandbox: sandboxOf(tables) };
    }
    const { connection } = await this.#made.sandbox;
    const text = sql.trimEnd();
    const tree = await parse(connection, text);
    if (tree['error'] === true) return parseVerdict(tree, text);
    const statements = tree['statements'];
    const count = Array.isArray(statements) ? statements.length : 0;
    if (count !== 1) return { ok: false, message: `Write one SELECT; there are ${count} statements.` };
    const stranger = firstStranger(statements, text, tables);
    if (stranger !== undefined) return strangerVerdict(stranger, text);
    try {
      const prepared = await connection.prepare(text.replace(/;$/, ''));
      const columns = Array.from({ length: prepared.columnCount }, (_, i) => ({
        name: prepared.columnName(i),
        type: String(prepared.columnType(i)).toLowerCase(),
      }));
      return { ok: true, columns };
    } catch (error) {
      const { message, position, candidate } = readError(error);
      return {
        ok: false,
        message: sentence(message),
        ...offsetOf(position, text),
        ...(candidate !== undefined && { suggestion: candidate }),
      };
    }
  }

  close(): void {
    const made = this.#made;
    this.#made = undefined;
    void made?.sandbox.then(({ connection, instance }) => {
      connection.closeSync();
      instance.closeSync();
    });
  }
}

interface Sandbox {
  readonly instance: DuckDBInstance;
  readonly connection: DuckDBConnection;
}

async function sandboxOf(tables: readonly Table[]): Promise<Sandbox> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  for (const statement of [...MACROS, ...SETTINGS]) await connection.run(statement);
  for (const table of tables) {
    const [schema, name] = table.physicalName.split('.');
    if (name !== undefined) await connection.run(`CREATE SCHEMA IF NOT EXISTS ${quoteName(schema ?? '')}`);
    const columns = table.columns.map((column) => `${quoteName(column.name)} ${sqlType(column)}`).join(', ');
    await connection.run(`CREATE TABLE IF NOT EXISTS ${quoteTable(table.physicalName)} (${columns})`);
  }
  await connection.run('SET enable_external_access = false');
  await connection.run('SET lock_configuration = true');
  return { instance, connection };
}

async function parse(connection: DuckDBConnection, sql: string): Promise<Readonly<Record<string, unknown>>> {
  const reader = await connection.runAndReadAll('SELECT json_serialize_sql($1::VARCHAR)', [sql]);
  return JSON.parse(String(reader.getRows()[0]?.[0])) as Record<string, unknown>;
}

function parseVerdict(tree: Readonly<Record<string, unknown>>, sql: string): SqlVerdict {
  const message = typeof tree['error_message'] === 'string' ? tree['error_message'] : 'This can not be read as SQL';
  if (/only select statements/i.test(message))
    return { ok: false, message: 'Only one SELECT may stand here; it must not change anything.' };
  const position = typeof tree['position'] === 'string' ? Number(tree['position']) : undefined;
  return { ok: false, message: sentence(message), ...offsetOf(position, sql) };
}

const strangerVerdict = ({ message, position, suggestion }: Stranger, sql: string): SqlVerdict => ({
  ok: false,
  message,
  ...offsetOf(position, sql),
  ...(suggestion !== undefined && { suggestion }),
});

/** DuckDB counts bytes, we count characters. */
function offsetOf(bytes: number | undefined, sql: string): { readonly offset?: number } {
  if (bytes === undefined || !Number.isInteger(bytes) || bytes < 0) return {};
  return { offset: new TextDecoder().decode(new TextEncoder().encode(sql).slice(0, bytes)).length };
}

const sentence = (message: string): string => {
  const text = message.replace(/[!.]?$/, '');
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;
};
