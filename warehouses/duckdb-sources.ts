import { resolve } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import type { Column, LogicalType, Table } from '../core/model.ts';
import { type Relation, WarehouseError } from '../core/ports.ts';
import { quoteName, quoteText } from '../core/sql/literal.ts';

/** Where the rows of an activation table are: a SELECT. `text`: every column is a text, whose type is the contract's to say. */
export interface Source {
  readonly select: string;
  readonly text: boolean;
}

/** Attaches a DuckDB file and gives the name it has in this process; null when the file is not there. */
export type Attach = (connection: DuckDBConnection, path: string) => Promise<string | null>;

/** The source of a table in an environment, null when nothing is there. Paths are relative to `dir`; `*` stands for many files. */
export async function sourceOf(
  connection: DuckDBConnection,
  table: Table,
  options: { readonly dir: string; readonly environment: string; readonly attach: Attach; readonly namesFromFile: boolean },
): Promise<Source | null> {
  const server = table.servers[options.environment];
  if (server === undefined)
    throw new WarehouseError(
      `${table.file} does not say where "${table.name}" is in the environment "${options.environment}".`,
      'user',
    );
  if (server.type === 'athena')
    throw new WarehouseError(`${table.file} keeps "${table.name}" in Athena, which DuckDB does not read.`, 'user');
  if (server.type === 'duckdb') {
    const database = await options.attach(connection, resolve(options.dir, server.database));
    if (database === null) return null;
    const name = table.physicalName.split('.').at(-1) ?? table.physicalName;
    const there = await connection.runAndReadAll(
      `SELECT 1 FROM information_schema.tables WHERE table_catalog = ${quoteText(database)} AND table_schema = ${quoteText(server.schema)}
         AND lower(table_name) = lower(${quoteText(name)})`,
    );
    return there.currentRowCount === 0
      ? null
      : { select: `SELECT * FROM ${[database, server.schema, name].map(quoteName).join('.')}`, text: false };
  }
  const path = quoteText(resolve(options.dir, server.path));
  const files = await connection.runAndReadAll(`SELECT count(*) FROM glob(${path})`);
  if (Number(files.getRows()[0]?.[0]) === 0) return null;
  switch (server.format) {
    case 'parquet':
      return { select: `SELECT * FROM read_parquet(${path})`, text: false };
    case 'csv':
      return { select: `SELECT * FROM read_csv(${path}, header = true, all_varchar = true, union_by_name = true)`, text: true };
    case 'json': {
      const names = options.namesFromFile ? await jsonNames(connection, path, table) : table.columns.map(({ name }) => name);
      return {
        select: `SELECT * FROM read_json(${path}, columns = {${names.map((name) => `${quoteText(name)}: 'VARCHAR'`).join(', ')}})`,
        text: true,
      };
    }
  }
}

/** The names a JSON file has; an empty one has no names of its own, and breaks no promise. */
async function jsonNames(connection: DuckDBConnection, path: string, table: Table): Promise<readonly string[]> {
  const names = (await columnsOf(connection, `SELECT * FROM read_json(${path}, sample_size = -1, union_by_name = true)`)).map(
    ({ name }) => name,
  );
  const none =
    names.length === 0 || (names.length === 1 && names[0] === 'json' && !table.columns.some(({ name }) => name === 'json'));
  return none ? table.columns.map(({ name }) => name) : names;
}

export async function columnsOf(
  connection: DuckDBConnection,
  select: string,
): Promise<readonly { readonly name: string; readonly type: string }[]> {
  const described = await connection.runAndReadAll(`DESCRIBE ${select}`);
  return described.getRows().map(([name, type]) => ({ name: String(name), type: String(type).toLowerCase() }));
}

/** The columns of texts: of the declared type when every value can be read as it, else `varchar`, which the gate then complains of. */
export async function describeText(
  connection: DuckDBConnection,
  select: string,
  table: Table,
): Promise<readonly { readonly name: string; readonly type: string }[]> {
  const columns = await columnsOf(connection, select);
  const declared = new Map(table.columns.map((column) => [column.name.toLowerCase(), column]));
  const checks = columns.map(({ name }, i) => {
    const column = declared.get(name.toLowerCase());
    if (column === undefined || column.type === 'string') return `0 AS c${i}`;
    return `count(*) FILTER (WHERE ${quoteName(name)} IS NOT NULL AND TRY_CAST(${quoteName(name)} AS ${sqlType(column)}) IS NULL) AS c${i}`;
  });
  if (checks.length === 0) return [];
  const [wrong] = (await connection.runAndReadAll(`SELECT ${checks.join(', ')} FROM (${select}) x`)).getRows();
  return columns.map(({ name }, i) => {
    const column = declared.get(name.toLowerCase());
    return { name, type: column === undefined || Number(wrong?.[i] ?? 0) > 0 ? 'varchar' : sqlType(column).toLowerCase() };
  });
}

/** Texts as what the contract declares. */
export const typedSelect = (select: string, columns: readonly Column[]): string =>
  `SELECT ${columns.map((column) => `CAST(${quoteName(column.name)} AS ${sqlType(column)}) AS ${quoteName(column.name)}`).join(', ')} FROM (${select}) x`;

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

/** Our own files as a SELECT; without any file an empty relation with its types. */
export function relationSelect({ files, columns }: Relation): string {
  const types = Object.entries(columns).map(([name, type]) => [name, relationType(type)] as const);
  if (files.locations.length === 0) {
    return `SELECT ${types.map(([name, type]) => `CAST(NULL AS ${type}) AS ${quoteName(name)}`).join(', ') || '1 AS none'} WHERE 1 = 0`;
  }
  const locations = `[${files.locations.map(quoteText).join(', ')}]`;
  if (files.format === 'parquet') return `SELECT * FROM read_parquet(${locations})`;
  const struct = types.map(([name, type]) => `${quoteText(name)}: ${quoteText(type)}`).join(', ');
  return `SELECT * FROM read_json(${locations}, format = 'newline_delimited', columns = {${struct}}, maximum_object_size = 16777216)`;
}

/** Trino's name of a type as DuckDB's: `array(varchar)` is `VARCHAR[]`. */
function relationType(type: string): string {
  const array = /^array\((.*)\)$/i.exec(type.trim());
  return array?.[1] === undefined ? type.toUpperCase() : `${relationType(array[1])}[]`;
}
