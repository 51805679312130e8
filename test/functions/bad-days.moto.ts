import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { QueryFailure } from '../support/athena-endpoint.ts';
import type { Fate } from '../support/lambda.ts';
import { fire, hashes, outcomeOf, people, reportOf, tick } from './days.ts';
import { type Deployed, deploy } from './deployed.ts';

let world: Deployed;
beforeAll(async () => {
  world = await deploy();
});
beforeEach(() => world.fresh());
afterAll(() => world.close());

describe('a worker whose time is up', () => {
  it('hands over before the end, and the next goes on where it stopped', async () => {
    const lambda = await world.lambda({}, { deliver: { timeoutMs: 78_000 } });
    const ids = Array.from({ length: 1_200 }, (_, i) => `s${i}`);
    world.rows(people('silver', ...ids));
    world.sandbox.platform('braze').faults({ kind: 'slow', ms: 1_200 });
    const execution = await fire(lambda, 'silver');
    expect(reportOf(execution)).toMatchObject({ state: 'done', syncs: [{ destination: 'braze', add: 1_200, members: 1_200 }] });
    const turns = [...execution.operations.values()].filter(({ Name }) => /\/turn \d+$/.test(Name ?? ''));
    expect(turns.length).toBeGreaterThan(1);
    // As docs/deploy.md counts them: a turn after the first comes with a wait and a second look at consents.
    expect(execution.operations.size).toBe(14 + 1 + 3 * (turns.length - 1));
    expect(world.held('braze')).toEqual(new Set(ids));
    expect(lambda.kills).toBe(0);
  });

  it('and that waits for a request too long is killed by Lambda in the middle of a batch: what it did is known, the rest is sent again', async () => {
    const lambda = await world.lambda({}, { deliver: { timeoutMs: 4_000 } });
    const ids = Array.from({ length: 600 }, (_, i) => `s${i}`);
    world.rows(people('silver', ...ids));
    world.sandbox.platform('braze').faults({ kind: 'hang', times: 1, route: '/users/track' });
    const execution = await fire(lambda, 'silver');
    expect(reportOf(execution)).toMatchObject({ state: 'done', syncs: [{ destination: 'braze', add: 600, members: 600 }] });
    expect(world.held('braze')).toEqual(new Set(ids));
    expect(lambda.kills).toBe(1);
    const errors = [...execution.operations.values()].map(
      ({ ChainedInvokeDetails }) => (ChainedInvokeDetails as { Error?: { ErrorType?: string } } | undefined)?.Error?.ErrorType,
    );
    expect(errors.filter((one) => one !== undefined)).toEqual(['Sandbox.Timedout']);
  });
});

describe('a secret', () => {
  const unused = 'EAAB-of-yesterday';

  it('that is rotated while a worker keeps the old one: read again when the platform refuses it, and nobody is missed', async () => {
    const { secret } = world.sandbox.platform('meta');
    await world.secret('sluice/meta', { ...secret, access_token: unused });
    const lambda = await world.lambda();
    world.rows(people('gold', 'i'));
    // The worker learns the old secret by failing with it.
    expect(reportOf(await fire(lambda))).toMatchObject({ state: 'failed', code: 1 });
    await world.secret('sluice/meta', secret);
    expect(reportOf(await fire(lambda))).toMatchObject({ state: 'done' });
    expect(world.held('meta')).toEqual(hashes('i'));
  });

  it('that is rotated in the middle of a run is read again by the delivery, which goes on with it', async () => {
    const meta = world.sandbox.platform('meta');
    const { app_secret: _, ...before } = meta.secret;
    await world.secret('sluice/meta', before);
    let rotated = 0;
    const lambda = await world.lambda({
      async fateOf(_name, _nth, event): Promise<Fate> {
        if ((event as { task?: string }).task !== 'deliver' || rotated++ > 0) return 'lives';
        await world.secret('sluice/meta', meta.secret);
        meta.faults({ kind: 'unauthorised', route: '/users', times: 1 });
        return 'lives';
      },
    });
    world.rows(people('gold', 'i', 'j'));
    expect(reportOf(await fire(lambda))).toMatchObject({ state: 'done', syncs: [{ add: 2, members: 2 }] });
    expect(meta.faultsSet()).toMatchObject([{ struck: 1 }]);
    expect(world.held('meta')).toEqual(hashes('i', 'j'));
  });
});

