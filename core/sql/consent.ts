import { CODES, RADIX, REFUSAL, STATUSES } from '../consent.ts';
import type { ConsentPolicy, PurposePolicy, Table } from '../model.ts';
import { minus } from '../time.ts';
import { fieldOf } from './event.ts';
import { boundKey } from './identifiers.ts';
import { instantLiteral, millisecondsOf, quoteName, quoteTable, quoteText } from './literal.ts';
import { keepsStrings, saidSql, signalJoins, type SignalSource, stringsOf } from './signals.ts';

/**
 * `decide` of core/consent.ts for all customers at once. Each purpose is two numbers a customer, so that the aggregation never grows
 * with the number of records and an engine can spill it. A number is a record's start x RADIX + its code, so that the greater one is
 * the later, and of the same start the stricter: `rank_<i>` of all records, `refused_<i>` of the open refusals. Where sources have an order,
 * the level of the source stands before the start in a rank. Where grants must be confirmed there are two starts more: `asked_<i>` of
 * the last `pending` or `confirmed`, `objected_<i>` of the last refusal, ended ones too.
 */

/** Moves epoch milliseconds above zero from the year 1 on, so that division and remainder mean the same everywhere. */
export const SHIFT = 62_135_596_800_000;

/** What stands before the number of a record in a rank, for each level of its source: above any number, and below 2^63 with MAX_SOURCES. */
const LEVEL = 2 ** 53;

/**
 * The records of one consents table that have started: `customer_id`, `purpose`, `bound`, `began`, `undated`, `ended`, `said` (the code of
 * what it says, 0 for nothing), `ref`, and where sources have an order `level`. A row that is about no purpose of its own and holds a string is
 * one of each purpose whose policy reads strings.
 */
function recordsOf(table: Table, source: ConsentSource): string {
  const { purposes, tick, sources } = source;
  const column = (name: string) => fieldOf(table, name);
  const at = (name: string) => `r.${quoteName(column(name).name)}`;
  const now = (name: string) => instantLiteral(column(name), tick, new Date(tick).toISOString().slice(0, 10));
  const words = Object.entries(table.statuses ?? Object.fromEntries(STATUSES.map((status) => [status, status] as const)));
  const says = words.map(([word, status]) => `WHEN ${at('status')} = ${quoteText(word)} THEN ${CODES[status]}`).join(' ');
  const word = `CASE ${says} ELSE ${CODES['unknown-status']} END`;
  const reading = purposes.filter((_, i) => source.signals?.policies[i] !== undefined);
  const every = keepsStrings(table) && reading.length > 0;
  const purpose = every ? 'e.purpose' : at('purpose');
  const ended =
    table.fields['effective_to'] === undefined ? 'FALSE' : `coalesce(${at('effective_to')} <= ${now('effective_to')}, FALSE)`;
  const levels = (sources ?? []).map(
    (one, i, all) => `WHEN CAST(${at('source')} AS varchar) = ${quoteText(one)} THEN ${all.length - i}`,
  );
  const level = table.fields['source'] === undefined ? '0' : `CASE ${levels.join(' ')} ELSE 0 END`;
  const has = table.fields['namespace'] !== undefined && table.fields['value'] !== undefined;
  const from = column('effective_from');
  // What looks like an address is no name for a record: it would live on in receipts.
  const opaque = (name: string): string => {
    if (table.fields[name] === undefined) return `''`;
    const text = `CAST(${at(name)} AS varchar)`;
    return `CASE WHEN strpos(${text}, '@') = 0 THEN ${text} ELSE '' END`;
  };
  const strings = stringsOf(table, at);
  const said = strings === undefined ? word : saidSql(word, at('status'), purpose, strings, source);
  const named = `${at('purpose')} IN (${purposes.map(quoteText).join(', ')})`;
  const about = every ? `(${named} OR (${at('purpose')} IS NULL AND ${strings?.any ?? 'FALSE'}))` : named;
  const each = every
    ? `\n    CROSS JOIN UNNEST(CASE WHEN ${at('purpose')} IS NULL THEN ARRAY[${reading.map(quoteText).join(', ')}] ELSE ARRAY[${at('purpose')}] END) AS e(purpose)`
    : '';
  return `SELECT CAST(${at('customer_id')} AS varchar) AS customer_id, ${purpose} AS purpose,
      ${has ? boundKey(at('namespace'), at('value')) : 'CAST(NULL AS varchar)'} AS bound,
      coalesce(${millisecondsOf(at('effective_from'), from)}, ${tick}) + ${SHIFT} AS began, ${at('effective_from')} IS NULL AS undated,
      ${ended} AS ended, ${said} AS said, ${opaque('source')} || chr(31) || ${opaque('record_id')} AS ref${sources === undefined ? '' : `, ${level} AS level`}
    FROM ${quoteTable(table.physicalName)} r${each}${strings === undefined ? '' : signalJoins(strings, source)}
    WHERE ${about} AND (${at('effective_from')} <= ${now('effective_from')} OR ${at('effective_from')} IS NULL)`;
}

