import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import type { DurableContext } from '@aws/durable-execution-sdk-js';
import { partName, type RunEvent } from './run-event.ts';

const lambda = new LambdaClient({ maxAttempts: 5 });

/** Starts the next part of a run in an execution of its own, once, and answers with its name. */
export function goOnIn(event: RunEvent, run: string, context: DurableContext): Promise<string> {
  const next: RunEvent = { ...event, part: event.part + 1 };
  const name = partName(event.name, next.part);
  return context.step('go on in the next execution', async () => {
    await lambda.send(
      new InvokeCommand({
        FunctionName: run,
        InvocationType: 'Event',
        DurableExecutionName: name,
        Payload: JSON.stringify(next),
      }),
    );
    return name;
  });
}
