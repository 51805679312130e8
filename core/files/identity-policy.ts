import { createHash } from 'node:crypto';
import type { Node } from 'yaml';
import * as z from 'zod';
import type { Connector } from '../connector.ts';
import { USUAL_IDENTITY } from '../identity.ts';
import { USUAL_LINKAGE } from '../linkage.ts';
import type { Audience, Destination, IdentityPolicy, LinkageLimits, NamespacePolicy, SpikeLimit } from '../model.ts';
import { didYouMean } from '../problems.ts';
import type { ContractTable } from './contract.ts';
import { checkShape } from './shape.ts';
import { keyOf, nodeAt } from './source.ts';
import type { Source } from './source.ts';

const count = z.int().min(1);
const level = z.union([z.string(), z.number()]);
const unverified = z.enum(['use', 'ignore']).describe('What happens to values that no row calls verified.');

const namespace = z.strictObject({
  description: z.string().optional(),
  issued_by: z.string().optional().describe('Who gives these identifiers out: for people, nothing acts on it.'),
  max: count.optional().describe('How many a person sends at most. Default: as many as the platform takes.'),
  unverified: unverified.optional(),
  trust: level.optional().describe('How far a value is trusted whose row does not say: a number, or a name of trust_levels.'),
  min_trust: level.optional().describe('Values that are trusted less are not used: a number, or a name of trust_levels.'),
});

const spike = z.strictObject({
  times: z.number().min(1).optional().describe('More than so many times the usual number holds a run.'),
  floor: z.int().min(0).optional().describe('A number of at most this never does.'),
});

/** policies/identity.yaml: which identifiers of a person are used, in what order, how many, and whose they are after a merge. */
export const identitySchema = z.strictObject({
  description: z.string().optional(),
  trust_levels: z.record(z.string(), z.number()).optional().describe('Names for numbers of the column trust.'),
  unverified: unverified.optional(),
  precedence: z
    .array(z.enum(['verified', 'trust', 'last_seen', 'first_seen']))
    .optional()
    .describe('By what the better of two identifiers is known. Default: verified, trust, last_seen, first_seen.'),
  namespaces: z.record(z.string(), namespace).optional(),
  destinations: z
    .record(z.string(), z.record(z.string(), count))
    .optional()
    .describe('How many a person sends at most, by destination and namespace.'),
  survivorship: z
    .strictObject({ identifiers: z.enum(['all', 'survivor']) })
    .optional()
    .describe('Whose identifiers the survivor of a merge has: those of all merged ids, or those filed under its own.'),
  linkage: z
    .strictObject({
      merges: spike.optional().describe('Ids merged away in a day.'),
      orphans: spike.optional().describe('Identifiers that belong to nobody among the customers.'),
      average: spike
        .optional()
        .describe('Identifiers a customer has on average; the floor counts those that are more than usual.'),
      most: spike.optional().describe('The most identifiers one customer has.'),
    })
    .optional()
    .describe('When identifiers and merges are so unusual that a run is held.'),
});

type IdentityFile = z.infer<typeof identitySchema>;

/** What the policy speaks about. */
export interface IdentityScope {
  readonly destinations: ReadonlyMap<string, Destination | null>;
  readonly connectors: Readonly<Record<string, Connector>>;
  readonly audiences: readonly Audience[];
  readonly customers: ContractTable | undefined;
  readonly identifiers: ContractTable | undefined;
}

