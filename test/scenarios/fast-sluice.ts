import module from 'node:module';
import type { Clock } from '../../core/ports.ts';
import { systemClock } from '../../stores/system-clock.ts';

// As the launcher does; the rest is loaded after it.
module.enableCompileCache();
const { main } = await import('../../cli/main.ts');

/**
 * The command line on a machine whose time is ahead by `SLUICE_TEST_AHEAD` milliseconds and runs `SLUICE_TEST_FASTER` times as fast:
 * a destination that is down for minutes takes seconds to test.
 */
const ahead = Number(process.env.SLUICE_TEST_AHEAD);
const faster = Number(process.env.SLUICE_TEST_FASTER);
const started = Date.now();

const clock: Clock = {
  now: () => started + ahead + (Date.now() - started) * faster,
  sleep: (ms, signal) => systemClock.sleep(ms / faster, signal),
  // Waits with jitter are long ones then, so that a destination is given up after the same number of requests every time.
  random: () => (faster > 1 ? 0.9 + systemClock.random() / 10 : systemClock.random()),
};

process.exitCode = await main(process.argv.slice(2), { clock });
