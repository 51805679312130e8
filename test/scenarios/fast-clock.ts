import type { Clock } from '../../core/ports.ts';
import { systemClock } from '../../stores/system-clock.ts';

/**
 * The machine's clock, `ahead` by so many milliseconds and `faster` by that factor: a destination that is down for minutes takes seconds
 * to test.
 */
export function fastClock(ahead: number, faster: number): Clock {
  const started = Date.now();
  return {
    now: () => started + ahead + (Date.now() - started) * faster,
    sleep: (ms, signal) => systemClock.sleep(ms / faster, signal),
    // Waits with jitter are all near their mean then, so that a destination is given up after the same number of requests every time.
    random: () => (faster > 1 ? 0.4 + systemClock.random() / 10 : systemClock.random()),
  };
}
