import { createHash } from 'node:crypto';
import pLimit from 'p-limit';
import type { Batch, Job, Op, Outcome, RowsRefused, TryAgain } from '../connector.ts';
import type { Clock } from '../ports.ts';
import { type Circuit, Probes } from './circuit.ts';
import type { Answer, Exchange } from './exchange.ts';
import { type Halt, rest } from './halt.ts';
import { isolate, type Refused } from './isolate.ts';
import type { Entry } from './load.ts';
import { type JobLine, NOT_SENT, type OpenJob, type OutcomeLog, outcomeLine, runsOf } from './outcome-log.ts';
import type { ParkedJob, Parking } from './parking.ts';
import { backoff, type Patience } from './patience.ts';
import type { Permits } from './permits.ts';
import type { Reasons } from './reason.ts';

/** A platform that names one bad row a request is asked this often; then halving finds the good rows sooner. */
const POINTERS = 8;

/** Which of some members may not be sent any more, and why (law 8). */
export type StopCheck = (keys: readonly string[]) => Promise<ReadonlyMap<string, string>>;

export interface CourierParts {
  readonly exchange: Exchange;
  readonly circuit: Circuit;
  readonly permits: Permits;
  readonly halt: Halt;
  readonly log: OutcomeLog;
  readonly reasons: Reasons;
  readonly clock: Clock;
  readonly patience: Patience;
  readonly concurrency: number;
  readonly op: Op;
  /** What makes batch ids this delivery's own: run and shard. */
  readonly seed: string;
  /** The first batch gets the number after this. */
  readonly sequence: number;
  readonly deadline: number | undefined;
  readonly parking: Parking;
  readonly stopList: StopCheck | undefined;
  readonly onOutcomes: (counts: Readonly<Record<Outcome['kind'], number>>) => void;
}

/** How far one load has come. */
interface Attempt {
  entries: readonly Entry[];
  batch: Batch;
  job: Job | undefined;
  /** Tries of these rows that failed; throttles are counted apart, because they take nobody nearer to an answer or away from it. */
  tries: number;
  throttles: number;
  pointers: number;
  /** Epoch ms of the first failure in a row, and of the job. */
  failing: number | undefined;
  jobSince: number;
}

/** Brings loads to the destination: each load ends with an outcome for each of its rows, or is left because the delivery halted. */
export class Courier {
  readonly #parts: CourierParts;
  /** Requests in flight. Whoever waits (for a job, for the next try) holds no place. */
  readonly #slot: ReturnType<typeof pLimit>;
  #sequence: number;
  readonly #probes: Probes;
  /** Rows without an outcome when the delivery halted. */
  readonly #left: Entry[] = [];

  constructor(parts: CourierParts) {
    this.#parts = parts;
    this.#slot = pLimit(parts.concurrency);
    this.#sequence = parts.sequence;
    this.#probes = new Probes(parts.circuit, parts.concurrency);
    parts.halt.signal.addEventListener('abort', () => this.#probes.wake());
  }

  /** Rows that a halt left without an outcome. */
  get unfinished(): number {
    return this.#left.length;
  }

  /** @param onStart called when the first request of the load gets its place */
  async bring(entries: readonly Entry[], onStart: () => void): Promise<void> {
    const refused = await this.#settle(entries, onStart);
    if (refused !== undefined) await this.#isolate(refused);
  }

  /** Goes on asking for a job that an earlier delivery of the shard left at the platform. */
  async resume(entries: readonly Entry[], open: OpenJob | ParkedJob, onStart: () => void): Promise<void> {
    const refused = await this.#settle(entries, onStart, open);
    if (refused !== undefined) await this.#isolate(refused);
  }

  #isolate(refused: Refused): Promise<void> {
    const { circuit, halt, clock } = this.#parts;
    return isolate(refused, {
      circuit,
      halt,
      clock,
      settle: (entries) => this.#settle(entries),
      answer: (entries, kind, reason) => this.#record(entries.map((entry) => ({ entry, kind, reason }))),
      leave: (entries) => this.#left.push(...entries),
    });
  }

