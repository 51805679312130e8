import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DestinationBroken } from '../../core/connector.ts';
import { causeOf, StoreDamaged } from '../../core/store-errors.ts';
import { InTask, NonDeterministic, openJournal, TooLarge } from '../../stores/journal.ts';
import { systemClock } from '../../stores/system-clock.ts';
import { testClock } from '../contracts/store.ts';
import { start } from './started.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-journal-'));
  path = join(folder, 'runs', '01', 'journal.jsonl');
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Tasks that count how often each input was worked on. */
function counting(): { tasks: { add: (input: { n: number }) => Promise<{ sum: number }> }; done: number[] } {
  const done: number[] = [];
  return {
    done,
    tasks: {
      async add({ n }) {
        done.push(n);
        return { sum: n + 1 };
      },
    },
  };
}

/** The input of a task that takes none. */
const none = null as never;

type Counting = ReturnType<typeof counting>['tasks'];
const openFor = (tasks: Counting, clock = testClock()) => openJournal(path, tasks, clock);

describe('law 3: a run that was killed with -9', () => {
  const ALL = ['first', 'a', 'b', 'c', 'last'];
  const places = [...ALL.flatMap((task) => [`before ${task}`, `within ${task}`, `after ${task}`]), 'waiting'];

  it.each(places)('%s goes on to the same end, and does again only what was not recorded', async (where) => {
    const effects = join(folder, 'effects');
    const first = await start('journal-child.ts', [path, effects, where]).end();
    expect(first).toEqual({ stdout: [], stderr: '', code: null, signal: 'SIGKILL' });
    const second = await start('journal-child.ts', [path, effects]).end();
    expect(second).toEqual({ stdout: [JSON.stringify(ALL)], stderr: '', code: 0, signal: null });
    // Dead after its work and before its record: the task is done once more, which is why tasks are idempotent. No other one is.
    const twice = /^after (.*)$/.exec(where)?.[1];
    expect(readFileSync(effects, 'utf8').trimEnd().split('\n')).toEqual(
      ALL.flatMap((task) => (task === twice ? [task, task] : [task])),
    );
  });

  it('at any moment, again and again, ends with the result of an undisturbed run', async () => {
    const effects = join(folder, 'effects');
    for (let round = 0; ; round++) {
      const run = start('journal-child.ts', [path, effects]);
      const kill = setTimeout(() => run.child.kill('SIGKILL'), 60 + round * 25);
      const { stdout, signal } = await run.end();
      clearTimeout(kill);
      if (signal === 'SIGKILL') continue;
      expect(stdout).toEqual([JSON.stringify(ALL)]);
      break;
    }
    const [...lines] = readFileSync(path, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { at: unknown }).at)).toEqual([
      ['first'],
      ['shards'],
      ['shards', 0, 'work'],
      ['shards', 1, 'work'],
      ['shards', 2, 'work'],
      ['cooled down'],
      ['last'],
    ]);
  });

  it('in the middle of writing a record goes on from the one before, wherever the line was torn', async () => {
    const run = async (tasks: Counting): Promise<unknown> => {
      const journal = openFor(tasks);
      const one = await journal.call('one', 'add', { n: 1 });
      const rest = await journal.map('rest', [2, 3], 2, (scope, n) => scope.call('add', 'add', { n }));
      return [one, ...rest];
    };
    const expected = await run(counting().tasks);
    const whole = readFileSync(path);
    const ends = [...whole.entries()].filter(([, byte]) => byte === 10).map(([i]) => i + 1);
    for (let length = 0; length <= whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length));
      const { tasks, done } = counting();
      expect(await run(tasks)).toEqual(expected);
      // Lines: one, the map, two of its items.
      const kept = ends.filter((end) => end <= length).length;
      expect(done.length).toBe([3, 2, 2, 1, 0][kept]);
      expect(
        readFileSync(path, 'utf8')
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line) as unknown),
      ).toHaveLength(4);
    }
  });
});

