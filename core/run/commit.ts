import type { LedgerFile, Pointer } from '../ports.ts';
import { LOG_COLUMNS, REMOVE_LINE_COLUMNS, UPSERT_LINE_COLUMNS } from '../sql/delta.ts';
import {
  type DeliveryRelations,
  demandedSinceQuery,
  generationQuery,
  ledgerCountsQuery,
  outcomesQuery,
  rejectionsLeftQuery,
  rejectionsQuery,
} from '../sql/ledger.ts';
import { writeReceipts } from '../receipts/write.ts';
import { receiptsQuery } from '../sql/receipts.ts';
import { ulidTime } from '../ulid.ts';
import { attemptOf, rowsOf } from './diff.ts';
import { holdLease } from './lease.ts';
import { sealed } from './ledger-check.ts';
import { closeLog } from './outcome-log.ts';
import type { CommitInput, Failure, OutcomeCounts, RunPorts, Shard, SyncResult, Tasks } from './ports.ts';
import { syncKey } from './ports.ts';
import { ledgerRelation, linesRelation, NO_FILE, rejectionRelation, relationOf, snapshotRelation } from './relations.ts';

/**
 * Generation n+1 = generation n (+) outcomes (law 2), written under a new name, then the pointer moved by compare-and-swap under the
 * lease's fence; before it, the receipts of what was sent. Done again after a crash it finds its own generation current and answers the same. No outcome, no generation.
 */
export function commitTask(ports: RunPorts): Tasks['commit'] {
  return async (input): Promise<SyncResult> => {
    const { run, audience, plan } = input;
    const { store } = ports;
    const sync = syncKey(audience, plan.destination);
    const held = await holdLease(ports, run, audience, plan.destination);
    const shards = [...plan.removeShards, ...plan.upsertShards];
    for (const shard of shards) await closeLog(store.files, shard);
    const relations = await deliveryRelations(ports, input);
    const outcomes = await outcomesOf(ports, relations, rowsOf(shards));
    let pointer = await store.pointers.get(sync);
    // A remove with nothing to send (law 6) still takes the member out of the ledger.
    const silent = plan.removes.rows > rowsOf(plan.removeShards);
    const answered = outcomes.answered > 0 || (silent && input.failure === undefined);
    const receipts = await receiptsOf(ports, input, relations, { answers: outcomes.answers, committed: answered });
    if (answered && pointer?.generation !== run) {
      pointer = await writeGeneration(ports, input, relations, { fence: held.lease.fence, rejected: outcomes.counts.rejected });
      await store.pointers.move(sync, plan.version, pointer);
    }
    await store.leases.release(held.lease);
    const failure = input.failure ?? tookNobody(plan.destination, outcomes.counts);
    return {
      outcomes: outcomes.counts,
      rejections: outcomes.rejections,
      requests: input.requests,
      members: pointer?.members.files.rows ?? 0,
      ...(receipts && { receipts }),
      ...(await demandedOf(ports, input, relations)),
      ...(failure && { error: failure }),
    };
  };
}

/**
 * How long it took from the record of a refusal, or the request of an erasure, to the removal: as of the tick, and the time the run has taken
 * since it began.
 */
async function demandedOf(
  ports: RunPorts,
  { run, tick }: CommitInput,
  relations: DeliveryRelations,
): Promise<Pick<SyncResult, 'demanded'>> {
  const [row] = await ports.warehouse.rows(demandedSinceQuery(relations));
  const removed = Number(row?.['n'] ?? 0);
  if (removed === 0) return {};
  const at = tick + Math.max(0, ports.clock.now() - ulidTime(run));
  const since = (cell: unknown): number => Math.max(0, at - Number(cell ?? at));
  return { demanded: { removed, p50Ms: since(row?.['middle']), maxMs: since(row?.['oldest']) } };
}

/** A delivery of which nothing arrived is a failure, whatever the answers were called one by one. */
function tookNobody(destination: string, { delivered, accepted, rejected, retry }: OutcomeCounts): Failure | undefined {
  if (delivered + accepted + rejected > 0 || retry === 0) return undefined;
  return {
    message: `${destination} took none of ${retry.toLocaleString('en-US')} ${retry === 1 ? 'member' : 'members'}, each tried several times.`,
    wayOut: `Nothing that ${destination} acknowledged has changed. Look whether the platform is up, then run the sync again.`,
  };
}

