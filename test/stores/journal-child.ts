import { appendFileSync } from 'node:fs';
import { openJournal } from '../../stores/journal.ts';
import { systemClock } from '../../stores/system-clock.ts';

/**
 * A run over a journal that kills itself with -9 where it is told: `node journal-child.ts <journal> <effects> [<where>]`.
 * Every task leaves a line in the effects when it has done its work. `where` is `before|within|after <task>`, or `waiting`.
 */
const [journal = '', effects = '', where] = process.argv.slice(2);
const dieAt = (here: string): void => {
  if (here === where) process.kill(process.pid, 'SIGKILL');
};

const tasks = {
  async work(input: { name: string }) {
    dieAt(`within ${input.name}`);
    await systemClock.sleep(1);
    appendFileSync(effects, `${input.name}\n`);
    // Asked for its JSON when the task is over and before the result is on the disk.
    const toJSON = (): unknown => {
      dieAt(`after ${input.name}`);
      return { did: input.name };
    };
    return { did: input.name, toJSON };
  },
};

const clock = {
  ...systemClock,
  async sleep(ms: number) {
    dieAt('waiting');
    await systemClock.sleep(ms);
  },
};

const run = openJournal(journal, tasks, clock);
const work = (scope: typeof run, name: string): Promise<{ did: string }> => {
  dieAt(`before ${name}`);
  return scope.call('work', 'work', { name });
};

const results: string[] = [];
dieAt('before first');
results.push((await run.call('first', 'work', { name: 'first' })).did);
results.push(...(await run.map('shards', ['a', 'b', 'c'], 1, async (scope, item) => (await work(scope, item)).did)));
await run.waitUntil('cooled down', Date.now() + 30);
dieAt('before last');
results.push((await run.call('last', 'work', { name: 'last' })).did);
console.log(JSON.stringify(results));
