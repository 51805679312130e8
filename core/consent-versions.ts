import { type ConsentDecision, type ConsentRecord, decide, type Residence, STATUSES } from './consent.ts';
import type { ConsentPolicy, ConsentStatus, Workspace } from './model.ts';
import type { Documents } from './ports.ts';

/**
 * A decision of the past, made again as it was made: by the policy of then, as of the tick of then. Every run keeps the policy it decides
 * by, under the version that stands in plans and receipts.
 */
export interface PolicyVersion {
  readonly policy: ConsentPolicy;
  /** What the words of the consents table meant; null: our own words. */
  readonly statuses: Readonly<Record<string, ConsentStatus>> | null;
}

/** Kind of the documents; their id is the version. */
export const POLICY_KIND = 'policy';

/** Keeps the policy of the workspace, unless it is kept already: a version never changes. */
export async function keepPolicy(documents: Documents, workspace: Workspace): Promise<void> {
  const { version } = workspace.consent;
  if ((await documents.get(POLICY_KIND, version)) !== null) return;
  await documents.put(POLICY_KIND, version, policyOf(workspace));
}

/** The policy that the files say now. */
export function policyOf({ consent, tables }: Workspace): PolicyVersion {
  return { policy: consent, statuses: tables.find(({ role }) => role === 'consents')?.statuses ?? null };
}

/** The policy of a version; null for one that no run of this workspace has decided by. */
export const policyVersion = (documents: Documents, version: string): Promise<PolicyVersion | null> =>
  documents.get<PolicyVersion>(POLICY_KIND, version);

/**
 * A row of the consents table about one customer and purpose, in the source's own words. Rows without a purpose that hold a string speak
 * of every purpose.
 */
export type ConsentRow = Omit<ConsentRecord, 'status' | 'wordless'> & { readonly status: string | null };

/**
 * `decide` of core/consent.ts under a version. Records that were written since, but say that they began before, are decided upon as if
 * they had been there: a history that is only ever added to has none.
 * @param tick the tick of the run that decided, epoch milliseconds
 */
export function decideUnder(
  { policy, statuses }: PolicyVersion,
  purpose: string,
  rows: readonly ConsentRow[],
  residence: Residence,
  tick: number,
): ConsentDecision {
  const records = rows.map((row) => ({ ...row, status: statusOf(row.status, statuses), wordless: row.status === null }));
  return decide(records, Object.hasOwn(policy.purposes, purpose) ? policy.purposes[purpose] : undefined, residence, tick);
}

/** A word of the source as ours; null for one that nobody has listed. */
function statusOf(word: string | null, statuses: PolicyVersion['statuses']): ConsentStatus | null {
  if (word === null) return null;
  if (statuses === null) return STATUSES.find((status) => status === word) ?? null;
  return Object.hasOwn(statuses, word) ? (statuses[word] ?? null) : null;
}
