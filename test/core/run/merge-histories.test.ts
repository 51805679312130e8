import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { status, sync } from '../../../core/run/operations.ts';
import { dayOf, Died, dyingAfter, entitledOn, FAULTS, hashesOf, historyDay, Identities } from './history.ts';
import { makeWorld } from './world.ts';

const T = Date.parse('2026-06-01T06:00:00Z');
const BUDGET = 'budget: { requests: 100000, per: second, concurrency: 4 }\n';

interface Platform {
  readonly file: string;
  readonly identifiers: string;
  /** What the stand-in holds of the people. */
  readonly held: (people: ReturnType<typeof entitledOn>) => ReadonlySet<string>;
  readonly share: number;
}
const ids: Platform['held'] = (people) => new Set(people.map(({ id }) => id));
const PLATFORMS: Readonly<Record<string, Platform>> = {
  meta: {
    file: `connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n${BUDGET}`,
    identifiers: '[email, phone]',
    held: (people) => hashesOf(people, (e164) => e164.slice(1)),
    share: 1,
  },
  google: {
    file: `connector: google\npurpose: ads\nsettings: { operating_account_id: "1234567890", customer_match_terms: accepted, consent_covers: [ad_user_data, ad_personalization] }\nsecret: google\n${BUDGET}`,
    identifiers: '[email, phone]',
    held: (people) => hashesOf(people, (e164) => e164),
    share: 0.5,
  },
  braze: {
    file: `connector: braze\npurpose: ads\nsettings: { instance: EU-01 }\nsecret: braze\n${BUDGET}`,
    identifiers: '[external_id, email]',
    held: ids,
    share: 1,
  },
  hubspot: {
    file: `connector: hubspot\npurpose: ads\nsettings: {}\nsecret: hubspot\n${BUDGET}`,
    identifiers: '[external_id]',
    held: ids,
    share: 0.5,
  },
};

describe('merges, splits, address changes, withdrawals, rows that come and go, and runs that fail or die', () => {
  // Each history is a world of its own with a real store, DuckDB and the strict stand-in; more of them by SLUICE_HISTORIES.
  const asked = Number(process.env.SLUICE_HISTORIES ?? 6);

  it.each(Object.entries(PLATFORMS))(
    'end with exactly the entitled at %s, each once',
    { timeout: 120_000 + asked * 40_000 },
    async (name, { file, identifiers, held, share }) => {
      await fc.assert(
        fc.asyncProperty(fc.array(historyDay, { minLength: 2, maxLength: 5 }), async (days) => {
          const world = await makeWorld({
            merges: true,
            syncs: `  - { to: ads, mode: mirror, identifiers: ${identifiers} }`,
            destinations: { ads: file },
            speed: 10,
          });
          try {
            const platform = world.sandbox.platform(name);
            const identities = new Identities();
            for (const [i, { lives, changes, trouble, last }] of days.entries()) {
              for (const change of changes) identities.write(change);
              world.write(dayOf(lives, identities));
              if (trouble !== 'dies') platform.faults(...FAULTS[trouble]);
              const report = await world
                .open((ops) =>
                  sync(trouble === 'dies' ? { ...ops, journal: dyingAfter(last, ops.journal) } : ops, 'gold', {
                    tick: T + i * 1000,
                  }),
                )
                .catch((error: unknown) => {
                  if (error instanceof Died) return undefined;
                  throw error;
                });
              platform.faults();
              if (trouble === 'none' && report?.code === 0)
                expect([i, world.held(name)]).toEqual([i, held(entitledOn(lives, identities))]);
            }
            const people = entitledOn(days.at(-1)?.lives ?? [], identities);
            await world.open((ops) => sync(ops, 'gold', { tick: T + 60_000 }));
            expect(['end', world.held(name)]).toEqual(['end', held(people)]);
            const once = name === 'braze' || name === 'hubspot' ? people : people.filter((one) => held([one]).size > 0);
            expect(await world.open((ops) => status(ops))).toMatchObject([{ members: once.length, uncertain: 0 }]);
            const before = platform.requests().length;
            await world.open((ops) => sync(ops, 'gold', { tick: T + 61_000 }));
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
