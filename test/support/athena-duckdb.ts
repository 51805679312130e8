import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance, type DuckDBValue } from '@duckdb/node-api';
import { LAKE_TABLE } from '../../core/sql/lake-tables.ts';
import { quoteName, quoteText } from '../../core/sql/literal.ts';
import { cellOf } from '../../warehouses/duckdb-cells.ts';
import { MACROS, SETTINGS } from '../../warehouses/duckdb-macros.ts';
import { type AthenaEngine, type EngineResult, QueryFailure, type Unload } from './athena-endpoint.ts';

export interface DuckDbEngineOptions {
  /** Folder whose folders are the buckets. */
  readonly root: string;
  readonly bucket: string;
  /** The bucket of receipts. */
  readonly receipts?: string;
  /** Database of the tables over the bucket, in the catalog `awsdatacatalog`. */
  readonly database: string;
  /** Columns of the tables over the bucket, by their SQL types. */
  readonly columns: Readonly<Record<string, string>>;
  /** Statements that make the other tables, in `awsdatacatalog.<database>`. */
  readonly setup?: readonly string[];
  /** Iceberg tables, `database.table` -> from which epoch ms on which table stands for it, oldest first. */
  readonly versions?: Readonly<Record<string, readonly { readonly from: number; readonly table: string }[]>>;
}

/** Of Trino's functions, those that only the adapter uses. */
const ADAPTER_MACROS = ['CREATE MACRO json_format(j) AS CAST(j AS varchar)'];

/** DuckDB as the engine behind Athena's API: text for text what it is sent, the catalog's projected tables read from the files of a prefix. */
export async function duckDbEngine(options: DuckDbEngineOptions): Promise<AthenaEngine> {
  const instance = await DuckDBInstance.create(':memory:', { temp_directory: '' });
  const setup = await instance.connect();
  for (const statement of [...MACROS, ...ADAPTER_MACROS, `ATTACH ':memory:' AS awsdatacatalog`, ...(options.setup ?? [])])
    await setup.run(statement);
  setup.closeSync();

  async function on<T>(sql: string, work: (connection: DuckDBConnection, text: string, bytes: number) => Promise<T>): Promise<T> {
    const connection = await instance.connect();
    try {
      for (const statement of SETTINGS) await connection.run(statement);
      const { text, bytes } = await bound(connection, asOf(sql, options.versions ?? {}), options);
      return await work(connection, text, bytes);
    } catch (error) {
      throw error instanceof QueryFailure ? error : failureOf(error);
    } finally {
      connection.closeSync();
    }
  }

  return {
    select: (sql) => on(sql, select),
    unload: (statement) =>
      on(statement.sql, async (connection, text, scannedBytes) => ({
        files: await unload(connection, text, statement, options.root),
        scannedBytes,
      })),
    close() {
      instance.closeSync();
      return Promise.resolve();
    },
  };
}

async function select(connection: DuckDBConnection, text: string, scannedBytes: number): Promise<EngineResult> {
  const reader = await connection.runAndReadAll(text);
  const types = reader.columnTypes().map((type) => athenaType(String(type)));
  return {
    columns: reader.deduplicatedColumnNames().map((name, i) => ({ name, type: types[i] ?? 'varchar' })),
    rows: reader.getRows().map((row) => row.map((value, i) => printed(value, types[i] ?? ''))),
    scannedBytes,
  };
}

