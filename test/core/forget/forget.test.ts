import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Erasure } from '../../../core/forget/erasure.ts';
import {
  cancelErasure,
  continueForget,
  ErasureRefused,
  erasureOf,
  forget,
  registerErasure,
} from '../../../core/forget/forget.ts';
import { verifyReceipt } from '../../../core/forget/receipt.ts';
import { type ForgetRequest, parseOpenDsr, RequestRefused } from '../../../core/forget/request.ts';
import { sha256Hex } from '../../../core/identifiers.ts';
import { removeDemanded, orphans, retire, tendLedgers } from '../../../core/run/demanded.ts';
import { plan, rollback, status, sync } from '../../../core/run/operations.ts';
import { memberOf } from '../../../core/run/withdraw.ts';
import { type Day, makeWorld, type World } from '../run/world.ts';

const BUDGET = 'budget: { requests: 100000, per: second, concurrency: 2 }\n';
const HOOK = `connector: webhook\npurpose: mail\nsecret: hook\n${BUDGET}`;
const META = `connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n${BUDGET}`;
const T = Date.parse('2026-06-01T06:00:00Z');

let world: World;
afterEach(() => world.close());

const people = (...ids: string[]): Day['customers'] => ids.map((id) => ({ id, tier: 'gold', country: 'DE' }));
const granted = (...ids: string[]): NonNullable<Day['consents']> =>
  ids.flatMap((id) => ['mail', 'ads'].map((purpose) => ({ id, purpose, status: 'granted', from: '2026-01-01T00:00:00' })));
const mails = (of: Record<string, string>): NonNullable<Day['identifiers']> =>
  Object.entries(of).map(([id, value]) => ({ id, namespace: 'email', value }));
const hash = (address: string): string => `email:${sha256Hex(address)}`;

const both = () =>
  makeWorld({
    syncs: '  - { to: hook, mode: upsert }\n  - { to: meta, mode: mirror, identifiers: [email, phone] }',
    destinations: { hook: HOOK, meta: META },
  });
const request = (change: Partial<ForgetRequest>): ForgetRequest => ({
  id: 'r1',
  source: 'by-hand',
  submittedAt: T,
  customerIds: [],
  identities: [],
  allHolders: false,
  ...change,
});
const run = (at: number) => world.open((ops) => sync(ops, 'gold', { tick: at }));
const ask = (change: Partial<ForgetRequest>): Promise<Erasure> => world.open(({ ports }) => forget(ports, request(change)));
const states = (erasure: Erasure) =>
  Object.fromEntries(Object.entries(erasure.destinations).map(([name, { state }]) => [name, state]));

/** Every ledger row of every kept generation. */
const everHeld = () =>
  world.open(async ({ ports }) => {
    const rows: string[] = [];
    for (const name of await ports.store.pointers.syncs()) {
      for (const { members } of await ports.store.pointers.history(name)) {
        for (const row of await ports.warehouse.rows({
          sql: 'SELECT * FROM ledger',
          relations: { ledger: { files: members.files, columns: {} } },
        }))
          rows.push(JSON.stringify(row, (_key, value: unknown) => (typeof value === 'bigint' ? Number(value) : value)));
      }
    }
    return rows;
  });

const HOME: Day = {
  customers: people('a', 'b', 'c'),
  consents: granted('a', 'b', 'c'),
  identifiers: [
    ...mails({ a: 'home@x.example', b: 'home@x.example', c: 'c@x.example' }),
    { id: 'a', namespace: 'phone', value: '0151 23456701' },
  ],
};

