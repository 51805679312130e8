import type { Namespace } from './connector.ts';
import { USUAL_LINKAGE } from './linkage.ts';
import type { IdentityPolicy, NamespacePolicy, Precedence } from './model.ts';

/** What holds without policies/identity.yaml: every usable value, the best first. */
export const USUAL_IDENTITY: IdentityPolicy = {
  namespaces: {},
  unverified: 'use',
  destinations: {},
  precedence: ['verified', 'trust', 'last_seen', 'first_seen'],
  survivorship: 'all',
  linkage: USUAL_LINKAGE,
  version: 'none',
};

/** An identifier as the tables have it. What a table does not say is null; times are epoch milliseconds. */
export interface IdentifierRow {
  readonly value: string;
  readonly verified: boolean | null;
  readonly trust: number | null;
  readonly lastSeen: number | null;
  readonly firstSeen: number | null;
}

/** The policy of a namespace; one that the file does not name has the file's usual one. */
export const namespacePolicy = (policy: IdentityPolicy, namespace: string): NamespacePolicy =>
  Object.hasOwn(policy.namespaces, namespace)
    ? (policy.namespaces[namespace] as NamespacePolicy)
    : { unverified: policy.unverified };

/**
 * The identifiers of one customer in one namespace that may be used, the best first: the decision to be read. Snapshots make it in SQL for
 * everybody at once (core/sql/identifiers.ts), and a test compares the two. How many of them are sent is decided when it is known
 * which of them the platform can use: `withLimits`.
 */
export function chooseIdentifiers(policy: IdentityPolicy, namespace: string, rows: readonly IdentifierRow[]): readonly string[] {
  const { unverified, minTrust, trust: usual = null } = namespacePolicy(policy, namespace);
  const trustOf = (row: IdentifierRow): number | null => row.trust ?? usual;
  const usable = rows.filter((row) => {
    if (unverified === 'ignore' && row.verified !== true) return false;
    // Fail closed (law 1): a trust that nobody states is not enough.
    return minTrust === undefined || (trustOf(row) ?? Number.NEGATIVE_INFINITY) >= minTrust;
  });
  const measures: Readonly<Record<Precedence, (row: IdentifierRow) => number | null>> = {
    verified: (row) => (row.verified === true ? 1 : 0),
    trust: trustOf,
    last_seen: (row) => row.lastSeen,
    first_seen: (row) => row.firstSeen,
  };
  const order = (a: IdentifierRow, b: IdentifierRow): number => {
    for (const name of policy.precedence) {
      const [left, right] = [measures[name](a), measures[name](b)];
      // More is better; unknown is worst.
      if (left !== right) return (right ?? Number.NEGATIVE_INFINITY) - (left ?? Number.NEGATIVE_INFINITY);
    }
    return Buffer.compare(Buffer.from(a.value), Buffer.from(b.value));
  };
  return usable.toSorted(order).map(({ value }) => value);
}

/** How many identifiers of a namespace the policy lets a person send to a destination; undefined for as many as the platform takes. */
export function maxOf(policy: IdentityPolicy, destination: string, namespace: string): number | undefined {
  const own = Object.hasOwn(policy.destinations, destination) ? policy.destinations[destination] : undefined;
  if (own !== undefined && Object.hasOwn(own, namespace)) return own[namespace];
  return namespacePolicy(policy, namespace).max;
}

/** A connector's namespaces with the policy's numbers where they are lower than the platform's. */
export function withLimits(
  namespaces: Readonly<Record<string, Namespace>>,
  policy: IdentityPolicy,
  destination: string,
): Readonly<Record<string, Namespace>> {
  return Object.fromEntries(
    Object.entries(namespaces).map(([name, namespace]) => {
      const max = maxOf(policy, destination, name);
      const lower = max !== undefined && max < (namespace.max ?? Number.POSITIVE_INFINITY);
      return [name, lower ? { ...namespace, max } : namespace];
    }),
  );
}
