import type { Failure } from '../run/ports.ts';
import type { Erased } from './erase.ts';
import type { ForgetRequest } from './request.ts';
import type { Receipt } from './receipt.ts';

/** Kind of the documents below. */
export const ERASURE = 'erasure';

/** Request states of OpenDSR. `pending`: registered, and may be cancelled. */
export type ErasureStatus = 'pending' | 'in_progress' | 'completed' | 'cancelled';

/** What is known of an erasure, a document under its id. Holds no personal data. */
export interface Erasure {
  readonly id: string;
  readonly status: ErasureStatus;
  readonly source: ForgetRequest['source'];
  /** Epoch ms. */
  readonly submittedAt: number;
  readonly receivedAt: number;
  readonly completedAt?: number;
  readonly digest: string;
  /** Where the request lies until the erasure is done. */
  readonly folder: string;
  /** Found once, when the erasure begins: tables forget, and an erasure must not. */
  readonly person?: { readonly customers: number; readonly members: readonly string[]; readonly marks: number };
  readonly destinations: Readonly<Record<string, Erased>>;
  readonly cleaned?: { readonly generations: number; readonly runs: number };
  /** Why it has not begun, or is not done although every destination answered. */
  readonly waits?: Failure;
  readonly receipt?: Receipt;
}
