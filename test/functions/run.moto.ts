import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RunDocument } from '../../core/run/ports.ts';
import { ledgerFilesOf } from '../../core/run/relations.ts';
import { partName, type RunEvent, scheduledRun } from '../../functions/run-event.ts';
import type { Fate } from '../support/lambda.ts';
import { fire, hashes, outcomeOf, people, reportOf, start, tick } from './days.ts';
import { type Deployed, deploy } from './deployed.ts';

let world: Deployed;
beforeAll(async () => {
  world = await deploy();
});
beforeEach(() => world.fresh());
afterAll(() => world.close());

const sent = (platform: string): number => world.sandbox.platform(platform).requests().length;

describe('a deployment', () => {
  it('takes the event of a schedule, and the members are in the sandbox; the same tick again is the same execution', async () => {
    const lambda = await world.lambda();
    world.rows(people('gold', 'a', 'b', 'c'));
    const at = tick();
    const ticked = { audience: 'gold', tick: at };
    await Promise.all([lambda.call('dispatch', ticked), lambda.call('dispatch', ticked), lambda.call('dispatch', ticked)]);
    const executions = await lambda.settled();
    await lambda.call('dispatch', ticked);
    expect(executions.map(({ name }) => name)).toEqual([scheduledRun('gold', at).name]);
    const report = reportOf(executions[0]);
    expect(report).toMatchObject({ state: 'done', code: 0, matched: 3, syncs: [{ destination: 'meta', add: 3, members: 3 }] });
    expect(world.held('meta')).toEqual(hashes('a', 'b', 'c'));
    // What Athena read for it, query by query, and what that costs: at least 10 MB a query, $5 a terabyte.
    const { queries = 0, scannedBytes = 0, billedBytes = 0, usd = 0 } = report.usage ?? {};
    expect(queries).toBe(world.athena.endpoint.started.length);
    expect(scannedBytes).toBeGreaterThan(0);
    expect(billedBytes).toBeGreaterThanOrEqual(queries * 10 * 2 ** 20);
    expect(usd).toBeCloseTo(billedBytes * 5e-12, 12);
    expect((await world.store.documents.get<RunDocument>('run', report.run))?.report).toEqual(report);
    // gate, materialize, diff, guard, plan, begin, a map and its shard, turn, finish, commit, record, news, two of leases, one look for an interrupted run.
    expect(executions[0]?.operations.size).toBeLessThanOrEqual(20);

    const requests = sent('meta');
    expect(reportOf(await fire(lambda))).toMatchObject({ state: 'done', syncs: [{ add: 0, unchanged: 3, requests: 0 }] });
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
      { stage: 'test', audience: 'gold', RunsDone: 1, RunsFailed: 0, MembersTaken: 4 },
    ]);
  });

  it('law 7: of two ticks at once one sends, and the other ends as overlapped and sends nothing', async () => {
    world.rows(people('gold', 'a', 'e'));
    // The lease is taken before the first worker is asked: by then both are there.
    const both = Promise.withResolvers<void>();
    let begun = 0;
    const lambda = await world.lambda({
      async fateOf(name, nth): Promise<Fate> {
        if (name === 'run' && nth <= 2 && ++begun === 2) both.resolve();
        if (name !== 'run' && name !== 'dispatch') {
          await both.promise;
          // Until the other has ended, this one is at work.
          while (lambda.executions.filter(({ status }) => status === 'RUNNING').length > 1)
            await new Promise((resolve) => setTimeout(resolve, 5));
        }
        return 'lives';
      },
    });
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

describe('what is past its period', () => {
  it('is deleted by the hour that tends what people asked for: deltas, earlier generations, and never the current one', async () => {
    const lambda = await world.lambda();
    const files = async (prefix: string): Promise<number> => (await world.store.files.list(prefix)).length;
    for (const ids of [
      ['a', 'b'],
      ['b', 'c'],
    ]) {
      world.rows(people('gold', ...ids));
      reportOf(await fire(lambda));
    }
    const [current, before] = await world.store.pointers.history('gold/meta');
    const kept = ledgerFilesOf(current!).flatMap((file) => file.files.locations);
    expect([await files('runs'), await files('ledger/gold/meta')].every((n) => n > kept.length)).toBe(true);
    const tend = { task: 'continue', input: {}, holder: '_tend', attempt: 'one' };
    expect(await lambda.call('forget', tend)).toEqual({ result: { erasures: [] } });
    expect(await files('runs')).toBe(0);
    expect(await world.store.pointers.history('gold/meta')).toEqual([current]);
    const left = (await world.store.files.list('ledger')).map((key) => world.store.files.location(key));
    expect(left.toSorted()).toEqual(kept.toSorted());
    expect(before?.version).toBe(1);
    const books = await world.store.documents.list<RunDocument>('run');
    expect(books.map(({ document }) => [document.state, document.dropped])).toEqual([
      ['done', true],
      ['done', true],
    ]);
    // Nobody is sent anew for it.
    expect(reportOf(await fire(lambda))).toMatchObject({ syncs: [{ add: 0, remove: 0, unchanged: 2, requests: 0 }] });
  });
});

describe('a plan', () => {
  it('law 11: is made by one execution and sent by another, exactly; and when its people withdrew it is refused', async () => {
    const lambda = await world.lambda();
    world.rows(people('gold', 'i', 'j'));
    reportOf(await fire(lambda));
    world.rows(people('gold', 'i', 'k'));
    const event: RunEvent = { ...scheduledRun('gold', new Date().toISOString()), until: 'plan' };
    expect(await start(lambda, event)).toMatchObject({ report: { state: 'planned', syncs: [{ add: 1, remove: 1 }] } });
    expect(world.held('meta')).toEqual(hashes('i', 'j'));
    const send: RunEvent = { ...event, until: 'send', name: `${event.name}-send` };
    expect(await start(lambda, send)).toMatchObject({ ended: 'report', report: { run: event.run, state: 'done' } });
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
    reportOf(await fire(lambda, 'bronze'));
    world.rows(people('bronze', 'm'));
    const at = tick();
    const held = reportOf(await fire(lambda, 'bronze', at));
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
    world.rows(people('silver', ...ids));
    world.sandbox.platform('braze').faults({ kind: 'slow', ms: 1_500 });
    const lambda = await world.lambda({}, { deliver: { timeoutMs: 76_000 } });
    const event: RunEvent = { ...scheduledRun('silver', new Date().toISOString()), operations: 20 };
    const last = await start(lambda, event);
    const names = lambda.executions.map(({ name }) => name);
    expect(names.length).toBeGreaterThan(1);
    expect(names).toEqual(names.map((_, i) => partName(event.name, i + 1)));
    expect(outcomeOf(lambda.executions[0])).toEqual({ ended: 'continued', execution: partName(event.name, 2) });
    for (const { operations } of lambda.executions) expect(operations.size).toBeLessThanOrEqual(20 + 4);
    expect(last).toMatchObject({ ended: 'report', report: { state: 'done', run: event.run, syncs: [{ members: 1_800 }] } });
    expect(world.held('braze')).toEqual(new Set(ids));
  });
});

describe('law 8: what a person demands', () => {
  it('is done although the run is held: who withdrew is removed, and the rest waits for a person', async () => {
    const lambda = await world.lambda();
    world.rows(people('bronze', 'q', 'r', 's', 'u'));
    reportOf(await fire(lambda, 'bronze'));
    world.rows({
      ...people('bronze', 'u'),
      consents: [{ id: 'u', purpose: 'ads', status: 'withdrawn', from: '2026-02-01 00:00:00' }],
    });
    const report = reportOf(await fire(lambda, 'bronze'));
    expect(report).toMatchObject({ state: 'held', syncs: [{ remove: 3, members: 3 }] });
    expect(world.held('braze')).toEqual(new Set(['q', 'r', 's']));
  });

  it('an erasure is a request in, nobody at the destination, and a signed receipt in the books', async () => {
    const lambda = await world.lambda();
    world.rows(people('gold', 'v', 'w'));
    reportOf(await fire(lambda));
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
    reportOf(await fire(lambda));
    expect(world.held('meta')).toEqual(hashes('w'));
    expect(await world.store.documents.get('erasure', 'a7551968-d5d6-44b2-9831-815ac9017798')).toMatchObject({
      receipt: { processor_signature: expect.stringMatching(/^[A-Za-z0-9+/]{86}==$/) },
    });
    expect(lambda.logs.filter((line) => line.includes('controller_customer_id'))).toEqual([]);
  });
});
