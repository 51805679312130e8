import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { TryAgain } from '../../../core/connector.ts';
import { budgetedHttp, NoPermit, Permits } from '../../../core/delivery/permits.ts';
import type { BudgetWindow } from '../../../core/model.ts';
import type { Budgets, Clock } from '../../../core/ports.ts';
import { openLocalStore } from '../../../stores/local.ts';
import { bulk } from './platform.ts';
import { VirtualClock } from './virtual-clock.ts';
import { makeWorld } from './world.ts';

const endings: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end();
});

async function budgets(clock: Clock): Promise<Budgets> {
  const root = mkdtempSync(join(tmpdir(), 'sluice-budget-'));
  const store = await openLocalStore({ root, clock });
  endings.push(
    () => rmSync(root, { recursive: true, force: true }),
    () => store.close(),
  );
  return store.budgets;
}

const destination = (...windows: BudgetWindow[]) => ({ name: 'bulk-eu', budget: { windows, concurrency: 4 } });
/** The most permits in any stretch of a length. */
const densest = (times: readonly number[], ms: number): number => {
  const sorted = times.toSorted((a, b) => a - b);
  return Math.max(0, ...sorted.map((from) => sorted.filter((at) => at >= from && at < from + ms).length));
};

describe('permits', () => {
  it('of eight workers together never exceed the window, and use at least 95 % of it', async () => {
    const clock = new VirtualClock();
    const shared = await budgets(clock);
    const until = clock.now() + 10_000;
    const times: number[] = [];
    const worker = async (): Promise<void> => {
      const permits = new Permits(destination({ requests: 80, seconds: 1 }), shared, clock, () => until + 10_000);
      while (clock.now() < until) {
        await permits.take();
        times.push(clock.now());
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    expect(densest(times, 1_000)).toBeLessThanOrEqual(80);
    const used = times.filter((at) => at < until).length / (10 * 80);
    expect(used).toBeGreaterThanOrEqual(0.95);
  });

  it('are not leased beyond what slow answers leave time for: eight workers of four requests at once still use the budget', async () => {
    const clock = new VirtualClock();
    const shared = await budgets(clock);
    const until = clock.now() + 20_000;
    const times: number[] = [];
    const worker = async (): Promise<void> => {
      const permits = new Permits(destination({ requests: 60, seconds: 1 }), shared, clock, () => until + 10_000);
      const lane = async (): Promise<void> => {
        while (clock.now() < until) {
          await permits.take();
          times.push(clock.now());
          await clock.sleep(250 + 100 * clock.random());
        }
      };
      await Promise.all(Array.from({ length: 4 }, lane));
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    expect(densest(times, 1_000)).toBeLessThanOrEqual(60);
    // After five seconds in which the leases have found their size.
    const used = times.filter((at) => at >= until - 15_000 && at < until).length / (15 * 60);
    expect(used).toBeGreaterThanOrEqual(0.94);
  });

  it('that came too late are dropped, not caught up in a burst', async () => {
    const clock = new VirtualClock();
    const shared = await budgets(clock);
    let late = 0;
    // A machine that stalls: every tenth sleep takes 300 ms more.
    const stalling: Clock = {
      now: () => clock.now(),
      random: () => 0.5,
      sleep: (ms, signal) => clock.sleep(ms + (++late % 10 === 0 ? 300 : 0), signal),
    };
    const permits = new Permits(destination({ requests: 20, seconds: 1 }), shared, stalling, () => Number.MAX_SAFE_INTEGER);
    const times: number[] = [];
    for (let i = 0; i < 100; i++) {
      await permits.take();
      times.push(clock.now());
    }
    expect(densest(times, 1_000)).toBeLessThanOrEqual(20);
    const gaps = times.slice(1).map((at, i) => at - (times[i] ?? 0));
    // 52 ms apart; a permit is used up to 20 ms late, so the next may follow 32 ms after it.
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(31);
  });

  it('ask the store once for many: at most every quarter of a second', async () => {
    const clock = new VirtualClock();
    const shared = await budgets(clock);
    let asked = 0;
    const counting: Budgets = { ...shared, reserve: (...args) => shared.reserve(...args).finally(() => (asked += 1)) };
    const permits = new Permits(destination({ requests: 100, seconds: 1 }), counting, clock, () => Number.MAX_SAFE_INTEGER);
    const began = clock.now();
    await Promise.all(Array.from({ length: 400 }, () => permits.take()));
    const seconds = (clock.now() - began) / 1_000;
    expect(asked).toBeLessThanOrEqual(4 * seconds + 8);
  });

  it('that are later than the worker can wait are refused with their time', async () => {
    const clock = new VirtualClock();
    const shared = await budgets(clock);
    const began = clock.now();
    const permits = new Permits(destination({ requests: 2, seconds: 3_600 }), shared, clock, () => began + 60_000);
    await permits.take();
    await permits.take();
    const refused = await permits.take().catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(NoPermit);
    expect((refused as NoPermit).at).toBeGreaterThanOrEqual(began + 3_600_000);
    expect(clock.now() - began).toBeLessThan(60_000);
  });

  it('wait for a pause that another worker asked for while they slept', async () => {
    const clock = new VirtualClock();
    const shared = await budgets(clock);
    const permits = new Permits(destination({ requests: 1, seconds: 10 }), shared, clock, () => Number.MAX_SAFE_INTEGER);
    await permits.take();
    const second = permits.take();
    const until = clock.now() + 45_000;
    await shared.pause('bulk-eu', until);
    await second;
    expect(clock.now()).toBeGreaterThanOrEqual(until);
  });
});

describe('a delivery under a budget', () => {
  it('takes one permit an exchange, and no window is exceeded', async () => {
    const world = await makeWorld({
      members: 400,
      concurrency: 4,
      connector: bulk({ rows: 10 }),
      windows: [{ requests: 10, seconds: 60 }],
    });
    const times: number[] = [];
    const before = world.clock.now();
    const base = bulk({ rows: 10 });
    const result = await world.deliver({
      connector: {
        ...base,
        send: (context, ...rest) =>
          base.send(
            { ...context, http: async (request) => context.http(request).finally(() => times.push(world.clock.now())) },
            ...rest,
          ),
      },
    });
    expect(result).toMatchObject({ done: true, requests: 40 });
    expect(densest(times, 60_000)).toBeLessThanOrEqual(10);
    expect(world.clock.now() - before).toBeLessThanOrEqual(4 * 61_000);
  });

  it('hands the shard back when the budget is spent until later than its deadline', async () => {
    const world = await makeWorld({ members: 400, windows: [{ requests: 2, seconds: 86_400 }] });
    const before = world.clock.now();
    const result = await world.deliver({ deadline: before + 600_000 });
    expect(result.done).toBe(false);
    expect(result.counts.delivered).toBe(200);
    expect(result.resumeAt).toBeGreaterThanOrEqual(before + 86_400_000);
    expect(world.platform.calls).toHaveLength(2);
  });

  it('slows down while the platform says that its limit is nearly used, and speeds up again', async () => {
    let used = 95;
    const world = await makeWorld({
      members: 3_000,
      concurrency: 2,
      connector: bulk({ rows: 10 }),
      windows: [{ requests: 50, seconds: 1 }],
    });
    const times: number[] = [];
    const result = await world.deliver({
      connector: {
        ...bulk({ rows: 10 }),
        headroom: () => {
          times.push(world.clock.now());
          if (times.length > 120) used = 10;
          return { usedPercent: used };
        },
      },
    });
    expect(result.counts.delivered).toBe(3_000);
    const rate = (from: number, to: number): number => (to - from) / (((times[to] ?? 0) - (times[from] ?? 0)) / 1_000);
    expect(rate(60, 100)).toBeLessThan(15);
    expect(rate(250, 299)).toBeGreaterThan(20);
  });

  it('waits as long as the platform’s headers say, with everybody', async () => {
    const world = await makeWorld({ members: 300 });
    const before = world.clock.now();
    let answers = 0;
    await world.deliver({ connector: { ...bulk(), headroom: () => (++answers === 1 ? { waitMs: 20_000 } : undefined) } });
    expect(world.clock.now() - before).toBeGreaterThanOrEqual(20_000);
  });
});

it('requests outside a shard take permits too, and say TryAgain with the time when the budget is spent', async () => {
  const clock = new VirtualClock();
  const shared = await budgets(clock);
  let counted = 0;
  const http = budgetedHttp(
    () => Promise.resolve({ status: 200, headers: {}, text: '' }),
    destination({ requests: 1, seconds: 86_400 }),
    shared,
    clock,
    () => counted++,
  );
  await http({ method: 'GET', url: 'http://127.0.0.1/' });
  const refused = await http({ method: 'GET', url: 'http://127.0.0.1/' }).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(TryAgain);
  expect((refused as TryAgain).message).toBe('The budget of bulk-eu is spent for the next 1441 minutes.');
  expect((refused as TryAgain).afterMs).toBeGreaterThan(86_300_000);
  expect(counted).toBe(1);
});
