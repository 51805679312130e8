import fc from 'fast-check';
import type { JournalFor, RunPorts, Tasks } from '../../../core/run/ports.ts';
import type { Fault } from '../../../sandbox/faults.ts';
import type { Day } from './world.ts';

/**
 * Random histories of customers: what is written into the tables, what privacy officers ask for, and what goes wrong, day by day.
 * What may be held at the end of each day is told by truth.ts, from the same history.
 */
export const IDS = ['p0', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6', 'p7'] as const;
/** The last two are nobody on the first day: new customers, or old ones under a new id. */
const KNOWN = 6;
const MAILS = ['m0', 'm1', 'm2', 'm3', 'm4', 'm5', 'm6', 'm7'].map((name) => `email:${name}@x.example`);
const PHONES = ['1', '2', '3', '4'].map((digit) => `phone:+491512345670${digit}`);
const IDENTIFIERS = [...MAILS, ...PHONES];
export const PURPOSES = ['ads', 'mail'] as const;
export type Purpose = (typeof PURPOSES)[number];
const COUNTRIES = ['DE', 'US', null] as const;
const STATUSES = ['granted', 'denied', 'withdrawn', 'pending', 'perhaps'] as const;

export type Event =
  /** A row among the customers comes, goes or is changed. */
  | { readonly what: 'row'; readonly who: number; readonly there: boolean }
  | { readonly what: 'tier'; readonly who: number; readonly gold: boolean }
  | { readonly what: 'staff'; readonly who: number; readonly staff: boolean }
  | { readonly what: 'country'; readonly who: number; readonly country: string | null }
  /** `about`: one identifier, else the customer. `lasts`: days; null while it is open. `ago`: when it began, days before it was written. */
  | {
      readonly what: 'consent';
      readonly who: number;
      readonly purpose: Purpose;
      readonly status: (typeof STATUSES)[number];
      readonly about: string | null;
      readonly lasts: number | null;
      readonly ago: number;
    }
  | { readonly what: 'gets' | 'loses'; readonly who: number; readonly identifier: string }
  | { readonly what: 'merge' | 'split'; readonly who: number; readonly to: number }
  /** A row among the erasures; taken away again once it was tended to. */
  | { readonly what: 'erasure'; readonly who: number }
  /** Acts: `sluice withdraw`, `sluice forget` (by id, or everybody who holds an address), and what every sync of the CLI begins with. */
  | { readonly what: 'withdraw'; readonly who: number; readonly purpose: Purpose }
  | { readonly what: 'forget'; readonly who: number; readonly byMail: boolean; readonly dies: number; readonly refused: boolean }
  | { readonly what: 'tend' };

export interface HistoryDay {
  readonly events: readonly Event[];
  readonly trouble: keyof typeof FAULTS | 'dies';
  /** Which of the two destinations has it; both when it is 2. */
  readonly where: number;
  /** Which step's effect is the last one of a run that dies. */
  readonly last: number;
}

export const FAULTS: Readonly<Record<'none' | 'cut' | 'error' | 'unauthorised', readonly Fault[]>> = {
  none: [],
  cut: [{ kind: 'cut', method: 'POST', times: 1 }],
  error: [{ kind: 'error', status: 500, times: 2 }],
  unauthorised: [{ kind: 'unauthorised', every: 2 }],
};

const who = fc.integer({ min: 0, max: IDS.length - 1 });
const often = <T>(value: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 2, arbitrary: fc.constant(value) }, fc.constantFrom(...others));
const what = <const W extends string>(name: W): fc.Arbitrary<W> => fc.constant(name);
const purpose = fc.constantFrom(...PURPOSES);
const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ what: what('row'), who, there: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ what: what('tier'), who, gold: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ what: what('staff'), who, staff: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ what: what('country'), who, country: fc.constantFrom(...COUNTRIES) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      what: what('consent'),
      who,
      purpose,
      status: often('granted' as (typeof STATUSES)[number], ...STATUSES.slice(1)),
      about: fc.option(fc.constantFrom(...IDENTIFIERS), { freq: 2 }),
      lasts: fc.option(fc.integer({ min: 1, max: 3 }), { freq: 2 }),
      ago: often(0, 1, 3, 28),
    }),
  },
  { weight: 6, arbitrary: fc.record({ what: what('gets'), who, identifier: fc.constantFrom(...IDENTIFIERS) }) },
  { weight: 4, arbitrary: fc.record({ what: what('loses'), who, identifier: fc.constantFrom(...IDENTIFIERS) }) },
  { weight: 4, arbitrary: fc.record({ what: what('merge'), who, to: who }) },
  { weight: 2, arbitrary: fc.record({ what: what('split'), who, to: who }) },
  { weight: 1, arbitrary: fc.record({ what: what('erasure'), who }) },
  { weight: 2, arbitrary: fc.record({ what: what('withdraw'), who, purpose }) },
  {
    weight: 2,
    arbitrary: fc.record({
      what: what('forget'),
      who,
      byMail: fc.boolean(),
      dies: often(0, 1, 2, 3, 4, 6),
      refused: often(false, true),
    }),
  },
  { weight: 1, arbitrary: fc.record({ what: what('tend') }) },
);
const day: fc.Arbitrary<HistoryDay> = fc.record({
  // Dense: what goes wrong takes several things at once.
  events: fc.array(event, { maxLength: 8, size: 'max' }),
  trouble: fc.oneof(
    { weight: 4, arbitrary: fc.constant('none' as const) },
    { weight: 2, arbitrary: fc.constant('dies' as const) },
    fc.constantFrom('cut' as const, 'error' as const, 'unauthorised' as const),
  ),
  where: fc.integer({ min: 0, max: 2 }),
  last: fc.integer({ min: 1, max: 16 }),
});

