import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sha256Hex } from '../../../core/identifiers.ts';
import { sync } from '../../../core/run/operations.ts';
import { Stopped } from '../../../core/run/deliver.ts';
import { type Day, makeWorld } from './world.ts';

const T = Date.parse('2026-06-01T06:00:00Z');
const META =
  'connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\nbudget: { requests: 100000, per: second, concurrency: 4 }\n';
const PHONES = ['+4915123456701', '+4915123456702', '+4915123456703'];
const MAILS = ['m0@x.example', 'm1@x.example', 'm2@x.example', 'm3@x.example'];

/** One customer on one day: in the audience or not, allowed or not, which addresses and phones they hold (shared with others). */
const person = fc.record({
  gold: fc.boolean(),
  allowed: fc.boolean(),
  erased: fc.boolean(),
  mails: fc.subarray(MAILS, { maxLength: 2 }),
  phones: fc.subarray(PHONES, { maxLength: 1 }),
});
const PEOPLE = ['p0', 'p1', 'p2', 'p3', 'p4'];
/** A day, and what goes wrong in its run: nothing, a cut answer, a server that fails twice, or credentials refused half of the time. */
const day = fc.record({
  people: fc.array(person, { minLength: PEOPLE.length, maxLength: PEOPLE.length }),
  trouble: fc.oneof({ weight: 3, arbitrary: fc.constant('none') }, fc.constantFrom('cut', 'error', 'unauthorised')),
});
type Person = typeof person extends fc.Arbitrary<infer P> ? P : never;

const rowsOf = (people: readonly Person[]): Day => ({
  customers: people.map((one, i) => ({ id: PEOPLE[i] ?? '', tier: one.gold ? 'gold' : 'silver', country: 'DE' })),
  consents: people.map((one, i) => ({
    id: PEOPLE[i] ?? '',
    purpose: 'ads',
    status: one.allowed ? 'granted' : 'withdrawn',
    from: '2026-01-01T00:00:00',
  })),
  erasures: people.flatMap((one, i) => (one.erased && !one.gold ? [{ id: PEOPLE[i] ?? '', at: '2026-02-01T00:00:00' }] : [])),
  identifiers: people.flatMap((one, i) => [
    ...one.mails.map((value) => ({ id: PEOPLE[i] ?? '', namespace: 'email', value })),
    ...one.phones.map((value) => ({ id: PEOPLE[i] ?? '', namespace: 'phone', value })),
  ]),
});

const entitled = (people: readonly Person[]): Set<string> =>
  new Set(
    people
      .filter((one) => one.gold && one.allowed)
      .flatMap((one) => [
        ...one.mails.map((mail) => `email:${sha256Hex(mail)}`),
        ...one.phones.map((phone) => `phone:${sha256Hex(phone.slice(1))}`),
      ]),
  );

const FAULTS = {
  none: [],
  cut: [{ kind: 'cut', route: '/users', times: 1 }],
  error: [{ kind: 'error', route: '/users', status: 500, times: 2 }],
  unauthorised: [{ kind: 'unauthorised', route: '/users', every: 2 }],
} as const;

describe('law 6 over random households, address changes, withdrawals, departures and failing runs', () => {
  // Each history is a world of its own with a real store, DuckDB and the strict stand-in; more of them by SLUICE_HISTORIES.
  const runs = Number(process.env.SLUICE_HISTORIES ?? 12);

  it(`ends with exactly the identifiers of the entitled, in ${runs} histories of up to six days`, {
    timeout: 60_000 + runs * 15_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(day, { minLength: 2, maxLength: 6 }), async (days) => {
        const world = await makeWorld({
          syncs: '  - { to: meta, mode: mirror, identifiers: [email, phone] }',
          destinations: { meta: META },
        });
        try {
          const platform = world.sandbox.platform('meta');
          for (const [i, { people, trouble }] of days.entries()) {
            world.write(rowsOf(people));
            platform.faults(...FAULTS[trouble as keyof typeof FAULTS]);
            const report = await world
              .open((ops) => sync(ops, 'gold', { tick: T + i * 1000 }))
              .catch((error: unknown) => {
                if (!(error instanceof Stopped)) throw error;
                return undefined;
              });
            platform.faults();
            if (trouble === 'none' && report?.code === 0) expect(world.held('meta'), `day ${i + 1}`).toEqual(entitled(people));
          }
          const last = days.at(-1)?.people ?? [];
          await world.open((ops) => sync(ops, 'gold', { tick: T + 60_000 }));
          expect(world.held('meta'), 'at the end').toEqual(entitled(last));
          const before = platform.requests().length;
          await world.open((ops) => sync(ops, 'gold', { tick: T + 61_000 }));
          expect(platform.requests().length, 'and then nothing is sent').toBe(before);
        } finally {
          await world.close();
        }
      }),
      { numRuns: runs, endOnFailure: process.env.CI !== undefined },
    );
  });
});
