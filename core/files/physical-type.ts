import type { LogicalType } from '../model.ts';
import type { Property } from './contract-schema.ts';

/** Digits after the point where neither the physical type nor `sluice.scale` says. */
const DEFAULT_SCALE = 6;

/** Physical type names of Trino, Athena and DuckDB (lower case, without arguments) and what they are to a rule. */
const LOGICAL: Readonly<Record<string, LogicalType>> = {
  varchar: 'string',
  char: 'string',
  string: 'string',
  text: 'string',
  uuid: 'string',
  enum: 'string',
  tinyint: 'integer',
  smallint: 'integer',
  int: 'integer',
  integer: 'integer',
  bigint: 'integer',
  hugeint: 'integer',
  utinyint: 'integer',
  usmallint: 'integer',
  uinteger: 'integer',
  ubigint: 'integer',
  decimal: 'number',
  numeric: 'number',
  real: 'number',
  float: 'number',
  double: 'number',
  'double precision': 'number',
  boolean: 'boolean',
  bool: 'boolean',
  date: 'date',
  timestamp: 'timestamp',
  timestamptz: 'timestamp',
  datetime: 'timestamp',
  'timestamp with time zone': 'timestamp',
  'timestamp without time zone': 'timestamp',
};

const baseOf = (physicalType: string | undefined): string =>
  (physicalType ?? '')
    .toLowerCase()
    .replace(/\([^)]*\)/g, '')
    .replace(/\s+/g, ' ')
    .trim();

/** The contract's `logicalType`, else what the physical type implies; undefined when neither says. */
export function logicalTypeOf(property: Property): LogicalType | 'object' | 'array' | 'time' | undefined {
  if (property.logicalType !== undefined) return property.logicalType;
  const base = baseOf(property.physicalType);
  return Object.hasOwn(LOGICAL, base) ? LOGICAL[base] : undefined;
}

/** `decimal(12,2)` has scale 2. */
export function scaleOf(property: Property): number {
  const match = /^(?:decimal|numeric)\s*\(\s*\d+\s*(?:,\s*(\d+)\s*)?\)$/i.exec(property.physicalType ?? '');
  return match ? Number(match[1] ?? 0) : DEFAULT_SCALE;
}

/** A timestamp that knows its offset, by its physical type or by ODCS `logicalTypeOptions.timezone`. */
export function zonedOf(property: Property): boolean {
  const base = baseOf(property.physicalType);
  return base === 'timestamptz' || base === 'timestamp with time zone' || property.logicalTypeOptions?.['timezone'] === true;
}

export interface IntegerRange {
  readonly min: bigint;
  readonly max: bigint;
}

const signed = (bits: bigint): IntegerRange => ({ min: -(2n ** (bits - 1n)), max: 2n ** (bits - 1n) - 1n });
const unsigned = (bits: bigint): IntegerRange => ({ min: 0n, max: 2n ** bits - 1n });

const RANGES: Readonly<Record<string, IntegerRange>> = {
  tinyint: signed(8n),
  smallint: signed(16n),
  int: signed(32n),
  integer: signed(32n),
  bigint: signed(64n),
  utinyint: unsigned(8n),
  usmallint: unsigned(16n),
  uinteger: unsigned(32n),
  ubigint: unsigned(64n),
  i8: signed(8n),
  i16: signed(16n),
  i32: signed(32n),
  i64: signed(64n),
  u8: unsigned(8n),
  u16: unsigned(16n),
  u32: unsigned(32n),
  u64: unsigned(64n),
};

/** What an integer column can hold, by ODCS `logicalTypeOptions.format`, else by its physical type; 64 bits when neither says. */
export function integerRange(property: Property): IntegerRange {
  const format = property.logicalTypeOptions?.['format'];
  const named = typeof format === 'string' ? format : baseOf(property.physicalType);
  return (Object.hasOwn(RANGES, named) ? RANGES[named] : undefined) ?? signed(64n);
}
