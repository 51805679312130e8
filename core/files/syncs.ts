import { isMap } from 'yaml';
import type { Node } from 'yaml';
import * as z from 'zod';
import type { Connector } from '../connector.ts';
import type { Column, Destination, Mode, Sync } from '../model.ts';
import { didYouMean } from '../problems.ts';
import { COMPARABLE } from '../consent.ts';
import type { AudienceFile } from './audience-schema.ts';
import { type ContractTable, OPEN_CLASSIFICATIONS } from './contract.ts';
import { readPercent } from './guardrails.ts';
import { namedColumn } from './scope.ts';
import { checkShape } from './shape.ts';
import { keyOf, nodeAt, valueOf } from './source.ts';
import type { Source } from './source.ts';

/** What syncs are checked against. A destination that has errors of its own is null. */
export interface Destinations {
  readonly byName: ReadonlyMap<string, Destination | null>;
  readonly connectors: Readonly<Record<string, Connector>>;
  readonly customers: ContractTable | undefined;
  readonly identifiers: ContractTable | undefined;
  /** Purposes for which an identifier that somebody who refused holds is sent for nobody. */
  readonly refusing: readonly string[];
}

type SyncFile = NonNullable<AudienceFile['syncs']>[number];

/** @param rollout the audience's own, for syncs that say none */
export function readSyncs(
  source: Source,
  files: readonly SyncFile[],
  destinations: Destinations,
  rollout: number,
): readonly Sync[] {
  const seen = new Set<string>();
  return files.flatMap((file, index) => {
    const place = nodeAt(source.root, ['syncs', index]);
    if (seen.has(file.to)) {
      source.report(nodeAt(place, ['to']), {
        rule: 'duplicate-sync',
        message: `Two syncs go to "${file.to}".`,
        hint: 'Join them into one; a second ledger for the same list would undo the first.',
      });
    }
    seen.add(file.to);
    const sync = readSync(source, file, place, destinations, rollout);
    return sync ? [sync] : [];
  });
}

function readSync(source: Source, file: SyncFile, place: Node, destinations: Destinations, rollout: number): Sync | undefined {
  const destination = destinations.byName.get(file.to);
  const to = nodeAt(place, ['to']);
  if (destination === undefined) {
    const known = [...destinations.byName.keys()];
    source.report(to, {
      rule: 'unknown-destination',
      message: `There is no destination "${file.to}".`,
      hint:
        didYouMean(file.to, known) ??
        (known.length > 0 ? `There are ${known.join(', ')}.` : `Write destinations/${file.to}.yaml.`),
    });
    return undefined;
  }
  if (destination === null) {
    source.report(to, {
      rule: 'broken-destination',
      message: `The destination "${file.to}" has errors of its own, so nothing can be sent to it.`,
      hint: `Correct destinations/${file.to}.yaml first.`,
    });
    return undefined;
  }
  const connector = destinations.connectors[destination.connector];
  if (!connector) return undefined;
  return {
    to: file.to,
    mode: readMode(source, file, place, connector),
    identifiers: readIdentifiers(source, file, place, destination, connector, destinations),
    traits: readTraits(source, file, place, destination, connector, destinations.customers),
    settings: readSettings(source, file, place, connector),
    rollout: file.rollout === undefined ? rollout : (readPercent(source, 'rollout', nodeAt(place, ['rollout']), 100) ?? 0),
  };
}

function readMode(source: Source, file: SyncFile, place: Node, connector: Connector): Mode {
  const usual = connector.modes.includes('mirror') ? 'mirror' : (connector.modes[0] ?? 'mirror');
  if (file.mode === undefined) return usual;
  if (!connector.modes.includes(file.mode)) {
    source.report(nodeAt(place, ['mode']), {
      rule: 'unsupported-mode',
      message: `${connector.title} cannot ${file.mode === 'mirror' ? 'mirror an audience' : `take the mode ${file.mode}`}.`,
      hint: `It takes ${connector.modes.join(', ')}.`,
    });
  }
  return file.mode;
}

function readIdentifiers(
  source: Source,
  file: SyncFile,
  place: Node,
  destination: Destination,
  connector: Connector,
  destinations: Destinations,
): readonly string[] {
  const known = Object.keys(connector.namespaces);
  const names = file.identifiers ?? connector.defaultIdentifiers;
  const at = (index: number) => (file.identifiers ? nodeAt(place, ['identifiers', index]) : nodeAt(place, ['to']));
  const before = source.problems.length;
  for (const [index, name] of names.entries()) {
    if (!Object.hasOwn(connector.namespaces, name)) {
      source.report(at(index), {
        rule: 'unsupported-identifier',
        message: `${connector.title} does not take the identifier "${name}".`,
        hint: didYouMean(name, known) ?? `It takes ${known.join(', ')}.`,
      });
    } else if (names.indexOf(name) < index) {
      source.report(at(index), { rule: 'duplicate-identifier', message: `"${name}" is listed twice.` });
    }
  }
  if (source.problems.length > before) return names;
  if (destinations.refusing.includes(destination.purpose)) {
    for (const [index, name] of names.entries()) {
      if (name === 'external_id' || COMPARABLE.includes(name) || connector.namespaces[name]?.weak === true) continue;
      source.report(at(index), {
        rule: 'not-comparable',
        message: `"${name}" of one person cannot be told from another's in every spelling, and ${destination.purpose} sends nobody with an identifier that somebody who refused holds.`,
        hint: `Send ${['external_id', ...COMPARABLE].filter((one) => known.includes(one)).join(' or ')} there, or take shared_identifiers: refuse out of policies/consent.yaml.`,
      });
    }
  }
  if (names.length > 0 && names.every((name) => connector.namespaces[name]?.weak === true)) {
    source.report(at(0), {
      rule: 'weak-identifiers',
      message: `None of ${names.join(', ')} identifies a person alone.`,
      hint: `Add one of ${known.filter((name) => connector.namespaces[name]?.weak !== true).join(', ')}.`,
    });
  }
  checkIdentifierSources(source, names, at, file.identifiers !== undefined, destination, destinations);
  return names;
}

