import type { PurposePolicy } from '../model.ts';
import type { FileSet, Pointer, Relation } from '../ports.ts';
import { customersOf } from '../sql/audience.ts';
import { policyOf } from '../sql/consent.ts';
import { demandedQuery, goneQuery, stoppedQuery } from '../sql/refusals.ts';
import { type SnapshotSpec, snapshotQuery } from '../sql/snapshot.ts';
import { WHO_COLUMNS } from '../sql/stops.ts';
import { ulid } from '../ulid.ts';
import { sealed } from './ledger-check.ts';
import { attemptOf } from './diff.ts';
import { holdLease } from './lease.ts';
import { everyLedger, type Ledger, matchingNobody, withSync } from './ledgers.ts';
import { consentDecisions, snapshotSpec, wholeSpec } from './materialize.ts';
import { type RunPorts, syncKey } from './ports.ts';
import { ledgerRelation, rejectionRelation, relationOf, snapshotRelation } from './relations.ts';
import { removeFrom } from './removal.ts';
import type { RunReport } from './report.ts';
import { stopRelation } from './stops.ts';

/**
 * Takes out of one sync whoever refused or was erased, whatever its rule, mode and guardrails say (law 8). For ledgers that no run of an
 * audience looks at any more, and for runs that are held for another reason.
 *
 * @param look `gone`: only at members whom no table of customers knows any more; the others are decided by the audience's own runs
 * @returns undefined when the ledger holds nobody who must go
 */
export async function removeDemanded(
  given: RunPorts,
  { sync, audience, destination }: Pick<Ledger, 'sync' | 'audience' | 'destination'>,
  tick: number,
  look: 'everybody' | 'gone' = 'everybody',
): Promise<RunReport | undefined> {
  const ports = withSync(given, audience, destination);
  const pointer = await ports.store.pointers.get(sync);
  if (pointer === null || pointer.members.files.rows === 0) return undefined;
  const ledger = ledgerRelation(pointer.members);
  const prefix = `demanded/${sync}/${attemptOf(ports)}`;
  const at = (name: string): string => ports.store.files.location(`${prefix}/${name}`);
  try {
    const stops = await stopRelation(ports, prefix, tick);
    const found: Relation[] = [];
    if (stops !== undefined) {
      const purpose = ports.workspace.destinations[destination]?.purpose ?? '';
      found.push(relationOf(await ports.warehouse.materialize(stoppedQuery(ledger, stops, purpose), at('stopped')), WHO_COLUMNS));
    }
    const nobody = withPolicy(matchingNobody(ports, audience), destination);
    const bare = snapshotSpec(nobody, audience, [destination], tick, new Map([[destination, ledger]]));
    const { spec } = await wholeSpec(nobody, bare, prefix, { stops });
    const gone = await goneMembers(nobody, spec, ledger, `${prefix}/gone`);
    if (gone !== undefined) found.push(relationOf(gone, WHO_COLUMNS));
    if (look === 'everybody') {
      const files = await ports.warehouse.materialize(snapshotQuery(spec), at('snapshot'));
      const query = demandedQuery(snapshotRelation({ files }));
      found.push(relationOf(await ports.warehouse.materialize(query, at('refused')), WHO_COLUMNS));
    }
    const some = found.filter(({ files }) => files.rows > 0);
    if (some.length === 0) return undefined;
    const names = some.map((_, n) => `found_${n}`);
    // `erased` comes before `no-consent`, in the alphabet too.
    const all = names.map((name) => `SELECT member, why, e FROM ${name}`).join(' UNION ALL ');
    const files = await ports.warehouse.materialize(
      {
        sql: `SELECT member, min(why) AS why, max(e) AS e FROM (${all}) x GROUP BY member`,
        relations: Object.fromEntries(some.map((relation, n) => [names[n] ?? '', relation])),
      },
      at('who'),
    );
    return await removeFrom(given, { audience, destination, tick, who: relationOf(files, WHO_COLUMNS) });
  } finally {
    await ports.store.files.remove(prefix);
  }
}

