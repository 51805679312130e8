import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { type Sandbox, type SandboxOptions, startSandbox } from '../../sandbox/server.ts';
import { type Reply, standIn } from '../../sandbox/stand-in.ts';

const refusal = (status: number, code: string, headers?: Record<string, string>): Reply => ({ status, json: { code }, headers });
const body = z.strictObject({ add: z.array(z.string()).max(3) });

/** The smallest platform: lists of words. */
const words = standIn<{ lists: Map<string, Set<string>>; calls: number }>({
  name: 'words',
  title: 'Words',
  windows: [{ requests: 1000, seconds: 1 }],
  maxBytes: 200,
  secret: { token: 'sesame' },
  create: () => ({ lists: new Map(), calls: 0 }),
  authorise: ({ headers }) => (headers.authorization === 'Bearer sesame' ? undefined : refusal(401, 'who')),
  routes: {
    'POST /v1/lists/{list}:add'(call) {
      const { add } = call.parse(body);
      if (call.fault('terms')) return refusal(403, 'terms');
      call.rows(add.length);
      call.state.calls += 1;
      const list = call.state.lists.get(call.params.list ?? '') ?? new Set();
      call.state.lists.set(call.params.list ?? '', list);
      const refused = add.flatMap((_, index) => (call.refusesRow(index) ? [index] : []));
      for (const [index, word] of add.entries()) if (!refused.includes(index)) list.add(word);
      return { status: 200, json: { refused } };
    },
    'GET /v1/broken'() {
      throw new TypeError('a bug of the stand-in, with canary@example.com in it');
    },
  },
  replies: {
    unauthorised: () => refusal(401, 'expired'),
    forbidden: () => refusal(403, 'scope'),
    throttled: (afterMs) => refusal(429, 'slow', { 'retry-after': String(Math.ceil(afterMs / 1000)) }),
    failed: (status) => refusal(status, 'down'),
    tooLarge: () => refusal(413, 'large'),
    notFound: () => refusal(404, 'where'),
    invalid: (issues) => ({ status: 400, json: { code: 'invalid', at: issues.map((issue) => issue.path) } }),
  },
  headers: ({ limit, remaining }) => ({ 'x-limit': String(limit), 'x-remaining': String(remaining) }),
  held: (state) => state.lists,
});

let sandbox: Sandbox;
const folder = mkdtempSync(join(tmpdir(), 'sluice-sandbox-'));
afterEach(async () => {
  await sandbox.close();
  rmSync(join(folder, 'state'), { force: true });
});

const start = async (options: SandboxOptions = {}) => {
  sandbox = await startSandbox([words], options);
  return sandbox.platform('words');
};
const add = (list: string, ...some: unknown[]): Promise<Response> =>
  fetch(`${sandbox.url}/words/v1/lists/${list}:add`, {
    method: 'POST',
    headers: { authorization: 'Bearer sesame' },
    body: JSON.stringify({ add: some }),
  });
const control = (path: string, init?: RequestInit): Promise<Response> => fetch(`${sandbox.url}/_sandbox${path}`, init);

