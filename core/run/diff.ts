import type { Connector, Grant, TraitValue } from '../connector.ts';
import { estimate } from '../delivery/estimate.ts';
import { identifierText, type RemoveLine, type RemoveReason, type UpsertLine, WITHHELD, type WithheldReason } from '../delta.ts';
import { type Returned, returnedFor } from '../forget/tombstones.ts';
import { prepareIdentifiers } from '../identifiers.ts';
import type { Basis, Column } from '../model.ts';
import type { FileSet, LedgerFile, Relation, Row } from '../ports.ts';
import { valueOf } from '../sql/canonical.ts';
import {
  CANDIDATE_COLUMNS,
  candidateCountsQuery,
  candidatesQuery,
  payloadQuery,
  REMOVE_LINE_COLUMNS,
  removeShardsQuery,
  removesQuery,
  resendQuery,
  stayedQuery,
} from '../sql/delta.ts';
import { movedCountQuery, survivorsQuery } from '../sql/merges.ts';
import {
  aboutQuery,
  NEAR_COLUMNS,
  nearQuery,
  ROUNDS,
  TOUCHED_COLUMNS,
  touchedCountQuery,
  touchedQuery,
  touchedSeedQuery,
} from '../sql/near.ts';
import { LinesAside } from './aside.ts';
import { assertLedgerWhole, sealed } from './ledger-check.ts';
import type { RunPorts, Shard, SyncCounts, SyncPlan, Tasks } from './ports.ts';
import { syncKey } from './ports.ts';
import {
  ledgerRelation,
  linesRelation,
  movedRelation,
  type Resolved,
  rejectionRelation,
  relationOf,
  resolveSync,
  snapshotRelation,
} from './relations.ts';

/** Rows a shard is aimed at: small enough for one worker's quarter of an hour, large enough to be worth its start. */
const ROWS_PER_SHARD = 250_000;
const MAX_SHARDS = 64;
/** Queries of two rounds each in which members who share identifiers are looked for (law 6). A household is found in one or two rounds. */
const MAX_QUERIES = 8 / ROUNDS;

/** A line of `payloadQuery`. */
interface Payload {
  readonly k: string;
  readonly op: 'add' | 'update' | 'remove' | 'holdout' | 'rollout';
  readonly why?: string | null;
  readonly held: boolean;
  readonly h?: string | null;
  readonly raw?: readonly string[] | null;
  readonly t?: readonly (string | null)[] | null;
  readonly c?: string | null;
  readonly e?: string | null;
  readonly country?: string | null;
  readonly old?: readonly string[] | null;
  readonly formerly?: readonly string[] | null;
}

/**
 * Compares the snapshot with what the destination last accepted and writes the delta of one sync, in three passes (docs/adr/0003).
 * Reads only the snapshot and the ledger. Sends nothing. Throws `LedgerDamaged` when a ledger file is not as it was written.
 */
