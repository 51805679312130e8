import type { BudgetWindow } from './model.ts';

/**
 * Reservations against a destination's budget: when may the next requests go out, so that no window is ever exceeded?
 *
 * A server that counts in a sliding window of W seconds refuses a request when `requests` others came in the last W. So permit k may be
 * used no earlier than W after permit k - requests. That is the whole rule, applied to every window at once, and it is exact: there is
 * no boundary at which two bursts meet, and after an idle time a burst is allowed that any sliding window still holds. (A GCRA with a
 * burst tolerance b lets b + rate * W through in W: to stay within it, it has to give away b of the sustained rate.)
 *
 * The rule needs the times of the permits of the longest window. They are kept as runs of evenly spaced permits, `[first, interval,
 * count]`, so that steady sending is one run; past `RUNS_KEPT` the oldest are merged into one that is nowhere earlier than the truth,
 * which can cost a little of the budget and never exceeds it.
 */
export interface Reservations {
  /** Nobody sends before this (epoch ms). */
  readonly pausedUntil: number;
  /** Oldest first; times are epoch ms with fractions. */
  readonly runs: readonly Run[];
}

type Run = readonly [first: number, interval: number, count: number];

export interface Grant {
  /** Epoch ms at which the first permit may be used. */
  readonly startAt: number;
  readonly intervalMs: number;
  /** At least 1; fewer than asked when the next would have to wait longer than `intervalMs`. */
  readonly permits: number;
}

export const NO_RESERVATIONS: Reservations = { pausedUntil: 0, runs: [] };

/**
 * A window is reserved this much longer than it is, because a permit is used a little late (timers, sockets) and the one that many
 * requests after it on time. At most 4 % of the window, which leaves 96 % of a one-second budget and more of a longer one.
 */
const LATENESS_SHARE = 0.04;
const LATENESS_MAX = 250;
/** Within the windows, requests are spread and not sent at once; but nobody waits longer than this only for evenness. Milliseconds. */
const SPACING_MAX = 1_000;
const RUNS_KEPT = 96;
/** Epoch milliseconds in a double are exact to 0.0003. */
const EXACT = 0.01;

/**
 * How late a permit may be used, in milliseconds, so that no window is exceeded even if another is used on time. A permit that is later
 * than this is to be dropped and a new one reserved: used, it would stand beside requests that others reserved.
 */
export function latenessOf(windows: readonly BudgetWindow[]): number {
  return Math.min(LATENESS_MAX, ...windows.map((one) => one.seconds * 1_000 * LATENESS_SHARE));
}

/** Reserves up to `permits` requests from `now` (epoch ms) on. Throws `RangeError` for a window or a number that allows nothing. */
export function reserve(
  state: Reservations,
  windows: readonly BudgetWindow[],
  permits: number,
  now: number,
): { readonly grant: Grant; readonly next: Reservations } {
  if (!Number.isInteger(permits) || permits < 1) throw new RangeError(`A reservation is for 1 or more requests, not ${permits}.`);
  for (const { requests, seconds } of windows) {
    if (!(Number.isInteger(requests) && requests >= 1 && seconds > 0))
      throw new RangeError(`A window of ${requests} requests per ${seconds} seconds allows none.`);
  }
  const rules = windows.map((one) => ({
    requests: one.requests,
    ms: one.seconds * 1_000 + Math.min(LATENESS_MAX, one.seconds * 1_000 * LATENESS_SHARE),
  }));
  const intervalMs = rules.length === 0 ? 0 : Math.min(SPACING_MAX, ...rules.map((rule) => rule.ms / rule.requests));
  const runs: [number, number, number][] = state.runs.map(([first, interval, count]) => [first, interval, count]);
  const earliest = (): number => Math.max(...rules.map((rule) => permitBack(runs, rule.requests) + rule.ms));

  const last = permitBack(runs, 1);
  const startAt = Math.max(now, state.pausedUntil, last + intervalMs, earliest());
  let granted = 0;
  for (; granted < permits; granted++) {
    const at = startAt + granted * intervalMs;
    if (granted > 0 && earliest() > at + EXACT) break;
    add(runs, at, intervalMs);
  }
  const horizon = Math.max(0, ...rules.map((rule) => rule.ms));
  return {
    grant: { startAt, intervalMs, permits: granted },
    next: { pausedUntil: state.pausedUntil, runs: kept(runs, now - horizon, now) },
  };
}

/** A shorter pause never ends a longer one. */
export const pause = (state: Reservations, until: number): Reservations => ({
  ...state,
  pausedUntil: Math.max(state.pausedUntil, until),
});

/** The time of the `back`th permit from the end, 1 being the last; -Infinity when there were not so many. */
function permitBack(runs: readonly Run[], back: number): number {
  let rest = back;
  for (let i = runs.length - 1; i >= 0; i--) {
    const [first, interval, count] = runs[i] as Run;
    if (rest <= count) return first + (count - rest) * interval;
    rest -= count;
  }
  return Number.NEGATIVE_INFINITY;
}

function add(runs: [number, number, number][], at: number, intervalMs: number): void {
  const run = runs.at(-1);
  // Not the difference of two times: its rounding, multiplied by a long run, would end the run.
  if (run?.[2] === 1) run[1] = Math.abs(run[0] + intervalMs - at) < EXACT ? intervalMs : at - run[0];
  if (run !== undefined && Math.abs(run[0] + run[2] * run[1] - at) < EXACT) run[2] += 1;
  else runs.push([at, 0, 1]);
}

/** Without the runs that no window can see any more, and no more than `RUNS_KEPT`. */
function kept(runs: readonly Run[], since: number, now: number): Run[] {
  const seen = runs.filter(([first, interval, count]) => first + (count - 1) * interval >= since);
  while (seen.length > RUNS_KEPT) {
    // Where merging moves a permit least, measured by how long ago it was: windows of all lengths lose about the same share.
    let [best, least] = [0, Number.POSITIVE_INFINITY];
    for (let i = 0; i + 1 < seen.length; i++) {
      const [older, newer] = [seen[i] as Run, seen[i + 1] as Run];
      const moved = (merged(older, newer)[0] - older[0]) / Math.max(1, now - endOf(newer));
      if (moved < least) [best, least] = [i, moved];
    }
    seen.splice(best, 2, merged(seen[best] as Run, seen[best + 1] as Run));
  }
  return seen;
}

const endOf = ([first, interval, count]: Run): number => first + (count - 1) * interval;

/** One run with the permits of two, ending when the second ends, and no permit of it earlier than it was. */
function merged(older: Run, newer: Run): Run {
  const end = endOf(newer);
  const count = older[2] + newer[2];
  // The spacing, counted back from the end, may not reach before any permit; on straight runs their ends decide.
  const interval = Math.min(
    (end - older[0]) / (count - 1),
    (end - endOf(older)) / newer[2],
    newer[2] > 1 ? (end - newer[0]) / (newer[2] - 1) : Number.POSITIVE_INFINITY,
  );
  return [end - (count - 1) * interval, interval, count];
}
