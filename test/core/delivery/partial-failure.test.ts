import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../../core/connector.ts';
import { bulk, type Call, type Reply } from './platform.ts';
import { all, inOrder, keyOf, makeWorld, range } from './world.ts';

const keysOf = (bad: readonly number[]): ReadonlySet<string> => new Set(bad.map(keyOf));
const poisoned = (call: Call, keys: ReadonlySet<string>): number[] => {
  return call.rows.flatMap((row, index) => (keys.has(row.key) ? [index] : []));
};
const refuse = (bad: readonly number[], reason = 'bad_row'): ((call: Call) => Reply | 'take') => {
  const keys = keysOf(bad);
  return (call) => (poisoned(call, keys).length > 0 ? { status: 400, body: { reason } } : 'take');
};

describe('a pointer to the bad rows', () => {
  it('rejects those with their reasons and sends the rest at once', async () => {
    const world = await makeWorld({
      members: 100,
      reply: (call) => {
        const found = poisoned(call, keysOf([7, 42]));
        return found.length > 0
          ? { status: 400, body: { refused: found.map((index) => ({ index, reason: `invalid_${index}` })) } }
          : 'take';
      },
    });
    const before = world.clock.now();
    const result = await world.deliver();
    expect(result).toEqual({ done: true, counts: { delivered: 98, accepted: 0, rejected: 2, retry: 0 }, requests: 2 });
    expect(inOrder(await world.outcomes())).toEqual(
      all(100, 'delivered', { 7: 'rejected: invalid_7', 42: 'rejected: invalid_42' }),
    );
    expect(world.clock.now()).toBe(before);
    const [first, second] = world.platform.calls;
    expect(second?.batch).not.toBe(first?.batch);
  });

  it('halves instead when the platform names one bad row a request and there are many', async () => {
    const bad = keysOf(range(0, 20).map((n) => n * 4));
    const world = await makeWorld({
      members: 100,
      reply: (call) => {
        const [index] = poisoned(call, bad);
        return index === undefined ? 'take' : { status: 400, body: { refused: [{ index, reason: 'invalid' }] } };
      },
    });
    const result = await world.deliver();
    expect(result.done).toBe(true);
    expect(result.counts).toEqual({ delivered: 80, accepted: 0, rejected: 20, retry: 0 });
  });

  it('rejects everybody when the platform names everybody, in one request', async () => {
    const world = await makeWorld({
      members: 100,
      reply: (call) => ({ status: 400, body: { refused: call.rows.map((_, index) => ({ index, reason: 'no_match_key' })) } }),
    });
    expect(await world.deliver()).toEqual({
      done: true,
      counts: { delivered: 0, accepted: 0, rejected: 100, retry: 0 },
      requests: 1,
    });
  });
});

describe('indexed errors in an answer that took the rest', () => {
  const indexed = (special: Readonly<Record<number, Outcome>>) => (call: Call) => ({
    status: 200,
    body: {
      outcomes: call.rows.map(
        (row) => Object.entries(special).find(([n]) => keyOf(Number(n)) === row.key)?.[1] ?? { kind: 'delivered' },
      ),
    },
  });

  it('are rejections of those rows, and nothing is sent again', async () => {
    const world = await makeWorld({ members: 100, reply: indexed({ 3: { kind: 'rejected', reason: 'external_id_too_long' } }) });
    const result = await world.deliver();
    expect(result.requests).toBe(1);
    expect(inOrder(await world.outcomes())).toEqual(all(100, 'delivered', { 3: 'rejected: external_id_too_long' }));
  });

  it('that ask for another try are tried again, only those rows, when the platform said', async () => {
    let tries = 0;
    const world = await makeWorld({
      members: 100,
      reply: (call) => {
        tries += 1;
        return tries === 1 ? indexed({ 3: { kind: 'retry', reason: 'busy', afterMs: 20_000 } })(call) : 'take';
      },
    });
    const before = world.clock.now();
    await world.deliver();
    expect(world.platform.calls.map((call) => call.rows.length)).toEqual([100, 1]);
    expect(world.clock.now() - before).toBe(20_000);
    expect(inOrder(await world.outcomes())).toEqual(all(100, 'delivered'));
  });

  it('that ask for another try for ever end as retry after the row’s tries, and hold up nobody else', async () => {
    const world = await makeWorld({ members: 100, reply: indexed({ 3: { kind: 'retry', reason: 'busy' } }) });
    const result = await world.deliver({ patience: { rowTries: 4 } });
    expect(result).toEqual({ done: true, counts: { delivered: 99, accepted: 0, rejected: 0, retry: 1 }, requests: 4 });
    expect(inOrder(await world.outcomes())).toEqual(all(100, 'delivered', { 3: 'retry: busy' }));
  });
});