describe('erasure', () => {
  it('goes to every destination that ever accepted the person, and cleans every kept generation, delta and snapshot', async () => {
    world = await both();
    world.write(HOME);
    await run(T);
    // A changed address, and a day on which they left the one audience: what was sent then counts all the same.
    world.write({ ...HOME, identifiers: mails({ a: 'new@x.example', b: 'home@x.example', c: 'c@x.example' }) });
    await run(T + 1);
    const erasure = await ask({ customerIds: ['a'] });
    expect(erasure).toMatchObject({
      status: 'completed',
      person: { customers: 1, members: [expect.any(String)] },
      cleaned: { generations: 3, runs: 4 },
    });
    expect(states(erasure)).toEqual({ hook: 'erased', meta: 'erased' });
    expect(world.held('webhook')).toEqual(new Set(['b', 'c']));
    expect(world.held('meta')).toEqual(new Set([hash('home@x.example'), hash('c@x.example')]));
    const member = await world.open(async ({ ports }) => memberOf(ports.memberKey, 'a'));
    expect((await everHeld()).filter((row) => row.includes(member) || row.includes(sha256Hex('new@x.example')))).toEqual([]);
    expect(readdirSync(join(world.dir, '.sluice', 'runs'))).toEqual([]);
    expect(readdirSync(join(world.dir, '.sluice', 'forget'))).toEqual([]);
    // And whoever stayed is still there, and nothing more is sent than what may have hung on the address that went.
    const next = await run(T + 2);
    expect(next.syncs.map(({ add, remove, withheld }) => [add, remove, withheld.erased])).toEqual([
      [0, 0, 1],
      [0, 0, 1],
    ]);
    expect(world.held('webhook')).toEqual(new Set(['b', 'c']));
    expect(world.held('meta')).toEqual(new Set([hash('home@x.example'), hash('c@x.example')]));
  });

  it('cannot be undone: not by the same id, not by a new one with the same identifier, not by an earlier generation', async () => {
    world = await both();
    world.write(HOME);
    await run(T);
    const before = await world.open(async ({ ports }) => (await ports.store.pointers.get('gold/meta'))?.generation ?? '');
    await ask({ customerIds: ['a'] });
    // d: the same address, spelled otherwise; e: the same phone, nationally; b held the address before.
    world.write({
      customers: people('a', 'b', 'c', 'd', 'e', 'f'),
      consents: granted('a', 'b', 'c', 'd', 'e', 'f'),
      identifiers: [
        ...mails({ a: 'home@x.example', b: 'home@x.example', c: 'c@x.example', d: ' HOME@x.example', f: 'f@x.example' }),
        { id: 'a', namespace: 'phone', value: '0151 23456701' },
        { id: 'e', namespace: 'phone', value: '+49 151 23456701' },
        { id: 'e', namespace: 'email', value: 'e@x.example' },
      ],
    });
    const report = await run(T + 1);
    expect(report.syncs.map(({ withheld }) => withheld.erased)).toEqual([3, 3]);
    expect(world.held('webhook')).toEqual(new Set(['b', 'c', 'f']));
    expect(world.held('meta')).toEqual(new Set([hash('home@x.example'), hash('c@x.example'), hash('f@x.example')]));
    await world.open((ops) => rollback(ops, 'gold', 'meta', before));
    await run(T + 2);
    expect(world.held('meta')).toEqual(new Set([hash('home@x.example'), hash('c@x.example'), hash('f@x.example')]));
  });

  it('finds the person by an identity, raw or hashed, and asks who is meant when several hold it', async () => {
    world = await both();
    world.write(HOME);
    await run(T);
    const shared = await ask({ id: 'r1', identities: [{ namespace: 'email', value: 'Home@x.example ', format: 'raw' }] });
    expect(shared).toMatchObject({
      status: 'pending',
      waits: { message: expect.stringMatching(/^2 customers hold an identity/) },
    });
    expect(world.held('webhook')).toEqual(new Set(['a', 'b', 'c']));
    const byPhone = await ask({
      id: 'r2',
      identities: [{ namespace: 'phone', value: sha256Hex('+4915123456701'), format: 'sha256' }],
    });
    // Stored nationally, so its hash alone cannot be found in the tables; what was sent to Meta has it.
    expect(byPhone).toMatchObject({ status: 'completed' });
    const byMail = await ask({
      id: 'r3',
      identities: [{ namespace: 'email', value: sha256Hex('c@x.example'), format: 'sha256' }],
    });
    expect(byMail).toMatchObject({ status: 'completed', person: { customers: 1 } });
    expect(world.held('webhook').has('c')).toBe(false);
    const all = await ask({
      id: 'r4',
      identities: [{ namespace: 'email', value: 'home@x.example', format: 'raw' }],
      allHolders: true,
    });
    expect(all).toMatchObject({ status: 'completed', person: { customers: 2 } });
    expect(world.held('webhook')).toEqual(new Set());
    expect(world.held('meta')).toEqual(new Set());
  });

  it('reaches a person whose rows are gone from every table, by what was sent', async () => {
    world = await both();
    world.write(HOME);
    await run(T);
    world.write({ customers: [], consents: [], identifiers: [] });
    const erasure = await ask({ identities: [{ namespace: 'email', value: 'c@x.example', format: 'raw' }] });
    expect(erasure).toMatchObject({ status: 'completed', person: { customers: 0, members: [expect.any(String)] } });
    expect(world.held('meta').has(hash('c@x.example'))).toBe(false);
    expect(world.held('webhook').has('c')).toBe(false);
  });

  it('takes the requests of the erasures table once each, and their tombstones outlive the rows', async () => {
    world = await both();
    world.write({
      ...HOME,
      erasures: [
        { id: 'a', at: '2026-05-01T00:00:00' },
        { id: 'z', at: '2027-05-01T00:00:00' },
      ],
    });
    await run(T);
    expect(world.held('webhook')).toEqual(new Set(['b', 'c']));
    const [erasure, ...others] = await world.open(({ ports }) => continueForget(ports, T));
    expect([erasure?.source, erasure?.status, others]).toEqual(['table', 'completed', []]);
    expect(await world.open(({ ports }) => continueForget(ports, T))).toEqual([]);
    world.write(HOME);
    await run(T + 1);
    expect(world.held('webhook')).toEqual(new Set(['b', 'c']));
  });

  it('is tried again where a destination is down, and says so until it is done', async () => {
    world = await both();
    world.write(HOME);
    await run(T);
    world.sandbox.platform('meta').faults({ kind: 'unauthorised' });
    const first = await ask({ customerIds: ['a'] });
    expect(first.status).toBe('in_progress');
    expect(states(first)).toEqual({ hook: 'erased', meta: 'failed' });
    expect(first.destinations['meta']?.failure?.wayOut).toMatch(/./);
    world.sandbox.platform('meta').faults();
    const [second] = await world.open(({ ports }) => continueForget(ports));
    expect(second).toMatchObject({ status: 'completed' });
    expect(states(second!)).toEqual({ hook: 'erased', meta: 'erased' });
    expect(world.held('meta')).toEqual(new Set([hash('home@x.example'), hash('c@x.example')]));
  });

  it('waits for a destination whose file is gone, and reaches a ledger whose audience is', async () => {
    world = await both();
    world.write(HOME);
    await run(T);
    rmSync(join(world.dir, 'audiences', 'gold.yaml'));
    const hook = join(world.dir, 'destinations', 'hook.yaml');
    rmSync(hook);
    const first = await ask({ customerIds: ['a'] });
    expect(states(first)).toEqual({ hook: 'unreachable', meta: 'erased' });
    expect(first.status).toBe('in_progress');
    world.file('destinations/hook.yaml', HOOK);
    const [second] = await world.open(({ ports }) => continueForget(ports));
    expect([second?.status, states(second!)]).toEqual(['completed', { hook: 'erased', meta: 'erased' }]);
    expect(world.held('webhook')).toEqual(new Set(['b', 'c']));
  });

  it('drops a plan that has the person in it, and keeps one that has not', async () => {
    world = await both();
    world.write({ ...HOME, customers: people('b', 'c') });
    const other = await world.open((ops) => plan(ops, 'gold', { tick: T }));
    world.write(HOME);
    const theirs = await world.open((ops) => plan(ops, 'gold', { tick: T }));
    await ask({ customerIds: ['a'] });
    const left = await world.open(async ({ ports }) => {
      const of = async (id: string) => (await ports.store.documents.get<{ state: string }>('run', id))?.state;
      return [await of(other.run), await of(theirs.run)];
    });
    expect(left).toEqual(['planned', 'rejected']);
  });

  it('cancels what is pending and nothing else', async () => {
    world = await both();
    world.write(HOME);
    await run(T);
    await world.open(({ ports }) => registerErasure(ports, request({ customerIds: ['a'] })));
    expect(await world.open(({ ports }) => cancelErasure(ports, 'r1'))).toMatchObject({ status: 'cancelled' });
    expect(await world.open(({ ports }) => continueForget(ports))).toEqual([]);
    expect(readdirSync(join(world.dir, '.sluice', 'forget'))).toEqual([]);
    await expect(world.open(({ ports }) => cancelErasure(ports, 'r1'))).rejects.toThrow(ErasureRefused);
    await expect(world.open(({ ports }) => erasureOf(ports, 'nobody'))).rejects.toThrow(ErasureRefused);
    expect(world.held('webhook')).toEqual(new Set(['a', 'b', 'c']));
  });

  it('signs a receipt that holds no personal data and is no longer sound when a letter is changed', async () => {
    world = await both();
    world.write(HOME);
    await run(T);
    const { receipt } = await ask({
      customerIds: ['a'],
      identities: [{ namespace: 'email', value: 'home@x.example', format: 'raw' }],
    });
    const text = JSON.stringify(receipt, null, 2);
    expect(receipt).toMatchObject({
      subject_request_id: 'r1',
      subject_request_type: 'erasure',
      request_status: 'completed',
      submitted_time: '2026-06-01T06:00:00.000Z',
      customers: 1,
      destinations: [
        { destination: 'hook', connector: 'webhook', result: 'erased', lists: 1 },
        { destination: 'meta', connector: 'meta', result: 'erased', answer: 'accepted', lists: 1 },
      ],
    });
    expect(text).not.toMatch(new RegExp(`home@|"a"|${sha256Hex('home@x.example')}`));
    const verdicts = await world.open(async ({ ports: { signer } }) => {
      if (signer === undefined) throw new Error('no signer');
      const altered = text.replace('"customers": 1', '"customers": 2');
      return [await verifyReceipt(text, signer), await verifyReceipt(altered, signer), await verifyReceipt('{}', signer)];
    });
    expect(verdicts).toEqual(['sound', 'altered', 'no-receipt']);
  });
});

