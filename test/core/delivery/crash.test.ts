import { setTimeout as wait } from 'node:timers/promises';
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { ShardResult } from '../../../core/delivery/deliver-shard.ts';
import type { LogLine } from '../../../core/delta.ts';
import { localFiles } from '../../../stores/files-local.ts';
import { type Call, type Reply, startPlatform } from './platform.ts';
import { addressOf, all, inOrder, keyOf, makeWorld, range, upsertLine } from './world.ts';

const SCRIPT = new URL('./deliver-process.ts', import.meta.url).pathname;
const MEMBERS = 3_000;

interface Process {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly signal: NodeJS.Signals | null; readonly out: string; readonly err: string }>;
}

function start(root: string, endpoint: string): Process {
  const child = spawn(process.execPath, [SCRIPT, root, endpoint], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const ended = new Promise<Awaited<Process['ended']>>((resolve) => {
    child.on('close', (_code, signal) => resolve({ signal, out, err }));
  });
  return { child, ended };
}

it('killed with kill -9 again and again in the middle of a delivery, it goes on each time and loses nobody (law 3)', async () => {
  const root = mkdtempSync(join(tmpdir(), 'sluice-crash-'));
  const files = localFiles(root);
  await files.write(
    'delta/upsert.jsonl',
    range(0, MEMBERS).map((n) => JSON.stringify(upsertLine(n))),
  );
  let current: Process | undefined;
  let killAt = Number.POSITIVE_INFINITY;
  let inTurn = 0;
  // Killed when the request has arrived: before it is taken, or after, when the answer finds nobody any more.
  const reply = async (_call: Call, n: number): Promise<Reply | 'take'> => {
    inTurn += 1;
    if (inTurn === killAt) {
      current?.child.kill('SIGKILL');
      if (n % 2 === 0) return undefined;
    }
    await wait(2);
    return 'take';
  };
  const platform = await startPlatform(reply);
  const perTurn: number[] = [];
  for (const at of [1, 4, 9, 13, 3]) {
    [killAt, inTurn] = [at, 0];
    current = start(root, platform.endpoint);
    expect((await current.ended).signal).toBe('SIGKILL');
    perTurn.push(platform.calls.length);
  }
  [killAt, inTurn] = [Number.POSITIVE_INFINITY, 0];
  current = start(root, platform.endpoint);
  const { out, err } = await current.ended;
  expect(err).toBe('');
  const result = JSON.parse(out) as ShardResult;
  expect(result).toMatchObject({ done: true, counts: { delivered: MEMBERS, accepted: 0, rejected: 0, retry: 0 } });

  expect(platform.held).toEqual(new Map(range(0, MEMBERS).map((n) => [keyOf(n), [addressOf(n)]])));
  const answered = new Map<number, string>();
  for await (const text of files.lines('log/upsert.jsonl')) {
    const line = JSON.parse(text) as LogLine;
    if (!('n' in line)) continue;
    expect(answered.has(line.n)).toBe(false);
    answered.set(line.n, line.o);
  }
  expect(inOrder(answered)).toEqual(all(MEMBERS, 'delivered'));
  // What was sent twice is no more than what was in flight when the process died.
  const sent = platform.calls.reduce((sum, call) => sum + call.rows.length, 0);
  expect(sent - MEMBERS).toBeLessThanOrEqual(5 * 2 * 4 * 50);
  await platform.close();
  rmSync(root, { recursive: true, force: true });
});

it('sends again when the process died before the outcome was written', async () => {
  const world = await makeWorld({ members: 250 });
  await world.store.files.append('log/upsert.jsonl', [
    '{"i":[0,100]}',
    '{"i":[100,200]}',
    `{"n":5,"k":"${keyOf(5)}","o":"delivered"}`,
  ]);
  const result = await world.deliver();
  expect(result.counts.delivered).toBe(250);
  expect(world.platform.calls.flatMap((call) => call.rows.map((row) => row.key))).toEqual(
    range(0, 250)
      .filter((n) => n !== 5)
      .map(keyOf),
  );
});

it('does not send again what has its outcome, rejected and retry included', async () => {
  const world = await makeWorld({ members: 4 });
  const before = ['rejected', 'retry', 'unknown', 'accepted'].map((o, n) => `{"n":${n},"k":"${keyOf(n)}","o":"${o}"}`);
  await world.store.files.append('log/upsert.jsonl', ['{"i":[0,4]}', ...before]);
  expect(await world.deliver()).toEqual({
    done: true,
    counts: { delivered: 0, accepted: 1, rejected: 1, retry: 2 },
    requests: 0,
  });
  expect((await world.log()).length).toBe(5);
});

it('a row that may have arrived before the crash never counts as certainly not there', async () => {
  const busy = (call: Call): Reply => ({
    status: 200,
    body: { outcomes: call.rows.map(() => ({ kind: 'retry', reason: 'busy' })) },
  });
  const world = await makeWorld({ members: 100, reply: busy });
  await world.store.files.append('log/upsert.jsonl', ['{"i":[0,60]}']);
  await world.deliver({ patience: { rowTries: 1 } });
  const outcomes = inOrder(await world.outcomes());
  expect(outcomes).toEqual(new Map(range(0, 100).map((n) => [n, n < 60 ? 'unknown: busy' : 'retry: busy'])));
});

it('goes on behind a log whose last line was torn', async () => {
  const world = await makeWorld({ members: 200 });
  await world.deliver({ deadline: world.clock.now() });
  await world.store.files.append('log/upsert.jsonl', ['{"i":[0,100]}']);
  appendFileSync(world.store.files.location('log/upsert.jsonl'), `{"n":0,"k":"${keyOf(0)}","o":"deliv`);
  expect((await world.deliver()).counts.delivered).toBe(200);
  expect(inOrder(await world.outcomes())).toEqual(all(200, 'delivered'));
});
