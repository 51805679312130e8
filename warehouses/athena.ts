import { randomUUID } from 'node:crypto';
import { type AthenaClient, GetQueryResultsCommand, GetTableMetadataCommand, type TableMetadata } from '@aws-sdk/client-athena';
import { GetObjectCommand, ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3';
import type { Table } from '../core/model.ts';
import type { Cell, Clock, FileSet, Query, Row, SqlVerdict, Warehouse, WarehouseUsage } from '../core/ports.ts';
import { WarehouseError } from '../core/ports.ts';
import { quoteName, quoteText, timestampLiteral } from '../core/sql/literal.ts';
import { cellOf, isNested, nestedCell } from './athena-cells.ts';
import { requestError } from './athena-errors.ts';
import { AthenaQueries } from './athena-queries.ts';
import { boundText, type Lake, lakeTable, prefixOf, type Source } from './athena-text.ts';

export interface AthenaOptions {
  readonly athena: AthenaClient;
  /** Reads manifests and the sizes of files. */
  readonly s3: S3Client;
  readonly clock: Clock;
  readonly workGroup: string;
  /** Which of a contract's `servers` is read. */
  readonly environment: string;
  readonly lake: Lake;
  /** Epoch milliseconds, the run's tick: Iceberg tables are read as they were then, by every query of the run. */
  readonly asOf?: number;
  /**
   * Tells the queries of one run from those of another that have the same text: within it, a query that is asked for again is not started
   * again. The id of the run on AWS; by default nothing is shared.
   */
  readonly scope?: string;
  /** Epoch milliseconds: see `AthenaQueries`. On Lambda some seconds before the function's end. */
  readonly deadline?: number;
}

/** "A maximum of 100 partitions", https://docs.aws.amazon.com/athena/latest/ug/unload.html, read 2026-11-22. */
const MOST_SHARDS = 100;
const ROWS_PER_PAGE = 1000;

/**
 * Athena: the SQL text as it is, behind `WITH` expressions for its names (athena-text.ts). Results that are files are written by UNLOAD under
 * the prefix they were asked for, which is new for every attempt; the manifest says which files they are, the catalog's own table how many
 * rows are in each, and a listing that nothing else lies there. All three must agree before a file is anybody's.
 */
export function openAthena(options: AthenaOptions): Warehouse & { usage(): WarehouseUsage } {
  return new Athena(options);
}

class Athena implements Warehouse {
  readonly name = 'athena';
  readonly #options: AthenaOptions;
  readonly #queries: AthenaQueries;
  readonly #metadata = new Map<string, Promise<TableMetadata | null>>();
  readonly #scope: string;

  constructor(options: AthenaOptions) {
    this.#options = options;
    this.#queries = new AthenaQueries(options);
    this.#scope = options.scope ?? randomUUID();
  }

  usage(): WarehouseUsage {
    return this.#queries.usage;
  }

  async describe(table: Table): Promise<readonly { readonly name: string; readonly type: string }[] | null> {
    const metadata = await this.#metadataOf(table);
    if (metadata === null) return null;
    // Glue calls an instant of Iceberg `timestamp` whether it has a zone or not: the engine says which. It reads no row for that.
    if (isIceberg(metadata)) {
      const { catalog, database } = serverOf(table, this.#options.environment);
      const name = [catalog, database, tableName(table)].map(quoteName).join('.');
      return (await this.#result(`SELECT * FROM ${name} LIMIT 0`)).columns;
    }
    return [...(metadata.Columns ?? []), ...(metadata.PartitionKeys ?? [])].map(({ Name = '', Type = '' }) => ({
      name: Name,
      type: Type.toLowerCase(),
    }));
  }

  async rows(query: Query): Promise<readonly Row[]> {
    const text = await this.#text(query);
    const { columns, rows } = await this.#result(text);
    const nested = columns.filter(({ type }) => isNested(type));
    const row = (cells: readonly Cell[]): Row => Object.fromEntries(columns.map(({ name }, i) => [name, cells[i] ?? null]));
    if (nested.length === 0) return rows.map((texts) => row(texts.map((one, i) => cellOf(one, columns[i]?.type ?? ''))));
    // Athena prints an array so that nobody can take it apart. Asked for as JSON it can be read, and what was printed gives the order back.
    const list = columns.map(({ name, type }) =>
      isNested(type) ? `json_format(CAST(${quoteName(name)} AS json)) AS ${quoteName(name)}` : quoteName(name),
    );
    const again = await this.#result(`SELECT ${list.join(', ')} FROM (\n${text}\n)`);
    const found = new Map<string, Row[]>();
    for (const texts of again.rows) {
      const read = texts.map((one, i) =>
        isNested(columns[i]?.type ?? '') ? nestedCell(one) : { cell: cellOf(one, columns[i]?.type ?? ''), printed: one },
      );
      const key = JSON.stringify(read.map(({ printed }) => printed ?? null));
      found.set(key, [...(found.get(key) ?? []), row(read.map(({ cell }) => cell))]);
    }
    return rows.map((texts) => {
      const next = found.get(JSON.stringify(texts.map((one) => one ?? null)))?.shift();
      if (next === undefined) throw new WarehouseError('A result changed while it was read. Run it again.', 'retryable');
      return next;
    });
  }

  async materialize(query: Query, prefix: string): Promise<FileSet> {
    const text = await this.#text(query);
    const files = await this.#unload(text, prefix, 'parquet', `format = 'PARQUET', compression = 'ZSTD'`);
    return setOf('parquet', files);
  }

  async unload(query: Query, prefix: string, shards: number): Promise<readonly FileSet[]> {
    if (shards > MOST_SHARDS)
      throw new WarehouseError(`Athena writes ${MOST_SHARDS} shards at most, and ${shards} were asked for.`, 'user');
    const text = await this.#text(query);
    const options = `format = 'JSON', compression = 'GZIP', partitioned_by = ARRAY['shard']`;
    const files = await this.#unload(text, prefix, 'jsonl', options);
    const strays = files.filter(({ location }) => shardOf(location) >= shards);
    if (strays.length > 0) throw new WarehouseError(`The query named a shard beyond the ${shards} that were asked for.`, 'user');
    return Array.from({ length: shards }, (_, shard) =>
      setOf(
        'jsonl',
        files.filter(({ location }) => shardOf(location) === shard),
      ),
    );
  }

  validate(): Promise<SqlVerdict> {
    const message =
      'Hand-written SQL is checked by DuckDB, against the contracts, where the files are: run sluice check. Athena is not asked.';
    return Promise.reject(new WarehouseError(message, 'user'));
  }

  close(): Promise<void> {
    return this.#queries.stop();
  }

  async #text(query: Query): Promise<string> {
    const sources = await Promise.all((query.tables ?? []).map((table) => this.#source(table)));
    return boundText(query.sql, sources, query.relations ?? {}, this.#options.lake);
  }

  async #source(table: Table): Promise<Source> {
    const { catalog, database } = serverOf(table, this.#options.environment);
    const { asOf } = this.#options;
    const metadata = asOf === undefined ? null : await this.#metadataOf(table);
    return {
      physicalName: table.physicalName,
      columns: table.columns.map(({ name }) => name),
      catalog,
      database,
      ...(asOf !== undefined && metadata !== null && isIceberg(metadata) && { asOf: instantOf(asOf) }),
    };
  }

  #metadataOf(table: Table): Promise<TableMetadata | null> {
    const { catalog, database } = serverOf(table, this.#options.environment);
    const name = tableName(table);
    const key = JSON.stringify([catalog, database, name]);
    const known =
      this.#metadata.get(key) ??
      this.#options.athena
        .send(new GetTableMetadataCommand({ CatalogName: catalog, DatabaseName: database, TableName: name }))
        .then(({ TableMetadata }) => TableMetadata ?? null)
        .catch((error: unknown) => {
          this.#metadata.delete(key);
          const { name: kind = '', message = '' } = error as { name?: string; message?: string };
          if (kind === 'MetadataException' && /EntityNotFound|not found|does not exist/i.test(message)) return null;
          throw requestError(error);
        });
    this.#metadata.set(key, known);
    return known;
  }

  /** All rows of a SELECT as texts, page by page. */
  async #result(text: string): Promise<{
    readonly columns: readonly { readonly name: string; readonly type: string }[];
    readonly rows: readonly (readonly (string | undefined)[])[];
  }> {
    const { QueryExecutionId = '' } = await this.#queries.run(() => text, this.#scope);
    const rows: (string | undefined)[][] = [];
    let columns: { name: string; type: string }[] = [];
    let NextToken: string | undefined;
    do {
      const page = await this.#options.athena
        .send(new GetQueryResultsCommand({ QueryExecutionId, MaxResults: ROWS_PER_PAGE, ...(NextToken && { NextToken }) }))
        .catch((error: unknown) => {
          throw requestError(error);
        });
      if (NextToken === undefined)
        columns = (page.ResultSet?.ResultSetMetadata?.ColumnInfo ?? []).map(({ Name = '', Type = '' }) => ({
          name: Name,
          type: Type.toLowerCase(),
        }));
      rows.push(...(page.ResultSet?.Rows ?? []).map(({ Data = [] }) => Data.map(({ VarCharValue }) => VarCharValue)));
      NextToken = page.NextToken;
    } while (NextToken !== undefined);
    // The first row of a SELECT holds the names of its columns.
    return { columns, rows: rows.slice(1) };
  }

  /** Writes a result and answers with its files; a try of its own folder each, because a failed one leaves orphans. */
  async #unload(text: string, prefix: string, format: FileSet['format'], options: string): Promise<readonly Written[]> {
    const folder = (attempt: number): string => (attempt === 0 ? prefix : `${prefix}/try-${attempt}`);
    // The prefix is new for every attempt of a step, and part of the text: nothing else tells one UNLOAD from another.
    const { attempt, Statistics } = await this.#queries.run(
      (attempt) => `UNLOAD (\n${text}\n) TO ${quoteText(`${folder(attempt)}/`)} WITH (${options})`,
      'unload',
    );
    const manifest = await this.#manifest(Statistics?.DataManifestLocation);
    if (manifest.length === 0) return [];
    const { lake } = this.#options;
    const sizes = await this.#sizes(`${folder(attempt)}/`);
    const where = quoteText(prefixOf(`${folder(attempt)}/`, lake.bucket));
    const counted = await this.#result(
      `SELECT "$path" AS path, count(*) AS n FROM ${lakeTable(format, lake)} WHERE prefix = ${where} GROUP BY "$path"`,
    );
    const counts = new Map(counted.rows.map(([path = '', n]) => [path, Number(n)]));
    const listed = new Set(manifest);
    // A table reads a folder: what lies there must be what was written, all of it and nothing else.
    const strangers = [...sizes.keys(), ...counts.keys()].filter((location) => !listed.has(location));
    const missing = manifest.filter((location) => !sizes.has(location));
    if (strangers.length > 0 || missing.length > 0 || counts.size === 0)
      throw new WarehouseError(
        `The files under a prefix are not those that Athena says it wrote there: ${missing.length} missing, ${strangers.length} not of this query, ` +
          `${counts.size} of ${manifest.length} read back through ${lake.database}. Nothing was taken. Look at the table's storage.location.template.`,
        'user',
      );
    return manifest.map((location) => ({ location, rows: counts.get(location) ?? 0, bytes: sizes.get(location) ?? 0 }));
  }

  async #manifest(location: string | undefined): Promise<readonly string[]> {
    if (location === undefined) throw new WarehouseError('Athena wrote no manifest of the files it unloaded.', 'retryable');
    const [, Bucket = '', Key = ''] = /^s3:\/\/([^/]+)\/(.+)$/.exec(location) ?? [];
    const { Body } = await this.#options.s3.send(new GetObjectCommand({ Bucket, Key }));
    const lines = ((await Body?.transformToString()) ?? '').split(/\r?\n/);
    return lines.map((line) => line.replace(/^"|"$/g, '')).filter((line) => line !== '');
  }

  async #sizes(folder: string): Promise<ReadonlyMap<string, number>> {
    const [, Bucket = '', Prefix = ''] = /^s3:\/\/([^/]+)\/(.+)$/.exec(folder) ?? [];
    const sizes = new Map<string, number>();
    let ContinuationToken: string | undefined;
    do {
      const page = await this.#options.s3.send(
        new ListObjectsV2Command({ Bucket, Prefix, ...(ContinuationToken && { ContinuationToken }) }),
      );
      for (const { Key = '', Size = 0 } of page.Contents ?? []) sizes.set(`s3://${Bucket}/${Key}`, Size);
      ContinuationToken = page.NextContinuationToken;
    } while (ContinuationToken !== undefined);
    return sizes;
  }
}

