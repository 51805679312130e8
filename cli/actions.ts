import { cancelErasure, continueForget, forget, registerErasure } from '../core/forget/forget.ts';
import type { Erasure } from '../core/forget/erasure.ts';
import type { ForgetRequest } from '../core/forget/request.ts';
import { abandon, retire } from '../core/run/demanded.ts';
import {
  approve,
  type Operations,
  plan,
  reject,
  retryRejected,
  rollback,
  type RunOptions,
  sync,
  syncPlan,
} from '../core/run/operations.ts';
import type { RunReport } from '../core/run/report.ts';
import { liftWithdrawal, withdraw } from '../core/run/withdraw.ts';
import type { Pointer } from '../core/ports.ts';
import type { Conducted } from '../functions/outcome.ts';

/**
 * What commands change, wherever it is done: in this process, or by the functions of a deployment (cli/deployed-actions.ts). Commands read
 * through the ports. Each throws what its namesake in core/ throws, or `CommandFailed` with the same words.
 */
export interface Actions {
  plan(audience: string, options: RunOptions): Promise<RunReport>;
  sync(audience: string, options: RunOptions): Promise<Conducted>;
  /** @param id of the plan */
  syncPlan(id: string): Promise<RunReport>;
  approve(id: string): Promise<RunReport>;
  /** @returns the audience of the plan */
  reject(id: string): Promise<string>;
  /** @returns the pointer as it is then */
  rollback(audience: string, destination: string, generation: string): Promise<Pointer>;
  retry(audience: string, destination: string): Promise<void>;
  withdraw(customers: readonly string[], purposes: readonly string[], at: number): Promise<void>;
  /** @returns how many entries were lifted */
  lift(customers: readonly string[], purposes: readonly string[]): Promise<number>;
  /** @returns undefined when nobody is held there */
  retire(audience: string, destination: string, tick: number): Promise<RunReport | undefined>;
  abandon(audience: string, destination: string, tick: number): Promise<void>;
  forget(request: ForgetRequest, later: boolean): Promise<Erasure>;
  /** Goes on with every erasure that is not done, those among them that a table asks for. */
  continueForget(): Promise<readonly Erasure[]>;
  cancelErasure(id: string): Promise<Erasure>;
}

/** Everything in this process. */
export const localActions = (operations: Operations): Actions => {
  const { ports } = operations;
  return {
    plan: (audience, options) => plan(operations, audience, options),
    async sync(audience, options) {
      const { continued, demanded, ...report } = await sync(operations, audience, options);
      return { report, ...(continued && { continued }), ...(demanded && { demanded }) };
    },
    syncPlan: (id) => syncPlan(operations, id),
    approve: (id) => approve(operations, id),
    reject: async (id) => (await reject(operations, id)).of.audience,
    rollback: (audience, destination, generation) => rollback(operations, audience, destination, generation),
    async retry(audience, destination) {
      await retryRejected(operations, audience, destination);
    },
    async withdraw(customers, purposes, at) {
      await withdraw(ports, customers, purposes, at);
    },
    lift: (customers, purposes) => liftWithdrawal(ports, customers, purposes),
    retire: (audience, destination, tick) => retire(ports, audience, destination, tick),
    abandon: (audience, destination, tick) => abandon(ports, audience, destination, tick),
    forget: (request, later) => (later ? registerErasure : forget)(ports, request),
    continueForget: () => continueForget(ports),
    cancelErasure: (id) => cancelErasure(ports, id),
  };
};
