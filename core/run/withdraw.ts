import { sha256Hex } from '../identifiers.ts';
import type { StopEntry } from '../ports.ts';
import type { RunPorts } from './ports.ts';

/** The name of a customer everywhere but in the tables, 32 hex: what `memberSql` computes. */
export const memberOf = (secret: string, customerId: string): string => sha256Hex(`${secret}${customerId}`).slice(0, 32);

/** The purposes that any destination of the workspace sends for. */
export const purposesSentFor = ({ workspace }: Pick<RunPorts, 'workspace'>): readonly string[] =>
  [...new Set(Object.values(workspace.destinations).map(({ purpose }) => purpose))].toSorted();

/**
 * Puts somebody who withdrew into the stop list, before the consents tables know: deliveries that run stop sending them, and the next run
 * removes them. The tables remain the source of truth: the entry holds until one has a record for the purpose that began at or after `at`.
 *
 * @param at epoch ms of the withdrawal
 */
export async function withdraw(
  { store, memberKey }: Pick<RunPorts, 'store' | 'memberKey'>,
  customerIds: readonly string[],
  purposes: readonly string[],
  at: number,
): Promise<readonly StopEntry[]> {
  const entries = entriesOf(memberKey, customerIds, purposes).map((entry): StopEntry => ({ ...entry, why: 'no-consent', at }));
  await store.stops.add(entries);
  return entries;
}

/** Takes entries of `withdraw` back: they were a mistake. What the tables say counts again. */
export async function liftWithdrawal(
  { store, memberKey }: Pick<RunPorts, 'store' | 'memberKey'>,
  customerIds: readonly string[],
  purposes: readonly string[],
): Promise<number> {
  const wanted = new Set(entriesOf(memberKey, customerIds, purposes).map(({ member, purpose }) => `${member}/${purpose}`));
  const { entries } = await store.stops.since(null);
  const lifted = entries.filter(({ member, purpose, why }) => why !== 'erased' && wanted.has(`${member}/${purpose}`));
  await store.stops.lift(lifted);
  return lifted.length;
}

const entriesOf = (secret: string, customerIds: readonly string[], purposes: readonly string[]) =>
  customerIds.flatMap((id) => purposes.map((purpose) => ({ member: memberOf(secret, id), purpose })));
