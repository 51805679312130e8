import { WarehouseError, type Relation } from '../core/ports.ts';
import { piecesOf } from '../core/sql/hand-written.ts';
import { LAKE_TABLE } from '../core/sql/lake-tables.ts';
import { quoteName, quoteTable, quoteText } from '../core/sql/literal.ts';

/** Where our own files are: the buckets, and the database that has the tables of core/sql/lake-tables.ts over them. */
export interface Lake {
  readonly catalog: string;
  readonly database: string;
  readonly bucket: string;
  /** Of receipts, for whoever may read them. */
  readonly receipts?: string;
}

/** An activation table where Athena finds it. */
export interface Source {
  readonly physicalName: string;
  readonly columns: readonly string[];
  readonly catalog: string;
  readonly database: string;
  /** Of an Iceberg table: the instant it is read at, as SQL. */
  readonly asOf?: string;
}

/**
 * The text as Athena runs it: as it is, behind `WITH` expressions that give every name of a table or relation its meaning.
 * @throws WarehouseError of kind `user` for a file outside the bucket
 */
export function boundText(
  sql: string,
  sources: readonly Source[],
  relations: Readonly<Record<string, Relation>>,
  lake: Lake,
): string {
  const text = sources.reduce((text, { physicalName }) => renamed(text, physicalName), sql.trim());
  const names = [
    ...sources.map((source) => `${quoteName(source.physicalName)} AS (${sourceSelect(source)})`),
    ...Object.entries(relations).map(([name, relation]) => `${quoteName(name)} AS (${relationSelect(text, relation, lake)})`),
  ];
  if (names.length === 0) return text;
  const rest = /^WITH\s/i.test(text) ? `,\n${text.slice(4).trimStart()}` : `\n${text}`;
  return `WITH ${names.join(',\n')}${rest}`;
}

/** `crm.customers` and `"crm"."customers"` as the one name `"crm.customers"`: a WITH expression has no schema. */
function renamed(sql: string, physicalName: string): string {
  if (!physicalName.includes('.')) return sql;
  const plain = new RegExp(`(?<![\\w.])${physicalName.replaceAll('.', '\\s*\\.\\s*')}(?![\\w.])`, 'gi');
  return sql
    .replaceAll(quoteTable(physicalName), quoteName(physicalName))
    .split(quoteName(physicalName))
    .map((part) =>
      piecesOf(part)
        .map(({ kind, text }) => (kind === 'code' ? text.replace(plain, quoteName(physicalName)) : text))
        .join(''),
    )
    .join(quoteName(physicalName));
}

function sourceSelect({ physicalName, columns, catalog, database, asOf }: Source): string {
  const table = [catalog, database, physicalName.split('.').at(-1) ?? physicalName].map(quoteName).join('.');
  return `SELECT ${columns.map(quoteName).join(', ')} FROM ${table}${asOf === undefined ? '' : ` FOR TIMESTAMP AS OF ${asOf}`}`;
}

function relationSelect(sql: string, { files, columns }: Relation, lake: Lake): string {
  const used = usedColumns(sql, columns);
  if (files.locations.length === 0)
    return `SELECT ${used.map(([name, type]) => `${nullOf(type)} AS ${quoteName(name)}`).join(', ') || '1 AS none'} WHERE 1 = 0`;
  const selectFrom = (table: keyof typeof LAKE_TABLE): string =>
    `SELECT ${used.map(([name]) => quoteName(name)).join(', ') || '1 AS none'} FROM ${lakeTable(table, lake)}`;
  const paths = `"$path" IN (${files.locations.map(quoteText).join(', ')})`;
  const days = daysOf(files.locations, lake.receipts);
  if (days !== undefined) return `${selectFrom('receipts')} WHERE dt IN (${days.map(quoteText).join(', ')}) AND ${paths}`;
  const select = selectFrom(files.format);
  return [...foldersOf(files.locations, lake.bucket)]
    .map(([prefix, paths]) => {
      const where = `prefix = ${quoteText(prefix)}`;
      // Parquet is written by us alone under a prefix of its own, which is read back whole and compared with the manifest once.
      // Lines lie beside their logs, so the files are named.
      if (files.format === 'parquet') return `${select} WHERE ${where}`;
      return `${select} WHERE ${where} AND "$path" IN (${paths.map(quoteText).join(', ')})`;
    })
    .join(' UNION ALL ');
}

export const lakeTable = (table: keyof typeof LAKE_TABLE, { catalog, database }: Lake): string =>
  [catalog, database, LAKE_TABLE[table]].map(quoteName).join('.');

/** The days of receipts; undefined of files that are none. */
function daysOf(locations: readonly string[], bucket: string | undefined): readonly string[] | undefined {
  const days = new Set<string>();
  for (const location of locations) {
    const day = bucket !== undefined && location.startsWith(`s3://${bucket}/`) && /\/dt=(\d{4}-\d\d-\d\d)\//.exec(location)?.[1];
    if (typeof day !== 'string') return undefined;
    days.add(day);
  }
  return [...days];
}

/** The folder of a file, relative to its bucket: the value of the projected partition. */
export function prefixOf(location: string, bucket: string): string {
  const root = `s3://${bucket}/`;
  if (!location.startsWith(root))
    throw new WarehouseError(`A file lies outside the bucket ${bucket}, whose files Athena has tables for.`, 'user');
  return location.slice(root.length, location.lastIndexOf('/'));
}

function foldersOf(locations: readonly string[], bucket: string): ReadonlyMap<string, readonly string[]> {
  const folders = new Map<string, string[]>();
  for (const location of locations) {
    const prefix = prefixOf(location, bucket);
    folders.set(prefix, [...(folders.get(prefix) ?? []), location]);
  }
  return folders;
}

/** The declared columns that the text names, so that it stays short; all of them where it has a star. */
function usedColumns(sql: string, columns: Readonly<Record<string, string>>): readonly (readonly [string, string])[] {
  const all = Object.entries(columns);
  if (/\*/.test(sql.replace(/\bcount\(\*\)/gi, ''))) return all;
  const words = new Set(sql.toLowerCase().match(/\w+/g) ?? []);
  return all.filter(([name]) => words.has(name.toLowerCase()));
}

/** NULL of a type; a cast to an array is no SQL of the subset. */
function nullOf(type: string): string {
  const array = /^array\((.*)\)$/.exec(type);
  return array?.[1] === undefined ? `CAST(NULL AS ${type})` : `CASE WHEN 1 = 0 THEN ARRAY[${nullOf(array[1])}] END`;
}
