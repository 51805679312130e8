import type { BudgetWindow } from '../core/model.ts';

/**
 * A sliding window that really counts: of any `seconds` in a row, at most `requests` are let through.
 * Refused requests do not count, as on the platforms that say so.
 */
export class RateWindows {
  readonly #windows: readonly { readonly window: BudgetWindow; readonly times: number[]; start: number }[];

  constructor(windows: readonly BudgetWindow[]) {
    this.#windows = windows.map((window) => ({ window, times: [], start: 0 }));
  }

  /** 0 when the request is let through, else milliseconds until the next one can be. */
  admit(now: number): number {
    let wait = 0;
    for (const entry of this.#windows) {
      const { window, times } = entry;
      while (entry.start < times.length && (times[entry.start] as number) <= now - window.seconds * 1000) entry.start += 1;
      if (times.length - entry.start >= window.requests) {
        wait = Math.max(wait, (times[times.length - window.requests] as number) + window.seconds * 1000 - now);
      }
    }
    if (wait > 0) return wait;
    for (const entry of this.#windows) {
      entry.times.push(now);
      // The passed part is dropped in large steps: shifting one by one would cost the length of the window each time.
      if (entry.start > 10_000) {
        entry.times.splice(0, entry.start);
        entry.start = 0;
      }
    }
    return 0;
  }

  /** What is left in the tightest window, for the headers of platforms that report it. */
  remaining(): { readonly limit: number; readonly remaining: number; readonly seconds: number } {
    let tightest = { limit: Number.MAX_SAFE_INTEGER, remaining: Number.MAX_SAFE_INTEGER, seconds: 1 };
    for (const { window, times, start } of this.#windows) {
      const remaining = window.requests - (times.length - start);
      if (remaining < tightest.remaining) tightest = { limit: window.requests, remaining, seconds: window.seconds };
    }
    return tightest;
  }
}
