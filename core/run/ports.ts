import type { QualityFinding } from '../sql/gate.ts';
import type { Connector, Context, Outcome, RemoteList } from '../connector.ts';
import type { RemoveReason, WithheldReason } from '../delta.ts';
import type { Linkage } from '../linkage.ts';
import type { Destination, Mode, Workspace } from '../model.ts';
import type { Metered } from './usage.ts';
import type { Written as ReceiptsWritten } from '../receipts/write.ts';
import type { ReceiptFacts } from '../sql/receipts.ts';
import type { Clock, Durable, FileSet, LedgerFile, Signer, Store, Warehouse } from '../ports.ts';

/** Everything a run needs of the world. The edges (cli/wiring.ts, functions/) build it. */
export interface RunPorts {
  readonly workspace: Workspace;
  /** Hex SHA-256 over the files the workspace was read from: a plan is only sent under the files it was made from. */
  readonly digest: string;
  readonly warehouse: Warehouse;
  readonly store: Store;
  readonly connectors: Readonly<Record<string, Connector>>;
  /**
   * Settings, secret, endpoint and HTTP of a destination; `fresh`: with the secret as it is now, past any cache.
   * Throws `DestinationBroken` when its secret is missing or has the wrong keys.
   */
  contextFor(destination: Destination, fresh?: boolean): Promise<Context<Record<string, unknown>, Record<string, string>>>;
  readonly clock: Clock;
  /** Key of the member hashes: secret, made once a workspace. */
  readonly memberKey: string;
  /** Signs receipts of erasures; without one nobody can be forgotten. */
  readonly signer?: Signer;
  /** Who holds leases: this process or this execution. */
  readonly holder: string;
  /** How long a lease lasts after its holder's last sign of life, milliseconds. Default: a minute, renewed by a process that lives. */
  readonly leaseMs?: number;
  /** Epoch ms at which this worker must have handed over what it does. Default: never. */
  readonly deadline?: number;
  /** The name of this attempt at a step, where whoever asks for the step gives it: asked again under the same name, it goes on with it. */
  readonly attempt?: string;
  readonly onProgress?: (event: Progress) => void;
  /** True once a person asked to stop: no new window is begun. */
  readonly stopped?: () => boolean;
}

export type Progress =
  | { readonly kind: 'step'; readonly audience: string; readonly step: string; readonly destination?: string }
  | {
      readonly kind: 'delivered';
      readonly audience: string;
      readonly destination: string;
      readonly done: number;
      readonly of: number;
    };

export interface RunInput {
  /** ULID of the run, which is also the id of its plan. */
  readonly run: string;
  readonly audience: string;
  /** The one instant that is "now" for the whole run, epoch milliseconds. */
  readonly tick: number;
  /** Only these destinations; all syncs of the audience when left out. */
  readonly destinations?: readonly string[];
  /** `plan` stops before anything is sent. */
  readonly until: 'plan' | 'record';
  /** A person approved the hold. */
  readonly approved?: boolean;
  /** What was read for it before its steps: a second look at consents before a plan is sent. */
  readonly spent?: Metered;
}

/** What a run is, whoever carries it on: the same for its plan, its approval and its resumption. */
export type RunIdentity = Omit<RunInput, 'until' | 'approved' | 'spent'>;

export interface Snapshot extends Metered {
  readonly files: FileSet;
  readonly matched: number;
  /** Who was merged into whom, MOVED_COLUMNS; left out where nobody was. */
  readonly moved?: FileSet;
  /** How well identifiers and customers are linked; left out where there is nothing to link. */
  readonly linkage?: SnapshotLinkage;
  /** The policies it was made under. */
  readonly policies?: PolicyVersions;
}

/** The numbers of a run, and what of them is suddenly otherwise, a sentence each. */
export interface SnapshotLinkage {
  readonly now: Linkage;
  readonly spikes: readonly string[];
}

/** Versions of the policies that decided, and what each was in the audience's run before where that was another. */
export type PolicyVersions = Readonly<Record<'consent' | 'identity', { readonly version: string; readonly before?: string }>>;

/** One file of a delta and the log of its outcomes. */
export interface Shard {
  readonly key: string;
  readonly log: string;
  readonly rows: number;
}

/** The delta of one sync: counts, files, and the ledger it was made against. */
export interface SyncPlan extends Metered {
  readonly destination: string;
  readonly mode: Mode;
  /** Position in the snapshot's columns. */
  readonly index: number;
  /** Version of the ledger pointer the delta was made against; 0 when there is none yet. */
  readonly version: number;
  readonly members: number;
  readonly counts: SyncCounts;
  readonly requests: number;
  readonly seconds: number;
  /** Version of the consent policy (`ConsentPolicy.version`) the people of this delta were decided by. */
  readonly policy: string;
  readonly ledger: LedgerFile | null;
  readonly rejections: LedgerFile | null;
  /** Members whose match may hang on an identifier that goes: their hash in the ledger is emptied, so that the next run sends them again. */
  readonly again?: FileSet;
  readonly removes: FileSet;
  readonly removeShards: readonly Shard[];
  readonly upsertShards: readonly Shard[];
  /** The purpose its members were sent for, where the destination has another now. */
  readonly purposeBefore?: string;
  /** Percent of the customers for whom the sync acts now, and acted when its ledger was written; left out when both are all. */
  readonly rollout?: { readonly now: number; readonly before: number };
  /** What every receipt of the delivery will say alike. */
  readonly receipt: Pick<ReceiptFacts, 'connector' | 'purpose' | 'namespaces' | 'traits'>;
}

