import type { WithheldReason } from '../delta.ts';
import { WITHHELD } from '../delta.ts';
import type { Linkage } from '../linkage.ts';
import type { Mode } from '../model.ts';
import type { QualityFinding } from '../sql/gate.ts';
import { type Metered, together } from './usage.ts';
import type {
  Failure,
  Finding,
  OutcomeCounts,
  PolicyVersions,
  RunInput,
  RunState,
  Snapshot,
  SyncPlan,
  SyncResult,
} from './ports.ts';

export interface SyncReport {
  readonly destination: string;
  readonly mode: Mode;
  readonly add: number;
  readonly update: number;
  readonly remove: number;
  readonly unchanged: number;
  readonly withheld: Readonly<Record<WithheldReason, number>>;
  readonly removeReasons: Readonly<Record<string, number>>;
  readonly resent: number;
  /** Planned when nothing was sent, else really made. */
  readonly requests: number;
  /** Estimate of the sending time under the destination's budget. */
  readonly seconds: number;
  readonly outcomes?: OutcomeCounts;
  readonly rejections?: readonly { readonly reason: string; readonly count: number }[];
  readonly error?: Failure;
  /** Where the receipts of what was sent are. */
  readonly receipts?: SyncResult['receipts'];
  /** Of the removals, those that people demanded, with the time from the record to the removal. */
  readonly demanded?: SyncResult['demanded'];
  /** Members in the ledger afterwards (before, for a plan). */
  readonly members: number;
  /** Percent of the customers for whom the sync acts; left out for all. */
  readonly rollout?: number;
}

export interface RunReport extends Metered {
  readonly run: string;
  readonly audience: string;
  readonly tick: number;
  readonly matched: number;
  /** The policies that decided. */
  readonly policies?: PolicyVersions;
  /** How well identifiers and customers are linked. */
  readonly linkage?: Linkage;
  readonly state: RunState;
  /** Why it waits for a person, the whole message. */
  readonly held?: string;
  /** What breaks a contract; nothing was materialized then. */
  readonly findings?: readonly Finding[];
  /** Rows that the run went on with, on the safe side. */
  readonly quality?: readonly QualityFinding[];
  readonly syncs: readonly SyncReport[];
  /** 0 done, 1 failed, 2 the files (or the tables they describe) need a change, 3 held for a person. */
  readonly code: 0 | 1 | 2 | 3;
}

interface Parts {
  readonly findings?: readonly Finding[];
  readonly quality?: readonly QualityFinding[] | undefined;
  readonly snapshot?: Snapshot;
  readonly plans?: readonly SyncPlan[];
  readonly held?: string;
  readonly results?: readonly SyncResult[];
  /** What the gate read and cost, and whatever is in no other part. */
  readonly usage?: Metered['usage'] | undefined;
}

/** The report of a run from what its steps answered. Checks law 14 and throws `Unaccounted` when the sum does not hold. */
export function reportOf(input: RunInput, parts: Parts): RunReport {
  const { run, audience, tick } = input;
  const matched = parts.snapshot?.matched ?? 0;
  const syncs = (parts.plans ?? []).map((plan, i) => syncReport(audience, matched, plan, parts.results?.[i]));
  const policies = parts.snapshot?.policies;
  const linkage = parts.snapshot?.linkage?.now;
  const { quality, findings } = parts;
  const base = {
    run,
    audience,
    tick,
    matched,
    ...(policies && { policies }),
    ...(quality && { quality }),
    ...(linkage && { linkage }),
    ...together(
      input.spent,
      parts.usage && { usage: parts.usage },
      parts.snapshot,
      ...(parts.plans ?? []),
      ...(parts.results ?? []),
    ),
    syncs,
  };
  if (findings !== undefined) {
    const schema = findings.some((finding) => finding.kind === 'schema');
    return { ...base, findings, state: schema ? 'failed' : 'held', code: schema ? 2 : 3 };
  }
  if (parts.results === undefined) {
    const planned = { ...base, state: parts.held === undefined ? ('planned' as const) : ('held' as const) };
    return parts.held === undefined ? { ...planned, code: 0 } : { ...planned, held: parts.held, code: 3 };
  }
  const failed = syncs.some((sync) => sync.error !== undefined);
  return { ...base, state: failed ? 'failed' : 'done', code: failed ? 1 : 0 };
}

function syncReport(audience: string, matched: number, plan: SyncPlan, result: SyncResult | undefined): SyncReport {
  const { add, update, remove, unchanged, withheld, removeReasons, resent } = plan.counts;
  const sum = unchanged + add + update + WITHHELD.reduce((total, reason) => total + withheld[reason], 0);
  if (sum !== matched) throw new Unaccounted(audience, plan.destination, matched, sum);
  return {
    destination: plan.destination,
    mode: plan.mode,
    add,
    update,
    remove,
    unchanged,
    withheld,
    removeReasons,
    resent,
    requests: result?.requests ?? plan.requests,
    seconds: plan.seconds,
    members: result?.members ?? plan.members,
    ...(plan.rollout !== undefined && plan.rollout.now < 100 && { rollout: plan.rollout.now }),
    ...(result && { outcomes: result.outcomes, rejections: result.rejections }),
    ...(result?.receipts && { receipts: result.receipts }),
    ...(result?.demanded && { demanded: result.demanded }),
    ...(result?.error && { error: result.error }),
  };
}

/** Law 14 does not hold: a defect of Sluice or a table that changed under the run. Nothing may be sent on such numbers. */
export class Unaccounted extends Error {
  constructor(audience: string, destination: string, matched: number, sum: number) {
    super(
      `"${audience}" matched ${matched} members, but ${sum} are accounted for in ${destination}. Nothing was sent. ` +
        `Run it again; if it stays, keep .sluice and report it as a defect of Sluice.`,
    );
    this.name = 'Unaccounted';
  }
}
