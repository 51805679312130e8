import { type Http, TryAgain } from '../connector.ts';
import type { Destination } from '../model.ts';
import type { Budgets, Clock } from '../ports.ts';
import { latenessOf } from '../reservation.ts';
import { rest } from './halt.ts';

/** A lease of permits is at most this long, so that little is lost when demand ends, and a pause is heard soon. Milliseconds. */
const LEASE_MS = 250;
/** Permits a lease where the destination has no window. */
const UNLIMITED = 50;
/** Leases after which one more permit is tried: what it costs when it is one too many is then little. */
const SETTLED_LEASES = 16;
/** After waiting this long for a permit, the destination may have been paused by somebody else meanwhile. Milliseconds. */
const STALE_MS = 500;

/** There is no permit for this request: the next one is later than this worker can wait, or the delivery halted. Nothing was sent. */
export class NoPermit extends Error {
  /** Epoch ms of the permit; undefined when the delivery halted. */
  readonly at: number | undefined;
  constructor(at?: number) {
    super('There is no permit in time.');
    this.name = 'NoPermit';
    this.at = at;
  }
}

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One worker's permits of a destination's budget. Leases are as large as demand has shown to be, and are asked for only while somebody
 * waits. A permit is used at its time or a little after it (half of `latenessOf`); later than that it is dropped, never caught up, because beside it
 * stand requests that other workers reserved.
 */
export class Permits {
  readonly #destination: Pick<Destination, 'name' | 'budget'>;
  readonly #budgets: Budgets;
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  readonly #latest: () => number;
  readonly #lateness: number;
  readonly #most: number;
  readonly #waiting: Waiting[] = [];
  #lease = { startAt: 0, intervalMs: 0, permits: 0 };
  #used = 0;
  #dropped = 0;
  /** Permits a lease: doubled until some came too late to be used, then as many as were used, and now and then one more. */
  #size = 1;
  #step = 2;
  #settled = 0;
  #pumping = false;

  /** @param latest epoch ms of the latest permit worth waiting for */
  constructor(
    destination: Pick<Destination, 'name' | 'budget'>,
    budgets: Budgets,
    clock: Clock,
    latest: () => number,
    signal?: AbortSignal,
  ) {
    this.#destination = destination;
    this.#budgets = budgets;
    this.#clock = clock;
    this.#latest = latest;
    this.#signal = signal;
    const { windows } = destination.budget;
    // Half of what the reservation allows; the other half is the network's.
    this.#lateness = latenessOf(windows) / 2;
    const rate = Math.min(...windows.map((one) => one.requests / (one.seconds * 1_000)));
    this.#most = windows.length === 0 ? UNLIMITED : Math.max(1, Math.floor(rate * LEASE_MS));
  }

  /** Resolves when one request may go out. Throws `NoPermit`, or what the store of budgets throws. */
  take(): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (!this.#pumping) void this.#pump();
    });
  }

  /** The destination throttled: nobody sends before `until`, and the permits at hand are void. */
  async pause(until: number): Promise<void> {
    this.#lease = { startAt: 0, intervalMs: 0, permits: 0 };
    this.#used = 0;
    await this.#budgets.pause(this.#destination.name, until);
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    try {
      while (this.#waiting.length > 0) {
        await this.#permit();
        this.#waiting.shift()?.resolve();
      }
    } catch (error) {
      for (const one of this.#waiting.splice(0)) one.reject(error);
    } finally {
      this.#pumping = false;
    }
  }

  /** Ends at a moment at which one request may go out. */
  async #permit(): Promise<void> {
    for (;;) {
      if (this.#signal?.aborted) throw new NoPermit();
      if (this.#used >= this.#lease.permits) await this.#renew();
      const at = this.#lease.startAt + this.#used * this.#lease.intervalMs;
      const asked = this.#clock.now();
      if (at > this.#latest()) throw new NoPermit(at);
      if (at > asked && !(await rest(this.#clock, at - asked, this.#signal))) throw new NoPermit();
      // Voided while it was waited for.
      if (this.#used >= this.#lease.permits) continue;
      this.#used += 1;
      if (this.#clock.now() - at > this.#lateness) {
        this.#dropped += 1;
        continue;
      }
      if (at - asked > STALE_MS && (await this.#paused())) continue;
      return;
    }
  }

  async #paused(): Promise<boolean> {
    if ((await this.#budgets.pausedUntil(this.#destination.name)) <= this.#clock.now()) return false;
    this.#lease = { startAt: 0, intervalMs: 0, permits: 0 };
    this.#used = 0;
    return true;
  }

  async #renew(): Promise<void> {
    if (this.#dropped > 0) {
      this.#size = Math.max(1, this.#used - this.#dropped);
      this.#step = 1;
      this.#settled = SETTLED_LEASES;
      this.#dropped = 0;
    } else if (this.#settled > 0) this.#settled -= 1;
    else this.#size += this.#step > 1 ? this.#size : this.#step;
    // Whoever waits now is there to use a permit.
    this.#size = Math.min(this.#size, this.#most);
    const permits = Math.max(1, Math.min(this.#most, Math.max(this.#size, this.#waiting.length)));
    this.#lease = await this.#budgets.reserve(this.#destination.name, this.#destination.budget.windows, permits);
    this.#used = 0;
  }
}

/** How long a request outside a delivery waits for the budget before its platform counts as not available now. Milliseconds. */
const WAIT_MS = 10 * 60_000;

/**
 * HTTP in which every exchange first takes a permit of the destination's budget: for what is asked of a destination outside a shard
 * (`ensure`, `finish`, `size`, `erase`). Throws `TryAgain` when the next permit is more than ten minutes away.
 */
export function budgetedHttp(
  http: Http,
  destination: Pick<Destination, 'name' | 'budget'>,
  budgets: Budgets,
  clock: Clock,
  onRequest?: () => void,
): Http {
  const permits = new Permits(destination, budgets, clock, () => clock.now() + WAIT_MS);
  return async (request) => {
    await permits.take().catch((error: unknown) => {
      if (!(error instanceof NoPermit) || error.at === undefined) throw error;
      const afterMs = error.at - clock.now();
      throw new TryAgain(`The budget of ${destination.name} is spent for the next ${Math.ceil(afterMs / 60_000)} minutes.`, {
        afterMs,
      });
    });
    onRequest?.();
    return http(request);
  };
}