/** policies/identity.yaml; undefined when it has errors. Namespaces that nothing uses are warnings. */
export function readIdentityPolicy(source: Source, scope: IdentityScope): IdentityPolicy | undefined {
  const before = source.problems.length;
  const file = checkShape<IdentityFile>(source, identitySchema, wordsOf(source));
  if (!file) return undefined;
  const namespaces = Object.create(null) as Record<string, NamespacePolicy>;
  for (const name of Object.keys(file.namespaces ?? {})) namespaces[name] = readNamespace(source, file, name, scope);
  if (file.unverified === 'ignore' && scope.identifiers?.table.fields['verified'] === undefined) {
    source.report(nodeAt(source.root, ['unverified']), {
      rule: 'missing-field',
      message: 'No contract says which identifiers are verified, so all of them would be ignored.',
      hint: 'Add "verified" to the contract of role identifiers, or take the rule away.',
    });
  }
  checkPrecedence(source, file);
  checkDestinations(source, file, scope);
  reportUnused(source, Object.keys(namespaces), scope);
  if (source.problems.slice(before).some((problem) => problem.severity === 'error')) return undefined;
  return {
    namespaces,
    unverified: file.unverified ?? USUAL_IDENTITY.unverified,
    destinations: file.destinations ?? {},
    precedence: file.precedence ?? USUAL_IDENTITY.precedence,
    survivorship: file.survivorship?.identifiers ?? USUAL_IDENTITY.survivorship,
    linkage: limitsOf(file),
    version: createHash('sha256').update(source.text).digest('hex').slice(0, 12),
  };
}

/** Numbers that the file leaves out are the usual ones, also in a limit that it names. */
function limitsOf({ linkage = {} }: IdentityFile): LinkageLimits {
  const of = (name: keyof LinkageLimits): SpikeLimit => ({
    times: linkage[name]?.times ?? USUAL_LINKAGE[name].times,
    floor: linkage[name]?.floor ?? USUAL_LINKAGE[name].floor,
  });
  return { merges: of('merges'), orphans: of('orphans'), average: of('average'), most: of('most') };
}

function wordsOf(source: Source) {
  const keys = (at: string): string[] => {
    const value = nodeAt(source.root, [at]).toJS(source.document) as unknown;
    return typeof value === 'object' && value !== null ? Object.keys(value) : [];
  };
  return {
    nouns: {
      ...Object.fromEntries(keys('destinations').map((name) => [name, `the numbers for ${name}`])),
      ...Object.fromEntries(keys('namespaces').map((name) => [name, `the namespace ${name}`])),
      '': 'the identity policy',
      survivorship: 'the survivorship',
      linkage: 'the limits of linkage',
    },
    otherNames: {
      limit: 'namespaces.max',
      issuer: 'namespaces.issued_by',
      levels: 'trust_levels',
      order: 'precedence',
      order_by: 'precedence',
    },
  };
}

function readNamespace(source: Source, file: IdentityFile, name: string, scope: IdentityScope): NamespacePolicy {
  const given = file.namespaces?.[name] ?? {};
  const place = nodeAt(source.root, ['namespaces', name]);
  const acting = (['max', 'unverified', 'trust', 'min_trust'] as const).filter((key) => given[key] !== undefined);
  if (name === 'external_id' && acting.length > 0) {
    source.report(keyOf(place, acting[0] ?? ''), {
      rule: 'invalid-value',
      message: `"${acting[0]}" says nothing of external_id: it is the customer id itself, one a person.`,
      hint: 'Only "description" and "issued_by" can stand here.',
    });
  }
  const levelOf = (key: 'trust' | 'min_trust'): number | undefined => {
    const value = given[key];
    if (typeof value !== 'string') return value;
    const levels = file.trust_levels ?? {};
    if (Object.hasOwn(levels, value)) return levels[value];
    source.report(nodeAt(place, [key]), {
      rule: 'unknown-trust-level',
      message: `"${value}" is not one of the trust levels of this file.`,
      hint: didYouMean(value, Object.keys(levels)) ?? 'Write a number, or give it a name under "trust_levels".',
    });
    return undefined;
  };
  const [minTrust, trust] = [levelOf('min_trust'), levelOf('trust')];
  const policy = {
    unverified: given.unverified ?? file.unverified ?? USUAL_IDENTITY.unverified,
    ...(given.max !== undefined && { max: given.max }),
    ...(minTrust !== undefined && { minTrust }),
    ...(trust !== undefined && { trust }),
  };
  if (name !== 'external_id')
    checkColumns(source, name, policy, given.unverified, keyOf(nodeAt(source.root, ['namespaces']), name), scope);
  return policy;
}