describe('a ledger that no file speaks of any more', () => {
  it('is listed, loses who withdraws, and is emptied by retire', async () => {
    world = await both();
    world.write(HOME);
    await run(T);
    rmSync(join(world.dir, 'audiences', 'gold.yaml'));
    expect(await world.open(({ ports }) => orphans(ports))).toMatchObject([
      { sync: 'gold/hook', members: 3, reachable: true },
      { sync: 'gold/meta', members: 3, reachable: true },
    ]);
    const withdrawn = ['mail', 'ads'].map((purpose) => ({ id: 'c', purpose, status: 'withdrawn', from: '2026-05-01T00:00:00' }));
    world.write({ ...HOME, consents: [...granted('a', 'b', 'c'), ...withdrawn] });
    const { reports } = await world.open(({ ports }) => tendLedgers(ports, T + 1));
    expect(reports.map(({ syncs }) => syncs[0]?.removeReasons)).toEqual([{ 'no-consent': 1 }, { 'no-consent': 1 }]);
    expect(world.held('webhook')).toEqual(new Set(['a', 'b']));
    expect(world.held('meta').has(hash('c@x.example'))).toBe(false);
    await world.open(({ ports }) => retire(ports, 'gold', 'meta', T + 2));
    expect(world.held('meta')).toEqual(new Set());
    expect(await world.open(({ ports }) => orphans(ports))).toMatchObject([{ sync: 'gold/hook', members: 2 }]);
  });
});

