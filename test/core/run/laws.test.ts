import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { approve, plan, PlanRefused, reject, status, sync, syncPlan } from '../../../core/run/operations.ts';
import { evidenceOf } from '../../../core/evidence.ts';
import type { RunDocument } from '../../../core/run/ports.ts';
import { type Clock, type Pointer, PointerConflict } from '../../../core/ports.ts';
import { StalePlan } from '../../../core/run/deliver.ts';
import { holdLease, LeaseHeld } from '../../../core/run/lease.ts';
import { type Day, makeWorld, type World } from './world.ts';
import { systemClock } from '../../../stores/system-clock.ts';
import { sha256Hex } from '../../../core/identifiers.ts';

const WEBHOOK = 'connector: webhook\npurpose: mail\nsecret: hook\n';
const META = 'connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n';
const START = '2026-01-01T00:00:00';
const T = Date.parse('2026-06-01T06:00:00Z');
const NOBODY = { delivered: 0, accepted: 0, rejected: 0, retry: 0 };

let world: World;
afterEach(() => world.close());

const people = (...ids: string[]): Day['customers'] => ids.map((id) => ({ id, tier: 'gold', country: 'DE' }));
const granted = (purpose: string, ...ids: string[]): NonNullable<Day['consents']> =>
  ids.map((id) => ({ id, purpose, status: 'granted', from: START }));
const emailHash = (address: string): string => `email:${sha256Hex(address)}`;

