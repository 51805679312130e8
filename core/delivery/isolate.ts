import type { Clock } from '../ports.ts';
import { ALONE_IN_A_ROW, type Circuit } from './circuit.ts';
import type { Halt } from './halt.ts';
import type { Entry } from './load.ts';

/** Rows refused together, without a word on which of them. */
export interface Refused {
  readonly entries: readonly Entry[];
  readonly reason: string;
}

export interface IsolationParts {
  readonly circuit: Circuit;
  readonly halt: Halt;
  readonly clock: Clock;
  /** Sends rows until each has its outcome; answers with those that were refused together. */
  readonly settle: (entries: readonly Entry[]) => Promise<Refused | undefined>;
  readonly answer: (entries: readonly Entry[], kind: 'rejected' | 'retry', reason: string) => Promise<void>;
  /** Rows that a halt leaves without an outcome. */
  readonly leave: (entries: readonly Entry[]) => void;
}

/** Requests that finding the poison rows of one batch may cost; what is not found then waits for the next run. */
const mostRequests = (rows: number): number => 32 + Math.ceil(rows / 10);

/**
 * Finds the rows that make a batch be refused: halves, and halves of the refused halves, round by round. When a whole round is refused
 * and nothing was taken meanwhile, a few rows from all over the batch are tried alone first: if all of them are refused for the same
 * reason, it is not the rows (`Circuit.alone`).
 */
export async function isolate(refused: Refused, parts: IsolationParts): Promise<void> {
  const { circuit, halt } = parts;
  const most = mostRequests(refused.entries.length);
  const taken = circuit.taken;
  let [requests, probed, reason] = [0, false, refused.reason];

  const send = async (groups: readonly (readonly Entry[])[]): Promise<readonly Refused[]> => {
    const affordable = groups.slice(0, Math.max(0, most - requests));
    requests += affordable.length;
    await parts.answer(groups.slice(affordable.length).flat(), 'retry', `not-isolated: ${reason}`);
    const answers = await Promise.all(affordable.map((group) => parts.settle(group)));
    return answers.filter((one) => one !== undefined);
  };
  const alone = async (found: readonly Refused[]): Promise<void> => {
    // Where others of the batch were taken, it is the row. Else that has to show first.
    const blamed = circuit.taken !== taken;
    if (blamed) await Promise.all(found.map(({ entries, reason: why }) => parts.answer(entries, 'rejected', why)));
    else {
      for (const { entries, reason: why } of found) {
        const broken = circuit.alone(entries[0] as Entry, why);
        if (broken !== undefined) halt.break(broken);
      }
    }
  };

  let open: readonly Refused[] = [refused];
  while (open.length > 0) {
    await alone(open.filter(({ entries }) => entries.length === 1));
    const many = open.filter(({ entries }) => entries.length > 1);
    if (halt.on) return parts.leave(many.flatMap(({ entries }) => entries));
    const groups = many.flatMap(({ entries }) => halves(entries));
    open = await send(groups);
    reason = open[0]?.reason ?? reason;
    if (!probed && open.length > 0 && open.length === groups.length && circuit.taken === taken && !halt.on) {
      probed = true;
      const samples = spread(
        open.flatMap(({ entries }) => entries),
        ALONE_IN_A_ROW,
        parts.clock,
      );
      await alone(await send(samples.map((entry) => [entry])));
      open = open
        .map((one) => ({ reason: one.reason, entries: one.entries.filter((entry) => !samples.includes(entry)) }))
        .filter(({ entries }) => entries.length > 0);
    }
  }
}

const halves = <T>(items: readonly T[]): T[][] => {
  const middle = Math.ceil(items.length / 2);
  return [items.slice(0, middle), items.slice(middle)];
};

/** Up to `count` items from all over: a random one of each of as many equal stretches, because bad rows may come at regular distances. */
const spread = <T>(items: readonly T[], count: number, clock: Clock): T[] =>
  items.length <= count
    ? [...items]
    : Array.from({ length: count }, (_, i) => items[Math.floor(((i + clock.random()) * items.length) / count)] as T);
