import { CODES, RADIX, REFUSAL } from '../consent.ts';
import type { ConsentPolicy, PurposePolicy, Table } from '../model.ts';
import { minus } from '../time.ts';
import { fieldOf } from './event.ts';
import { boundKey } from './identifiers.ts';
import { instantLiteral, millisecondsOf, quoteName, quoteTable, quoteText } from './literal.ts';

/**
 * `decide` of core/consent.ts for all customers at once. Each purpose is two numbers a customer, so that the aggregation never grows
 * with the number of records and an engine can spill it. A number is a record's start x RADIX + its code, so that the greater one is
 * the later, and of the same start the stricter: `rank_<i>` of all records, `refused_<i>` of the open refusals.
 */

/** Moves epoch milliseconds above zero from the year 1 on, so that division and remainder mean the same everywhere. */
export const SHIFT = 62_135_596_800_000;

/** The records of one consents table that have started: `customer_id`, `purpose`, `bound`, `began`, `undated`, `code`, `ref`. */
function recordsOf(table: Table, purposes: readonly string[], tick: number): string {
  const column = (name: string) => fieldOf(table, name);
  const at = (name: string) => `r.${quoteName(column(name).name)}`;
  const to = table.fields['effective_to'];
  const now = (name: string) => instantLiteral(column(name), tick, new Date(tick).toISOString().slice(0, 10));
  const words = Object.entries(
    table.statuses ?? { granted: 'granted', denied: 'denied', withdrawn: 'withdrawn', pending: 'pending' },
  );
  const code = [
    ...(to === undefined ? [] : [`WHEN ${at('effective_to')} <= ${now('effective_to')} THEN ${CODES.ended}`]),
    ...words.map(([word, status]) => `WHEN ${at('status')} = ${quoteText(word)} THEN ${CODES[status as keyof typeof CODES]}`),
  ];
  const has = table.fields['namespace'] !== undefined && table.fields['value'] !== undefined;
  const from = column('effective_from');
  // What looks like an address is no name for a record: it would live on in receipts.
  const opaque = (name: string): string => {
    if (table.fields[name] === undefined) return `''`;
    const text = `CAST(${at(name)} AS varchar)`;
    return `CASE WHEN strpos(${text}, '@') = 0 THEN ${text} ELSE '' END`;
  };
  return `SELECT CAST(${at('customer_id')} AS varchar) AS customer_id, ${at('purpose')} AS purpose,
      ${has ? boundKey(at('namespace'), at('value')) : 'CAST(NULL AS varchar)'} AS bound,
      coalesce(${millisecondsOf(at('effective_from'), from)}, ${tick}) + ${SHIFT} AS began, ${at('effective_from')} IS NULL AS undated,
      CASE ${code.join(' ')} ELSE ${CODES['unknown-status']} END AS code, ${opaque('source')} || chr(31) || ${opaque('record_id')} AS ref
    FROM ${quoteTable(table.physicalName)} r
    WHERE ${at('purpose')} IN (${purposes.map(quoteText).join(', ')})
      AND (${at('effective_from')} <= ${now('effective_from')} OR ${at('effective_from')} IS NULL)`;
}

export interface ConsentSource {
  readonly tables: readonly Table[];
  /** In the order of the numbers in `rank_<i>`. */
  readonly purposes: readonly string[];
  readonly tick: number;
  /** Name of a relation `from_id`, `to_id` of ids that were merged away, if there is one. */
  readonly merged?: string | undefined;
  /** Name of a relation `customer_id` to which the work can be limited, if there is one. */
  readonly wanted?: string | undefined;
}

/** Whether any record can be about one identifier instead of the customer. */
export const bindsIdentifiers = (tables: readonly Table[]): boolean =>
  tables.some((table) => table.fields['namespace'] !== undefined && table.fields['value'] !== undefined);

/** Whether any record has a name of its own, or says where it came from. */
export const namesRecords = (tables: readonly Table[]): boolean =>
  tables.some((table) => table.fields['record_id'] !== undefined || table.fields['source'] !== undefined);

/** FROM and WHERE of the records that count, alias `r`, and the customer's id, merged ids as the survivor. */
function countedRecords({ tables, purposes, tick, merged, wanted }: ConsentSource): {
  readonly id: string;
  readonly from: string;
} {
  const union = tables.map((table) => recordsOf(table, purposes, tick)).join('\n    UNION ALL\n    ');
  const id = merged === undefined ? 'r.customer_id' : 'coalesce(m.to_id, r.customer_id)';
  const limit = wanted === undefined ? '' : `\n    AND ${id} IN (SELECT customer_id FROM ${wanted})`;
  return {
    id,
    from: `FROM (
    ${union}
  ) r${merged === undefined ? '' : `\n  LEFT JOIN ${merged} m ON m.from_id = r.customer_id`}
  WHERE (NOT r.undated OR r.code >= ${REFUSAL})${limit}`,
  };
}

const NUMBER = `r.began * ${RADIX} + r.code`;

