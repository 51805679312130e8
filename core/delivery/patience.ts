import type { Clock } from '../ports.ts';

/** How long and how often a delivery tries. All of it is ours: what a platform documents is in its connector, what it says is obeyed first. */
export interface Patience {
  /** A request that keeps failing, or a wait that a platform asks for, ends here. Milliseconds. */
  readonly requestMs: number;
  /** A row is sent at most this often before it gets the outcome `retry`; waits for a throttled destination are not counted. */
  readonly rowTries: number;
  /** Full jitter: a wait is between 0 and `baseMs` * 2^tries, at most `capMs`. */
  readonly baseMs: number;
  readonly capMs: number;
  /** The circuit opens after this many failures in a row, from all batches together, if they also span this long. */
  readonly circuitFailures: number;
  readonly circuitMs: number;
  /** A job that is not done after this long is given up: its rows are `unknown`. */
  readonly jobMs: number;
}

export const PATIENCE: Patience = {
  requestMs: 10 * 60_000,
  // Together these take longer than `circuitMs`: where nobody is answered the circuit decides, and rows are not given up one by one.
  rowTries: 10,
  baseMs: 500,
  capMs: 60_000,
  circuitFailures: 10,
  circuitMs: 60_000,
  jobMs: 6 * 60 * 60_000,
};

/**
 * Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/, read 2026-11-22. `tries` counts from 0.
 * Milliseconds.
 */
export function backoff(patience: Patience, tries: number, clock: Clock): number {
  return clock.random() * Math.min(patience.capMs, patience.baseMs * 2 ** tries);
}
