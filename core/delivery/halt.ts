import type { Clock } from '../ports.ts';

/** What stopped a delivery for good: what is wrong, and the way out. */
export interface Broken {
  readonly message: string;
  readonly wayOut: string;
}

/**
 * Why a delivery takes nothing new. The first cause that breaks it is the one that is told; requests that are out are still waited
 * for, because their answers are true whatever happened meanwhile.
 */
export class Halt {
  readonly #abort = new AbortController();
  broken: Broken | undefined;
  /** Epoch ms from which it makes sense to come back; the latest that anybody asked for. */
  resumeAt: number | undefined;
  /** A port failed (a full disk, a lost store): thrown to the caller. */
  failure: { readonly error: unknown } | undefined;

  get on(): boolean {
    return this.#abort.signal.aborted;
  }

  /** Aborted when the delivery halts: wakes everybody who waits. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  break(broken: Broken): void {
    this.broken ??= broken;
    this.#abort.abort();
  }

  later(at: number): void {
    this.resumeAt = Math.max(this.resumeAt ?? 0, at);
    this.#abort.abort();
  }

  stop(): void {
    this.#abort.abort();
  }

  fail(error: unknown): void {
    this.failure ??= { error };
    this.#abort.abort();
  }
}

/** Sleeps, and says whether the time passed (`true`) or the signal woke it (`false`). */
export async function rest(clock: Clock, ms: number, signal?: AbortSignal): Promise<boolean> {
  if (signal?.aborted) return false;
  if (ms <= 0) return true;
  try {
    await clock.sleep(ms, signal);
    return !signal?.aborted;
  } catch (error) {
    if (signal?.aborted) return false;
    throw error;
  }
}