/** Members whom no row of the customers speaks of and who refused; undefined where no table could say so. */
async function goneMembers(ports: RunPorts, spec: SnapshotSpec, ledger: Relation, prefix: string): Promise<FileSet | undefined> {
  const { workspace, warehouse, store, memberKey: secret } = ports;
  const policy = policyOf(workspace.consent, spec.syncs[0]?.purpose ?? '');
  const decisions = spec.decisions ?? (await consentDecisions(ports, spec, `${prefix}/decisions`, { take: 'always' }));
  if (policy === undefined || decisions === null) return undefined;
  const query = goneQuery({ ledger, decisions, moved: spec.moved }, customersOf(workspace), { policy, tick: spec.tick, secret });
  return warehouse.materialize(query, store.files.location(`${prefix}/members`));
}

/** A refusal is one also where no policy speaks of the purpose any more. */
function withPolicy(ports: RunPorts, destination: string): RunPorts {
  const { consent, destinations } = ports.workspace;
  const name = destinations[destination]?.purpose;
  if (name === undefined || policyOf(consent, name) !== undefined) return ports;
  const policy: PurposePolicy = { name, basis: 'opt-in', jurisdictions: {}, sharedIdentifiers: 'keep-for-entitled' };
  return {
    ...ports,
    workspace: { ...ports.workspace, consent: { ...consent, purposes: { ...consent.purposes, [name]: policy } } },
  };
}

/** Ledgers that no file speaks of any more, and who is in them: their number, and whether the destination can still be asked. */
export async function orphans(ports: RunPorts): Promise<readonly (Ledger & { readonly members: number })[]> {
  const found: (Ledger & { readonly members: number })[] = [];
  for (const ledger of await everyLedger(ports)) {
    if (!ledger.orphan) continue;
    const members = (await ports.store.pointers.get(ledger.sync))?.members.files.rows ?? 0;
    if (members > 0) found.push({ ...ledger, members });
  }
  return found;
}

/**
 * Takes out whom no run of an audience takes out: of ledgers that no file speaks of any more whoever refused or was erased, of syncs that
 * keep who left the rule those who refused and are gone from the customers. One that cannot be asked does not keep the others.
 */
export async function tendLedgers(
  ports: RunPorts,
  tick: number,
): Promise<{
  readonly reports: readonly RunReport[];
  readonly failed: readonly { readonly ledger: Ledger; readonly error: unknown }[];
}> {
  const reports: RunReport[] = [];
  const failed: { ledger: Ledger; error: unknown }[] = [];
  for (const ledger of await everyLedger(ports)) {
    const sync = ports.workspace.audiences[ledger.audience]?.syncs.find(({ to }) => to === ledger.destination);
    if (!ledger.reachable || sync?.mode === 'mirror') continue;
    try {
      const report = await removeDemanded(ports, ledger, tick, ledger.orphan ? 'everybody' : 'gone');
      if (report !== undefined) reports.push(report);
    } catch (error) {
      failed.push({ ledger, error });
    }
  }
  return { reports, failed };
}

/** Takes everybody out of one sync and leaves its ledger empty: what is to be done when an audience is deleted. */
export const retire = (ports: RunPorts, audience: string, destination: string, tick: number): Promise<RunReport | undefined> =>
  removeFrom(ports, { audience, destination, tick, who: 'all' });

/** Empties a ledger without asking the destination, which is gone for good. Earlier generations stay until somebody in them is erased. */
export async function abandon(ports: RunPorts, audience: string, destination: string, tick: number): Promise<void> {
  const sync = syncKey(audience, destination);
  const run = ulid(ports.clock.now(), ports.clock.random);
  const { lease } = await holdLease(ports, run, audience, destination);
  try {
    const pointer = await ports.store.pointers.get(sync);
    if (pointer === null) return;
    const folder = `ledger/${sync}/${run}/${attemptOf(ports)}`;
    const empty = async (name: 'members' | 'rejections'): Promise<Pointer['members']> => {
      const relation = name === 'members' ? ledgerRelation(pointer.members) : rejectionRelation(pointer.rejections);
      const columns = Object.keys(relation.columns).map((column) => `k.${column} AS ${column}`);
      const query = { sql: `SELECT ${columns.join(', ')} FROM kept k WHERE 1 = 0`, relations: { kept: relation } };
      return sealed(ports, await ports.warehouse.materialize(query, ports.store.files.location(`${folder}/${name}`)));
    };
    const next = { ...pointer, generation: run, version: pointer.version + 1, fence: lease.fence, at: tick };
    await ports.store.pointers.move(sync, pointer.version, {
      ...next,
      members: await empty('members'),
      rejections: await empty('rejections'),
    });
  } finally {
    await ports.store.leases.release(lease);
  }
}