describe('a stand-in', () => {
  test('holds what it was sent, list by list', async () => {
    const platform = await start();
    await add('a%2Fb', 'x', 'y');
    await add('c', 'x');
    expect(platform.held()).toEqual(
      new Map([
        ['a/b', new Set(['x', 'y'])],
        ['c', new Set(['x'])],
      ]),
    );
    platform.reset();
    expect(platform.held()).toEqual(new Map());
  });

  test('refuses in the words of its platform: who, where, what and how much', async () => {
    await start();
    const answers = [
      fetch(`${sandbox.url}/words/v1/lists/a:add`, { method: 'POST' }),
      fetch(`${sandbox.url}/words/v2`, { headers: { authorization: 'Bearer sesame' } }),
      add('a', 1),
      add('a', 'x', 'x', 'x', 'x'),
      add('a', 'x'.repeat(200)),
      fetch(`${sandbox.url}/words/v1/lists/a:add`, {
        method: 'POST',
        headers: { authorization: 'Bearer sesame' },
        body: '{"add":[],"canary":1}',
      }),
      fetch(`${sandbox.url}/words/v1/lists/a:add`, {
        method: 'POST',
        headers: { authorization: 'Bearer sesame' },
        body: '{"add":[',
      }),
    ];
    expect(await Promise.all(answers.map(async (answer) => [(await answer).status, await (await answer).text()]))).toEqual([
      [401, '{"code":"who"}'],
      [404, '{"code":"where"}'],
      [400, '{"code":"invalid","at":["add.0"]}'],
      [400, '{"code":"invalid","at":["add"]}'],
      [413, '{"code":"large"}'],
      [400, '{"code":"invalid","at":[""]}'],
      [400, '{"code":"invalid","at":[""]}'],
    ]);
    expect(sandbox.platform('words').held()).toEqual(new Map());
  });

  test('enforces its rate in every window, and tells how much is left', async () => {
    const platform = await start({ windows: { words: [{ requests: 3, seconds: 0.3 }] } });
    const statuses = await Promise.all(Array.from({ length: 5 }, () => add('a', 'x').then((answer) => answer.status)));
    expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 200, 200, 429, 429]);
    expect((await add('a', 'x')).headers.get('retry-after')).toBe('1');
    await sleep(310);
    const again = await add('a', 'x');
    expect([again.status, again.headers.get('x-limit'), again.headers.get('x-remaining')]).toEqual([200, '3', '2']);
    expect(platform.requests().filter((one) => one.status === 429)).toHaveLength(3);
  });

  test('logs what was asked without what was in it', async () => {
    const platform = await start();
    await add('canary-list', 'canary@example.com', 'b');
    expect(platform.requests()).toEqual([
      { at: expect.any(Number), method: 'POST', route: 'POST /v1/lists/{list}:add', status: 200, bytes: 34, rows: 2 },
    ]);
  });

  test('is not impressed by an address that is none', async () => {
    await start();
    const answer = await fetch(`${sandbox.url}/words/v1/lists/%ff%:add`, {
      method: 'POST',
      headers: { authorization: 'Bearer sesame' },
      body: '{"add":["x"]}',
    });
    expect(answer.status).toBe(200);
  });

  test('that has a bug says so, with a status no platform has and none of the request', async () => {
    await start();
    const answer = await fetch(`${sandbox.url}/words/v1/broken`, { headers: { authorization: 'Bearer sesame' } });
    expect([answer.status, await answer.text()]).toEqual([599, '{"error":"the stand-in failed"}']);
  });
});

describe('faults on demand', () => {
  test('storms of refusals and failures strike as often as they are set to', async () => {
    const platform = await start();
    platform.faults({ kind: 'throttle', times: 1, ms: 5000 }, { kind: 'error', status: 503, every: 3 });
    const statuses = [];
    for (let n = 0; n < 6; n += 1) statuses.push((await add('a', `${n}`)).status);
    expect(statuses).toEqual([429, 200, 503, 200, 200, 503]);
    expect(platform.held().get('a')).toEqual(new Set(['1', '3', '4']));
  });

  test.each([
    ['unauthorised', 401, '{"code":"expired"}'],
    ['forbidden', 403, '{"code":"scope"}'],
    ['terms', 403, '{"code":"terms"}'],
    ['html', 200, expect.stringContaining('<!doctype html>')],
  ] as const)('%s answers %i, and nothing was taken', async (kind, status, text) => {
    const platform = await start();
    platform.faults({ kind });
    const answer = await add('a', 'x');
    expect([answer.status, await answer.text()]).toEqual([status, text]);
    expect(platform.held().get('a')).toBeUndefined();
  });

  test('strike only the route and the method they name', async () => {
    const platform = await start();
    platform.faults({ kind: 'error', route: '/users' }, { kind: 'error', method: 'DELETE' });
    expect((await add('a', 'x')).status).toBe(200);
  });

  test('a connection cut mid-body has done the work, and the sender cannot know', async () => {
    const platform = await start();
    platform.faults({ kind: 'cut' });
    await expect(add('a', 'x').then((answer) => answer.text())).rejects.toThrow('terminated');
    expect(platform.held().get('a')).toEqual(new Set(['x']));
  });

  test('a request without an answer has done nothing', async () => {
    const platform = await start();
    platform.faults({ kind: 'hang' });
    const answer = fetch(`${sandbox.url}/words/v1/lists/a:add`, { method: 'POST', body: '{}', signal: AbortSignal.timeout(100) });
    await expect(answer).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(platform.held()).toEqual(new Map());
  });

  test('a slow answer comes, later', async () => {
    const platform = await start();
    platform.faults({ kind: 'slow', ms: 120 });
    const before = performance.now();
    expect((await add('a', 'x')).status).toBe(200);
    expect(performance.now() - before).toBeGreaterThan(110);
  });

  test('a duplicate delivery is worked on twice and answered once', async () => {
    const platform = await start();
    platform.faults({ kind: 'duplicate' });
    await add('a', 'x');
    expect(platform.state<{ calls: number }>().calls).toBe(2);
  });

  test('every nth row is refused', async () => {
    const platform = await start();
    platform.faults({ kind: 'refuse-rows', rows: 2 });
    expect(await (await add('a', 'x', 'y', 'z')).json()).toEqual({ refused: [1] });
    expect(platform.held().get('a')).toEqual(new Set(['x', 'z']));
  });
});

