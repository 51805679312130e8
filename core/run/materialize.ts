import { keepPolicy } from '../consent-versions.ts';
import type { FileSet, Query, Relation } from '../ports.ts';
import { DECISION_COLUMNS } from '../sql/decisions.ts';
import { movedQuery } from '../sql/merges.ts';
import { type BareSpec, decisionsQuery, type SnapshotSpec, snapshotQuery } from '../sql/snapshot.ts';
import { attemptOf } from './diff.ts';
import { measureLinkage, shapeOf } from './linkage.ts';
import type { PolicyVersions, RunDocument, RunPorts, Tasks } from './ports.ts';
import { syncKey } from './ports.ts';
import {
  ledgerRelation,
  mostOf,
  movedRelation,
  relationOf,
  resolveSync,
  saltOf,
  snapshotRelation,
  UnknownName,
} from './relations.ts';
import { withSignals } from './signals.ts';
import { stopRelation } from './stops.ts';

/** Rule -> snapshot, once for all syncs of the audience. Immutable: everything after reads it, and no activation table again. */
export function materializeTask(ports: RunPorts): Tasks['materialize'] {
  return async ({ run, audience, tick, destinations }) => {
    ports.onProgress?.({ kind: 'step', audience, step: 'materialize' });
    await keepPolicy(ports.store.documents, ports.workspace);
    const ledgers = await ledgersOf(ports, audience, destinations);
    const prefix = `runs/${run}/snapshot/${attemptOf(ports)}`;
    const { spec, moved } = await wholeSpec(ports, snapshotSpec(ports, audience, destinations, tick, ledgers), prefix);
    const merges = ports.workspace.tables.some(({ role }) => role === 'identity-changes');
    const linkage = await measureLinkage(
      ports,
      { audience, destinations, tick },
      { moved: spec.moved, merged: merges ? (moved?.rows ?? 0) : null },
    );
    const shape = await shapeOf(ports, { audience, destinations }, linkage?.now, spec.moved);
    const query = snapshotQuery({ ...spec, ...shape });
    const files = await ports.warehouse.materialize(query, ports.store.files.location(`${prefix}/members`));
    const [row] = await ports.warehouse.rows({
      sql: 'SELECT count(*) AS n FROM snapshot WHERE matched',
      relations: { snapshot: snapshotRelation({ files }) },
    });
    return {
      files,
      matched: Number(row?.['n'] ?? 0),
      ...(moved && { moved }),
      ...(linkage && { linkage }),
      policies: await policyVersions(ports, audience),
    };
  };
}

/**
 * The spec with what a snapshot needs beside tables and ledgers: who was merged, the stop list, what strings say of consent, and where one
 * pass over the consents is not enough the decisions. All of it is found anew, as of the spec's tick, and written under the key `prefix`.
 * @param given the stop list, where it is known already
 */
export async function wholeSpec(
  ports: RunPorts,
  bare: BareSpec,
  prefix: string,
  given?: { readonly stops: Relation | undefined },
): Promise<{ readonly spec: SnapshotSpec; readonly moved: FileSet | null }> {
  const { stops } = given ?? { stops: await stopRelation(ports, `${prefix}/stops`, bare.tick) };
  const moved = await movedIds(ports, bare.tick, `${prefix}/merges`);
  const known = { ...bare, moved: moved && movedRelation(moved), ...(stops && { stops }) };
  const spec = await withSignals(ports, known, `${prefix}/signals`);
  return { spec: { ...spec, decisions: await consentDecisions(ports, spec, `${prefix}/decisions`) }, moved };
}

/**
 * What consents decide for the people of a spec, kept as files; null where the snapshot decides it by itself, unless `take` is `always`.
 * @param filled makes the query that is asked, where relations of the spec are rows at hand
 */
export async function consentDecisions(
  { warehouse, store }: RunPorts,
  spec: Omit<SnapshotSpec, 'decisions'>,
  key: string,
  { filled = (query) => query, take }: { readonly filled?: (query: Query) => Query; readonly take?: 'always' } = {},
): Promise<Relation | null> {
  const query = decisionsQuery(spec, take);
  if (query === null) return null;
  return relationOf(await warehouse.materialize(filled(query), store.files.location(key)), DECISION_COLUMNS);
}

/** Who was merged into whom as of the tick, kept as a file; null where nobody was, and without a table that could say so. */
export async function movedIds(
  { workspace, memberKey, warehouse, store }: RunPorts,
  tick: number,
  key: string,
): Promise<FileSet | null> {
  const query = movedQuery(workspace, tick, memberKey);
  if (query === null) return null;
  const files = await warehouse.materialize(query, store.files.location(key));
  return files.rows === 0 ? null : files;
}

/** The ledgers that the snapshot of an audience must look at, by destination. */
export async function ledgersOf(
  ports: RunPorts,
  audience: string,
  destinations: readonly string[],
): Promise<ReadonlyMap<string, Relation>> {
  const ledgers = new Map<string, Relation>();
  for (const destination of destinations) {
    const { sync } = resolveSync(ports, audience, destination);
    // Who is not removed for leaving the rule is still removed for withdrawing: the snapshot must look at them too.
    if (sync.mode === 'mirror' && sync.rollout === 100) continue;
    const pointer = await ports.store.pointers.get(syncKey(audience, destination));
    if (pointer !== null) ledgers.set(destination, ledgerRelation(pointer.members));
  }
  return ledgers;
}

/** A run is known by the policies that decided it; one that changed since the audience's last run is named beside what it was. */
async function policyVersions({ workspace, store }: RunPorts, audience: string): Promise<PolicyVersions> {
  const runs = await store.documents.list<RunDocument>('run', { limit: 200 });
  // A plan that was only looked at is no run: it would hide the change from the next one.
  const last = runs.find(
    ({ document: { of, state, snapshot } }) =>
      of.audience === audience && !['planned', 'held', 'rejected'].includes(state) && snapshot.policies !== undefined,
  );
  const of = (name: 'consent' | 'identity') => {
    const { version } = workspace[name];
    const before = last?.document.snapshot.policies?.[name].version;
    return { version, ...(before !== undefined && before !== version && { before }) };
  };
  return { consent: of('consent'), identity: of('identity') };
}

/** What `snapshotQuery` needs to know of an audience and its syncs. */
export function snapshotSpec(
  ports: RunPorts,
  audienceName: string,
  destinations: readonly string[],
  tick: number,
  ledgers: ReadonlyMap<string, Relation>,
): BareSpec {
  const audience = ports.workspace.audiences[audienceName];
  if (audience === undefined) throw new UnknownName('audience', audienceName);
  const syncs = destinations.map((to, index) => {
    const resolved = resolveSync(ports, audienceName, to);
    const ledger = ledgers.get(to);
    return {
      index,
      purpose: resolved.destination.purpose,
      namespaces: resolved.namespaces,
      traits: resolved.sync.traits.map((trait) => trait.column),
      salt: saltOf(resolved),
      rollout: resolved.sync.rollout,
      most: mostOf(resolved),
      ...(ledger && { ledger }),
    };
  });
  return { audience, workspace: ports.workspace, tick, memberKeySecret: ports.memberKey, syncs };
}
