import { mkdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import type { Column, LogicalType, Server, Table } from '../core/model.ts';
import type { FileSet, Query, Relation, Row, Warehouse } from '../core/ports.ts';
import { quoteName, quoteTable, quoteText } from '../core/sql/literal.ts';
import { warehouseError } from './duckdb-errors.ts';
import { MACROS, SETTINGS } from './duckdb-macros.ts';
import { validateSql } from './duckdb-validate.ts';

export interface DuckDbOptions {
  /** The workspace's folder: relative paths of local servers start here. */
  readonly dir: string;
  /** Where DuckDB spills what does not fit into memory. Left out where nothing large is asked for. */
  readonly temporary?: string;
  /** Which of a contract's `servers` is read. Default `local`. */
  readonly environment?: string;
  /** Such as `2GiB`. */
  readonly memoryLimit?: string;
  readonly threads?: number;
}

/**
 * The embedded warehouse: Parquet, CSV, JSON lines and DuckDB files as activation tables, our SQL through the macro pack.
 * Every query has a connection of its own, so that the names of one are never seen by another.
 */
export async function openDuckDb(options: DuckDbOptions): Promise<Warehouse> {
  if (options.temporary !== undefined) mkdirSync(options.temporary, { recursive: true });
  const instance = await DuckDBInstance.create(':memory:', {
    ...(options.temporary !== undefined && { temp_directory: options.temporary }),
    memory_limit: options.memoryLimit ?? '3GiB',
    ...(options.threads !== undefined && { threads: String(options.threads) }),
  });
  const setup = await instance.connect();
  for (const statement of MACROS) await setup.run(statement);
  setup.closeSync();
  return new DuckDb(instance, options);
}

class DuckDb implements Warehouse {
  readonly name = 'duckdb';
  readonly #instance: DuckDBInstance;
  readonly #options: DuckDbOptions;
  readonly #attached = new Map<string, string>();

  constructor(instance: DuckDBInstance, options: DuckDbOptions) {
    this.#instance = instance;
    this.#options = options;
  }

  async describe(table: Table): Promise<readonly { readonly name: string; readonly type: string }[] | null> {
    return this.#with(async (connection) => {
      const source = await this.#source(connection, table);
      if (source === null) return null;
      const columns = await columnsOf(connection, source.raw);
      if (!source.text) return columns;
      return describeText(connection, source.raw, columns, table);
    });
  }

  async rows(query: Query): Promise<readonly Row[]> {
    return this.#with(async (connection) => {
      await this.#bind(connection, query);
      return (await connection.runAndReadAll(query.sql)).getRowObjectsJS() as unknown as Row[];
    });
  }

  async materialize(query: Query, prefix: string): Promise<FileSet> {
    return this.#with(async (connection) => {
      await this.#bind(connection, query);
      mkdirSync(prefix, { recursive: true });
      const location = join(prefix, 'part-0.parquet');
      const rows = await copied(connection, `COPY (${query.sql}) TO ${quoteText(location)} (FORMAT parquet, COMPRESSION zstd)`);
      return { format: 'parquet', locations: [location], rows, bytes: statSync(location).size };
    });
  }

  async unload(query: Query, prefix: string, shards: number): Promise<readonly FileSet[]> {
    return this.#with(async (connection) => {
      await this.#bind(connection, query);
      mkdirSync(prefix, { recursive: true });
      // DuckDB has no partitioned COPY to JSON: the result is kept once, then written shard by shard.
      if (shards > 1) await connection.run(`CREATE TEMP TABLE sluice_unload AS ${query.sql}`);
      const sets: FileSet[] = [];
      for (let shard = 0; shard < shards; shard++) {
        const location = join(prefix, `${String(shard).padStart(2, '0')}.jsonl`);
        const from = shards > 1 ? `sluice_unload WHERE shard = ${shard}` : `(${query.sql}) x`;
        const rows = await copied(connection, `COPY (SELECT * EXCLUDE (shard) FROM ${from}) TO ${quoteText(location)} (FORMAT json)`);
        sets.push({ format: 'jsonl', locations: [location], rows, bytes: statSync(location).size });
      }
      return sets;
    });
  }

  validate(sql: string, tables: readonly Table[]) {
    return validateSql(sql, tables);
  }

  close(): Promise<void> {
    this.#instance.closeSync();
    return Promise.resolve();
  }

  async #with<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    const connection = await this.#instance.connect();
    try {
      for (const statement of SETTINGS) await connection.run(statement);
      return await work(connection);
    } catch (error) {
      throw warehouseError(error);
    } finally {
      connection.closeSync();
    }
  }

  async #bind(connection: DuckDBConnection, query: Query): Promise<void> {
    for (const table of query.tables ?? []) {
      const source = await this.#source(connection, table);
      if (source === null) throw new Error(`Catalog Error: the table ${table.physicalName} is not there (${table.file})`);
      await connection.run(viewOf(table.physicalName, source.text ? typed(source.raw, table.columns) : source.raw));
    }
    for (const [name, relation] of Object.entries(query.relations ?? {})) await connection.run(viewOf(name, relationSql(relation)));
  }

  /** SELECT over the files of a table; `text` when they have no types of their own. Null when nothing is there. */
  async #source(connection: DuckDBConnection, table: Table): Promise<{ readonly raw: string; readonly text: boolean } | null> {
    const server = this.#server(table);
    if (server.type === 'duckdb') {
      const database = await this.#attach(connection, resolve(this.#options.dir, server.database));
      if (database === null) return null;
      const name = table.physicalName.split('.').at(-1) ?? table.physicalName;
      const found = await connection.runAndReadAll(
        `SELECT 1 FROM information_schema.tables WHERE table_catalog = ${quoteText(database)} AND table_schema = ${quoteText(server.schema)} AND table_name = ${quoteText(name)}`,
      );
      if (found.currentRowCount === 0) return null;
      return { raw: `SELECT * FROM ${quoteName(database)}.${quoteName(server.schema)}.${quoteName(name)}`, text: false };
    }
    if (server.type !== 'local') throw new Error(`Not implemented Error: ${table.file} keeps its table in ${server.type}, which DuckDB cannot read`);
    const path = quoteText(resolve(this.#options.dir, server.path));
    const files = await connection.runAndReadAll(`SELECT count(*) FROM glob(${path})`);
    if (Number(files.getRows()[0]?.[0]) === 0) return null;
    if (server.format === 'parquet') return { raw: `SELECT * FROM read_parquet(${path})`, text: false };
    if (server.format === 'csv') return { raw: `SELECT * FROM read_csv(${path}, header = true, all_varchar = true)`, text: true };
    // The names are the file's, the values texts: their types are the contract's to say.
    const names = await columnsOf(connection, `SELECT * FROM read_json(${path}, sample_size = -1)`).catch(() => []);
    // An empty file has no names of its own.
    const all = names.length === 0 || (names.length === 1 && names[0]?.name === 'json') ? table.columns.map(({ name }) => name) : names.map(({ name }) => name);
    const columns = all.map((name) => `${quoteText(name)}: 'VARCHAR'`).join(', ');
    return { raw: `SELECT * FROM read_json(${path}, columns = {${columns}})`, text: true };
  }

  #server(table: Table): Server {
    const environment = this.#options.environment ?? 'local';
    const server = table.servers[environment];
    if (server === undefined) throw new Error(`Catalog Error: ${table.file} has no server "${environment}"`);
    return server;
  }

  async #attach(connection: DuckDBConnection, path: string): Promise<string | null> {
    const known = this.#attached.get(path);
    if (known !== undefined) return known;
    const found = await connection.runAndReadAll(`SELECT count(*) FROM glob(${quoteText(path)})`);
    if (Number(found.getRows()[0]?.[0]) === 0) return null;
    const name = `file_${this.#attached.size}`;
    await connection.run(`ATTACH IF NOT EXISTS ${quoteText(path)} AS ${quoteName(name)} (READ_ONLY)`);
    this.#attached.set(path, name);
    return name;
  }
}

