import { createHash } from 'node:crypto';
import { type DurableContext, NestingType } from '@aws/durable-execution-sdk-js';
import type { Durable } from '../core/ports.ts';
import type { verifyReceipt } from '../core/forget/receipt.ts';
import type { ForgetRequest } from '../core/forget/request.ts';
import type { Tasks } from '../core/run/ports.ts';
import type { RunReport } from '../core/run/report.ts';
import type { Metered } from '../core/run/usage.ts';
import { failureOf, TaskFailed, type TaskFailure } from './failure.ts';
import type { PublishInput } from './outcome.ts';
import type { Answered, Asked } from './worker.ts';

/** Besides the steps of every run: what only a run on AWS asks of another function, and what a person asks of a deployment. */
export type AwsTasks = Tasks & {
  /** Law 11: refuses a plan with somebody in it who may not be sent any more. Reads tables. */
  withdrawn(input: { readonly run: string; readonly audience: string; readonly now: number }): Promise<Metered>;
  /** Law 8: takes out of one sync whoever refused or was erased, although its run is held. */
  demanded(input: {
    readonly run: string;
    readonly audience: string;
    readonly destination: string;
    readonly tick: number;
  }): Promise<{ readonly removed: RunReport | null }>;
  /**
   * Erases whom a request names, as far as it goes now: a text in OpenDSR form, or a request as it is kept. `later`: it is only written down.
   * `continue` goes on with all that are not done; `cancel` takes back one that is pending.
   */
  forget(input: { readonly request: string | ForgetRequest; readonly later?: boolean }): Promise<Forgotten>;
  continue(input: Record<never, never>): Promise<Forgotten>;
  cancel(input: { readonly erasure: string }): Promise<Forgotten>;
  /** Whether a receipt of an erasure is as this deployment signed it. */
  verify(input: { readonly receipt: string }): Promise<{ readonly verdict: Awaited<ReturnType<typeof verifyReceipt>> }>;
  /** Stops sending people before the tables know, and takes that back. @param at epoch ms of the withdrawal */
  withdraw(input: {
    readonly customers: readonly string[];
    readonly purposes: readonly string[];
    readonly at: number;
  }): Promise<null>;
  lift(input: {
    readonly customers: readonly string[];
    readonly purposes: readonly string[];
  }): Promise<{ readonly lifted: number }>;
  /** Takes everybody out of a sync that no file speaks of any more, or, `abandon`, only out of its ledger. */
  retire(input: Sync & { readonly tick: number; readonly abandon: boolean }): Promise<{ readonly report: RunReport | null }>;
  /** Drops a plan. */
  reject(input: { readonly run: string }): Promise<null>;
  /** Makes an earlier generation of a sync current again. */
  rollback(input: Sync & { readonly generation: string }): Promise<null>;
  /** Forgets the rejections of a sync. */
  retry(input: Sync): Promise<null>;
  /** Tells the outcome of a run. */
  publish(input: PublishInput): Promise<null>;
};

interface Sync {
  readonly audience: string;
  readonly destination: string;
}

/** Of erasures only their names and where they stand. */
export interface Forgotten {
  readonly erasures: readonly { readonly id: string; readonly status: string }[];
}

/** Where the steps of a run are done. A step that is not named in either is a defect. */
export interface Places {
  /** Steps of the run itself: small, over the table alone. */
  readonly here: Partial<AwsTasks>;
  /** Step -> ARN of the function that has the privileges for it. */
  readonly workers: Readonly<Partial<Record<keyof AwsTasks, string>>>;
  readonly holder: string;
  /** Of this execution, so that no other asks for an attempt of the same name. */
  readonly execution: string;
}

/** The execution has done all it may; what is left is done by the next one. */
export class OutOfOperations extends Error {
  constructor() {
    super('This execution has come to the end of its operations.');
    this.name = 'OutOfOperations';
  }
}

/** An execution may have 3,000 operations (docs/adr/0031): a third is kept for what was not foreseen. */
export const OPERATIONS = 2_000;
/** Tries of a step, and the waits between them in seconds. Not random: a replay must ask for the same. */
const WAITS = [2, 10, 30, 60];
/** A query that outlives its worker is waited for by the next, this often at most: half a day of workers. */
const SAME_MAX = 48;

export interface Allowance {
  left: number;
}

type Branch<O> = { readonly used: number } & ({ readonly value: O } | { readonly failed: TaskFailure } | { readonly out: true });

/**
 * The port `Durable` over a durable execution of Lambda. Every operation is counted against an allowance before it is begun, and each
 * branch of a map has a share of its own: what a branch does must not depend on how fast the others are, or a replay would differ.
 *
 * Throws `TaskFailed` for a step that failed for good, `OutOfOperations` when the allowance is used up.
 */
export const durableOver = (
  context: DurableContext,
  places: Places,
  allowance: Allowance = { left: OPERATIONS },
  prefix = '',
): Durable<AwsTasks> => scope(context, places, allowance, prefix);