  /** After the last load: answers for the rows held back, and takes back the intents of rows that certainly never arrived. */
  async end(): Promise<void> {
    const { circuit, halt } = this.#parts;
    const held = circuit.release();
    if (!halt.on) return this.reject(held);
    this.#left.push(...held.map(({ entry }) => entry));
    // Who stops for a while comes back and sends them; who is broken does not, and the ledger must not take them for delivered.
    if (halt.broken === undefined || halt.failure !== undefined) return;
    const unsent = this.#left.filter((entry) => !entry.maybe && !entry.answered);
    if (unsent.length > 0)
      await this.#parts.log.write(unsent.map((entry) => outcomeLine(entry.line, entry.member.key, 'retry', NOT_SENT)));
  }

  /** Until every row has its outcome. Returns the rows that were refused without a word on which. */
  async #settle(entries: readonly Entry[], onStart?: () => void, open?: OpenJob | ParkedJob): Promise<Refused | undefined> {
    const { halt, clock } = this.#parts;
    const state: Attempt = {
      entries,
      batch:
        open === undefined
          ? this.#batchOf(entries)
          : { op: this.#parts.op, items: entries, id: open.batch, sequence: open.sequence },
      job: open?.job,
      tries: 0,
      throttles: 0,
      pointers: 0,
      failing: undefined,
      jobSince: open !== undefined && 'since' in open ? open.since : clock.now(),
    };
    try {
      while (state.entries.length > 0) {
        const answer = await this.#slot(async () => {
          if (halt.on) return undefined;
          if (!this.#probes.admits(state)) return HELD;
          onStart?.();
          return this.#ask(state);
        });
        if (answer === HELD) {
          if (!halt.on) await this.#probes.change();
          continue;
        }
        if (answer === undefined) break;
        const refused = await this.#take(state, answer);
        if (refused !== undefined) return refused;
        if (halt.on) break;
      }
    } finally {
      this.#probes.done(state);
    }
    this.#left.push(...state.entries);
    return undefined;
  }

  async #ask(state: Attempt): Promise<Answer | undefined> {
    const { exchange, stopList, halt } = this.#parts;
    if (state.job !== undefined) return exchange.poll(state.job, state.batch);
    if (stopList !== undefined && this.#parts.op === 'upsert') {
      try {
        const stopped = await stopList(state.entries.map((entry) => entry.member.key));
        if (stopped.size > 0) await this.#withhold(state, stopped);
      } catch (error) {
        halt.fail(error);
        return undefined;
      }
      if (state.entries.length === 0) return undefined;
    }
    return exchange.send(state.batch);
  }

  /** Law 8: who withdrew or was erased since the delta was made. Not a refusal of the platform, but it is counted as one outcome like it. */
  async #withhold(state: Attempt, stopped: ReadonlyMap<string, string>): Promise<void> {
    const [out, rest] = split(state.entries, (entry) => stopped.has(entry.member.key));
    await this.#record(out.map((entry) => ({ entry, kind: 'rejected', reason: stopped.get(entry.member.key) })));
    this.#carryOn(state, rest);
  }

  /** Takes one answer in: afterwards the load is settled, smaller, to be tried again, or returned as refused. */
  async #take(state: Attempt, answer: Answer): Promise<Refused | undefined> {
    const { circuit, halt } = this.#parts;
    if ('maybe' in answer && answer.maybe) for (const entry of state.entries) entry.maybe = true;
    switch (answer.kind) {
      case 'outcomes':
        circuit.answered();
        await this.#outcomes(state, answer.outcomes);
        return undefined;
      case 'job':
        circuit.answered();
        state.failing = undefined;
        await this.#job(state, answer.job);
        return undefined;
      case 'refused':
        circuit.answered();
        return this.#refused(state, answer.error);
      case 'again':
        await this.#again(state, answer.error);
        return undefined;
      case 'broken':
        halt.break(answer.broken);
        return undefined;
      case 'no-permit':
        // Without a time the delivery has halted already.
        if (answer.at !== undefined) halt.later(answer.at);
        return undefined;
      case 'failed':
        halt.fail(answer.error);
        return undefined;
    }
  }

  async #outcomes(state: Attempt, outcomes: readonly Outcome[]): Promise<void> {
    const { circuit, patience, clock } = this.#parts;
    const answers: Answered[] = [];
    const again: Entry[] = [];
    let [taken, afterMs, reason] = [false, undefined as number | undefined, ''];
    const { entries } = state;
    for (let i = 0; i < entries.length; i++) {
      const [entry, outcome] = [entries[i] as Entry, outcomes[i] as Outcome];
      if (outcome.kind === 'retry') {
        again.push(entry);
        reason = outcome.reason;
        if (outcome.afterMs !== undefined) afterMs = Math.max(afterMs ?? 0, outcome.afterMs);
      } else {
        if (outcome.kind !== 'rejected') taken = true;
        answers.push({ entry, kind: outcome.kind, reason: outcome.kind === 'rejected' ? outcome.reason : undefined });
      }
    }
    if (taken) for (const { entry, reason: why } of circuit.accepted()) answers.push({ entry, kind: 'rejected', reason: why });
    state.tries += 1;
    const wait = afterMs ?? backoff(patience, state.tries, clock);
    const over = state.tries >= patience.rowTries || !this.#worthWaiting(state, wait);
    if (over) for (const entry of again) answers.push({ entry, kind: 'retry', reason });
    await this.#record(answers);
    this.#carryOn(state, over ? [] : again);
    if (state.entries.length > 0) await rest(clock, wait, this.#parts.halt.signal);
  }

  async #job(state: Attempt, job: Job): Promise<void> {
    const { circuit, clock, halt, log, patience, deadline, parking } = this.#parts;
    const known = state.job;
    if (known === undefined) state.jobSince = clock.now();
    state.job = job;
    for (const entry of state.entries) entry.maybe = true;
    if (known === undefined) await this.reject(circuit.accepted());
    if (known?.id !== job.id || JSON.stringify(known.state) !== JSON.stringify(job.state)) {
      const line: JobLine = {
        j: job,
        b: state.batch.id,
        s: state.batch.sequence,
        l: runsOf(state.entries.map((entry) => entry.line)),
      };
      await log.write([JSON.stringify(line)]);
    }
    if (clock.now() - state.jobSince >= patience.jobMs) {
      await this.#record(state.entries.map((entry) => ({ entry, kind: 'retry', reason: 'job-unfinished' })));
      state.entries = [];
      return;
    }
    const dueAt = clock.now() + job.afterMs;
    if (deadline !== undefined && dueAt > deadline) return halt.later(dueAt);
    const { id, sequence } = state.batch;
    const runs = runsOf(state.entries.map((entry) => entry.line));
    // Forgotten here, not lost: the job is in the log, and its lines are in the shard.
    if (!(await parking.rest({ job, batch: id, sequence, runs, dueAt, since: state.jobSince }))) state.entries = [];
  }

  async #refused(state: Attempt, error: RowsRefused): Promise<Refused | undefined> {
    const { reasons } = this.#parts;
    const named = new Map(error.rows.map(({ index, reason }) => [index, reason]));
    state.pointers += 1;
    if (named.size === 0 || state.pointers > POINTERS) {
      return { entries: state.entries, reason: reasons.clean(error.reason, state.entries) };
    }
    const bad: Answered[] = [];
    state.entries.forEach((entry, index) => {
      const reason = named.get(index);
      if (reason !== undefined) bad.push({ entry, kind: 'rejected', reason });
    });
    await this.#record(bad);
    this.#carryOn(
      state,
      state.entries.filter((_, index) => !named.has(index)),
    );
    return undefined;
  }

  async #again(state: Attempt, error: TryAgain): Promise<void> {
    const { circuit, clock, halt, patience, permits, deadline, reasons } = this.#parts;
    const now = clock.now();
    state.failing ??= now;
    const limit = Math.min(deadline ?? Number.POSITIVE_INFINITY, state.failing + patience.requestMs);
    if (error.throttled) {
      circuit.answered();
      state.throttles += 1;
      // Not at the very moment: a platform's clock and ours differ by a little, and all workers would come at once.
      const wait =
        (error.afterMs ?? backoff(patience, state.throttles, clock)) +
        clock.random() * Math.min(1_000, (error.afterMs ?? 0) * 0.1);
      await permits.pause(now + wait);
      if (now + wait > limit) halt.later(now + wait);
      else await rest(clock, wait, halt.signal);
      return;
    }
    const message = reasons.clean(error.message, state.entries);
    const broken = circuit.failed(message, now);
    if (broken !== undefined) return halt.break(broken);
    this.#probes.add(state);
    state.tries += 1;
    const wait = Math.max(error.afterMs ?? 0, backoff(patience, state.tries - 1, clock));
    if (error.afterMs !== undefined && now + error.afterMs > limit) return halt.later(now + error.afterMs);
    if (deadline !== undefined && now + wait > deadline) return halt.later(now + wait);
    if (state.tries >= patience.rowTries || now + wait > limit) {
      await this.#record(state.entries.map((entry) => ({ entry, kind: 'retry', reason: message })));
      state.entries = [];
      return;
    }
    await rest(clock, wait, halt.signal);
  }

  #worthWaiting(state: Attempt, wait: number): boolean {
    const { clock, deadline, patience } = this.#parts;
    state.failing ??= clock.now();
    return clock.now() + wait <= Math.min(deadline ?? Number.POSITIVE_INFINITY, state.failing + patience.requestMs);
  }

  /** The rest of a load is another batch, with an id of its own. */
  #carryOn(state: Attempt, entries: readonly Entry[]): void {
    state.entries = entries.filter((entry) => !entry.answered);
    state.job = undefined;
    if (state.entries.length > 0) state.batch = this.#batchOf(state.entries);
  }

  #batchOf(items: readonly Entry[]): Batch {
    const hash = createHash('sha256').update(this.#parts.seed);
    hash.update(items.map((entry) => entry.member.key).join());
    this.#sequence += 1;
    return { op: this.#parts.op, items, id: hash.digest('hex').slice(0, 32), sequence: this.#sequence };
  }

  /** Durable when it resolves. */
  async #record(answers: readonly Answered[]): Promise<void> {
    if (answers.length === 0) return;
    const { log, onOutcomes, reasons } = this.#parts;
    const counts = { delivered: 0, accepted: 0, rejected: 0, retry: 0 };
    const lines: string[] = [];
    for (const { entry, kind, reason } of answers) {
      if (entry.answered) continue;
      // What may have arrived is not what certainly has not: the ledger treats them differently.
      const written = kind === 'retry' && entry.maybe ? 'unknown' : kind;
      lines.push(
        outcomeLine(entry.line, entry.member.key, written, reason === undefined ? undefined : reasons.clean(reason, [entry])),
      );
      counts[kind] += 1;
    }
    await log.write(lines);
    onOutcomes(counts);
  }

  /** Rows that are refused before any request. */
  reject(rows: readonly { readonly entry: Entry; readonly reason: string }[]): Promise<void> {
    return this.#record(rows.map(({ entry, reason }) => ({ entry, kind: 'rejected', reason })));
  }
}

/** The destination answers nobody, and enough others try it already. */
const HELD = 'held';

interface Answered {
  readonly entry: Entry;
  readonly kind: Outcome['kind'];
  readonly reason: string | undefined;
}

function split<T>(items: readonly T[], chosen: (item: T) => boolean): [T[], T[]] {
  const [yes, no]: [T[], T[]] = [[], []];
  for (const item of items) (chosen(item) ? yes : no).push(item);
  return [yes, no];
}
