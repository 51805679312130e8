import { setTimeout as wait } from 'node:timers/promises';
import type { Clock } from '../../../core/ports.ts';

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

/** Between two pieces of work, so that time passes only when everybody sleeps. */
const QUIET_MS = 3;

/** Time that passes at once when nobody works: sleeps cost nothing, and `now` says what they would have cost. */
export class VirtualClock implements Clock {
  #now = Date.UTC(2026, 10, 20);
  readonly #sleepers = new Set<Sleeper>();
  #ticking = false;
  #seed = 1;
  #busy = 0;

  /** While work on sockets or disks is on its way, no time passes. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#busy += 1;
    try {
      return await work();
    } finally {
      this.#busy -= 1;
    }
  }

  now(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const sleeper = { at: this.#now + Math.max(0, ms), wake: resolve };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', () => {
        if (this.#sleepers.delete(sleeper)) reject(signal.reason as Error);
      });
      if (!this.#ticking) void this.#tick();
    });
  }

  /** A fixed sequence (Park and Miller), so that a test's waits are the same every time. */
  random(): number {
    this.#seed = (this.#seed * 48_271) % 2_147_483_647;
    return this.#seed / 2_147_483_647;
  }

  async #tick(): Promise<void> {
    this.#ticking = true;
    while (this.#sleepers.size > 0) {
      await wait(QUIET_MS);
      if (this.#busy > 0) continue;
      const next = [...this.#sleepers].toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#now = Math.max(this.#now, next.at);
      this.#sleepers.delete(next);
      next.wake();
    }
    this.#ticking = false;
  }
}
