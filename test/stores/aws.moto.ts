import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Store } from '../../core/ports.ts';
import { LogTaken, StoreRefused } from '../../core/store-errors.ts';
import { openAwsStore } from '../../stores/aws.ts';
import { systemClock } from '../../stores/system-clock.ts';
import { storeContract, testClock } from '../contracts/store.ts';
import { type Moto, startMoto } from '../support/moto.ts';

let moto: Moto;
let count = 0;
beforeAll(async () => {
  moto = await startMoto();
}, 60_000);
afterAll(() => moto.close());

const openAt = (id: number, clock = systemClock, table?: string): Store =>
  openAwsStore({
    s3: moto.s3,
    dynamo: moto.dynamo,
    state: `state-${id}`,
    receipts: `receipts-${id}`,
    table: table ?? `sluice-${id}`,
    clock,
  });
const make = async (): Promise<number> => {
  const id = ++count;
  await moto.bucket(`state-${id}`);
  await moto.bucket(`receipts-${id}`);
  await moto.table(`sluice-${id}`);
  return id;
};

storeContract('the store of a deployment (S3 and DynamoDB)', {
  open: async (clock) => openAt(await make(), clock),
  openAgain: async (clock) => openAt(count, clock),
});

const collect = async (lines: AsyncIterable<string>): Promise<string[]> => {
  const all: string[] = [];
  for await (const line of lines) all.push(line);
  return all;
};

describe('a log in S3', () => {
  const log = 'runs/01/log.jsonl';

  it('law 7: a writer that another has overtaken is refused before its lines mix in, and can go on after reading again', async () => {
    const id = await make();
    const [late, next] = [openAt(id).files, openAt(id).files];
    await late.append(log, ['late 1']);
    expect(await collect(next.lines(log))).toEqual(['late 1']);
    await next.append(log, ['next 1']);
    await expect(late.append(log, ['late 2'])).rejects.toThrow(LogTaken);
    await next.append(log, ['next 2']);
    expect(await collect(late.lines(log))).toEqual(['late 1', 'next 1', 'next 2']);
    await late.append(log, ['late 3']);
    expect(await collect(next.lines(log))).toEqual(['late 1', 'next 1', 'next 2', 'late 3']);
  });

  it('law 7: one that wrote between the read of another and its first append keeps what it wrote, and the other reads again', async () => {
    const id = await make();
    const [late, next] = [openAt(id).files, openAt(id).files];
    await late.append(log, ['late 1']);
    await collect(next.lines(log));
    await late.append(log, ['late 2']);
    await expect(next.append(log, ['next 1'])).rejects.toThrow(LogTaken);
    expect(await collect(next.lines(log))).toEqual(['late 1', 'late 2']);
  });

  it('is one object for SQL once it is settled, with what came later behind it, and again when it is settled again', async () => {
    const { files } = openAt(await make());
    for (let i = 0; i < 25; i++) await files.append(log, [`${i}`]);
    await files.append(log, []);
    const settled = (await files.checksum(files.location(log))).bytes;
    expect(settled).toBe(Array.from({ length: 25 }, (_, i) => `${i}\n`).join('').length);
    await files.append(log, ['late']);
    expect((await files.checksum(files.location(log))).bytes).toBe(settled);
    expect((await collect(files.lines(log))).slice(-2)).toEqual(['24', 'late']);
    await files.append(log, []);
    expect((await files.checksum(files.location(log))).bytes).toBe(settled + 5);
    expect(await collect(files.lines(log))).toHaveLength(26);
    expect(await files.list('runs/')).toEqual([log]);
    await files.remove('runs/01');
    expect(await files.list('')).toEqual([]);
  });
});

describe('a file in S3', () => {
  it('that is larger than a part is written once all the same, and read in pieces from any line', async () => {
    const { files } = openAt(await make());
    const lines = Array.from({ length: 240_000 }, (_, i) => `${i} ${'x'.repeat(80)}`);
    const written = await files.write('runs/01/large.jsonl', lines);
    expect(written.bytes).toBeGreaterThan(20 * 1024 * 1024);
    expect(await files.write('runs/01/large.jsonl', lines)).toEqual(written);
    await expect(files.write('runs/01/large.jsonl', lines.slice(1))).rejects.toThrow('holds other content already');
    expect((await files.checksum(written.location)).bytes).toBe(written.bytes);
    expect(await collect(files.lines('runs/01/large.jsonl', 239_998))).toEqual(lines.slice(-2));
  });

  it('is written by one of many at once', async () => {
    const id = await make();
    const writers = Array.from({ length: 10 }, (_, i) => openAt(id).files.write('runs/01/one.jsonl', [`${i}`]));
    const settled = await Promise.allSettled(writers);
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });
});

describe('the table', () => {
  it('law 12: forty grants of four workers at once stand one after the other, over both windows', async () => {
    const id = await make();
    const windows = [
      { requests: 50, seconds: 1 },
      { requests: 1_000, seconds: 60 },
    ];
    const grants = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const { budgets } = openAt(id);
        const own = [];
        for (let i = 0; i < 10; i++) own.push(await budgets.reserve('meta-eu', windows, 5));
        return own;
      }),
    );
    const times = grants
      .flat()
      .flatMap(({ startAt, intervalMs, permits }) => Array.from({ length: permits }, (_, i) => startAt + i * intervalMs))
      .toSorted((a, b) => a - b);
    for (let i = 50; i < times.length; i++) expect(times[i]! - times[i - 50]!).toBeGreaterThanOrEqual(1_000);
    expect(new Set(times).size).toBe(times.length);
  });

  it('keeps a document of any size a run can have, and says which is too large', async () => {
    const { documents } = openAt(await make());
    const long = { plans: Array.from({ length: 5_000 }, (_, i) => ({ key: `runs/01/upserts/${i}.jsonl.gz`, rows: i })) };
    await documents.put('run', '01A', long);
    expect(await documents.get('run', '01A')).toEqual(long);
    const noise = Array.from({ length: 60_000 }, (_, i) => Math.sin(i));
    await expect(documents.put('run', '01B', noise)).rejects.toThrow(/^The document run 01B has \d+ bytes; the table holds/);
  });

  it('that is not there, or not ours, is told as such', async () => {
    const id = await make();
    await expect(openAt(id, testClock(), 'no-such-table').documents.get('run', '01A')).rejects.toThrow(StoreRefused);
    const files = openAwsStore({
      s3: moto.s3,
      dynamo: moto.dynamo,
      state: 'no-such-bucket',
      receipts: 'no-such-bucket',
      table: 'none',
      clock: systemClock,
    }).files;
    await expect(files.append('a/b.jsonl', ['x'])).rejects.toThrow(StoreRefused);
  });
});