describe('a sync that keeps who left the rule', () => {
  it('loses who withdrew, also when the customers table knows them no more', async () => {
    world = await both();
    world.write(HOME);
    await run(T);
    const withdrawn = [
      { id: 'c', purpose: 'mail', status: 'withdrawn', from: '2026-05-01T00:00:00' },
      { id: 'b', purpose: 'mail', status: 'withdrawn', from: '2026-04-01T00:00:00' },
      { id: 'b', purpose: 'mail', status: 'granted', from: '2026-04-02T00:00:00' },
      // What was granted after it has ended: the refusal, which is open, counts again.
      { id: 'c', purpose: 'mail', status: 'granted', from: '2026-05-02T00:00:00', to: '2026-05-03T00:00:00' },
    ];
    world.write({ ...HOME, customers: people('a'), consents: [...granted('a', 'b', 'c'), ...withdrawn] });
    await run(T + 1);
    expect(world.held('webhook')).toEqual(new Set(['a', 'b', 'c']));
    const { reports } = await world.open(({ ports }) => tendLedgers(ports, T + 2));
    expect(reports.map(({ syncs }) => syncs[0]?.removeReasons)).toEqual([{ 'no-consent': 1 }]);
    expect(world.held('webhook')).toEqual(new Set(['a', 'b']));
  });
});

