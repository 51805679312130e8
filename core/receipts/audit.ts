import { ERASURE, type Erasure } from '../forget/erasure.ts';
import { sha256Hex } from '../identifiers.ts';
import type { Table } from '../model.ts';
import type { Cell, Query, Row } from '../ports.ts';
import type { RunPorts } from '../run/ports.ts';
import { quoteText } from '../sql/literal.ts';
import { MERGED, mergeExpressions } from '../sql/merges.ts';
import { type RECEIPT_COLUMNS, receiptsOfQuery } from '../sql/receipts.ts';
import { CHAIN, isLinkKey, keptSince, type Link, linkOf, textOf } from './chain.ts';
import { batched, relationOf } from './verify.ts';

/** A receipt as docs/receipts.md describes it; times are ISO 8601 in UTC. */
export type Receipt = Readonly<Record<keyof typeof RECEIPT_COLUMNS, Cell>>;

export interface Audit {
  /** Member keys of the customer: their own, and those of ids that were merged into theirs. */
  readonly members: readonly string[];
  /** Oldest first. */
  readonly receipts: readonly Receipt[];
  /** Requests to forget them. */
  readonly erasures: readonly AuditedErasure[];
  /** Runs whose receipts cannot be read: files that are gone. `sluice audit --verify` says more. */
  readonly unreadable: readonly string[];
}

/** A request to forget a person, as far as it has come; `sluice forget` says more. Times are epoch milliseconds. */
export interface AuditedErasure extends Pick<Erasure, 'id' | 'status' | 'submittedAt' | 'completedAt'> {
  /** How far each destination is. */
  readonly destinations: Readonly<Record<string, string>>;
}

/** The key that stands for a customer in ledgers and receipts: 32 hex. */
export const memberKeyOf = (secret: string, customerId: string): string => sha256Hex(secret + customerId).slice(0, 32);

/** Everything that was ever sent about a customer, from the receipts alone: it needs no row of the person. */
export async function auditCustomer(ports: RunPorts, customerId: string, now: number): Promise<Audit> {
  const ids = await idsOf(ports, customerId, now);
  const members = ids.map((id) => memberKeyOf(ports.memberKey, id));
  const { links, unreadable } = await readableLinks(ports, now);
  const erasures = (await ports.store.documents.list<Erasure>(ERASURE))
    .filter(({ document }) => document.person?.members.some((member) => members.includes(member)))
    .map(({ document: { id, status, submittedAt, completedAt, destinations } }) => ({
      id,
      status,
      submittedAt,
      ...(completedAt !== undefined && { completedAt }),
      destinations: Object.fromEntries(Object.entries(destinations).map(([name, { state }]) => [name, state])),
    }));
  return { members, receipts: await receiptsOf(ports, members, links), erasures, unreadable };
}

/** All receipts of some members out of the files of some links. */
export async function receiptsOf(
  { store, warehouse }: Pick<RunPorts, 'store' | 'warehouse'>,
  members: readonly string[],
  links: readonly Link[],
): Promise<readonly Receipt[]> {
  const found: Receipt[] = [];
  // In the order in which they were committed, so that batches follow each other as their rows do.
  for (const some of batched(links.toSorted((a, b) => a.at - b.at)))
    found.push(
      ...((await warehouse.rows(receiptsOfQuery(members, relationOf(store.receipts, some)))) as readonly Row[] as Receipt[]),
    );
  return found;
}

/** Links of all chains whose files are there; of those whose are not, the runs, but for what is past its period. */
export async function readableLinks(
  { store, workspace }: Pick<RunPorts, 'store' | 'workspace'>,
  now: number,
): Promise<{ readonly links: readonly Link[]; readonly unreadable: readonly string[] }> {
  const { receipts } = store;
  const since = keptSince(workspace, now) ?? Number.NEGATIVE_INFINITY;
  const there = new Set(await receipts.list(''));
  const links: Link[] = [];
  const unreadable = new Set<string>();
  for (const key of there) {
    if (!key.startsWith(CHAIN) || !isLinkKey(key)) continue;
    const link = linkOf(await textOf(receipts, key));
    if (link === undefined) unreadable.add(key);
    else if (link.files.every((file) => there.has(file.key))) links.push(link);
    else if (link.at >= since) unreadable.add(link.run);
  }
  return { links, unreadable: [...unreadable] };
}

/**
 * The ids a customer has and had: their own, who they were merged into, and whom was merged into that one. As of now; what a later split took
 * apart again is not followed.
 */
export async function idsOf(
  { workspace, warehouse }: Pick<RunPorts, 'workspace' | 'warehouse'>,
  customerId: string,
  now: number,
): Promise<readonly string[]> {
  const tables = workspace.tables.filter(({ role }) => role === 'identity-changes');
  if (tables.length === 0) return [customerId];
  const rows = await warehouse.rows(idsQuery(tables, customerId, now));
  return [...new Set([customerId, ...rows.flatMap((row) => [String(row['from_id']), String(row['to_id'])])])];
}

/** Merges `from_id`, `to_id` that make up the person of a customer id. @param tables of role identity-changes, one at least */
export function idsQuery(tables: readonly Table[], customerId: string, now: number): Query {
  const id = quoteText(customerId);
  return {
    sql: `WITH ${mergeExpressions(tables, now).join(', ')}
SELECT g.from_id AS from_id, g.to_id AS to_id FROM (
  SELECT m.from_id AS from_id, m.to_id AS to_id,
    max(CASE WHEN m.from_id = ${id} OR m.to_id = ${id} THEN 1 ELSE 0 END) OVER (PARTITION BY m.to_id) AS of_theirs
  FROM ${MERGED} m
) g WHERE g.of_theirs = 1`,
    tables,
  };
}

/** What one run sent, counted. */
export interface RunAudit {
  readonly run: string;
  readonly audience: string;
  readonly destination: string;
  /** ISO 8601. */
  readonly tick: string;
  readonly committedAt: string;
  readonly operation: string;
  readonly why: string | null;
  readonly outcome: string;
  readonly reason: string | null;
  readonly fields: readonly string[];
  readonly policyVersion: string;
  readonly receipts: number;
}

/** The receipts of one run, counted; empty when it wrote none. */
export async function auditRun(ports: RunPorts, run: string, now: number): Promise<readonly RunAudit[]> {
  const { links } = await readableLinks(ports, now);
  const own = links.filter((link) => link.run === run);
  if (own.length === 0) return [];
  const rows = await ports.warehouse.rows({
    sql: `SELECT audience, destination, tick, committed_at, operation, why, outcome, reason, identifiers, traits, policy_version, count(*) AS n
FROM receipts
GROUP BY audience, destination, tick, committed_at, operation, why, outcome, reason, identifiers, traits, policy_version
ORDER BY destination, operation, n DESC, outcome, why, reason, identifiers, traits, policy_version`,
    relations: { receipts: relationOf(ports.store.receipts, own) },
  });
  return rows.map((row) => ({
    run,
    audience: String(row['audience']),
    destination: String(row['destination']),
    tick: String(row['tick']),
    committedAt: String(row['committed_at']),
    operation: String(row['operation']),
    why: row['why'] as string | null,
    outcome: String(row['outcome']),
    reason: row['reason'] as string | null,
    fields: fieldsOf(row),
    policyVersion: String(row['policy_version']),
    receipts: Number(row['n']),
  }));
}

/** Names of what was sent: namespaces, then traits. */
export const fieldsOf = (row: { readonly identifiers?: Cell; readonly traits?: Cell }): readonly string[] =>
  [row.identifiers, row.traits].flatMap((names) => (names as readonly string[] | null | undefined) ?? []);
