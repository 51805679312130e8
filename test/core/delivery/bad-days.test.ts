import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { DestinationBroken } from '../../../core/connector.ts';
import { bulk } from './platform.ts';
import { all, inOrder, keyOf, makeWorld, range } from './world.ts';

const NONE = { delivered: 0, accepted: 0, rejected: 0, retry: 0 };

describe('a destination that is broken for everybody', () => {
  it('stops the delivery, tells whose it is, and leaves nothing that could pass for delivered', async () => {
    const world = await makeWorld({ members: 5_000, concurrency: 2, reply: () => ({ status: 401 }) });
    const result = await world.deliver();
    expect(result).toEqual({
      done: false,
      counts: NONE,
      requests: expect.toBeOneOf([1, 2]),
      broken: {
        message: 'Bulk answered HTTP 401.',
        wayOut: 'The credentials were refused or have expired: renew them and put them into the secret of the destination.',
      },
    });
    const outcomes = await world.outcomes();
    expect(new Set(outcomes.values())).toEqual(new Set(['retry: not-sent']));
    // Every line that was announced is taken back; the others were never spoken of.
    const announced = (await world.log()).flatMap((line) => ('i' in line ? range(...line.i) : []));
    expect([...outcomes.keys()].toSorted((a, b) => a - b)).toEqual(announced);
  });

  it('keeps what was taken before, and the answers of requests that were out', async () => {
    const world = await makeWorld({
      members: 600,
      concurrency: 3,
      reply: async (_call, n) => {
        await wait(n === 4 ? 100 : 200);
        return n === 4 ? { status: 403 } : 'take';
      },
    });
    const result = await world.deliver();
    expect(result.broken?.message).toBe('Bulk answered HTTP 403.');
    const outcomes = await world.outcomes();
    const delivered = [...outcomes].filter(([, outcome]) => outcome === 'delivered').map(([n]) => keyOf(n));
    expect(new Set(delivered)).toEqual(new Set(world.platform.held.keys()));
    expect(result.counts.delivered).toBe(world.platform.held.size);
    expect(delivered.length).toBe(500);
  });

  it('is delivered to from where it stopped, once it is mended', async () => {
    let broken = true;
    const world = await makeWorld({ members: 500, reply: (_call, n) => (broken && n > 2 ? { status: 401 } : 'take') });
    expect((await world.deliver()).counts.delivered).toBe(200);
    broken = false;
    expect(await world.deliver()).toMatchObject({ done: true, counts: { delivered: 500 }, requests: 3 });
    expect(world.platform.held.size).toBe(500);
  });
});

describe('a destination that answers nothing', () => {
  it('is given up by the circuit after a minute, not ground at for hours, and everybody is kept', async () => {
    const world = await makeWorld({ members: 100_000, concurrency: 4, reply: () => ({ status: 500 }) });
    const before = world.clock.now();
    const result = await world.deliver();
    const seconds = (world.clock.now() - before) / 1_000;
    expect(seconds).toBeGreaterThanOrEqual(60);
    expect(seconds).toBeLessThan(180);
    expect(result.requests).toBeLessThan(120);
    expect(result.done).toBe(false);
    expect(result.broken?.message).toMatch(
      /^bulk-eu answered nothing usable for \d+ seconds: \d+ requests in a row failed \(the last: Bulk answered HTTP 500\.\)\. The delivery stopped; whoever has no answer stays in the next delta\.$/,
    );
    expect(result.broken?.wayOut).toMatch(/^It answered nothing for \d+ seconds: look whether the platform is up/);
    // A 500 may have been taken all the same: only of rows that never went out it is said that they are not there.
    const sent = new Set(world.platform.calls.flatMap((call) => call.rows.map((row) => row.key)));
    const outcomes = await world.outcomes();
    const [out, kept] = [[...outcomes].filter(([n]) => sent.has(keyOf(n))), [...outcomes].filter(([n]) => !sent.has(keyOf(n)))];
    expect(out.filter(([, outcome]) => !outcome.startsWith('unknown: '))).toEqual([]);
    expect(kept.filter(([, outcome]) => outcome !== 'retry: not-sent')).toEqual([]);
  });

  it('that refuses connections certainly has nobody: what was announced is taken back', async () => {
    const world = await makeWorld({ members: 1_000 });
    await world.platform.close();
    const result = await world.deliver();
    expect(result.broken?.message).toMatch(/the last: 127\.0\.0\.1:\d+: connection refused\./);
    const values = [...(await world.outcomes()).values()];
    expect(values.every((outcome) => outcome.startsWith('retry: '))).toBe(true);
  });

  it('for less than the circuit’s patience loses nothing', async () => {
    let calls = 0;
    const world = await makeWorld({ members: 1_000, concurrency: 4, reply: () => (++calls <= 25 ? { status: 503 } : 'take') });
    const result = await world.deliver({ patience: { circuitMs: 10 * 60_000, rowTries: 20 } });
    expect(result.done).toBe(true);
    expect(result.counts).toEqual({ ...NONE, delivered: 1_000 });
  });
});