async function deliveryRelations(ports: RunPorts, { plan, snapshot }: CommitInput): Promise<DeliveryRelations> {
  const { files } = ports.store;
  const logs = async (shards: readonly Shard[]): Promise<string[]> => {
    const found: string[] = [];
    for (const shard of shards) if (await files.exists(shard.log)) found.push(files.location(shard.log));
    return found;
  };
  return {
    ledger: ledgerRelation(plan.ledger),
    rejections: rejectionRelation(plan.rejections),
    snapshot: snapshotRelation(snapshot),
    removes: relationOf(plan.removes, REMOVE_LINE_COLUMNS),
    upserts: linesRelation(
      plan.upsertShards.map((shard) => files.location(shard.key)),
      UPSERT_LINE_COLUMNS,
    ),
    remove_log: linesRelation(await logs(plan.removeShards), LOG_COLUMNS),
    upsert_log: linesRelation(await logs(plan.upsertShards), LOG_COLUMNS),
    ...(plan.again && { again: relationOf(plan.again, { member: 'varchar' }) }),
  };
}

/** What the destination answered; whoever it did not take is `retry` and stays in the next delta. `answered` is what changes the ledger. */
async function outcomesOf(ports: RunPorts, relations: DeliveryRelations, sent: number) {
  const rows = await ports.warehouse.rows(outcomesQuery(relations));
  const counts = { delivered: 0, accepted: 0, rejected: 0, retry: 0 };
  const rejections: { reason: string; count: number }[] = [];
  let answered = 0;
  let answers = 0;
  for (const row of rows) {
    const n = Number(row['n']);
    answers += n;
    const outcome = row['o'] as keyof OutcomeCounts | 'unknown';
    if (outcome !== 'unknown') counts[outcome] += n;
    if (outcome !== 'retry') answered += n;
    if (outcome === 'rejected') rejections.push({ reason: String(row['r'] ?? 'rejected'), count: n });
  }
  counts.retry = sent - counts.delivered - counts.accepted - counts.rejected;
  return { counts, rejections: rejections.toSorted((a, b) => b.count - a.count), answered, answers };
}

/** The receipts of the delivery, before the pointer moves: what was sent is proven before it is acknowledged. */
async function receiptsOf(
  ports: RunPorts,
  { run, audience, tick, plan }: CommitInput,
  relations: DeliveryRelations,
  { answers, committed }: { readonly answers: number; readonly committed: boolean },
): Promise<SyncResult['receipts']> {
  if (answers === 0 && !committed) return undefined;
  const of = { run, audience, tick, destination: plan.destination, committedAt: ports.clock.now() };
  const query = receiptsQuery(relations, { ...of, ...plan.receipt, policyVersion: plan.policy, committed });
  return writeReceipts(ports, { ...of, attempt: attemptOf(ports) }, query);
}

async function writeGeneration(
  ports: RunPorts,
  input: CommitInput,
  relations: DeliveryRelations,
  { fence, rejected }: { readonly fence: number; readonly rejected: number },
): Promise<Pointer> {
  const { run, audience, tick, plan } = input;
  const attempt = attemptOf(ports);
  const at = (name: string): string =>
    ports.store.files.location(`ledger/${audience}/${plan.destination}/${run}/${attempt}/${name}`);
  const members = await sealed(ports, await ports.warehouse.materialize(generationQuery(relations, tick), at('members')));
  // Nothing was rejected before and nothing now: what was sent need not be looked through for it.
  const none = rejected === 0 && (plan.rejections?.files.rows ?? 0) === 0;
  const rejections = none
    ? NO_FILE
    : await sealed(
        ports,
        await ports.warehouse.materialize(
          input.snapshot.files.locations.length === 0 ? rejectionsLeftQuery(relations) : rejectionsQuery(plan.index, relations),
          at('rejections'),
        ),
      );
  return {
    generation: run,
    version: plan.version + 1,
    fence,
    members,
    rejections,
    at: tick,
    purpose: plan.receipt.purpose,
    ...(input.list && { list: input.list }),
    ...(plan.rollout !== undefined && plan.rollout.now < 100 && { rollout: plan.rollout.now }),
  };
}

/** Members of a generation by what is known of them. */
export async function ledgerCounts(
  ports: RunPorts,
  file: LedgerFile | undefined,
): Promise<{ acknowledged: number; uncertain: number }> {
  const rows = await ports.warehouse.rows(ledgerCountsQuery(ledgerRelation(file)));
  const sum = (certain: boolean): number =>
    rows.reduce((total, row) => total + ((row['outcome'] !== 'unknown') === certain ? Number(row['n']) : 0), 0);
  return { acknowledged: sum(true), uncertain: sum(false) };
}