export function diffTask(ports: RunPorts): Tasks['diff'] {
  return async ({ run, audience, destination, index, snapshot }) => {
    ports.onProgress?.({ kind: 'step', audience, step: 'diff', destination });
    const { warehouse, store } = ports;
    const resolved = resolveSync(ports, audience, destination);
    const { mode, rollout } = resolved.sync;
    const pointer = await store.pointers.get(syncKey(audience, destination));
    await assertLedgerWhole(store.files, syncKey(audience, destination), pointer);

    const prefix = `runs/${run}/${destination}/${attemptOf(ports)}`;
    const at = (name: string): string => store.files.location(`${prefix}/${name}`);
    const { membership } = resolved.connector;
    const moved = snapshot.moved && movedRelation(snapshot.moved);
    // A list of identifiers keeps what merged ids share; a list of persons loses the record of the id that is none any more (docs/adr/0080).
    const known = pointer?.members ?? null;
    const ledger =
      known && moved && membership === 'identifier' ? await underSurvivors(ports, known, moved, at('ledger')) : known;
    const base = {
      snapshot: snapshotRelation(snapshot),
      ledger: ledgerRelation(ledger),
      rejections: rejectionRelation(pointer?.rejections),
      ...(moved && membership === 'member' && { moved }),
    };
    const found = await warehouse.materialize(candidatesQuery(index, mode, base, rollout < 100), at('candidates'));
    const candidates = relationOf(found, CANDIDATE_COLUMNS);
    const tally = new Tally(await warehouse.rows(candidateCountsQuery(candidates)));
    const members = ledger?.files.rows ?? 0;
    const allLeave = mode === 'mirror' && rollout === 100;
    const stayed = allLeave ? 0 : count((await warehouse.rows(stayedQuery({ ...base, candidates })))[0]?.['n']);

    const returned = await returnedFor(store.documents, ports.connectors, ports.memberKey, (members) =>
      survivorsOf(ports, moved, members, `${prefix}/keepers.jsonl`),
    );
    // Of the ledger's wide columns, and of the snapshot's, what the rest needs is read once; nothing of the ledger where it holds no candidate.
    const held = tally.heldCandidates > 0;
    const near =
      held && membership === 'identifier'
        ? relationOf(await warehouse.materialize(nearQuery({ ledger: base.ledger, going: candidates }), at('near')), NEAR_COLUMNS)
        : undefined;
    const about =
      near === undefined
        ? base.snapshot
        : snapshotRelation({
            files: await warehouse.materialize(aboutQuery(index, { snapshot: base.snapshot, candidates, near }), at('about')),
          });
    const shards = shardsFor(tally.toPrepare);
    const upserts: Shard[] = [];
    const rawRemoves = new LinesAside(store.files, `${prefix}/raw-removes`);
    if (tally.toPrepare > 0) {
      const old = { ledger: held ? base.ledger : ledgerRelation(null), ...(near && { near }) };
      const query = payloadQuery(index, shards, { ...base, ...old, snapshot: about, candidates });
      const payload = await warehouse.unload(query, at('payload'), shards);
      for (const [i, files] of payload.entries()) {
        const name = String(i).padStart(2, '0');
        const key = `${prefix}/upserts/${name}.jsonl.gz`;
        const written = await store.files.write(key, prepare(ports, resolved, files, tally, rawRemoves, returned));
        if (written.lines > 0) upserts.push({ key, log: `${key}.log`, rows: written.lines });
      }
      await rawRemoves.end();
    }

    const raw = linesRelation(rawRemoves.locations, REMOVE_LINE_COLUMNS);
    const removes = await warehouse.materialize(removesQuery({ raw_removes: raw, ...(near && { near }) }), at('removes'));
    const removeRelation = relationOf(removes, REMOVE_LINE_COLUMNS);
    const removeShards =
      removes.rows === 0 ? [] : await unloadShards(ports, removeRelation, shardsFor(removes.rows), `${prefix}/remove-shards`);
    if (near !== undefined && removeShards.length > 0) {
      const touched = await touchedMembers(ports, removeRelation, near, at);
      if (touched !== null) {
        const query = resendQuery(index, 1, { snapshot: about, near, touched, candidates });
        const again = await warehouse.unload(query, at('resend'), 1);
        const key = `${prefix}/upserts/resend.jsonl.gz`;
        const written = await store.files.write(key, resend(ports, resolved, again, tally));
        if (written.lines > 0) upserts.push({ key, log: `${key}.log`, rows: written.lines });
      }
    }

    const counts = tally.counts(members - stayed - tally.heldCandidates);
    const toSend = { upsert: rowsOf(upserts), remove: rowsOf(removeShards) };
    return {
      destination,
      mode,
      index,
      version: pointer?.version ?? 0,
      members,
      counts,
      ...estimate(resolved.connector, toSend, resolved.destination.budget),
      policy: ports.workspace.consent.version,
      ledger,
      rejections: pointer?.rejections ?? null,
      removes,
      removeShards,
      upsertShards: upserts,
      ...((rollout < 100 || pointer?.rollout !== undefined) && { rollout: { now: rollout, before: pointer?.rollout ?? 100 } }),
      ...(pointer?.purpose !== undefined &&
        pointer.purpose !== resolved.destination.purpose && { purposeBefore: pointer.purpose }),
      receipt: receiptTerms(resolved),
    } satisfies SyncPlan;
  };
}