describe('a journal', () => {
  it('gives the first time what it gives every later time: the result as JSON keeps it', async () => {
    const tasks = {
      odd: async () => ({ when: new Date(0), gone: undefined, kept: [null, 'ü'] }),
      nothing: async () => undefined,
    };
    for (let time = 0; time < 2; time++) {
      const journal = openJournal(path, tasks, testClock());
      expect(await journal.call('odd', 'odd', none)).toStrictEqual({ when: '1970-01-01T00:00:00.000Z', kept: [null, 'ü'] });
      expect(await journal.call('nothing', 'nothing', none)).toBeUndefined();
    }
  });

  it('refuses a replay that asks for another input, another task, another number of items, or one name twice', async () => {
    const { tasks, done } = counting();
    const other = { ...tasks, subtract: tasks.add };
    const journal = openFor(tasks);
    await journal.call('one', 'add', { n: 1 });
    await journal.map('rest', [2], 1, (scope, n) => scope.call('add', 'add', { n }));
    await journal.waitUntil('later', 0);
    await expect(journal.call('one', 'add', { n: 1 })).rejects.toThrow(
      /^The run cannot be carried on: one is the name of two steps of it\./,
    );

    await expect(openFor(tasks).call('one', 'add', { n: 2 })).rejects.toThrow(NonDeterministic);
    await expect(openJournal(path, other, testClock()).call('one', 'subtract', { n: 1 })).rejects.toThrow(
      'one was "add" and is "subtract" now',
    );
    await expect(openFor(tasks).map('rest', [2, 3], 1, async () => null)).rejects.toThrow('rest had another input');
    await expect(openFor(tasks).map('rest', [4], 1, (scope, n) => scope.call('add', 'add', { n }))).rejects.toThrow(
      'rest[0]/add had another input',
    );
    await expect(openFor(tasks).waitUntil('one', 0)).rejects.toThrow('one was "add" and is "wait" now');
    expect(done).toEqual([1, 2]);
  });

  it('does not remember a failure: the task runs again, and the error is itself, with the task at the end of its causes', async () => {
    let down = true;
    const tasks = {
      async deliver() {
        if (down) throw new DestinationBroken('the list is gone', 'make it again', { cause: new RangeError('404') });
        return 'delivered';
      },
    };
    const run = (): Promise<string[]> =>
      openJournal(path, tasks, testClock()).map('sync', [0], 1, (scope) => scope.call('turn 1', 'deliver', none));
    const error = await run().catch((one: unknown) => one);
    expect(error).toBeInstanceOf(DestinationBroken);
    expect(causeOf((error as Error).cause, RangeError)?.message).toBe('404');
    expect(causeOf(error, InTask)).toMatchObject({ task: 'deliver', message: 'in the task "deliver", as sync[0]/turn 1' });
    down = false;
    expect(await run()).toEqual(['delivered']);
  });

  it('map keeps the order, never runs more than it may at once, lets all settle, and throws the first failure', async () => {
    let running = 0;
    let most = 0;
    const ended: number[] = [];
    const tasks = {
      async item(n: number) {
        most = Math.max(most, ++running);
        await systemClock.sleep((7 - n) * 3);
        running -= 1;
        ended.push(n);
        if (n === 2 || n === 4) throw new Error(`item ${n}`);
        return n * 10;
      },
    };
    const run = (items: number[], at = path): Promise<number[]> =>
      openJournal(at, tasks, testClock()).map('items', items, 3, (scope, n) => scope.call('item', 'item', n));
    await expect(run([0, 1, 2, 3, 4, 5, 6])).rejects.toThrow('item 2');
    expect(ended.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(most).toBe(3);
    expect(await run([6, 0, 3], join(folder, 'other.jsonl'))).toEqual([60, 0, 30]);
    expect(await run([], join(folder, 'empty.jsonl'))).toEqual([]);
  });

  it('waits until the time that was said first, and not again when it is past', async () => {
    const { tasks } = counting();
    const clock = testClock(1_000);
    await openFor(tasks, clock).waitUntil('later', 5_000);
    expect(clock.now()).toBe(5_000);
    const replayed = testClock(2_000);
    await openFor(tasks, replayed).waitUntil('later', 90_000);
    expect(replayed.now()).toBe(5_000);
    await openFor(tasks, replayed).waitUntil('later', 90_000);
    expect(replayed.now()).toBe(5_000);
  });

  it('refuses what Lambda would not take: inputs and results over 256 KB', async () => {
    const tasks = { big: async (text: string) => text.repeat(2) };
    const journal = openJournal(path, tasks, testClock());
    await expect(journal.call('input', 'big', 'x'.repeat(262_143))).rejects.toThrow(TooLarge);
    await expect(journal.call('result', 'big', 'x'.repeat(131_072))).rejects.toThrow(
      'The result of result has 262146 bytes; a journal keeps at most 262144.',
    );
    expect(await journal.call('fits', 'big', 'x'.repeat(131_071))).toHaveLength(262_142);
    expect(existsSync(path)).toBe(true);
  });

  it('says which line is damaged, without quoting it', async () => {
    const { tasks } = counting();
    const journal = openFor(tasks);
    await journal.call('one', 'add', { n: 1 });
    await journal.call('two', 'add', { n: 2 });
    writeFileSync(path, readFileSync(path, 'utf8').replace('"task":"add"', '"task":"secret'));
    expect(() => openFor(tasks)).toThrow(StoreDamaged);
    expect(() => openFor(tasks)).toThrow(
      /^Line 1 of the journal journal\.jsonl is damaged\. Nothing was sent, and nothing was changed\.\n(?!.*secret)/,
    );
  });
});
