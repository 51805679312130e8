import {
  type Batch,
  type Connector,
  type Context,
  DestinationBroken,
  type Job,
  type Outcome,
  type RemoteList,
  RowsRefused,
  TryAgain,
} from '../connector.ts';
import type { Clock } from '../ports.ts';
import { type Broken, rest } from './halt.ts';
import type { Pace } from './pace.ts';
import { NoPermit, type Permits } from './permits.ts';
import type { Reasons } from './reason.ts';

export type AnyContext = Context<Record<string, unknown>, Record<string, string>>;

/** What came of one call of a connector. `maybe`: the platform may have taken rows although it does not say so. */
export type Answer =
  | { readonly kind: 'outcomes'; readonly outcomes: readonly Outcome[] }
  | { readonly kind: 'job'; readonly job: Job }
  | { readonly kind: 'again'; readonly error: TryAgain; readonly maybe: boolean }
  | { readonly kind: 'refused'; readonly error: RowsRefused; readonly maybe: boolean }
  | { readonly kind: 'broken'; readonly broken: Broken; readonly maybe: boolean }
  /** The budget has no permit in time (`at`), or the delivery halted (no `at`). */
  | { readonly kind: 'no-permit'; readonly at: number | undefined; readonly maybe: boolean }
  /** A port failed. */
  | { readonly kind: 'failed'; readonly error: unknown };

/** Calls a connector, with every HTTP exchange under the budget, and turns whatever it does into an `Answer`. */
export class Exchange {
  readonly #connector: Connector;
  readonly #context: AnyContext;
  readonly #list: RemoteList;
  readonly #permits: Permits;
  readonly #pace: Pace;
  readonly #clock: Clock;
  readonly #reasons: Reasons;
  readonly #signal: AbortSignal;
  requests = 0;

  constructor(parts: {
    readonly connector: Connector;
    readonly context: AnyContext;
    readonly list: RemoteList;
    readonly permits: Permits;
    readonly pace: Pace;
    readonly clock: Clock;
    readonly reasons: Reasons;
    /** Ends waits for a turn when the delivery halts. */
    readonly signal: AbortSignal;
  }) {
    this.#connector = parts.connector;
    this.#context = parts.context;
    this.#list = parts.list;
    this.#permits = parts.permits;
    this.#pace = parts.pace;
    this.#clock = parts.clock;
    this.#reasons = parts.reasons;
    this.#signal = parts.signal;
  }

  send(batch: Batch): Promise<Answer> {
    return this.#call(batch, (context) => this.#connector.send(context, this.#list, batch));
  }

  poll(job: Job, batch: Batch): Promise<Answer> {
    const { poll } = this.#connector;
    if (poll === undefined) return Promise.resolve(this.#fault('answered with a job and cannot be asked for it', true));
    return this.#call(batch, (context) => poll.call(this.#connector, context, this.#list, job, batch));
  }

  async #call(batch: Batch, ask: (context: AnyContext) => Promise<readonly Outcome[] | Job>): Promise<Answer> {
    // Of this call alone: a connector may need several exchanges, and after the first the platform may hold something.
    const seen: Seen = { began: 0, changed: 0 };
    const http: AnyContext['http'] = async (request) => {
      await port(seen, async () => {
        await rest(this.#clock, this.#pace.wait(this.#clock.now()), this.#signal);
        await this.#permits.take();
      });
      this.requests += 1;
      seen.began += 1;
      const response = await this.#context.http(request);
      const ours = request.url.startsWith(this.#context.endpoint);
      if (request.method !== 'GET' && ours && response.status >= 200 && response.status < 300) seen.changed += 1;
      const waitMs = this.#pace.learn(response, this.#clock.now());
      if (waitMs !== undefined && waitMs > 0) await port(seen, () => this.#permits.pause(this.#clock.now() + waitMs));
      return response;
    };
    try {
      const answer = await ask({ ...this.#context, http });
      return this.#checked(answer, batch);
    } catch (error) {
      if (seen.closed !== undefined) return closed(seen.closed.error, seen.changed > 0);
      const maybe = seen.changed > 0;
      if (error instanceof TryAgain) return { kind: 'again', error, maybe: maybe || error.ambiguous };
      if (error instanceof RowsRefused) {
        const stray = error.rows.some(({ index }) => !Number.isInteger(index) || index < 0 || index >= batch.items.length);
        return stray ? this.#fault('refused a row that is not in the batch', maybe) : { kind: 'refused', error, maybe };
      }
      if (error instanceof DestinationBroken) {
        const message = this.#reasons.clean(error.message, batch.items);
        return { kind: 'broken', broken: { message, wayOut: this.#reasons.clean(error.wayOut, batch.items) }, maybe };
      }
      // The class alone: its message may hold anything.
      return this.#fault(`failed with ${error instanceof Error ? error.constructor.name : typeof error}`, seen.began > 0);
    }
  }

  #checked(answer: readonly Outcome[] | Job, batch: Batch): Answer {
    if (Array.isArray(answer)) {
      const outcomes = answer as readonly Outcome[];
      if (outcomes.length !== batch.items.length) {
        return this.#fault(`answered for ${outcomes.length} of ${batch.items.length} members`, true);
      }
      return outcomes.every((one) => KINDS.has(one?.kind))
        ? { kind: 'outcomes', outcomes }
        : this.#fault('gave an outcome of no known kind', true);
    }
    const job = answer as Job;
    return job?.kind === 'job' && typeof job.id === 'string' && job.afterMs >= 0
      ? { kind: 'job', job }
      : this.#fault('answered with neither outcomes nor a job', true);
  }

  #fault(what: string, maybe: boolean): Answer {
    return { kind: 'broken', broken: this.fault(what), maybe };
  }

  /** What a person is told of a connector that breaks its own contract. */
  fault(what: string): Broken {
    return {
      message: `The connector ${this.#connector.name} ${what}. The delivery stopped; whoever has no answer stays in the next delta.`,
      wayOut: `This is a fault of the connector, not of your files or of the platform: report it, with this message.`,
    };
  }
}

const KINDS: ReadonlySet<unknown> = new Set(['delivered', 'accepted', 'rejected', 'retry'] satisfies Outcome['kind'][]);

/** What was seen of the exchanges of one call. */
interface Seen {
  began: number;
  changed: number;
  /** A port of ours ended the call, not the platform. */
  closed?: { readonly error: unknown };
}

/** Keeps what a port throws inside a connector's request, because a connector is free to wrap it. */
async function port(seen: Seen, use: () => Promise<void>): Promise<void> {
  try {
    await use();
  } catch (error) {
    seen.closed = { error };
    throw error;
  }
}

function closed(error: unknown, maybe: boolean): Answer {
  return error instanceof NoPermit ? { kind: 'no-permit', at: error.at, maybe } : { kind: 'failed', error };
}
