import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { approve, plan, sync } from '../../../core/run/operations.ts';
import { liftWithdrawal, memberOf, withdraw } from '../../../core/run/withdraw.ts';
import type { Clock } from '../../../core/ports.ts';
import { systemClock } from '../../../stores/system-clock.ts';
import { type Day, makeWorld, type World } from './world.ts';

const HOOK = 'connector: webhook\npurpose: mail\nsecret: hook\nbudget: { requests: 100000, per: second, concurrency: 1 }\n';
const T = Date.parse('2026-06-01T06:00:00Z');
/** Three requests of 500. */
const MANY = Array.from({ length: 1_500 }, (_, i) => `p${i}`);

let world: World;
afterEach(() => world.close());

const people = (ids: readonly string[]): Day['customers'] => ids.map((id) => ({ id, tier: 'gold', country: 'DE' }));
const granted = (ids: readonly string[]): NonNullable<Day['consents']> =>
  ids.map((id) => ({ id, purpose: 'mail', status: 'granted', from: '2026-01-01T00:00:00' }));
const hook = (bound = false) => makeWorld({ syncs: '  - { to: hook, mode: mirror }', destinations: { hook: HOOK }, bound });
const stops = () => world.open(async ({ ports }) => (await ports.store.stops.since(null)).entries);

/** Resolves when the stand-in has answered `n` requests that bring people. */
async function answered(n: number): Promise<void> {
  while (world.held('webhook').size < n * 500) await sleep(10);
}

describe('law 8: the stop list', () => {
  it('reaches a delivery that another process is running, and the next run removes whom it had sent already', async () => {
    world = await hook();
    world.write({ customers: people(MANY), consents: granted(MANY) });
    world.sandbox.platform('webhook').faults({ kind: 'slow', ms: 1_500 });
    const running = world.open((ops) => sync(ops, 'gold', { tick: T }));
    await answered(1);
    const [early] = [...world.held('webhook')];
    // All who were not sent yet, and one who was.
    const late = MANY.filter((id) => !world.held('webhook').has(id)).slice(0, 990);
    const entries = await world.open(({ ports }) => withdraw(ports, [early ?? '', ...late], ['mail'], T + 1));
    expect(entries).toHaveLength(991);
    const report = await running;
    world.sandbox.platform('webhook').faults();
    const sent = late.filter((id) => world.held('webhook').has(id));
    // The request that was on its way when the entries came may carry some; the ones after it carry none.
    expect(sent.length).toBeLessThanOrEqual(500);
    const refused = late.length - sent.length;
    expect(refused).toBeGreaterThanOrEqual(490);
    expect(report.syncs[0]).toMatchObject({
      add: 1_500,
      outcomes: { delivered: 1_500 - refused, rejected: refused },
      rejections: [{ reason: 'no-consent', count: refused }],
      members: 1_500 - refused,
    });
    const next = await world.open((ops) => sync(ops, 'gold', { tick: T + 2 }));
    expect(next.syncs[0]).toMatchObject({
      add: 0,
      remove: sent.length + 1,
      removeReasons: { 'no-consent': sent.length + 1 },
      withheld: { 'no-consent': 991 },
      unchanged: 509,
    });
    expect(world.held('webhook').size).toBe(509);
    expect([early, ...late].filter((id) => world.held('webhook').has(id ?? ''))).toEqual([]);
  });

  it('holds until the consents table has a record that began then or later, and no longer: it remains the source of truth', async () => {
    world = await hook();
    const base = granted(['a', 'b']);
    const run = async (at: number, consents: NonNullable<Day['consents']>) => {
      world.write({ customers: people(['a', 'b']), consents });
      await world.open((ops) => sync(ops, 'gold', { tick: at }));
      return [[...world.held('webhook')].sort((a, b) => a.localeCompare(b)), (await stops()).length];
    };
    expect(await run(T, base)).toEqual([['a', 'b'], 0]);
    await world.open(({ ports }) => withdraw(ports, ['b'], ['mail', 'ads'], Date.parse('2026-06-01T07:00:00Z')));
    const later = T + 3 * 3_600_000;
    // Nothing in the table yet; an older record that comes late; one for another purpose.
    expect(await run(later, base)).toEqual([['a'], 2]);
    const older = [...base, { id: 'b', purpose: 'mail', status: 'granted', from: '2026-06-01T06:30:00' }];
    expect(await run(later, older)).toEqual([['a'], 2]);
    const other = [...older, { id: 'b', purpose: 'ads', status: 'granted', from: '2026-06-01T08:00:00' }];
    expect(await run(later, other)).toEqual([['a'], 1]);
    // The table caught up: it says no by itself.
    const told = [...other, { id: 'b', purpose: 'mail', status: 'withdrawn', from: '2026-06-01T07:00:00' }];
    expect(await run(later, told)).toEqual([['a'], 0]);
    // And it may say yes again.
    const back = [...told, { id: 'b', purpose: 'mail', status: 'granted', from: '2026-06-01T08:30:00' }];
    expect(await run(later, back)).toEqual([['a', 'b'], 0]);
  });

  it('is not lifted by a record of the future, and can be taken back by hand', async () => {
    world = await hook();
    const now = Date.now();
    const future = new Date(now + 86_400_000).toISOString().slice(0, 19);
    world.write({
      customers: people(['a']),
      consents: [...granted(['a']), { id: 'a', purpose: 'mail', status: 'granted', from: future }],
    });
    await world.open(({ ports }) => withdraw(ports, ['a'], ['mail'], now));
    const report = await world.open((ops) => sync(ops, 'gold', { tick: now + 2 * 86_400_000 }));
    expect(report.syncs[0]).toMatchObject({ add: 0, withheld: { 'no-consent': 1 } });
    expect(await world.open(({ ports }) => liftWithdrawal(ports, ['a'], ['mail', 'ads']))).toBe(1);
    await world.open((ops) => sync(ops, 'gold', { tick: now }));
    expect(world.held('webhook')).toEqual(new Set(['a']));
  });

  it('keeps keyed hashes only, the ones the snapshot computes', async () => {
    world = await hook();
    world.write({ customers: people(['Zoë-1']), consents: granted(['Zoë-1']) });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    const [row, key] = await world.open(async ({ ports }) => {
      const pointer = await ports.store.pointers.get('gold/hook');
      if (pointer === null) throw new Error('no ledger');
      const [first] = await ports.warehouse.rows({
        sql: 'SELECT member FROM ledger',
        relations: { ledger: { files: pointer.members.files, columns: {} } },
      });
      return [first, memberOf(ports.memberKey, 'Zoë-1')];
    });
    expect(row).toEqual({ member: key });
  });
});

