import type { Durable } from '../core/ports.ts';
import { INTERRUPTED, interruptedRun, sendablePlan } from '../core/run/operations.ts';
import { holdLease } from '../core/run/lease.ts';
import { type RunDocument, type RunPorts, syncKey } from '../core/run/ports.ts';
import { UnknownName } from '../core/run/relations.ts';
import type { RunReport } from '../core/run/report.ts';
import { resumed } from '../core/run/resumed.ts';
import { putRun } from '../core/run/run-documents.ts';
import { runAudience } from '../core/run/run.ts';
import type { Metered } from '../core/run/usage.ts';
import { ulid } from '../core/ulid.ts';
import { type AwsTasks, OutOfOperations, type Step } from './durable.ts';
import type { Conducted } from './outcome.ts';
import type { RunEvent } from './run-event.ts';

export interface Conducting {
  readonly event: RunEvent;
  /** Over the table alone: no warehouse, no secrets. Its holder is the execution. */
  readonly ports: RunPorts;
  readonly step: Step;
  /** Every use of it has a prefix of its own: the steps of two runs may have the same names. */
  readonly durable: (prefix: string) => Durable<AwsTasks>;
}

/** What core/run/operations.ts does in a process that lives as long as the run, done in steps that may each be in another. */
export async function conduct({ event, ports, step, durable }: Conducting): Promise<Conducted> {
  const { run, audience, tick } = event;
  const documentOf = (id: string): Promise<RunDocument | null> => ports.store.documents.get<RunDocument>('run', id);

  /** Law 7: the leases of all syncs are held from the first step to the last, whichever process does it. */
  const withLeases = async <T>(id: string, destinations: readonly string[], fn: () => Promise<T>): Promise<T> => {
    const prefix = id === run ? '' : `${id}: `;
    const each = async (what: 'hold' | 'release'): Promise<null> => {
      for (const destination of destinations) {
        const { lease } = await holdLease(ports, id, audience, destination);
        if (what === 'release') await ports.store.leases.release(lease);
      }
      return null;
    };
    let out = false;
    try {
      await step(`${prefix}hold`, () => each('hold'));
      return await fn();
    } catch (error) {
      out = error instanceof OutOfOperations;
      throw error;
    } finally {
      // Another part goes on under the same leases.
      if (!out) await step(`${prefix}give back`, () => each('release').catch(() => null));
    }
  };

  /** A run from its plan on. What is read of the document does not change any more once it is there, so a replay reads the same. */
  const carryOut = async (document: RunDocument, prefix: string, decided?: Metered): Promise<RunReport> => {
    // Law 8: who withdrew since the delta was made is stopped before it goes on; of a plan, `decided` said that nobody did.
    const spent = decided ?? (await durable(prefix).call('recheck', 'recheck', { run: document.of.run, audience }));
    return runAudience(
      resumed(durable(prefix), document),
      { ...document.of, until: 'record', approved: true, spent },
      document.plans.map(({ destination }) => destination),
    );
  };

  /** Law 3: a delivery that died is carried to its end, or closed when it is too old. */
  const interrupted = async (): Promise<RunReport | undefined> => {
    const found = await step('interrupted', async () => {
      const one = await interruptedRun(ports, audience);
      return one === undefined || one.id === run ? null : { id: one.id, young: one.young };
    });
    const document = found && (await documentOf(found.id));
    if (!found || !document) return undefined;
    const destinations = document.plans.map(({ destination }) => destination);
    return withLeases(found.id, destinations, async () => {
      if (found.young) return carryOut(document, `${found.id}: `);
      await close(document);
      return undefined;
    });
  };

  const close = async (document: RunDocument): Promise<void> => {
    const { of, snapshot, plans } = document;
    const open = await step(`${of.run}: still to close`, async () => {
      const found = [];
      for (const { destination, version } of plans) {
        const pointer = await ports.store.pointers.get(syncKey(audience, destination));
        if ((pointer?.version ?? 0) === version) found.push({ destination, list: pointer?.list ?? null });
      }
      return found;
    });
    for (const { destination, list } of open) {
      const plan = plans.find((one) => one.destination === destination);
      if (plan === undefined) continue;
      const { run: id, audience: name, tick: at } = of;
      const input = {
        run: id,
        audience: name,
        tick: at,
        plan,
        snapshot,
        requests: 0,
        failure: INTERRUPTED,
        ...(list && { list }),
      };
      await durable(`${id}: `).call(`close ${destination}`, 'commit', input);
    }
    await step(`${of.run}: closed`, async () => {
      await putRun(ports.store.documents, { ...document, state: 'interrupted' });
      return null;
    });
  };

  // A later part finds its plan in the books.
  const own = event.part > 1 ? await documentOf(run) : null;
  if (own !== null && own.plans.length > 0) {
    const report = await withLeases(
      run,
      own.plans.map(({ destination }) => destination),
      () => carryOut(own, ''),
    );
    return { report };
  }
  if (event.until === 'send') {
    const state = await step('may be sent', async () => (await sendablePlan(ports, run, event.approved === true)).state);
    const document = await documentOf(run);
    if (document === null) throw new UnknownName('plan', run);
    const report = await withLeases(
      run,
      document.plans.map(({ destination }) => destination),
      async () => {
        if (state === 'delivering') return carryOut(document, '');
        const now = await step('now', async () => Math.max(tick, ports.clock.now()));
        return carryOut(document, '', await durable('').call('withdrawn since', 'withdrawn', { run, audience, now }));
      },
    );
    return { report };
  }
  const found = ports.workspace.audiences[audience];
  if (found === undefined) throw new UnknownName('audience', audience);
  const destinations = found.syncs.map(({ to }) => to).filter((to) => event.destinations?.includes(to) ?? true);
  const input = {
    run,
    audience,
    tick,
    until: event.until,
    ...(event.destinations && { destinations: event.destinations }),
  } as const;
  if (event.until === 'plan') return { report: await runAudience(durable(''), input, destinations) };
  const before = await interrupted();
  if (before !== undefined && before.code !== 0) return { report: before };
  const continued = before && { continued: before };
  const report = await withLeases(run, destinations, () => runAudience(durable(''), input, destinations));
  if (report.state !== 'held' || report.findings !== undefined) return { report, ...continued };
  // Law 8: a hold stops everything but what a person demands. What was held is then decided anew without those who went.
  const demanded: RunReport[] = [];
  for (const destination of destinations) {
    const answer = await durable('').call(`demanded ${destination}`, 'demanded', { run, audience, destination, tick });
    if (answer.removed !== null) demanded.push(answer.removed);
  }
  if (demanded.length === 0) return { report, ...continued };
  const anew = await step('decided anew', async () => ulid(ports.clock.now(), ports.clock.random));
  const decided = await withLeases(anew, destinations, () =>
    runAudience(durable(`${anew}: `), { ...input, run: anew }, destinations),
  );
  return { report: decided, ...continued, demanded };
}
