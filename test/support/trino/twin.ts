import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Table } from '../../../core/model.ts';
import type { Cell, FileSet, Query, Relation, Row, Warehouse } from '../../../core/ports.ts';
import { quoteName, quoteText } from '../../../core/sql/literal.ts';
import { type AthenaWorld, BUCKET } from '../athena.ts';
import { trino } from './engine.ts';

/** What was compared so far: statements, and different texts among them. */
export const compared = { statements: 0, texts: new Set<string>() };

const known = new Map<string, Promise<void>>();
let made = 0;

/**
 * DuckDB with a shadow: everything it is asked is asked of Athena's adapter over a real Trino too, over the same rows and the same files, and
 * both must answer with the same rows. Answers with DuckDB's. Files have to lie in the bucket's folder.
 */
export function twin(
  duckdb: Warehouse,
  athena: Warehouse,
  { root, endpoint }: Pick<AthenaWorld, 'root' | 'endpoint'>,
  server: string,
): Warehouse {
  const bucket = `${root}/${BUCKET}`;
  const addressOf = (path: string): string => {
    if (!path.startsWith(`${bucket}/`)) throw new Error('a file lies outside the folder that both engines see');
    return `s3://${BUCKET}/${relative(bucket, path)}`;
  };
  const pathOf = (address: string): string => `${bucket}/${address.slice(`s3://${BUCKET}/`.length)}`;

  /** The query as Athena is asked it: its tables in a database of their own, its files by their addresses. */
  async function shadow({ sql, tables = [], relations = {} }: Query): Promise<Query> {
    return {
      sql,
      tables: await Promise.all(tables.map(loaded)),
      relations: Object.fromEntries(
        Object.entries(relations).map(([name, relation]): [string, Relation] => [
          name,
          { ...relation, files: { ...relation.files, locations: relation.files.locations.map(addressOf) } },
        ]),
      ),
    };
  }

  /** The rows of an activation table as DuckDB reads them, in a table of Trino; made once for the same rows. */
  async function loaded(table: Table): Promise<Table> {
    const name = table.physicalName.split('.').at(-1) ?? table.physicalName;
    const described = await duckdb.describe(table);
    if (described === null) return atDatabase(table, 'nowhere');
    const prefix = `${bucket}/tables/${process.pid}-${made++}`;
    const declared = new Set(table.columns.map((column) => column.name.toLowerCase()));
    const columns = described.filter((column) => declared.has(column.name.toLowerCase()));
    const select = columns.map((column) => quoteName(column.name)).join(', ');
    const copy = { ...table, physicalName: 'sluice_table' };
    const files = await duckdb.materialize({ sql: `SELECT ${select} FROM sluice_table`, tables: [copy] }, prefix);
    const content = createHash('sha256').update(JSON.stringify([name, columns]));
    for (const location of files.locations) content.update(readFileSync(location));
    const database = `t_${content.digest('hex').slice(0, 20)}`;
    const ready = known.get(database) ?? makeTable(database, name, columns, addressOf(prefix));
    known.set(database, ready);
    await ready;
    return atDatabase(table, database);
  }

  async function makeTable(
    database: string,
    name: string,
    columns: readonly { readonly name: string; readonly type: string }[],
    address: string,
  ): Promise<void> {
    await trino(server, `CREATE SCHEMA IF NOT EXISTS ${database}`);
    const stored = columns.map((column) => `${quoteName(column.name)} ${hiveColumn(column.type)}`).join(', ');
    await trino(
      server,
      `CREATE TABLE IF NOT EXISTS ${database}.stored (${stored}) WITH (format = 'PARQUET', external_location = ${quoteText(address)})`,
    );
    // Hive has no instants with a zone: the view gives them one.
    const list = columns.map(({ name: column, type }) => {
      const text = quoteName(column);
      return `${type === 'timestamp with time zone' ? `with_timezone(${text}, 'UTC')` : text} AS ${text}`;
    });
    await trino(
      server,
      `CREATE OR REPLACE VIEW ${database}.${quoteName(name)} AS SELECT ${list.join(', ')} FROM ${database}.stored`,
    );
  }

  async function both<T>(query: Query, ask: (warehouse: Warehouse, query: Query) => Promise<T>): Promise<readonly [T, T] | [T]> {
    if (/^\s*EXPLAIN\b/i.test(query.sql)) return [await ask(duckdb, query)];
    compared.statements += 1;
    compared.texts.add(query.sql.replace(/'(?:[^']|'')*'/g, '?').replace(/\b\d+\b/g, '0'));
    let ours: T;
    try {
      ours = await ask(duckdb, query);
    } catch (error) {
      const other = await shadow(query)
        .then((shadowed) => ask(athena, shadowed))
        .then(
          () => 'answered',
          () => 'failed',
        );
      if (other === 'answered') throw new Error('Trino answers what DuckDB refuses', { cause: error });
      throw error;
    }
    const shadowed = await shadow(query);
    try {
      return [ours, await ask(athena, shadowed)];
    } catch (error) {
      throw new Error(`Trino refuses what DuckDB answers: ${endpoint.failures.at(-1)}; of\n${query.sql}`, { cause: error });
    }
  }

  const contentOf = async (files: FileSet): Promise<readonly Row[]> =>
    files.locations.length === 0
      ? []
      : duckdb.rows({ sql: 'SELECT * FROM written', relations: { written: { files, columns: {} } } });
  const local = (files: FileSet): FileSet => ({ ...files, locations: files.locations.map(pathOf) });

  return {
    name: duckdb.name,
    describe: (table) => duckdb.describe(table),
    validate: (sql, tables) => duckdb.validate(sql, tables),
    async rows(query) {
      const [ours, theirs] = await both(query, (warehouse, asked) => warehouse.rows(asked));
      if (theirs !== undefined) same(query.sql, ours, theirs);
      return ours;
    },
    async materialize(query, prefix) {
      const [ours, theirs] = await both(query, (warehouse, asked) =>
        warehouse.materialize(asked, warehouse === duckdb ? prefix : `${addressOf(prefix)}.trino`),
      );
      if (theirs !== undefined) {
        same(query.sql, await contentOf(ours), await contentOf(local(theirs)));
        same(query.sql, [{ rows: ours.rows }], [{ rows: theirs.rows }]);
      }
      return ours;
    },
    async unload(query, prefix, shards) {
      const [ours, theirs] = await both(query, (warehouse, asked) =>
        warehouse.unload(asked, warehouse === duckdb ? prefix : `${addressOf(prefix)}.trino`, shards),
      );
      for (const [shard, files] of (theirs ?? []).entries()) {
        const mine = ours[shard];
        if (mine === undefined) throw new Error('a shard is missing');
        same(query.sql, linesOf(mine), linesOf(local(files)));
        same(query.sql, [{ rows: mine.rows }], [{ rows: files.rows }]);
      }
      return ours;
    },
    async close() {
      await athena.close();
      await duckdb.close();
    },
  };
}

