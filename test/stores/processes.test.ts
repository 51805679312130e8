import { mkdtempSync, rmSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Lease, Store } from '../../core/ports.ts';
import { isAlive, thisProcess } from '../../stores/holder.ts';
import { openLocalStore } from '../../stores/local.ts';
import { systemClock } from '../../stores/system-clock.ts';
import { start } from './started.ts';

const SYNC = 'audience/destination';
let root: string;
let store: Store;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'sluice-processes-'));
  store = await openLocalStore({ root, clock: systemClock });
});
afterEach(async () => {
  await store.close();
  rmSync(root, { recursive: true });
});

describe('a lease between processes', () => {
  it('law 7: is refused while its holder lives, and taken over at once when it was killed with -9, an hour before its time', async () => {
    const holder = start('store-child.ts', [root, 'hold']);
    const theirs = JSON.parse((await holder.lines.next()).value ?? '') as Lease;
    expect(await store.leases.acquire(SYNC, `run@${thisProcess()}`, 60_000)).toMatchObject({ heldBy: theirs.holder });
    await holder.kill();
    const ours = await store.leases.acquire(SYNC, `run@${thisProcess()}`, 60_000);
    expect(ours).toMatchObject({ fence: theirs.fence + 1 });
    expect(await store.leases.renew(theirs, 60_000)).toBe(false);
  });

  it('tells a holder that lives from one whose number was given to another process, and believes what it cannot see', () => {
    const [host, boot, namespace, pid, started] = thisProcess().split(':');
    const holder = (...parts: (string | undefined)[]): string => `01JDAAAA@${parts.join(':')}`;
    expect(isAlive(holder(host, boot, namespace, pid, started))).toBe(true);
    expect(isAlive(holder(host, boot, namespace, pid, '1'))).toBe(process.platform !== 'linux');
    expect(isAlive(holder(host, boot, namespace, '4194305', started))).toBe(false);
    expect(isAlive(holder(host, 'earlier', namespace, pid, started))).toBe(false);
    expect(isAlive(holder('other', boot, namespace, '4194305', started))).toBe(true);
    expect(isAlive(holder(host, boot, 'container', '4194305', started))).toBe(true);
    expect(isAlive('arn:aws:lambda:eu-west-1:run')).toBe(true);
    expect(isAlive('')).toBe(true);
  });
});

describe('a store of several processes', () => {
  it('loses no commit when six processes open it for the first time and commit against each other', async () => {
    const fresh = join(root, 'fresh');
    const all = await Promise.all(Array.from({ length: 6 }, () => start('store-child.ts', [fresh, 'commit', '15']).end()));
    expect(all.map(({ stderr, code }) => ({ stderr, code }))).toEqual(Array.from({ length: 6 }, () => ({ stderr: '', code: 0 })));
    const again = await openLocalStore({ root: fresh, clock: systemClock });
    const versions = (await again.pointers.history(SYNC)).map((one) => one.version);
    await again.close();
    expect(versions).toEqual(Array.from({ length: 90 }, (_, i) => 90 - i));
  });

  it('law 12: eight processes never exceed a window of their budget together', async () => {
    const windows = [
      { requests: 60, seconds: 1 },
      { requests: 150, seconds: 3 },
    ];
    const until = Date.now() + 9_000;
    const all = await Promise.all(
      Array.from({ length: 8 }, () => start('store-child.ts', [root, 'send', JSON.stringify(windows), String(until)]).end()),
    );
    expect(all.map(({ stderr }) => stderr).join('')).toBe('');
    const sends = all.map(({ stdout }) => JSON.parse(stdout[0] ?? '') as { reserved: number[]; used: number[] });
    const used = sends.flatMap((one) => one.used).toSorted((a, b) => a - b);
    for (const { requests, seconds } of windows) {
      for (let i = requests; i < used.length; i++) expect(used[i]! - used[i - requests]!).toBeGreaterThanOrEqual(seconds * 1_000);
    }
    // How much of a budget is used is a matter of time: test/core/reservation.test.ts promises it on a clock of its own.
    expect(used.length).toBeGreaterThan(0);
  });

  it('law 3: a log whose writer was killed with -9 holds every line that was durable, whole, and goes on cleanly', async () => {
    const writer = start('store-child.ts', [root, 'append']);
    let acknowledged = 0;
    while (acknowledged < 25) acknowledged = Number((await writer.lines.next()).value) + 1;
    writer.child.kill('SIGKILL');
    for (const line of (await writer.end()).stdout) acknowledged = Number(line) + 1;
    await store.files.append('runs/log.jsonl', ['next']);
    const lines: string[] = [];
    for await (const line of store.files.lines('runs/log.jsonl')) lines.push(line);
    expect(lines.pop()).toBe('next');
    expect(lines.length).toBeGreaterThanOrEqual(acknowledged);
    expect(lines).toEqual(lines.map((_, i) => `${i} ${'x'.repeat(2_000)}`));
  });

  it('law 3: a file whose writer was killed with -9 is not there, and can be written', async () => {
    const writer = start('store-child.ts', [root, 'write', '100000000']);
    while (!(await hasTemporary(join(root, 'runs')))) await systemClock.sleep(20);
    await writer.kill();
    expect(await store.files.exists('runs/long.jsonl')).toBe(false);
    expect(await store.files.list('runs/')).toEqual([]);
    expect((await store.files.write('runs/long.jsonl', ['whole'])).lines).toBe(1);
    await store.files.remove('runs');
    expect(await hasTemporary(join(root, 'runs'))).toBe(false);
  });
});

async function hasTemporary(folder: string): Promise<boolean> {
  return (await readdir(folder).catch(() => [])).some((name) => name.endsWith('.tmp'));
}