/** The ledger with the rows of merged ids moved to their survivors; the ledger itself where no row is one's. */
async function underSurvivors(ports: RunPorts, ledger: LedgerFile, moved: Relation, prefix: string): Promise<LedgerFile> {
  const relations = { ledger: ledgerRelation(ledger), moved };
  const [row] = await ports.warehouse.rows(movedCountQuery(relations));
  if (count(row?.['n']) === 0) return ledger;
  return sealed(ports, await ports.warehouse.materialize(survivorsQuery(relations), prefix));
}

/** What every receipt of the delivery will say alike, as it is when the delta is made. */
export const receiptTerms = ({ connector, destination, sync }: Resolved): SyncPlan['receipt'] => ({
  connector: connector.name,
  purpose: destination.purpose,
  namespaces: [...new Set(['external_id', ...Object.keys(connector.namespaces)])],
  traits: sync.traits.map(({ name }) => name),
});

export const shardsFor = (rows: number): number => Math.min(MAX_SHARDS, Math.max(1, Math.ceil(rows / ROWS_PER_SHARD)));

/** A name no other attempt at the same step has: a repeated step never writes where an earlier one did. */
export const attemptOf = (ports: Pick<RunPorts, 'clock' | 'attempt'>): string =>
  ports.attempt ??
  `a${ports.clock.now().toString(36)}${Math.trunc(ports.clock.random() * 36 ** 4)
    .toString(36)
    .padStart(4, '0')}`;

export const rowsOf = (shards: readonly Shard[]): number => shards.reduce((sum, shard) => sum + shard.rows, 0);

const count = (cell: unknown): number => Number(cell ?? 0);

export async function unloadShards(ports: RunPorts, removes: Relation, shards: number, prefix: string): Promise<Shard[]> {
  const sets = await ports.warehouse.unload(removeShardsQuery(shards, removes), ports.store.files.location(prefix), shards);
  const { files } = ports.store;
  const written: Shard[] = [];
  for (const [i, set] of sets.entries()) {
    const [first] = set.locations;
    if (set.rows === 0 || first === undefined) continue;
    // An engine may write a shard in several files; it is delivered, logged and counted as one.
    const key =
      set.locations.length === 1
        ? files.keyOf(first)
        : (await files.write(`${prefix}-whole/${String(i).padStart(2, '0')}.jsonl.gz`, linesOf(ports, set))).key;
    written.push({ key, log: `${key}.log`, rows: set.rows });
  }
  return written;
}

async function* linesOf(ports: RunPorts, set: FileSet): AsyncIterable<string> {
  for (const location of set.locations) yield* ports.store.files.lines(ports.store.files.keyOf(location));
}

/** Everyone who shares an identifier, over however many corners, with somebody who loses one. Null when that is nobody else. */
export async function touchedMembers(
  { warehouse }: Pick<RunPorts, 'warehouse'>,
  removes: Relation,
  near: Relation,
  at: (name: string) => string,
): Promise<Relation | null> {
  let touched = relationOf(await warehouse.materialize(touchedSeedQuery(removes), at('touched-0')), TOUCHED_COLUMNS);
  const seeds = touched.files.rows;
  for (let query = 1; query <= MAX_QUERIES; query++) {
    touched = relationOf(await warehouse.materialize(touchedQuery({ touched, near }), at(`touched-${query}`)), TOUCHED_COLUMNS);
    const [row] = await warehouse.rows(touchedCountQuery(touched));
    if (count(row?.['late']) === 0) break;
  }
  return touched.files.rows === seeds ? null : touched;
}