describe('a run that is held', () => {
  it('lets go who refused all the same, and is decided anew without them', async () => {
    world = await makeWorld({
      syncs: '',
      destinations: { hook: HOOK },
      audience: `description: everybody with a gold card
owner: crm@example.com
where: { tier: gold }
schedule: manual
guardrails: { max_removed: { percent: 10, floor: 1 } }
syncs:
  - { to: hook, mode: mirror }
`,
    });
    const ten = Array.from({ length: 10 }, (_, i) => `p${i}`);
    world.write({ customers: people(...ten), consents: granted(...ten) });
    await run(T);
    // Three leave the rule, and two of them withdrew; one more withdrew.
    const refused = ['p0', 'p1', 'p3'].map((id) => ({ id, purpose: 'mail', status: 'withdrawn', from: '2026-05-01T00:00:00' }));
    const rest = ten.slice(3);
    world.write({
      customers: [...people(...rest), ...['p0', 'p1', 'p2'].map((id) => ({ id, tier: 'silver', country: 'DE' }))],
      consents: [...granted(...ten), ...refused],
    });
    const report = await run(T);
    expect(report).toMatchObject({ state: 'done', demanded: [{ syncs: [{ remove: 3 }] }], syncs: [{ remove: 1 }] });
    expect(world.held('webhook')).toEqual(new Set(ten.slice(4)));
    expect(await world.open((ops) => status(ops))).toMatchObject([{ members: 6, uncertain: 0 }]);
    expect(
      await world.open(({ ports }) => removeDemanded(ports, { sync: 'gold/hook', audience: 'gold', destination: 'hook' }, T)),
    ).toBeUndefined();
  });
});

describe('a request in OpenDSR form', () => {
  it('is read, and everything wrong with it is told at once without a value', () => {
    const sound = {
      subject_request_id: 'a7551968-d5d6-44b2-9831-815ac9017798',
      subject_request_type: 'erasure',
      submitted_time: '2026-06-01T08:00:00+02:00',
      api_version: '1.0',
      subject_identities: [
        { identity_type: 'controller_customer_id', identity_value: 'C-1', identity_format: 'raw' },
        { identity_type: 'email', identity_value: 'joe@x.example', identity_format: 'raw' },
        { identity_type: 'ios_advertising_id', identity_value: 'A'.repeat(64), identity_format: 'sha256' },
      ],
      extensions: { sluice: { all_holders: true } },
    };
    expect(parseOpenDsr(JSON.stringify(sound))).toEqual({
      id: sound.subject_request_id,
      source: 'opendsr',
      submittedAt: T,
      customerIds: ['C-1'],
      identities: [
        { namespace: 'email', value: 'joe@x.example', format: 'raw' },
        { namespace: 'maid', value: 'a'.repeat(64), format: 'sha256' },
      ],
      allHolders: true,
    });
    const broken = {
      ...sound,
      subject_request_type: 'access',
      submitted_time: 'secret@x.example',
      subject_identities: [{ identity_type: 'email', identity_value: 'secret@x.example', identity_format: 'md5' }],
    };
    expect(() => parseOpenDsr(JSON.stringify(broken))).toThrow(
      new RequestRefused([
        'subject_request_type must be "erasure"; no other type is served here.',
        'submitted_time must be an RFC 3339 time, such as 2026-11-22T06:00:00Z.',
        'subject_identities[0].identity_format must be raw or sha256; sha1 and md5 are not taken, because too much answers to them.',
      ]),
    );
    expect(() => parseOpenDsr('secret@x.example')).toThrow(new RequestRefused(['It is not JSON.']));
  });
});
