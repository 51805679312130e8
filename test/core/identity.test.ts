import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { Namespace } from '../../core/connector.ts';
import { chooseIdentifiers, type IdentifierRow, maxOf, USUAL_IDENTITY, withLimits } from '../../core/identity.ts';
import type { IdentityPolicy } from '../../core/model.ts';
import { snapshotQuery, type SnapshotSync } from '../../core/sql/snapshot.ts';
import { audience, CONSENTS, CUSTOMERS, IDENTIFIERS, is, openSqlWorld, TICK, workspace } from './sql/world.ts';

const policy = (more: Partial<IdentityPolicy> = {}): IdentityPolicy => ({ ...USUAL_IDENTITY, ...more });
const row = (value: string, more: Partial<IdentifierRow> = {}): IdentifierRow => ({
  value,
  verified: null,
  trust: null,
  lastSeen: null,
  firstSeen: null,
  ...more,
});

describe('which identifiers are used', () => {
  it('all of them without a policy: verified, then trust, then last seen, then first seen, then the value itself', () => {
    const rows = [
      row('b'),
      row('a'),
      row('seen', { lastSeen: 1 }),
      row('trusted', { trust: 5 }),
      row('sure', { verified: true }),
    ];
    expect(chooseIdentifiers(policy(), 'email', rows)).toEqual(['sure', 'trusted', 'seen', 'a', 'b']);
  });

  it('only verified ones where others are ignored; not to know is not to be verified', () => {
    const only = policy({ namespaces: { email: { unverified: 'ignore' } } });
    const rows = [row('yes', { verified: true }), row('no', { verified: false }), row('unknown')];
    expect(chooseIdentifiers(only, 'email', rows)).toEqual(['yes']);
    expect(chooseIdentifiers(only, 'phone', rows)).toEqual(['yes', 'no', 'unknown']);
    expect(chooseIdentifiers(policy({ unverified: 'ignore' }), 'phone', rows)).toEqual(['yes']);
  });

  it('law 1: those that are trusted enough; a trust that neither row nor policy states is not enough', () => {
    const rows = [row('low', { trust: 1 }), row('edge', { trust: 2 }), row('silent')];
    const min = (more: object) => policy({ namespaces: { email: { unverified: 'use', minTrust: 2, ...more } } });
    expect(chooseIdentifiers(min({}), 'email', rows)).toEqual(['edge']);
    expect(chooseIdentifiers(min({ trust: 3 }), 'email', rows)).toEqual(['silent', 'edge']);
  });

  it('in the order of the policy, where it has one', () => {
    const rows = [row('sure', { verified: true }), row('recent', { lastSeen: 2 })];
    expect(chooseIdentifiers(policy({ precedence: ['last_seen'] }), 'email', rows)).toEqual(['recent', 'sure']);
    expect(chooseIdentifiers(policy({ precedence: [] }), 'email', rows)).toEqual(['recent', 'sure']);
  });
});

describe('how many are sent', () => {
  it('the number of the destination, else of the namespace, and never more than the platform takes', () => {
    const numbers = policy({
      namespaces: { email: { unverified: 'use', max: 3 } },
      destinations: { crm: { email: 2, phone: 5 } },
    });
    const takes: Readonly<Record<string, Namespace>> = {
      email: { normalise: (raw) => raw, hash: 'none' },
      phone: { normalise: (raw) => raw, hash: 'none', max: 1 },
    };
    const most = (destination: string) =>
      Object.entries(withLimits(takes, numbers, destination)).map(([name, { max }]) => [name, max]);
    expect(most('crm')).toEqual([
      ['email', 2],
      ['phone', 1],
    ]);
    expect(most('ads')).toEqual([
      ['email', 3],
      ['phone', 1],
    ]);
    expect([maxOf(numbers, 'crm', 'constructor'), maxOf(numbers, 'constructor', 'maid')]).toEqual([undefined, undefined]);
  });
});

const world = await openSqlWorld();
afterAll(() => world.close());

const gold = audience('gold', is('tier', { op: 'known' }));
const snapshot = async (identity: IdentityPolicy, sync: Partial<SnapshotSync> = {}) =>
  world.rows(
    snapshotQuery({
      audience: gold,
      workspace: { ...workspace([CUSTOMERS, IDENTIFIERS, CONSENTS], [gold]), identity },
      tick: TICK,
      memberKeySecret: 'pepper',
      moved: null,
      decisions: null,
      syncs: [{ index: 0, purpose: 'ads', namespaces: ['email', 'phone'], traits: [], salt: 'salt', ...sync }],
    }),
  );

