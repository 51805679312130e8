import type { RemoveReason, WithheldReason } from '../delta.ts';
import type { Row } from '../ports.ts';

/**
 * What a run would do with a person at one destination. `unchanged`: the destination holds them as they are; `none`: it holds nothing of
 * them and nothing is to be sent.
 */
export type Next =
  | { readonly do: 'add' | 'update' | 'unchanged' | 'none' }
  | { readonly do: 'remove'; readonly why: RemoveReason }
  | { readonly do: 'withhold'; readonly why: WithheldReason };

/**
 * The decision of a diff (core/run/diff.ts) about one person: what its SQL made of them, and what normalisation adds.
 * @param candidate the row of `candidatesQuery`, undefined for none
 * @param usable whether any identifier of theirs can be sent
 * @param erased whether one of their identifiers belonged to an erased person
 * @param held whether the ledger has them
 */
export function decisionOf(candidate: Row | undefined, usable: boolean, erased: boolean, held: boolean): Next {
  if (candidate === undefined) return { do: held ? 'unchanged' : 'none' };
  const reason = candidate['reason'];
  switch (candidate['op']) {
    case 'remove':
      return { do: 'remove', why: reason as RemoveReason };
    case 'withhold':
      return { do: 'withhold', why: reason as WithheldReason };
    case 'parked':
      return { do: 'withhold', why: 'parked' };
    default: {
      const op = candidate['op'];
      const why = erased ? 'erased' : usable ? (op === 'holdout' || op === 'rollout' ? op : undefined) : 'no-identifier';
      if (why === undefined) return { do: op === 'add' ? 'add' : 'update' };
      // Nobody is removed for being outside a rollout: who is held has another op there.
      return held && why !== 'rollout' ? { do: 'remove', why } : { do: 'withhold', why };
    }
  }
}
