import type { Clock } from '../ports.ts';
import { rest } from './halt.ts';
import type { Runs, OpenJob } from './outcome-log.ts';

/** A job whose members are no longer in memory. They are read again from the shard when it is due. */
export interface ParkedJob extends OpenJob {
  /** Epoch ms. */
  readonly dueAt: number;
  readonly since: number;
}

/**
 * Jobs that a platform works on for minutes or hours. Their batches rest in memory while there is room; when the reader needs it, they are
 * parked, so that the sending does not wait for the jobs.
 */
export class Parking {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #onRest: () => void;
  readonly #resting = new Set<AbortController>();
  #parked: ParkedJob[] = [];

  /** @param onRest called when a job begins to rest: it could make room from then on */
  constructor(clock: Clock, signal: AbortSignal, onRest: () => void) {
    this.#clock = clock;
    this.#signal = signal;
    this.#onRest = onRest;
  }

  get size(): number {
    return this.#parked.length;
  }

  /** Rests until the job is due. False when its place is needed: it is parked then, and its rows are to be forgotten. */
  async rest(job: ParkedJob): Promise<boolean> {
    const own = new AbortController();
    this.#resting.add(own);
    this.#onRest();
    try {
      await rest(this.#clock, job.dueAt - this.#clock.now(), AbortSignal.any([own.signal, this.#signal]));
    } finally {
      this.#resting.delete(own);
    }
    if (!own.signal.aborted) return true;
    this.#parked.push(job);
    return false;
  }

  /** Parks the job that has rested longest. False when none rests. */
  makeRoom(): boolean {
    const [first] = this.#resting;
    if (first === undefined) return false;
    this.#resting.delete(first);
    first.abort();
    return true;
  }

  /** All parked jobs, in the order of their lines. */
  take(): readonly ParkedJob[] {
    const taken = this.#parked.toSorted((a, b) => (a.runs[0]?.[0] ?? 0) - (b.runs[0]?.[0] ?? 0));
    this.#parked = [];
    return taken;
  }

  putBack(jobs: readonly ParkedJob[]): void {
    this.#parked.push(...jobs);
  }
}

/** Which job a line belongs to, for lines asked about in their order. */
export class JobLines<J extends { readonly runs: Runs }> {
  readonly #runs: readonly { readonly from: number; readonly to: number; readonly job: J }[];
  #at = 0;

  constructor(jobs: readonly J[]) {
    this.#runs = jobs.flatMap((job) => job.runs.map(([from, to]) => ({ from, to, job }))).toSorted((a, b) => a.from - b.from);
  }

  get first(): number | undefined {
    return this.#runs[0]?.from;
  }

  /** Behind the last line of the last job. */
  get end(): number {
    return this.#runs.at(-1)?.to ?? 0;
  }

  jobOf(line: number): J | undefined {
    while (this.#at < this.#runs.length && (this.#runs[this.#at]?.to ?? 0) <= line) this.#at += 1;
    const run = this.#runs[this.#at];
    return run !== undefined && run.from <= line ? run.job : undefined;
  }
}

export const linesOf = (runs: Runs): number => runs.reduce((sum, [from, to]) => sum + to - from, 0);
