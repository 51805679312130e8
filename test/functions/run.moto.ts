import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sha256Hex } from '../../core/identifiers.ts';
import type { RunDocument } from '../../core/run/ports.ts';
import type { RunReport } from '../../core/run/report.ts';
import type { Outcome } from '../../functions/outcome.ts';
import { partName, type RunEvent, scheduledRun } from '../../functions/run-event.ts';
import type { Execution, LambdaService } from '../support/lambda.ts';
import { type Deployed, deploy, type Rows } from './deployed.ts';

const RUN = 'arn:aws:lambda:eu-central-1:123456789012:function:run:live';
let world: Deployed;
beforeAll(async () => {
  world = await deploy();
  for (const name of ['meta', 'braze']) await world.secret(`sluice/${name}`, world.sandbox.platform(name).secret);
}, 120_000);
afterAll(() => world.close());
afterEach(() => world.sandbox.platform('meta').faults());

const people = (tier: string, ...ids: string[]): Rows => ({
  customers: ids.map((id) => ({ id, tier, country: 'DE' })),
  identifiers: ids.map((id) => ({ id, namespace: 'email', value: `${id}@x.example` })),
  consents: ids.map((id) => ({ id, purpose: 'ads', status: 'granted', from: '2026-01-01 00:00:00' })),
});
const hashes = (...ids: string[]): Set<string> => new Set(ids.map((id) => `email:${sha256Hex(`${id}@x.example`)}`));
const sent = (platform: string): number => world.sandbox.platform(platform).requests().length;

const outcomeOf = ({ status, result, error }: Execution): Outcome => {
  expect({ status, error }).toEqual({ status: 'SUCCEEDED', error: undefined });
  return JSON.parse(result ?? 'null') as Outcome;
};
const reportOf = (execution: Execution | undefined): RunReport => {
  if (execution === undefined) throw new Error('there is no execution');
  const outcome = outcomeOf(execution);
  if (outcome.ended !== 'report') throw new Error(JSON.stringify(outcome));
  return outcome.report;
};
let day = 0;
const tick = (): string => new Date(Date.UTC(2026, 5, ++day, 6)).toISOString();
const fire = async (lambda: LambdaService, audience = 'gold', at = tick()): Promise<readonly Execution[]> => {
  await lambda.call('dispatch', { audience, tick: at });
  return lambda.settled();
};

