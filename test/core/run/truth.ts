import { type ConsentRecord, decide } from '../../../core/consent.ts';
import type { PurposePolicy } from '../../../core/model.ts';
import { IDS, type Purpose, type Tables } from './history.ts';

/**
 * Who may be held, told once more as plainly as it can be, to compare runs with: the readings of docs/laws.md over the tables of a history and
 * what was asked for. Of the product it knows the consent decision and nothing else.
 *
 * One thing a history does not tell: what a run that failed or died had sent before. Where an erasure hangs on that (what a person was sent with
 * is theirs too), both is possible, and so it is said: `sure` is false.
 */
export interface Entitled {
  readonly id: string;
  readonly identifiers: readonly string[];
  readonly sure: boolean;
}

export const POLICIES: Readonly<Record<Purpose, PurposePolicy>> = {
  ads: {
    name: 'ads',
    basis: 'opt-in',
    expiresAfter: { amount: 30, unit: 'day' },
    jurisdictions: {},
    sharedIdentifiers: 'keep-for-entitled',
  },
  mail: { name: 'mail', basis: 'opt-in', jurisdictions: { US: 'opt-out' }, sharedIdentifiers: 'keep-for-entitled' },
};

/** Ids that keep an identifier although it belonged to somebody erased; undefined where it has no tombstone. */
type Keepers = ReadonlySet<string> | undefined;

export class Truth {
  readonly tables: Tables;
  readonly #erased = new Set<string>();
  /** Of each identifier every state that its tombstone can be in. */
  readonly #tombstones = new Map<string, readonly Keepers[]>();
  readonly #withdrawn = new Map<string, { readonly id: string; readonly purpose: Purpose; readonly at: number }>();
  /** What somebody was sent with, for sure and perhaps. */
  readonly #sent = new Map<string, Set<string>>();
  readonly #perhaps = new Map<string, Set<string>>();

  constructor(tables: Tables) {
    this.tables = tables;
  }

  withdraw(id: string, purpose: Purpose, at: number): void {
    this.#withdrawn.set(`${id}/${purpose}`, { id, purpose, at });
  }

  holders(identifier: string): readonly string[] {
    return IDS.filter((id) => this.tables.identifiers.get(id)?.has(identifier));
  }

  /** Everybody whom the ids are, with what the tables know of them, with what the request names, and with what they were sent with. */
  forget(ids: readonly string[], named: readonly string[] = []): void {
    const heads = new Set(ids.map((id) => this.tables.survivorOf(id)));
    const people = IDS.filter((id) => heads.has(this.tables.survivorOf(id)));
    for (const id of people) this.#erased.add(id);
    const of = (all: ReadonlyMap<string, ReadonlySet<string>>): string[] => people.flatMap((id) => [...(all.get(id) ?? [])]);
    const surely = new Set([...named, ...of(this.tables.identifiers), ...of(this.#sent)]);
    for (const one of surely) this.#bury(one, true);
    for (const one of new Set(of(this.#perhaps))) if (!surely.has(one)) this.#bury(one, false);
  }

  #bury(identifier: string, surely: boolean): void {
    const before: readonly Keepers[] = this.#tombstones.get(identifier) ?? [undefined];
    const after = before.map(
      (keepers) => new Set([...(keepers ?? this.holders(identifier))].filter((id) => !this.#erased.has(id))),
    );
    this.#tombstones.set(identifier, surely ? after : [...before, ...after]);
  }

  /** What the erasures table asks for and nobody has begun; its rows may go then. */
  tend(): void {
    const fresh = [...this.tables.erasures].filter((id) => !this.#erased.has(id));
    if (fresh.length > 0) this.forget(fresh);
    this.tables.erasures.clear();
  }

  /** Before a run: whatever it was, this is the most that it can have sent. */
  running(): void {
    for (const [head, ids] of this.#people()) {
      const most = ids.flatMap((id) => [...(this.tables.identifiers.get(id) ?? []), ...(this.#perhaps.get(id) ?? [])]);
      add(this.#perhaps, head, most);
    }
  }

  /** After a run that was found to have sent exactly this. */
  ran(people: readonly Entitled[]): void {
    for (const { id, identifiers, sure } of people) if (sure) add(this.#sent, id, identifiers);
  }

  #people(): Map<string, string[]> {
    return Map.groupBy(IDS, (id) => this.tables.survivorOf(id));
  }

  /** Who may be held for a purpose, each once, and with which identifiers of the namespaces. `byId`: the customer id is sent. */
  entitled(purpose: Purpose, namespaces: readonly string[], byId: boolean, now: number): readonly Entitled[] {
    const { tables } = this;
    return [...this.#people()].flatMap(([id, ids]): Entitled[] => {
      const row = tables.rows.get(id) ?? ids.map((one) => tables.rows.get(one)).find((one) => one !== undefined);
      if (row === undefined || !row.gold || row.staff) return [];
      if (ids.some((one) => this.#erased.has(one) || tables.erasures.has(one))) return [];
      const back = ids.map((one) => this.#cameBack(one));
      if (back.includes('yes') || ids.some((one) => this.#isStopped(one, purpose, now))) return [];
      const records = tables.consents.filter((one) => one.purpose === purpose && ids.includes(one.id));
      const allowed = (about: readonly (string | null)[]): boolean =>
        decide(
          records.filter((one) => about.includes(one.about)).map(recordOf),
          POLICIES[purpose],
          { country: row.country, region: null },
          now,
        ).allowed;
      const theirs = new Set(ids.flatMap((one) => [...(tables.identifiers.get(one) ?? [])]));
      const identifiers = [...theirs].filter(
        (one) => namespaces.some((name) => one.startsWith(`${name}:`)) && allowed([null, one]),
      );
      if (identifiers.length === 0 && !(byId && allowed([null]))) return [];
      return [{ id, identifiers, sure: !back.includes('perhaps') }];
    });
  }

  /** Whether somebody holds what belonged to a person who was erased, and did not hold it then. */
  #cameBack(id: string): 'yes' | 'no' | 'perhaps' {
    const states = [...(this.tables.identifiers.get(id) ?? [])].map((one) => {
      const all = (this.#tombstones.get(one) ?? [undefined]).map((keepers) => keepers !== undefined && !keepers.has(id));
      if (all.every(Boolean)) return 'yes';
      return all.some(Boolean) ? 'perhaps' : 'no';
    });
    if (states.includes('yes')) return 'yes';
    return states.includes('perhaps') ? 'perhaps' : 'no';
  }

  /** A withdrawal by hand holds until the consents table speaks of the same customer and purpose. */
  #isStopped(id: string, purpose: Purpose, now: number): boolean {
    const stop = this.#withdrawn.get(`${id}/${purpose}`);
    if (stop === undefined) return false;
    const spoken = this.tables.consents.some(
      (one) => one.id === id && one.purpose === purpose && one.about === null && one.from >= stop.at && one.from <= now,
    );
    return !spoken;
  }
}

const recordOf = ({ status, from, to }: Tables['consents'][number]): ConsentRecord => ({
  status: status === 'perhaps' ? null : status,
  from,
  to,
});

function add(all: Map<string, Set<string>>, id: string, more: readonly string[]): void {
  all.set(id, new Set([...(all.get(id) ?? []), ...more]));
}
