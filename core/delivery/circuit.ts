import type { Broken } from './halt.ts';
import type { Entry } from './load.ts';
import type { Patience } from './patience.ts';

/**
 * This many members refused alone, for one reason, with none taken in between: then it is not the members. They are kept, not rejected.
 * Ours: the price of finding it out, against the chance that so many bad rows meet.
 */
export const ALONE_IN_A_ROW = 8;

/** What all batches of a destination know together: whether it answers at all, and whether it takes anybody. */
export class Circuit {
  readonly #destination: string;
  readonly #patience: Patience;
  #failures = 0;
  #since = 0;
  #refused: { readonly entry: Entry; readonly reason: string }[] = [];
  /** Grows whenever something was taken. */
  taken = 0;

  /** Called when the destination answers again. */
  readonly onRecovery: (() => void)[] = [];

  constructor(destination: string, patience: Patience) {
    this.#destination = destination;
    this.#patience = patience;
  }

  /** Failures in a row, of all batches. */
  get failures(): number {
    return this.#failures;
  }

  /** Any answer of the platform itself, a refusal too. */
  answered(): void {
    if (this.#failures === 0) return;
    this.#failures = 0;
    for (const recovered of this.onRecovery) recovered();
  }

  /** No answer, or one that means "not now". Returns why to stop, once there were too many in a row for too long. */
  failed(message: string, now: number): Broken | undefined {
    if (this.#failures === 0) this.#since = now;
    this.#failures += 1;
    const seconds = Math.round((now - this.#since) / 1_000);
    if (this.#failures < this.#patience.circuitFailures || now - this.#since < this.#patience.circuitMs) return undefined;
    return {
      message:
        `${this.#destination} answered nothing usable for ${seconds} seconds: ${this.#failures} requests in a row failed (the last: ${message}). ` +
        `The delivery stopped; whoever has no answer stays in the next delta.`,
      wayOut: `It answered nothing for ${seconds} seconds: look whether the platform is up and reachable from here, then run the sync again.`,
    };
  }

  /** Something was taken. Returns the members refused alone before: so it was them. */
  accepted(): readonly { readonly entry: Entry; readonly reason: string }[] {
    this.taken += 1;
    return this.release();
  }

  /** A member refused alone. It is held back until something is taken; returns why to stop, once too many are held for one reason. */
  alone(entry: Entry, reason: string): Broken | undefined {
    this.#refused.push({ entry, reason });
    const last = this.#refused.slice(-ALONE_IN_A_ROW);
    if (last.length < ALONE_IN_A_ROW || last.some((one) => one.reason !== reason)) return undefined;
    return {
      message:
        `${this.#destination} refused ${ALONE_IN_A_ROW} members in a row, each alone and all for the same reason (${reason}), and took nobody in between. ` +
        `So it is not the members: none of them counts as rejected, and all stay in the next delta.`,
      wayOut: `Compare the settings of ${this.#destination} with the platform: the list, its fields and its terms. Then run the sync again.`,
    };
  }

  /** The members held back, who are nobody's concern here any more. */
  release(): readonly { readonly entry: Entry; readonly reason: string }[] {
    const held = this.#refused;
    this.#refused = [];
    return held;
  }
}

/** While a destination answers nobody, the loads that failed already go on trying it, and the others wait for what comes of that. */
export class Probes {
  readonly #circuit: Circuit;
  readonly #enough: number;
  readonly #trying = new Set<object>();
  #held: (() => void)[] = [];

  /** @param enough failures in a row that are no accident: as many as are in flight at once */
  constructor(circuit: Circuit, enough: number) {
    this.#circuit = circuit;
    this.#enough = enough;
    circuit.onRecovery.push(() => this.wake());
  }

  /** Whether a load may send. The first that asks while nobody tries becomes the one who does. */
  admits(load: object): boolean {
    if (this.#circuit.failures <= this.#enough || this.#trying.has(load)) return true;
    if (this.#trying.size > 0) return false;
    this.#trying.add(load);
    return true;
  }

  /** The load has failed and tries again. */
  add(load: object): void {
    this.#trying.add(load);
  }

  done(load: object): void {
    if (this.#trying.delete(load)) this.wake();
  }

  /** Until it is worth asking `admits` again. */
  async change(): Promise<void> {
    // It may have changed since the answer of `admits`.
    if (this.#circuit.failures <= this.#enough || this.#trying.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#held.push(resolve);
    });
  }

  wake(): void {
    for (const resolve of this.#held.splice(0)) resolve();
  }
}