/** Who some members were merged into; `key` is the file in which they are looked for. */
async function survivorsOf(
  { store, warehouse }: RunPorts,
  moved: Relation | null | undefined,
  members: readonly string[],
  key: string,
): Promise<ReadonlyMap<string, string>> {
  if (!moved || members.length === 0) return new Map();
  const lines = members.map((member) => JSON.stringify({ member }));
  const keepers = linesRelation([(await store.files.write(key, lines)).location], { member: 'varchar' });
  const rows = await warehouse.rows({
    sql: 'SELECT m.member AS member, m.survivor AS survivor FROM moved m JOIN keepers k ON k.member = m.member',
    relations: { moved, keepers },
  });
  return new Map(rows.map((row) => [String(row['member']), String(row['survivor'])]));
}

/** Normalises one shard of candidates: yields upsert lines, collects remove lines, counts what SQL could not know. */
async function* prepare(
  ports: RunPorts,
  resolved: Resolved,
  files: FileSet,
  tally: Tally,
  removes: LinesAside,
  returned: Returned | undefined,
): AsyncIterable<string> {
  const { connector, accepts, sync, destination } = resolved;
  const columns = sync.traits.map((trait) => [trait.name, trait.column] as const);
  const keep = keptNamespaces(connector);
  const remove = (line: RemoveLine): Promise<void> => removes.add(JSON.stringify(line));
  for (const location of files.locations) {
    for await (const text of ports.store.files.lines(ports.store.files.keyOf(location))) {
      const row = JSON.parse(text) as Payload;
      const old = row.old ?? [];
      const evidence = row.e ? { e: row.e } : {};
      if (row.op === 'remove') {
        await remove({ k: row.k, ids: old, why: row.why as RemoveReason, ...evidence });
        continue;
      }
      const identifiers = prepareIdentifiers(accepts, row.raw ?? [], row.country ?? null);
      const why = returned?.(row.k, row.raw ?? [], row.country ?? null)
        ? 'erased'
        : identifiers.length === 0
          ? 'no-identifier'
          : row.op === 'holdout' || row.op === 'rollout'
            ? row.op
            : undefined;
      if (why !== undefined) {
        tally.withhold(why, row.op, row.held);
        if (row.held) await remove({ k: row.k, ids: old, why: why as RemoveReason, ...evidence });
        continue;
      }
      const ids = identifiers.map(identifierText);
      const kept = keep === null ? ids : identifiers.filter((identifier) => keep.has(identifier.namespace)).map(identifierText);
      if (row.held) {
        const gone = old.filter((id) => !kept.includes(id));
        if (gone.length > 0) await remove({ k: row.k, ids: gone, why: 'changed', ...evidence });
      }
      const line: UpsertLine = {
        k: row.k,
        op: row.op as 'add' | 'update',
        h: row.h ?? '',
        ids,
        ...(kept.length < ids.length && { l: kept }),
        ...(columns.length > 0 && { t: traitsOf(columns, row.t) }),
        c: consentOf(destination.purpose, row.c),
        ...evidence,
        ...formerlyOf(accepts, row.formerly),
      };
      yield JSON.stringify(line);
    }
  }
}

/** Ids that were merged into a member, as they were sent. */
function formerlyOf(accepts: Resolved['accepts'], ids: Payload['formerly']): Pick<UpsertLine, 'm'> {
  const sent = (ids ?? []).flatMap((id) => accepts['external_id']?.normalise(id, { country: null }) ?? []);
  return sent.length === 0 ? {} : { m: sent };
}

