import { createHash } from 'node:crypto';
import type { Connector, Namespace } from '../connector.ts';
import { withLimits } from '../identity.ts';
import type { Audience, Destination, Sync } from '../model.ts';
import type { FileSet, LedgerFile, Pointer, Relation } from '../ports.ts';
import { LEDGER_COLUMNS, REJECTION_COLUMNS } from '../sql/delta.ts';
import { MOVED_COLUMNS } from '../sql/merges.ts';
import { SNAPSHOT_COLUMNS } from '../sql/snapshot-columns.ts';
import type { RunPorts, Snapshot } from './ports.ts';

/** Raised when the way an identifier is normalised or a payload is built changes, so that every member is sent again once. */
const PAYLOAD_VERSION = 1;

/** A sync with everything it refers to. */
export interface Resolved {
  readonly audience: Audience;
  readonly sync: Sync;
  readonly destination: Destination;
  readonly connector: Connector;
  /** Namespaces whose values are sent, `external_id` among them where the platform's record hangs on it. */
  readonly namespaces: readonly string[];
  /** The connector's namespaces, and how many of each the identity policy lets a person send. */
  readonly accepts: Readonly<Record<string, Namespace>>;
}

/** @throws UnknownName when the audience, the destination or the connector does not exist: `check` refuses such files before any run. */
export function resolveSync(ports: Pick<RunPorts, 'workspace' | 'connectors'>, audienceName: string, to: string): Resolved {
  const audience = ports.workspace.audiences[audienceName];
  if (audience === undefined) throw new UnknownName('audience', audienceName);
  const sync = audience.syncs.find((one) => one.to === to);
  const destination = ports.workspace.destinations[to];
  if (sync === undefined || destination === undefined) throw new UnknownName(`sync of "${audienceName}"`, to);
  const connector = ports.connectors[destination.connector];
  if (connector === undefined) throw new UnknownName('connector', destination.connector);
  const chosen = sync.identifiers.length > 0 ? sync.identifiers : connector.defaultIdentifiers;
  const namespaces = connector.membership === 'member' && !chosen.includes('external_id') ? ['external_id', ...chosen] : chosen;
  const accepts = withLimits(connector.namespaces, ports.workspace.identity, to);
  return { audience, sync, destination, connector, namespaces, accepts };
}

export class UnknownName extends Error {
  constructor(what: string, name: string) {
    super(`There is no ${what} "${name}". Run: sluice check`);
    this.name = 'UnknownName';
  }
}

/** Goes into every row hash of the sync: when what is sent of a row changes shape, every row is an update. */
export function saltOf({ connector, sync, namespaces }: Resolved): string {
  const shape = [PAYLOAD_VERSION, connector.name, namespaces, sync.traits.map((trait) => [trait.name, trait.column.name])];
  return createHash('sha256').update(JSON.stringify(shape)).digest('hex').slice(0, 16);
}

/** Of which namespaces a person sends a bounded number, by the policy or the platform. */
export const mostOf = ({ accepts, namespaces }: Resolved): Readonly<Record<string, number>> =>
  Object.fromEntries(
    namespaces.flatMap((name) => {
      const max = Object.hasOwn(accepts, name) ? accepts[name]?.max : undefined;
      return max === undefined ? [] : [[name, max]];
    }),
  );

const EMPTY: FileSet = { format: 'parquet', locations: [], rows: 0, bytes: 0 };

/** What a ledger has that has no rows. */
export const NO_FILE: LedgerFile = { files: EMPTY, checksums: [] };

export const ledgerRelation = (file: LedgerFile | null | undefined): Relation => ({
  files: file?.files ?? EMPTY,
  columns: LEDGER_COLUMNS,
});

export const rejectionRelation = (file: LedgerFile | null | undefined): Relation => ({
  files: file?.files ?? EMPTY,
  columns: REJECTION_COLUMNS,
});

export const movedRelation = (files: FileSet | null): Relation => ({ files: files ?? EMPTY, columns: MOVED_COLUMNS });

export const snapshotRelation = (snapshot: Pick<Snapshot, 'files'>): Relation => ({
  files: snapshot.files,
  columns: SNAPSHOT_COLUMNS,
});

export const relationOf = (files: FileSet, columns: Readonly<Record<string, string>>): Relation => ({ files, columns });

/** JSON lines the engine itself wrote, as one relation. */
export const linesRelation = (locations: readonly string[], columns: Readonly<Record<string, string>>): Relation => ({
  files: { format: 'jsonl', locations, rows: 0, bytes: 0 },
  columns,
});

export const ledgerFilesOf = (pointer: Pointer | null): readonly LedgerFile[] =>
  pointer ? [pointer.members, pointer.rejections] : [];