async function unload(
  connection: DuckDBConnection,
  text: string,
  { to, format, partitionedBy }: Unload,
  root: string,
): Promise<string[]> {
  await connection.run(`CREATE TEMP TABLE unloaded AS ${text}`);
  const names = (await connection.runAndReadAll('DESCRIBE unloaded')).getRows().map(([name]) => String(name));
  if (partitionedBy.length > 0 && names.at(-1) !== partitionedBy[0])
    throw new QueryFailure(
      `HIVE_COLUMN_ORDER_MISMATCH: Partition keys must be the last columns in the table and in the same order as the table properties: [${partitionedBy.join(', ')}]`,
    );
  const files: string[] = [];
  const copy = async (folder: string, where: string, except: string): Promise<void> => {
    const address = `${folder}${randomUUID()}${format === 'JSON' ? '.gz' : ''}`;
    const path = join(root, address.slice('s3://'.length));
    mkdirSync(join(root, folder.slice('s3://'.length)), { recursive: true });
    const how = format === 'JSON' ? 'FORMAT json, COMPRESSION gzip' : 'FORMAT parquet, COMPRESSION zstd';
    const copied = await connection.runAndReadAll(
      `COPY (SELECT *${except} FROM unloaded WHERE ${where}) TO ${quoteText(path)} (${how})`,
    );
    // Athena's writers write only where there is a row.
    if (Number(copied.getRows()[0]?.[0]) > 0) files.push(address);
    else rmSync(path);
  };
  const [by] = partitionedBy;
  if (by === undefined) for (const half of [0, 1]) await copy(to, `rowid % 2 = ${half}`, '');
  else {
    const values = await connection.runAndReadAll(`SELECT DISTINCT ${quoteName(by)} FROM unloaded`);
    for (const [value] of values.getRows())
      for (const half of [0, 1])
        await copy(
          `${to}${by}=${String(value)}/`,
          `${quoteName(by)} = ${String(value)} AND rowid % 2 = ${half}`,
          ` EXCLUDE (${quoteName(by)})`,
        );
  }
  return files;
}

/** Iceberg's time travel: the table that stood there at the instant. */
function asOf(sql: string, versions: NonNullable<DuckDbEngineOptions['versions']>): string {
  return sql.replace(
    /"awsdatacatalog"\."(\w+)"\."(\w+)" FOR TIMESTAMP AS OF TIMESTAMP '([^']+) UTC'/g,
    (_, database: string, table: string, at: string) => {
      const ms = Date.parse(`${at.replace(' ', 'T')}Z`);
      const version = versions[`${database}.${table}`]?.findLast(({ from }) => from <= ms);
      if (version === undefined)
        throw new QueryFailure(`INVALID_ARGUMENTS: No version history table "${database}"."${table}" at or before ${at}`);
      return `"awsdatacatalog"."${database}"."${version.table}"`;
    },
  );
}

/** Every reference to a projected table becomes a view of the files under the prefix it names; without one the query is refused. */
async function bound(
  connection: DuckDBConnection,
  sql: string,
  options: DuckDbEngineOptions,
): Promise<{ text: string; bytes: number }> {
  const name = `"awsdatacatalog"\\."${options.database}"\\."(${LAKE_TABLE.parquet}|${LAKE_TABLE.jsonl})"`;
  const views: { table: string; prefix: string; view: string }[] = [];
  const days: { day: string; folders: readonly string[]; view: string }[] = [];
  const receipts = new RegExp(
    `"awsdatacatalog"\\."${options.database}"\\."${LAKE_TABLE.receipts}" WHERE dt IN \\(([^)]*)\\)`,
    'g',
  );
  const named = sql.replace(receipts, (_, list: string) => {
    const view = `receipts_${days.length}`;
    const folders = list
      .split(', ')
      .map((day) => join(options.root, options.receipts ?? 'receipts', `dt=${day.replaceAll("'", '')}`));
    days.push({ day: list, folders, view });
    return `"${view}" WHERE dt IN (${list})`;
  });
  const text = named.replace(new RegExp(`${name} WHERE prefix = '((?:[^']|'')*)'`, 'g'), (_, table: string, prefix: string) => {
    const view = `lake_${views.length}`;
    views.push({ table, prefix: prefix.replaceAll("''", "'"), view });
    return `"${view}" WHERE prefix = '${prefix}'`;
  });
  if (new RegExp(name).test(text))
    throw new QueryFailure(
      'CONSTRAINT_VIOLATION: For the injected projected partition column prefix, the WHERE clause must contain only static equality conditions, and at least one such condition must be present.',
    );
  let bytes = 0;
  const words = new Set(sql.toLowerCase().match(/\w+/g) ?? []);
  const columns = Object.entries(options.columns).filter(([column]) => words.has(column.toLowerCase()));
  for (const { folders, view } of days) {
    const files = folders.flatMap(filesUnder);
    bytes += files.reduce((sum, file) => sum + statSync(file).size, 0);
    const day = `regexp_extract(filename, 'dt=([0-9-]+)', 1) AS dt`;
    const path = `replace(filename, ${quoteText(options.root)} || '/', 's3://') AS "$path"`;
    const list = `[${files.map(quoteText).join(', ')}]`;
    await connection.run(
      `CREATE TEMP VIEW ${view} AS SELECT * EXCLUDE (filename), ${day}, ${path} FROM read_parquet(${list}, filename = true, hive_partitioning = false)`,
    );
  }
  for (const { table, prefix, view } of views) {
    const files = filesUnder(join(options.root, options.bucket, prefix));
    bytes += files.reduce((sum, file) => sum + statSync(file).size, 0);
    await connection.run(`CREATE TEMP VIEW ${view} AS ${await viewOf(connection, table, prefix, files, columns, options)}`);
  }
  return { text, bytes };
}

