import type { Query, Relation } from '../ports.ts';
import type { DeliveryRelations } from './ledger.ts';
import { answersOf } from './ledger.ts';
import { NO_TEXTS, quoteText, timestampLiteral, timestampOf } from './literal.ts';

/**
 * A receipt: one operation for one member, and what became of it. docs/receipts.md says what each column means. Columns are only ever
 * added, at the end: receipts outlive the version that wrote them.
 */
export const RECEIPT_COLUMNS = {
  tick: 'timestamp',
  committed_at: 'timestamp',
  run: 'varchar',
  audience: 'varchar',
  destination: 'varchar',
  connector: 'varchar',
  member: 'varchar',
  operation: 'varchar',
  why: 'varchar',
  identifiers: 'array(varchar)',
  traits: 'array(varchar)',
  purpose: 'varchar',
  basis: 'varchar',
  jurisdiction: 'varchar',
  consent_record: 'varchar',
  consent_status: 'varchar',
  consent_source: 'varchar',
  consent_began: 'timestamp',
  consent_reason: 'varchar',
  policy_version: 'varchar',
  outcome: 'varchar',
  reason: 'varchar',
} as const;

/** What all receipts of one delivery say alike. Names only, no value of a person. */
export interface ReceiptFacts {
  readonly run: string;
  readonly audience: string;
  readonly destination: string;
  /** Epoch milliseconds. */
  readonly tick: number;
  readonly committedAt: number;
  readonly connector: string;
  readonly purpose: string;
  readonly policyVersion: string;
  /** Namespaces that identifiers as sent may have. */
  readonly namespaces: readonly string[];
  readonly traits: readonly string[];
  /** Whether the delivery changes the ledger: only then somebody leaves it without a request. */
  readonly committed: boolean;
}

/** A member who left, and whose identifiers somebody entitled still holds: nothing was asked of the destination (law 6). */
export const NOT_NEEDED = { outcome: 'not-needed', reason: 'shared-identifier' } as const;

/** The receipts of a delivery, columns RECEIPT_COLUMNS: one a line of the delta that has an outcome, from the delta and its logs. */
export function receiptsQuery(relations: DeliveryRelations, facts: ReceiptFacts): Query {
  const { removes, upserts, remove_log, upsert_log } = relations;
  const text = quoteText;
  const silent = facts.committed ? `(cardinality(r.ids) = 0 AND r.why <> 'changed')` : 'FALSE';
  // A name is written where it stands before a value, never what stands after it: no value can get in.
  const names = facts.namespaces.map(
    (name) => `CASE WHEN strpos(x.texts, chr(30) || ${text(`${name}:`)}) > 0 THEN ${text(name)} ELSE '' END`,
  );
  const traits = facts.traits.length === 0 ? NO_TEXTS : `ARRAY[${facts.traits.map(text).join(', ')}]`;
  const sql = `WITH answers AS (
  ${answersOf('upsert_log')}
), removed AS (
  ${answersOf('remove_log')}
), lines AS (
  SELECT u.k AS k, u.op AS op, CAST(NULL AS varchar) AS why, chr(30) || array_join(u.ids, chr(30)) AS texts, u.c AS c, u.e AS e, o.o AS o, o.r AS r
  FROM upserts u JOIN answers o ON o.k = u.k
  UNION ALL
  SELECT r.k, 'remove', r.why, chr(30) || array_join(r.ids, chr(30)), ${NO_TEXTS}, r.e,
    coalesce(o.o, ${text(NOT_NEEDED.outcome)}), CASE WHEN o.k IS NULL THEN ${text(NOT_NEEDED.reason)} ELSE o.r END
  FROM removes r LEFT JOIN removed o ON o.k = r.k
  WHERE o.k IS NOT NULL OR ${silent}
)
SELECT ${timestampLiteral(facts.tick)} AS tick, ${timestampLiteral(facts.committedAt)} AS committed_at, ${text(facts.run)} AS run,
  ${text(facts.audience)} AS audience, ${text(facts.destination)} AS destination, ${text(facts.connector)} AS connector,
  x.k AS member, x.op AS operation, x.why AS why,
  ${names.length === 0 ? NO_TEXTS : `array_remove(ARRAY[${names.join(', ')}], '')`} AS identifiers,
  CASE WHEN x.op = 'remove' THEN ${NO_TEXTS} ELSE ${traits} END AS traits,
  ${text(facts.purpose)} AS purpose,
  CASE WHEN x.op <> 'remove' THEN element_at(x.c, 2) END AS basis,
  CASE WHEN x.op <> 'remove' THEN element_at(x.c, 3) END AS jurisdiction,
  ${evidence(5)} AS consent_record, ${evidence(2)} AS consent_status, ${evidence(4)} AS consent_source,
  ${timestampOf(`CAST(${evidence(3)} AS bigint)`)} AS consent_began,
  ${evidence(1)} AS consent_reason,
  ${text(facts.policyVersion)} AS policy_version, x.o AS outcome, x.r AS reason
FROM lines x`;
  return { sql, relations: { removes, upserts, remove_log, upsert_log } };
}

/** A field of core/evidence.ts; NULL where there is none. */
const evidence = (field: number): string => `nullif(split_part(x.e, chr(31), ${field}), '')`;

/** Receipts counted: `run`, `destination`, `operation`, `outcome`, `n`. */
export const receiptCountsQuery = (receipts: Relation): Query => ({
  sql: 'SELECT run, destination, operation, outcome, count(*) AS n FROM receipts GROUP BY run, destination, operation, outcome',
  relations: { receipts },
});

/** All receipts of some members, oldest first. `keys` are member keys, 32 hex. */
export const receiptsOfQuery = (keys: readonly string[], receipts: Relation): Query => ({
  sql: `SELECT ${Object.keys(RECEIPT_COLUMNS).join(', ')} FROM receipts WHERE member IN (${keys.map(quoteText).join(', ')})
ORDER BY committed_at, run, destination, operation DESC, member`,
  relations: { receipts },
});