it('a batch that gets no answer while others do ends as unknown after its tries, and nobody else waits for it', async () => {
  const world = await makeWorld({
    members: 500,
    concurrency: 2,
    reply: (call) => (call.rows.some((row) => row.key === keyOf(150)) ? undefined : 'take'),
  });
  const result = await world.deliver({ patience: { rowTries: 4 } });
  expect(result.done).toBe(true);
  expect(result.counts).toEqual({ ...NONE, delivered: 400, retry: 100 });
  const outcomes = inOrder(await world.outcomes());
  expect(
    range(100, 200).every((n) =>
      /^unknown: 127\.0\.0\.1:\d+: connection closed before the answer was complete\.$/.test(outcomes.get(n) ?? ''),
    ),
  ).toBe(true);
  expect(world.platform.calls).toHaveLength(4 + 4);
});

it('a request that fails and then works is delivered, with the same batch id, after a wait', async () => {
  const world = await makeWorld({ members: 100, reply: (_call, n) => (n <= 2 ? { status: 502 } : 'take') });
  const before = world.clock.now();
  const result = await world.deliver();
  expect(result).toEqual({ done: true, counts: { ...NONE, delivered: 100 }, requests: 3 });
  expect(new Set(world.platform.calls.map((call) => call.batch)).size).toBe(1);
  expect(world.clock.now() - before).toBeGreaterThan(0);
  expect(world.clock.now() - before).toBeLessThanOrEqual(500 + 1_000);
});

it('a Retry-After of a request is waited for, not less', async () => {
  const world = await makeWorld({
    members: 100,
    reply: (_call, n) => (n === 1 ? { status: 503, headers: { 'retry-after': '45' } } : 'take'),
  });
  const before = world.clock.now();
  expect((await world.deliver()).done).toBe(true);
  expect(world.clock.now() - before).toBeGreaterThanOrEqual(45_000);
  expect(world.clock.now() - before).toBeLessThan(60_000);
});

describe('a storm of 429', () => {
  it('pauses all requests of the destination for as long as it said, costs no row its tries, and ends with everybody delivered', async () => {
    const refusals = new Set<number>();
    let until = 0;
    const world = await makeWorld({
      members: 2_000,
      concurrency: 4,
      reply: (_call, n) => {
        if (n >= 3 && until === 0) until = world.clock.now() + 30_000;
        if (world.clock.now() >= until) return 'take';
        refusals.add(n);
        return { status: 429, headers: { 'retry-after': '30' } };
      },
    });
    const before = world.clock.now();
    const result = await world.deliver({ patience: { rowTries: 1 } });
    expect(result.counts).toEqual({ ...NONE, delivered: 2_000 });
    // Only those that were out when it began: nobody is sent into the pause.
    expect(refusals.size).toBeLessThanOrEqual(4);
    expect(world.clock.now() - before).toBeGreaterThanOrEqual(30_000);
  });

  it('pauses the other workers too, through the shared budget', async () => {
    const requests: number[] = [];
    const world = await makeWorld({
      members: 100,
      reply: (_call, n) => {
        requests.push(world.clock.now());
        return n === 1 ? { status: 429, headers: { 'retry-after': '60' } } : 'take';
      },
    });
    await world.store.files.write('delta/other.jsonl', [
      JSON.stringify({ k: keyOf(900), op: 'add', h: '0', ids: ['email:x'], c: ['ads', 'opt-in', null] }),
    ]);
    // Time stands until the second worker has begun: it begins inside the pause.
    const begun = Promise.withResolvers<void>();
    const standing = world.clock.during(() => begun.promise);
    const start = world.clock.now();
    const first = world.deliver();
    while ((await world.store.budgets.pausedUntil('bulk-eu')) <= start) await wait(1);
    const second = world.deliver({ shard: { key: 'delta/other.jsonl', log: 'log/other.jsonl' } });
    begun.resolve();
    await standing;
    expect((await second).counts.delivered).toBe(1);
    expect((await first).counts.delivered).toBe(100);
    expect(requests.map((at) => at >= start + 60_000)).toEqual([false, true, true]);
  });

  it('that lasts until tomorrow hands the shard back with the time to come back at', async () => {
    const world = await makeWorld({
      members: 300,
      reply: (_call, n) => (n > 1 ? { status: 429, headers: { 'retry-after': '36000' } } : 'take'),
    });
    const before = world.clock.now();
    const result = await world.deliver();
    expect(result.done).toBe(false);
    expect(result.broken).toBeUndefined();
    expect(result.counts).toEqual({ ...NONE, delivered: 100 });
    expect(result.resumeAt).toBeGreaterThanOrEqual(before + 36_000_000);
    expect(world.clock.now() - before).toBeLessThan(1_000);
  });
});

