import { expect } from 'vitest';
import { sha256Hex } from '../../core/identifiers.ts';
import type { RunReport } from '../../core/run/report.ts';
import type { Outcome } from '../../functions/outcome.ts';
import type { RunEvent } from '../../functions/run-event.ts';
import type { Execution, LambdaService } from '../support/lambda.ts';
import type { Rows } from './deployed.ts';

/** What a platform engineer does to a deployment from outside: rows in the tables, a tick of a schedule, an invocation of the run. */

const RUN = 'arn:aws:lambda:eu-central-1:123456789012:function:run:live';

/** Everybody has an address and has agreed. */
export const people = (tier: string, ...ids: string[]): Rows => everybody(tier, ids);

export const everybody = (tier: string, ids: readonly string[]): Rows => ({
  customers: ids.map((id) => ({ id, tier, country: 'DE' })),
  identifiers: ids.map((id) => ({ id, namespace: 'email', value: `${id}@x.example` })),
  consents: ids.map((id) => ({ id, purpose: 'ads', status: 'granted', from: '2026-01-01 00:00:00' })),
});

/** What a list of identifiers holds of people. */
export const hashes = (...ids: string[]): Set<string> => new Set(ids.map((id) => `email:${sha256Hex(`${id}@x.example`)}`));

export const outcomeOf = (execution: Execution | undefined): Outcome => {
  if (execution === undefined) throw new Error('there is no execution');
  const { status, result, error } = execution;
  expect({ status, error }).toEqual({ status: 'SUCCEEDED', error: undefined });
  return JSON.parse(result ?? 'null') as Outcome;
};

export const reportOf = (execution: Execution | undefined): RunReport => {
  const outcome = outcomeOf(execution);
  if (outcome.ended !== 'report') throw new Error(JSON.stringify(outcome));
  return outcome.report;
};

let day = 0;
/** A day later than the one before. */
export const tick = (): string => new Date(Date.UTC(2026, 5, ++day, 6)).toISOString();

/** The schedule of an audience fires. Answers when every execution has ended, with the last that was started. */
export async function fire(lambda: LambdaService, audience = 'gold', at = tick()): Promise<Execution> {
  await lambda.call('dispatch', { audience, tick: at });
  return last(await lambda.settled());
}

/** Invokes the run as a command does, and answers when every execution has ended, with the outcome of the last. */
export async function start(lambda: LambdaService, event: RunEvent): Promise<Outcome> {
  const response = await fetch(`${lambda.endpoint}/2015-03-31/functions/${encodeURIComponent(RUN)}/invocations`, {
    method: 'POST',
    headers: { 'x-amz-invocation-type': 'Event', 'x-amz-durable-execution-name': event.name },
    body: JSON.stringify(event),
  });
  expect(response.status).toBe(202);
  return outcomeOf(last(await lambda.settled()));
}

function last(executions: readonly Execution[]): Execution {
  const execution = executions.at(-1);
  if (execution === undefined) throw new Error('no execution was started');
  return execution;
}
