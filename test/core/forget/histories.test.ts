import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { continueForget, forget } from '../../../core/forget/forget.ts';
import { sha256Hex } from '../../../core/identifiers.ts';
import { sync } from '../../../core/run/operations.ts';
import { withdraw } from '../../../core/run/withdraw.ts';
import { type Day, makeWorld } from '../run/world.ts';

const T = Date.parse('2026-06-01T06:00:00Z');
const BUDGET = 'budget: { requests: 100000, per: second, concurrency: 4 }\n';
const HOOK = `connector: webhook\npurpose: mail\nsecret: hook\n${BUDGET}`;
const META = `connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n${BUDGET}`;
const PEOPLE = ['p0', 'p1', 'p2', 'p3', 'p4'];
const MAILS = ['m0@x.example', 'm1@x.example', 'm2@x.example', 'm3@x.example'];
const PHONES = ['+4915123456701', '+4915123456702'];

const person = fc.record({
  gold: fc.boolean(),
  allowed: fc.boolean(),
  mails: fc.subarray(MAILS, { maxLength: 2 }),
  phones: fc.subarray(PHONES, { maxLength: 1 }),
});
type Person = typeof person extends fc.Arbitrary<infer P> ? P : never;
/** A day: everybody's rows, and before its run who is forgotten (how, and whether the platform is broken then) or withdraws. */
const day = fc.record({
  people: fc.array(person, { minLength: PEOPLE.length, maxLength: PEOPLE.length }),
  forgotten: fc.option(fc.nat(PEOPLE.length - 1), { freq: 2 }),
  way: fc.constantFrom('by-hand', 'table'),
  broken: fc.constantFrom(false, false, true),
  withdrawn: fc.option(fc.nat(PEOPLE.length - 1), { freq: 3 }),
});

const rowsOf = (people: readonly Person[], erasures: NonNullable<Day['erasures']>): Day => ({
  customers: people.map((one, i) => ({ id: PEOPLE[i] ?? '', tier: one.gold ? 'gold' : 'silver', country: 'DE' })),
  consents: people.flatMap((one, i) =>
    ['ads', 'mail'].map((purpose) => ({
      id: PEOPLE[i] ?? '',
      purpose,
      status: one.allowed ? 'granted' : 'withdrawn',
      from: '2026-01-01T00:00:00',
    })),
  ),
  identifiers: people.flatMap((one, i) => [
    ...one.mails.map((value) => ({ id: PEOPLE[i] ?? '', namespace: 'email', value })),
    ...one.phones.map((value) => ({ id: PEOPLE[i] ?? '', namespace: 'phone', value })),
  ]),
  erasures,
});

/** What must be so, as the readings of docs/laws.md say it. */
class Model {
  readonly erased = new Set<number>();
  readonly stopped = new Set<number>();
  readonly stones = new Map<string, Set<number>>();
  readonly ever = PEOPLE.map(() => new Set<string>());
  hook = new Set<number>();
  meta = new Set<string>();

  identifiers = ({ mails, phones }: Person): readonly string[] => [...mails, ...phones];

  forget(who: number, people: readonly Person[]): void {
    this.erased.add(who);
    this.hook.delete(who);
    for (const keepers of this.stones.values()) keepers.delete(who);
    const theirs = new Set([...this.identifiers(people[who] as Person), ...(this.ever[who] ?? [])]);
    for (const value of theirs) {
      if (this.stones.has(value)) continue;
      const holders = people.flatMap((one, i) => (this.identifiers(one).includes(value) && !this.erased.has(i) ? [i] : []));
      this.stones.set(value, new Set(holders));
    }
  }

  private may(i: number, one: Person): boolean {
    const back = this.identifiers(one).some((value) => this.stones.get(value)?.has(i) === false);
    return one.allowed && !this.erased.has(i) && !this.stopped.has(i) && !back;
  }

  run(people: readonly Person[]): void {
    this.meta = new Set();
    for (const [i, one] of people.entries()) {
      if (!this.may(i, one)) this.hook.delete(i);
      else if (one.gold) {
        this.hook.add(i);
        for (const value of this.identifiers(one)) {
          this.meta.add(value);
          this.ever[i]?.add(value);
        }
      }
    }
  }
}

const asHeld = (values: ReadonlySet<string>): Set<string> =>
  new Set([...values].map((one) => (one.startsWith('+') ? `phone:${sha256Hex(one.slice(1))}` : `email:${sha256Hex(one)}`)));

describe('law 8 over random histories of households, withdrawals and erasures', () => {
  // Each history is a world of its own with a real store, DuckDB and the strict stand-ins; more of them by SLUICE_HISTORIES.
  const asked = Number(process.env.SLUICE_HISTORIES ?? 3);

  it('ends with nobody held who was erased, came back or withdrew, and everybody else there', {
    timeout: 120_000 + asked * 40_000,
  }, async () => {
    const tried = { histories: 0, erasures: 0, withdrawals: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(day, { minLength: 2, maxLength: 5 }), async (days) => {
        const world = await makeWorld({
          syncs: '  - { to: hook, mode: upsert }\n  - { to: meta, mode: mirror, identifiers: [email, phone] }',
          destinations: { hook: HOOK, meta: META },
        });
        const model = new Model();
        const erasures: { id: string; at: string }[] = [];
        tried.histories += 1;
        try {
          for (const [i, { people, forgotten, way, broken, withdrawn }] of days.entries()) {
            if (forgotten !== null && way === 'table') erasures.push({ id: PEOPLE[forgotten] ?? '', at: '2026-02-01T00:00:00' });
            world.write(rowsOf(people, erasures));
            const platform = world.sandbox.platform('meta');
            if (broken) platform.faults({ kind: 'unauthorised' });
            if (forgotten !== null) {
              model.forget(forgotten, people);
              tried.erasures += 1;
              await world.open(async ({ ports }) => {
                if (way === 'table') return continueForget(ports, T);
                const customerIds = [PEOPLE[forgotten] ?? ''];
                const request = { id: `r${i}`, source: 'by-hand', submittedAt: T + i, customerIds, identities: [] } as const;
                return [await forget(ports, { ...request, allHolders: false })];
              });
            }
            platform.faults();
            if (withdrawn !== null) {
              model.stopped.add(withdrawn);
              tried.withdrawals += 1;
              await world.open(({ ports }) => withdraw(ports, [PEOPLE[withdrawn] ?? ''], ['ads', 'mail'], T + i));
            }
            for (const erasure of await world.open(({ ports }) => continueForget(ports, T)))
              expect([i, erasure.status]).toEqual([i, 'completed']);
            model.run(people);
            await world.open((ops) => sync(ops, 'gold', { tick: T + 1_000 * (i + 1) }));
            expect([i, world.held('webhook')]).toEqual([i, new Set([...model.hook].map((one) => PEOPLE[one]))]);
            expect([i, world.held('meta')]).toEqual([i, asHeld(model.meta)]);
          }
        } finally {
          await world.close();
        }
      }),
      { numRuns: asked, endOnFailure: process.env.CI !== undefined },
    );
    expect(tried.histories).toBeGreaterThanOrEqual(asked);
    if (process.env.SLUICE_HISTORIES !== undefined) process.stdout.write(`${JSON.stringify(tried)}\n`);
  });
});
