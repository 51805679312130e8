import type { Budgets, Clock } from '../core/ports.ts';
import { NO_RESERVATIONS, pause, type Reservations, reserve } from '../core/reservation.ts';
import { StoreUnavailable } from '../core/store-errors.ts';
import { ConditionFailed, type Item, type Key, n, numberOf, s, type Table, textOf } from './dynamo-table.ts';

const budgetKey = (destination: string): Key => ({ pk: `budget#${destination}`, sk: 'budget' });
/** Writes of one grant that may meet another's. Each meets somebody who got on, so a worker is starved only by many others. */
const TRIES = 40;

/**
 * Budgets in DynamoDB: core/reservation.ts decides over all windows at once, and the write holds only on the version it was decided
 * on. What this worker wrote last is tried first, so that a lone worker writes once a grant and reads nothing.
 */
export function dynamoBudgets(table: Table, clock: Clock): Budgets {
  const known = new Map<string, Item | undefined>();

  const change = async <T>(
    destination: string,
    decide: (state: Reservations) => { readonly next: Reservations; readonly result: T },
  ): Promise<T> => {
    const key = budgetKey(destination);
    if (!known.has(destination)) known.set(destination, await table.get(key));
    for (let attempt = 1; ; attempt++) {
      const held = known.get(destination);
      const version = numberOf(held, 'version');
      const { next, result } = decide(stateOf(held));
      const item: Item = { version: n(version + 1), reservations: s(JSON.stringify(next)) };
      try {
        await table.put(
          key,
          item,
          held === undefined
            ? { condition: 'attribute_not_exists(pk)' }
            : { condition: 'version = :version', values: { ':version': n(version) } },
        );
        known.set(destination, item);
        return result;
      } catch (error) {
        known.delete(destination);
        if (!(error instanceof ConditionFailed)) throw error;
        if (attempt === TRIES)
          throw new StoreUnavailable(`The budget of ${destination}`, `${TRIES} writes met another`, { cause: error });
        known.set(destination, error.item ?? (await table.get(key)));
        await table.pause(Math.min(attempt, 4));
      }
    }
  };

  return {
    reserve: (destination, windows, permits) =>
      change(destination, (state) => {
        const { grant, next } = reserve(state, windows, permits, clock.now());
        return { next, result: grant };
      }),
    async pause(destination, until) {
      await change(destination, (state) => ({ next: pause(state, until), result: undefined }));
    },
    async pausedUntil(destination) {
      return stateOf(await table.get(budgetKey(destination))).pausedUntil;
    },
  };
}

const stateOf = (item: Item | undefined): Reservations =>
  item === undefined ? NO_RESERVATIONS : (JSON.parse(textOf(item, 'reservations')) as Reservations);