/** A rule over a column that no contract has would leave everybody without an identifier. */
function checkColumns(
  source: Source,
  name: string,
  policy: NamespacePolicy,
  given: 'use' | 'ignore' | undefined,
  place: Node | undefined,
  scope: IdentityScope,
): void {
  const { identifiers } = scope;
  const has = (field: string): boolean => identifiers?.table.fields[field] !== undefined;
  const refuse = (column: string, message: string): void =>
    source.report(place, {
      rule: 'missing-field',
      message,
      hint: `Add "${column}" to the contract of role identifiers, or take the rule away.`,
    });
  if (given === 'ignore' && !has('verified'))
    refuse('verified', `No contract says which identifiers of "${name}" are verified, so all of them would be ignored.`);
  if (policy.minTrust !== undefined && policy.trust === undefined && !has('trust'))
    refuse('trust', `No contract says how far identifiers of "${name}" are trusted, so all of them would be ignored.`);
}

function checkPrecedence(source: Source, { precedence = [] }: IdentityFile): void {
  for (const [index, name] of precedence.entries()) {
    if (precedence.indexOf(name) === index) continue;
    source.report(nodeAt(source.root, ['precedence', index]), {
      rule: 'invalid-value',
      message: `"${name}" stands twice in "precedence".`,
      hint: 'Take the second one away; it decides nothing.',
    });
  }
}

function checkDestinations(source: Source, { destinations = {} }: IdentityFile, scope: IdentityScope): void {
  for (const [name, numbers] of Object.entries(destinations)) {
    const place = nodeAt(source.root, ['destinations', name]);
    const destination = scope.destinations.get(name);
    if (destination === undefined) {
      const known = [...scope.destinations.keys()];
      source.report(keyOf(nodeAt(source.root, ['destinations']), name), {
        rule: 'unknown-destination',
        message: `There is no destination "${name}".`,
        hint: didYouMean(name, known) ?? (known.length > 0 ? `There are ${known.join(', ')}.` : undefined),
      });
    }
    const connector = destination ? scope.connectors[destination.connector] : undefined;
    if (!connector) continue;
    for (const [namespaceName, max] of Object.entries(numbers)) {
      const takes = Object.hasOwn(connector.namespaces, namespaceName) ? connector.namespaces[namespaceName] : undefined;
      if (!takes) {
        const known = Object.keys(connector.namespaces);
        source.report(keyOf(place, namespaceName), {
          rule: 'unsupported-identifier',
          message: `${connector.title} does not take the identifier "${namespaceName}".`,
          hint: didYouMean(namespaceName, known) ?? `It takes ${known.join(', ')}.`,
        });
      } else if (takes.max !== undefined && max > takes.max) {
        source.report(nodeAt(place, [namespaceName]), {
          rule: 'out-of-range',
          message: `${connector.title} takes at most ${takes.max} of "${namespaceName}" a person, not ${max}.`,
          hint: `Write ${takes.max} or less, or take the line away.`,
        });
      }
    }
  }
}

/** Namespaces that no sync sends: a rule about them changes nothing. */
function reportUnused(source: Source, names: readonly string[], { audiences, destinations, connectors }: IdentityScope): void {
  const sent = new Set(
    audiences.flatMap(({ syncs }) =>
      syncs.flatMap(({ to, identifiers }) => {
        const connector = connectors[destinations.get(to)?.connector ?? ''];
        return [...identifiers, ...(connector?.membership === 'member' ? ['external_id'] : [])];
      }),
    ),
  );
  for (const name of names) {
    if (sent.has(name)) continue;
    source.report(keyOf(nodeAt(source.root, ['namespaces']), name), {
      rule: 'unused-namespace',
      severity: 'warning',
      message: `No sync sends identifiers of the namespace "${name}".`,
      hint: didYouMean(name, sent) ?? 'Take it away, or name it under "identifiers" of a sync.',
    });
  }
}
