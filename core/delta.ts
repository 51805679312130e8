import type { Basis } from './model.ts';
import type { Grant, Identifier, Outcome, TraitValue } from './connector.ts';

/**
 * The lines of delta and outcome files: JSON, one object a line, short keys because there are millions.
 * They are the hand-over between diff, deliver and commit, and SQL reads them too (DELTA_COLUMNS).
 */

/** A line of an upsert shard: what the destination is to hold of one member afterwards. */
export interface UpsertLine {
  /** Member key, 32 hex. */
  readonly k: string;
  /** `resend`: what was taken already, because somebody else's removal may have undone it (law 6). */
  readonly op: 'add' | 'update' | 'resend';
  /** Row hash of the snapshot, 16 hex; what the ledger keeps when it is taken. */
  readonly h: string;
  /** Identifiers as sent, `namespace:value`, best first. */
  readonly ids: readonly string[];
  /** What the ledger keeps of `ids` for a later removal; left out when it is all of them. */
  readonly l?: readonly string[];
  readonly t?: Readonly<Record<string, TraitValue>>;
  /** Purpose, basis, jurisdiction of the consent decision, and the grant it rests on where there is one. */
  readonly c: readonly [string, Basis, string | null, Grant?];
  /** What the decision rests on, `evidenceText` of core/evidence.ts. */
  readonly e?: string;
  /** Ids that were merged into this one, where the platform knows people by their id; left out when there is none. */
  readonly m?: readonly string[];
}

/** A line of a remove shard: identifiers the destination is to lose. */
export interface RemoveLine {
  readonly k: string;
  /** As sent, from the ledger. */
  readonly ids: readonly string[];
  /** `changed`: the member stays, these identifiers go. `merged`: the record of an id that is another one's now. */
  readonly why: RemoveReason;
  /** What the decision rests on, where the snapshot still knows the person. */
  readonly e?: string;
}

/** Why a member is removed, in the order in which reports name them. */
export const REMOVED = [
  'left',
  'expired',
  'erased',
  'excluded',
  'no-consent',
  'no-identifier',
  'holdout',
  'changed',
  'merged',
] as const;
export type RemoveReason = (typeof REMOVED)[number];

export type WithheldReason = 'erased' | 'excluded' | 'no-consent' | 'no-identifier' | 'holdout' | 'rollout' | 'parked';
/** In the order in which the first one counts. */
export const WITHHELD: readonly WithheldReason[] = [
  'erased',
  'excluded',
  'no-consent',
  'no-identifier',
  'holdout',
  'rollout',
  'parked',
];

/**
 * A line of an outcome log, beside its delta shard. An intent is durable before its lines are sent; lines with an intent and
 * no outcome may have been accepted.
 */
export type LogLine =
  /** Lines `i[0]` to `i[1] - 1` of the shard are about to be sent. */
  | { readonly i: readonly [number, number] }
  /**
   * The answer for line `n`, member `k`. `unknown`: the request went out and no answer came back (a timeout, a cut connection,
   * a 5xx), so the destination may hold it; the ledger keeps it with an empty hash, and the next run sends or removes it.
   */
  | { readonly n: number; readonly k: string; readonly o: Outcome['kind'] | 'unknown'; readonly r?: string };

export const identifierText = (identifier: Identifier): string => `${identifier.namespace}:${identifier.value}`;

export const identifierOf = (text: string): Identifier => {
  const colon = text.indexOf(':');
  return { namespace: text.slice(0, colon), value: text.slice(colon + 1) };
};