describe('law 8: a delivery that takes long', () => {
  /** The machine's clock, and minutes that pass at once: as many as the platform takes for a clock that is off. */
  let ahead = 0;
  const clock: Clock = { ...systemClock, now: () => Date.now() + ahead };
  beforeEach(() => {
    ahead = -2.9 * 60_000;
  });

  it.each([
    ['', false],
    [', where decisions are kept beside a snapshot too', true],
  ])(
    'asks the consents again between its turns, and stops sending who withdrew or was erased meanwhile%s',
    {
      timeout: 60_000,
    },
    async (_, bound) => {
      world = await hook(bound);
      world.write({ customers: people(MANY), consents: granted(MANY) });
      world.sandbox.platform('webhook').faults({ kind: 'slow', ms: 1_000 });
      const tick = Date.now();
      const running = world.open((ops) => sync(ops, 'gold', { tick }), clock);
      await answered(1);
      const rest = MANY.filter((id) => !world.held('webhook').has(id));
      const from = new Date(tick + 1_000).toISOString().slice(0, 23);
      const [withdrew, erased] = [rest.slice(0, 900), rest.slice(900, 950)];
      world.write({
        customers: people(MANY),
        consents: [...granted(MANY), ...withdrew.map((id) => ({ id, purpose: 'mail', status: 'withdrawn', from }))],
        erasures: erased.map((id) => ({ id, at: from })),
      });
      ahead = 2.9 * 60_000;
      const report = await running;
      world.sandbox.platform('webhook').faults();
      // At most the request that was on its way carries some of them.
      const leaked = [...withdrew, ...erased].filter((id) => world.held('webhook').has(id));
      expect(leaked.length).toBeLessThanOrEqual(500);
      expect(report.syncs[0]?.outcomes?.rejected).toBe(950 - leaked.length);
      expect(report.syncs[0]?.outcomes?.rejected).toBeGreaterThanOrEqual(450);
      await world.open((ops) => sync(ops, 'gold', { tick: tick + 600_000 }), clock);
      expect(world.held('webhook').size).toBe(550);
      // What the tables say by themselves is not kept in the list.
      expect((await stops()).filter(({ why, purpose }) => why === 'no-consent' && purpose === 'mail').length).toBeLessThanOrEqual(
        50,
      );
    },
  );

  it('a table that is being loaded, with nobody in it for a moment, stops nobody', { timeout: 60_000 }, async () => {
    world = await hook();
    world.write({ customers: people(MANY), consents: granted(MANY) });
    world.sandbox.platform('webhook').faults({ kind: 'slow', ms: 700 });
    const running = world.open((ops) => sync(ops, 'gold', { tick: Date.now() }), clock);
    await answered(1);
    world.write({ customers: people(MANY), consents: [] });
    ahead = 2.9 * 60_000;
    const report = await running;
    expect(report.syncs[0]?.outcomes).toEqual({ delivered: 1_500, accepted: 0, rejected: 0, retry: 0 });
    expect(await stops()).toEqual([]);
  });
});