it('counts only: the rows are accepted, not confirmed', async () => {
  const world = await makeWorld({
    members: 10,
    reply: (call) => ({ status: 200, body: { outcomes: call.rows.map(() => ({ kind: 'accepted' })) } }),
  });
  expect((await world.deliver()).counts).toEqual({ delivered: 0, accepted: 10, rejected: 0, retry: 0 });
  expect(inOrder(await world.outcomes())).toEqual(all(10, 'accepted'));
});

describe('a job', () => {
  const jobs = (pollsUntilDone: number) => {
    const polls = new Map<string, number>();
    let made = 0;
    const sizes = new Map<string, number>();
    return (call: Call, _n: number, path = '') => {
      if (call.method === 'POST') {
        made += 1;
        sizes.set(`job${made}`, call.rows.length);
        return { status: 200, body: { job: `job${made}` } };
      }
      const id = path.split('/').at(-1) ?? '';
      const n = (polls.get(id) ?? 0) + 1;
      polls.set(id, n);
      if (n < pollsUntilDone) return { status: 200, body: { job: id } };
      const outcomes = Array.from({ length: sizes.get(id) ?? 0 }, (_, i) =>
        i === 0 ? { kind: 'rejected', reason: 'import_error' } : { kind: 'delivered' },
      );
      return { status: 200, body: { outcomes } };
    };
  };

  it('is asked for until it has outcomes, and other batches go on meanwhile with a single place for requests', async () => {
    const world = await makeWorld({ members: 300, concurrency: 1, reply: jobs(5) });
    const before = world.clock.now();
    const result = await world.deliver();
    expect(result.counts).toEqual({ delivered: 297, accepted: 0, rejected: 3, retry: 0 });
    expect(world.platform.calls.filter((call) => call.method === 'POST')).toHaveLength(3);
    // Three jobs of five polls, a second apart: one after the other they would take 15 seconds.
    expect(world.clock.now() - before).toBeLessThan(8_000);
    expect(world.platform.atOnce).toBe(1);
  });

  it('whose poll fails is polled again, and its rows are not sent again', async () => {
    const reply = jobs(3);
    let polls = 0;
    const world = await makeWorld({
      members: 100,
      reply: (call, n, path) => (call.method === 'GET' && ++polls === 2 ? { status: 503 } : reply(call, n, path)),
    });
    const result = await world.deliver();
    expect(result.counts).toEqual({ delivered: 99, accepted: 0, rejected: 1, retry: 0 });
    expect(world.platform.calls.filter((call) => call.method === 'POST')).toHaveLength(1);
  });

  it('that never ends leaves its rows unknown, because the platform may do it yet', async () => {
    const world = await makeWorld({ members: 10, reply: jobs(Number.POSITIVE_INFINITY) });
    const result = await world.deliver({ patience: { jobMs: 60_000 } });
    expect(result.done).toBe(true);
    expect(inOrder(await world.outcomes())).toEqual(all(10, 'unknown: job-unfinished'));
  });

  it('that takes long keeps no member in memory and nobody waiting: all are sent, then the jobs are asked for', async () => {
    const members = 100_000;
    const world = await makeWorld({
      members,
      concurrency: 2,
      connector: bulk({ rows: 10_000, bytes: 10_000_000 }),
      reply: jobs(6),
    });
    const result = await world.deliver();
    expect(result).toMatchObject({ done: true, counts: { delivered: members - 10, accepted: 0, rejected: 10, retry: 0 } });
    const order = world.platform.calls.map((call) => call.method);
    expect(order.filter((method) => method === 'POST')).toHaveLength(10);
    // No job is done before its sixth poll: the last batch went out long before.
    expect(order.slice(order.lastIndexOf('POST')).filter((method) => method === 'GET').length).toBeGreaterThan(30);
    expect(inOrder(await world.outcomes())).toEqual(
      all(members, 'delivered', Object.fromEntries(range(0, 10).map((i) => [i * 10_000, 'rejected: import_error']))),
    );
  });

  it('of an interrupted delivery is asked for by the next one, which sends nothing of it again', async () => {
    const reply = jobs(8);
    const world = await makeWorld({ members: 250, concurrency: 2, reply });
    const first = await world.deliver({ deadline: world.clock.now() + 3_500 });
    expect(first.done).toBe(false);
    expect(first.resumeAt).toBeGreaterThan(world.clock.now() - 1);
    const second = await world.deliver();
    expect(second.done).toBe(true);
    expect(second.counts).toEqual({ delivered: 247, accepted: 0, rejected: 3, retry: 0 });
    expect(world.platform.calls.filter((call) => call.method === 'POST').map((call) => call.rows.length)).toEqual([100, 100, 50]);
    expect(inOrder(await world.outcomes()).size).toBe(250);
  });
});

