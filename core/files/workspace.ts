import { isSeq } from 'yaml';
import type { Connector } from '../connector.ts';
import { USUAL_IDENTITY } from '../identity.ts';
import type { ConsentPolicy, Destination, IdentityPolicy, Role, Workspace } from '../model.ts';
import { didYouMean, inOrder } from '../problems.ts';
import type { Problem } from '../problems.ts';
import { readAudience } from './audience.ts';
import type { AudienceDraft } from './audience.ts';
import { type PolicyTables, readConsentPolicy } from './consent-policy.ts';
import { readContract } from './contract.ts';
import type { ContractTable } from './contract.ts';
import { readDestination } from './destination.ts';
import { type IdentityScope, readIdentityPolicy } from './identity-policy.ts';
import { resolveReferences } from './references.ts';
import { NO_RETENTION, type ReadRetention, readRetention } from './retention-policy.ts';
import { ANY_NAME } from './scope.ts';
import { parseSource, valueOf, writtenOf } from './source.ts';
import type { Reported, Source } from './source.ts';
import { oneOf, tablesOf } from './tables.ts';

export interface LoadOptions {
  /** By the name that `connector:` has. */
  readonly connectors: Readonly<Record<string, Connector>>;
  /** Which of the contracts' servers the run reads. */
  readonly environment: string;
}

export interface Loaded {
  /** What can be used: audiences and destinations with errors are left out. Null when the customers or the consent policy are unusable. */
  readonly workspace: Workspace | null;
  /** All of them, in the order of files and lines. */
  readonly problems: Problem[];
}

interface NamedFile {
  readonly name: string;
  readonly file: string;
  readonly text: string;
}

const CONSENT = 'policies/consent.yaml';
const POLICIES = ['consent', 'identity', 'retention'];
const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;

/**
 * Reads all files of a workspace: path relative to it (with `/`) -> text. Pure, and never throws for what the files say.
 * Files outside `audiences/`, `contracts/`, `destinations/` and `policies/`, or not YAML, are none of its business.
 */
export function loadWorkspace(files: ReadonlyMap<string, string>, { connectors, environment }: LoadOptions): Loaded {
  const problems: Problem[] = [];
  const contracts = parseAll(named(files, 'contracts', problems), problems);
  const declared = tablesOf(contracts.flatMap(({ source }) => (source ? readContract(source, environment) : [])));
  const contractsBroken = contracts.some(({ source }) => !source || hasErrors(source));
  const policies = named(files, 'policies', problems);
  const retention = readRetentionFile(policies, declared, !contractsBroken, problems);
  // Before any rule is read: a rule keeps the tables it asks.
  const tables = declared.map((entry) => withRetention(entry, retention));
  const customers = oneOf(tables, 'customers');

  const destinationFiles = named(files, 'destinations', problems);
  const policyTables = { customers, consents: oneOf(tables, 'consents') };
  const consent = readPolicies(policies, policyTables, problems, destinationFiles.length > 0);

  const byName = new Map<string, Destination | null>();
  const destinationSources = parseAll(destinationFiles, problems);
  for (const { name, source } of destinationSources) {
    const destination = source && readDestination(source, name, connectors, consent && Object.keys(consent.purposes));
    byName.set(name, source && destination && !hasErrors(source) ? destination : null);
  }
  if (!contractsBroken) reportMissingRoles(tables, byName.size > 0, problems);

  const audienceFiles = named(files, 'audiences', problems);
  const known = {
    byName,
    connectors,
    customers,
    identifiers: oneOf(tables, 'identifiers'),
    refusing: Object.values(consent?.purposes ?? {}).flatMap((one) => (one.sharedIdentifiers === 'refuse' ? [one.name] : [])),
    events: eventsOf(tables),
    brokenContracts: brokenIn(contracts),
  };
  const parsed = parseAll(audienceFiles, problems);
  const drafts = parsed.flatMap(({ name, source }): AudienceDraft[] => (source ? [readAudience(source, name, known)] : []));
  const audiences = resolveReferences(drafts, new Set(audienceFiles.map(({ name }) => name)));
  const identity = readIdentity(policies, problems, {
    destinations: byName,
    connectors,
    audiences: Object.values(audiences),
    customers,
    identifiers: known.identifiers,
  });
  // Readers keep the problems of their own file, so that one file's errors never spoil another's.
  for (const { source } of [...contracts, ...destinationSources, ...parsed]) if (source) problems.push(...source.problems);

  const destinations = Object.create(null) as Record<string, Destination>;
  for (const [name, destination] of byName) if (destination) destinations[name] = destination;
  const workspace: Workspace | null =
    customers && consent && identity && retention
      ? {
          audiences,
          tables: tables.map(({ table }) => table),
          destinations,
          consent,
          identity,
          retention: retention.policy,
        }
      : null;
  return { workspace, problems: inOrder(problems) };
}

const hasErrors = (source: Source): boolean => source.problems.some((problem) => problem.severity === 'error');

