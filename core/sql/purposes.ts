import type { ConsentPolicy, Table } from '../model.ts';
import {
  allowedSql,
  bindsIdentifiers,
  type ConsentSource,
  consentStates,
  countrySql,
  jurisdictionSql,
  policyOf,
  regionSql,
} from './consent.ts';
import { quoteName } from './literal.ts';

/** Relation of a customer's states, `consentStates`. */
export const CONSENT = 'sluice_consent';
/** Relation `customer_id`, `bound`, `level_<i>`: what consents say of one identifier. */
export const LEVELS = 'sluice_levels';

/** The consents of all purposes that the syncs of a run are for: their states once, and the decision of each. */
export class Purposes {
  /** Those a policy knows, in the order of the states' numbers; none while the workspace keeps no consents. */
  readonly purposes: readonly string[];
  /** Whether consents can be about one identifier. */
  readonly levels: boolean;
  readonly #policy: ConsentPolicy;
  readonly #source: ConsentSource;
  readonly #asked: readonly string[];

  constructor(policy: ConsentPolicy, source: ConsentSource) {
    this.#policy = policy;
    this.#asked = [...new Set(source.purposes)];
    const known = this.#asked.filter((purpose) => policyOf(policy, purpose) !== undefined);
    this.purposes = source.tables.length === 0 ? [] : known;
    this.levels = this.purposes.length > 0 && bindsIdentifiers(source.tables);
    this.#source = { ...source, purposes: this.purposes };
  }

  expressions(): readonly string[] {
    if (this.purposes.length === 0) return [];
    const customers = `${CONSENT} AS (\n  ${consentStates(this.#source, 'customer')}\n)`;
    if (!this.levels) return [customers];
    const levels = this.purposes.map((purpose, i) => {
      const policy = policyOf(this.#policy, purpose);
      if (policy === undefined) return `'0' AS level_${i}`;
      // A record about one identifier and those about the customer are one history: the latest of all decides.
      const state = {
        rank: `greatest(b.rank_${i}, coalesce(s.rank_${i}, 0))`,
        refused: `coalesce(b.refused_${i}, s.refused_${i})`,
      };
      const [optIn, optOut] = [`'opt-in'`, `'opt-out'`].map((basis) => allowedSql(policy, state, basis, this.#source.tick));
      return `CASE WHEN b.rank_${i} IS NULL THEN '=' WHEN ${optIn} THEN '2' WHEN ${optOut} THEN '1' ELSE '0' END AS level_${i}`;
    });
    return [
      customers,
      `${LEVELS} AS (
  SELECT b.customer_id, b.bound, ${levels.join(', ')}
  FROM (
  ${consentStates(this.#source, 'identifier')}
  ) b
  LEFT JOIN ${CONSENT} s ON s.customer_id = b.customer_id
)`,
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
   * The decisions as columns over aliases `p` (the people) and `s` (their states): `allowed_<i>`, `basis_<i>`, `consent_<i>`. Computed
   * once and then only named: engines compile what is repeated in every place, and Trino gives up on too much of it.
   */
  decisions(): readonly string[] {
    return this.#asked.flatMap((purpose, i) => {
      const policy = policyOf(this.#policy, purpose);
      // Fail closed (law 1): a purpose that no policy knows, and a workspace that keeps no consents, allow nothing.
      if (policy === undefined) return [`FALSE AS allowed_${i}, 'opt-in' AS basis_${i}, '' AS jurisdiction_${i}`];
      const { basis, jurisdiction } = jurisdictionSql(policy, 'p.country', 'p.region');
      const index = this.purposes.indexOf(purpose);
      const allowed =
        index === -1
          ? 'FALSE'
          : allowedSql(policy, { rank: `s.rank_${index}`, refused: `s.refused_${index}` }, basis, this.#source.tick);
      return [`${allowed} AS allowed_${i}, ${basis} AS basis_${i}, coalesce(${jurisdiction}, '') AS jurisdiction_${i}`];
    });
  }

  /** A purpose's decision by the names of its columns. `index` counts the states, -1 when there are none. */
  decision(purpose: string): { readonly allowed: string; readonly basis: string; readonly text: string; readonly index: number } {
    const i = this.#asked.indexOf(purpose);
    return {
      allowed: `p.allowed_${i}`,
      basis: `p.basis_${i}`,
      text: `p.basis_${i} || '|' || p.jurisdiction_${i}`,
      index: this.purposes.indexOf(purpose),
    };
  }
}