describe('the same in SQL', () => {
  beforeEach(() => world.write(CONSENTS, []));
  const time = fc.option(fc.integer({ min: 0, max: 3 }), { nil: null });
  const rows = fc.uniqueArray(
    fc.record({
      value: fc.constantFrom(...'abcdefghijklmnop'),
      verified: fc.option(fc.boolean(), { nil: null }),
      trust: fc.option(fc.integer({ min: 0, max: 3 }), { nil: null }),
      lastSeen: time,
      firstSeen: time,
    }),
    { selector: ({ value }) => value, maxLength: 10 },
  );
  const namespace = fc.record(
    {
      unverified: fc.constantFrom('use' as const, 'ignore' as const),
      minTrust: fc.integer({ min: 0, max: 3 }),
      trust: fc.integer({ min: 0, max: 3 }),
    },
    { requiredKeys: ['unverified'] },
  );
  const policies = fc.record({
    email: fc.option(namespace, { nil: undefined }),
    unverified: fc.constantFrom('use' as const, 'ignore' as const),
    precedence: fc.shuffledSubarray([...USUAL_IDENTITY.precedence]),
  });

  it('chooses what the readable decision chooses, for random rows and policies', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(rows, { minLength: 1, maxLength: 8 }), policies, async (people, { email, ...rest }) => {
        const identity = policy({ ...rest, namespaces: email === undefined ? {} : { email } });
        world.write(
          CUSTOMERS,
          people.map((_, i) => ({ customer_id: `c${i}`, tier: 'gold', country: 'DE' })),
        );
        world.write(
          IDENTIFIERS,
          people.flatMap((all, i) =>
            all.map((one) => ({
              customer_id: `c${i}`,
              namespace: 'email',
              value: one.value,
              verified: one.verified,
              trust: one.trust,
              last_seen: one.lastSeen === null ? null : new Date(one.lastSeen).toISOString().slice(0, 23),
              first_seen: one.firstSeen === null ? null : new Date(one.firstSeen).toISOString().slice(0, 23),
            })),
          ),
        );
        const found = (await snapshot(identity)).map((one) => (one['identifiers_0'] as string[]).map((text) => text.slice(6)));
        const wanted = people.map((all) => [...chooseIdentifiers(identity, 'email', all)]);
        const inOrder = (all: readonly (readonly string[])[]) => all.map((one) => one.join(' ')).toSorted();
        expect(inOrder(found)).toEqual(inOrder(wanted));
      }),
      { numRuns: 40 },
    );
  });
});

describe('a change of the policy changes the row hashes of those alone of whom something else may be sent', () => {
  const people = {
    one: ['a@x.example'],
    two: ['b@x.example', 'c@x.example'],
    three: ['d@x.example', 'e@x.example', 'f@x.example'],
  };
  const hashes = async (identity: IdentityPolicy, sync: Partial<SnapshotSync> = {}): Promise<Record<string, unknown>> => {
    world.write(CONSENTS, []);
    world.write(
      CUSTOMERS,
      Object.keys(people).map((customer_id) => ({ customer_id, tier: 'gold', country: 'DE' })),
    );
    world.write(
      IDENTIFIERS,
      Object.entries(people).flatMap(([customer_id, values]) =>
        values.map((value, i) => ({
          customer_id,
          namespace: 'email',
          value,
          verified: i === 0,
          last_seen: `2026-01-0${i + 1}T00:00:00`,
        })),
      ),
    );
    const rows = await snapshot(identity, sync);
    const hashOf: Record<string, unknown> = {};
    for (const one of rows) hashOf[(one['identifiers_0'] as string[])[0] ?? ''] = one['hash_0'];
    return hashOf;
  };
  const changed = (before: Record<string, unknown>, after: Record<string, unknown>): number => {
    const known = new Set(Object.values(before));
    return Object.values(after).filter((hash) => !known.has(hash)).length;
  };

  it('a number: those who have more', async () => {
    const before = await hashes(policy());
    const first = await hashes(policy(), { most: { email: 3 } });
    expect(changed(first, await hashes(policy(), { most: { email: 2 } }))).toBe(1);
    expect(changed(first, await hashes(policy(), { most: { email: 1 } }))).toBe(2);
    expect(changed(before, await hashes(policy(), { most: { phone: 1 } }))).toBe(0);
  });

  it('unverified ones ignored: those who have one', async () => {
    expect(changed(await hashes(policy()), await hashes(policy({ namespaces: { email: { unverified: 'ignore' } } })))).toBe(2);
  });

  it('another order: nobody where all are sent, those with several where a number bounds them', async () => {
    const recent = policy({ precedence: ['last_seen'] });
    expect(changed(await hashes(policy()), await hashes(recent))).toBe(0);
    const most = { email: 1 };
    expect(changed(await hashes(policy(), { most }), await hashes(recent, { most }))).toBe(2);
  });

  it('and back: the first hashes again', async () => {
    const before = await hashes(policy());
    await hashes(policy({ unverified: 'ignore' }));
    expect(await hashes(policy())).toEqual(before);
  });
});
