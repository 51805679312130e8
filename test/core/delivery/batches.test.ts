import { setTimeout as wait } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { bulk } from './platform.ts';
import { addressOf, all, inOrder, keyOf, makeWorld, range, upsertLine } from './world.ts';

it('sends every line of a shard once, in batches of the connector’s rows, and writes an outcome for each', async () => {
  const world = await makeWorld({ members: 250 });
  const result = await world.deliver();
  expect(result).toEqual({ done: true, counts: { delivered: 250, accepted: 0, rejected: 0, retry: 0 }, requests: 3 });
  expect(world.platform.calls.map((call) => call.rows.length)).toEqual([100, 100, 50]);
  expect(world.platform.held).toEqual(new Map(range(0, 250).map((n) => [keyOf(n), [addressOf(n)]])));
  expect(inOrder(await world.outcomes())).toEqual(all(250, 'delivered'));
});

it('makes no request and no log for an empty shard', async () => {
  const world = await makeWorld({ members: 0 });
  expect(await world.deliver()).toEqual({
    done: true,
    counts: { delivered: 0, accepted: 0, rejected: 0, retry: 0 },
    requests: 0,
  });
  expect(world.platform.calls).toEqual([]);
  expect(await world.log()).toEqual([]);
});

it('keeps a batch under the byte limit, counted in UTF-8 with what surrounds the rows', async () => {
  // A row is 74 to 75 bytes and its comma: ten fit into what is left of 800 bytes.
  const world = await makeWorld({ members: 95, connector: bulk({ bytes: 1_000, overhead: 200 }) });
  await world.deliver();
  const sizes = world.platform.calls.map((call) => Buffer.byteLength(call.rows.map((row) => JSON.stringify(row)).join()));
  expect(Math.max(...sizes)).toBeLessThanOrEqual(800);
  expect(Math.min(...sizes.slice(0, -1))).toBeGreaterThan(800 - 2 * 76);
  expect(world.platform.held.size).toBe(95);
});

it('rejects a single member over the byte limit alone, without a request for it', async () => {
  const connector = bulk({ bytes: 300, overhead: 100 });
  const big = {
    ...connector,
    encode: ((context, list, op, member) => {
      const encoded = connector.encode(context, list, op, member);
      return member.key === keyOf(3)
        ? { ...encoded, text: encoded.text.padEnd(101, ' ').replace(/ +$/, (s) => `${s}${'ß'.repeat(60)}`) }
        : encoded;
    }) satisfies typeof connector.encode,
  };
  const world = await makeWorld({ members: 6, connector: big });
  const result = await world.deliver();
  expect(result.counts).toEqual({ delivered: 5, accepted: 0, rejected: 1, retry: 0 });
  expect(inOrder(await world.outcomes())).toEqual(all(6, 'delivered', { 3: 'rejected: too-large' }));
  expect(world.platform.held.has(keyOf(3))).toBe(false);
});

it('rejects a member that takes more rows than a request has', async () => {
  const connector = bulk({ rows: 4 });
  const wide: typeof connector = {
    ...connector,
    encode: (...args) => ({ ...connector.encode(...args), rows: args[3].key === keyOf(0) ? 5 : 2 }),
  };
  const world = await makeWorld({ members: 5, connector: wide });
  await world.deliver();
  expect(inOrder(await world.outcomes())).toEqual(all(5, 'delivered', { 0: 'rejected: too-many-rows' }));
  expect(world.platform.calls.map((call) => call.rows.length)).toEqual([2, 2]);
});

it('takes the limits of the operation where the platform has its own', async () => {
  const connector = bulk({ rows: 100, perOp: { remove: { rows: 30 } } });
  const world = await makeWorld({ members: 90, connector, op: 'remove' });
  await world.deliver();
  expect(world.platform.calls.map((call) => [call.op, call.rows.length])).toEqual([
    ['remove', 30],
    ['remove', 30],
    ['remove', 30],
  ]);
});

it('gives the connector the member as the line has it: identifiers, traits and the consent it is sent under', async () => {
  const connector = bulk();
  const seen: unknown[] = [];
  const spy: typeof connector = {
    ...connector,
    encode: (...args) => {
      seen.push(args[3]);
      return connector.encode(...args);
    },
  };
  const world = await makeWorld({ members: 1, connector: spy });
  await world.deliver();
  expect(seen).toEqual([
    {
      key: keyOf(0),
      identifiers: [{ namespace: 'email', value: addressOf(0) }],
      traits: { tier: 'gold' },
      consent: { purpose: 'ads', basis: 'opt-in', jurisdiction: 'DE' },
    },
  ]);
});

it('gives a batch the same id whenever the same members of the same run are sent, and another in another run', async () => {
  const ids = async (run: string): Promise<string[]> => {
    const world = await makeWorld({ members: 150 });
    await world.deliver({ run });
    return world.platform.calls.map((call) => call.batch);
  };
  const [one, again, other] = [await ids('01A'), await ids('01A'), await ids('01B')];
  expect(one).toHaveLength(2);
  expect(again).toEqual(one);
  expect(new Set([...one, ...other]).size).toBe(4);
  expect(one.every((id) => /^[0-9a-f]{32}$/.test(id))).toBe(true);
});

it('numbers batches from 1, and never twice in the shards of one delivery', async () => {
  const world = await makeWorld({ members: 250 });
  await world.deliver();
  expect(world.platform.calls.map((call) => call.sequence)).toEqual([1, 2, 3]);
  const second = await makeWorld({ members: 250 });
  await second.deliver({ position: 1 });
  expect(Math.min(...second.platform.calls.map((call) => call.sequence))).toBeGreaterThan(1_000_000);
});

it('has no more requests in flight than the destination’s concurrency, and that many while there is work', async () => {
  const world = await makeWorld({
    members: 1_000,
    concurrency: 3,
    connector: bulk({ rows: 20 }),
    reply: () => wait(5, 'take' as const),
  });
  await world.deliver();
  expect(world.platform.calls).toHaveLength(50);
  expect(world.platform.atOnce).toBe(3);
});

it('announces no more than is about to be sent: the reader waits for the destination', async () => {
  let release: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const world = await makeWorld({
    members: 5_000,
    concurrency: 2,
    reply: async () => {
      await gate;
      return 'take' as const;
    },
  });
  const done = world.deliver();
  await wait(200);
  const intents = (await world.log()).flatMap((line) => ('i' in line ? [line.i] : []));
  expect(intents.at(-1)?.[1]).toBeLessThanOrEqual(2 * 100 + 2_000);
  release();
  expect((await done).counts.delivered).toBe(5_000);
});

it('tells of a line that is no line of a delta by its number, without repeating it', async () => {
  const world = await makeWorld({ members: 0 });
  await world.store.files.write('delta/bad.jsonl', [JSON.stringify(upsertLine(0)), `{"k":"${addressOf(1)}`]);
  const done = world.deliver({ shard: { key: 'delta/bad.jsonl', log: 'log/bad.jsonl' } });
  await expect(done).rejects.toThrow(
    'Line 2 of delta/bad.jsonl is not a line of a delta: the file was altered after it was written. Make a new plan.',
  );
  await done.catch((error: Error) => expect(error.cause).toBeUndefined());
});
