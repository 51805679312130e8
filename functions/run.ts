import { type DurableContext, withDurableExecution } from '@aws/durable-execution-sdk-js';
import { guardTask } from '../core/run/guard.ts';
import { planTask, recordTask } from '../core/run/books.ts';
import { deployedPorts, deployedStore, s3Client } from './adapters.ts';
import { conduct } from './conduct.ts';
import { goOnIn } from './continuation.ts';
import { durableOver, OPERATIONS, OutOfOperations, stepOver } from './durable.ts';
import { environmentOf } from './environment.ts';
import { log } from './log.ts';
import { type Outcome, outcomeOf, UNFORESEEN } from './outcome.ts';
import { partName, runEventOf } from './run-event.ts';
import { workersOf } from './places.ts';
import { LEASE_MS } from './worker.ts';

const env = environmentOf('run', process.env);
const opened = deployedPorts(deployedStore(env, s3Client()), {});

/** One run, from gate to record (core/run/run.ts), as a durable execution: it decides the order and asks workers for the rest. */
export const handler = withDurableExecution(async (given: unknown, context: DurableContext): Promise<Outcome> => {
  const event = runEventOf(given);
  const { run, audience, name } = event;
  const ports = { ...opened, holder: name, leaseMs: LEASE_MS };
  const allowance = { left: event.operations ?? OPERATIONS };
  const places = {
    holder: name,
    execution: partName(name, event.part),
    here: { guard: guardTask(ports), plan: planTask(ports), record: recordTask(ports) },
    workers: workersOf(env),
  };
  const durable = (prefix: string) => durableOver(context, places, allowance, prefix);
  const owner = ports.workspace.audiences[audience]?.owner ?? '';
  // Beside the allowance: the end of a run is told, however long it was.
  const last = durableOver(context, places, { left: 40 });
  const tell = (outcome: Outcome) => last.call('publish', 'publish', { run, audience, owner, outcome });
  const step = stepOver(context, allowance);
  try {
    const outcome: Outcome = { ended: 'report', ...(await conduct({ event, ports, step, durable })) };
    // Nobody waits for the news of a plan but who asked for it.
    if (event.until !== 'plan') await tell(outcome).catch(() => log.error('nobody could be told', { run, audience }));
    return outcome;
  } catch (error) {
    if (error instanceof OutOfOperations) return { ended: 'continued', execution: await goOnIn(event, env.SLUICE_RUN, context) };
    const outcome = outcomeOf(error, event);
    if (outcome === undefined || outcome.ended === 'failed') await tell(outcome ?? UNFORESEEN).catch(() => undefined);
    if (outcome === undefined) throw error;
    return outcome;
  }
});
