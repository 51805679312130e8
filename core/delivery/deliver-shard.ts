import type { Connector, Encoded, Op, Outcome, RemoteList } from '../connector.ts';
import type { Destination } from '../model.ts';
import type { Budgets, Clock, Files } from '../ports.ts';
import { Circuit } from './circuit.ts';
import { Courier, type StopCheck } from './courier.ts';
import { type AnyContext, Exchange } from './exchange.ts';
import { type Broken, Halt, rest } from './halt.ts';
import { batchLimits, type BatchLimits, bytesOf, type Entry, Filling, memberOf, misfit } from './load.ts';
import { intentLine, type OpenJob, OutcomeLog, type Progress, readProgress } from './outcome-log.ts';
import { Pace } from './pace.ts';
import { JobLines, linesOf, type ParkedJob, Parking } from './parking.ts';
import { PATIENCE, type Patience } from './patience.ts';
import { Permits } from './permits.ts';
import { Reasons } from './reason.ts';

export { budgetedHttp } from './permits.ts';

export interface ShardInput {
  readonly connector: Connector;
  /** Its `http` is not budgeted yet: every exchange takes a permit of the destination's budget here. */
  readonly context: AnyContext;
  readonly list: RemoteList;
  readonly op: Op;
  /** `key`: JSON lines of UpsertLine or RemoveLine. `log`: the outcome log, which may hold an interrupted delivery of the same shard. */
  readonly shard: { readonly key: string; readonly log: string };
  readonly destination: Pick<Destination, 'name' | 'budget'>;
  readonly run: string;
  /** Of the shard in its delivery, from 0: batch sequences of different shards never meet. */
  readonly position?: number;
  readonly files: Pick<Files, 'lines' | 'append' | 'exists'>;
  readonly budgets: Budgets;
  readonly clock: Clock;
  /** Epoch ms at which nothing new is begun. Requests that are out are waited for, so leave them the time of one request. */
  readonly deadline?: number;
  /** Asked about once a second: true when a person stopped the run or the lease was lost. */
  readonly shouldStop?: () => Promise<boolean>;
  /** Which of these members may not be sent any more (law 8). Asked before every request that adds; its errors stop the delivery. */
  readonly stopList?: StopCheck;
  /** Called after every answer: lines of the shard that have their outcome, and the counts. */
  readonly onProgress?: (done: number, counts: ShardCounts) => void;
  readonly patience?: Partial<Patience>;
}

/** Of the whole shard, earlier turns included. `retry` counts the uncertain ones (`unknown` in the log) too. */
export type ShardCounts = Readonly<Record<Outcome['kind'], number>>;

export interface ShardResult {
  /** Every line has its outcome. */
  readonly done: boolean;
  /** Come back from then on (epoch ms): the time of this worker is up, or the budget or the platform asks for more patience than it has. */
  readonly resumeAt?: number;
  readonly counts: ShardCounts;
  /** HTTP exchanges of this call. */
  readonly requests: number;
  readonly broken?: Broken;
}

/** Batch sequences: room for each shard, and past every number that an interrupted delivery of it can have used. */
const SEQUENCES = 1e8;
/**
 * Members between the reader and their outcomes, and bytes of their rows: what bounds the memory of a worker. A member of a
 * hashed list takes about 600 bytes of heap on its way (measured 2026-11-23). One batch may always be on its way, whatever its size.
 */
const OPEN_MEMBERS = 40_000;
const OPEN_BYTES = 32 * 1024 * 1024;
/**
 * Members announced and not begun, beside the batches that are begun next: with small batches an append (a disk's, a bucket's) takes longer
 * than a request, and has to carry many.
 */
const AHEAD_MEMBERS = 2_000;
const WATCH_MS = 1_000;
/** Rows that fit no request are answered for this many at a time. */
const MISFITS = 1_000;

interface Misfit {
  readonly entry: Entry;
  readonly reason: string;
}

/**
 * Delivers one shard of a delta to a destination, or goes on with one that was interrupted.
 *
 * Law 3: an intent is durable before its lines are sent, outcomes are appended after; a line with an intent and no outcome is sent
 * again. Killed at any point, no line is lost. Lines that have an outcome are never sent again in this run.
 *
 * Does not throw for a destination or a connector that fails: that is `broken`. Throws `DamagedShard`, and what the ports throw.
 */
export async function deliverShard(input: ShardInput): Promise<ShardResult> {
  const progress = await readProgress(input.files, input.shard.log);
  return new ShardDelivery(input, progress).run();
}

class ShardDelivery {
  readonly #input: ShardInput;
  readonly #progress: Progress;
  readonly #halt = new Halt();
  readonly #log: OutcomeLog;
  readonly #exchange: Exchange;
  readonly #courier: Courier;
  readonly #circuit: Circuit;
  readonly #parking: Parking;
  readonly #concurrency: number;
  readonly #limits: BatchLimits;
  readonly #counts: Record<Outcome['kind'], number>;
  readonly #tasks = new Set<Promise<void>>();
  readonly #watchEnd = new AbortController();
  #members = 0;
  #bytes = 0;
  #waiting = 0;
  #waitingMembers = 0;
  #wake: () => void = () => undefined;

