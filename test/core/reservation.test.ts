import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BudgetWindow } from '../../core/model.ts';
import { latenessOf, NO_RESERVATIONS, pause, type Reservations, reserve } from '../../core/reservation.ts';

const START = Date.UTC(2026, 10, 23, 6);

/** A server that counts in sliding windows: the most requests in any of them, counted at every request. */
function mostIn(times: readonly number[], { seconds }: BudgetWindow): number {
  const sorted = times.toSorted((a, b) => a - b);
  let most = 0;
  for (let to = 0, from = 0; to < sorted.length; to++) {
    while (sorted[to]! - sorted[from]! >= seconds * 1_000) from += 1;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

interface Worker {
  at: number;
  left: number;
}

/** Workers that reserve, wait for each permit, use it (late by up to what is allowed), and reserve again; whoever is first goes first. */
function simulate(options: {
  windows: readonly BudgetWindow[];
  lease: () => number;
  /** 0 <= r < 1. */
  late: () => number;
  idle: () => number;
  workers: number;
  reservations: number;
}): { used: number[]; reserved: number[]; state: Reservations } {
  const { windows, lease, late, idle, reservations } = options;
  let state = NO_RESERVATIONS;
  const workers: Worker[] = Array.from({ length: options.workers }, () => ({ at: START + idle(), left: reservations }));
  const used: number[] = [];
  const reserved: number[] = [];
  for (;;) {
    const worker = workers.filter((one) => one.left > 0).toSorted((a, b) => a.at - b.at)[0];
    if (worker === undefined) return { used, reserved, state };
    const { grant, next } = reserve(state, windows, lease(), worker.at);
    state = next;
    expect(grant.startAt).toBeGreaterThanOrEqual(worker.at);
    for (let i = 0; i < grant.permits; i++) {
      const at = grant.startAt + i * grant.intervalMs;
      reserved.push(at);
      worker.at = at + late() * latenessOf(windows);
      used.push(worker.at);
    }
    worker.at += idle();
    worker.left -= 1;
  }
}

/** Numbers from a seed, 0 <= r < 1 (mulberry32). */
function seeded(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const anyWindow = fc.record({ requests: fc.integer({ min: 1, max: 200 }), seconds: fc.constantFrom(1, 10, 60, 3_600, 86_400) });

describe('a reservation', () => {
  it('law 12: whatever 8 workers do, and however late they are within what is allowed, no sliding window is ever exceeded', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(anyWindow, { minLength: 1, maxLength: 4, selector: (one) => one.seconds }),
        fc.integer(),
        fc.constantFrom(0, 5, 2_000, 100_000),
        (windows, seed, idleMs) => {
          const random = seeded(seed);
          const { used, reserved } = simulate({
            windows,
            workers: 8,
            reservations: 25,
            lease: () => 1 + Math.floor(random() * 20),
            late: random,
            // Mostly at once, sometimes after a long silence: the burst that follows is where a tolerance breaks a window.
            idle: () => (random() < 0.2 ? random() * idleMs * 10 : random() * idleMs * 0.1),
          });
          for (const window of windows) expect(mostIn(used, window)).toBeLessThanOrEqual(window.requests);
          expect(reserved).toEqual(reserved.toSorted((a, b) => a - b));
        },
      ),
      { numRuns: 150 },
    );
  });

  it.each<{ budget: string; windows: BudgetWindow[] }>([
    { budget: '10 a second', windows: [{ requests: 10, seconds: 1 }] },
    { budget: '1,000 a second', windows: [{ requests: 1_000, seconds: 1 }] },
    { budget: '60 a minute', windows: [{ requests: 60, seconds: 60 }] },
    {
      budget: '10 a second and 300 a minute',
      windows: [
        { requests: 10, seconds: 1 },
        { requests: 300, seconds: 60 },
      ],
    },
    {
      budget: '50 a second, 1,000 a minute, 5,000 an hour and 20,000 a day',
      windows: [
        { requests: 50, seconds: 1 },
        { requests: 1_000, seconds: 60 },
        { requests: 5_000, seconds: 3_600 },
        { requests: 20_000, seconds: 86_400 },
      ],
    },
  ])('8 busy workers use at least 95 % of $budget over a long time, and never more than all of it', ({ windows }) => {
    const random = seeded(7);
    const { used, reserved, state } = simulate({
      windows,
      workers: 8,
      reservations: 1_000,
      lease: () => 10,
      late: random,
      idle: () => 0,
    });
    for (const window of windows) expect(mostIn(used, window)).toBeLessThanOrEqual(window.requests);
    const seconds = (reserved.at(-1)! - reserved[0]!) / 1_000;
    // What the windows allow in that time when each is used up as soon as it opens.
    const allowed = Math.min(...windows.map((one) => one.requests * Math.ceil(seconds / one.seconds)));
    const sustained = Math.min(...windows.map((one) => (one.requests / one.seconds) * seconds));
    expect(reserved.length).toBeGreaterThanOrEqual(0.95 * sustained);
    expect(reserved.length).toBeLessThanOrEqual(allowed);
    expect(state.runs.length).toBeLessThanOrEqual(96);
  });

  it('uses at least 95 % also after a day of small deliveries at odd times, when the times of the permits are only kept roughly', () => {
    const windows = [
      { requests: 10, seconds: 1 },
      { requests: 2_000, seconds: 86_400 },
    ];
    const random = seeded(3);
    const light = simulate({
      windows,
      workers: 1,
      reservations: 900,
      lease: () => 1,
      late: () => 0,
      idle: () => random() * 180_000,
    });
    let state = light.state;
    let at = Math.max(...light.reserved);
    const busyFrom = at;
    const times = [...light.reserved];
    while (at < busyFrom + 3 * 86_400_000) {
      const { grant, next } = reserve(state, windows, 10, at);
      state = next;
      for (let i = 0; i < grant.permits; i++) times.push((at = grant.startAt + i * grant.intervalMs));
    }
    for (const window of windows) expect(mostIn(times, window)).toBeLessThanOrEqual(window.requests);
    const busy = times.filter((one) => one > busyFrom && one <= busyFrom + 3 * 86_400_000).length;
    expect(busy).toBeGreaterThanOrEqual(0.95 * 3 * 2_000);
    expect(state.runs.length).toBeLessThanOrEqual(96);
  });

  it('lets a small delivery go at once under a daily budget, instead of spreading it over the day', () => {
    const { grant } = reserve(NO_RESERVATIONS, [{ requests: 1_000, seconds: 86_400 }], 20, START);
    expect(grant).toEqual({ startAt: START, intervalMs: 1_000, permits: 20 });
  });

  it('grants fewer permits than asked for when the next would have to wait for a window', () => {
    const windows = [
      { requests: 100, seconds: 1 },
      { requests: 3, seconds: 60 },
    ];
    const first = reserve(NO_RESERVATIONS, windows, 10, START);
    expect(first.grant).toEqual({ startAt: START, intervalMs: 10.4, permits: 3 });
    expect(reserve(first.next, windows, 10, START + 5).grant).toEqual({ startAt: START + 60_250, intervalMs: 10.4, permits: 3 });
  });

  it('starts after the pause, and a shorter pause does not end a longer one', () => {
    const paused = pause(pause(NO_RESERVATIONS, START + 5_000), START + 100);
    expect(reserve(paused, [{ requests: 10, seconds: 1 }], 1, START).grant.startAt).toBe(START + 5_000);
  });

  it('keeps its order when the clock goes back', () => {
    const windows = [{ requests: 10, seconds: 1 }];
    const { grant, next } = reserve(NO_RESERVATIONS, windows, 5, START);
    const second = reserve(next, windows, 1, START - 60_000).grant;
    expect(second.startAt).toBeCloseTo(grant.startAt + 5 * grant.intervalMs, 1);
  });

  it('allows everything without a window, and refuses a window or a number that allows nothing', () => {
    expect(reserve(NO_RESERVATIONS, [], 50, START).grant).toEqual({ startAt: START, intervalMs: 0, permits: 50 });
    expect(() => reserve(NO_RESERVATIONS, [{ requests: 0, seconds: 1 }], 1, START)).toThrow(RangeError);
    expect(() => reserve(NO_RESERVATIONS, [{ requests: 1, seconds: 0 }], 1, START)).toThrow(RangeError);
    expect(() => reserve(NO_RESERVATIONS, [{ requests: 1, seconds: 1 }], 0, START)).toThrow(RangeError);
  });
});