describe('guardrails', () => {
  const guarded = () =>
    makeWorld({
      syncs: '',
      destinations: { hook: HOOK },
      audience: `description: everybody with a gold card
owner: crm@example.com
where: { tier: gold }
schedule: manual
guardrails: { max_removed: { percent: 10, floor: 2 } }
syncs:
  - { to: hook, mode: mirror }
`,
    });
  const TEN = MANY.slice(0, 10);

  it('do not hold a mass withdrawal: who refused goes, however many they are', async () => {
    world = await guarded();
    world.write({ customers: people(TEN), consents: granted(TEN) });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    const withdrawn = TEN.slice(0, 6).map((id) => ({ id, purpose: 'mail', status: 'withdrawn', from: '2026-05-01T00:00:00' }));
    const erasures = [{ id: 'p6', at: '2026-05-02T00:00:00' }];
    world.write({ customers: people(TEN), consents: [...granted(TEN), ...withdrawn], erasures });
    const planned = await world.open((ops) => plan(ops, 'gold', { tick: T }));
    expect(planned).toMatchObject({ state: 'planned', syncs: [{ remove: 7, removeReasons: { 'no-consent': 6, erased: 1 } }] });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(world.held('webhook')).toEqual(new Set(['p7', 'p8', 'p9']));
  });

  it('hold the first change after a destination got another purpose, because refusals of the old one are not found under it', async () => {
    world = await guarded();
    world.write({ customers: people(TEN), consents: granted(TEN) });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    world.file('destinations/hook.yaml', HOOK.replace('purpose: mail', 'purpose: ads'));
    const more = [...TEN, 'new'];
    const both = [...granted(more), ...granted(more).map((one) => ({ ...one, purpose: 'ads' }))];
    world.write({ customers: people(more), consents: both });
    const held = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(held.held).toMatch(/^10 members of "gold" were sent to hook for the purpose "mail"; it now has "ads"\./);
    expect((await world.open((ops) => approve(ops, held.run))).state).toBe('done');
    world.write({ customers: people(more.slice(1)), consents: both });
    expect((await world.open((ops) => sync(ops, 'gold', { tick: T }))).state).toBe('done');
    expect(world.held('webhook')).toEqual(new Set(more.slice(1)));
  });

  it('hold a consents table that lost its records, and one whose words nobody knows', async () => {
    world = await guarded();
    world.write({ customers: people(TEN), consents: granted(TEN) });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    const states: unknown[] = [];
    for (const consents of [
      granted(TEN.slice(0, 4)),
      granted(TEN).map((one) => ({ ...one, status: 'GRANTED' })),
      granted(TEN).map((one) => ({ ...one, to: '2026-05-01T00:00:00' })),
    ]) {
      world.write({ customers: people(TEN), consents });
      states.push((await world.open((ops) => sync(ops, 'gold', { tick: T }))).state);
    }
    expect(states).toEqual(['held', 'held', 'held']);
    expect(world.held('webhook').size).toBe(10);
  });
});
