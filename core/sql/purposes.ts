import type { ConsentPolicy, PurposePolicy, Table } from '../model.ts';
import {
  allowedSql,
  bindsIdentifiers,
  type ConsentSource,
  consentStates,
  decidedSql,
  evidenceSql,
  grantSql,
  greaterOf,
  joinStates,
  namesRecords,
  policyOf,
  recordNames,
  recordNumber,
  refusesSql,
  stateOf,
} from './consent.ts';
import type { Refusals } from './identifiers.ts';
import { countrySql, jurisdictionSql, regionSql } from './jurisdiction.ts';
import { quoteName, quoteText } from './literal.ts';

/** Relation of a customer's states, `consentStates`. */
export const CONSENT = 'sluice_consent';
/** Relation `customer_id`, `bound`, `level_<i>`: what consents say of one identifier. */
export const LEVELS = 'sluice_levels';
/** Relation `customer_id` and numbers per purpose: the last records about identifiers of theirs, by what they allow. */
const BOUND = 'sluice_bound';
/** Relation of `recordNames`. */
const RECORDS = 'sluice_records';

/** The purposes asked for that a policy knows, and of each the policy where it reads strings; a string's digits are in this order. */
export function policiesRead(
  policy: ConsentPolicy,
  asked: readonly string[],
): { readonly purposes: readonly string[]; readonly policies: readonly (PurposePolicy | undefined)[] } {
  const purposes = [...new Set(asked)].filter((purpose) => policyOf(policy, purpose) !== undefined);
  const policies = purposes.map((purpose) => {
    const own = policyOf(policy, purpose);
    return own?.tcf === undefined && own?.gpp === undefined ? undefined : own;
  });
  return { purposes, policies };
}

/** Names of the columns of one purpose's decision. */
export interface Decision {
  readonly allowed: string;
  readonly basis: string;
  readonly text: string;
  /** Evidence for sending, and for not sending. */
  readonly sent: string;
  readonly kept: string;
  /** Counts the states, -1 when there are none. */
  readonly index: number;
}

/** The consents of all purposes that the syncs of a run are for: their states once, and the decision of each. */
export class Purposes {
  /** Those a policy knows, in the order of the states' numbers; none while the workspace keeps no consents. */
  readonly purposes: readonly string[];
  /** Whether consents can be about one identifier. */
  readonly levels: boolean;
  /** Purposes for which nobody is sent with an identifier that somebody who refused holds, by their index. */
  readonly #shared: readonly number[];
  /** Whether records have names. */
  readonly #named: boolean;
  readonly #policy: ConsentPolicy;
  readonly #source: ConsentSource;
  readonly #asked: readonly string[];

