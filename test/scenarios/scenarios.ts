import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { World } from './world.ts';

/**
 * Every folder beside this file (but `workspace`, which they all begin with) is a scenario, tried by one of the tests beside it; its name is the promise, its expected.txt
 * the transcript that must come out: commands (`$`), changes of the world (`>`), stdout, stderr (`!`), and after each command its exit
 * code and what is acknowledged (`=`). UPDATE_SCENARIOS=1 writes transcripts anew; read the difference before committing it.
 */
const HERE = fileURLToPath(new URL('.', import.meta.url));
const scenarios = readdirSync(HERE, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== 'workspace')
  .map(({ name }) => name)
  .sort();

/** Tries every `of`th scenario, from the `part`th on. They are divided because they wait for time to pass, and others can work meanwhile. */
export function tryScenarios(part: number, of: number): void {
  const own = scenarios.filter((_, i) => i % of === part - 1);
  describe('the command line', () => {
    it.each(own.map((name) => [name.replaceAll('-', ' '), join(HERE, name)]))(
      '%s',
      async (_title, folder) => {
        const file = join(folder, 'expected.txt');
        expect(existsSync(file), `${file} is the scenario`).toBe(true);
        const expected = readFileSync(file, 'utf8');
        await using world = new World(folder);
        await world.start();
        const transcript = await world.play(expected);
        if (process.env.UPDATE_SCENARIOS === '1') writeFileSync(file, transcript);
        else expect(transcript).toBe(expected);
      },
      120_000,
    );
  });
}
