import { createHash } from 'node:crypto';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { type ConsentRecord, decide, REFUSAL, CODES } from '../../../core/consent.ts';
import { email, emailForGoogle } from '../../../core/identifiers/email.ts';
import type { PurposePolicy, Table } from '../../../core/model.ts';
import {
  audience,
  BOUND_CONSENTS,
  CHANGES,
  CONSENTS,
  CUSTOMERS,
  IDENTIFIERS,
  is,
  openSqlWorld,
  purpose,
  type SqlWorld,
  TICK,
  workspace,
} from './world.ts';

const world: SqlWorld = await openSqlWorld();
afterAll(() => world.close());
beforeEach(() => {
  for (const of of [CUSTOMERS, IDENTIFIERS, BOUND_CONSENTS, CHANGES]) world.write(of, []);
});

const SECRET = 'pepper';
const gold = audience('gold', is('tier', { op: 'eq', value: { type: 'string', value: 'gold' } }));
const REFUSE = purpose('ads', { sharedIdentifiers: 'refuse' });

interface Sent {
  readonly withheld: unknown;
  readonly sent: readonly string[];
}

/** What the snapshot lets go, by customer id. */
async function take(ids: readonly string[], tables: readonly Table[], policy: PurposePolicy): Promise<Record<string, Sent>> {
  const whole = workspace(tables, [gold], [policy]);
  const taken = await world.snapshot({
    audience: gold,
    workspace: whole,
    moved: await world.moved(whole, TICK, SECRET),
    tick: TICK,
    memberKeySecret: SECRET,
    syncs: [{ index: 0, purpose: 'ads', namespaces: ['email', 'maid'], traits: [], salt: 'salt' }],
  });
  const rows = new Map(taken.map((row) => [row['member'], row]));
  return Object.fromEntries(
    ids.map((id) => {
      const row = rows.get(createHash('sha256').update(`${SECRET}${id}`).digest('hex').slice(0, 32));
      const sent = ((row?.['identifiers_0'] ?? []) as string[]).map((one) => one.split('\u001f')[1] ?? '');
      return [id, { withheld: row?.['withheld_0'], sent }];
    }),
  );
}

const customer = (customer_id: string, tier = 'gold') => ({ customer_id, tier, country: 'DE' });
const holds = (customer_id: string, value: string, namespace = 'email') => ({ customer_id, namespace, value });
const says = (customer_id: string, status: string, more: object = {}) => ({
  customer_id,
  purpose: 'ads',
  status,
  effective_from: '2026-01-01T00:00:00',
  ...more,
});