/** A history that can be read where it is printed. */
export class History {
  readonly days: readonly HistoryDay[];
  constructor(days: readonly HistoryDay[]) {
    this.days = days;
  }
  [fc.toStringMethod](): string {
    return this.days.map((one, i) => `\n  day ${i}: ${[...one.events.map(told), ending(one)].join('; ')}`).join('');
  }
}
export const history: fc.Arbitrary<History> = fc
  .array(day, { minLength: 2, maxLength: 5, size: 'max' })
  .map((days) => new History([{ events: [], trouble: 'none', where: 0, last: 1 }, ...days]));

function told(one: Event): string {
  const { what: verb, ...rest } = one;
  return [verb, ...Object.entries(rest).map(([name, value]) => told1(name, value))].join(' ');
}
const told1 = (name: string, value: unknown): string => {
  if (name === 'who') return IDS[Number(value)] ?? '';
  if (name === 'to') return `to ${IDS[Number(value)] ?? ''}`;
  return typeof value === 'string' ? value : `${name}=${String(value)}`;
};
const ending = ({ trouble, where, last }: HistoryDay): string => {
  if (trouble === 'none') return 'SYNC';
  return trouble === 'dies'
    ? `SYNC dies after step ${last}`
    : `SYNC with ${trouble} at ${['the first', 'the second', 'both'][where] ?? ''}`;
};

export interface Consent {
  readonly id: string;
  readonly purpose: Purpose;
  readonly status: (typeof STATUSES)[number];
  readonly about: string | null;
  readonly from: number;
  readonly to: number | null;
}

interface Row {
  readonly gold: boolean;
  readonly staff: boolean;
  readonly country: string | null;
}

const DAY_MS = 86_400_000;
const text = (ms: number): string => new Date(ms).toISOString().slice(0, 19);

/** What the tables say, as events are written into them one after the other. */
export class Tables {
  readonly rows = new Map<string, Row>();
  readonly identifiers = new Map<string, Set<string>>(IDS.map((id) => [id, new Set()]));
  readonly consents: Consent[] = [];
  readonly erasures = new Set<string>();
  readonly #gone = new Map<string, Row>();
  readonly #changes: { from: string; to: string; kind: string; at: string }[] = [];
  readonly #into = new Map<string, string>();

