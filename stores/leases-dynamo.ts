import type { Clock, Leases } from '../core/ports.ts';
import { ConditionFailed, type Item, type Key, n, numberOf, s, type Table, textOf } from './dynamo-table.ts';

export const leaseKey = (sync: string): Key => ({ pk: `lease#${sync}`, sk: 'lease' });

/**
 * Leases in DynamoDB. The item stays when its lease was given back, because its fence must not start again. Time is the caller's:
 * clocks of Lambda's machines are together within milliseconds, and a lease lasts a minute or more; the fence covers what is left.
 */
export function dynamoLeases(table: Table, clock: Clock): Leases {
  const now = (): number => Math.floor(clock.now());
  const ours = { '#holder': '#holder = :holder AND #fence = :fence' };

  return {
    async acquire(sync, holder, ttlMs) {
      if (holder === '') throw new RangeError('A lease needs the name of its holder.');
      const key = leaseKey(sync);
      const until = now() + ttlMs;
      const taken = await outcomeOf(
        table.update(key, {
          set: '#holder = :holder, #fence = if_not_exists(#fence, :zero) + :one, #since = :now, #until = :until',
          where: 'attribute_not_exists(#holder) OR #holder = :nobody OR (#until <= :now AND #holder <> :holder)',
          values: { ':holder': s(holder), ':zero': n(0), ':one': n(1), ':now': n(now()), ':until': n(until), ':nobody': s('') },
        }),
      );
      if (taken.done) return { sync, holder, fence: numberOf(taken.item, 'fence') };
      if (textOf(taken.item, 'holder') !== holder)
        return { heldBy: textOf(taken.item, 'holder'), since: numberOf(taken.item, 'since') };
      // Our own, taken again (or a request that was sent twice and met itself).
      const fence = numberOf(taken.item, 'fence');
      if (await lengthen(table, key, holder, fence, until)) return { sync, holder, fence };
      return this.acquire(sync, holder, ttlMs);
    },
    // Past its time and not yet taken, it is still ours: nobody can have worked in between.
    renew: ({ sync, holder, fence }, ttlMs) => lengthen(table, leaseKey(sync), holder, fence, now() + ttlMs),
    async release({ sync, holder, fence }) {
      await outcomeOf(
        table.update(leaseKey(sync), {
          set: '#holder = :nobody',
          where: ours['#holder'],
          values: { ':holder': s(holder), ':fence': n(fence), ':nobody': s('') },
        }),
      );
    },
  };
}

/** Never shortens: another worker of the same run may have asked for longer. False when the lease is not ours. */
async function lengthen(table: Table, key: Key, holder: string, fence: number, until: number): Promise<boolean> {
  const { done, item } = await outcomeOf(
    table.update(key, {
      set: '#until = :until',
      where: '#holder = :holder AND #fence = :fence AND #until < :until',
      values: { ':holder': s(holder), ':fence': n(fence), ':until': n(until) },
    }),
  );
  return done || (textOf(item, 'holder') === holder && numberOf(item, 'fence') === fence);
}

async function outcomeOf(update: Promise<Item>): Promise<{ readonly done: boolean; readonly item: Item | undefined }> {
  try {
    return { done: true, item: await update };
  } catch (error) {
    if (error instanceof ConditionFailed) return { done: false, item: error.item };
    throw error;
  }
}
