import type { Server } from '../model.ts';
import { didYouMean } from '../problems.ts';
import type { ContractFile } from './contract-schema.ts';
import { keyOf, nodeAt } from './source.ts';
import type { Source } from './source.ts';

type Servers = Readonly<Record<string, Server>>;
type ServerEntry = NonNullable<ContractFile['servers']>[number];

const OURS = ['local', 'duckdb', 'athena'];
const FORMATS = ['parquet', 'csv', 'json'] as const;

/**
 * The servers Sluice can read, by name and, where the name is free, by their `environment`. Others (a Kafka topic, another warehouse)
 * may stand in the contract too and are left alone.
 */
export function readServers(source: Source, entries: readonly ServerEntry[]): Servers {
  const servers = Object.create(null) as Record<string, Server>;
  for (const [index, entry] of entries.entries()) {
    const server = readServer(source, entry, ['servers', index]);
    if (!server) continue;
    if (servers[entry.server] !== undefined) {
      source.report(nodeAt(source.root, ['servers', index, 'server']), {
        rule: 'duplicate-name',
        message: `Two servers are called "${entry.server}".`,
      });
    }
    servers[entry.server] = server;
  }
  for (const entry of entries) {
    const server = servers[entry.server];
    if (entry.environment !== undefined && server) servers[entry.environment] ??= server;
  }
  return servers;
}

function readServer(source: Source, entry: ServerEntry, at: readonly PropertyKey[]): Server | undefined {
  const needs = (key: 'path' | 'database' | 'schema'): string | undefined => {
    if (entry[key] === undefined) {
      source.report(nodeAt(source.root, [...at, 'server']), {
        rule: 'missing-key',
        message: `"${key}" is missing in a server of type ${entry.type}.`,
      });
    }
    return entry[key];
  };
  switch (entry.type) {
    case 'local': {
      const path = needs('path');
      const given = entry.format ?? 'parquet';
      const format = FORMATS.find((known) => known === given);
      if (format === undefined) {
        source.report(nodeAt(source.root, [...at, 'format']), {
          rule: 'invalid-value',
          message: `"format" must be one of ${FORMATS.join(', ')}, not "${given}".`,
          hint: didYouMean(given, FORMATS),
        });
        return undefined;
      }
      return path === undefined ? undefined : { type: 'local', path, format };
    }
    case 'duckdb': {
      const database = needs('database');
      return database === undefined ? undefined : { type: 'duckdb', database, schema: entry.schema ?? 'main' };
    }
    case 'athena': {
      // ODCS calls a database of Athena its schema.
      const database = needs('schema');
      return database === undefined ? undefined : { type: 'athena', database, catalog: entry.catalog ?? 'awsdatacatalog' };
    }
    default:
      return undefined;
  }
}

/** One file may serve many tables: `{table}` in a local path is the table's physical name. */
export function serversFor(servers: Servers, physicalName: string): Servers {
  const own = Object.create(null) as Record<string, Server>;
  for (const [name, server] of Object.entries(servers)) {
    own[name] = server.type === 'local' ? { ...server, path: server.path.replaceAll('{table}', physicalName) } : server;
  }
  return own;
}

/** Reports a table that the environment of the run has no server for. */
export function checkEnvironment(
  source: Source,
  servers: Servers,
  entries: readonly ServerEntry[],
  table: string,
  environment: string,
): void {
  if (servers[environment] !== undefined) return;
  const declared = entries.findIndex(({ server }) => server === environment);
  if (declared >= 0) {
    const type = entries[declared]?.type ?? '';
    // One of ours that is not there has been reported with what is wrong in it.
    if (OURS.includes(type)) return;
    source.report(nodeAt(source.root, ['servers', declared, 'type']), {
      rule: 'no-server',
      message: `"${table}" is on a server of type ${type} in the environment "${environment}", which Sluice does not read.`,
      hint: didYouMean(type, OURS) ?? `It reads ${OURS.join(', ')}.`,
    });
    return;
  }
  const names = Object.keys(servers);
  source.report(keyOf(source.root, 'servers') ?? keyOf(source.root, 'schema'), {
    rule: 'no-server',
    message: `"${table}" has no server for the environment "${environment}".`,
    hint:
      didYouMean(environment, names) ??
      (names.length > 0 ? `It has ${names.join(', ')}.` : 'Add one of type local, duckdb or athena.'),
  });
}
