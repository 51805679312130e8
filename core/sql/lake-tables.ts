import { DECISION_COLUMNS } from './decisions.ts';
import {
  CANDIDATE_COLUMNS,
  LEDGER_COLUMNS,
  LOG_COLUMNS,
  REJECTION_COLUMNS,
  REMOVE_LINE_COLUMNS,
  UPSERT_LINE_COLUMNS,
} from './delta.ts';
import { MOVED_COLUMNS } from './merges.ts';
import { NEAR_COLUMNS, TOUCHED_COLUMNS } from './near.ts';
import { RECEIPT_COLUMNS } from './receipts.ts';
import { SIGNAL_COLUMNS } from './signals.ts';
import { SNAPSHOT_COLUMNS } from './snapshot-columns.ts';
import { MARK_COLUMNS, WANTED_COLUMNS } from './person.ts';
import { STOP_COLUMNS, WHO_COLUMNS } from './stops.ts';

/**
 * How a catalog (Glue) knows our own files: two tables over the state bucket, one a format, that are made once with the deployment and never changed by a run.
 * Their only partition column, `prefix`, is the folder of the files in the bucket, and is projected (`injected`): a query names the folder
 * and the catalog is asked nothing. Every column of every relation is in both tables; Parquet and JSON are read by name, and what a
 * file has not is NULL. docs/adr/0050-athena.md says why.
 */
export interface LakeTable {
  readonly name: string;
  readonly format: 'parquet' | 'jsonl' | 'receipts';
  /** Name -> Hive type, as Glue writes it. */
  readonly columns: Readonly<Record<string, string>>;
  readonly partitionKeys: Readonly<Record<string, string>>;
  readonly inputFormat: string;
  readonly outputFormat: string;
  readonly serde: string;
  readonly serdeParameters: Readonly<Record<string, string>>;
  readonly parameters: Readonly<Record<string, string>>;
  readonly location: string;
}

/** Types in SQL, as relations declare them. A name means the same in every relation: one table holds them all. */
export const LAKE_COLUMNS: Readonly<Record<string, string>> = {
  ...LEDGER_COLUMNS,
  ...REJECTION_COLUMNS,
  ...CANDIDATE_COLUMNS,
  ...DECISION_COLUMNS,
  ...REMOVE_LINE_COLUMNS,
  ...UPSERT_LINE_COLUMNS,
  ...LOG_COLUMNS,
  ...MOVED_COLUMNS,
  ...NEAR_COLUMNS,
  ...TOUCHED_COLUMNS,
  ...RECEIPT_COLUMNS,
  ...SNAPSHOT_COLUMNS,
  ...SIGNAL_COLUMNS,
  ...STOP_COLUMNS,
  ...WANTED_COLUMNS,
  ...MARK_COLUMNS,
  ...WHO_COLUMNS,
};

/** Name of the table of a format, and of the one over the bucket of receipts. */
export const LAKE_TABLE = { parquet: 'sluice_parquet', jsonl: 'sluice_lines', receipts: 'sluice_receipts' } as const;

const PARQUET = {
  inputFormat: 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat',
  outputFormat: 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat',
  serde: 'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe',
  serdeParameters: { 'serialization.format': '1' },
} as const;

/**
 * Both tables over a bucket.
 * @param columns for tests that have relations of their own
 */
export function lakeTables(
  bucket: string,
  columns: Readonly<Record<string, string>> = LAKE_COLUMNS,
): readonly [parquet: LakeTable, lines: LakeTable] {
  const shared = {
    columns: Object.fromEntries(Object.entries(columns).map(([name, type]) => [name, hiveType(type)])),
    partitionKeys: { prefix: 'string' },
    location: `s3://${bucket}/`,
  };
  const parameters = {
    EXTERNAL: 'TRUE',
    'projection.enabled': 'true',
    'projection.prefix.type': 'injected',
    'storage.location.template': `s3://${bucket}/\${prefix}`,
  };
  return [
    {
      name: LAKE_TABLE.parquet,
      format: 'parquet',
      ...PARQUET,
      parameters: { ...parameters, classification: 'parquet' },
      ...shared,
    },
    {
      name: LAKE_TABLE.jsonl,
      format: 'jsonl',
      inputFormat: 'org.apache.hadoop.mapred.TextInputFormat',
      outputFormat: 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat',
      serde: 'org.openx.data.jsonserde.JsonSerDe',
      // A line that is no JSON is an error, never a row less.
      serdeParameters: { 'serialization.format': '1', 'ignore.malformed.json': 'false' },
      parameters: { ...parameters, classification: 'json' },
      ...shared,
    },
  ];
}

/**
 * The receipts: Parquet in a bucket of their own, a folder for each day of a tick (core/receipts/chain.ts). A query names the days and the
 * files, so that what no link of a chain names is not read. Whoever looks into it by hand names days: `WHERE dt = '2026-11-22'`.
 */
export const receiptsTable = (bucket: string): LakeTable => ({
  name: LAKE_TABLE.receipts,
  format: 'receipts',
  columns: Object.fromEntries(Object.entries(RECEIPT_COLUMNS).map(([name, type]) => [name, hiveType(type)])),
  partitionKeys: { dt: 'string' },
  location: `s3://${bucket}/`,
  ...PARQUET,
  parameters: {
    EXTERNAL: 'TRUE',
    classification: 'parquet',
    'projection.enabled': 'true',
    'projection.dt.type': 'date',
    'projection.dt.format': 'yyyy-MM-dd',
    // The tick of a run may lie a day ahead of the clock.
    'projection.dt.range': '2020-01-01,NOW+2DAYS',
    'storage.location.template': `s3://${bucket}/dt=\${dt}/`,
  },
});

const HIVE: Readonly<Record<string, string>> = {
  varchar: 'string',
  integer: 'int',
  bigint: 'bigint',
  boolean: 'boolean',
  double: 'double',
  timestamp: 'timestamp',
};

/** Trino's name of a type as Hive's. */
export function hiveType(type: string): string {
  const array = /^array\((.*)\)$/.exec(type);
  if (array?.[1] !== undefined) return `array<${hiveType(array[1])}>`;
  const hive = HIVE[type];
  if (hive === undefined) throw new TypeError(`The type ${type} has no name in Glue here yet: add it to core/sql/lake-tables.ts`);
  return hive;
}