describe('nothing said about which row', () => {
  it('finds one poison row in 10,000 by halving: at most two requests a halving and the first', async () => {
    const world = await makeWorld({ members: 10_000, connector: bulk({ rows: 10_000 }), reply: refuse([6_789]) });
    const result = await world.deliver();
    expect(result.counts).toEqual({ delivered: 9_999, accepted: 0, rejected: 1, retry: 0 });
    expect(inOrder(await world.outcomes()).get(6_789)).toBe('rejected: bad_row');
    expect(result.requests).toBeLessThanOrEqual(1 + 2 * Math.ceil(Math.log2(10_000)));
  });

  it('finds several poison rows, wherever they are', async () => {
    const bad = [0, 1, 2, 500, 998, 999];
    const world = await makeWorld({ members: 1_000, connector: bulk({ rows: 1_000 }), concurrency: 3, reply: refuse(bad) });
    await world.deliver();
    expect(inOrder(await world.outcomes())).toEqual(
      all(1_000, 'delivered', Object.fromEntries(bad.map((n) => [n, 'rejected: bad_row']))),
    );
  });

  it('finds a cluster of poison rows without taking the destination for broken', async () => {
    const bad = range(0, 40);
    const world = await makeWorld({ members: 1_000, connector: bulk({ rows: 1_000 }), reply: refuse(bad) });
    const result = await world.deliver();
    expect(result.broken).toBeUndefined();
    expect(result.counts).toEqual({ delivered: 960, accepted: 0, rejected: 40, retry: 0 });
  });

  it('does not pay 2n requests where everything is refused: a dozen, then the destination is broken and everybody is kept', async () => {
    const world = await makeWorld({
      members: 10_000,
      connector: bulk({ rows: 10_000 }),
      reply: () => ({ status: 400, body: { reason: 'unsupported' } }),
    });
    const result = await world.deliver();
    expect(result.requests).toBe(11);
    expect(result.done).toBe(false);
    expect(result.counts).toEqual({ delivered: 0, accepted: 0, rejected: 0, retry: 0 });
    expect(result.broken).toEqual({
      message:
        'bulk-eu refused 8 members in a row, each alone and all for the same reason (unsupported), and took nobody in between. ' +
        'So it is not the members: none of them counts as rejected, and all stay in the next delta.',
      wayOut: 'Compare the settings of bulk-eu with the platform: the list, its fields and its terms. Then run the sync again.',
    });
    expect(new Set((await world.outcomes()).values())).toEqual(new Set(['retry: not-sent']));
  });

  it('rejects a few that are refused alone when others are taken after them', async () => {
    const world = await makeWorld({ members: 20, connector: bulk({ rows: 1 }), reply: refuse([0, 1, 2, 3, 4]) });
    await world.deliver();
    expect(inOrder(await world.outcomes())).toEqual(
      all(20, 'delivered', Object.fromEntries(range(0, 5).map((n) => [n, 'rejected: bad_row']))),
    );
  });

  it('rejects the whole of a small shard that is refused row by row: too few to blame the destination', async () => {
    const world = await makeWorld({ members: 3, reply: () => ({ status: 400, body: { reason: 'bad_row' } }) });
    const result = await world.deliver();
    expect(result.done).toBe(true);
    expect(inOrder(await world.outcomes())).toEqual(all(3, 'rejected: bad_row'));
  });

  it('has a price limit: where half of all rows are bad, what was not found in time waits for the next run', async () => {
    const bad = range(0, 5_000).map((n) => n * 2);
    const world = await makeWorld({ members: 10_000, connector: bulk({ rows: 10_000 }), concurrency: 4, reply: refuse(bad) });
    const result = await world.deliver();
    expect(result.requests).toBeLessThanOrEqual(1 + 32 + 1_000);
    expect(result.done).toBe(true);
    const found = inOrder(await world.outcomes());
    expect(found.size).toBe(10_000);
    const wrong = [...found].filter(([n, outcome]) =>
      outcome === 'delivered' ? n % 2 === 0 : outcome.startsWith('rejected') ? n % 2 === 1 : false,
    );
    expect(wrong).toEqual([]);
    expect(result.counts.retry).toBeGreaterThan(0);
  });
});
