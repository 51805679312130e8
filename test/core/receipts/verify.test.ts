import { appendFileSync, copyFileSync, cpSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sync } from '../../../core/run/operations.ts';
import { type KeptHead, verifyReceipts, type Verdict } from '../../../core/receipts/verify.ts';
import { makeWorld, type World } from '../run/world.ts';
import { consents, DAY, HOOK, mails, META, people, T } from './world.ts';

const ALL = ['a', 'b', 'c', 'd'];
let world: World;
let runs: readonly string[];
let receipts: string;

beforeAll(async () => {
  world = await makeWorld({
    syncs: '  - { to: meta, mode: mirror, identifiers: [email] }\n  - { to: hook, mode: mirror, identifiers: [email] }',
    destinations: { meta: META, hook: HOOK },
  });
  receipts = join(world.dir, '.sluice', 'receipts');
  const made: string[] = [];
  for (const [day, who] of [
    ['a', 'b'],
    ['b', 'c'],
    ['c', 'd'],
  ].entries()) {
    world.write({
      customers: people(...who),
      consents: consents(ALL),
      identifiers: mails({ a: 'a@x.example', b: 'b@x.example', c: 'c@x.example', d: 'd@x.example' }),
    });
    made.push((await world.open((ops) => sync(ops, 'gold', { tick: T + day * DAY }))).run);
  }
  runs = made;
  cpSync(receipts, `${receipts}.whole`, { recursive: true });
}, 60_000);
afterEach(() => {
  rmSync(receipts, { recursive: true });
  cpSync(`${receipts}.whole`, receipts, { recursive: true });
});
afterAll(() => world.close());

const verify = (known: readonly KeptHead[] = [], now = Date.now()): Promise<Verdict> =>
  world.open(({ ports }) => verifyReceipts(ports, { known, now }));
/** Problems as `kind day destination`, the day being which of the runs. */
const found = async (): Promise<readonly string[]> =>
  (await verify()).problems.map(({ kind, run, destination }) => `${kind} ${runs.indexOf(run ?? '') + 1} ${destination}`);
const link = (number: number, to = 'meta'): string =>
  join(receipts, 'chain', 'gold', to, `${String(number).padStart(8, '0')}.json`);
const folder = (number: number, to = 'meta'): string => join(receipts, `dt=2026-06-0${number}`, runs[number - 1] ?? '', to);
const parquet = (number: number, to = 'meta'): string => {
  const [name = ''] = readdirSync(folder(number, to), { recursive: true, encoding: 'utf8' }).filter((one) =>
    one.endsWith('.parquet'),
  );
  return join(folder(number, to), name);
};
const flip = (file: string): void => {
  const bytes = readFileSync(file);
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  writeFileSync(file, bytes);
};

describe('sluice audit --verify', () => {
  it('finds nothing wrong with what nobody touched, and gives the head of every chain', async () => {
    const verdict = await verify();
    expect(verdict).toMatchObject({ whole: true, problems: [], unfinished: [] });
    expect(verdict.syncs.map(({ destination, head, receipts: n }) => [destination, head?.link, head?.run, n])).toEqual([
      ['hook', 3, runs[2], 6],
      ['meta', 3, runs[2], 6],
    ]);
  });

  it('names the run of which one byte of a file was altered', async () => {
    flip(parquet(2));
    expect(await found()).toEqual(['altered 2 meta']);
  });

  it('names the run whose file is gone', async () => {
    rmSync(parquet(1, 'hook'));
    expect(await found()).toEqual(['dropped 1 hook']);
  });

  it('names the run that was dropped whole: in the middle, at the end, and at the beginning', async () => {
    for (const number of [2, 3, 1]) {
      cpSync(receipts, `${receipts}.kept`, { recursive: true });
      rmSync(folder(number), { recursive: true });
      rmSync(link(number));
      expect([number, await found()]).toEqual([number, [`dropped ${number} meta`]]);
      rmSync(receipts, { recursive: true });
      renameSync(`${receipts}.kept`, receipts);
    }
    expect(await found()).toEqual([]);
  });

  it('names every run of a sync of which everything was dropped', async () => {
    rmSync(join(receipts, 'chain', 'gold', 'hook'), { recursive: true });
    for (const number of [1, 2, 3]) rmSync(folder(number, 'hook'), { recursive: true });
    expect((await found()).toSorted()).toEqual(['dropped 1 hook', 'dropped 2 hook', 'dropped 3 hook']);
  });

  it('names both runs whose links changed places', async () => {
    renameSync(link(1), `${link(1)}.kept`);
    renameSync(link(2), link(1));
    renameSync(`${link(1)}.kept`, link(2));
    expect((await found()).toSorted()).toEqual(['altered 1 meta', 'altered 2 meta']);
  });

  it('names the run to which a row was added, though the link was made to fit', async () => {
    const file = parquet(2);
    copyFileSync(parquet(3), file);
    await world.open(async ({ ports }) => {
      const sum = await ports.store.receipts.checksum(file);
      const text = JSON.parse(readFileSync(link(2), 'utf8')) as { files: object[]; rows: number };
      writeFileSync(link(2), `${JSON.stringify({ ...text, files: [{ ...text.files[0], ...sum }], rows: text.rows + 1 })}\n`);
    });
    expect(await found()).toContain('altered 2 meta');
  });

  it('names the run to which a file was added, and one that never was', async () => {
    copyFileSync(parquet(2), join(folder(2), 'more.parquet'));
    expect(await found()).toEqual(['added 2 meta']);
    rmSync(join(folder(2), 'more.parquet'));
    const next = JSON.parse(readFileSync(link(3), 'utf8')) as object;
    writeFileSync(link(4), `${JSON.stringify({ ...next, link: 4, run: '01JZZZZZZZZZZZZZZZZZZZZZZZ' })}\n`);
    expect((await verify()).problems.map(({ kind, run }) => `${kind} ${run}`)).toContain('added 01JZZZZZZZZZZZZZZZZZZZZZZZ');
  });

  it('takes for gone rightly what is past its period, and nothing else; the chain stays', async () => {
    const YEAR = 366 * DAY;
    world.file('policies/retention.yaml', 'datasets: { customers: keep, identifiers: keep }\nstorage: { receipts: 2 years }\n');
    for (const to of ['meta', 'hook']) for (const number of [1, 2, 3]) rmSync(folder(number, to), { recursive: true });
    expect((await verify([], Date.now() + 3 * YEAR)).problems).toEqual([]);
    expect((await verify([], Date.now() + YEAR)).problems).toHaveLength(6);
    rmSync(link(2));
    expect((await verify([], Date.now() + 3 * YEAR)).problems.map(({ kind, run }) => `${kind} ${run}`)).toEqual([
      `dropped ${runs[1]}`,
    ]);
    rmSync(join(world.dir, 'policies', 'retention.yaml'));
  });

  it('says which link cannot be read', async () => {
    appendFileSync(link(2), 'x');
    expect(await found()).toEqual(['altered 2 meta']);
  });

  it('finds a history that was rewritten whole, books and all, against heads that were kept elsewhere', async () => {
    const before = (await verify()).syncs.flatMap(({ audience, destination, head }) =>
      head ? [{ audience, destination, ...head }] : [],
    );
    expect((await verify(before)).whole).toBe(true);
    const forged = before.map((head) => (head.destination === 'meta' ? { ...head, hash: '0'.repeat(64) } : head));
    expect((await verify(forged)).problems.map(({ kind, run }) => `${kind} ${run}`)).toEqual([`altered ${runs[2]}`]);
  });
});