async function copied(connection: DuckDBConnection, sql: string): Promise<number> {
  return Number((await connection.runAndReadAll(sql)).getRows()[0]?.[0] ?? 0);
}

async function columnsOf(connection: DuckDBConnection, select: string): Promise<{ name: string; type: string }[]> {
  const described = await connection.runAndReadAll(`DESCRIBE ${select}`);
  return described.getRowObjectsJS().map((row) => ({ name: String(row['column_name']), type: String(row['column_type']).toLowerCase() }));
}

/** Texts are of the declared type when every value can be read as it; `varchar` is what the gate then complains of. */
async function describeText(
  connection: DuckDBConnection,
  raw: string,
  columns: readonly { readonly name: string }[],
  table: Table,
): Promise<{ name: string; type: string }[]> {
  const declared = new Map(table.columns.map((column) => [column.name, column]));
  const checks = columns.map(({ name }, i) => {
    const column = declared.get(name);
    return column === undefined || column.type === 'string'
      ? `0 AS c${i}`
      : `count(*) FILTER (WHERE ${quoteName(name)} IS NOT NULL AND TRY_CAST(${quoteName(name)} AS ${sqlType(column)}) IS NULL) AS c${i}`;
  });
  const [wrong] = (await connection.runAndReadAll(`SELECT ${checks.join(', ') || '0'} FROM (${raw}) x`)).getRowObjectsJS();
  return columns.map(({ name }, i) => {
    const column = declared.get(name);
    const type = column === undefined || Number(wrong?.[`c${i}`] ?? 0) > 0 ? 'varchar' : sqlType(column).toLowerCase();
    return { name, type };
  });
}

