import type { RunReport } from '../core/run/report.ts';
import { failureOf } from './failure.ts';
import type { RunEvent } from './run-event.ts';

/** A run that came to its end, and what was done beside it. */
export interface Conducted {
  readonly report: RunReport;
  /** An interrupted run of the audience that was carried to its end first. */
  readonly continued?: RunReport;
  /** Who refused or was erased and went although the run was held: it was decided anew without them. */
  readonly demanded?: readonly RunReport[];
}

/** What an execution ends with, and what is told of it. */
export type Outcome =
  | ({ readonly ended: 'report' } & Conducted)
  /**
   * `overlapped`: another run of the audience is under way, and this tick is left to it. `refused`: it may not be done, and says why.
   * `failed`: a step could not be done, in spite of all tries.
   */
  | { readonly ended: 'overlapped' | 'refused' | 'failed'; readonly error: string; readonly message: string }
  /** Its operations are used up; the execution of this name goes on. */
  | { readonly ended: 'continued'; readonly execution: string };

export interface PublishInput {
  readonly run: string;
  readonly audience: string;
  readonly owner: string;
  readonly outcome: Outcome;
}

const REFUSALS = new Set(['PlanRefused', 'PlanHeld', 'StalePlan', 'UnknownName', 'LeaseHeld']);

/** What an error of a run means; undefined for what nobody foresaw. */
export function outcomeOf(error: unknown, event: Pick<RunEvent, 'until'>): Outcome | undefined {
  const failure = failureOf(error);
  if (failure === undefined) return undefined;
  const { name, message } = failure;
  // A person who asked is told; a schedule comes again.
  if (name === 'LeaseHeld' && event.until === 'record') return { ended: 'overlapped', error: name, message };
  return { ended: REFUSALS.has(name) ? 'refused' : 'failed', error: name, message };
}

export const UNFORESEEN: Outcome = {
  ended: 'failed',
  error: 'Unforeseen',
  message: 'The run failed in a way nobody foresaw. Its log says where.',
};