it('a slow answer in ten keeps its own place and no other: everybody else goes on meanwhile', async () => {
  const [total, behind] = [100, 12];
  const held: { readonly until: number; readonly answer: () => void }[] = [];
  const world = await makeWorld({
    members: total * 40,
    concurrency: 8,
    connector: bulk({ rows: 40 }),
    reply: async (_call, n) => {
      for (const one of held.splice(0)) {
        if (n >= one.until) one.answer();
        else held.push(one);
      }
      // The tenth is answered when twelve later ones have come. Did they wait for it, this would never end.
      const until = Math.min(n + behind, total);
      if (n % 10 === 0 && until > n) {
        await new Promise<void>((answer) => {
          held.push({ until, answer });
        });
      }
      return 'take' as const;
    },
  });
  expect((await world.deliver()).counts.delivered).toBe(total * 40);
  expect(world.platform.calls).toHaveLength(total);
});

describe('a connector that breaks its contract', () => {
  const fault = (what: string) => ({
    message: `The connector bulk ${what}. The delivery stopped; whoever has no answer stays in the next delta.`,
    wayOut: 'This is a fault of the connector, not of your files or of the platform: report it, with this message.',
  });
  const cases: readonly [string, Partial<ReturnType<typeof bulk>>, string][] = [
    ['answers for too few', { send: () => Promise.resolve([{ kind: 'delivered' }]) }, 'answered for 1 of 100 members'],
    [
      'throws',
      { send: () => Promise.reject(new RangeError(`bad value ${keyOf(0)} somebody.0@example.com`)) },
      'failed with RangeError',
    ],
    ['answers nothing', { send: () => Promise.resolve(undefined as never) }, 'answered with neither outcomes nor a job'],
    [
      'has a job and no poll',
      { send: () => Promise.resolve({ kind: 'job', id: 'x', afterMs: 0 }), poll: undefined },
      'answered with a job and cannot be asked for it',
    ],
    [
      'makes up an outcome',
      { send: (_c, _l, batch) => Promise.resolve(batch.items.map(() => ({ kind: 'maybe' }) as never)) },
      'gave an outcome of no known kind',
    ],
    [
      'throws while encoding',
      {
        encode: () => {
          throw new TypeError('somebody.0@example.com');
        },
      },
      'failed with TypeError on a member it should have encoded',
    ],
  ];
  it.each(cases)(
    '%s: the delivery stops and names the connector, and nothing of the message that could be personal',
    async (_title, change, what) => {
      const world = await makeWorld({ members: 300, connector: { ...bulk(), ...change } });
      const result = await world.deliver();
      expect(result.broken).toEqual(fault(what));
      expect(result.done).toBe(false);
      expect(result.counts).toEqual(NONE);
    },
  );

  it('a sent batch with a useless answer may have been taken: its rows are not said to be untaken', async () => {
    const connector = bulk();
    const world = await makeWorld({
      members: 100,
      connector: { ...connector, send: async (...args) => ((await connector.send(...args)) as never[]).slice(1) },
    });
    await world.deliver();
    expect(world.platform.held.size).toBe(100);
    expect((await world.outcomes()).size).toBe(0);
    expect((await world.log()).length).toBe(1);
  });
});