const SQL_TYPES: Readonly<Record<LogicalType, string>> = {
  string: 'VARCHAR',
  integer: 'BIGINT',
  number: 'DECIMAL',
  boolean: 'BOOLEAN',
  date: 'DATE',
  timestamp: 'TIMESTAMP',
};

/** DuckDB's type for a declared column. */
export function sqlType(column: Pick<Column, 'type' | 'scale' | 'zoned'>): string {
  if (column.type === 'number') return `DECIMAL(38,${column.scale})`;
  return column.type === 'timestamp' && column.zoned ? 'TIMESTAMP WITH TIME ZONE' : SQL_TYPES[column.type];
}

const typed = (raw: string, columns: readonly Column[]): string =>
  `SELECT ${columns.map((column) => `CAST(${quoteName(column.name)} AS ${sqlType(column)}) AS ${quoteName(column.name)}`).join(', ')} FROM (${raw}) x`;

/** Temporary, so only this connection sees it; a name with a schema needs the schema to be there. */
function viewOf(name: string, select: string): string {
  if (!name.includes('.')) return `CREATE TEMP VIEW ${quoteName(name)} AS ${select}`;
  const schema = name.split('.')[0] ?? '';
  return `CREATE SCHEMA IF NOT EXISTS ${quoteName(schema)}; CREATE OR REPLACE VIEW ${quoteTable(name)} AS ${select}`;
}

/** Trino's names of the types that our own files have. */
const RELATION_TYPES: Readonly<Record<string, string>> = { 'array(varchar)': 'VARCHAR[]' };
const relationType = (type: string): string => RELATION_TYPES[type] ?? type.toUpperCase();

function relationSql({ files, columns }: Relation): string {
  const typedColumns = Object.entries(columns).map(([name, type]) => [name, relationType(type)] as const);
  if (files.locations.length === 0) {
    return `SELECT ${typedColumns.map(([name, type]) => `CAST(NULL AS ${type}) AS ${quoteName(name)}`).join(', ')} WHERE 1 = 0`;
  }
  const locations = `[${files.locations.map(quoteText).join(', ')}]`;
  if (files.format === 'parquet') return `SELECT * FROM read_parquet(${locations})`;
  const struct = typedColumns.map(([name, type]) => `${quoteText(name)}: ${quoteText(type)}`).join(', ');
  return `SELECT * FROM read_json(${locations}, format = 'newline_delimited', columns = {${struct}}, maximum_object_size = 16777216)`;
}
