import { createRequire } from 'node:module';
import { type DurableLambdaHandler } from '@aws/durable-execution-sdk-js';
import { ExecutionStatus, LocalDurableTestRunner } from '@aws/durable-execution-sdk-js-testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Outcome } from '../../functions/outcome.ts';
import { scheduledRun } from '../../functions/run-event.ts';
import type { Fate, LambdaService } from '../support/lambda.ts';
import { hashes, people, tick } from './days.ts';
import { type Deployed, deploy } from './deployed.ts';

const WORKERS = ['materialize', 'diff', 'deliver', 'commit', 'forget', 'publish'] as const;

let world: Deployed;
let handler: DurableLambdaHandler;
beforeAll(async () => {
  world = await deploy();
  const { path, env } = world.bundleOf('run');
  Object.assign(process.env, env);
  // As Node loads it on Lambda, not through vite.
  handler = (createRequire(import.meta.url)(path) as { handler: DurableLambdaHandler }).handler;
  await LocalDurableTestRunner.setupTestEnvironment();
});
beforeEach(() => world.fresh());
afterAll(async () => {
  await LocalDurableTestRunner.teardownTestEnvironment();
  await world.close();
});

/** AWS's own runner of durable functions over the run as it is bundled; its workers are processes of their own, as on Lambda. */
function runnerOver(lambda: LambdaService): LocalDurableTestRunner<Outcome> {
  const runner = new LocalDurableTestRunner<Outcome>({ handlerFunction: handler });
  for (const name of WORKERS) runner.registerFunction(name, (event: unknown) => lambda.call(name, event));
  return runner;
}

describe("AWS's local runner of durable functions", () => {
  it('takes a whole run to its end', async () => {
    world.rows(people('gold', 'a', 'b', 'c'));
    const execution = await runnerOver(await world.lambda()).run({ payload: scheduledRun('gold', tick()) });
    expect(execution.getStatus()).toBe(ExecutionStatus.SUCCEEDED);
    expect(execution.getResult()).toMatchObject({ ended: 'report', report: { state: 'done', matched: 3, syncs: [{ add: 3 }] } });
    expect(world.held('meta')).toEqual(hashes('a', 'b', 'c'));
  });

  it('tries a step again whose worker was lost, after a wait', async () => {
    world.rows(people('gold', 'a', 'b'));
    const lambda = await world.lambda({ fateOf: (name, nth): Fate => (name === 'diff' && nth === 1 ? 'dies after' : 'lives') });
    const execution = await runnerOver(lambda).run({ payload: scheduledRun('gold', tick()) });
    expect(execution.getResult()).toMatchObject({ ended: 'report', report: { state: 'done', syncs: [{ add: 2 }] } });
    expect(lambda.kills).toBe(1);
    const names = execution.getOperations().map((operation) => operation.getName());
    expect(names.filter((name) => name?.startsWith('diff'))).toEqual(['diff 0/diff', 'diff 0/diff: before 2', 'diff 0/diff (2)']);
    expect(world.held('meta')).toEqual(hashes('a', 'b'));
  });

  it('maps over the syncs of an audience, each in a branch of its own', async () => {
    world.rows(people('both', 'x', 'y'));
    const execution = await runnerOver(await world.lambda()).run({ payload: scheduledRun('both', tick()) });
    expect(execution.getResult()).toMatchObject({
      ended: 'report',
      report: {
        state: 'done',
        syncs: [
          { destination: 'meta', members: 2 },
          { destination: 'braze', members: 2 },
        ],
      },
    });
    expect(world.held('meta')).toEqual(hashes('x', 'y'));
    expect(world.held('braze')).toEqual(new Set(['x', 'y']));
  });
});