/** The YAML files of a folder, by the name they define; a name that cannot be one, or is taken, is reported. */
function named(files: ReadonlyMap<string, string>, folder: string, problems: Problem[]): NamedFile[] {
  const found = new Map<string, NamedFile>();
  for (const [file, text] of [...files].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) {
    const match = file.startsWith(`${folder}/`) ? /([^/]*)\.ya?ml$/.exec(file) : null;
    if (!match) continue;
    const name = match[1] ?? '';
    const taken = found.get(name);
    if (!NAME.test(name)) {
      const better = name
        .toLowerCase()
        .replace(/[^a-z0-9_-]+/g, '-')
        .replace(/^[-_]+|[-_]+$/g, '')
        .slice(0, 64);
      problems.push(
        atStart(file, {
          rule: 'file-name',
          message: `"${name}" cannot be a name: it needs lower-case letters, digits, - and _, 64 at most.`,
          hint: better === '' ? undefined : `Rename the file to ${better}.yaml.`,
        }),
      );
    } else if (taken) {
      problems.push(
        atStart(file, {
          rule: 'duplicate-name',
          message: `"${name}" is defined twice: by this file and by ${taken.file}.`,
          hint: 'Rename one.',
        }),
      );
    } else found.set(name, { name, file, text });
  }
  return [...found.values()];
}

/** A problem of a whole file, or of one that is not there. */
const atStart = (file: string, problem: Reported): Problem => ({ severity: 'error', file, line: 1, column: 1, ...problem });

/** Each file with a problem list of its own, so that a reader can ask whether *this* file has errors. */
function parseAll(files: readonly NamedFile[], problems: Problem[]): { readonly name: string; readonly source: Source | null }[] {
  return files.map(({ name, file, text }) => {
    const own: Problem[] = [];
    const source = parseSource(file, text, own);
    if (!source) problems.push(...own);
    return { name, source };
  });
}

function readPolicies(
  files: readonly NamedFile[],
  tables: PolicyTables,
  problems: Problem[],
  needed: boolean,
): ConsentPolicy | undefined {
  let consent: ConsentPolicy | undefined;
  // What identity is about is known only when the audiences are, and what retention is about before them.
  const others = files.filter(({ name }) => name !== 'identity' && name !== 'retention');
  for (const { name, source } of parseAll(others, problems)) {
    if (!source) continue;
    if (name === 'consent') consent = readConsentPolicy(source, tables);
    else {
      problems.push(
        atStart(source.file, {
          rule: 'unknown-file',
          message: `There is no policy "${name}".`,
          hint: didYouMean(name, POLICIES) ?? `Policies are ${POLICIES.map((policy) => `${policy}.yaml`).join(', ')}.`,
        }),
      );
    }
    problems.push(...source.problems);
  }
  if (files.some(({ name }) => name === 'consent')) return consent;
  if (needed) {
    problems.push(
      atStart(CONSENT, {
        rule: 'missing-policy',
        message: `${CONSENT} is missing, so nobody may be sent anywhere.`,
        hint: 'Write it: each purpose of a destination with its basis, opt-in or opt-out.',
      }),
    );
    return undefined;
  }
  return { purposes: {}, version: 'none' };
}

/** The identity policy, what is usual without one, or undefined when it has errors: it decides who is sent, so nothing is sent then. */
function readIdentity(files: readonly NamedFile[], problems: Problem[], scope: IdentityScope): IdentityPolicy | undefined {
  const [found] = parseAll(
    files.filter(({ name }) => name === 'identity'),
    problems,
  );
  if (!found) return USUAL_IDENTITY;
  const policy = found.source ? readIdentityPolicy(found.source, scope) : undefined;
  if (found.source) problems.push(...found.source.problems);
  return policy;
}

/** The retention policy, or undefined when it has errors: it decides who is read, so nothing is run then. */
function readRetentionFile(
  files: readonly NamedFile[],
  tables: readonly ContractTable[],
  complete: boolean,
  problems: Problem[],
): ReadRetention | undefined {
  const [found] = parseAll(
    files.filter(({ name }) => name === 'retention'),
    problems,
  );
  if (!found) return NO_RETENTION;
  const read = found.source ? readRetention(found.source, tables, complete) : undefined;
  if (found.source) problems.push(...found.source.problems);
  return read;
}

function withRetention(entry: ContractTable, retention: ReadRetention | undefined): ContractTable {
  const own = retention?.byTable.get(entry.table);
  return own === undefined ? entry : { ...entry, table: { ...entry.table, retention: own } };
}

/** What contracts with errors declare, as far as it can be told: an audience that names it is not told that it does not exist. */
function brokenIn(contracts: readonly { readonly name: string; readonly source: Source | null }[]): ReadonlyMap<string, string> {
  const broken = new Map<string, string>();
  for (const { name, source } of contracts) {
    if (!source) broken.set(ANY_NAME, `contracts/${name}.yaml`);
    const objects = source && hasErrors(source) ? valueOf(source.root, 'schema') : undefined;
    if (!source || !isSeq(objects)) continue;
    for (const object of objects.items) broken.set(writtenOf(valueOf(object, 'name')), source.file);
  }
  return broken;
}

function eventsOf(tables: readonly ContractTable[]): ReadonlyMap<string, readonly ContractTable[]> {
  const events = new Map<string, ContractTable[]>();
  for (const entry of tables) {
    if (entry.table.role !== 'events') continue;
    const versions = events.get(entry.table.name);
    if (versions) versions.push(entry);
    else events.set(entry.table.name, [entry]);
  }
  return events;
}

function reportMissingRoles(tables: readonly ContractTable[], sending: boolean, problems: Problem[]): void {
  const needs: readonly [Role, string, boolean][] = [
    ['customers', 'Audiences are rules over its columns.', true],
    ['consents', 'Without consents nobody may be sent anywhere.', sending],
  ];
  for (const [role, why, needed] of needs) {
    if (!needed || oneOf(tables, role)) continue;
    problems.push(
      atStart(`contracts/${role}.yaml`, {
        rule: 'missing-contract',
        message: `No active contract has a table of role ${role}. ${why}`,
        hint: `Write contracts/${role}.yaml with the custom property sluice.role: ${role}.`,
      }),
    );
  }
}
