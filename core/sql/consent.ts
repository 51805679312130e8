import { CODES, REFUSAL, strictest } from '../consent.ts';
import { COUNTRIES, subdivisionsOf } from '../iso-3166.ts';
import type { Basis, ConsentPolicy, PurposePolicy, Table } from '../model.ts';
import { minus } from '../time.ts';
import { fieldOf } from './event.ts';
import { boundKey } from './identifiers.ts';
import { instantLiteral, millisecondsOf, quoteName, quoteTable, quoteText } from './literal.ts';

/**
 * `decide` of core/consent.ts for all customers at once. Each purpose is two numbers a customer, so that the aggregation never grows
 * with the number of records and an engine can spill it:
 * `rank_<i>` = start of the deciding record x 8 + its code, `refused_<i>` = the highest code of an open refusal.
 */

/** Moves epoch milliseconds above zero from the year 1 on, so that division and remainder mean the same everywhere. */
const SHIFT = 62_135_596_800_000;

/** SQL of a person's country: an assigned ISO 3166-1 alpha-2 code in upper case, or NULL. */
export function countrySql(column: string | undefined): string {
  if (column === undefined) return 'CAST(NULL AS varchar)';
  return `CASE WHEN ${letters(column)} AND upper(${column}) IN (${[...COUNTRIES].map(quoteText).join(', ')}) THEN upper(${column}) END`;
}

/** SQL of a person's ISO 3166-2 code as far as it is written; whether it is assigned is asked where a policy needs it. */
export const regionSql = (column: string | undefined, country: string): string =>
  column === undefined
    ? 'CAST(NULL AS varchar)'
    : `CASE WHEN NOT ${letters(column)} THEN NULL WHEN upper(${column}) LIKE ${country} || '-%' THEN upper(${column}) ELSE ${country} || '-' || upper(${column}) END`;

/** Codes are of these alone: of other letters engines disagree what their capitals are, and a dotless i is no India. */
const letters = (text: string): string => `regexp_like(${text}, '^[A-Za-z0-9-]+$')`;

/** SQL of basis and jurisdiction over the columns that hold `countrySql` and `regionSql`. */
export function jurisdictionSql(
  policy: PurposePolicy,
  country: string,
  region: string,
): { readonly basis: string; readonly jurisdiction: string } {
  const everywhere = strictest([policy.basis, ...Object.values(policy.jurisdictions)]);
  const regions = Map.groupBy(
    Object.keys(policy.jurisdictions).filter((code) => code.includes('-')),
    (code) => code.slice(0, 2),
  );
  const cases: string[] = [`WHEN ${country} IS NULL THEN ${quoteText(everywhere)}`];
  const codes: string[] = [];
  for (const [of, own] of regions) {
    const national = policy.jurisdictions[of] ?? policy.basis;
    const known = [...subdivisionsOf(of)].map(quoteText).join(', ') || `''`;
    for (const code of own) {
      if (!subdivisionsOf(of).has(code)) continue;
      cases.push(`WHEN ${region} = ${quoteText(code)} THEN ${quoteText(policy.jurisdictions[code] ?? national)}`);
      codes.push(quoteText(code));
    }
    const unknown = strictest([national, ...own.map((code) => policy.jurisdictions[code] ?? national)]);
    cases.push(`WHEN ${country} = ${quoteText(of)} AND ${region} IN (${known}) THEN ${quoteText(national)}`);
    cases.push(`WHEN ${country} = ${quoteText(of)} THEN ${quoteText(unknown)}`);
  }
  for (const basis of ['opt-in', 'opt-out'] satisfies Basis[]) {
    const own = Object.keys(policy.jurisdictions).filter(
      (code) => !code.includes('-') && !regions.has(code) && policy.jurisdictions[code] === basis,
    );
    if (own.length > 0) cases.push(`WHEN ${country} IN (${own.map(quoteText).join(', ')}) THEN ${quoteText(basis)}`);
  }
  return {
    basis: `CASE ${cases.join(' ')} ELSE ${quoteText(policy.basis)} END`,
    jurisdiction:
      codes.length === 0 ? country : `CASE WHEN ${region} IN (${codes.join(', ')}) THEN ${region} ELSE ${country} END`,
  };
}

