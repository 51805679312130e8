import type { Job, Outcome } from '../connector.ts';
import type { LogLine } from '../delta.ts';
import type { Files } from '../ports.ts';
import { LineSet } from './line-set.ts';

/** A line of the log that only the delivery reads: batch `b` is a job at the platform, for the lines of the runs `l`, in their order. */
export interface JobLine {
  readonly j: Job;
  readonly b: string;
  readonly s: number;
  readonly l: Runs;
}

/**
 * The reason of a `retry` that takes an intent back: the line was announced, and the destination certainly does not have it. A delivery
 * that goes on sends it as if it had not been announced.
 */
export const NOT_SENT = 'not-sent';

/** Lines in their order, as runs `[from, to)`: a batch of ten thousand is most often one. */
export type Runs = readonly (readonly [number, number])[];

export interface OpenJob {
  readonly job: Job;
  readonly batch: string;
  readonly sequence: number;
  readonly runs: Runs;
}

/** What a log says of its shard. */
export interface Progress {
  /** Lines that have their outcome. */
  readonly answered: LineSet;
  /** Lines that were announced and have no outcome: the destination may hold them. */
  readonly announced: LineSet;
  /** Jobs with lines that have no outcome yet. */
  readonly jobs: readonly OpenJob[];
  readonly counts: Record<Outcome['kind'], number>;
  /** No line from here on was ever announced. */
  readonly end: number;
}

/** Reads a log; one that does not exist is an empty one. */
export async function readProgress(files: Pick<Files, 'lines' | 'exists'>, key: string): Promise<Progress> {
  const answered = new LineSet();
  const announced = new LineSet();
  const jobs = new Map<string, JobLine>();
  const counts = { delivered: 0, accepted: 0, rejected: 0, retry: 0 };
  let end = 0;
  if (await files.exists(key)) {
    for await (const text of files.lines(key)) {
      const line = JSON.parse(text) as LogLine | JobLine;
      if ('i' in line) {
        for (let n = line.i[0]; n < line.i[1]; n++) announced.add(n);
        end = Math.max(end, line.i[1]);
      } else if ('j' in line) {
        // Lines that are in a job again had the answer of the one before, and were sent once more.
        for (const [id, other] of jobs) if (id !== line.b && meet(other.l, line.l)) jobs.delete(id);
        jobs.set(line.b, line);
      } else {
        announced.delete(line.n);
        if (line.r === NOT_SENT || answered.has(line.n)) continue;
        answered.add(line.n);
        counts[line.o === 'unknown' ? 'retry' : line.o] += 1;
      }
    }
  }
  const open = [...jobs.values()].filter((line) => line.l.some(([from, to]) => !answered.hasAll(from, to)));
  return {
    answered,
    announced,
    jobs: open.map((line) => ({ job: line.j, batch: line.b, sequence: line.s, runs: line.l })),
    counts,
    end,
  };
}

const meet = (some: Runs, others: Runs): boolean =>
  some.some(([from, to]) => others.some((other) => other[0] < to && from < other[1]));

/** Line numbers as runs, in their order. */
export function runsOf(lines: readonly number[]): Runs {
  const runs: [number, number][] = [];
  for (const n of lines) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === n) last[1] = n + 1;
    else runs.push([n, n + 1]);
  }
  return runs;
}

/**
 * Writes a log. What is handed over while an append is on its way goes out together with the next one, so that a slow disk or bucket
 * makes appends larger and not more.
 */
export class OutcomeLog {
  readonly #files: Pick<Files, 'append'>;
  readonly #key: string;
  #pending: string[] = [];
  #next: Promise<void> | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(files: Pick<Files, 'append'>, key: string) {
    this.#files = files;
    this.#key = key;
  }

  /** Durable when it resolves. After one append has failed, all fail: the log would have a hole. */
  write(lines: readonly string[]): Promise<void> {
    for (const line of lines) this.#pending.push(line);
    this.#next ??= this.#last.then(() => this.#flush());
    return this.#next;
  }

  #flush(): Promise<void> {
    const lines = this.#pending;
    this.#pending = [];
    this.#next = undefined;
    this.#last = this.#files.append(this.#key, lines);
    return this.#last;
  }
}

export const intentLine = (from: number, to: number): string => `{"i":[${from},${to}]}`;

/** `k` is 32 hex characters and needs no escaping; this is made once a member. */
export const outcomeLine = (n: number, k: string, o: Outcome['kind'] | 'unknown', r?: string): string =>
  r === undefined ? `{"n":${n},"k":"${k}","o":"${o}"}` : `{"n":${n},"k":"${k}","o":"${o}","r":${JSON.stringify(r)}}`;