interface Written {
  readonly location: string;
  readonly rows: number;
  readonly bytes: number;
}

const setOf = (format: FileSet['format'], files: readonly Written[]): FileSet => ({
  format,
  locations: files.map(({ location }) => location),
  rows: files.reduce((sum, file) => sum + file.rows, 0),
  bytes: files.reduce((sum, file) => sum + file.bytes, 0),
});

const shardOf = (location: string): number => Number(/\/shard=(\d+)\/[^/]+$/.exec(location)?.[1] ?? Number.NaN);

const tableName = ({ physicalName }: Table): string => physicalName.split('.').at(-1) ?? physicalName;

/** The instant that an Iceberg table is read at, as SQL. @param ms epoch milliseconds */
export const instantOf = (ms: number): string => timestampLiteral(ms).replace(/'$/, ` UTC'`);

const isIceberg = ({ Parameters }: TableMetadata): boolean => Parameters?.['table_type']?.toUpperCase() === 'ICEBERG';

function serverOf(table: Table, environment: string): { readonly catalog: string; readonly database: string } {
  const server = table.servers[environment];
  if (server?.type === 'athena') return server;
  throw new WarehouseError(
    server === undefined
      ? `${table.file} does not say where "${table.name}" is in the environment "${environment}".`
      : `${table.file} keeps "${table.name}" on a server of type ${server.type}, which Athena does not read.`,
    'user',
  );
}