/** The records of one consents table that have started: `customer_id`, `purpose`, `bound`, `began`, `undated`, `code`. */
function recordsOf(table: Table, purposes: readonly string[], tick: number, bound: boolean): string {
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
  const has = bound && table.fields['namespace'] !== undefined && table.fields['value'] !== undefined;
  const from = column('effective_from');
  return `SELECT CAST(${at('customer_id')} AS varchar) AS customer_id, ${at('purpose')} AS purpose,
      ${has ? boundKey(at('namespace'), at('value')) : 'CAST(NULL AS varchar)'} AS bound,
      coalesce(${millisecondsOf(at('effective_from'), from)}, ${tick}) + ${SHIFT} AS began, ${at('effective_from')} IS NULL AS undated,
      CASE ${code.join(' ')} ELSE ${CODES['unknown-status']} END AS code
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

/** SELECT of `customer_id`, `bound` (when asked for), and `rank_<i>`, `refused_<i>` per purpose; one row a customer (and identifier). */
export function consentStates(source: ConsentSource, bound: 'customer' | 'identifier'): string {
  const { tables, purposes, tick, merged, wanted } = source;
  const union = tables.map((table) => recordsOf(table, purposes, tick, true)).join('\n    UNION ALL\n    ');
  const id = merged === undefined ? 'r.customer_id' : 'coalesce(m.to_id, r.customer_id)';
  const states = purposes.map((purpose, i) => {
    const only = purposes.length === 1 ? '' : ` FILTER (WHERE r.purpose = ${quoteText(purpose)})`;
    return `max(r.began * 8 + r.code)${only} AS rank_${i}, max(CASE WHEN r.code >= ${REFUSAL} THEN r.code END)${only} AS refused_${i}`;
  });
  const keys = bound === 'identifier' ? `${id} AS customer_id, r.bound AS bound` : `${id} AS customer_id`;
  return `SELECT ${keys}, ${states.join(', ')}
  FROM (
    ${union}
  ) r${merged === undefined ? '' : `\n  LEFT JOIN ${merged} m ON m.from_id = r.customer_id`}
  WHERE (NOT r.undated OR r.code >= ${REFUSAL}) AND r.bound IS ${bound === 'identifier' ? 'NOT NULL' : 'NULL'}${
    wanted === undefined ? '' : `\n    AND ${id} IN (SELECT customer_id FROM ${wanted})`
  }
  GROUP BY ${bound === 'identifier' ? '1, 2' : '1'}`;
}

/** A boolean, never NULL: may be sent, given a state and the basis. `basis` is SQL text. */
export function allowedSql(
  policy: PurposePolicy,
  state: { readonly rank: string; readonly refused: string },
  basis: string,
  tick: number,
): string {
  const code = `mod(coalesce(${state.rank}, 0), 8)`;
  const fresh =
    policy.expiresAfter === undefined
      ? ''
      : ` AND coalesce(${state.rank}, 0) / 8 > ${minus(tick, policy.expiresAfter, 'UTC') + SHIFT}`;
  const optIn = `${code} = ${CODES.granted}${fresh}`;
  const optOut = `(${code} IN (0, ${CODES.granted}, ${CODES.pending}) OR (${code} = ${CODES.ended} AND ${state.refused} IS NULL))`;
  if (basis === `'opt-in'`) return `(${optIn})`;
  if (basis === `'opt-out'`) return optOut;
  return `CASE WHEN ${basis} = 'opt-in' THEN ${optIn} ELSE ${optOut} END`;
}

/** The reason for the decision, words of `ConsentReason`. */
export function reasonSql(
  policy: PurposePolicy,
  state: { readonly rank: string; readonly refused: string },
  basis: string,
  tick: number,
): string {
  const code = `mod(coalesce(${state.rank}, 0), 8)`;
  const word = (of: string) =>
    `CASE WHEN ${of} = ${CODES.withdrawn} THEN 'withdrawn' WHEN ${of} = ${CODES.denied} THEN 'denied' ELSE 'unknown-status' END`;
  const expired =
    policy.expiresAfter === undefined
      ? ''
      : `WHEN ${code} = ${CODES.granted} AND ${state.rank} / 8 <= ${minus(tick, policy.expiresAfter, 'UTC') + SHIFT} THEN 'expired' `;
  return `CASE
    WHEN ${code} >= ${REFUSAL} THEN ${word(code)}
    WHEN ${code} = ${CODES.ended} AND ${state.refused} IS NOT NULL THEN ${word(state.refused)}
    WHEN ${basis} = 'opt-out' THEN 'not-refused'
    WHEN ${code} = 0 THEN 'no-record' WHEN ${code} = ${CODES.pending} THEN 'pending' WHEN ${code} = ${CODES.ended} THEN 'ended'
    ${expired}ELSE 'granted' END`;
}

/** The policy of a purpose, if the file has one of that name. */
export const policyOf = (policy: ConsentPolicy, purpose: string): PurposePolicy | undefined =>
  Object.hasOwn(policy.purposes, purpose) ? policy.purposes[purpose] : undefined;