/** Where each namespace's values come from: the identifiers table, a column of customers, or the customer id itself. */
function checkIdentifierSources(
  source: Source,
  names: readonly string[],
  at: (index: number) => Node,
  named: boolean,
  destination: Destination,
  { customers, identifiers }: Destinations,
): void {
  if (!customers) return;
  const values = identifiers?.table.columns.find((column) => column.name === identifiers.table.fields['value']);
  let found = 0;
  for (const [index, name] of names.entries()) {
    const id = name === 'external_id' ? customers.table.fields['customer_id'] : undefined;
    const columns = customers.table.columns.filter((column) => column.namespace === name || column.name === id);
    if (identifiers || columns.length > 0 || name === 'external_id') found += 1;
    else if (named) {
      source.report(at(index), {
        rule: 'no-identifiers',
        message: `No contract holds identifiers of the namespace "${name}".`,
        hint: 'Add a contract of role identifiers, or mark a column of customers with the custom property sluice.namespace.',
      });
    }
    const subject = ({ name: of }: Column): string => `Identifiers in "${of}"`;
    for (const column of columns) checkPurpose(source, at(index), column, customers, destination, subject(column));
    if (values && identifiers && name !== 'external_id')
      checkPurpose(source, at(index), values, identifiers, destination, subject(values));
  }
  if (!named && found === 0) {
    source.report(at(0), {
      rule: 'no-identifiers',
      message: `No contract holds identifiers that ${destination.name} takes (${names.join(', ')}).`,
      hint: 'Add a contract of role identifiers, or mark a column of customers with the custom property sluice.namespace.',
    });
  }
}

/** How a column would reach a platform, file by file, for whoever has to say that it may not. */
const pathOf = (source: Source, column: Column, { table }: ContractTable, destination: Destination): string =>
  `${table.name}.${column.name} -> ${table.file} -> ${source.file} -> ${destination.file}`;

function checkPurpose(
  source: Source,
  node: Node,
  column: Column,
  table: ContractTable,
  destination: Destination,
  subject: string,
): void {
  if (!column.purposes || column.purposes.includes(destination.purpose)) return;
  source.report(node, {
    rule: 'purpose-not-allowed',
    message: `${subject} may only be sent for ${column.purposes.join(', ') || 'no purpose at all'}; ${destination.name} is for ${destination.purpose}.`,
    hint: `The path is ${pathOf(source, column, table, destination)}. Leave it out, or let whoever owns the contract add the purpose to sluice.purposes.`,
  });
}

function readTraits(
  source: Source,
  file: SyncFile,
  place: Node,
  destination: Destination,
  connector: Connector,
  customers: ContractTable | undefined,
): Sync['traits'] {
  const given = file.traits;
  if (given === undefined) return [];
  const node = nodeAt(place, ['traits']);
  const pairs: (readonly [string, string, Node])[] = Array.isArray(given)
    ? given.map((name, index) => [name, name, nodeAt(node, [index])] as const)
    : Object.entries(given).map(([name, column]) => [name, column, nodeAt(node, [name])] as const);
  if (!connector.traits && pairs.length > 0) {
    source.report(keyOf(place, 'traits'), {
      rule: 'unsupported-traits',
      message: `${connector.title} takes no traits.`,
      hint: 'Remove them; the members are sent without.',
    });
    return [];
  }
  const traits: { name: string; column: Column }[] = [];
  for (const [name, columnName, valueNode] of pairs) {
    const column = customers && namedColumn(source, customers, columnName, valueNode);
    if (!column || !customers) continue;
    if (traits.some((trait) => trait.name === name))
      source.report(valueNode, { rule: 'duplicate-trait', message: `"${name}" is listed twice.` });
    checkPurpose(source, valueNode, column, customers, destination, `"${columnName}"`);
    if (
      column.classification !== undefined &&
      !OPEN_CLASSIFICATIONS.includes(column.classification.toLowerCase()) &&
      !column.purposes
    ) {
      source.report(valueNode, {
        rule: 'classified-column',
        message: `"${columnName}" is classified ${column.classification}, and its contract names no purpose it may be sent for.`,
        hint: `The path is ${pathOf(source, column, customers, destination)}. Leave it out, or let whoever owns the contract add the custom property sluice.purposes.`,
      });
    }
    traits.push({ name, column });
  }
  return traits;
}

/** The `sync` part of the connector's settings is what a sync may set; without such a part it may set nothing. */
function readSettings(source: Source, file: SyncFile, place: Node, connector: Connector): Readonly<Record<string, unknown>> {
  if (file.settings === undefined || !isMap(valueOf(place, 'settings'))) return {};
  const shape: Readonly<Record<string, z.ZodType>> = connector.settings instanceof z.ZodObject ? connector.settings.shape : {};
  const schema = shape['sync'];
  if (!schema) {
    source.report(keyOf(place, 'settings'), {
      rule: 'unsupported-settings',
      message: `${connector.title} has no settings of a sync.`,
      hint: 'Settings of the account stand in the file of the destination.',
    });
    return {};
  }
  const index = (valueOf(source.root, 'syncs') as { items?: unknown[] } | undefined)?.items?.indexOf(place) ?? 0;
  const words = { nouns: { settings: `the settings of a sync to ${connector.title}` } };
  const settings = checkShape(source, schema, words, ['syncs', index, 'settings']);
  return (settings ?? {}) as Readonly<Record<string, unknown>>;
}
