import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RunDocument } from '../../core/run/ports.ts';
import type { Death } from '../support/lambda.ts';
import { fire, hashes, outcomeOf, people, reportOf } from './days.ts';
import { type Deployed, deploy } from './deployed.ts';

let world: Deployed;
beforeAll(async () => {
  world = await deploy();
});
beforeEach(() => world.fresh());
afterAll(() => world.close());

const sent = (platform: string): number => world.sandbox.platform(platform).requests().length;
/** An event of a worker, as far as it says which step it is. */
interface Step {
  readonly task?: string;
  readonly input?: { readonly op?: string; readonly destination?: string; readonly plan?: { readonly destination: string } };
}
const stepOf = (event: unknown): string => {
  const { task = '', input } = event as Step;
  return [task, input?.op, input?.destination ?? input?.plan?.destination].filter(Boolean).join(' ');
};
const STEPS = [
  'begin meta',
  'commit meta',
  'deliver remove meta',
  'deliver upsert meta',
  'diff meta',
  'finish meta',
  'gate',
  'materialize',
  'publish',
];

/** Who is there before: one who stays and one who goes. */
async function yesterday(): Promise<void> {
  world.rows(people('gold', 'a', 'b'));
  reportOf(await fire(await world.lambda()));
}

describe('law 3: whatever dies, the run comes to its end and the destination to the truth', () => {
  it.each(['dies before', 'dies after'] as const)('the first worker of every step %s it has had its effect', async (fate) => {
    await yesterday();
    const seen = new Set<string>();
    const lambda = await world.lambda({
      fateOf(name, _nth, event) {
        const step = stepOf(event);
        if (name === 'run' || name === 'dispatch' || seen.has(step)) return 'lives';
        seen.add(step);
        return fate;
      },
    });
    world.rows(people('gold', 'b', 'f'));
    expect(reportOf(await fire(lambda))).toMatchObject({ state: 'done', syncs: [{ add: 1, remove: 1, members: 2 }] });
    expect(world.held('meta')).toEqual(hashes('b', 'f'));
    expect([...seen].toSorted()).toEqual(STEPS);
    expect(lambda.kills).toBe(STEPS.length);
    const [pointer, before] = await world.store.pointers.history('gold/meta');
    expect(pointer?.version).toBe((before?.version ?? 0) + 1);
  });

  it('every worker dies in the middle of its work, between any two things that it writes', async () => {
    await yesterday();
    const lambda = await world.lambda();
    const { s3 } = world.athena;
    const killed: string[] = [];
    for (const [worker, match] of [
      ['materialize', /^GET \/results\//],
      ['diff', /^PUT \/state\/runs\/.*\/upserts\//],
      ['deliver', /^PUT \/state\/runs\/.*\/remove-shards\/.*\.log\.parts\//],
      ['deliver', /^PUT \/state\/runs\/.*\/upserts\/.*\.log\.parts\//],
      ['commit', /^PUT \/state\/runs\/.*\.log$/],
      ['commit', /^PUT \/receipts\/dt=/],
      ['commit', /^PUT \/receipts\/chain\/gold\/meta\/00000002/],
    ] as const)
      s3.before(match, () => killed.push(...Array.from({ length: lambda.kill(worker) }, () => worker)));
    world.rows(people('gold', 'b', 'f'));
    expect(reportOf(await fire(lambda))).toMatchObject({ state: 'done', syncs: [{ add: 1, remove: 1, members: 2 }] });
    expect(world.held('meta')).toEqual(hashes('b', 'f'));
    expect(killed).toEqual(['materialize', 'diff', 'deliver', 'deliver', 'commit', 'commit', 'commit']);
  });

  it('the run itself dies before and after every one of its checkpoints, and does nothing twice', async () => {
    await yesterday();
    const deaths: Death[] = [];
    const lambda = await world.lambda({
      deathAt(nth) {
        const death = nth % 2 === 1 ? 'before' : 'after';
        deaths.push(death);
        return death;
      },
    });
    world.rows(people('gold', 'b', 'g'));
    const before = sent('meta');
    const execution = await fire(lambda);
    expect(reportOf(execution)).toMatchObject({ state: 'done', syncs: [{ add: 1, remove: 1 }] });
    expect(world.held('meta')).toEqual(hashes('b', 'g'));
    expect(lambda.kills).toBe(deaths.length);
    // Every operation was begun by one checkpoint or more.
    expect(deaths.length).toBeGreaterThanOrEqual(2 * (execution.operations.size - 1));
    // The list, a remove, an add.
    expect(sent('meta') - before).toBeLessThanOrEqual(5);
    const [pointer, last] = await world.store.pointers.history('gold/meta');
    expect(pointer?.version).toBe((last?.version ?? 0) + 1);
  });

  it('an execution that is lost is carried on by the next tick', async () => {
    await yesterday();
    const lost = await world.lambda({ fateOf: (name) => (name === 'commit' ? 'dies before' : 'lives') });
    world.rows(people('gold', 'b', 'h'));
    expect(outcomeOf(await fire(lost))).toMatchObject({ ended: 'failed', error: 'WorkerLost' });
    const [interrupted] = await world.store.documents.list<RunDocument>('run', { limit: 1 });
    expect(interrupted?.document.state).toBe('delivering');
    const requests = sent('meta');
    const lambda = await world.lambda();
    expect(reportOf(await fire(lambda))).toMatchObject({ state: 'done', syncs: [{ add: 0, remove: 0, unchanged: 2 }] });
    const then = await world.store.documents.get<RunDocument>('run', interrupted?.id ?? '');
    // Its ULID is that of a tick long past, so its decisions are old: what it did is committed, and nothing more of it is sent.
    expect(then?.state).toBe('interrupted');
    expect(sent('meta')).toBe(requests);
    expect(world.held('meta')).toEqual(hashes('b', 'h'));
  });

  it('two syncs at once, in branches of their own: each dies once at every step, and each comes to its end', async () => {
    const seen = new Set<string>();
    const lambda = await world.lambda({
      fateOf(name, _nth, event) {
        const step = stepOf(event);
        if (!['deliver', 'commit'].includes(name) || seen.has(step)) return 'lives';
        seen.add(step);
        return 'dies after';
      },
    });
    world.rows(people('both', 'x', 'y'));
    const execution = await fire(lambda, 'both');
    expect(reportOf(execution)).toMatchObject({
      state: 'done',
      syncs: [
        { destination: 'meta', add: 2, members: 2 },
        { destination: 'braze', add: 2, members: 2 },
      ],
    });
    expect([...seen].toSorted()).toEqual(
      ['begin', 'commit', 'deliver upsert', 'finish'].flatMap((step) => [`${step} braze`, `${step} meta`]),
    );
    expect(execution.operations.size).toBeLessThanOrEqual(60);
  });
});
