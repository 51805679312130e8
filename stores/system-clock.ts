import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { Clock } from '../core/ports.ts';

/** A timer of Node holds a signed 32-bit number of milliseconds; more would fire at once. */
const TIMER_MAX = 2 ** 31 - 1;

/** The clock of this machine. `sleep` rejects with an `AbortError` when its signal is aborted; a time that is past ends at once. */
export const systemClock: Clock = {
  now: () => Date.now(),
  async sleep(ms, signal) {
    const until = Date.now() + ms;
    signal?.throwIfAborted();
    for (let rest = ms; rest > 0; rest = until - Date.now()) await wait(Math.min(rest, TIMER_MAX), undefined, { signal });
  },
  // 48 random bits. From the kernel, not Math.random: ids of runs are made of these, by several processes at once.
  random: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
};