  /** @param signals whether what strings say has been read */
  constructor(policy: ConsentPolicy, source: Omit<ConsentSource, 'signals' | 'sources' | 'confirm'>, signals: boolean) {
    this.#policy = policy;
    this.#asked = [...new Set(source.purposes)];
    const read = policiesRead(policy, this.#asked);
    this.purposes = source.tables.length === 0 ? [] : read.purposes;
    const policies = this.purposes.flatMap((purpose) => policyOf(policy, purpose) ?? []);
    this.#shared = policies.flatMap(({ sharedIdentifiers }, i) => (sharedIdentifiers === 'refuse' ? [i] : []));
    this.levels = this.purposes.length > 0 && (bindsIdentifiers(source.tables) || this.#shared.length > 0);
    this.#named = this.purposes.length > 0 && namesRecords(source.tables);
    this.#source = {
      ...source,
      purposes: this.purposes,
      signals: { policies: read.policies, known: signals },
      sources: policies[0]?.sources,
      confirm: policies.filter(({ doubleOptIn }) => doubleOptIn).map(({ name }) => name),
    };
  }

  expressions(): readonly string[] {
    if (this.purposes.length === 0) return [];
    const customers = `${CONSENT} AS (\n  ${consentStates(this.#everybody(), 'customer')}\n)`;
    const records = this.#named ? [`${RECORDS} AS (\n  ${recordNames(this.#source)}\n)`] : [];
    return [customers, ...(this.levels ? this.#levels() : []), ...records];
  }

  /** Who refused counts whether the rule matches them or not, where their identifiers are sent for nobody. */
  #everybody(): ConsentSource {
    return this.#shared.length === 0 ? this.#source : { ...this.#source, wanted: undefined };
  }

  /** Who refuses, for the identifiers; undefined where no purpose asks. */
  refusals(): Refusals | undefined {
    if (this.#shared.length === 0) return undefined;
    const policies = this.purposes.map((purpose) => policyOf(this.#policy, purpose));
    return {
      purposes: this.#shared,
      customers: `${CONSENT} s`,
      customer: (i) => {
        const policy = policies[i];
        return policy === undefined ? 'TRUE' : refusesSql(decidedSql(policy, stateOf('s', i)));
      },
      identifier: (i) => refusesSql(`b.decided_${i}`),
    };
  }

  #levels(): readonly string[] {
    // A record about one identifier and those about the customer are one history: the latest of all decides.
    const decided = this.purposes.map((purpose, i) => {
      const policy = policyOf(this.#policy, purpose);
      const all = joinStates(stateOf('b', i), stateOf('s', i));
      return policy === undefined
        ? `CAST(NULL AS bigint) AS decided_${i}`
        : `CASE WHEN b.rank_${i} IS NOT NULL THEN ${decidedSql(policy, all)} END AS decided_${i}`;
    });
    const levels = this.purposes.map((purpose, i) => {
      const policy = policyOf(this.#policy, purpose);
      if (policy === undefined) return `'0' AS level_${i}`;
      const [optIn, optOut] = [`'opt-in'`, `'opt-out'`].map((basis) =>
        allowedSql(policy, `b.decided_${i}`, basis, this.#source.tick),
      );
      return `CASE WHEN b.decided_${i} IS NULL THEN '=' WHEN ${optIn} THEN '2' WHEN ${optOut} THEN '1' ELSE '0' END AS level_${i}`;
    });
    const columns = this.purposes.map((_, i) => `b.decided_${i}`);
    const last = this.purposes.flatMap((_, i) =>
      ['0', '1', '2'].map((level) => `max(CASE WHEN level_${i} = '${level}' THEN decided_${i} END) AS last_${i}_${level}`),
    );
    return [
      `${LEVELS} AS (
  SELECT b.customer_id, b.bound, ${[...columns, ...levels].join(', ')}
  FROM (
    SELECT b.customer_id, b.bound, ${decided.join(', ')}
    FROM (
  ${consentStates(this.#everybody(), 'identifier')}
    ) b
    LEFT JOIN ${CONSENT} s ON s.customer_id = b.customer_id
  ) b
)`,
      `${BOUND} AS (\n  SELECT customer_id, ${last.join(', ')} FROM ${LEVELS} GROUP BY customer_id\n)`,
    ];
  }

  /** Columns of the pass over the customers that say whose law counts: `country`, `region`. */
  residence(customers: Table): readonly string[] {
    const { jurisdiction } = this.#policy;
    const column = (name: string | undefined) =>
      name === undefined || !customers.columns.some((one) => one.name === name)
        ? undefined
        : `CAST(c.${quoteName(name)} AS varchar)`;
    const country = countrySql(column(jurisdiction?.column));
    return [`${country} AS country`, `${regionSql(column(jurisdiction?.region), country)} AS region`];
  }

  /**
   * SELECT of the people with their decisions: all columns of `people`, and per purpose asked for `allowed_<i>`, `basis_<i>`,
   * `jurisdiction_<i>`, `grant_<i>`, and `sent_<i>` and `kept_<i>`: the evidence for sending somebody, and for not sending them. Each is computed once and
   * then only named: engines compile what is repeated in every place, and Trino gives up on too much of it.
   */
  decided(people: string): string {
    const first: string[] = [];
    const second: string[] = [];
    const third: string[] = [];
    const joins: string[] = [];
    for (const [i, purpose] of this.#asked.entries()) {
      const policy = policyOf(this.#policy, purpose);
      const index = this.purposes.indexOf(purpose);
      // Fail closed (law 1): a purpose that no policy knows, and a workspace that keeps no consents, allow nothing.
      const { basis, jurisdiction } =
        policy === undefined ? { basis: `'opt-in'`, jurisdiction: `''` } : jurisdictionSql(policy, 'p.country', 'p.region');
      first.push(`${basis} AS basis_${i}, coalesce(${jurisdiction}, '') AS jurisdiction_${i}`);
      if (policy === undefined || index === -1) {
        const none = `${quoteText(policy === undefined ? 'no-policy' : 'no-record')}${' || chr(31)'.repeat(4)}`;
        second.push(`FALSE AS allowed_${i}`);
        third.push(`'' AS grant_${i}, ${none} AS sent_${i}, ${none} AS kept_${i}`);
        continue;
      }
      const last = this.levels
        ? `, ${['0', '1', '2'].map((level) => `b.last_${index}_${level} AS last_${i}_${level}`).join(', ')}`
        : '';
      first.push(`${decidedSql(policy, stateOf('s', index))} AS decided_${i}${last}`);
      const allowed = allowedSql(policy, `p.decided_${i}`, `p.basis_${i}`, this.#source.tick);
      second.push(`${allowed} AS allowed_${i}`);
      const numbers = this.levels ? [`sent_number_${i}`, `kept_number_${i}`] : [`decided_${i}`];
      if (this.levels) second.push(...this.#numbers(i, allowed));
      const texts = numbers.map((number, n) => {
        const alias = `r_${i}_${n}`;
        if (this.#named)
          joins.push(
            `LEFT JOIN ${RECORDS} ${alias} ON ${alias}.customer_id = p.customer_id AND ${alias}.purpose = ${quoteText(purpose)} AND ${alias}.number = ${recordNumber(policy, `p.${number}`)}`,
          );
        return this.#evidence(policy, i, number, this.#named ? `${alias}.ref` : undefined);
      });
      const grant = grantSql(policy, `p.${numbers[0]}`, this.#source.tick);
      third.push(`${grant} AS grant_${i}, ${texts[0]} AS sent_${i}, ${texts.at(-1)} AS kept_${i}`);
    }
    const states = [
      ...(this.purposes.length === 0 ? [] : [`LEFT JOIN ${CONSENT} s ON s.customer_id = p.customer_id`]),
      ...(this.levels ? [`LEFT JOIN ${BOUND} b ON b.customer_id = p.customer_id`] : []),
    ];
    return `SELECT p.*, ${third.join(',\n    ')}
  FROM (
    SELECT p.*, ${second.join(',\n      ')}
    FROM (
      SELECT p.*, ${first.join(',\n        ')}
      FROM ${[`${people} p`, ...states].join('\n      ')}
    ) p
  ) p${joins.map((join) => `\n  ${join}`).join('')}`;
  }

  /** Where consents can be about one identifier: the record that lets somebody go whom their own do not, and the other way round. */
  #numbers(i: number, allowed: string): readonly string[] {
    const last = (level: string) => `p.last_${i}_${level}`;
    const byBasis = (optIn: string, optOut: string) =>
      `coalesce(CASE WHEN p.basis_${i} = 'opt-in' THEN ${optIn} ELSE ${optOut} END, p.decided_${i})`;
    return [
      `CASE WHEN ${allowed} THEN p.decided_${i} ELSE ${byBasis(last('2'), greaterOf(last('1'), last('2')))} END AS sent_number_${i}`,
      `CASE WHEN ${allowed} THEN ${byBasis(greaterOf(last('0'), last('1')), last('0'))} ELSE p.decided_${i} END AS kept_number_${i}`,
    ];
  }

  #evidence(policy: PurposePolicy, i: number, number: string, ref: string | undefined): string {
    return evidenceSql(policy, `p.${number}`, `p.basis_${i}`, this.#source.tick, ref);
  }

  /** A purpose's decision by the names of its columns. */
  decision(purpose: string): Decision {
    const i = this.#asked.indexOf(purpose);
    return {
      allowed: `p.allowed_${i}`,
      basis: `p.basis_${i}`,
      text: `p.basis_${i} || '|' || p.jurisdiction_${i} || '|' || p.grant_${i}`,
      sent: `p.sent_${i}`,
      kept: `p.kept_${i}`,
      index: this.purposes.indexOf(purpose),
    };
  }
}
