import { createHash } from 'node:crypto';
import { afterAll, expect, it } from 'vitest';
import fc from 'fast-check';
import { type ConsentRecord, decide } from '../../../core/consent.ts';
import { evidenceOf } from '../../../core/evidence.ts';
import type { PurposePolicy } from '../../../core/model.ts';
import { column, table } from '../../warehouses/tables.ts';
import {
  audience,
  BOUND_CONSENTS,
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

const CONSENTS = table('consents', 'consents', [
  ...BOUND_CONSENTS.columns,
  column('source', 'string'),
  column('record_id', 'string'),
]);
const SECRET = 'pepper';
const DAY = 86_400_000;
const gold = audience('gold', is('tier', { op: 'eq', value: { type: 'string', value: 'gold' } }));

interface Person {
  readonly own: readonly ConsentRecord[];
  /** One list an address. */
  readonly about: readonly (readonly ConsentRecord[])[];
}

const records = fc.array(
  fc.record({
    status: fc.constantFrom('granted', 'granted', 'confirmed', 'denied', 'withdrawn', 'pending', null),
    from: fc.constantFrom(TICK, TICK + DAY, ...[1, 2, 3, 29, 30, 31].map((days) => TICK - days * DAY)),
    to: fc.constantFrom(null, null, TICK - DAY, TICK + DAY),
    source: fc.constantFrom('centre', 'shop', null),
    id: fc.constantFrom('1', '2', '3', null),
  }),
  { maxLength: 3 },
);
const people: fc.Arbitrary<readonly Person[]> = fc.array(
  fc.record({ own: records, about: fc.array(records, { minLength: 1, maxLength: 3 }) }),
  { minLength: 150, maxLength: 150 },
);
const policies: fc.Arbitrary<Partial<PurposePolicy>> = fc.record({
  name: fc.constant('ads'),
  basis: fc.constantFrom('opt-in', 'opt-out'),
  expiresAfter: fc.constantFrom(undefined, { amount: 30, unit: 'day' as const }),
  doubleOptIn: fc.boolean(),
  sources: fc.constantFrom(undefined, ['centre', 'shop']),
});

const address = (person: number, i: number): string => `p${person}.${i}@example.com`;
const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString().replace('Z', ''));

it('decides in SQL as in TypeScript who and which identifiers may go, where consents are about one identifier', async () => {
  await fc.assert(
    fc.asyncProperty(policies, people, fc.boolean(), async (given, all, withId) => {
      const policy = purpose('ads', given);
      const row = (person: number, record: ConsentRecord, i?: number) => ({
        customer_id: String(person),
        purpose: 'ads',
        status: record.status ?? 'what',
        effective_from: iso(record.from),
        effective_to: iso(record.to),
        source: record.source,
        record_id: record.id,
        // Consents spell addresses as they like.
        ...(i !== undefined && { namespace: 'email', value: ` ${address(person, i).toUpperCase()}` }),
      });
      world.write(
        CUSTOMERS,
        all.map((_, i) => ({ customer_id: String(i), tier: 'gold', country: 'DE' })),
      );
      world.write(
        IDENTIFIERS,
        all.flatMap(({ about }, person) =>
          about.map((_, i) => ({ customer_id: String(person), namespace: 'email', value: address(person, i) })),
        ),
      );
      world.write(
        CONSENTS,
        all.flatMap(({ own, about }, person) => [
          ...own.map((record) => row(person, record)),
          ...about.flatMap((list, i) => list.map((record) => row(person, record, i))),
        ]),
      );
      const namespaces = withId ? ['external_id', 'email'] : ['email'];
      const taken = await world.snapshot({
        audience: gold,
        workspace: workspace([CUSTOMERS, IDENTIFIERS, CONSENTS], [gold], [policy]),
        tick: TICK,
        memberKeySecret: SECRET,
        moved: null,
        syncs: [{ index: 0, purpose: 'ads', namespaces, traits: [], salt: 'salt' }],
      });
      const rows = new Map(taken.map((one) => [one['member'], one]));
      const found = all.map((_, i) => {
        const member = createHash('sha256').update(`${SECRET}${i}`).digest('hex').slice(0, 32);
        const { withheld_0, identifiers_0, evidence_0 } = rows.get(member) ?? {};
        const sent = (identifiers_0 as string[]).filter((one) => one.startsWith('email'));
        return { withheld: withheld_0, sent, evidence: evidenceOf(String(evidence_0)) };
      });
      const wanted = all.map(({ own, about }, person) => {
        const decision = (more: readonly ConsentRecord[]) =>
          decide([...own, ...more], policy, { country: 'DE', region: null }, TICK);
        const whole = decision([]);
        const each = about.map((list) => decision(list));
        const spoken = about.map((list) => list.some(({ from }) => from !== null && from <= TICK));
        const some = each.some(({ allowed }) => allowed);
        const someRefused = each.some(({ allowed }, i) => spoken[i] && !allowed);
        const may = some || (whole.allowed && (withId || !someRefused));
        return {
          withheld: may ? null : 'no-consent',
          sent: each.flatMap(({ allowed }, i) => (allowed ? [`email\u001f${address(person, i)}`] : [])),
          // Else it is the record about an identifier, whose choice among several is tested by example.
          ...(may === whole.allowed && { evidence: whole.evidence }),
        };
      });
      expect(found.map((one, i) => (wanted[i] && 'evidence' in wanted[i] ? one : { ...one, evidence: undefined }))).toEqual(
        wanted.map((one) => ({ evidence: undefined, ...one })),
      );
    }),
    { numRuns: 20, endOnFailure: true },
  );
}, 120_000);