describe('a service that is not itself', () => {
  it('S3 asks for fewer requests, longer than its client tries: the step is tried again', async () => {
    const lambda = await world.lambda();
    world.rows(people('gold', 'i', 'j'));
    world.athena.s3.fail(/^PUT \/state\/runs\/.*\.parts\//, 503, 'SlowDown', 8);
    expect(reportOf(await fire(lambda))).toMatchObject({ state: 'done', syncs: [{ add: 2 }] });
    expect(world.held('meta')).toEqual(hashes('i', 'j'));
    expect(lambda.logs.some((line) => line.includes('StoreUnavailable'))).toBe(true);
  });

  it('Athena throttles and its queue is full for a while: the run waits and ends as ever', async () => {
    const lambda = await world.lambda();
    world.rows(people('gold', 'i', 'j'));
    world.athena.endpoint.refuseNext('StartQueryExecution', 'TooManyRequestsException', 6);
    expect(reportOf(await fire(lambda))).toMatchObject({ state: 'done', syncs: [{ add: 2 }] });
    expect(world.held('meta')).toEqual(hashes('i', 'j'));
    expect(lambda.logs.some((line) => line.includes('"failed"'))).toBe(false);
  });

  it('a query that reads more than the workgroup allows stops the run before anything is sent, and says so', async () => {
    const lambda = await world.lambda();
    world.rows(people('gold', 'i', 'j'));
    world.athena.endpoint.failNext(
      /member/,
      new QueryFailure('Bytes scanned limit was exceeded', { state: 'CANCELLED', category: 2 }),
    );
    expect(outcomeOf(await fire(lambda))).toMatchObject({ ended: 'failed', error: 'CapacityExceeded' });
    expect(world.sandbox.platform('meta').requests()).toEqual([]);
    const metrics = lambda.logs.filter((line) => line.includes('"CloudWatchMetrics"') && line.includes('RunsFailed'));
    expect(metrics.map((line) => JSON.parse(line) as object)).toMatchObject([
      { audience: 'gold', RunsFailed: 1, QueryCutoffs: 1 },
    ]);
    expect(reportOf(await fire(lambda))).toMatchObject({ state: 'done', syncs: [{ add: 2 }] });
  });

  it('somebody else moves the pointer of a sync: the run is refused it, and the next one starts from what is there', async () => {
    world.rows(people('gold', 'i'));
    reportOf(await fire(await world.lambda()));
    const there = await world.store.pointers.get('gold/meta');
    if (there === null) throw new Error('there is no ledger');
    const lambda = await world.lambda({
      async fateOf(name): Promise<Fate> {
        // Behind the back of the lease, as nobody may.
        if (name === 'commit' && (await world.store.pointers.get('gold/meta'))?.version === there.version)
          await world.store.pointers.move('gold/meta', there.version, {
            ...there,
            version: there.version + 1,
            fence: there.fence + 100,
          });
        return 'lives';
      },
    });
    world.rows(people('gold', 'i', 'j'));
    expect(outcomeOf(await fire(lambda))).toMatchObject({ ended: 'failed', error: 'PointerConflict' });
    expect((await world.store.pointers.get('gold/meta'))?.generation).toBe(there.generation);
  });
});

describe('a message that nobody can act on', () => {
  it.each([
    ['an event of another schedule', { detail: { audience: 'gold' } }],
    ['a tick that is no instant', { audience: 'gold', tick: 'tomorrow' }],
    ['nothing', null],
  ])('%s starts nothing, fails the dispatch and is not quoted', async (_what, event) => {
    const lambda = await world.lambda();
    await expect(lambda.call('dispatch', event)).rejects.toThrow(/schedule/);
    expect(lambda.executions).toEqual([]);
    expect(lambda.logs.filter((line) => /tomorrow|detail/.test(line))).toEqual([]);
  });

  it('a tick of an audience that this version does not have is refused, in one execution, and told', async () => {
    const lambda = await world.lambda();
    const at = tick();
    expect(outcomeOf(await fire(lambda, 'platinum', at))).toMatchObject({ ended: 'refused', error: 'UnknownName' });
    await fire(lambda, 'platinum', at);
    expect(lambda.executions).toHaveLength(1);
  });

  it('a row that no platform takes is refused alone: the others are delivered, and it is tried three times and parked', async () => {
    const lambda = await world.lambda();
    world.rows(people('silver', 'a', 'b', 'c', 'd'));
    const braze = world.sandbox.platform('braze');
    braze.faults({ kind: 'refuse-rows', rows: 3 });
    const refused = { outcomes: { rejected: 1 }, members: 3 };
    const report = reportOf(await fire(lambda, 'silver'));
    expect(report).toMatchObject({ state: 'done', syncs: [{ add: 4, ...refused }] });
    braze.faults({ kind: 'refuse-rows', rows: 1 });
    for (let again = 2; again <= 3; again++)
      expect(reportOf(await fire(lambda, 'silver'))).toMatchObject({ state: 'done', syncs: [{ add: 1, ...refused }] });
    const requests = braze.requests().length;
    expect(reportOf(await fire(lambda, 'silver'))).toMatchObject({
      state: 'done',
      syncs: [{ add: 0, unchanged: 3, withheld: { parked: 1 } }],
    });
    expect(braze.requests()).toHaveLength(requests);
  });
});
