import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunDocument } from '../../core/run/ports.ts';
import type { Execution, Fate } from '../support/lambda.ts';
import { everybody, fire, outcomeOf, reportOf } from './days.ts';
import { type Deployed, deploy } from './deployed.ts';

/** A shard is aimed at 250,000 rows, so these are three: nothing is set otherwise for the test. */
const MANY = 510_000;

let world: Deployed;
beforeAll(async () => {
  world = await deploy();
  await world.fresh();
});
afterAll(() => world.close());

/** Operations by what they are, without their numbers. */
const kindsOf = ({ operations }: Execution): Readonly<Record<string, number>> => {
  const kinds: Record<string, number> = {};
  for (const { Type, SubType } of operations.values()) {
    const kind = typeof SubType === 'string' ? `${Type} ${SubType}` : Type;
    kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  return kinds;
};

describe('a delta of several shards', () => {
  it('is delivered by a map: a shard whose worker never comes back fails the run, the others carry on, and the next run sends what is missing', async () => {
    const ids = Array.from({ length: MANY }, (_, i) => `m${i}`);
    world.rows(everybody('gold', ids));
    let lost = 0;
    const failing = await world.lambda({
      fateOf(_name, _nth, event): Fate {
        const { task, input } = event as { readonly task?: string; readonly input?: { readonly position?: number } };
        if (task !== 'deliver' || input?.position !== 1) return 'lives';
        lost += 1;
        return 'dies before';
      },
    });
    const failed = await fire(failing);
    expect(outcomeOf(failed)).toMatchObject({ ended: 'failed', error: 'WorkerLost' });
    // One try and four more, each after a wait.
    expect(lost).toBe(5);
    const [interrupted] = await world.store.documents.list<RunDocument>('run', { limit: 1 });
    const shards = interrupted?.document.plans[0]?.upsertShards ?? [];
    expect(shards).toHaveLength(3);
    const missing = shards[1]?.rows ?? 0;
    expect(world.held('meta').size).toBe(MANY - missing);
    // What docs/deploy.md counts with: a map is one operation and its branches are none, a shard is one for each of its turns.
    expect(kindsOf(failed)).toEqual({
      EXECUTION: 1,
      // interrupted, hold, guard, plan, give back.
      'STEP Step': 5,
      // gate, materialize, diff, begin, a turn for each shard, four more tries of one, publish.
      'CHAINED_INVOKE ChainedInvoke': 4 + 3 + 4 + 1,
      'CONTEXT Map': 1,
      'WAIT Wait': 4,
    });

    const lambda = await world.lambda();
    const execution = await fire(lambda);
    expect(reportOf(execution)).toMatchObject({
      state: 'done',
      matched: MANY,
      syncs: [{ add: missing, unchanged: MANY - missing, members: MANY }],
    });
    expect(world.held('meta').size).toBe(MANY);
  }, 900_000);
});