/** What is sent again from the ledger: identifiers as sent, never normalised twice. */
async function* resend(ports: RunPorts, resolved: Resolved, sets: readonly FileSet[], tally: Tally): AsyncIterable<string> {
  const columns = resolved.sync.traits.map((trait) => [trait.name, trait.column] as const);
  for (const location of sets.flatMap((set) => set.locations)) {
    for await (const text of ports.store.files.lines(ports.store.files.keyOf(location))) {
      const row = JSON.parse(text) as {
        k: string;
        h: string;
        ids: readonly string[];
        t?: readonly (string | null)[];
        c?: string;
        e?: string;
      };
      tally.resent += 1;
      const line: UpsertLine = {
        k: row.k,
        op: 'resend',
        h: row.h,
        ids: row.ids,
        ...(columns.length > 0 && { t: traitsOf(columns, row.t) }),
        c: consentOf(resolved.destination.purpose, row.c),
        ...(row.e && { e: row.e }),
      };
      yield JSON.stringify(line);
    }
  }
}

/** Namespaces that the ledger keeps for a later removal; null for all. */
function keptNamespaces(connector: Connector): ReadonlySet<string> | null {
  const needs = connector.removalNeeds ?? (connector.membership === 'member' ? ['external_id'] : undefined);
  return needs === undefined ? null : new Set(needs);
}

function traitsOf(
  columns: readonly (readonly [string, Column])[],
  texts: readonly (string | null)[] | null | undefined,
): Record<string, TraitValue> {
  return Object.fromEntries(columns.map(([name, column], i) => [name, valueOf(texts?.[i] ?? null, column)]));
}

function consentOf(purpose: string, text: string | null | undefined): UpsertLine['c'] {
  const [basis, jurisdiction, grant] = (text ?? 'opt-in||').split('|');
  const decision = [purpose, basis as Basis, jurisdiction ? jurisdiction : null] as const;
  return grant ? [...decision, grant as Grant] : decision;
}

/** The counts of a diff: SQL's tally, corrected by what normalisation finds. */
class Tally {
  private readonly withheld: Record<WithheldReason, number> = Object.fromEntries(WITHHELD.map((reason) => [reason, 0])) as never;
  private readonly reasons: Partial<Record<RemoveReason, number>> = {};
  private add = 0;
  private update = 0;
  private demanded = 0;
  /** Candidates that are in the ledger: the rest of the ledger is unchanged (or stayed). */
  heldCandidates = 0;
  /** Candidates whose payload is needed. */
  toPrepare = 0;
  resent = 0;

  constructor(rows: readonly Row[]) {
    for (const row of rows) {
      const n = count(row['n']);
      if (row['held'] === true) this.heldCandidates += n;
      if (row['op'] !== 'withhold' && row['op'] !== 'parked') this.toPrepare += n;
      if (row['op'] === 'add') this.add += n;
      else if (row['op'] === 'update') this.update += n;
      else if (row['op'] === 'parked') this.withheld.parked += n;
      else if (row['op'] === 'withhold') this.withheld[row['reason'] as WithheldReason] += n;
      else if (row['op'] === 'remove') {
        const reason = row['reason'] as RemoveReason;
        this.reasons[reason] = (this.reasons[reason] ?? 0) + n;
        if (row['demanded'] === true) this.demanded += n;
        if (row['matched'] === true) this.withheld[reason as WithheldReason] += n;
      }
    }
  }

  /** Normalisation withholds a row that SQL had as `op`. */
  withhold(reason: 'erased' | 'no-identifier' | 'holdout' | 'rollout', op: Payload['op'], held: boolean): void {
    this.withheld[reason] += 1;
    if (op === 'add') this.add -= 1;
    if (op === 'update') this.update -= 1;
    // Nobody is removed for being outside a rollout: who is held has another op there.
    if (held && reason !== 'rollout') this.reasons[reason] = (this.reasons[reason] ?? 0) + 1;
  }

  /** @param untouched ledger members that are no candidate and did not merely stay: counted from the ledger's side, for law 14. */
  counts(untouched: number): SyncCounts {
    return {
      add: this.add,
      update: this.update + this.resent,
      remove: Object.values(this.reasons).reduce((sum, n) => sum + n, 0),
      unchanged: untouched - this.resent,
      withheld: this.withheld,
      removeReasons: this.reasons,
      demanded: this.demanded,
      resent: this.resent,
    };
  }
}