  /** Six customers who agreed to everything, each with an address and some with a phone; the first two share theirs. */
  constructor(from: number) {
    for (const [i, id] of IDS.entries()) {
      this.#gone.set(id, { gold: true, staff: false, country: 'DE' });
      if (i >= KNOWN) continue;
      this.write({ what: 'row', who: i, there: true }, from);
      this.write({ what: 'gets', who: i, identifier: MAILS[i === 1 ? 0 : i] ?? '' }, from);
      if (i % 2 === 0) this.write({ what: 'gets', who: i, identifier: PHONES[i / 2] ?? '' }, from);
      for (const one of PURPOSES)
        this.write({ what: 'consent', who: i, purpose: one, status: 'granted', about: null, lasts: null, ago: 0 }, from);
    }
  }

  /** Writes an event down, unless it is an act or makes no sense: nobody is merged twice, into themselves or in a circle, or split off who was never merged. */
  write(one: Event, at: number): void {
    if (one.what === 'tend') return;
    const id = IDS[one.who] ?? '';
    const change = (to: Partial<Row>): void => {
      const rows = this.rows.has(id) ? this.rows : this.#gone;
      rows.set(id, { ...(rows.get(id) as Row), ...to });
    };
    if (one.what === 'row') {
      const [from, to] = one.there ? [this.#gone, this.rows] : [this.rows, this.#gone];
      const row = from.get(id);
      if (row !== undefined) to.set(id, row);
      from.delete(id);
    } else if (one.what === 'tier') change({ gold: one.gold });
    else if (one.what === 'staff') change({ staff: one.staff });
    else if (one.what === 'country') change({ country: one.country });
    else if (one.what === 'gets') this.identifiers.get(id)?.add(one.identifier);
    else if (one.what === 'loses') this.identifiers.get(id)?.delete(one.identifier);
    else if (one.what === 'erasure') this.erasures.add(id);
    else if (one.what === 'consent') {
      const from = at - one.ago * DAY_MS;
      const { purpose: of, status, about } = one;
      this.consents.push({ id, purpose: of, status, about, from, to: one.lasts === null ? null : from + one.lasts * DAY_MS });
    } else if (one.what === 'merge' || one.what === 'split') this.#change(one.what, id, IDS[one.to] ?? '', at);
  }

  #change(kind: 'merge' | 'split', a: string, b: string, at: number): void {
    if (a === b) return;
    if (kind === 'merge') {
      const back = this.#into.get(b) === a;
      if (this.#into.has(a) || (this.survivorOf(b) === a && !back)) return;
      if (back) this.#into.delete(b);
      this.#into.set(a, b);
    } else if (!this.#into.delete(b)) return;
    this.#changes.push({ from: a, to: b, kind, at: text(at) });
  }

  survivorOf(id: string): string {
    const into = this.#into.get(id);
    return into === undefined ? id : this.survivorOf(into);
  }

  day(): Day {
    const split = (identifier: string): { namespace: string; value: string } => {
      const [namespace = '', value = ''] = identifier.split(':');
      return { namespace, value };
    };
    return {
      customers: [...this.rows].map(([id, { gold, staff, country }]) => ({
        id,
        tier: gold ? 'gold' : 'silver',
        spent: staff ? 1 : 0,
        country,
      })),
      identifiers: [...this.identifiers].flatMap(([id, all]) => [...all].map((one) => ({ id, ...split(one) }))),
      consents: this.consents.map(({ id, purpose: of, status, about, from, to }) => ({
        id,
        purpose: of,
        status,
        from: text(from),
        to: to === null ? null : text(to),
        ...(about === null ? { namespace: null, value: null } : split(about)),
      })),
      erasures: [...this.erasures].map((id) => ({ id, at: '2026-02-01T00:00:00' })),
      changes: this.#changes,
    };
  }
}

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

/** Ports of a process that dies once the nth document is written; 0: of one that lives. */
export function dyingAfterDocument(n: number, ports: RunPorts): RunPorts {
  if (n === 0) return ports;
  const { documents } = ports.store;
  let left = n;
  return {
    ...ports,
    store: {
      ...ports.store,
      documents: {
        ...documents,
        async put(...given: Parameters<typeof documents.put>) {
          if (left === 0) throw new Died();
          await documents.put(...given);
          left -= 1;
          if (left === 0) throw new Died();
        },
      },
    },
  };
}
