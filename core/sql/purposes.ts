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
  namesRecords,
  policyOf,
  refusesSql,
  stateOf,
} from './consent.ts';
import { DECISIONS, decisionsSql, LEVELS_OF } from './decisions.ts';
import type { Refusals } from './identifiers.ts';
import { countrySql, jurisdictionSql, regionSql } from './jurisdiction.ts';
import { quoteName, quoteText } from './literal.ts';

/** Relation of a customer's states, `consentStates`; where the decisions are kept they stand in its place. */
const CONSENT = 'sluice_consent';
/** Relation `customer_id`, `bound`, `level_<i>`, `decided_<i>`: what consents say of one identifier. */
export const LEVELS = 'sluice_levels';

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

/** `last_1` of purpose 2 is `last_2_1`. */
const named = (column: string, i: number): string => column.replace('_', `_${i}_`);

/** The consents of all purposes that the syncs of a run are for: their states once, and the decision of each. */
export class Purposes {
  /** Those a policy knows, in the order of the states' numbers; none while the workspace keeps no consents. */
  readonly purposes: readonly string[];
  /** Whether consents can be about one identifier. */
  readonly levels: boolean;
  /** Purposes for which nobody is sent with an identifier that somebody who refused holds, by their index. */
  readonly #shared: readonly number[];
  /** Whether the decisions are computed beside the snapshot, and are in it a relation (DECISIONS). */
  readonly kept: boolean;
  readonly #policies: readonly PurposePolicy[];
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
    this.#policies = policies;
    this.#shared = policies.flatMap(({ sharedIdentifiers }, i) => (sharedIdentifiers === 'refuse' ? [i] : []));
    this.levels = this.purposes.length > 0 && (bindsIdentifiers(source.tables) || this.#shared.length > 0);
    this.kept = this.levels || (this.purposes.length > 0 && namesRecords(source.tables));
    this.#source = {
      ...source,
      purposes: this.purposes,
      signals: { policies: read.policies, known: signals },
      sources: policies[0]?.sources,
      confirm: policies.filter(({ doubleOptIn }) => doubleOptIn).map(({ name }) => name),
    };
  }

  /** @param given whether the decisions are there as a relation, where they are kept */
  expressions(given: boolean): readonly string[] {
    if (this.purposes.length === 0) return [];
    if (!this.kept) return [`${CONSENT} AS (\n  ${consentStates(this.#source)}\n)`];
    return [...(given ? [] : [`${DECISIONS} AS (\n  ${this.decisions()}\n)`]), ...(this.levels ? [this.#levels()] : [])];
  }

  /**
   * SELECT of DECISION_COLUMNS. Who refused counts whether the rule matches them or not, where their identifiers are sent for nobody.
   */
  decisions(): string {
    return decisionsSql(this.everybody ? { ...this.#source, wanted: undefined } : this.#source, this.#policies);
  }

  /** Whether the decisions are those of all customers, and not only of those who are wanted. */
  get everybody(): boolean {
    return this.#shared.length > 0;
  }

  /** Who refuses, for the identifiers; undefined where no purpose asks. */
  refusals(): Refusals | undefined {
    if (this.#shared.length === 0) return undefined;
    const own = this.#shared.map(
      (i) =>
        `max(CASE WHEN d.purpose = ${quoteText(this.purposes[i] ?? '')} AND ${refusesSql('d.own')} THEN 1 ELSE 0 END) AS refuses_${i}`,
    );
    return {
      purposes: this.#shared,
      customers: `(SELECT d.customer_id, ${own.join(', ')} FROM ${DECISIONS} d WHERE d.leads GROUP BY d.customer_id) s`,
      customer: (i) => `s.refuses_${i} = 1`,
      identifier: (i) => refusesSql(`b.decided_${i}`),
    };
  }

  #levels(): string {
    const one = this.purposes.length === 1;
    const of = (column: string) =>
      this.purposes.map((purpose, i) =>
        one
          ? `d.${column} AS ${column}_${i}`
          : `max(CASE WHEN d.purpose = ${quoteText(purpose)} THEN d.${column} END) AS ${column}_${i}`,
      );
    return `${LEVELS} AS (
  SELECT d.customer_id, d.bound, ${[...of('level'), ...(this.everybody ? of('decided') : [])].join(', ')}
  FROM ${DECISIONS} d WHERE d.bound IS NOT NULL${one ? '' : '\n  GROUP BY 1, 2'}
)`;
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
      first.push(...(this.kept ? this.#given(i) : [`${decidedSql(policy, stateOf('s', index))} AS decided_${i}`]));
      const allowed = allowedSql(policy, `p.decided_${i}`, `p.basis_${i}`, this.#source.tick);
      second.push(`${allowed} AS allowed_${i}`);
      const numbers = this.levels ? [`sent_number_${i}`, `kept_number_${i}`] : [`decided_${i}`];
      if (this.levels) second.push(...this.#numbers(i, allowed));
      const texts = numbers.map((number) =>
        evidenceSql(policy, `p.${number}`, `p.basis_${i}`, this.#source.tick, this.kept ? this.#nameOf(i, number) : undefined),
      );
      const grant = grantSql(policy, `p.${numbers[0]}`, this.#source.tick);
      third.push(`${grant} AS grant_${i}, ${texts[0]} AS sent_${i}, ${texts.at(-1)} AS kept_${i}`);
    }
    const states =
      this.purposes.length === 0
        ? []
        : this.kept
          ? this.#asked.flatMap((purpose, i) => (this.purposes.includes(purpose) ? [this.#decision(i, purpose)] : []))
          : [`LEFT JOIN ${CONSENT} s ON s.customer_id = p.customer_id`];
    return `SELECT p.*, ${third.join(',\n    ')}
  FROM (
    SELECT p.*, ${second.join(',\n      ')}
    FROM (
      SELECT p.*, ${first.join(',\n        ')}
      FROM ${[`${people} p`, ...states].join('\n      ')}
    ) p
  ) p`;
  }

  /** Columns of the kept decisions of one purpose, `decided_<i>` and what evidence needs beside it. */
  #given(i: number): readonly string[] {
    const last = this.levels ? LEVELS_OF.flatMap((level) => [`last_${level}`, `ref_${level}`]) : [];
    return [
      `s_${i}.own AS decided_${i}, s_${i}.own_ref AS ref_${i}`,
      ...last.map((name) => `s_${i}.${name} AS ${named(name, i)}`),
    ];
  }

  #decision(i: number, purpose: string): string {
    const last = this.levels ? LEVELS_OF.flatMap((level) => [`d.last_${level}`, `d.ref_${level}`]) : [];
    return `LEFT JOIN (SELECT ${['d.customer_id', 'd.own', 'd.own_ref', ...last].join(', ')} FROM ${DECISIONS} d WHERE d.leads AND d.purpose = ${quoteText(purpose)}) s_${i} ON s_${i}.customer_id = p.customer_id`;
  }

  /** The name of the record that a number stands for: the customer's own first. */
  #nameOf(i: number, number: string): string {
    if (!this.levels) return `p.ref_${i}`;
    const last = LEVELS_OF.map((level) => `WHEN p.${number} = p.${named(`last_${level}`, i)} THEN p.${named(`ref_${level}`, i)}`);
    return `CASE WHEN p.${number} = p.decided_${i} THEN p.ref_${i} ${last.join(' ')} END`;
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