it('a platform broken by its own error is told in its words, with no value of a member in them', async () => {
  const connector = bulk();
  const send = (): never => {
    throw new DestinationBroken(
      `List of somebody.3@example.com and ${keyOf(3)} is gone, call +49 170 1234567.`,
      'Make a new list.',
    );
  };
  const world = await makeWorld({ members: 10, connector: { ...connector, send } });
  expect((await world.deliver()).broken).toEqual({
    message: 'List of [value] and [hash] is gone, call [number].',
    wayOut: 'Make a new list.',
  });
});

it('a full disk ends the delivery with the store’s own error, after the requests that were out', async () => {
  const world = await makeWorld({ members: 1_000, concurrency: 2 });
  let appends = 0;
  const full = new Error('No room is left.');
  const { files } = world.store;
  const done = world.deliver({
    files: {
      lines: files.lines,
      exists: files.exists,
      append: (key, lines) => (++appends > 3 ? Promise.reject(full) : files.append(key, lines)),
    },
  });
  await expect(done).rejects.toBe(full);
  const again = await world.deliver();
  expect(again.done).toBe(true);
  expect(inOrder(await world.outcomes())).toEqual(all(1_000, 'delivered'));
});

describe('stopping', () => {
  it('a lost lease or a person’s stop ends it between two batches, and it is gone on with later', async () => {
    const world = await makeWorld({ members: 1_000 });
    let asked = 0;
    const first = await world.deliver({
      shouldStop: () => Promise.resolve(world.platform.calls.length >= 3 && ++asked > 0),
      connector: {
        ...bulk(),
        send: async (...args) => {
          await world.clock.sleep(400);
          return bulk().send(...args);
        },
      },
    });
    expect(first.done).toBe(false);
    expect(first.resumeAt).toBeUndefined();
    expect(first.counts.delivered).toBeGreaterThanOrEqual(300);
    expect(first.counts.delivered).toBeLessThan(1_000);
    const second = await world.deliver();
    expect(second).toMatchObject({ done: true, counts: { delivered: 1_000 } });
    expect(first.requests + second.requests).toBe(10);
  });

  it('a stop before the first batch sends nothing', async () => {
    const world = await makeWorld({ members: 1_000 });
    expect(await world.deliver({ shouldStop: () => Promise.resolve(true) })).toEqual({ done: false, counts: NONE, requests: 0 });
  });

  it('the deadline takes nothing new and says to come back at once', async () => {
    const world = await makeWorld({ members: 1_000 });
    const slow = {
      ...bulk(),
      send: async (...args: Parameters<ReturnType<typeof bulk>['send']>) => {
        await world.clock.sleep(1_000);
        return bulk().send(...args);
      },
    };
    const deadline = world.clock.now() + 3_500;
    const result = await world.deliver({ deadline, connector: slow });
    expect(result.done).toBe(false);
    expect(result.counts.delivered).toBeLessThanOrEqual(400);
    expect(result.resumeAt).toBeGreaterThanOrEqual(deadline);
    expect(result.resumeAt).toBeLessThan(deadline + 2_000);
  });
});

it('a member who withdrew or was erased while the delivery runs is not sent (law 8)', async () => {
  const world = await makeWorld({ members: 300 });
  const stopped = new Map([
    [keyOf(150), 'no-consent'],
    [keyOf(299), 'erased'],
  ]);
  const result = await world.deliver({ stopList: () => Promise.resolve(stopped) });
  expect(result).toEqual({ done: true, counts: { ...NONE, delivered: 298, rejected: 2 }, requests: 3 });
  expect(inOrder(await world.outcomes())).toEqual(
    all(300, 'delivered', { 150: 'rejected: no-consent', 299: 'rejected: erased' }),
  );
  expect([...stopped.keys()].filter((key) => world.platform.held.has(key))).toEqual([]);
});

it('a removal needs no consent: the stop list is not asked', async () => {
  const world = await makeWorld({ members: 10, op: 'remove' });
  const result = await world.deliver({ stopList: () => Promise.reject(new Error('asked')) });
  expect(result.counts.delivered).toBe(10);
});

it('a stop list that cannot be read stops the delivery (law 1)', async () => {
  const world = await makeWorld({ members: 10 });
  const lost = new Error('the store is gone');
  await expect(world.deliver({ stopList: () => Promise.reject(lost) })).rejects.toBe(lost);
  expect(world.platform.calls).toEqual([]);
});
