import module from 'node:module';
import { fastClock } from './fast-clock.ts';

// As the launcher does; the rest is loaded after it.
module.enableCompileCache();
const { main } = await import('../../cli/main.ts');

/** The command line as a process of its own, on the clock that `SLUICE_TEST_AHEAD` and `SLUICE_TEST_FASTER` say. */
const clock = fastClock(Number(process.env.SLUICE_TEST_AHEAD), Number(process.env.SLUICE_TEST_FASTER));
process.exitCode = await main(process.argv.slice(2), { clock });
