import type { Context } from 'aws-lambda';
import type { RunPorts } from '../core/run/ports.ts';
import type { AwsTasks } from './durable.ts';
import { failureOf, type TaskFailure } from './failure.ts';
import { framesOf, log } from './log.ts';

/** What a worker knows of the input of any step. */
export interface AskedInput {
  readonly run?: string;
  readonly audience?: string;
  readonly destination?: string;
  readonly tick?: number;
}

/** What the run asks of a worker. */
export interface Asked {
  readonly task: string;
  readonly input: AskedInput;
  /** Who holds the leases: the run's execution, the same for all of its workers. */
  readonly holder: string;
  readonly attempt: string;
}

export type Answered = { readonly result: unknown } | { readonly failed: TaskFailure };

/** What of `RunPorts` differs from call to call. */
export type PerCall = Pick<RunPorts, 'holder' | 'attempt' | 'deadline' | 'leaseMs'>;

/** The steps of a worker for one call, and what is left behind when it ends. */
export interface Chosen {
  readonly steps: Partial<AwsTasks>;
  close?(): Promise<void>;
}

/** Longer than the fifteen minutes a worker can live, so that a lease outlives the worker that is carried on from. */
export const LEASE_MS = 20 * 60_000;
/** Kept of a function's time for what is out when its deadline comes: one request of a minute, and the last append. */
const HAND_OVER_MS = 75_000;

/**
 * A Lambda handler for some steps of a run. It answers with the result, or with a failure that was foreseen; only what nobody foresaw
 * fails the function, and then without its message, which may quote data. It logs names and times, never the event.
 */
export function worker(
  open: () => Promise<Omit<RunPorts, keyof PerCall>>,
  choose: (ports: RunPorts, input: AskedInput) => Chosen,
): (asked: Asked, context: Context) => Promise<Answered> {
  let opened: ReturnType<typeof open> | undefined;
  return async ({ task, input, holder, attempt }, context) => {
    const began = Date.now();
    const { run, audience, destination } = input;
    const fields = { run, audience, destination, task };
    let chosen: Chosen | undefined;
    try {
      opened ??= open();
      const ports = await opened;
      const deadline = began + Math.max(1_000, context.getRemainingTimeInMillis() - HAND_OVER_MS);
      chosen = choose({ ...ports, holder, attempt, deadline, leaseMs: LEASE_MS }, input);
      const steps = chosen.steps as Readonly<Record<string, ((input: unknown) => Promise<unknown>) | undefined>>;
      const step = Object.hasOwn(steps, task) ? steps[task] : undefined;
      if (step === undefined) throw new Error(`There is no step of this name in the function ${context.functionName}.`);
      const result = await step(input);
      log.info('done', { ...fields, ms: Date.now() - began });
      return { result: result ?? null };
    } catch (error) {
      const failed = failureOf(error);
      const name = error instanceof Error ? error.name : typeof error;
      log.error('failed', {
        ...fields,
        error: name,
        ms: Date.now() - began,
        ...(failed === undefined && { frames: framesOf(error) }),
      });
      // What could not be opened is opened anew by the next call.
      if (failed !== undefined) return { failed };
      opened = undefined;
      throw new Error(
        `The step "${task}" failed in a way nobody foresaw (${name}). The log of ${context.functionName} says where.`,
      );
    }
  };
}