describe('a deployment', () => {
  it('takes the event of a schedule, and the members are in the sandbox; the same tick again is the same execution', async () => {
    const lambda = await world.lambda();
    world.rows(people('gold', 'a', 'b', 'c'));
    const at = tick();
    const [, , executions] = await Promise.all([
      lambda.call('dispatch', { audience: 'gold', tick: at }),
      lambda.call('dispatch', { audience: 'gold', tick: at }),
      lambda.call('dispatch', { audience: 'gold', tick: at }).then(() => lambda.settled()),
    ]);
    await lambda.call('dispatch', { audience: 'gold', tick: at });
    expect(executions.map(({ name }) => name)).toEqual([scheduledRun('gold', at).name]);
    const report = reportOf(executions[0]);
    expect(report).toMatchObject({ state: 'done', code: 0, matched: 3, syncs: [{ destination: 'meta', add: 3, members: 3 }] });
    expect(world.held('meta')).toEqual(hashes('a', 'b', 'c'));
    // gate, materialize, diff, guard, plan, begin, a map and its shard, turn, finish, commit, record, news, two of leases, one look for an interrupted run.
    expect(executions[0]?.operations.size).toBeLessThanOrEqual(20);

    const requests = sent('meta');
    expect(reportOf((await fire(lambda)).at(-1))).toMatchObject({
      state: 'done',
      syncs: [{ add: 0, unchanged: 3, requests: 0 }],
    });
    expect(sent('meta')).toBe(requests);
    expect((await world.store.receipts.list('')).length).toBeGreaterThan(0);
  });

  it('law 9: writes no address, hash, secret or row into any log', async () => {
    const lambda = await world.lambda();
    world.rows(people('gold', 'a', 'b', 'c', 'd'));
    await fire(lambda);
    const secrets = Object.values(world.sandbox.platform('meta').secret);
    const told = [/@x\.example/, ...[...hashes('a', 'd')].map((one) => one.slice('email:'.length)), ...secrets, 'ab'.repeat(32)];
    expect(lambda.logs.length).toBeGreaterThan(8);
    expect(
      lambda.logs.filter((line) => told.some((one) => (one instanceof RegExp ? one.test(line) : line.includes(one)))),
    ).toEqual([]);
    const metrics = lambda.logs.filter((line) => line.includes('"CloudWatchMetrics"') && line.includes('RunsDone'));
    expect(metrics.map((line) => JSON.parse(line) as object)).toMatchObject([
      { stage: 'test', audience: 'gold', RunsDone: 1, RunsFailed: 0, MembersTaken: 1 },
    ]);
  });

  it('law 7: of two ticks at once one sends, and the other ends as overlapped and sends nothing', async () => {
    const lambda = await world.lambda();
    world.rows(people('gold', 'a', 'e'));
    world.sandbox.platform('meta').faults({ kind: 'slow', ms: 3_000 });
    const [one, two] = [tick(), tick()];
    await Promise.all([
      lambda.call('dispatch', { audience: 'gold', tick: one }),
      lambda.call('dispatch', { audience: 'gold', tick: two }),
    ]);
    const ended = (await lambda.settled())
      .map(outcomeOf)
      .map((outcome) => (outcome.ended === 'report' ? outcome.report.state : outcome.ended));
    expect(ended.toSorted()).toEqual(['done', 'overlapped']);
    expect(world.held('meta')).toEqual(hashes('a', 'e'));
  });
});

describe('law 3: whatever dies, the run comes to its end and the destination to the truth', () => {
  it('the first worker of every step dies after its effect, before anybody hears of it', async () => {
    const seen = new Set<string>();
    const lambda = await world.lambda({
      fateOf(name, _nth, event) {
        const { task } = event as { task?: string };
        if (name === 'run' || name === 'dispatch' || task === undefined || seen.has(task)) return 'lives';
        seen.add(task);
        return 'dies after';
      },
    });
    world.rows(people('gold', 'b', 'f'));
    const report = reportOf((await fire(lambda)).at(-1));
    expect(report).toMatchObject({ state: 'done', syncs: [{ add: 2, remove: 2, members: 2 }] });
    expect(world.held('meta')).toEqual(hashes('b', 'f'));
    expect([...seen].toSorted()).toEqual([
      'begin',
      'commit',
      'deliver',
      'diff',
      'finish',
      'gate',
      'materialize',
      'publish',
      'sweep',
    ]);
    expect(lambda.kills).toBe(seen.size);
    const [pointer, before] = await world.store.pointers.history('gold/meta');
    expect(pointer?.version).toBe((before?.version ?? 0) + 1);
  });

  it('the run itself dies after every second checkpoint, and does nothing twice', async () => {
    const lambda = await world.lambda({ dieAfterCheckpoint: (nth) => nth % 2 === 0 });
    world.rows(people('gold', 'b', 'g'));
    const before = sent('meta');
    const executions = await fire(lambda);
    expect(reportOf(executions.at(-1))).toMatchObject({ state: 'done', syncs: [{ add: 1, remove: 1 }] });
    expect(world.held('meta')).toEqual(hashes('b', 'g'));
    expect(lambda.kills).toBeGreaterThanOrEqual(5);
    // The list, a remove, an add.
    expect(sent('meta') - before).toBeLessThanOrEqual(5);
  });

  it('an execution that is lost is carried on by the next tick', async () => {
    const lost = await world.lambda({ fateOf: (name) => (name === 'commit' ? 'dies before' : 'lives') });
    world.rows(people('gold', 'b', 'h'));
    const failed = outcomeOf((await fire(lost)).at(-1)!);
    expect(failed).toMatchObject({ ended: 'failed', error: 'WorkerLost' });
    const [interrupted] = await world.store.documents.list<RunDocument>('run', { limit: 1 });
    expect(interrupted?.document.state).toBe('delivering');
    const requests = sent('meta');
    const lambda = await world.lambda();
    expect(reportOf((await fire(lambda)).at(-1))).toMatchObject({ state: 'done', syncs: [{ add: 0, remove: 0, unchanged: 2 }] });
    const then = await world.store.documents.get<RunDocument>('run', interrupted?.id ?? '');
    // Its ULID is that of a tick long past, so its decisions are old: what it did is committed, and nothing more of it is sent.
    expect(then?.state).toBe('interrupted');
    expect(sent('meta')).toBe(requests);
    expect(world.held('meta')).toEqual(hashes('b', 'h'));
  });
});