describe('the control API', () => {
  test('lists stand-ins with what a destination file needs', async () => {
    await start();
    expect(await (await control('')).json()).toEqual([
      { name: 'words', title: 'Words', endpoint: `${sandbox.url}/words`, secret: { token: 'sesame' } },
    ]);
  });

  test('says what was received and is held, and names nobody unless asked', async () => {
    await start();
    await add('a', 'x', 'y');
    await add('a', 1);
    const received = { 'POST /v1/lists/{list}:add': { requests: 2, rows: 2, bytes: 28, statuses: { 200: 1, 400: 1 } } };
    expect(await (await control('/words')).json()).toMatchObject({ lists: [{ name: 'a', size: 2 }], received });
    expect(await (await control('/words')).text()).not.toContain('entries');
    expect(await (await control('/words?entries=1')).json()).toMatchObject({ lists: [{ entries: ['x', 'y'] }] });
  });

  test('sets faults, refuses ones it does not know, ends them, and empties', async () => {
    await start();
    expect((await control('/words/faults', { method: 'POST', body: '[{"kind":"error"}]' })).status).toBe(200);
    expect((await add('a', 'x')).status).toBe(500);
    expect(await (await control('/words')).json()).toMatchObject({ faults: [{ kind: 'error', struck: 1 }], lists: [] });
    expect((await control('/words/faults', { method: 'POST', body: '{"kind":"false-success"}' })).status).toBe(200);
    expect((await add('a', 'x')).status).toBe(200);
    expect(sandbox.platform('words').held()).toEqual(new Map());
    expect((await control('/words/faults', { method: 'DELETE' })).status).toBe(204);
    expect(await (await control('/words')).json()).toMatchObject({ faults: [] });
    expect((await add('a', 'x')).status).toBe(200);
    expect((await control('/words/reset', { method: 'POST' })).status).toBe(204);
    expect(sandbox.platform('words').held()).toEqual(new Map());
    const unknown = await control('/words/faults', { method: 'POST', body: '{"kind":"locusts"}' });
    expect([unknown.status, await unknown.text()]).toEqual([400, expect.stringContaining('kind')]);
    expect((await control('/nobody')).status).toBe(404);
    expect((await fetch(`${sandbox.url}/nobody/v1`)).status).toBe(404);
  });
});

describe('a sandbox with a file', () => {
  test('goes on where it stopped', async () => {
    const file = join(folder, 'state');
    await start({ file });
    await add('a', 'x', '𐍈');
    await sandbox.close();
    const platform = await start({ file });
    await add('a', 'y');
    expect(platform.held().get('a')).toEqual(new Set(['x', '𐍈', 'y']));
  });

  test('that is no state is refused, with the way out', async () => {
    const file = join(folder, 'state');
    await start({ file });
    writeFileSync(file, 'not a state');
    await expect(startSandbox([words], { file })).rejects.toThrow(
      `${file} does not hold the state of a sandbox. Remove it to start with empty stand-ins.`,
    );
  });
});
