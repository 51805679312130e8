import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { LAKE_COLUMNS, type LakeTable, lakeTables } from '../../../core/sql/lake-tables.ts';
import { quoteName, quoteText } from '../../../core/sql/literal.ts';
import { type AthenaEngine, type EngineResult, QueryFailure } from '../athena-endpoint.ts';

/** A value of Trino's JSON; numbers as they were written, because a 64-bit integer is more than a number of JavaScript. */
type Value = string | boolean | null | readonly Value[];

interface Page {
  readonly columns?: readonly { readonly name: string; readonly type: string }[];
  readonly data?: readonly (readonly Value[])[];
  readonly nextUri?: string;
  readonly error?: { readonly errorName: string; readonly errorType: string; readonly message: string };
  readonly stats?: { readonly physicalInputBytes?: string };
}

/** Runs one statement to its end. Throws `QueryFailure` in Athena's words. */
export async function trino(
  endpoint: string,
  sql: string,
  session: Readonly<Record<string, string>> = {},
): Promise<EngineResult> {
  const headers = {
    'X-Trino-User': 'sluice',
    'X-Trino-Catalog': 'awsdatacatalog',
    'X-Trino-Time-Zone': 'UTC',
    'X-Trino-Session': Object.entries(session)
      .map(([name, value]) => `${name}=${value}`)
      .join(','),
  };
  const rows: (string | null)[][] = [];
  let columns: EngineResult['columns'] = [];
  let scannedBytes = 0;
  let answer = await fetch(`${endpoint}/v1/statement`, { method: 'POST', headers, body: sql });
  for (;;) {
    const page = JSON.parse(await answer.text(), keepNumbers) as Page;
    if (page.error) throw failureOf(page.error);
    if (page.columns) columns = page.columns.map(({ name, type }) => ({ name, type: athenaType(type) }));
    for (const row of page.data ?? []) rows.push(row.map(printed));
    scannedBytes = Number(page.stats?.physicalInputBytes ?? scannedBytes);
    if (page.nextUri === undefined) return { columns, rows, scannedBytes };
    answer = await fetch(page.nextUri, { headers });
  }
}

/** A reviver: numbers as the text they are. */
function keepNumbers(this: unknown, _key: string, value: unknown, context?: { readonly source?: string }): unknown {
  return typeof value === 'number' ? (context?.source ?? String(value)) : value;
}

const printed = (value: Value): string | null => {
  if (value === null) return null;
  return Array.isArray(value)
    ? `[${value.map((one) => printed(one as Value) ?? 'null').join(', ')}]`
    : String(value as string | boolean);
};

const athenaType = (type: string): string => (type.startsWith('array(') ? 'array' : type.replace(/\([^)]*\)/, ''));

const failureOf = ({ errorName, errorType, message }: NonNullable<Page['error']>): QueryFailure =>
  new QueryFailure(`${errorName}: ${message}`, { category: errorType === 'USER_ERROR' ? 2 : 1 });

/** Makes the tables over a bucket of our own files, from the same data as a deployment. */
export async function makeLakeTables(
  endpoint: string,
  { bucket, database, columns = LAKE_COLUMNS }: { bucket: string; database: string; columns?: Readonly<Record<string, string>> },
): Promise<void> {
  await trino(endpoint, `CREATE SCHEMA ${database}`);
  for (const table of lakeTables(bucket, columns)) await trino(endpoint, ddl(table, database, columns));
}

function ddl(
  { name, format, location, parameters }: LakeTable,
  database: string,
  columns: Readonly<Record<string, string>>,
): string {
  const list = Object.entries(columns).map(
    ([column, type]) => `${quoteName(column)} ${type === 'timestamp' ? 'timestamp(3)' : type}`,
  );
  const options = {
    format: quoteText(format === 'parquet' ? 'PARQUET' : 'OPENX_JSON'),
    external_location: quoteText(location),
    partitioned_by: `ARRAY['prefix']`,
    partition_projection_enabled: 'true',
    partition_projection_location_template: quoteText(parameters['storage.location.template'] ?? ''),
  };
  return `CREATE TABLE ${database}.${name} (${list.join(', ')}, prefix varchar WITH (partition_projection_type = ${quoteText(
    parameters['projection.prefix.type']?.toUpperCase() ?? '',
  )})) WITH (${Object.entries(options)
    .map(([key, value]) => `${key} = ${value}`)
    .join(', ')})`;
}

let made = 0;

/**
 * Trino as the engine behind Athena's API. UNLOAD, which Trino does not have, is what Athena makes of it: a table made from the query over
 * the folder, and the table dropped again.
 * @param root folder whose folders are the buckets
 */
export function trinoEngine(endpoint: string, root: string): AthenaEngine {
  return {
    select: (sql) => trino(endpoint, sql),
    async unload({ sql, to, format, partitionedBy }) {
      const table = `sluice.unload_${process.pid}_${made++}`;
      const partitions = partitionedBy.map(quoteText).join(', ');
      const options = [
        `format = ${quoteText(format)}`,
        `external_location = ${quoteText(to)}`,
        ...(partitions === '' ? [] : [`partitioned_by = ARRAY[${partitions}]`]),
      ];
      const { scannedBytes } = await trino(endpoint, `CREATE TABLE ${table} WITH (${options.join(', ')}) AS ${sql}`, {
        'awsdatacatalog.compression_codec': format === 'PARQUET' ? 'ZSTD' : 'GZIP',
      });
      await trino(endpoint, `DROP TABLE ${table}`);
      const folder = join(root, to.slice('s3://'.length));
      const files = existsSync(folder)
        ? readdirSync(folder, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile())
        : [];
      return { files: files.map((entry) => `s3://${join(entry.parentPath, entry.name).slice(root.length + 1)}`), scannedBytes };
    },
    close: () => Promise.resolve(),
  };
}
