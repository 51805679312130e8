import { ErasureRefused } from '../core/forget/forget.ts';
import { Ambiguous } from '../core/forget/person.ts';
import { RequestRefused } from '../core/forget/request.ts';
import { PointerConflict, WarehouseError } from '../core/ports.ts';
import { StalePlan, Stopped } from '../core/run/deliver.ts';
import { LeaseHeld } from '../core/run/lease.ts';
import { LedgerDamaged } from '../core/run/ledger-check.ts';
import { PlanRefused } from '../core/run/operations.ts';
import { UnknownName } from '../core/run/relations.ts';
import { Unaccounted } from '../core/run/report.ts';
import { LogTaken, SecretUnusable, StoreDamaged, StoreRefused, StoreUnavailable } from '../core/store-errors.ts';

/** An error that was foreseen, on its way from a worker to the run: JSON. Messages of these classes hold no data of a person. */
export interface TaskFailure {
  readonly name: string;
  readonly message: string;
  /** Try the same step again: what stood in its way may be gone. `same`: under the same attempt, which goes on with what it began. */
  readonly again: 'no' | 'anew' | 'same';
}

/** Thrown in the run where a step failed for good. `name` is the class that the worker threw. */
export class TaskFailed extends Error {
  readonly failure: TaskFailure;
  constructor(failure: TaskFailure) {
    super(failure.message);
    this.name = failure.name;
    this.failure = failure;
  }
}

const FINAL = [
  ErasureRefused,
  RequestRefused,
  Ambiguous,
  PointerConflict,
  StalePlan,
  LeaseHeld,
  LedgerDamaged,
  PlanRefused,
  UnknownName,
  Unaccounted,
  StoreDamaged,
  StoreRefused,
  SecretUnusable,
];
const ANEW = [LogTaken, StoreUnavailable, Stopped];

/** What was foreseen of an error; undefined for what nobody did. */
export function failureOf(error: unknown): TaskFailure | undefined {
  if (error instanceof TaskFailed) return error.failure;
  if (error instanceof WarehouseError) {
    const waiting = error.name === 'StillRunning';
    const name = error.kind === 'capacity' ? 'CapacityExceeded' : error.name;
    return { name, message: error.message, again: waiting ? 'same' : error.kind === 'retryable' ? 'anew' : 'no' };
  }
  if (!(error instanceof Error)) return undefined;
  const { name, message } = error;
  if (FINAL.some((kind) => error instanceof kind)) return { name, message, again: 'no' };
  if (ANEW.some((kind) => error instanceof kind)) return { name, message, again: 'anew' };
  return undefined;
}
