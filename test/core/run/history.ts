import fc from 'fast-check';
import { sha256Hex } from '../../../core/identifiers.ts';
import type { JournalFor, Tasks } from '../../../core/run/ports.ts';
import type { Fault } from '../../../sandbox/faults.ts';
import type { Day } from './world.ts';

/**
 * Random histories of customers, day by day, and who may be held at the end of each: the laws told once more, as plainly as they can be, to
 * compare runs with. What can happen to people is a field of `Life` with its arbitrary, its rows in `dayOf` and its part in `entitledOn`.
 */
export const IDS = ['p0', 'p1', 'p2', 'p3', 'p4', 'p5'];
const MAILS = ['m0@x.example', 'm1@x.example', 'm2@x.example', 'm3@x.example'];
const PHONES = ['+4915123456701', '+4915123456702', '+4915123456703'];

/** One customer id on one day. */
export interface Life {
  /** Whether it has a row among the customers. */
  readonly row: boolean;
  readonly gold: boolean;
  /** Records of ids with a higher number began later, so they count first where ids are merged. */
  readonly consent: 'granted' | 'withdrawn' | 'none';
  readonly mails: readonly string[];
  readonly phones: readonly string[];
}

/** What is written into the identity changes on a day: from and to by number, as far as it makes sense that day. */
export interface Change {
  readonly kind: 'merge' | 'split';
  readonly from: number;
  readonly to: number;
}

export interface HistoryDay {
  readonly lives: readonly Life[];
  readonly changes: readonly Change[];
  readonly trouble: keyof typeof FAULTS | 'dies';
  /** Which step's effect is the last one of a run that dies. */
  readonly last: number;
}

export const FAULTS: Readonly<Record<'none' | 'cut' | 'error' | 'unauthorised', readonly Fault[]>> = {
  none: [],
  cut: [{ kind: 'cut', method: 'POST', times: 1 }],
  error: [{ kind: 'error', status: 500, times: 2 }],
  unauthorised: [{ kind: 'unauthorised', every: 3 }],
};

const life: fc.Arbitrary<Life> = fc.record({
  row: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false)),
  gold: fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, fc.constant(false)),
  consent: fc.oneof(
    { weight: 3, arbitrary: fc.constant('granted' as const) },
    fc.constantFrom('withdrawn' as const, 'none' as const),
  ),
  mails: fc.subarray(MAILS, { maxLength: 2 }),
  phones: fc.subarray(PHONES, { maxLength: 1 }),
});
const number = fc.integer({ min: 0, max: IDS.length - 1 });
const change: fc.Arbitrary<Change> = fc.record({
  kind: fc.oneof({ weight: 2, arbitrary: fc.constant('merge' as const) }, fc.constant('split' as const)),
  from: number,
  to: number,
});
export const historyDay: fc.Arbitrary<HistoryDay> = fc.record({
  lives: fc.array(life, { minLength: IDS.length, maxLength: IDS.length }),
  changes: fc.array(change, { maxLength: 2 }),
  trouble: fc.oneof(
    { weight: 4, arbitrary: fc.constant('none' as const) },
    { weight: 2, arbitrary: fc.constant('dies' as const) },
    fc.constantFrom('cut' as const, 'error' as const, 'unauthorised' as const),
  ),
  last: fc.integer({ min: 1, max: 12 }),
});

/** Merges and splits as they were written so far, and who everybody is after them. */
export class Identities {
  readonly rows: { from: string; to: string; kind: string; at: string }[] = [];
  readonly #into = new Map<string, string>();

  /** Writes a change down, unless it makes no sense: nobody is merged twice, into themselves or in a circle, or split off who was never merged. */
  write({ kind, from, to }: Change): void {
    const [a, b] = [IDS[from] ?? '', IDS[to] ?? ''];
    if (a === b) return;
    if (kind === 'merge') {
      const back = this.#into.get(b) === a;
      if (this.#into.has(a) || (this.survivorOf(b) === a && !back)) return;
      if (back) this.#into.delete(b);
      this.#into.set(a, b);
    } else if (!this.#into.delete(b)) return;
    this.rows.push({ from: a, to: b, kind, at: `2026-03-01T${String(this.rows.length).padStart(2, '0')}:00:00` });
  }

  survivorOf(id: string): string {
    const into = this.#into.get(id);
    return into === undefined ? id : this.survivorOf(into);
  }
}

export const dayOf = (lives: readonly Life[], identities: Identities): Day => ({
  customers: lives.flatMap((one, i) =>
    one.row ? [{ id: IDS[i] ?? '', tier: one.gold ? 'gold' : 'silver', country: 'DE' }] : [],
  ),
  consents: lives.flatMap((one, i) =>
    one.consent === 'none' ? [] : [{ id: IDS[i] ?? '', purpose: 'ads', status: one.consent, from: `2026-01-0${i + 1}T00:00:00` }],
  ),
  identifiers: lives.flatMap((one, i) => [
    ...one.mails.map((value) => ({ id: IDS[i] ?? '', namespace: 'email', value })),
    ...one.phones.map((value) => ({ id: IDS[i] ?? '', namespace: 'phone', value })),
  ]),
  changes: identities.rows,
});

/** Who may be held that day: the id of every person, once, and what belongs to them. */
export function entitledOn(
  lives: readonly Life[],
  identities: Identities,
): readonly { readonly id: string; readonly mails: readonly string[]; readonly phones: readonly string[] }[] {
  const ids = Map.groupBy(IDS.keys(), (i) => identities.survivorOf(IDS[i] ?? ''));
  return [...ids].flatMap(([id, numbers]) => {
    const all = numbers.flatMap((i) => lives[i] ?? []);
    const own = lives[IDS.indexOf(id)];
    const standing = own?.row === true ? own : all.find(({ row }) => row);
    const last = all.findLast(({ consent }) => consent !== 'none');
    if (standing?.gold !== true || last?.consent !== 'granted') return [];
    return [{ id, mails: all.flatMap(({ mails }) => mails), phones: all.flatMap(({ phones }) => phones) }];
  });
}

/** The same as a set of hashed identifiers; `written` is how the platform wants a phone number before it is hashed. */
export const hashesOf = (people: ReturnType<typeof entitledOn>, written: (e164: string) => string): ReadonlySet<string> =>
  new Set(
    people.flatMap(({ mails, phones }) => [
      ...mails.map((mail) => `email:${sha256Hex(mail)}`),
      ...phones.map((phone) => `phone:${sha256Hex(written(phone))}`),
    ]),
  );

/** The process is gone; what was durable is all there is. */
export class Died extends Error {}

/** A journal of a run that dies once the nth task has had its effect, before it is written down. */
export function dyingAfter(n: number, journal: JournalFor): JournalFor {
  let done = 0;
  const dying = (tasks: Tasks): Tasks =>
    Object.fromEntries(
      Object.entries(tasks).map(([name, task]) => [
        name,
        async (input: never) => {
          if (done >= n) throw new Died();
          const result = await (task as (input: never) => Promise<unknown>)(input);
          done += 1;
          if (done >= n) throw new Died();
          return result;
        },
      ]),
    ) as unknown as Tasks;
  return (run, tasks) => journal(run, dying(tasks));
}
