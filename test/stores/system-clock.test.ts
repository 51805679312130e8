import { describe, expect, it } from 'vitest';
import { systemClock } from '../../stores/system-clock.ts';

describe('the clock of this machine', () => {
  it('sleeps at least as long as it says', async () => {
    const before = systemClock.now();
    await systemClock.sleep(30);
    expect(systemClock.now() - before).toBeGreaterThanOrEqual(29);
    await systemClock.sleep(-5);
  });

  it('sleeps on past the longest timer of Node, and wakes when it is told to stop', async () => {
    const stop = new AbortController();
    const month = systemClock.sleep(40 * 86_400_000, stop.signal).then(
      () => 'slept',
      (error: Error) => error.name,
    );
    await systemClock.sleep(20);
    stop.abort();
    expect(await month).toBe('AbortError');
    await expect(systemClock.sleep(1, stop.signal)).rejects.toThrow('aborted');
  });

  it('gives chances from 0 to below 1 that do not repeat', () => {
    const all = Array.from({ length: 1_000 }, () => systemClock.random());
    expect(all.every((one) => one >= 0 && one < 1)).toBe(true);
    expect(new Set(all).size).toBe(1_000);
  });
});