  constructor(input: ShardInput, progress: Progress) {
    const { connector, destination, clock, op, deadline } = input;
    const patience = { ...PATIENCE, ...input.patience };
    const { signal } = this.#halt;
    const reasons = new Reasons();
    const latest = (): number => deadline ?? clock.now() + patience.requestMs;
    const permits = new Permits(destination, input.budgets, clock, latest, signal);
    const pace = new Pace(destination.budget.windows, connector.headroom?.bind(connector));
    this.#input = input;
    this.#progress = progress;
    this.#counts = { ...progress.counts };
    this.#limits = batchLimits(connector, op);
    this.#circuit = new Circuit(destination.name, patience);
    this.#circuit.onRecovery.push(() => this.#wake());
    this.#parking = new Parking(clock, signal, () => this.#wake());
    this.#concurrency = Math.max(1, destination.budget.concurrency);
    this.#log = new OutcomeLog(input.files, input.shard.log);
    this.#exchange = new Exchange({ connector, context: input.context, list: input.list, permits, pace, clock, reasons, signal });
    this.#courier = new Courier({
      exchange: this.#exchange,
      circuit: this.#circuit,
      permits,
      halt: this.#halt,
      log: this.#log,
      reasons,
      clock,
      patience,
      concurrency: this.#concurrency,
      op,
      seed: `${input.run}\n${input.shard.key}\n${op}\n`,
      // Each line is announced once a turn, and a batch of n lines makes at most 2n others by halving.
      sequence: (input.position ?? 0) * SEQUENCES + progress.end * 2,
      deadline,
      parking: this.#parking,
      stopList: input.stopList,
      onOutcomes: (counts) => this.#count(counts),
    });
    signal.addEventListener('abort', () => this.#wake());
  }

  async run(): Promise<ShardResult> {
    await this.#look();
    const watch = this.#watch();
    let read = await this.#pass(this.#progress.jobs, false);
    while (read && !this.#halt.on && this.#parking.size > 0) read = await this.#parkedPass();
    await this.#courier.end().catch((error: unknown) => this.#halt.fail(error));
    this.#watchEnd.abort();
    await watch;
    const { broken, failure, resumeAt } = this.#halt;
    if (failure !== undefined) throw failure.error;
    const done = read && broken === undefined && this.#courier.unfinished + this.#parking.size === 0;
    const result = { done, counts: { ...this.#counts }, requests: this.#exchange.requests };
    if (broken !== undefined) return { ...result, broken };
    return done || resumeAt === undefined ? result : { ...result, resumeAt };
  }

  /** Reads the shard once, and waits for what came of it. False when it did not come to the end. */
  async #pass(jobs: readonly OpenJob[], jobsOnly: boolean): Promise<boolean> {
    const read = await this.#read(jobs, jobsOnly).catch((error: unknown) => {
      this.#halt.fail(error);
      return false;
    });
    // Tasks never reject: what goes wrong in one halts the delivery.
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    return read;
  }

  /** Once everything is sent: asks for the parked jobs, when all of them are due, so that the shard is read again as seldom as can be. */
  async #parkedPass(): Promise<boolean> {
    const { clock, deadline } = this.#input;
    const jobs: readonly ParkedJob[] = this.#parking.take();
    const due = Math.max(...jobs.map((job) => job.dueAt));
    if (deadline !== undefined && due > deadline) this.#halt.later(Math.min(...jobs.map((job) => job.dueAt)));
    else if (await rest(clock, due - clock.now(), this.#halt.signal)) return this.#pass(jobs, true);
    this.#parking.putBack(jobs);
    return false;
  }

  /** Reads lines into batches, or only those of jobs. True when it came to the end. */
  async #read(jobs: readonly OpenJob[], jobsOnly: boolean): Promise<boolean> {
    const { files, shard, op, connector, context, list } = this.#input;
    const { answered, announced } = this.#progress;
    const jobLines = new JobLines(jobs);
    const waiting = new Map<OpenJob, Entry[]>();
    const filling = new Filling(this.#limits);
    const misfits: Misfit[] = [];
    const from = Math.min(
      jobLines.first ?? Number.POSITIVE_INFINITY,
      jobsOnly ? Number.POSITIVE_INFINITY : answered.firstMissing(),
    );
    let n = from - 1;
    for await (const text of files.lines(shard.key, from)) {
      n += 1;
      if (jobsOnly && n >= jobLines.end) break;
      const job = jobLines.jobOf(n);
      if (job === undefined && (jobsOnly || answered.has(n))) continue;
      const member = memberOf(text, op, shard.key, n);
      const encoded = this.#encode(() => connector.encode(context, list, op, member));
      if (encoded === undefined) return false;
      const entry: Entry = {
        member,
        text: encoded.text,
        rows: encoded.rows,
        line: n,
        maybe: job !== undefined || announced.has(n),
        answered: answered.has(n),
      };
      if (job !== undefined) {
        const entries = waiting.get(job) ?? [];
        waiting.set(job, entries);
        // Lines come in the order of the runs: batches are made in the order of lines, and what is taken out of one leaves the rest so.
        if (entries.push(entry) < linesOf(job.runs)) continue;
        waiting.delete(job);
        if (!(await this.#resume(job, entries))) return false;
        continue;
      }
      const bytes = bytesOf(encoded.text);
      const reason = misfit(encoded.rows, bytes, this.#limits);
      if (reason !== undefined) {
        misfits.push({ entry, reason });
        if (misfits.length >= MISFITS && !(await this.#reject(misfits.splice(0)))) return false;
        continue;
      }
      if (filling.full(encoded.rows, bytes) && !(await this.#send(filling))) return false;
      filling.add(entry, bytes);
    }
    return (await this.#reject(misfits)) && (await this.#send(filling));
  }

  /** Rows that no request of the platform can hold are answered for without one. */
  async #reject(misfits: readonly Misfit[]): Promise<boolean> {
    if (misfits.length === 0) return !this.#halt.on;
    if (!(await this.#room(misfits.length, 0))) return false;
    this.#start(
      misfits.map(({ entry }) => entry),
      0,
      () => this.#courier.reject(misfits),
    );
    return true;
  }

  #encode(encode: () => Encoded): Encoded | undefined {
    try {
      return encode();
    } catch (error) {
      this.#halt.break(this.#exchange.fault(`failed with ${className(error)} on a member it should have encoded`));
      return undefined;
    }
  }

  /** Hands a full batch over once there is room. False when the delivery has halted. */
  async #send(filling: Filling): Promise<boolean> {
    const { entries, bytes } = filling.take();
    if (entries.length === 0) return !this.#halt.on;
    if (!(await this.#room(entries.length, bytes))) return false;
    const from = (entries[0] as Entry).line;
    const intent = this.#log.write([intentLine(from, (entries.at(-1) as Entry).line + 1)]);
    this.#start(entries, bytes, async (started) => {
      await intent;
      await this.#courier.bring(entries, started);
    });
    return true;
  }

  async #resume(job: OpenJob, entries: readonly Entry[]): Promise<boolean> {
    if (!(await this.#room(entries.length, 0))) return false;
    this.#start(entries, 0, (started) => this.#courier.resume(entries, job, started));
    return true;
  }

  #start(entries: readonly Entry[], bytes: number, work: (started: () => void) => Promise<void>): void {
    this.#members += entries.length;
    this.#bytes += bytes;
    this.#waiting += 1;
    this.#waitingMembers += entries.length;
    let begun = false;
    const started = (): void => {
      if (begun) return;
      begun = true;
      this.#waiting -= 1;
      this.#waitingMembers -= entries.length;
      this.#wake();
    };
    const task = work(started)
      .catch((error: unknown) => this.#halt.fail(error))
      .finally(() => {
        started();
        this.#members -= entries.length;
        this.#bytes -= bytes;
        this.#tasks.delete(task);
        this.#wake();
      });
    this.#tasks.add(task);
  }

  /**
   * Backpressure. Waits until the members fit, until no more batches are announced than will be begun next (an intent should mean "about
   * to be sent"), and while the destination answers nobody. False when the delivery halts.
   */
  async #room(members: number, bytes: number): Promise<boolean> {
    const { deadline, clock } = this.#input;
    const full = (): boolean =>
      this.#tasks.size > 0 &&
      (this.#members + members > OPEN_MEMBERS ||
        this.#bytes + bytes > OPEN_BYTES ||
        (this.#waiting >= this.#concurrency && this.#waitingMembers + members > AHEAD_MEMBERS) ||
        this.#circuit.failures > this.#concurrency);
    while (!this.#halt.on && full()) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      // A job that ends soon is asked for from memory; one that would keep the reader waiting is parked.
      if (this.#members + members > OPEN_MEMBERS || this.#bytes + bytes > OPEN_BYTES) this.#parking.makeRoom();
      await woken;
    }
    if (deadline !== undefined && clock.now() >= deadline) this.#halt.later(clock.now());
    return !this.#halt.on;
  }

  /** Looks for a stop, a lost lease and the deadline, whatever the batches wait for. */
  async #watch(): Promise<void> {
    const { clock, deadline, shouldStop } = this.#input;
    if (deadline === undefined && shouldStop === undefined) return;
    const signal = AbortSignal.any([this.#watchEnd.signal, this.#halt.signal]);
    while (await rest(clock, WATCH_MS, signal)) await this.#look();
  }

  async #look(): Promise<void> {
    const { clock, deadline, shouldStop } = this.#input;
    try {
      if ((await shouldStop?.()) === true) this.#halt.stop();
      else if (deadline !== undefined && clock.now() >= deadline) this.#halt.later(clock.now());
    } catch (error) {
      this.#halt.fail(error);
    }
  }

  #count(counts: ShardCounts): void {
    for (const kind of KINDS) this.#counts[kind] += counts[kind];
    const done = KINDS.reduce((sum, kind) => sum + this.#counts[kind], 0);
    this.#input.onProgress?.(done, { ...this.#counts });
  }
}

const KINDS = ['delivered', 'accepted', 'rejected', 'retry'] as const;
const className = (error: unknown): string => (error instanceof Error ? error.constructor.name : typeof error);