describe('where a purpose refuses shared identifiers', () => {
  it('what one who refused holds is sent for nobody, in whatever spelling, whether a rule matches them or not', async () => {
    world.write(CUSTOMERS, [customer('a'), customer('b'), customer('c', 'silver'), customer('d')]);
    world.write(IDENTIFIERS, [
      holds('a', 'home@example.com'),
      holds('a', 'a@example.com'),
      holds('b', 'j.doe@gmail.com'),
      holds('c', ' HOME@Example.com '),
      holds('c', 'jdoe+news@gmail.com'),
      holds('d', 'c0ffee00-0000-4000-8000-000000000001', 'maid'),
      holds('c', 'C0FFEE00-0000-4000-8000-000000000001', 'maid'),
    ]);
    world.write(CONSENTS, [...['a', 'b', 'd'].map((id) => says(id, 'granted')), says('c', 'withdrawn')]);
    const tables = [CUSTOMERS, IDENTIFIERS, CONSENTS];
    expect(await take(['a', 'b', 'd'], tables, REFUSE)).toEqual({
      a: { withheld: null, sent: ['a@example.com'] },
      b: { withheld: 'no-consent', sent: [] },
      d: { withheld: 'no-consent', sent: [] },
    });
    expect(await take(['a', 'b'], tables, purpose('ads'))).toEqual({
      a: { withheld: null, sent: ['a@example.com', 'home@example.com'] },
      b: { withheld: null, sent: ['j.doe@gmail.com'] },
    });
  });

  it('who has only not granted takes nothing from anybody, and neither does a refusal of another purpose', async () => {
    world.write(CUSTOMERS, [customer('a'), customer('b')]);
    world.write(IDENTIFIERS, [holds('a', 'home@example.com'), holds('b', 'home@example.com')]);
    world.write(CONSENTS, [says('a', 'granted'), says('b', 'pending'), says('b', 'denied', { purpose: 'mail' })]);
    expect(await take(['a'], [CUSTOMERS, IDENTIFIERS, CONSENTS], REFUSE)).toEqual({
      a: { withheld: null, sent: ['home@example.com'] },
    });
  });

  it('a refusal of one identifier counts for everybody who holds it, and one filed under a merged id too', async () => {
    world.write(CUSTOMERS, [customer('a'), customer('b'), customer('new')]);
    world.write(IDENTIFIERS, [
      holds('a', 'one@example.com'),
      holds('a', 'two@example.com'),
      holds('a', 'three@example.com'),
      holds('old', 'two@example.com'),
    ]);
    world.write(CHANGES, [{ from_id: 'old', to_id: 'new', kind: 'merge', changed_at: '2026-01-01T00:00:00' }]);
    world.write(BOUND_CONSENTS, [
      says('a', 'granted'),
      says('b', 'granted'),
      says('b', 'denied', { namespace: 'email', value: 'One@example.com' }),
      says('new', 'withdrawn'),
    ]);
    expect(await take(['a'], [CUSTOMERS, IDENTIFIERS, BOUND_CONSENTS, CHANGES], REFUSE)).toEqual({
      a: { withheld: null, sent: ['three@example.com'] },
    });
  });

  it('nobody is sent with what anybody who refused holds, as any platform would be sent it, and everybody else is', async () => {
    const pool = [
      'a@x.example',
      'A@X.example ',
      'j.doe@gmail.com',
      'jdoe+1@gmail.com',
      'JDOE@gmail.com',
      'b.c@x.example',
      'bc@x.example',
    ];
    const people = fc.array(
      fc.record({
        tier: fc.constantFrom('gold', 'silver'),
        mails: fc.subarray(pool, { maxLength: 3 }),
        records: fc.array(
          fc.record({
            status: fc.constantFrom('granted', 'granted', 'denied', 'withdrawn', 'pending', null),
            from: fc.constantFrom(TICK - 1, TICK - 2, TICK + 1),
            to: fc.constantFrom(null, null, TICK),
          }),
          { maxLength: 2 },
        ),
      }),
      { minLength: 6, maxLength: 6 },
    );
    const iso = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString().replace('Z', ''));
    await fc.assert(
      fc.asyncProperty(people, fc.constantFrom('opt-in' as const, 'opt-out' as const), async (all, basis) => {
        const policy = purpose('ads', { basis, sharedIdentifiers: 'refuse' });
        world.write(
          CUSTOMERS,
          all.map(({ tier }, i) => customer(String(i), tier)),
        );
        world.write(
          IDENTIFIERS,
          all.flatMap(({ mails }, i) => mails.map((value) => holds(String(i), value))),
        );
        world.write(
          CONSENTS,
          all.flatMap(({ records }, i) =>
            records.map(({ status, from, to }) =>
              says(String(i), status ?? 'what', { effective_from: iso(from), effective_to: iso(to) }),
            ),
          ),
        );
        const decisions = all.map(({ records }) =>
          decide(records as ConsentRecord[], policy, { country: 'DE', region: null }, TICK),
        );
        const refused = new Set(
          all.flatMap(({ mails }, i) => {
            const { status } = decisions[i]?.evidence ?? {};
            return status && CODES[status] >= REFUSAL ? mails.flatMap((one) => [`${email(one)}`, `${emailForGoogle(one)}`]) : [];
          }),
        );
        const ids = all.flatMap(({ tier }, i) => (tier === 'gold' ? [String(i)] : []));
        const found = await take(ids, [CUSTOMERS, IDENTIFIERS, CONSENTS], policy);
        const wanted = ids.map((id) => {
          const { mails = [] } = all[Number(id)] ?? {};
          const allowed = decisions[Number(id)]?.allowed === true;
          const free = mails.filter((one) => !refused.has(`${email(one)}`) && !refused.has(`${emailForGoogle(one)}`));
          const withheld = allowed && (free.length > 0 || mails.length === 0) ? null : 'no-consent';
          return [id, { withheld, sent: withheld === null ? free.toSorted() : [] }];
        });
        const sent = Object.entries(found).map(([id, one]) => [
          id,
          { ...one, sent: one.withheld === null ? one.sent.toSorted() : [] },
        ]);
        expect(sent).toEqual(wanted);
      }),
      { numRuns: 60, endOnFailure: true },
    );
  }, 120_000);
});
