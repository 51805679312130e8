import { DurableExecutionAlreadyStartedException, InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import * as z from 'zod';
import { environmentOf } from './environment.ts';
import { log } from './log.ts';
import { scheduledRun } from './run-event.ts';

/** What a schedule gives: the audience of the schedule, and `<aws.scheduler.scheduled-time>`. */
const SCHEDULED = z.strictObject({ audience: z.string().min(1), tick: z.string() });

const client = new LambdaClient({ maxAttempts: 5 });

/** A schedule's tick becomes one durable execution, however often the schedule fires for it. */
export const handler = async (event: unknown): Promise<{ readonly execution: string }> => {
  const env = environmentOf('dispatch', process.env);
  const parsed = SCHEDULED.safeParse(event);
  if (!parsed.success) throw new Error('A schedule of this stack gives { audience, tick }. Deploy the stack again.');
  const run = scheduledRun(parsed.data.audience, parsed.data.tick);
  const fields = { run: run.run, audience: run.audience, execution: run.name };
  try {
    await client.send(
      new InvokeCommand({
        FunctionName: env.SLUICE_RUN,
        InvocationType: 'Event',
        DurableExecutionName: run.name,
        Payload: JSON.stringify(run),
      }),
    );
    log.info('started', fields);
  } catch (error) {
    // The same tick under other code: it runs already.
    if (!(error instanceof DurableExecutionAlreadyStartedException)) throw error;
    log.warn('was started before', fields);
  }
  return { execution: run.name };
};