export interface ConsentSource {
  readonly tables: readonly Table[];
  /** In the order of the numbers in `rank_<i>`. */
  readonly purposes: readonly string[];
  /** Of those, the ones whose grants must be confirmed. */
  readonly confirm?: readonly string[] | undefined;
  /** What strings say (`SIGNALS`), for the purposes whose policies read them; without it every string refuses them. */
  readonly signals?: SignalSource | undefined;
  /** The order of the sources, if there is one. */
  readonly sources?: readonly string[] | undefined;
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
export function countedRecords(source: ConsentSource): { readonly id: string; readonly from: string } {
  const { tables, merged, wanted } = source;
  const union = tables.map((table) => recordsOf(table, source)).join('\n    UNION ALL\n    ');
  const id = merged === undefined ? 'r.customer_id' : 'coalesce(m.to_id, r.customer_id)';
  const limit = wanted === undefined ? '' : `\n    AND ${id} IN (SELECT customer_id FROM ${wanted})`;
  return {
    id,
    from: `FROM (
    SELECT r.*, CASE WHEN r.ended THEN ${CODES.ended} ELSE r.said END AS code FROM (
    ${union}
    ) r WHERE r.said > 0
  ) r${merged === undefined ? '' : `\n  LEFT JOIN ${merged} m ON m.from_id = r.customer_id`}
  WHERE (NOT r.undated OR r.code >= ${REFUSAL})${limit}`,
  };
}

/** A record's number, and its place among all: SQL over `r` of `countedRecords`. */
export const NUMBER = `r.began * ${RADIX} + r.code`;
export const rankOf = (source: ConsentSource): string =>
  source.sources === undefined ? NUMBER : `r.level * ${LEVEL} + ${NUMBER}`;
/** What counts where grants must be confirmed. */
export const ASKED = `r.said IN (${CODES.pending}, ${CODES.confirmed})`;
export const OBJECTED = `r.said >= ${REFUSAL}`;
export const REFUSES = `r.code >= ${REFUSAL}`;

/** SELECT of `customer_id` and the numbers of each purpose, of records about the customer; one row a customer. */
export function consentStates(source: ConsentSource): string {
  const { id, from } = countedRecords(source);
  const states = source.purposes.map((purpose, i) => {
    const only = source.purposes.length === 1 ? '' : ` FILTER (WHERE r.purpose = ${quoteText(purpose)})`;
    const last = (condition: string, name: string) => `max(CASE WHEN ${condition} THEN r.began END)${only} AS ${name}`;
    return [
      `max(${rankOf(source)})${only} AS rank_${i}, max(CASE WHEN ${REFUSES} THEN ${NUMBER} END)${only} AS refused_${i}`,
      ...(source.confirm?.includes(purpose) ? [last(ASKED, `asked_${i}`), last(OBJECTED, `objected_${i}`)] : []),
    ].join(', ');
  });
  return `SELECT ${id} AS customer_id, ${states.join(', ')}
  ${from} AND r.bound IS NULL
  GROUP BY 1`;
}

/** A customer's numbers for one purpose, as SQL. */
export interface State {
  readonly rank: string;
  readonly refused: string;
  readonly asked: string;
  readonly objected: string;
}

/** The numbers of purpose `i` in the relation `alias` of `consentStates`. */
export const stateOf = (alias: string, i: number): State => ({
  rank: `${alias}.rank_${i}`,
  refused: `${alias}.refused_${i}`,
  asked: `${alias}.asked_${i}`,
  objected: `${alias}.objected_${i}`,
});

/** Two states as one history. */
export function joinStates(a: State, b: State): State {
  const later = (key: keyof State) => greaterOf(a[key], b[key]);
  return { rank: later('rank'), refused: later('refused'), asked: later('asked'), objected: later('objected') };
}

/** The greater one, or the one that is there. */
export const greaterOf = (a: string, b: string): string => `greatest(coalesce(${a}, ${b}), coalesce(${b}, ${a}))`;

/**
 * The number that decides, NULL when there is none: of the last record, or when it has ended of the last open refusal. A grant that is
 * not confirmed where it must be has the code of `unconfirmed` in it.
 */
export const decidedSql = (policy: PurposePolicy, state: State): string =>
  decidedWhere({ ordered: policy.sources !== undefined, confirm: policy.doubleOptIn === true ? 'TRUE' : undefined }, state);

/** `decidedSql` for rows of several purposes. @param confirm SQL of whether grants must be confirmed; undefined where none must */
export function decidedWhere(
  { ordered, confirm }: { readonly ordered: boolean; readonly confirm: string | undefined },
  { rank, refused, asked, objected }: State,
): string {
  const number = numberOf(ordered, rank);
  // Of lower sources only refusals count: one that is later than all the highest source says.
  const later = ordered ? ` OR ${refused} > ${number}` : '';
  const must = confirm === 'TRUE' ? '' : `${confirm} AND `;
  const unconfirmed =
    confirm === undefined
      ? ''
      : `WHEN ${must}${codeOf(number)} = ${CODES.granted} AND NOT coalesce(${asked} < ${number} / ${RADIX} AND ${asked} > coalesce(${objected}, 0), FALSE) THEN ${number} + ${TO_UNCONFIRMED} `;
  return `CASE WHEN ${refused} IS NOT NULL AND (${codeOf(number)} = ${CODES.ended}${later}) THEN ${refused} ${unconfirmed}ELSE ${number} END`;
}

/** The number in a rank. @param ordered whether sources have an order */
export const numberOf = (ordered: boolean, rank: string): string => (ordered ? `mod(${rank}, ${LEVEL})` : rank);

const TO_UNCONFIRMED = CODES.unconfirmed - CODES.granted;

/** The number of the record itself, whatever became of it. */
export const recordNumber = (decided: string): string =>
  `CASE WHEN ${codeOf(decided)} = ${CODES.unconfirmed} THEN ${decided} - ${TO_UNCONFIRMED} ELSE ${decided} END`;

const codeOf = (decided: string): string => `mod(coalesce(${decided}, 0), ${RADIX})`;

/** A boolean, never NULL: an open refusal decides. */
export const refusesSql = (decided: string): string => `(${codeOf(decided)} >= ${REFUSAL})`;

/** The last moment at which a grant that has expired by now began, as it is in a number; undefined when grants do not expire. */
const expiryOf = (policy: PurposePolicy, tick: number): number | undefined =>
  policy.expiresAfter === undefined ? undefined : minus(tick, policy.expiresAfter, 'UTC') + SHIFT;

/** A boolean, never NULL: may be sent, given the number that decides and the basis, both SQL. */
export function allowedSql(policy: PurposePolicy, decided: string, basis: string, tick: number): string {
  const expiry = expiryOf(policy, tick);
  const fresh = expiry === undefined ? '' : ` AND coalesce(${decided}, 0) / ${RADIX} > ${expiry}`;
  const optIn = `(${codeOf(decided)} IN (${CODES.granted}, ${CODES.confirmed})${fresh})`;
  const optOut = `(${codeOf(decided)} < ${REFUSAL})`;
  if (basis === `'opt-in'`) return optIn;
  if (basis === `'opt-out'`) return optOut;
  return `CASE WHEN ${basis} = 'opt-in' THEN ${optIn} ELSE ${optOut} END`;
}

/** The grant that the decision rests on, under whatever basis: `confirmed`, `granted`, or nothing. */
export function grantSql(policy: PurposePolicy, decided: string, tick: number): string {
  // Where grants must be confirmed, those that count are.
  const granted = policy.doubleOptIn === true ? 'confirmed' : 'granted';
  return `CASE WHEN NOT ${allowedSql(policy, decided, `'opt-in'`, tick)} THEN '' WHEN ${codeOf(decided)} = ${CODES.confirmed} THEN 'confirmed' ELSE '${granted}' END`;
}

/** The reason for the decision, words of `ConsentReason`. */
export function reasonSql(policy: PurposePolicy, decided: string, basis: string, tick: number): string {
  const code = codeOf(decided);
  const expiry = expiryOf(policy, tick);
  const expired =
    expiry === undefined
      ? ''
      : `\n    WHEN ${code} IN (${CODES.granted}, ${CODES.confirmed}) AND ${decided} / ${RADIX} <= ${expiry} THEN 'expired'`;
  return `CASE
    WHEN ${code} >= ${REFUSAL} THEN ${wordSql(decided)}
    WHEN ${basis} = 'opt-out' THEN 'not-refused'
    WHEN ${code} = 0 THEN 'no-record'${expired}
    WHEN ${code} = ${CODES.confirmed} THEN 'granted' ELSE ${wordSql(decided)} END`;
}

/** The word of a number's code; NULL when there is none. */
const wordSql = (decided: string, words: Readonly<Record<string, number>> = CODES): string =>
  `CASE ${Object.entries(words)
    .map(([word, code]) => `WHEN ${codeOf(decided)} = ${code} THEN ${quoteText(word)}`)
    .join(' ')} END`;

/** What the deciding record says, words of `EvidenceStatus`; NULL when there is none. */
function statusSql(decided: string): string {
  const { unconfirmed, ...said } = CODES;
  const granted = `WHEN ${codeOf(decided)} = ${unconfirmed} THEN 'granted'`;
  return wordSql(decided, said).replace('CASE', `CASE ${granted}`);
}

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