/** SELECT of `customer_id`, `bound` (when asked for), and `rank_<i>`, `refused_<i>` per purpose; one row a customer (and identifier). */
export function consentStates(source: ConsentSource, bound: 'customer' | 'identifier'): string {
  const { id, from } = countedRecords(source);
  const states = source.purposes.map((purpose, i) => {
    const only = source.purposes.length === 1 ? '' : ` FILTER (WHERE r.purpose = ${quoteText(purpose)})`;
    return `max(${NUMBER})${only} AS rank_${i}, max(CASE WHEN r.code >= ${REFUSAL} THEN ${NUMBER} END)${only} AS refused_${i}`;
  });
  const keys = bound === 'identifier' ? `${id} AS customer_id, r.bound AS bound` : `${id} AS customer_id`;
  return `SELECT ${keys}, ${states.join(', ')}
  ${from} AND r.bound IS ${bound === 'identifier' ? 'NOT NULL' : 'NULL'}
  GROUP BY ${bound === 'identifier' ? '1, 2' : '1'}`;
}

/**
 * SELECT of `customer_id`, `purpose`, `number`, `ref`: which record a number stands for, one row each. Of records that say the same since
 * the same moment the first by name is taken. A window and no aggregate, because engines keep the texts of an aggregation in memory.
 */
export function recordNames(source: ConsentSource): string {
  const { id, from } = countedRecords(source);
  return `SELECT customer_id, purpose, number, ref FROM (
    SELECT customer_id, purpose, number, ref, row_number() OVER (PARTITION BY customer_id, purpose, number ORDER BY ref) AS n
    FROM (
  SELECT ${id} AS customer_id, r.purpose AS purpose, ${NUMBER} AS number, r.ref AS ref
  ${from}
    ) x
  ) x WHERE n = 1`;
}

/** A customer's two numbers as SQL. */
export interface State {
  readonly rank: string;
  readonly refused: string;
}

/** The number of the record that decides, NULL when there is none: the last one, or when it has ended the last open refusal. */
export const decidedSql = ({ rank, refused }: State): string =>
  `CASE WHEN mod(${rank}, ${RADIX}) = ${CODES.ended} AND ${refused} IS NOT NULL THEN ${refused} ELSE ${rank} END`;

const codeOf = (decided: string): string => `mod(coalesce(${decided}, 0), ${RADIX})`;

/** The last moment at which a grant that has expired by now began, as it is in a number; undefined when grants do not expire. */
const expiryOf = (policy: PurposePolicy, tick: number): number | undefined =>
  policy.expiresAfter === undefined ? undefined : minus(tick, policy.expiresAfter, 'UTC') + SHIFT;

/** A boolean, never NULL: may be sent, given the number that decides and the basis, both SQL. */
export function allowedSql(policy: PurposePolicy, decided: string, basis: string, tick: number): string {
  const expiry = expiryOf(policy, tick);
  const fresh = expiry === undefined ? '' : ` AND coalesce(${decided}, 0) / ${RADIX} > ${expiry}`;
  const optIn = `(${codeOf(decided)} = ${CODES.granted}${fresh})`;
  const optOut = `(${codeOf(decided)} < ${REFUSAL})`;
  if (basis === `'opt-in'`) return optIn;
  if (basis === `'opt-out'`) return optOut;
  return `CASE WHEN ${basis} = 'opt-in' THEN ${optIn} ELSE ${optOut} END`;
}

/** The reason for the decision, words of `ConsentReason`. */
export function reasonSql(policy: PurposePolicy, decided: string, basis: string, tick: number): string {
  const code = codeOf(decided);
  const expiry = expiryOf(policy, tick);
  const expired =
    expiry === undefined ? '' : `\n    WHEN ${code} = ${CODES.granted} AND ${decided} / ${RADIX} <= ${expiry} THEN 'expired'`;
  return `CASE
    WHEN ${code} >= ${REFUSAL} THEN ${statusSql(decided)}
    WHEN ${basis} = 'opt-out' THEN 'not-refused'
    WHEN ${code} = 0 THEN 'no-record'${expired}
    ELSE ${statusSql(decided)} END`;
}

/** What the deciding record says, words of `EvidenceStatus`; NULL when there is none. */
const statusSql = (decided: string): string =>
  `CASE ${Object.entries(CODES)
    .map(([status, code]) => `WHEN ${codeOf(decided)} = ${code} THEN ${quoteText(status)}`)
    .join(' ')} END`;

/** The text that `evidenceOf` of core/evidence.ts reads. @param ref SQL of the record's `ref`; undefined where no table names its records */
export function evidenceSql(
  policy: PurposePolicy,
  decided: string,
  basis: string,
  tick: number,
  ref: string | undefined,
): string {
  const parts = [
    reasonSql(policy, decided, basis, tick),
    `coalesce(${statusSql(decided)}, '')`,
    `coalesce(CAST(${decided} / ${RADIX} - ${SHIFT} AS varchar), '')`,
    ref === undefined ? 'chr(31)' : `coalesce(${ref}, chr(31))`,
  ];
  return parts.join(' || chr(31) || ');
}

/** The policy of a purpose, if the file has one of that name. */
export const policyOf = (policy: ConsentPolicy, purpose: string): PurposePolicy | undefined =>
  Object.hasOwn(policy.purposes, purpose) ? policy.purposes[purpose] : undefined;
