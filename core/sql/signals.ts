import { CODES, REFUSAL } from '../consent.ts';
import type { PurposePolicy, Table } from '../model.ts';
import type { Query } from '../ports.ts';
import { reads, type Signal, SIGNAL_KINDS, type SignalKind } from '../signals.ts';
import { hashHex } from './canonical.ts';
import { fieldOf } from './event.ts';
import { quoteName, quoteTable, quoteText } from './literal.ts';

/**
 * Strings of the advertising industry (TCF, GPP) in SQL. No engine can read them: `signalStringsQuery` fetches the distinct ones, they are
 * read in TypeScript (core/run/signals.ts), and come back as a relation that names a string by its hash.
 */

/** Name of the relation. `k`: hash of kind and string, 32 hex; `v`: a digit a purpose, the code of what the string says, 0 for nothing. */
export const SIGNALS = 'sluice_signals';
export const SIGNAL_COLUMNS = { k: 'varchar', v: 'varchar' } as const;

export interface SignalSource {
  /** In the order of the source's purposes; undefined for one whose policy reads no strings. */
  readonly policies: readonly (PurposePolicy | undefined)[];
  /** Whether the relation is there. */
  readonly known: boolean;
}

/** The digit of a signal: its code (core/consent.ts). */
export const digitOf = (signal: Signal): string => (signal === null ? '0' : String(CODES[signal]));

/** What the key of a string is the hash of. */
export const keyText = (kind: SignalKind, text: string): string => `${kind}:${text}`;

export const keepsStrings = (table: Table): boolean => SIGNAL_KINDS.some((kind) => table.fields[kind] !== undefined);

/** The columns of a table's strings, and whether a row has any; undefined for a table that keeps none. */
interface Strings {
  readonly columns: readonly { readonly kind: SignalKind; readonly column: string }[];
  readonly any: string;
}

export function stringsOf(table: Table, at: (field: string) => string): Strings | undefined {
  const columns = SIGNAL_KINDS.filter((kind) => table.fields[kind] !== undefined).map((kind) => ({ kind, column: at(kind) }));
  if (columns.length === 0) return undefined;
  return { columns, any: `(${columns.map(({ column }) => `coalesce(${column}, '') <> ''`).join(' OR ')})` };
}

/** `saidBy` of core/consent.ts. @param word SQL of the code of the record's word */
export function saidSql(
  word: string,
  status: string,
  purpose: string,
  { columns, any }: Strings,
  source: { readonly purposes: readonly string[]; readonly signals?: SignalSource | undefined },
): string {
  const signals = columns.flatMap(({ kind, column }) => {
    const places = source.purposes.flatMap((name, i) => {
      const policy = source.signals?.policies[i];
      if (policy === undefined || !reads(policy, kind)) return [];
      // A string that nobody has read refuses.
      const digit =
        source.signals?.known === true
          ? `coalesce(CAST(substr(${kind}.v, ${i + 1}, 1) AS integer), ${CODES['unknown-status']})`
          : CODES['unknown-status'];
      return [`WHEN ${purpose} = ${quoteText(name)} THEN ${digit}`];
    });
    return places.length === 0 ? [] : [`CASE WHEN coalesce(${column}, '') = '' THEN 0 ${places.join(' ')} ELSE 0 END`];
  });
  const signal = signals.length < 2 ? (signals[0] ?? '0') : `greatest(${signals.join(', ')})`;
  return `CASE WHEN ${status} IS NULL AND ${any} THEN ${signal} WHEN ${signal} >= ${REFUSAL} THEN greatest(${word}, ${signal}) ELSE ${word} END`;
}

/** The joins that `saidSql` reads from; nothing where no policy reads the strings. */
export function signalJoins({ columns }: Strings, { signals }: { readonly signals?: SignalSource | undefined }): string {
  if (signals?.known !== true) return '';
  return columns
    .filter(({ kind }) => signals.policies.some((policy) => policy !== undefined && reads(policy, kind)))
    .map(
      ({ kind, column }) =>
        `\n    LEFT JOIN ${SIGNALS} ${kind} ON ${kind}.k = ${hashHex(`${quoteText(keyText(kind, ''))} || ${column}`, 32)}`,
    )
    .join('');
}

/** The distinct strings that speak of the purposes: `kind`, `s`, and the `shard` 0. Undefined when there is nothing to read. */
export function signalStringsQuery(
  tables: readonly Table[],
  purposes: readonly string[],
  policies: readonly (PurposePolicy | undefined)[],
  customers?: readonly string[],
): Query | undefined {
  const selects = tables.flatMap((table) => {
    const at = (field: string) => `r.${quoteName(fieldOf(table, field).name)}`;
    const wanted = SIGNAL_KINDS.filter(
      (kind) => table.fields[kind] !== undefined && policies.some((policy) => policy !== undefined && reads(policy, kind)),
    );
    const whose =
      customers === undefined ? '' : ` AND CAST(${at('customer_id')} AS varchar) IN (${customers.map(quoteText).join(', ')})`;
    return wanted.map(
      (kind) => `SELECT DISTINCT ${quoteText(kind)} AS kind, ${at(kind)} AS s FROM ${quoteTable(table.physicalName)} r
  WHERE ${at(kind)} <> '' AND (${at('purpose')} IS NULL OR ${at('purpose')} IN (${purposes.map(quoteText).join(', ')}))${whose}`,
    );
  });
  if (selects.length === 0) return undefined;
  return { sql: `SELECT kind, s, 0 AS shard FROM (\n  ${selects.join('\n  UNION ALL\n  ')}\n) x`, tables };
}