describe('a mirror of members (webhook)', () => {
  const hook = (mode = 'mirror') =>
    makeWorld({ syncs: `  - { to: hook, mode: ${mode}, traits: { spent: spent } }`, destinations: { hook: WEBHOOK } });

  it('law 1: sends nobody without a granted consent, and says how many were withheld', async () => {
    world = await hook();
    world.write({
      customers: people('a', 'b', 'c', 'd'),
      consents: [...granted('mail', 'a'), ...granted('ads', 'b'), { id: 'c', purpose: 'mail', status: 'denied', from: START }],
    });
    const report = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(report).toMatchObject({ state: 'done', code: 0, matched: 4 });
    expect(report.syncs[0]).toMatchObject({ add: 1, withheld: { 'no-consent': 3 }, outcomes: { ...NOBODY, delivered: 1 } });
    expect(world.held('webhook')).toEqual(new Set(['a']));
  });

  it('carries what each decision rests on, and the version of the policy, to the commit: of those sent and of those removed', async () => {
    world = await hook();
    world.write({ customers: people('a', 'b'), consents: granted('mail', 'a', 'b') });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    const withdrawn: Day['consents'] = [{ id: 'b', purpose: 'mail', status: 'withdrawn', from: '2026-05-01T00:00:00' }];
    world.write({ customers: people('a', 'b', 'c'), consents: [...granted('mail', 'a', 'b', 'c'), ...withdrawn] });
    const carried = await world.open(async (ops) => {
      const { run } = await sync(ops, 'gold', { tick: T });
      const { store, workspace } = ops.ports;
      const plan = (await store.documents.get<RunDocument>('run', run))?.plans[0];
      const lines: unknown[] = [];
      for (const shard of [...(plan?.removeShards ?? []), ...(plan?.upsertShards ?? [])])
        for await (const line of store.files.lines(shard.key)) lines.push(evidenceOf((JSON.parse(line) as { e?: string }).e));
      return { lines, policy: plan?.policy === workspace.consent.version };
    });
    const names = { source: null, record: null };
    expect(carried).toEqual({
      lines: [
        { reason: 'withdrawn', status: 'withdrawn', began: Date.parse('2026-05-01T00:00:00Z'), ...names },
        { reason: 'granted', status: 'granted', began: Date.parse(`${START}Z`), ...names },
      ],
      policy: true,
    });
  });

  it('law 13: makes no request when nothing changed', async () => {
    world = await hook();
    world.write({ customers: people('a', 'b'), consents: granted('mail', 'a', 'b') });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    const before = world.sandbox.platform('webhook').requests().length;
    const report = await world.open((ops) => sync(ops, 'gold', { tick: T + 1000 }));
    expect(report.syncs[0]).toMatchObject({ add: 0, update: 0, remove: 0, unchanged: 2, requests: 0 });
    expect(world.sandbox.platform('webhook').requests().length).toBe(before);
  });

  it('sends a changed trait as an update, and only that', async () => {
    world = await hook();
    const consents = granted('mail', 'a', 'b');
    world.write({ customers: people('a', 'b'), consents });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    world.write({ customers: [...people('a'), { id: 'b', tier: 'gold', country: 'DE', spent: 12.5 }], consents });
    const report = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(report.syncs[0]).toMatchObject({ add: 0, update: 1, remove: 0, unchanged: 1 });
  });

  it('law 4: removes a person whose row, identifiers and consents are gone', async () => {
    world = await hook();
    world.write({ customers: people('a', 'b'), consents: granted('mail', 'a', 'b') });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    world.write({ customers: people('a'), consents: granted('mail', 'a') });
    const report = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(report.syncs[0]).toMatchObject({ remove: 1, removeReasons: { left: 1 }, unchanged: 1 });
    expect(world.held('webhook')).toEqual(new Set(['a']));
  });

  it('law 8: removes who withdrew, from a mirror and from an upsert sync alike, also when the rule matches them no more', async () => {
    const ends: unknown[] = [];
    for (const mode of ['mirror', 'upsert', 'add-only']) {
      world = await hook(mode);
      world.write({ customers: people('a', 'b', 'c'), consents: granted('mail', 'a', 'b', 'c') });
      await world.open((ops) => sync(ops, 'gold', { tick: T }));
      const withdrawn = [
        ...granted('mail', 'a', 'b', 'c'),
        { id: 'b', purpose: 'mail', status: 'withdrawn', from: '2026-05-01T00:00:00' },
      ];
      world.write({ customers: [...people('a', 'c'), { id: 'b', tier: 'silver', country: 'DE' }], consents: withdrawn });
      const report = await world.open((ops) => sync(ops, 'gold', { tick: T }));
      ends.push([
        mode,
        report.syncs[0]?.remove,
        report.syncs[0]?.unchanged,
        [...world.held('webhook')].sort((a, b) => a.localeCompare(b)),
      ]);
      if (mode !== 'add-only') await world.close();
    }
    expect(ends).toEqual(['mirror', 'upsert', 'add-only'].map((mode) => [mode, 1, 2, ['a', 'c']]));
  });

  it('keeps who left the rule in an upsert sync, and removes the erased', async () => {
    world = await hook('upsert');
    world.write({ customers: people('a', 'b', 'c'), consents: granted('mail', 'a', 'b', 'c') });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    world.write({
      customers: [...people('a', 'c'), { id: 'b', tier: 'silver', country: 'DE' }],
      consents: granted('mail', 'a', 'b', 'c'),
      erasures: [{ id: 'c', at: '2026-05-02T00:00:00' }],
    });
    const report = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(report.syncs[0]).toMatchObject({ add: 0, update: 0, remove: 1, unchanged: 1, withheld: { erased: 1 } });
    expect(world.held('webhook')).toEqual(new Set(['a', 'b']));
  });

  it('law 2: parks a row that is rejected three times running, and sends it again when its payload changes', async () => {
    world = await hook();
    const consents = granted('mail', 'a', 'b');
    world.write({ customers: people('a', 'b'), consents });
    world.sandbox.platform('webhook').faults({ kind: 'refuse-rows', rows: 2 });
    const seen: unknown[] = [];
    for (let i = 0; i < 4; i++) {
      const report = await world.open((ops) => sync(ops, 'gold', { tick: T }));
      seen.push([report.syncs[0]?.add, report.syncs[0]?.outcomes?.rejected, report.syncs[0]?.withheld.parked]);
      // The row refused first is alone from the second run on: every row of a request is refused then.
      world.sandbox.platform('webhook').faults({ kind: 'refuse-rows', rows: 1 });
    }
    expect(seen).toEqual([
      [2, 1, 0],
      [1, 1, 0],
      [1, 1, 0],
      [0, 0, 1],
    ]);
    world.sandbox.platform('webhook').faults();
    world.write({ customers: people('a', 'b').map((one) => ({ ...one, spent: 3 })), consents });
    const report = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(report.syncs[0]).toMatchObject({ add: 1, update: 1, outcomes: { ...NOBODY, delivered: 2 }, withheld: { parked: 0 } });
    expect(world.held('webhook')).toEqual(new Set(['a', 'b']));
  });

  it('law 11: sends exactly the plan that was reviewed, or nothing', async () => {
    world = await hook();
    const consents = granted('mail', 'a', 'b');
    world.write({ customers: people('a'), consents });
    const first = await world.open((ops) => plan(ops, 'gold', { tick: T }));
    expect(world.sandbox.platform('webhook').requests()).toEqual([]);
    world.write({ customers: people('a', 'b'), consents });
    const sent = await world.open((ops) => syncPlan(ops, first.run));
    expect(sent).toMatchObject({ state: 'done', syncs: [{ add: 1 }] });
    expect(world.held('webhook')).toEqual(new Set(['a']));
    await expect(world.open((ops) => syncPlan(ops, first.run))).rejects.toThrow(PlanRefused);

    const second = await world.open((ops) => plan(ops, 'gold', { tick: T }));
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    await expect(world.open((ops) => syncPlan(ops, second.run))).rejects.toThrow(StalePlan);
  });

  it('law 5: removes only whom it added: a person that somebody else put into the list stays', async () => {
    world = await hook();
    world.write({ customers: people('a', 'b'), consents: granted('mail', 'a', 'b') });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    world.sandbox
      .platform('webhook')
      .state<{ lists: Map<string, Map<string, unknown>> }>()
      .lists.get('gold')
      ?.set('stranger', {});
    world.write({ customers: people('b'), consents: granted('mail', 'b') });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(world.held('webhook')).toEqual(new Set(['b', 'stranger']));
  });

  it('law 7: keeps the lease through a wait that ends at a fraction of a millisecond', async () => {
    world = await hook();
    await world.open(async ({ ports }) => {
      const lease = await holdLease(ports, 'run', 'gold', 'hook');
      await lease.keepUntil(ports.clock.now() + 3_600_000.25);
      await expect(holdLease(ports, 'other', 'gold', 'hook')).rejects.toThrow(LeaseHeld);
    });
  });

  it('law 7: a worker that comes late cannot move the pointer', async () => {
    world = await hook();
    world.write({ customers: people('a'), consents: granted('mail', 'a') });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    await world.open(async ({ ports }) => {
      const { pointers, leases } = ports.store;
      const pointer = (await pointers.get('gold/hook')) as Pointer;
      const late = await leases.acquire('gold/hook', 'late@elsewhere:1', 1);
      await ports.clock.sleep(5);
      await leases.acquire('gold/hook', 'next@elsewhere:2', 60_000);
      if (!('fence' in late)) throw new Error('the lease was not free');
      await expect(
        pointers.move('gold/hook', pointer.version, { ...pointer, version: pointer.version + 1, fence: late.fence }),
      ).rejects.toThrow(PointerConflict);
      expect(await pointers.get('gold/hook')).toEqual(pointer);
    });
  });

  it('keeps what must be sent for a week and not longer; the ledger stays', async () => {
    world = await hook();
    world.write({ customers: people('a'), consents: granted('mail', 'a') });
    const first = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    const files = (): string[] => readdirSync(join(world.dir, '.sluice', 'runs'));
    const later = (days: number): Clock => ({ ...systemClock, now: () => Date.now() + days * 86_400_000 });
    await world.open((ops) => sync(ops, 'gold', { tick: T }), later(6));
    expect(files()).toContain(first.run);
    const report = await world.open((ops) => sync(ops, 'gold', { tick: T }), later(8));
    expect(files()).not.toContain(first.run);
    expect(report.syncs[0]).toMatchObject({ unchanged: 1, requests: 0 });
  });

  it('does not send a plan with somebody in it who withdrew since', async () => {
    world = await hook();
    world.write({ customers: people('a', 'b'), consents: granted('mail', 'a', 'b') });
    const made = await world.open((ops) => plan(ops, 'gold', { tick: T }));
    world.write({
      customers: people('a', 'b'),
      consents: [...granted('mail', 'a', 'b'), { id: 'a', purpose: 'mail', status: 'withdrawn', from: '2026-06-01T07:00:00' }],
    });
    await expect(world.open((ops) => syncPlan(ops, made.run))).rejects.toThrow(
      /^1 member of plan .* may not be sent to hook any more/,
    );
    expect(world.held('webhook')).toEqual(new Set());
  });

  it('holds a collapsing audience until a person approves exactly that plan', async () => {
    world = await makeWorld({
      syncs: '',
      destinations: { hook: WEBHOOK },
      audience: `description: gold\nowner: crm@example.com\nwhere: { tier: gold }\nschedule: manual\nguardrails: { max_removed: { percent: 10, floor: 2 } }\nsyncs:\n  - { to: hook, mode: mirror }\n`,
    });
    const all = Array.from({ length: 20 }, (_, i) => `c${i}`);
    world.write({ customers: people(...all), consents: granted('mail', ...all) });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    world.write({ customers: people(...all.slice(0, 10)), consents: granted('mail', ...all) });
    const held = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(held).toMatchObject({ state: 'held', code: 3 });
    expect(held.held).toBe(
      `"gold" would remove 10 of 20 members (50.0 %) from hook; its limit is 10 % (never less than 2 members).\n` +
        `Nothing was sent. If this is right: sluice approve ${held.run}. If not: sluice reject ${held.run}.`,
    );
    expect(world.held('webhook').size).toBe(20);
    await expect(world.open((ops) => syncPlan(ops, held.run))).rejects.toThrow(PlanRefused);
    const approved = await world.open((ops) => approve(ops, held.run));
    expect(approved).toMatchObject({ state: 'done', syncs: [{ remove: 10 }] });
    expect(world.held('webhook').size).toBe(10);

    world.write({ customers: [], consents: granted('mail', ...all) });
    const empty = await world.open((ops) => plan(ops, 'gold', { tick: T }));
    expect(empty).toMatchObject({ state: 'held', code: 3 });
    if (empty.findings === undefined) await world.open((ops) => reject(ops, empty.run));
    expect(world.held('webhook').size).toBe(10);
  });

  it('keeps everything when the destination refuses the credentials, and says whose it is', async () => {
    world = await hook();
    world.write({ customers: people('a'), consents: granted('mail', 'a') });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    world.sandbox.platform('webhook').faults({ kind: 'unauthorised' });
    world.write({ customers: people('a', 'b'), consents: granted('mail', 'a', 'b') });
    const report = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(report).toMatchObject({ state: 'failed', code: 1 });
    expect(report.syncs[0]?.error?.wayOut).toContain('key');
    const [after] = await world.open((ops) => status(ops));
    expect(after).toMatchObject({ members: 1, uncertain: 0 });
    world.sandbox.platform('webhook').faults();
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(world.held('webhook')).toEqual(new Set(['a', 'b']));
  });
});