export interface SyncCounts {
  readonly add: number;
  readonly update: number;
  /** Members who go from the destination; their withheld ones are among `withheld` too. */
  readonly remove: number;
  readonly unchanged: number;
  readonly withheld: Readonly<Record<WithheldReason, number>>;
  /** Why members are removed. */
  readonly removeReasons: Readonly<Partial<Record<RemoveReason, number>>>;
  /** Of `remove`: because they refused or asked to be forgotten. No guardrail holds these (law 8). */
  readonly demanded: number;
  /** Of `update`: sent again because a shared identifier was removed (law 6). */
  readonly resent: number;
}

export type OutcomeCounts = Readonly<Record<Outcome['kind'], number>>;

/** Removals that people demanded, and how long each took from its record: half of them at most `p50Ms`, all of them at most `maxMs`. */
export interface Demanded {
  readonly removed: number;
  readonly p50Ms: number;
  readonly maxMs: number;
}

export interface SyncResult extends Metered {
  /** Left out when nobody demanded a removal. */
  readonly demanded?: Demanded;
  readonly outcomes: OutcomeCounts;
  readonly rejections: readonly { readonly reason: string; readonly count: number }[];
  /** Requests really made. */
  readonly requests: number;
  readonly error?: { readonly message: string; readonly wayOut: string };
  /** Members after the commit. */
  readonly members: number;
  /** The link of the chain that holds the receipts of this delivery; left out when nothing was sent. */
  readonly receipts?: ReceiptsWritten;
}

export interface Failure {
  readonly message: string;
  readonly wayOut: string;
}

/** The steps of a run. Inputs and results are small JSON; on AWS each is a function of its own. */
export type Tasks = {
  gate(input: { audience: string; tick: number; destinations: readonly string[] }): Promise<GateResult>;
  materialize(input: { run: string; audience: string; tick: number; destinations: readonly string[] }): Promise<Snapshot>;
  diff(input: {
    run: string;
    audience: string;
    tick: number;
    destination: string;
    index: number;
    snapshot: Snapshot;
  }): Promise<SyncPlan>;
  /** `spikes`: what the linkage of the run says a person must look at. */
  guard(input: {
    run: string;
    audience: string;
    matched: number;
    plans: readonly SyncPlan[];
    spikes?: readonly string[];
  }): Promise<{ held?: string }>;
  /** `gate`: what the gate read. */
  plan(input: { of: RunIdentity; snapshot: Snapshot; plans: readonly SyncPlan[]; held?: string; gate?: Metered }): Promise<null>;
  begin(input: {
    run: string;
    audience: string;
    tick: number;
    plan: SyncPlan;
  }): Promise<{ list?: RemoteList; failure?: Failure; requests: number }>;
  deliver(input: DeliverInput): Promise<DeliverResult>;
  /** Asks the consents again while a delivery runs, and tells the stop list. Reads tables, as `materialize` does. */
  recheck(input: { run: string; audience: string }): Promise<Metered & { stopped: number }>;
  finish(input: {
    audience: string;
    list: RemoteList;
    plan: SyncPlan;
    batches: number;
  }): Promise<{ failure?: Failure; requests: number }>;
  commit(input: CommitInput): Promise<SyncResult>;
  record(input: { of: RunIdentity; report: unknown }): Promise<null>;
};

export interface DeliverInput {
  readonly run: string;
  readonly audience: string;
  readonly destination: string;
  readonly op: 'upsert' | 'remove';
  readonly list: RemoteList;
  readonly shard: Shard;
  /** Position of the shard in the delivery, for sessions and batch ids. */
  readonly position: number;
}

export interface DeliverResult {
  readonly done: boolean;
  readonly resumeAt?: number;
  readonly requests: number;
  readonly failure?: Failure;
}

export interface CommitInput {
  readonly run: string;
  readonly audience: string;
  readonly tick: number;
  readonly plan: SyncPlan;
  readonly snapshot: Snapshot;
  readonly list?: RemoteList;
  readonly requests: number;
  readonly failure?: Failure;
}

export interface GateResult extends Metered {
  readonly findings: readonly Finding[];
  /** What the run goes on with all the same. */
  readonly quality?: readonly QualityFinding[];
}

/** `schema`: table and contract disagree. `data`: the rows break the contract. */
export interface Finding {
  readonly kind: 'schema' | 'data';
  readonly table: string;
  readonly message: string;
}

/** What is known of a run, kept as a document of kind `run` under its id. */
export interface RunDocument {
  readonly of: RunIdentity;
  readonly digest: string;
  readonly state: RunState;
  readonly snapshot: Snapshot;
  readonly plans: readonly SyncPlan[];
  readonly held?: string;
  readonly report?: unknown;
  /** What its gate read and cost; the rest is in the snapshot, the plans and the report. */
  readonly gate?: Metered;
  /** It only takes people out (core/run/removal.ts). When it died, what is known of it is committed and the rest decided anew. */
  readonly removal?: boolean;
  /** Its snapshot and delta files are deleted. */
  readonly dropped?: boolean;
}

export type RunState = 'planned' | 'held' | 'rejected' | 'delivering' | 'done' | 'failed' | 'interrupted';

export type JournalFor = (run: string, tasks: Tasks) => Durable<Tasks>;

/** Key of a sync in stores: `audience/destination`. */
export const syncKey = (audience: string, destination: string): string => `${audience}/${destination}`;
