import { strictest } from '../consent.ts';
import { COUNTRIES, subdivisionsOf } from '../iso-3166.ts';
import type { Basis, PurposePolicy } from '../model.ts';
import { quoteText } from './literal.ts';

/** `jurisdictionOf` of core/consent.ts as SQL. */

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
