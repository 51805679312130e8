import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import pLimit from 'p-limit';
import type { Clock, Durable } from '../core/ports.ts';
import { StoreDamaged } from '../core/store-errors.ts';
import { appendLines } from './append-log.ts';
import { errno } from './disk.ts';

type Tasks = Record<string, (input: never) => Promise<unknown>>;
type Path = readonly (string | number)[];

/** One line: at `at`, the task `task` was given an input of this digest and gave `result`; or a wait has this end, a map this many items. */
interface Line {
  readonly at: Path;
  readonly task: string;
  readonly input: string;
  readonly result?: unknown;
}

/** https://docs.aws.amazon.com/lambda/latest/dg/durable-functions.html (checkpoint payload), read 2026-11-22: what Lambda refuses, a laptop refuses too. */
const MAX_BYTES = 256 * 1024;

/** The run asks for something else than it did when the journal was written: it was changed while it was under way, or reads a clock. */
export class NonDeterministic extends Error {
  constructor(name: string, what: string) {
    super(
      `The run cannot be carried on: ${name} ${what}. Nothing was sent by this attempt. ` +
        `Sluice was updated, or the files were changed, while the run was under way: start a new run.`,
    );
    this.name = 'NonDeterministic';
  }
}

/** An input or a result that Lambda would not take either. Details belong in files. */
export class TooLarge extends Error {
  constructor(name: string, what: string, bytes: number) {
    super(`The ${what} of ${name} has ${bytes} bytes; a journal keeps at most ${MAX_BYTES}.`);
    this.name = 'TooLarge';
  }
}

/** Stands at the end of the `cause` chain of what a task threw: which task it was. */
export class InTask extends Error {
  readonly task: string;
  constructor(name: string, task: string) {
    super(`in the task "${task}", as ${name}`);
    this.name = 'InTask';
    this.task = task;
  }
}

/**
 * Durable execution over a file of JSON lines. A result is on the disk before `call` resolves; a task whose process died before that
 * runs again, and so does one that failed: tasks are idempotent. One process at a time (the run holds a lease).
 *
 * Throws `NonDeterministic`, `TooLarge`, `StoreDamaged`, `StoreFull`, and what tasks throw, with an `InTask` at the end of its causes.
 */
export function openJournal<T extends Tasks>(path: string, tasks: T, clock: Clock): Durable<T> {
  const known = new Map(linesOf(path).map((line) => [JSON.stringify(line.at), line]));
  const asked = new Set<string>();

  /** What was remembered at this place; refuses a place that is asked for twice, or for something else. */
  const recall = (at: Path, task: string, input: string): Line | undefined => {
    const place = JSON.stringify(at);
    if (asked.has(place)) throw new NonDeterministic(nameOf(at), 'is the name of two steps of it');
    asked.add(place);
    const line = known.get(place);
    if (line !== undefined && line.task !== task)
      throw new NonDeterministic(nameOf(at), `was "${line.task}" and is "${task}" now`);
    if (line !== undefined && line.input !== input) throw new NonDeterministic(nameOf(at), 'had another input');
    return line;
  };
  const remember = (line: Line): Promise<void> => appendLines(path, [JSON.stringify(line)], basename(path), path);

  const scope = (prefix: Path): Durable<T> => ({
    async call(name, task, input) {
      const at = [...prefix, name];
      const digest = digestOf(input, nameOf(at));
      const line = recall(at, task, digest);
      if (line !== undefined) return line.result as never;
      const run = tasks[task] as ((input: unknown) => Promise<unknown>) | undefined;
      if (run === undefined) throw new NonDeterministic(nameOf(at), `asks for the task "${task}", which there is not`);
      let result: unknown;
      try {
        result = await run(input);
      } catch (error) {
        throw markedWith(error, new InTask(nameOf(at), task));
      }
      const text = textOf(result, nameOf(at), 'result');
      // Through JSON, so that the first time gives exactly what every later time will.
      const kept: unknown = text === undefined ? undefined : JSON.parse(text);
      await remember({ at, task, input: digest, result: kept });
      return kept as never;
    },
    async map(name, items, concurrency, fn) {
      const at = [...prefix, name];
      if (recall(at, 'map', String(items.length)) === undefined) await remember({ at, task: 'map', input: String(items.length) });
      const limit = pLimit(Math.max(1, concurrency));
      const settled = await Promise.allSettled(items.map((item, index) => limit(() => fn(scope([...at, index]), item, index))));
      const failed = settled.find((one) => one.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      return settled.map((one) => (one as PromiseFulfilledResult<Awaited<ReturnType<typeof fn>>>).value);
    },
    async waitUntil(name, epochMs) {
      const at = [...prefix, name];
      // The first time decides: what was computed from a clock would move on with every replay.
      const line = recall(at, 'wait', '');
      if (line === undefined) await remember({ at, task: 'wait', input: '', result: epochMs });
      const until = line === undefined ? epochMs : (line.result as number);
      await clock.sleep(Math.max(0, until - clock.now()));
    },
  });
  return scope([]);
}

/** The whole lines of a journal; what its last writer did not finish is left out (and cut off by the next append). */
function linesOf(path: string): readonly Line[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (errno(error) === 'ENOENT') return [];
    throw error;
  }
  const whole = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
  whole.pop();
  return whole.map((one, i) => {
    try {
      return JSON.parse(one) as Line;
    } catch {
      // Without the cause: its message would quote the line.
      throw new StoreDamaged(
        `Line ${i + 1} of the journal ${basename(path)} is damaged.`,
        'The run cannot be carried on: start a new one.',
      );
    }
  });
}

/** `sync[0]/upsert[3]/turn 1`: a map's name, the number of its item, the name inside. */
const nameOf = (at: Path): string =>
  at
    .map((part) => (typeof part === 'number' ? `[${part}]` : `/${part}`))
    .join('')
    .slice(1);

function textOf(value: unknown, name: string, what: string): string | undefined {
  const text = JSON.stringify(value) as string | undefined;
  const bytes = Buffer.byteLength(text ?? '');
  if (bytes > MAX_BYTES) throw new TooLarge(name, what, bytes);
  return text;
}

/** Of the JSON, so that a key left undefined and one left out are the same. Keys in their order: the same code wrote them. */
const digestOf = (input: unknown, name: string): string =>
  createHash('sha256')
    .update(textOf(input, name, 'input') ?? 'undefined')
    .digest('hex')
    .slice(0, 32);

/** The error itself, so that `instanceof` holds, with the place at the end of its causes. */
function markedWith(error: unknown, place: InTask): unknown {
  if (!(error instanceof Error)) return new Error('A task failed without an error.', { cause: place });
  let last: Error = error;
  while (last.cause instanceof Error && last.cause !== error) last = last.cause;
  if (!(last instanceof InTask) && last.cause === undefined && Object.isExtensible(last)) last.cause = place;
  return error;
}