const atDatabase = (table: Table, database: string): Table => ({
  ...table,
  servers: { aws: { type: 'athena', catalog: 'awsdatacatalog', database } },
});

function hiveColumn(type: string): string {
  if (type.startsWith('timestamp')) return 'timestamp(3)';
  return type === 'hugeint' ? 'decimal(38,0)' : type;
}

function linesOf({ locations }: FileSet): readonly Row[] {
  return locations.flatMap((location) => {
    const content = readFileSync(location);
    const text = (location.endsWith('.gz') ? gunzipSync(content) : content).toString();
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Row);
  });
}

/** NULL or left out, an integer as number or bigint: the port leaves that to the engine. */
function plain(row: Row): string {
  const cell = (value: Cell): unknown => {
    if (typeof value === 'bigint') return Number(value);
    return Array.isArray(value) ? value.map((one) => cell(one as Cell)) : value;
  };
  const entries = Object.entries(row).filter(([, value]) => value !== null && value !== undefined);
  return JSON.stringify(
    entries.map(([name, value]) => [name, cell(value)]).toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
  );
}

/** The order of rows counts where the text says one. */
function same(sql: string, ours: readonly Row[], theirs: readonly Row[]): void {
  const ordered = /\bORDER BY\b[^()]*$/i.test(sql);
  const [mine, others] = [ours, theirs].map((rows) => (ordered ? rows.map(plain) : rows.map(plain).toSorted()));
  const at = mine?.findIndex((row, i) => row !== others?.[i]) ?? -1;
  if (mine?.length === others?.length && at === -1) return;
  throw new Error(
    `DuckDB and Trino differ: ${ours.length} and ${theirs.length} rows; DuckDB ${mine?.[at]}, Trino ${others?.[at]}; of\n${sql}`,
  );
}