describe('a bad day', () => {
  it('a worker that runs out of time hands over, and the next goes on where it stopped', async () => {
    const lambda = await world.lambda({}, { deliver: { timeoutMs: 78_000 } });
    const ids = Array.from({ length: 1_200 }, (_, i) => `s${i}`);
    world.rows(people('silver', ...ids));
    world.sandbox.platform('braze').faults({ kind: 'slow', ms: 1_200 });
    const [execution] = await fire(lambda, 'silver');
    expect(reportOf(execution)).toMatchObject({ state: 'done', syncs: [{ destination: 'braze', add: 1_200, members: 1_200 }] });
    const turns = [...(execution?.operations.values() ?? [])].filter(({ Name }) => /turn \d+$/.test(Name ?? ''));
    expect(turns.length).toBeGreaterThan(1);
    expect(world.held('braze').size).toBe(1_200);
    world.sandbox.platform('braze').faults();
  });

  it('a secret that is rotated while a worker keeps the old one: read again when the platform refuses it, and nobody is missed', async () => {
    const { secret } = world.sandbox.platform('meta');
    await world.secret('sluice/meta', { ...secret, access_token: 'EAAB-of-yesterday' });
    const lambda = await world.lambda();
    world.rows(people('gold', 'i'));
    // The worker learns the old secret by failing with it.
    expect(reportOf((await fire(lambda)).at(-1))).toMatchObject({ state: 'failed', code: 1 });
    await world.secret('sluice/meta', secret);
    expect(reportOf((await fire(lambda)).at(-1))).toMatchObject({ state: 'done' });
    expect(world.held('meta')).toEqual(hashes('i'));
  });

  it('S3 asks for fewer requests, longer than its client tries: the step is tried again', async () => {
    const lambda = await world.lambda();
    world.rows(people('gold', 'i', 'j'));
    world.athena.s3.fail(/^PUT \/state\/runs\/.*\.parts\//, 503, 'SlowDown', 9);
    expect(reportOf((await fire(lambda)).at(-1))).toMatchObject({ state: 'done', syncs: [{ add: 1 }] });
    expect(world.held('meta')).toEqual(hashes('i', 'j'));
    expect(lambda.logs.some((line) => line.includes('StoreUnavailable'))).toBe(true);
  });
});

describe('a plan', () => {
  const start = async (lambda: LambdaService, event: RunEvent): Promise<Outcome> => {
    const response = await fetch(`${lambda.endpoint}/2015-03-31/functions/${encodeURIComponent(RUN)}/invocations`, {
      method: 'POST',
      headers: { 'x-amz-invocation-type': 'Event', 'x-amz-durable-execution-name': event.name },
      body: JSON.stringify(event),
    });
    expect(response.status).toBe(202);
    return outcomeOf((await lambda.settled()).at(-1)!);
  };

  it('law 11: is made by one execution and sent by another, exactly; and when its people withdrew it is refused', async () => {
    const lambda = await world.lambda();
    world.rows(people('gold', 'i', 'j'));
    await fire(lambda);
    world.rows(people('gold', 'i', 'k'));
    const event: RunEvent = { ...scheduledRun('gold', new Date().toISOString()), until: 'plan' };
    expect(await start(lambda, event)).toMatchObject({
      ended: 'report',
      report: { state: 'planned', syncs: [{ add: 1, remove: 1 }] },
    });
    expect(world.held('meta')).toEqual(hashes('i', 'j'));
    const send: RunEvent = { ...event, until: 'send', name: `${event.name}-send` };
    expect(await start(lambda, send)).toMatchObject({ ended: 'report', report: { state: 'done', run: event.run } });
    expect(world.held('meta')).toEqual(hashes('i', 'k'));
    expect(await start(lambda, { ...send, name: `${event.name}-again` })).toMatchObject({
      ended: 'refused',
      error: 'PlanRefused',
    });

    const next: RunEvent = { ...scheduledRun('gold', new Date().toISOString()), until: 'plan' };
    world.rows(people('gold', 'i', 'k', 'l'));
    await start(lambda, next);
    world.rows({ ...people('gold', 'i', 'k', 'l'), consents: people('gold', 'i', 'k').consents });
    expect(await start(lambda, { ...next, until: 'send', name: `${next.name}-send` })).toMatchObject({
      ended: 'refused',
      error: 'PlanRefused',
      message: expect.stringMatching(/^1 member of plan .* may not be sent to meta any more/),
    });
    expect(world.held('meta')).toEqual(hashes('i', 'k'));
  });

  it('that its guardrails hold waits for a person: nothing is sent, nobody is kept out, and the approval sends exactly it', async () => {
    const lambda = await world.lambda();
    world.rows(people('bronze', 'm', 'n', 'o', 'p'));
    reportOf((await fire(lambda, 'bronze')).at(-1));
    world.rows(people('bronze', 'm'));
    const at = tick();
    const held = reportOf((await fire(lambda, 'bronze', at)).at(-1));
    expect(held).toMatchObject({ state: 'held', code: 3, held: expect.stringContaining('would remove 3 of 4 members') });
    const { run, name } = scheduledRun('bronze', at);
    expect(held.run).toBe(run);
    // Under the clock of now: a plan of a tick long past is too old to be approved.
    const event: RunEvent = { ...scheduledRun('bronze', new Date().toISOString()), until: 'plan' };
    expect(await start(lambda, event)).toMatchObject({ report: { state: 'held' } });
    const refused = await start(lambda, { ...event, until: 'send', name: `${event.name}-send` });
    expect(refused).toMatchObject({ ended: 'refused', error: 'PlanHeld' });
    const approved = await start(lambda, { ...event, until: 'send', approved: true, name: `${event.name}-yes` });
    expect(approved).toMatchObject({ ended: 'report', report: { state: 'done', syncs: [{ remove: 3, members: 1 }] } });
    expect(name).not.toBe(event.name);
  });

  it('goes on in the next execution when its operations are used up, under the same leases, and loses nobody', async () => {
    const ids = Array.from({ length: 1_800 }, (_, i) => `t${i}`);
    // Whoever another day has left there stays: their leaving would hold the run.
    const there = [...world.held('braze')].filter((id) => /^s\d+$/.test(id));
    world.rows(people('silver', ...there, ...ids));
    world.sandbox.platform('braze').faults({ kind: 'slow', ms: 1_500 });
    const lambda = await world.lambda({}, { deliver: { timeoutMs: 76_000 } });
    const event: RunEvent = { ...scheduledRun('silver', new Date().toISOString()), operations: 20 };
    const last = await start(lambda, event);
    world.sandbox.platform('braze').faults();
    const names = lambda.executions.map(({ name }) => name);
    expect(names.length).toBeGreaterThan(1);
    expect(names).toEqual(names.map((_, i) => partName(event.name, i + 1)));
    expect(outcomeOf(lambda.executions[0]!)).toEqual({ ended: 'continued', execution: partName(event.name, 2) });
    for (const { operations } of lambda.executions) expect(operations.size).toBeLessThanOrEqual(20 + 4);
    expect(last).toMatchObject({
      ended: 'report',
      report: { state: 'done', run: event.run, syncs: [{ members: there.length + 1_800 }] },
    });
    expect(new Set([...world.held('braze')].filter((id) => id.startsWith('t')))).toEqual(new Set(ids));
  });
});

describe('law 8: what a person demands', () => {
  it('is done although the run is held: who withdrew is removed, and the rest waits for a person', async () => {
    const lambda = await world.lambda();
    world.rows(people('bronze', 'q', 'r', 's', 'u'));
    reportOf((await fire(lambda, 'bronze')).at(-1));
    world.rows({
      ...people('bronze', 'u'),
      consents: [{ id: 'u', purpose: 'ads', status: 'withdrawn', from: '2026-02-01 00:00:00' }],
    });
    const report = reportOf((await fire(lambda, 'bronze')).at(-1));
    expect(report).toMatchObject({ state: 'held', syncs: [{ remove: 3, members: 3 }] });
    expect(['q', 'r', 's', 'u'].filter((id) => world.held('braze').has(id))).toEqual(['q', 'r', 's']);
  });

  it('an erasure is a request in, nobody at the destination, and a signed receipt in the books', async () => {
    const lambda = await world.lambda();
    world.rows(people('gold', 'v', 'w'));
    reportOf((await fire(lambda)).at(-1));
    const request = JSON.stringify({
      subject_request_id: 'a7551968-d5d6-44b2-9831-815ac9017798',
      subject_request_type: 'erasure',
      submitted_time: '2026-06-20T06:00:00Z',
      subject_identities: [{ identity_type: 'controller_customer_id', identity_value: 'v', identity_format: 'raw' }],
    });
    const ask = { task: 'forget', input: { request }, holder: 'privacy', attempt: 'one' };
    expect(await lambda.call('forget', ask)).toEqual({
      result: { erasures: [{ id: 'a7551968-d5d6-44b2-9831-815ac9017798', status: 'completed' }] },
    });
    expect(world.held('meta')).toEqual(hashes('w'));
    reportOf((await fire(lambda)).at(-1));
    expect(world.held('meta')).toEqual(hashes('w'));
    expect(await world.store.documents.get('erasure', 'a7551968-d5d6-44b2-9831-815ac9017798')).toMatchObject({
      receipt: { processor_signature: expect.stringMatching(/^[A-Za-z0-9+/]{86}==$/) },
    });
    expect(lambda.logs.filter((line) => line.includes('controller_customer_id'))).toEqual([]);
  });
});

// Last, because its people stay at both destinations, which the others look at whole.
describe('law 3, two syncs of one audience', () => {
  it('two syncs at once, in branches of their own: each dies once at every step, and each comes to its end', async () => {
    const seen = new Set<string>();
    const lambda = await world.lambda({
      fateOf(name, _nth, event) {
        const { task, input } = event as { task?: string; input?: { destination?: string; plan?: { destination: string } } };
        const step = `${task} ${input?.destination ?? input?.plan?.destination ?? ''}`;
        if (!['deliver', 'commit'].includes(name) || seen.has(step)) return 'lives';
        seen.add(step);
        return 'dies after';
      },
    });
    world.rows(people('both', 'x', 'y'));
    const executions = await fire(lambda, 'both');
    expect(reportOf(executions.at(-1))).toMatchObject({
      state: 'done',
      syncs: [
        { destination: 'meta', add: 2, members: 2 },
        { destination: 'braze', add: 2, members: 2 },
      ],
    });
    expect([...seen].toSorted()).toEqual([
      'begin braze',
      'begin meta',
      'commit braze',
      'commit meta',
      'deliver braze',
      'deliver meta',
      'finish braze',
      'finish meta',
      // Once a run, of no destination.
      'sweep ',
    ]);
    expect(executions.at(-1)?.operations.size).toBeLessThanOrEqual(60);
  });
});
