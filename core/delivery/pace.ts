import type { HttpResponse } from '../connector.ts';
import type { BudgetWindow } from '../model.ts';

/** What a platform's answer says about how close we are to its limit. */
export interface Headroom {
  /** Of the tightest limit the answer reports, 0 to 100 and beyond. */
  readonly usedPercent?: number;
  /** Nothing should be sent for this long. Milliseconds. */
  readonly waitMs?: number;
}

/** Above this share the rate is halved, below the other it grows again. */
const HIGH = 80;
const LOW = 60;
/** The rate changes at most this often, so that the effect of one change is seen before the next. Milliseconds. */
const STEP_MS = 1_000;
/** Of the full rate: what is added a step, and what is always left, so that there are answers to learn from. */
const GROWTH = 1 / 20;
const FLOOR = 1 / 64;

/**
 * AIMD below the budget: the budget says what is allowed, the platform's own counters say what others use of it. One a worker; the
 * rate is requests a millisecond, `Infinity` until an answer asks for less.
 */
export class Pace {
  readonly #full: number;
  readonly #read: ((response: HttpResponse) => Headroom | undefined) | undefined;
  #rate = Number.POSITIVE_INFINITY;
  #changed = Number.NEGATIVE_INFINITY;
  #next = 0;

  constructor(windows: readonly BudgetWindow[], read?: (response: HttpResponse) => Headroom | undefined) {
    this.#full = Math.min(Number.MAX_VALUE, ...windows.map((one) => one.requests / (one.seconds * 1_000)));
    this.#read = read;
  }

  /** Milliseconds until this worker's next request; reserves its turn. */
  wait(now: number): number {
    if (this.#rate === Number.POSITIVE_INFINITY) return 0;
    const at = Math.max(now, this.#next);
    this.#next = at + 1 / this.#rate;
    return at - now;
  }

  /** Learns from an answer. Returns how long everybody should wait, when it says so. */
  learn(response: HttpResponse, now: number): number | undefined {
    const headroom = this.#read?.(response);
    if (headroom === undefined) return undefined;
    const { usedPercent } = headroom;
    // Without a window there is no rate to take a share of.
    if (usedPercent !== undefined && this.#full < Number.MAX_VALUE && now - this.#changed >= STEP_MS) {
      if (usedPercent >= HIGH) this.#set(Math.max(this.#full * FLOOR, Math.min(this.#rate, this.#full) / 2), now);
      else if (usedPercent < LOW && this.#rate < this.#full) this.#set(this.#rate + this.#full * GROWTH, now);
    }
    return headroom.waitMs;
  }

  #set(rate: number, now: number): void {
    this.#rate = rate >= this.#full ? Number.POSITIVE_INFINITY : rate;
    this.#changed = now;
  }
}