function scope(context: DurableContext, places: Places, allowance: Allowance, prefix: string): Durable<AwsTasks> {
  return {
    async call(name, task, input) {
      const worker = places.workers[task];
      if (worker === undefined) {
        const local = places.here[task] as ((input: unknown) => Promise<unknown>) | undefined;
        if (local === undefined) throw new Error(`There is no place for the step "${task}".`);
        return insist(context, allowance, prefix + name, (full) => stepped(context, full, () => local(input))) as never;
      }
      return insist(context, allowance, prefix + name, (full, attempt) => {
        const asked: Asked = {
          task,
          input: input as Asked['input'],
          holder: places.holder,
          attempt: attemptName(places, prefix + name, attempt),
        };
        // Whatever ends a worker without an answer (its time, its memory, its machine) is worth another try.
        return context
          .invoke<Asked, Answered>(full, worker, asked)
          .catch((error: unknown): Answered => ({ failed: lost(task, error) }));
      }) as never;
    },
    async map<I, O>(
      name: string,
      items: readonly I[],
      concurrency: number,
      fn: (scope: Durable<AwsTasks>, item: I, index: number) => Promise<O>,
    ): Promise<O[]> {
      if (items.length === 0) return [];
      const branches: Branch<O>[] = [];
      if (concurrency <= 1 || items.length === 1) {
        for (const [i, item] of items.entries()) {
          const inner = scope(context, places, allowance, `${prefix}${name} ${i}/`);
          branches.push(await branchOf(() => fn(inner, item, i), allowance));
        }
      } else {
        spend(allowance, 1 + items.length);
        const share = Math.floor(allowance.left / items.length);
        const done = await context.map<I, Branch<O>>(
          prefix + name,
          [...items],
          async (child, item, i) => {
            const own = { left: share };
            return branchOf(() => fn(scope(child, places, own, `${prefix}${name} ${i}/`), item, i), own);
          },
          // Explicit: by default a map ends at its first failure, and the branches would be stranded.
          {
            maxConcurrency: concurrency,
            nesting: NestingType.FLAT,
            itemNamer: (_, i) => `${name} ${i}`,
            completionConfig: { toleratedFailureCount: items.length },
          },
        );
        done.throwIfError();
        branches.push(...done.getResults());
        allowance.left -= branches.reduce((sum, { used }) => sum + used, 0);
      }
      return valuesOf(branches);
    },
    async waitUntil(name, epochMs) {
      spend(allowance, 1);
      // The first time decides: on a replay the wait is known, and what is computed here is not looked at.
      await context.wait(prefix + name, { seconds: Math.max(1, Math.ceil((epochMs - Date.now()) / 1_000)) });
    },
  };
}

/** A step that is done here and not by a worker. Throws `TaskFailed`, `OutOfOperations`, and what nobody foresaw. */
export const stepOver =
  (context: DurableContext, allowance: Allowance): Step =>
  async <T>(name: string, fn: () => Promise<T>): Promise<T> =>
    (await insist(context, allowance, name, (full) => stepped(context, full, fn))) as T;

export type Step = <T>(name: string, fn: () => Promise<T>) => Promise<T>;

/** The step's own retries are off: what failed is told, and decided on here like a worker's. */
const stepped = (context: DurableContext, name: string, fn: () => Promise<unknown>): Promise<Answered> =>
  context.step<Answered>(
    name,
    async () => {
      try {
        return { result: (await fn()) ?? null };
      } catch (error) {
        const failed = failureOf(error);
        if (failed === undefined) throw error;
        return { failed };
      }
    },
    { retryStrategy: () => ({ shouldRetry: false }) },
  );

/** Asks until there is a result or no hope, with waits that grow. */
async function insist(
  context: DurableContext,
  allowance: Allowance,
  name: string,
  ask: (name: string, attempt: number) => Promise<Answered>,
): Promise<unknown> {
  let [tries, waits] = [1, 1];
  for (let turn = 1; ; turn++) {
    spend(allowance, 1);
    const answer = await ask(turn === 1 ? name : `${name} (${turn})`, tries);
    if (!('failed' in answer)) return answer.result;
    const { again } = answer.failed;
    const same = again === 'same' && waits < SAME_MAX;
    const wait = same ? 1 : again === 'no' ? undefined : WAITS[tries - 1];
    if (wait === undefined) throw new TaskFailed(answer.failed);
    if (same) waits += 1;
    else tries += 1;
    spend(allowance, 1);
    await context.wait(`${name}: before ${turn + 1}`, { seconds: wait });
  }
}

function spend(allowance: Allowance, operations: number): void {
  if (allowance.left < operations) throw new OutOfOperations();
  allowance.left -= operations;
}

/** What a branch came to, as a value: the others go on, and it is the same when it is read from the checkpoint. */
async function branchOf<O>(run: () => Promise<O>, allowance: Allowance): Promise<Branch<O>> {
  const before = allowance.left;
  try {
    const value: O = await run();
    return { value, used: before - allowance.left };
  } catch (error) {
    const used = before - allowance.left;
    if (error instanceof OutOfOperations) return { out: true, used };
    if (error instanceof TaskFailed) return { failed: error.failure, used };
    throw error;
  }
}

/** All values; else the end of the operations, which is not a failure; else the first failure. */
function valuesOf<O>(branches: readonly Branch<O>[]): O[] {
  const values: O[] = [];
  for (const branch of branches) if ('value' in branch) values.push(branch.value);
  if (values.length === branches.length) return values;
  if (branches.some((branch) => 'out' in branch)) throw new OutOfOperations();
  const failed = branches.find((branch) => 'failed' in branch);
  throw failed !== undefined && 'failed' in failed ? new TaskFailed(failed.failed) : new OutOfOperations();
}

/** A name for files that nobody else writes: of this execution, this step and this try. */
const attemptName = ({ execution }: Places, step: string, attempt: number): string =>
  `a${createHash('sha256').update(`${execution}\0${step}`).digest('hex').slice(0, 12)}-${attempt}`;

const lost = (task: string, error: unknown): TaskFailure => ({
  name: 'WorkerLost',
  message:
    `The step "${task}" ended without an answer, several times (${error instanceof Error ? error.name : 'unknown'}). ` +
    `Nothing that was acknowledged has changed. The log of its function says why.`,
  again: 'anew',
});
