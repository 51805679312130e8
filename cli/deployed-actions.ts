import { erasureOf } from '../core/forget/forget.ts';
import type { RunPorts, RunDocument } from '../core/run/ports.ts';
import { syncKey } from '../core/run/ports.ts';
import type { RunReport } from '../core/run/report.ts';
import { PlanRefused, type RunOptions } from '../core/run/operations.ts';
import { ulid } from '../core/ulid.ts';
import type { Conducted } from '../functions/outcome.ts';
import { executionName, type RunEvent } from '../functions/run-event.ts';
import type { Actions } from './actions.ts';
import { CommandFailed, EXIT } from './command.ts';
import type { Deployment } from './deployment.ts';

/**
 * Everything that changes something is done by the functions of the deployment, which have the privileges for it, under the files they were
 * deployed with; what came of it is read from the stores.
 */
export function deployedActions(deployment: Deployment, ports: RunPorts, onRun: (text: string) => void): Actions {
  const { clock, store } = ports;
  const documentOf = (id: string): Promise<RunDocument | null> => store.documents.get<RunDocument>('run', id);

  async function run(event: RunEvent): Promise<Conducted> {
    const outcome = await deployment.run(event, async (ms) => {
      const document = await documentOf(event.run);
      onRun(`${event.audience}: ${document?.state ?? 'comparing'}, ${Math.round(ms / 1_000)} s`);
    });
    if (outcome.ended === 'report') return outcome;
    throw new CommandFailed(outcome.message, outcome.error === 'PlanHeld' ? EXIT.held : EXIT.failed);
  }

  const fresh = (audience: string, options: RunOptions, until: 'plan' | 'record'): RunEvent => {
    const id = ulid(clock.now(), clock.random);
    return {
      run: id,
      audience,
      tick: options.tick ?? clock.now(),
      ...(options.destinations && { destinations: [...options.destinations] }),
      until,
      name: executionName(audience, id),
      part: 1,
    };
  };

  async function send(id: string, approved: boolean): Promise<RunReport> {
    const document = await documentOf(id);
    if (document === null) throw new PlanRefused(`There is no plan ${id}. Plans are listed by: sluice history`);
    const { audience, tick } = document.of;
    // Another asking is another execution: what the first was refused for may be gone.
    const name = executionName(audience, ulid(clock.now(), clock.random));
    const { report } = await run({ run: id, audience, tick, until: 'send', ...(approved && { approved }), name, part: 1 });
    return report;
  }

  return {
    plan: async (audience, options) => (await run(fresh(audience, options, 'plan'))).report,
    sync: (audience, options) => run(fresh(audience, options, 'record')),
    syncPlan: (id) => send(id, false),
    approve: (id) => send(id, true),
    async reject(id) {
      await deployment.ask('commit', 'reject', { run: id });
      return (await documentOf(id))?.of.audience ?? '';
    },
    async rollback(audience, destination, generation) {
      await deployment.ask('commit', 'rollback', { audience, destination, generation });
      const pointer = await store.pointers.get(syncKey(audience, destination));
      if (pointer === null) throw new CommandFailed(`The ledger of "${audience}" at ${destination} is gone.`);
      return pointer;
    },
    async retry(audience, destination) {
      await deployment.ask('commit', 'retry', { audience, destination });
    },
    async withdraw(customers, purposes, at) {
      await deployment.ask('forget', 'withdraw', { customers, purposes, at });
    },
    lift: async (customers, purposes) => (await deployment.ask('forget', 'lift', { customers, purposes })).lifted,
    retire: async (audience, destination, tick) =>
      (await deployment.ask('forget', 'retire', { audience, destination, tick, abandon: false })).report ?? undefined,
    async abandon(audience, destination, tick) {
      await deployment.ask('forget', 'retire', { audience, destination, tick, abandon: true });
    },
    async forget(request, later) {
      await deployment.ask('forget', 'forget', { request, later });
      return erasureOf(ports, request.id);
    },
    async continueForget() {
      const { erasures } = await deployment.ask('forget', 'continue', {});
      return Promise.all(erasures.map(({ id }) => erasureOf(ports, id)));
    },
    async cancelErasure(id) {
      await deployment.ask('forget', 'cancel', { erasure: id });
      return erasureOf(ports, id);
    },
  };
}
