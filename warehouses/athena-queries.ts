import { createHash } from 'node:crypto';
import {
  type AthenaClient,
  GetQueryExecutionCommand,
  type QueryExecution,
  StartQueryExecutionCommand,
  StopQueryExecutionCommand,
} from '@aws-sdk/client-athena';
import { type Clock, WarehouseError, type WarehouseUsage } from '../core/ports.ts';
import { isBusy, Momentary, queryError, requestError } from './athena-errors.ts';

/** "Query string: 262,144 bytes", https://docs.aws.amazon.com/athena/latest/ug/service-limits.html, read 2026-11-22. */
const LONGEST_QUERY = 262_144;
/** Dollars a byte scanned: $5 a terabyte. https://aws.amazon.com/athena/pricing, read 2026-11-22. Regions differ a little. */
const USD_PER_BYTE = 5 / 1e12;
/** "Rounded up to the nearest megabyte, with a 10 MB minimum per query", same page. */
const [MEGABYTE, LEAST_BYTES] = [2 ** 20, 10 * 2 ** 20];
/** A query that failed through no fault of its own is started so often in all. */
const TRIES = 3;
const [FIRST_POLL_MS, SLOWEST_POLL_MS] = [200, 5000];

export interface QueriesOptions {
  readonly athena: AthenaClient;
  readonly clock: Clock;
  readonly workGroup: string;
  /** Epoch milliseconds after which nobody waits any more: the query goes on, and whoever asks for it again finds it. */
  readonly deadline?: number;
}

/**
 * Queries of one workgroup: started once, however often they are asked for, and waited for. What decides whether two are the same is the
 * token, made of the text and of what the caller adds to it.
 */
export class AthenaQueries {
  readonly #options: QueriesOptions;
  readonly #running = new Set<string>();
  #usage = { queries: 0, scannedBytes: 0, billedBytes: 0 };

  constructor(options: QueriesOptions) {
    this.#options = options;
  }

  /** What all queries so far read and cost, failed ones too. */
  get usage(): WarehouseUsage {
    return { ...this.#usage, usd: this.#usage.billedBytes * USD_PER_BYTE };
  }

  /**
   * Runs a query to its end. A query that failed and may succeed when asked again is asked again, under another number.
   * @param textOf the text of a try, from 0
   * @param scope told apart from queries of the same text elsewhere
   * @throws WarehouseError; of kind `retryable` at the deadline: the same call then goes on waiting for the same query
   */
  async run(textOf: (attempt: number) => string, scope: string): Promise<QueryExecution & { readonly attempt: number }> {
    for (let attempt = 0; ; attempt++) {
      const id = await this.start(textOf(attempt), `${scope} ${attempt}`);
      try {
        return { ...(await this.outcome(id)), attempt };
      } catch (error) {
        if (!(error instanceof Momentary) || attempt + 1 >= TRIES) throw error;
        await this.#pause(1000 * 2 ** attempt);
      }
    }
  }

  /** Starts a query, or finds the one that was started with the same text and scope. Waits while the account's queue is full. */
  async start(text: string, scope: string): Promise<string> {
    const bytes = Buffer.byteLength(text);
    if (bytes > LONGEST_QUERY)
      throw new WarehouseError(
        `The query is ${bytes.toLocaleString('en-US')} bytes long, and Athena takes ${LONGEST_QUERY.toLocaleString('en-US')}. Name fewer values in the rule, or put them into a table.`,
        'user',
      );
    const ClientRequestToken = createHash('sha256')
      .update(JSON.stringify([this.#options.workGroup, scope, text]))
      .digest('hex');
    const command = { QueryString: text, WorkGroup: this.#options.workGroup, ClientRequestToken };
    for (let wait = FIRST_POLL_MS * 5; ; wait = Math.min(2 * wait, 60_000)) {
      try {
        const { QueryExecutionId = '' } = await this.#options.athena.send(new StartQueryExecutionCommand(command));
        this.#running.add(QueryExecutionId);
        return QueryExecutionId;
      } catch (error) {
        if (!isBusy(error) || wait >= 60_000) throw requestError(error);
        await this.#pause(wait * (0.5 + this.#options.clock.random()));
      }
    }
  }

  /** Waits for a query that was started. */
  async outcome(id: string): Promise<QueryExecution> {
    for (let wait = FIRST_POLL_MS; ; wait = Math.min(1.5 * wait, SLOWEST_POLL_MS)) {
      const execution = await this.#look(id);
      const { State: state, StateChangeReason: reason = '', AthenaError: error } = execution?.Status ?? {};
      if (state === 'SUCCEEDED' || state === 'FAILED' || state === 'CANCELLED') {
        this.#running.delete(id);
        this.#count(execution);
        if (state === 'SUCCEEDED') return execution ?? {};
        throw queryError(state, id, reason, error);
      }
      await this.#pause(wait, id);
    }
  }

  /** Stops what is still being waited for: a person who ends a command does not pay for the rest. */
  async stop(): Promise<void> {
    const ids = [...this.#running];
    this.#running.clear();
    for (const QueryExecutionId of ids)
      await this.#options.athena.send(new StopQueryExecutionCommand({ QueryExecutionId })).catch(() => undefined);
  }

  async #look(id: string): Promise<QueryExecution | undefined> {
    try {
      return (await this.#options.athena.send(new GetQueryExecutionCommand({ QueryExecutionId: id }))).QueryExecution;
    } catch (error) {
      if (isBusy(error)) return undefined;
      throw requestError(error);
    }
  }

  #count(execution: QueryExecution | undefined): void {
    const scanned = execution?.Statistics?.DataScannedInBytes ?? 0;
    this.#usage.queries += 1;
    this.#usage.scannedBytes += scanned;
    // A query that failed costs nothing; one that was stopped costs what it had read.
    if (execution?.Status?.State !== 'FAILED')
      this.#usage.billedBytes += Math.max(LEAST_BYTES, Math.ceil(scanned / MEGABYTE) * MEGABYTE);
  }

  async #pause(ms: number, id?: string): Promise<void> {
    const { clock, deadline } = this.#options;
    if (deadline !== undefined && clock.now() + ms > deadline) {
      if (id !== undefined) this.#running.delete(id);
      throw new StillRunning();
    }
    await clock.sleep(ms);
  }
}

/** The time of whoever waited is up, not the query's: asked for again with the same text and scope, it is found and waited for. */
export class StillRunning extends WarehouseError {
  constructor() {
    super(
      'Athena still works on the query, and the time to wait for it is up. The same step, started again, goes on waiting.',
      'retryable',
    );
    this.name = 'StillRunning';
  }
}