describe('a list of identifiers (meta)', () => {
  const ads = () =>
    makeWorld({ syncs: '  - { to: meta, mode: mirror, identifiers: [email, phone] }', destinations: { meta: META } });

  it('law 6: keeps the address of a household while one of it stays, and removes the changed one', async () => {
    world = await ads();
    const consents = granted('ads', 'a', 'b');
    const home = { namespace: 'email', value: ' Home@Example.com ' };
    world.write({
      customers: people('a', 'b'),
      consents,
      identifiers: [
        { id: 'a', ...home },
        { id: 'b', ...home },
        { id: 'a', namespace: 'email', value: 'a@example.com' },
      ],
    });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(world.held('meta')).toEqual(new Set([emailHash('home@example.com'), emailHash('a@example.com')]));

    world.write({ customers: people('b'), consents, identifiers: [{ id: 'b', ...home }] });
    const left = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(left.syncs[0]).toMatchObject({ remove: 1 });
    expect(world.held('meta')).toEqual(new Set([emailHash('home@example.com')]));

    world.write({ customers: people('b'), consents, identifiers: [{ id: 'b', namespace: 'email', value: 'new@example.com' }] });
    const changed = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(changed.syncs[0]).toMatchObject({ update: 1, remove: 0 });
    expect(world.held('meta')).toEqual(new Set([emailHash('new@example.com')]));
  });

  it('law 6: takes the address of a household out when one of it refuses, where the purpose says so, and puts it back when they grant', async () => {
    world = await makeWorld({ syncs: '  - { to: meta, mode: mirror, identifiers: [email] }', destinations: { meta: META } });
    world.file('policies/consent.yaml', 'purposes: { ads: { basis: opt-in, shared_identifiers: refuse } }\n');
    const identifiers = [
      { id: 'a', namespace: 'email', value: 'home@example.com' },
      { id: 'a', namespace: 'email', value: 'a@example.com' },
      { id: 'b', namespace: 'email', value: ' Home@Example.com ' },
    ];
    const all = [emailHash('home@example.com'), emailHash('a@example.com')];
    const held = async (consents: Day['consents'], tick: number) => {
      // Whoever refused need not be in the audience.
      world.write({
        customers: [...people('a'), { id: 'b', tier: 'silver', country: 'DE' }],
        consents: consents ?? [],
        identifiers,
      });
      const report = await world.open((ops) => sync(ops, 'gold', { tick }));
      expect(report).toMatchObject({ state: 'done' });
      return world.held('meta');
    };
    const refused = { id: 'b', purpose: 'ads', status: 'withdrawn', from: '2026-05-01T00:00:00' };
    expect(await held(granted('ads', 'a'), T)).toEqual(new Set(all));
    expect(await held([...granted('ads', 'a'), refused], T + 1)).toEqual(new Set([emailHash('a@example.com')]));
    const again = { ...refused, status: 'granted', from: '2026-05-02T00:00:00' };
    expect(await held([...granted('ads', 'a'), refused, again], T + 2)).toEqual(new Set(all));
  });

  it('law 14: counts who has no usable identifier as withheld, and nobody twice', async () => {
    world = await ads();
    world.write({
      customers: people('a', 'b', 'c'),
      consents: granted('ads', 'a', 'b'),
      identifiers: [
        { id: 'a', namespace: 'email', value: 'a@example.com' },
        { id: 'b', namespace: 'email', value: 'not an address' },
      ],
    });
    const report = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(report.syncs[0]).toMatchObject({
      add: 1,
      withheld: { 'no-identifier': 1, 'no-consent': 1 },
      outcomes: { ...NOBODY, accepted: 1 },
    });
  });
});
