import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sha256Hex } from '../../../core/identifiers.ts';
import { verifyReceipts } from '../../../core/receipts/verify.ts';
import { sync } from '../../../core/run/operations.ts';
import { type Day, makeWorld } from './world.ts';

const T = Date.parse('2026-06-01T06:00:00Z');
const BUDGET = 'budget: { requests: 100000, per: second, concurrency: 4 }\n';
/** The platforms whose lists are sets of identifiers, and how each hashes a phone number. */
const PLATFORMS = {
  meta: {
    file: `connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n${BUDGET}`,
    phone: (e164: string) => e164.slice(1),
    share: 1,
  },
  google: {
    file: `connector: google\npurpose: ads\nsettings: { operating_account_id: "1234567890", customer_match_terms: accepted, consent_covers: [ad_user_data, ad_personalization] }\nsecret: google\n${BUDGET}`,
    phone: (e164: string) => e164,
    share: 0.25,
  },
} as const;
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

const entitled = (people: readonly Person[], written: (e164: string) => string): Set<string> =>
  new Set(
    people
      .filter((one) => one.gold && one.allowed)
      .flatMap((one) => [
        ...one.mails.map((mail) => `email:${sha256Hex(mail)}`),
        ...one.phones.map((phone) => `phone:${sha256Hex(written(phone))}`),
      ]),
  );

const FAULTS = {
  none: [],
  cut: [{ kind: 'cut', method: 'POST', times: 1 }],
  error: [{ kind: 'error', status: 500, times: 2 }],
  unauthorised: [{ kind: 'unauthorised', every: 3 }],
} as const;

describe('law 6 over random households, address changes, withdrawals, departures and failing runs', () => {
  // Each history is a world of its own with a real store, DuckDB and the strict stand-in; more of them by SLUICE_HISTORIES.
  const asked = Number(process.env.SLUICE_HISTORIES ?? 8);

  it.each(Object.entries(PLATFORMS))(
    'ends with exactly the identifiers of the entitled at %s',
    { timeout: 120_000 + asked * 30_000 },
    async (name, { file, phone, share }) => {
      await fc.assert(
        fc.asyncProperty(fc.array(day, { minLength: 2, maxLength: 6 }), async (days) => {
          const world = await makeWorld({
            syncs: `  - { to: ads, mode: mirror, identifiers: [email, phone] }`,
            destinations: { ads: file },
            speed: 10,
          });
          try {
            const platform = world.sandbox.platform(name);
            for (const [i, { people, trouble }] of days.entries()) {
              world.write(rowsOf(people));
              platform.faults(...FAULTS[trouble as keyof typeof FAULTS]);
              const report = await world.open((ops) => sync(ops, 'gold', { tick: T + i * 1000 }));
              platform.faults();
              if (trouble === 'none' && report.code === 0) expect([i, world.held(name)]).toEqual([i, entitled(people, phone)]);
            }
            const last = days.at(-1)?.people ?? [];
            await world.open((ops) => sync(ops, 'gold', { tick: T + 60_000 }));
            expect(['end', world.held(name)]).toEqual(['end', entitled(last, phone)]);
            const before = platform.requests().length;
            await world.open((ops) => sync(ops, 'gold', { tick: T + 61_000 }));
            // Every run that failed on the way has its receipts too, as many as it reported.
            const verdict = await world.open(({ ports }) => verifyReceipts(ports, { now: ports.clock.now() }));
            expect(verdict.problems).toEqual([]);
            expect(verdict.unfinished).toEqual([]);
            // Law 13: and then nothing is sent.
            expect(platform.requests().length).toBe(before);
          } finally {
            await world.close();
          }
        }),
        { numRuns: Math.max(1, Math.round(asked * share)), endOnFailure: process.env.CI !== undefined },
      );
    },
  );
});
