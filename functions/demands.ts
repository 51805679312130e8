import { verifyReceipt } from '../core/forget/receipt.ts';
import type { Erasure } from '../core/forget/erasure.ts';
import { cancelErasure, continueForget, forget, registerErasure } from '../core/forget/forget.ts';
import { type ForgetRequest, parseOpenDsr } from '../core/forget/request.ts';
import { abandon, orphans, removeDemanded, retire, tendLedgers } from '../core/run/demanded.ts';
import { PlanRefused } from '../core/run/operations.ts';
import { type RunPorts, syncKey } from '../core/run/ports.ts';
import { sweep } from '../core/run/sweep.ts';
import { liftWithdrawal, withdraw } from '../core/run/withdraw.ts';
import type { AwsTasks, Forgotten } from './durable.ts';
import { putMetrics } from './metrics.ts';

/** Everything that is done because a person demands it, or a company that lets go of a list. Nothing here adds anybody anywhere. */
export const demandsOf = (ports: RunPorts, stage: string): Partial<AwsTasks> => ({
  async demanded({ audience, destination, tick }) {
    const removed = await removeDemanded(ports, { sync: syncKey(audience, destination), audience, destination }, tick);
    return { removed: removed ?? null };
  },
  async forget({ request, later = false }) {
    const asked: ForgetRequest = typeof request === 'string' ? parseOpenDsr(request) : request;
    return told([await (later ? registerErasure : forget)(ports, asked)]);
  },
  async continue() {
    const erasures = await continueForget(ports);
    putMetrics({ erasuresOpen: erasures.filter(({ status }) => status === 'in_progress').length }, stage);
    const { failed } = await tendLedgers(ports, ports.clock.now());
    // One ledger that cannot be tended keeps none of the others; the alarm of failed runs rings for it.
    if (failed.length > 0) putMetrics({ failed: failed.length }, stage);
    // Last, and here: what is kept too long for an hour more hurts nobody, and no other function may delete what a ledger was.
    await sweep(ports);
    return told(erasures);
  },
  cancel: async ({ erasure }) => told([await cancelErasure(ports, erasure)]),
  async verify({ receipt }) {
    if (ports.signer === undefined) throw new Error('This function has no key to verify receipts with.');
    return { verdict: await verifyReceipt(receipt, ports.signer) };
  },
  async withdraw({ customers, purposes, at }) {
    await withdraw(ports, customers, purposes, at);
    return null;
  },
  lift: async ({ customers, purposes }) => ({ lifted: await liftWithdrawal(ports, customers, purposes) }),
  async retire({ audience, destination, tick, abandon: given }) {
    const ledger = (await orphans(ports)).find((one) => one.audience === audience && one.destination === destination);
    // The files that are deployed decide: whoever asks may have others.
    if (ledger === undefined)
      throw new PlanRefused(`No ledger of "${audience}" at ${destination} is left over by the files that are deployed.`);
    if (!given) return { report: (await retire(ports, audience, destination, tick)) ?? null };
    await abandon(ports, audience, destination, tick);
    return { report: null };
  },
});

const told = (erasures: readonly Erasure[]): Forgotten => ({ erasures: erasures.map(({ id, status }) => ({ id, status })) });
