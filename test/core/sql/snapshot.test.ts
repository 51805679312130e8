import { createHash } from 'node:crypto';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { USUAL_IDENTITY } from '../../../core/identity.ts';
import type { Audience, PurposePolicy, Table, Workspace } from '../../../core/model.ts';
import { evidenceOf } from '../../../core/evidence.ts';
import type { Row } from '../../../core/ports.ts';
import { LEDGER_COLUMNS } from '../../../core/sql/delta.ts';
import type { SnapshotSync } from '../../../core/sql/snapshot.ts';
import { column, table } from '../../warehouses/tables.ts';
import {
  audience,
  BOUND_CONSENTS,
  CHANGES,
  columnOf,
  CONSENTS,
  CUSTOMERS,
  ERASURES,
  EVENTS,
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

const SECRET = 'pepper';
const member = (id: string): string =>
  createHash('sha256')
    .update(SECRET + id)
    .digest('hex')
    .slice(0, 32);
const gold = audience('gold', is('tier', { op: 'eq', value: { type: 'string', value: 'gold' } }));
const people = (...ids: string[]) => ids.map((customer_id) => ({ customer_id, tier: 'gold', country: 'DE' }));
const granted = (...ids: string[]) =>
  ids.map((customer_id) => ({ customer_id, purpose: 'ads', status: 'granted', effective_from: '2026-01-01T00:00:00' }));
const sync = (more: Partial<SnapshotSync> = {}): SnapshotSync => ({
  index: 0,
  purpose: 'ads',
  namespaces: ['email', 'phone'],
  traits: [],
  salt: 'salt',
  ...more,
});
const TABLES = [CUSTOMERS, IDENTIFIERS, CONSENTS, ERASURES, CHANGES];

interface Take {
  readonly of?: Audience;
  readonly tables?: readonly Table[];
  readonly with?: Partial<Workspace>;
  readonly others?: readonly Audience[];
  readonly tick?: number;
}

/** Rows of a snapshot by customer id, for the ids that are asked for. */
async function take(
  syncs: readonly SnapshotSync[],
  { of = gold, tables = TABLES, others = [], with: more = {}, tick = TICK }: Take = {},
): Promise<(id: string) => Row | undefined> {
  const whole = { ...workspace(tables, [of, ...others]), ...more };
  const rows = await world.snapshot({
    audience: of,
    workspace: whole,
    moved: await world.moved(whole, tick, SECRET),
    tick,
    memberKeySecret: SECRET,
    syncs,
  });
  const byMember = new Map(rows.map((row) => [row['member'], row]));
  expect(byMember.size).toBe(rows.length);
  return (id) => byMember.get(member(id));
}
const entries = (...list: readonly (readonly [string, string])[]): string[] =>
  list.map(([namespace, value]) => `${namespace}\u001f${value}`);

beforeEach(() => {
  for (const of of [CUSTOMERS, EVENTS, IDENTIFIERS, CONSENTS, ERASURES, CHANGES]) world.write(of, []);
});

describe('a row of the snapshot', () => {
  it('names the member by a keyed hash, the country by its code, and nobody whom the rule does not match', async () => {
    world.write(CUSTOMERS, [
      ...people('a'),
      { customer_id: 'b', tier: 'gold', country: 'de' },
      { customer_id: 'c', tier: 'gold', country: 'Germany' },
      { customer_id: 'd', tier: 'silver' },
    ]);
    const row = await take([sync()]);
    expect(row('a')).toMatchObject({
      matched: true,
      holdout: false,
      country: 'DE',
      withheld_0: 'no-consent',
      identifiers_0: [],
      traits_0: [],
      consent_0: 'opt-in|DE|',
    });
    expect(row('b')).toMatchObject({ country: 'DE' });
    expect(row('c')).toMatchObject({ country: null, consent_0: 'opt-in||' });
    expect(row('d')).toBeUndefined();
  });

  it('has traits as canonical texts in the order of the sync', async () => {
    world.write(CUSTOMERS, [
      {
        customer_id: 'a',
        tier: 'gold',
        spent: 12.5,
        orders: '9007199254740993',
        staff: true,
        joined: '2026-02-03',
        last_order_at: '2026-02-03T04:05:06.789',
        seen_at: '2026-02-03T04:05:06+02:00',
      },
      { customer_id: 'b', tier: 'gold' },
    ]);
    const traits = ['spent', 'orders', 'staff', 'joined', 'last_order_at', 'seen_at', 'tier'].map((name) =>
      columnOf(CUSTOMERS, name),
    );
    const row = await take([sync({ traits })]);
    expect(row('a')?.['traits_0']).toEqual([
      '12.50',
      '9007199254740993',
      '1',
      '2026-02-03',
      '1770091506789',
      '1770084306000',
      'gold',
    ]);
    expect(row('b')?.['traits_0']).toEqual([null, null, null, null, null, null, 'gold']);
  });

  it('gives each sync its own columns', async () => {
    world.write(CUSTOMERS, people('a'));
    world.write(CONSENTS, granted('a'));
    world.write(IDENTIFIERS, [
      { customer_id: 'a', namespace: 'email', value: 'a@example.com' },
      { customer_id: 'a', namespace: 'phone', value: '+491' },
    ]);
    const row = await take(
      [
        sync(),
        sync({ index: 1, namespaces: ['external_id', 'phone', 'email'] }),
        sync({ index: 2, purpose: 'mail', namespaces: ['phone'] }),
      ],
      {
        with: { consent: { ...workspace([], []).consent, purposes: { ads: purpose('ads'), mail: purpose('mail') } } },
      },
    );
    expect(row('a')).toMatchObject({
      withheld_0: null,
      identifiers_0: entries(['email', 'a@example.com'], ['phone', '+491']),
      withheld_1: null,
      identifiers_1: entries(['external_id', 'a'], ['phone', '+491'], ['email', 'a@example.com']),
      withheld_2: 'no-consent',
      identifiers_2: entries(['phone', '+491']),
    });
  });
});

describe('the row hash', () => {
  const hash = async (syncs: SnapshotSync, day: () => void): Promise<unknown> => {
    day();
    return (await take([syncs]))('a')?.['hash_0'];
  };
  const usual = (): void => {
    world.write(CUSTOMERS, people('a'));
    world.write(CONSENTS, granted('a'));
    world.write(IDENTIFIERS, [{ customer_id: 'a', namespace: 'email', value: 'a@example.com' }]);
  };
  const tier = columnOf(CUSTOMERS, 'tier');

  it('is the same for the same row, on every day', async () => {
    const first = await hash(sync({ traits: [tier] }), usual);
    expect(first).toMatch(/^[0-9a-f]{16}$/);
    expect(await hash(sync({ traits: [tier] }), usual)).toBe(first);
  });

  it.each<readonly [string, SnapshotSync, () => void]>([
    [
      'an identifier',
      sync({ traits: [tier] }),
      () => {
        usual();
        world.write(IDENTIFIERS, [{ customer_id: 'a', namespace: 'email', value: 'b@example.com' }]);
      },
    ],
    ['a trait', sync({ traits: [tier, columnOf(CUSTOMERS, 'spent')] }), usual],
    [
      'the country, whose phone numbers are read otherwise',
      sync({ traits: [tier] }),
      () => {
        usual();
        world.write(CUSTOMERS, [{ customer_id: 'a', tier: 'gold', country: 'FR' }]);
      },
    ],
    ['the salt', sync({ traits: [tier], salt: 'other' }), usual],
  ])('changes with %s', async (_what, of, day) => {
    const first = await hash(sync({ traits: [tier] }), usual);
    expect(await hash(of, day)).not.toBe(first);
  });

  it('tells NULL from the empty text, and two traits from one', async () => {
    const traits = [columnOf(CUSTOMERS, 'state'), tier];
    const of = async (state: string | null) =>
      hash(sync({ traits }), () => world.write(CUSTOMERS, [{ customer_id: 'a', tier: 'gold', state }]));
    const hashes = [await of(null), await of(''), await of('-'), await of('4:gold')];
    expect(new Set(hashes).size).toBe(4);
  });
});

describe('identifiers', () => {
  it('are in the order of the sync, then verified, trust, last seen, first seen, value', async () => {
    world.write(CUSTOMERS, people('a'));
    const email = (value: string, more: object = {}) => ({ customer_id: 'a', namespace: 'email', value, ...more });
    world.write(IDENTIFIERS, [
      email('z'),
      email('y'),
      email('first seen', { first_seen: '2026-01-01T00:00:00' }),
      email('last seen early', { last_seen: '2025-01-01T00:00:00' }),
      email('last seen late', { last_seen: '2026-01-01T00:00:00' }),
      email('trusted', { trust: 5 }),
      email('verified false, trusted more', { verified: false, trust: 90 }),
      email('verified', { verified: true }),
      { customer_id: 'a', namespace: 'phone', value: '+491', verified: true },
      { customer_id: 'a', namespace: 'other', value: 'not asked for' },
      { customer_id: 'b', namespace: 'email', value: 'of somebody else' },
    ]);
    const row = await take([sync({ namespaces: ['phone', 'email'] })]);
    const order = [
      'verified',
      'verified false, trusted more',
      'trusted',
      'last seen late',
      'last seen early',
      'first seen',
      'y',
      'z',
    ];
    expect(row('a')?.['identifiers_0']).toEqual(entries(['phone', '+491'], ...order.map((value) => ['email', value] as const)));
  });

  it('are all there, in order, however many a person has', async () => {
    world.write(CUSTOMERS, people('a', 'b'));
    const values = Array.from({ length: 40 }, (_, i) => `${String(i).padStart(2, '0')}@example.com`);
    world.write(
      IDENTIFIERS,
      values.toReversed().map((value) => ({ customer_id: 'a', namespace: 'email', value })),
    );
    expect((await take([sync()]))('a')?.['identifiers_0']).toEqual(entries(...values.map((value) => ['email', value] as const)));
  });

  it('leave out NULL and what is nothing but white space of any kind', async () => {
    world.write(CUSTOMERS, people('a'));
    world.write(
      IDENTIFIERS,
      [null, '', ' ', '\t\n', '\u00a0\u3000\u2003', ' x '].map((value) => ({ customer_id: 'a', namespace: 'email', value })),
    );
    expect((await take([sync()]))('a')?.['identifiers_0']).toEqual(entries(['email', ' x ']));
  });

  it('come from columns of the customers too, after those of the tables', async () => {
    const customers = table('customers', 'customers', [
      ...CUSTOMERS.columns,
      column('mail', 'string', { namespace: 'email' }),
      column('mobile', 'string', { namespace: 'phone' }),
    ]);
    world.write(customers, [{ customer_id: 'a', tier: 'gold', mail: 'column@example.com', mobile: ' ' }]);
    world.write(IDENTIFIERS, [{ customer_id: 'a', namespace: 'email', value: 'table@example.com', trust: 1 }]);
    const both = await take([sync()], { tables: [customers, IDENTIFIERS, CONSENTS] });
    expect(both('a')?.['identifiers_0']).toEqual(entries(['email', 'table@example.com'], ['email', 'column@example.com']));
    const alone = await take([sync({ namespaces: ['external_id', 'email'] })], { tables: [customers, CONSENTS] });
    expect(alone('a')?.['identifiers_0']).toEqual(entries(['external_id', 'a'], ['email', 'column@example.com']));
  });
});

describe('withheld, by the first of the reasons that applies', () => {
  const staff = audience('staff', is('staff', { op: 'eq', value: { type: 'boolean', value: true } }));
  const of = audience('gold', gold.where!, { exclude: ['staff'] });

  it('erased, then excluded, then no consent', async () => {
    world.write(
      CUSTOMERS,
      people('sent', 'silent', 'excluded', 'erased', 'erased later').map((row) => ({
        ...row,
        staff: ['excluded', 'erased'].includes(row.customer_id),
      })),
    );
    world.write(CONSENTS, granted('sent', 'excluded', 'erased', 'erased later'));
    world.write(ERASURES, [
      { customer_id: 'erased', requested_at: '2026-06-01T06:00:00' },
      { customer_id: 'erased later', requested_at: '2026-06-01T06:00:01' },
    ]);
    const row = await take([sync()], { of, others: [staff] });
    expect(['sent', 'silent', 'excluded', 'erased', 'erased later'].map((id) => row(id)?.['withheld_0'])).toEqual([
      null,
      'no-consent',
      'excluded',
      'erased',
      null,
    ]);
  });

  it('law 1: nobody may be sent for a purpose that no policy knows', async () => {
    world.write(CUSTOMERS, people('a'));
    world.write(CONSENTS, [{ ...granted('a')[0]!, purpose: 'new' }]);
    expect((await take([sync({ purpose: 'new' })]))('a')?.['withheld_0']).toBe('no-consent');
    expect((await take([sync({ purpose: 'constructor' })]))('a')?.['withheld_0']).toBe('no-consent');
  });

  it('law 1: nobody may be sent while the workspace keeps no consents at all, not even under opt-out', async () => {
    world.write(CUSTOMERS, people('a'));
    const consent = { ...workspace([], []).consent, purposes: { ads: purpose('ads', { basis: 'opt-out' }) } };
    expect((await take([sync()], { with: { consent } }))('a')?.['withheld_0']).toBeNull();
    expect((await take([sync()], { tables: [CUSTOMERS, IDENTIFIERS], with: { consent } }))('a')?.['withheld_0']).toBe(
      'no-consent',
    );
  });

  it('counts words of the source only as the contract maps them', async () => {
    const mapped = { ...CONSENTS, statuses: { Y: 'granted', N: 'denied' } as const };
    world.write(CUSTOMERS, people('yes', 'no', 'granted'));
    world.write(
      CONSENTS,
      ['Y', 'N', 'granted'].map((status, i) => ({ ...granted(['yes', 'no', 'granted'][i]!)[0]!, status })),
    );
    const row = await take([sync()], { tables: [CUSTOMERS, IDENTIFIERS, mapped] });
    expect(['yes', 'no', 'granted'].map((id) => row(id)?.['withheld_0'])).toEqual([null, 'no-consent', 'no-consent']);
  });

  it('asks the law of the place where the person lives', async () => {
    world.write(CUSTOMERS, [
      { customer_id: 'us', tier: 'gold', country: 'US', state: 'NV' },
      { customer_id: 'ca', tier: 'gold', country: 'US', state: 'CA' },
      { customer_id: 'de', tier: 'gold', country: 'DE' },
      { customer_id: 'nowhere', tier: 'gold', country: 'XX' },
    ]);
    const consent = {
      ...workspace([], []).consent,
      purposes: { ads: purpose('ads', { basis: 'opt-out', jurisdictions: { DE: 'opt-in', 'US-CA': 'opt-in' } }) },
    };
    const row = await take([sync()], { with: { consent } });
    expect(['us', 'ca', 'de', 'nowhere'].map((id) => [row(id)?.['withheld_0'], row(id)?.['consent_0']])).toEqual([
      [null, 'opt-out|US|'],
      ['no-consent', 'opt-in|US-CA|'],
      ['no-consent', 'opt-in|DE|'],
      ['no-consent', 'opt-in||'],
    ]);
  });
});

describe('consents about one identifier', () => {
  const tables = [CUSTOMERS, IDENTIFIERS, BOUND_CONSENTS];
  const about = (
    customer_id: string,
    status: string,
    namespace: string,
    value: string,
    effective_from = '2026-02-01T00:00:00',
  ) => ({ customer_id, purpose: 'ads', status, effective_from, namespace, value });
  const both = (id: string) => [
    { customer_id: id, namespace: 'email', value: `${id}@example.com` },
    { customer_id: id, namespace: 'phone', value: '+491' },
  ];

  it('a refusal takes the identifier away and leaves the others', async () => {
    world.write(CUSTOMERS, people('a'));
    world.write(IDENTIFIERS, both('a'));
    world.write(BOUND_CONSENTS, [...granted('a'), about('a', 'withdrawn', 'email', ' A@Example.com')]);
    expect((await take([sync()], { tables }))('a')).toMatchObject({
      withheld_0: null,
      identifiers_0: entries(['phone', '+491']),
    });
  });

  it('a grant lets the identifier go, alone, where the customer granted nothing', async () => {
    world.write(CUSTOMERS, people('a', 'b'));
    world.write(IDENTIFIERS, [...both('a'), ...both('b')]);
    world.write(BOUND_CONSENTS, [
      about('a', 'granted', 'email', 'a@example.com'),
      about('b', 'granted', 'email', 'a@example.com'),
    ]);
    const row = await take([sync()], { tables });
    expect(row('a')).toMatchObject({ withheld_0: null, identifiers_0: entries(['email', 'a@example.com']) });
    // The same address granted by another customer is not b's.
    expect(row('b')).toMatchObject({ withheld_0: 'no-consent' });
  });

  it('what the customer said last counts for every identifier', async () => {
    world.write(CUSTOMERS, people('a'));
    world.write(IDENTIFIERS, both('a'));
    world.write(BOUND_CONSENTS, [
      about('a', 'granted', 'email', 'a@example.com'),
      { customer_id: 'a', purpose: 'ads', status: 'withdrawn', effective_from: '2026-03-01T00:00:00' },
    ]);
    expect((await take([sync()], { tables }))('a')).toMatchObject({ withheld_0: 'no-consent' });
  });

  it('a person all of whose identifiers were refused one by one is withheld for want of consent', async () => {
    world.write(CUSTOMERS, people('a'));
    world.write(IDENTIFIERS, both('a'));
    world.write(BOUND_CONSENTS, [
      ...granted('a'),
      about('a', 'denied', 'email', 'a@example.com'),
      about('a', 'denied', 'phone', '+491'),
    ]);
    expect((await take([sync()], { tables }))('a')).toMatchObject({ withheld_0: 'no-consent', identifiers_0: [] });
  });

  it('hold past the first identifiers of a person who has many', async () => {
    world.write(CUSTOMERS, people('a'));
    const values = Array.from({ length: 12 }, (_, i) => `${String(i).padStart(2, '0')}@example.com`);
    world.write(
      IDENTIFIERS,
      values.map((value) => ({ customer_id: 'a', namespace: 'email', value })),
    );
    world.write(BOUND_CONSENTS, [
      ...granted('a'),
      about('a', 'denied', 'email', '01@example.com'),
      about('a', 'denied', 'email', '10@example.com'),
    ]);
    const kept = values.filter((value) => !/^(01|10)/.test(value));
    expect((await take([sync()], { tables }))('a')?.['identifiers_0']).toEqual(
      entries(...kept.map((value) => ['email', value] as const)),
    );
  });
});

describe('the grant a decision rests on', () => {
  const said = (customer_id: string, status: string, effective_from = '2026-01-01T00:00:00') => ({
    customer_id,
    purpose: 'ads',
    status,
    effective_from,
  });
  const grants = async (of: Partial<PurposePolicy>) => {
    world.write(CUSTOMERS, people('granted', 'confirmed', 'asked', 'nothing'));
    world.write(CONSENTS, [
      said('granted', 'granted'),
      said('confirmed', 'confirmed'),
      said('asked', 'pending'),
      said('asked', 'granted', '2026-02-01T00:00:00'),
    ]);
    const consent = { ...workspace([], []).consent, purposes: { ads: purpose('ads', of) } };
    const row = await take([sync()], { with: { consent } });
    return ['granted', 'confirmed', 'asked', 'nothing'].map((id) => String(row(id)?.['consent_0']).split('|')[2]);
  };

  it('is told with the decision, under whatever basis, and is none where people have only not refused', async () => {
    expect(await grants({})).toEqual(['granted', 'confirmed', 'granted', '']);
    expect(await grants({ basis: 'opt-out' })).toEqual(['granted', 'confirmed', 'granted', '']);
    expect(await grants({ basis: 'opt-out', expiresAfter: { amount: 10, unit: 'day' } })).toEqual(['', '', '', '']);
    expect(await grants({ doubleOptIn: true })).toEqual(['', 'confirmed', 'confirmed', '']);
  });
});

describe('what a decision rests on', () => {
  const NAMED = table('consents', 'consents', [
    ...BOUND_CONSENTS.columns,
    column('source', 'string'),
    column('record_id', 'integer'),
  ]);
  const said = (id: string, status: string, day: string, record_id: number | null, more: object = {}) => ({
    customer_id: id,
    purpose: 'ads',
    status,
    effective_from: `${day}T00:00:00`,
    source: 'centre',
    record_id,
    ...more,
  });
  const at = (day: string): number => Date.parse(`${day}T00:00:00Z`);
  const by = (
    reason: string,
    status: string | null,
    day: string | null,
    record: string | null,
    source: string | null = 'centre',
  ) => ({
    reason,
    status,
    began: day === null ? null : at(day),
    source,
    record,
  });
  const told = async (ids: readonly string[], tables: readonly Table[], more: Take = {}) => {
    const row = await take([sync()], { tables, ...more });
    return Object.fromEntries(ids.map((id) => [id, evidenceOf(row(id)?.['evidence_0'] as string)]));
  };

  it('is the record that decided, by the names the company gave it', async () => {
    world.write(CUSTOMERS, people('a', 'b', 'c', 'd', 'e', 'f'));
    world.write(NAMED, [
      said('a', 'granted', '2026-01-01', 1),
      said('a', 'granted', '2026-02-01', 2),
      said('b', 'granted', '2026-01-01', 3),
      said('b', 'withdrawn', '2026-01-01', 4),
      said('c', 'denied', '2026-01-01', 5),
      said('c', 'granted', '2026-02-01', 6, { effective_to: '2026-03-01T00:00:00' }),
      said('e', 'granted', '2026-01-01', 9),
      said('e', 'granted', '2026-01-01', 8),
      said('f', 'granted', '2026-01-01', null, { source: 'ann@example.com' }),
    ]);
    expect(await told(['a', 'b', 'c', 'd', 'e', 'f'], [CUSTOMERS, IDENTIFIERS, NAMED])).toEqual({
      a: by('granted', 'granted', '2026-02-01', '2'),
      b: by('withdrawn', 'withdrawn', '2026-01-01', '4'),
      c: by('denied', 'denied', '2026-01-01', '5'),
      d: by('no-record', null, null, null, null),
      e: by('granted', 'granted', '2026-01-01', '8'),
      f: by('granted', 'granted', '2026-01-01', null, null),
    });
  });

  it('is in no row hash: a new record of the same decision is no update', async () => {
    world.write(CUSTOMERS, people('a'));
    world.write(IDENTIFIERS, [{ customer_id: 'a', namespace: 'email', value: 'a@example.com' }]);
    const tables = [CUSTOMERS, IDENTIFIERS, NAMED];
    world.write(NAMED, [said('a', 'granted', '2026-01-01', 1)]);
    const before = (await take([sync()], { tables }))('a');
    world.write(NAMED, [said('a', 'granted', '2026-01-01', 1), said('a', 'granted', '2026-02-01', 2)]);
    const after = (await take([sync()], { tables }))('a');
    expect(after?.['hash_0']).toBe(before?.['hash_0']);
    expect(after?.['evidence_0']).not.toBe(before?.['evidence_0']);
  });

  it('says reason, status and start where the table names neither records nor sources, and why where there is no policy', async () => {
    world.write(CUSTOMERS, people('a'));
    world.write(CONSENTS, granted('a'));
    const row = await take([sync(), sync({ index: 1, purpose: 'other' })], { tables: [CUSTOMERS, IDENTIFIERS, CONSENTS] });
    expect(evidenceOf(row('a')?.['evidence_0'] as string)).toEqual(by('granted', 'granted', '2026-01-01', null, null));
    expect(evidenceOf(row('a')?.['evidence_1'] as string)).toEqual(by('no-policy', null, null, null, null));
    expect(await told(['a'], [CUSTOMERS, IDENTIFIERS])).toEqual({ a: by('no-record', null, null, null, null) });
  });

  it('is the record about an identifier where only that one lets the person go, or keeps them', async () => {
    world.write(CUSTOMERS, people('a', 'b', 'c'));
    const mail = (id: string) => ({ customer_id: id, namespace: 'email', value: `${id}@example.com` });
    const about = (id: string) => ({ namespace: 'email', value: `${id}@example.com` });
    world.write(IDENTIFIERS, ['a', 'b', 'c'].map(mail));
    world.write(NAMED, [
      said('a', 'granted', '2026-01-01', 1, about('a')),
      said('b', 'granted', '2026-01-01', 2),
      said('b', 'denied', '2026-02-01', 3, about('b')),
      said('c', 'withdrawn', '2026-02-01', 4),
      said('c', 'granted', '2026-01-01', 5, about('c')),
    ]);
    expect(await told(['a', 'b', 'c'], [CUSTOMERS, IDENTIFIERS, NAMED])).toEqual({
      a: by('granted', 'granted', '2026-01-01', '1'),
      b: by('denied', 'denied', '2026-02-01', '3'),
      c: by('withdrawn', 'withdrawn', '2026-02-01', '4'),
    });
  });

  it('names the record filed under an id that was merged away', async () => {
    world.write(CUSTOMERS, people('new'));
    world.write(CHANGES, [{ from_id: 'old', to_id: 'new', kind: 'merge', changed_at: '2026-01-01T00:00:00' }]);
    world.write(NAMED, [said('old', 'granted', '2026-01-01', 7)]);
    expect(await told(['new'], [CUSTOMERS, IDENTIFIERS, NAMED, CHANGES])).toEqual({
      new: by('granted', 'granted', '2026-01-01', '7'),
    });
  });
});

describe('merged ids', () => {
  const merge = (from_id: string, to_id: string, changed_at: string, kind = 'merge') => ({ from_id, to_id, kind, changed_at });

  it('consents and erasures filed under an id that was merged away count for the survivor, over chains of merges', async () => {
    world.write(CUSTOMERS, people('new', 'other', 'gone'));
    world.write(CHANGES, [
      merge('old', 'mid', '2026-01-01T00:00:00'),
      merge('mid', 'new', '2026-02-01T00:00:00'),
      merge('x', 'gone', '2026-02-01T00:00:00'),
    ]);
    world.write(CONSENTS, granted('old', 'gone'));
    world.write(ERASURES, [{ customer_id: 'x', requested_at: '2026-01-05T00:00:00' }]);
    const row = await take([sync()]);
    expect(['new', 'other', 'gone'].map((id) => row(id)?.['withheld_0'])).toEqual([null, 'no-consent', 'erased']);
  });

  it('whoever was merged away is nobody; only while the survivor has no row of their own theirs stands for it', async () => {
    world.write(CUSTOMERS, people('b', 'a', 'd', 'c', 'y', 'x'));
    world.write(CHANGES, [
      merge('a', 'b', '2026-01-01T00:00:00'),
      merge('c', 'e', '2026-01-01T00:00:00'),
      merge('d', 'e', '2026-01-01T00:00:00'),
      // On a circle of three nobody can be taken for anybody: none of them is sent.
      merge('x', 'y', '2026-01-01T00:00:00'),
      merge('y', 'z', '2026-01-02T00:00:00'),
      merge('z', 'x', '2026-01-03T00:00:00'),
    ]);
    world.write(CONSENTS, granted('a', 'c'));
    const row = await take([sync()]);
    expect(['a', 'b', 'c', 'd', 'e', 'x', 'y', 'z'].filter((id) => row(id) !== undefined)).toEqual(['b', 'e']);
    expect([row('b')?.['withheld_0'], row('e')?.['withheld_0']]).toEqual([null, null]);
  });

  it('identifiers of merged ids are the survivor’s, unless the policy says that they are not', async () => {
    world.write(CUSTOMERS, people('b'));
    world.write(CHANGES, [merge('a', 'b', '2026-01-01T00:00:00')]);
    world.write(CONSENTS, granted('b'));
    world.write(IDENTIFIERS, [
      { customer_id: 'a', namespace: 'email', value: 'a@example.com' },
      { customer_id: 'b', namespace: 'email', value: 'b@example.com' },
    ]);
    expect((await take([sync()]))('b')?.['identifiers_0']).toEqual(
      entries(['email', 'a@example.com'], ['email', 'b@example.com']),
    );
    const own = { identity: { ...USUAL_IDENTITY, survivorship: 'survivor' as const } };
    expect((await take([sync()], { with: own }))('b')?.['identifiers_0']).toEqual(entries(['email', 'b@example.com']));
    world.write(CUSTOMERS, people('a'));
    // Theirs is the row that stands for the survivor, so what is filed under it is the survivor's own.
    expect((await take([sync()], { with: own }))('b')?.['identifiers_0']).toEqual(
      entries(['email', 'a@example.com'], ['email', 'b@example.com']),
    );
  });

  it('a merge in the future, and one that a split has undone, do not count', async () => {
    world.write(CUSTOMERS, people('new', 'back', 'old'));
    world.write(CHANGES, [
      merge('old', 'new', '2026-06-01T06:00:01'),
      merge('a', 'back', '2026-01-01T00:00:00'),
      merge('back', 'a', '2026-02-01T00:00:00', 'split'),
    ]);
    world.write(CONSENTS, granted('old', 'a'));
    const row = await take([sync()]);
    expect(['new', 'back', 'old'].map((id) => row(id)?.['withheld_0'])).toEqual(['no-consent', 'no-consent', null]);
  });
});

describe('law 8: withdrawal is a removal in every mode', () => {
  it('shows who is in the ledger, matched no more and withheld; nobody else who is not matched', async () => {
    world.write(
      CUSTOMERS,
      ['stays', 'left', 'left and withdrew', 'withdrew'].map((customer_id) => ({
        customer_id,
        country: 'DE',
        tier: customer_id === 'stays' ? 'gold' : 'silver',
      })),
    );
    world.write(CONSENTS, [...granted('stays', 'left'), { ...granted('left and withdrew')[0]!, status: 'withdrawn' }]);
    const held = ['stays', 'left', 'left and withdrew', 'somebody whose row is gone']
      .map((id) => `SELECT '${member(id)}' AS member`)
      .join(' UNION ALL ');
    const files = await world.warehouse.materialize({ sql: held }, `${world.dir}/ledger`);
    const row = await take([sync(), sync({ index: 1, ledger: { files, columns: LEDGER_COLUMNS } })]);
    expect(row('stays')).toMatchObject({ matched: true, withheld_1: null });
    expect(row('left')).toBeUndefined();
    expect(row('left and withdrew')).toMatchObject({ matched: false, withheld_1: 'no-consent' });
    expect(row('withdrew')).toBeUndefined();
    expect(row('somebody whose row is gone')).toBeUndefined();
  });
});

describe('the holdout', () => {
  it('is the same people on every day, its share of the audience, and others for another audience', async () => {
    const ids = Array.from({ length: 4000 }, (_, i) => `c${i}`);
    world.write(CUSTOMERS, people(...ids));
    const held = async (name: string, tick = TICK): Promise<readonly string[]> => {
      const row = await take([sync()], { of: audience(name, gold.where!, { holdout: 5 }), tick });
      return ids.filter((id) => row(id)?.['holdout'] === true);
    };
    const first = await held('one');
    expect(first.length).toBeGreaterThan(150);
    expect(first.length).toBeLessThan(250);
    expect(await held('one', TICK + 86_400_000)).toEqual(first);
    const other = new Set(await held('two'));
    expect(first.filter((id) => other.has(id)).length).toBeLessThan(40);
    // Nor does being held out say anything of who is cut over first.
    const rolled = await take([sync({ rollout: 50 })], { of: audience('one', gold.where!, { holdout: 5 }), tick: TICK });
    const outside = first.filter((id) => rolled(id)?.['outside_0'] === true).length;
    expect(outside / first.length).toBeGreaterThan(0.38);
    expect(outside / first.length).toBeLessThan(0.62);
  });
});

it('asks the same of a rule over events, whose people are not looked up twice', async () => {
  const of = audience('buyers', { kind: 'event', table: EVENTS, measure: { kind: 'count', range: { gte: '1' } } });
  world.write(CUSTOMERS, people('a', 'b'));
  world.write(CONSENTS, granted('a'));
  world.write(EVENTS, [
    { customer_id: 'a', occurred_at: '2026-01-01T00:00:00', event_version: '1' },
    { customer_id: 'a', occurred_at: '2026-01-02T00:00:00', event_version: '1' },
  ]);
  world.write(IDENTIFIERS, [{ customer_id: 'a', namespace: 'email', value: 'a@example.com' }]);
  const row = await take([sync()], { of, tables: [...TABLES, EVENTS] });
  expect(row('a')).toMatchObject({ withheld_0: null, identifiers_0: entries(['email', 'a@example.com']) });
  expect(row('b')).toBeUndefined();
});