async function viewOf(
  connection: DuckDBConnection,
  table: string,
  prefix: string,
  files: readonly string[],
  columns: readonly (readonly [string, string])[],
  { root }: DuckDbEngineOptions,
): Promise<string> {
  const nothing = columns.map(([name, type]) => `CAST(NULL AS ${duckType(type)}) AS ${quoteName(name)}`);
  const ends = `${quoteText(prefix)} AS prefix`;
  if (files.length === 0) return `SELECT ${[...nothing, ends, `'' AS "$path"`].join(', ')} WHERE 1 = 0`;
  const list = `[${files.map(quoteText).join(', ')}]`;
  const path = `replace(filename, ${quoteText(root)} || '/', 's3://') AS "$path"`;
  if (table === LAKE_TABLE.jsonl) {
    const types = columns.map(([name, type]) => `${quoteText(name)}: ${quoteText(duckType(type))}`);
    // A reader without a column of its own would guess.
    const struct = `{${[...types, `'no such column': 'VARCHAR'`].join(', ')}}`;
    return `SELECT * EXCLUDE ("no such column", filename), ${ends}, ${path} FROM read_json(${list}, format = 'newline_delimited', columns = ${struct}, filename = true)`;
  }
  const from = `read_parquet(${list}, filename = true, union_by_name = true)`;
  const there = new Set(
    (await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${from}`)).getRows().map(([name]) => String(name)),
  );
  const read = columns.map(([name, type], i) =>
    there.has(name) ? `CAST(${quoteName(name)} AS ${duckType(type)}) AS ${quoteName(name)}` : nothing[i],
  );
  return `SELECT ${[...read, ends, path].join(', ')} FROM ${from}`;
}

/** As Athena reads a folder: with the folders in it, without what begins with a dot or an underscore. */
function filesUnder(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile() && !/^[._]/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted();
  } catch {
    return [];
  }
}

function duckType(type: string): string {
  const array = /^array\((.*)\)$/.exec(type);
  return array?.[1] === undefined ? type.toUpperCase() : `${duckType(array[1])}[]`;
}

function athenaType(type: string): string {
  if (type.endsWith('[]')) return 'array';
  const base = type.replace(/\(.*$/, '').toLowerCase();
  return base === 'hugeint' ? 'bigint' : base;
}

function printed(value: DuckDBValue, type: string): string | null {
  const cell = cellOf(value);
  if (cell === null) return null;
  if (Array.isArray(cell)) return `[${cell.map((one) => String(one)).join(', ')}]`;
  if (type === 'timestamp') return String(cell).replace('T', ' ').replace('Z', '');
  if (type === 'timestamp with time zone') return String(cell).replace('T', ' ').replace('Z', ' UTC');
  return String(cell);
}

/** DuckDB's errors by the names that Trino has for them. */
function failureOf(error: unknown): QueryFailure {
  const text = error instanceof Error ? error.message : String(error);
  const [, column] = /Referenced column \\?"(\w+)\\?" not found/.exec(text) ?? [];
  if (column !== undefined) return new QueryFailure(`COLUMN_NOT_FOUND: line 1:8: Column '${column}' cannot be resolved`);
  const [, table] = /Table with name (\w+) does not exist/.exec(text) ?? [];
  if (table !== undefined)
    return new QueryFailure(`TABLE_NOT_FOUND: line 1:8: Table 'awsdatacatalog.default.${table}' does not exist`);
  const [, cast] = /Could not convert string '([^']*)'/.exec(text) ?? [];
  if (cast !== undefined) return new QueryFailure(`INVALID_CAST_ARGUMENT: Cannot cast '${cast}' to INT`);
  return new QueryFailure(`SYNTAX_ERROR: ${text.split('\n')[0]}`);
}

/** A file of rows in a bucket, for a table of the tests. */
export function writeLines(root: string, key: string, rows: readonly unknown[]): void {
  const path = join(root, key);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
}
