import { closeSync, fsyncSync, mkdirSync, openSync, statSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import type { Table } from '../core/model.ts';
import type { FileSet, Query, Row, SqlVerdict, Warehouse } from '../core/ports.ts';
import { WarehouseError } from '../core/ports.ts';
import { quoteName, quoteTable, quoteText } from '../core/sql/literal.ts';
import { cellOf } from './duckdb-cells.ts';
import { warehouseError } from './duckdb-errors.ts';
import { MACROS, SETTINGS } from './duckdb-macros.ts';
import { columnsOf, describeText, relationSelect, sourceOf, typedSelect } from './duckdb-sources.ts';
import { SqlValidator } from './duckdb-validate.ts';

export interface DuckDbOptions {
  /** The workspace's folder: relative paths of local servers start here. */
  readonly dir: string;
  /** Where DuckDB spills what does not fit into memory. Left out where nothing large is asked for. */
  readonly temporary?: string;
  /** Which of a contract's `servers` is read. Default `local`. */
  readonly environment?: string;
  /** Such as `2GiB`. Default: half of the machine's memory, 3 GiB at most; what is larger is spilled. */
  readonly memoryLimit?: string;
  /** Default: one a processor. */
  readonly threads?: number;
}

const MOST_MEMORY = 3 * 2 ** 30;

/**
 * The embedded warehouse: Parquet, CSV, JSON and DuckDB files as activation tables, our SQL through the macro pack.
 * Every query has a connection of its own, so that the names of one are never seen by another.
 */
export async function openDuckDb(options: DuckDbOptions): Promise<Warehouse> {
  if (options.temporary !== undefined) mkdirSync(options.temporary, { recursive: true });
  const instance = await DuckDBInstance.create(':memory:', {
    // Without a place of our own DuckDB would spill people's data into the folder it was started in.
    temp_directory: options.temporary ?? '',
    memory_limit: options.memoryLimit ?? `${Math.round(Math.min(MOST_MEMORY, totalmem() / 2) / 2 ** 20)}MiB`,
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
  readonly #attached = new Map<string, Promise<string>>();
  readonly #validator = new SqlValidator();
  #schemas = 0;

  constructor(instance: DuckDBInstance, options: DuckDbOptions) {
    this.#instance = instance;
    this.#options = options;
  }

  async describe(table: Table): Promise<readonly { readonly name: string; readonly type: string }[] | null> {
    return this.#with({ sql: '' }, async (connection) => {
      const source = await this.#source(connection, table, true);
      if (source === null) return null;
      return source.text ? describeText(connection, source.select, table) : columnsOf(connection, source.select);
    });
  }

  async rows(query: Query): Promise<readonly Row[]> {
    return this.#with(query, async (connection) => {
      const reader = await connection.runAndReadAll(query.sql);
      const names = reader.deduplicatedColumnNames();
      return reader.getRows().map((row) => Object.fromEntries(names.map((name, i) => [name, cellOf(row[i])])));
    });
  }

  async materialize(query: Query, prefix: string): Promise<FileSet> {
    return this.#with(query, async (connection) => {
      mkdirSync(prefix, { recursive: true });
      const location = join(prefix, 'part-0.parquet');
      const rows = await copied(connection, `COPY (${query.sql}\n) TO ${quoteText(location)} (FORMAT parquet, COMPRESSION zstd)`);
      return { format: 'parquet', locations: [location], rows, bytes: sealed(location, prefix) };
    });
  }

  async unload(query: Query, prefix: string, shards: number): Promise<readonly FileSet[]> {
    return this.#with(query, async (connection) => {
      mkdirSync(prefix, { recursive: true });
      // DuckDB has no partitioned COPY to JSON: the result is kept once, then written shard by shard.
      if (shards > 1) await connection.run(`CREATE TEMP TABLE sluice_unload AS ${query.sql}`);
      const sets: FileSet[] = [];
      for (let shard = 0; shard < shards; shard++) {
        const location = join(prefix, `${String(shard).padStart(2, '0')}.jsonl`);
        const from = shards > 1 ? `sluice_unload WHERE shard = ${shard}` : `(${query.sql}\n) x`;
        const rows = await copied(
          connection,
          `COPY (SELECT * EXCLUDE (shard) FROM ${from}) TO ${quoteText(location)} (FORMAT json)`,
        );
        sets.push({ format: 'jsonl', locations: [location], rows, bytes: sealed(location, prefix) });
      }
      return sets;
    });
  }

  validate(sql: string, tables: readonly Table[]): Promise<SqlVerdict> {
    return this.#validator.validate(sql, tables);
  }

  close(): Promise<void> {
    this.#validator.close();
    this.#instance.closeSync();
    return Promise.resolve();
  }

  async #with<T>(query: Query, work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    const connection = await this.#instance.connect();
    // Names with a schema can't be temporary: they get a database in memory of their own.
    const database = query.tables?.some(({ physicalName }) => physicalName.includes('.'))
      ? `sluice_query_${this.#schemas++}`
      : undefined;
    try {
      for (const statement of SETTINGS) await connection.run(statement);
      if (database !== undefined) {
        await connection.run(`ATTACH ':memory:' AS ${database}`);
        await connection.run(`SET search_path = '${database}.main,memory.main'`);
      }
      await this.#bind(connection, query, database);
      return await work(connection);
    } catch (error) {
      throw warehouseError(error);
    } finally {
      if (database !== undefined)
        await connection.run(`SET search_path = 'memory.main'; DETACH DATABASE IF EXISTS ${database}`).catch(() => undefined);
      connection.closeSync();
    }
  }

  async #bind(connection: DuckDBConnection, query: Query, database: string | undefined): Promise<void> {
    for (const table of query.tables ?? []) {
      const source = await this.#source(connection, table, false);
      if (source === null)
        throw new WarehouseError(`The table "${table.name}" is not there. ${table.file} says where it should be.`, 'user');
      await connection.run(
        await viewOf(
          connection,
          table.physicalName,
          source.text ? typedSelect(source.select, table.columns) : source.select,
          database,
        ),
      );
    }
    for (const [name, relation] of Object.entries(query.relations ?? {})) {
      await connection.run(`CREATE TEMP VIEW ${quoteName(name)} AS ${relationSelect(relation)}`);
    }
  }

  #source(connection: DuckDBConnection, table: Table, namesFromFile: boolean) {
    const { dir, environment = 'local' } = this.#options;
    return sourceOf(connection, table, { dir, environment, namesFromFile, attach: (on, path) => this.#attach(on, path) });
  }

  async #attach(connection: DuckDBConnection, path: string): Promise<string | null> {
    const found = await connection.runAndReadAll(`SELECT count(*) FROM glob(${quoteText(path)})`);
    if (Number(found.getRows()[0]?.[0]) === 0) return null;
    // Two queries at once may want the same file, and DuckDB opens a file once a process.
    const known = this.#attached.get(path) ?? this.#open(connection, path, `sluice_file_${this.#attached.size}`);
    this.#attached.set(path, known);
    return known;
  }

  async #open(connection: DuckDBConnection, path: string, name: string): Promise<string> {
    try {
      await connection.run(`ATTACH ${quoteText(path)} AS ${quoteName(name)} (READ_ONLY)`);
      return name;
    } catch (error) {
      this.#attached.delete(path);
      throw error;
    }
  }
}

async function viewOf(
  connection: DuckDBConnection,
  physicalName: string,
  select: string,
  database: string | undefined,
): Promise<string> {
  const [schema] = physicalName.split('.');
  if (database === undefined || !physicalName.includes('.')) return `CREATE TEMP VIEW ${quoteName(physicalName)} AS ${select}`;
  await connection.run(`CREATE SCHEMA IF NOT EXISTS ${database}.${quoteName(schema ?? '')}`);
  return `CREATE VIEW ${database}.${quoteTable(physicalName)} AS ${select}`;
}

async function copied(connection: DuckDBConnection, sql: string): Promise<number> {
  return Number((await connection.runAndReadAll(sql)).getRows()[0]?.[0] ?? 0);
}

/** Bytes of a file that is now on the disk and not only in the machine's memory: a pointer may be moved to it next. */
function sealed(location: string, folder: string): number {
  for (const path of [location, folder]) {
    const file = openSync(path, 'r');
    try {
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  }
  return statSync(location).size;
}
