import type { Clock, Tokens } from '../core/ports.ts';
import { ConditionFailed, type Item, type Key, n, numberOf, s, type Table, textOf } from './dynamo-table.ts';

const tokenKey = (grant: string): Key => ({ pk: `token#${grant}`, sk: 'token' });

/** Access tokens in DynamoDB, sealed by who made them. `turn` grows with every maker, so that a late one is known. */
export function dynamoTokens(table: Table, clock: Clock): Tokens {
  return {
    async take(grant, leaseMs) {
      const now = Math.floor(clock.now());
      const held = await table.get(tokenKey(grant));
      if (textOf(held, 'sealed') !== '' && numberOf(held, 'until') > now)
        return { kind: 'token', token: { sealed: textOf(held, 'sealed'), until: numberOf(held, 'until') } };
      if (numberOf(held, 'turnUntil') > now) return { kind: 'wait' };
      const turn = numberOf(held, 'turn') + 1;
      const next: Item = { sealed: s(''), until: n(0), turn: n(turn), turnUntil: n(now + leaseMs) };
      // Somebody who was faster makes it, or has made it: the next question tells.
      const first = { condition: 'attribute_not_exists(pk)' };
      const after = {
        condition: 'turn = :turn AND sealed = :sealed',
        values: { ':turn': n(turn - 1), ':sealed': s(textOf(held, 'sealed')) },
      };
      return (await wrote(table.put(tokenKey(grant), next, held === undefined ? first : after)))
        ? { kind: 'make', turn }
        : { kind: 'wait' };
    },
    async put(grant, turn, { sealed, until }) {
      await wrote(
        table.update(tokenKey(grant), {
          set: '#sealed = :sealed, #until = :until, #turnUntil = :never',
          where: '#turn = :turn',
          values: { ':sealed': s(sealed), ':until': n(Math.floor(until)), ':never': n(0), ':turn': n(turn) },
        }),
      );
    },
    async release(grant, turn) {
      await wrote(
        table.update(tokenKey(grant), {
          set: '#turnUntil = :never',
          where: '#turn = :turn',
          values: { ':never': n(0), ':turn': n(turn) },
        }),
      );
    },
    async drop(grant, sealed) {
      await wrote(
        table.update(tokenKey(grant), {
          set: '#sealed = :none, #until = :never',
          where: '#sealed = :sealed',
          values: { ':none': s(''), ':never': n(0), ':sealed': s(sealed) },
        }),
      );
    },
  };
}

/** Whether a conditional write held. */
async function wrote(write: Promise<unknown>): Promise<boolean> {
  try {
    await write;
    return true;
  } catch (error) {
    if (error instanceof ConditionFailed) return false;
    throw error;
  }
}
