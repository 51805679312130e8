import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { csvCell, files } from '../../connectors/files.ts';
import type { ListSpec, Member, Op } from '../../core/connector.ts';
import { identifierOf } from '../../core/delta.ts';
import { connectorContract, noErasure, type PlatformUnderTest, type Rule } from '../contracts/connector.ts';

const parts = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((name) => /part-[^/]*$/.test(name))
        .sort()
    : [];

/** A reader of change sets as the page of the docs describes one: parts in the order of their names, each line an operation. */
function heldIn(folder: string): Map<string, Set<string>> {
  const lists = new Map<string, Set<string>>();
  for (const part of parts(folder)) {
    const [destination, audience] = part.split('/');
    const held = lists.get(`${destination}/${audience}`) ?? new Set<string>();
    lists.set(`${destination}/${audience}`, held);
    for (const line of readFileSync(join(folder, part), 'utf8').trimEnd().split('\n')) {
      const change = JSON.parse(line) as { op: Op; external_id: string };
      if (change.op === 'upsert') held.add(change.external_id);
      else held.delete(change.external_id);
    }
  }
  return lists;
}

const openFolder = (): Promise<PlatformUnderTest> => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-files-'));
  return Promise.resolve({
    endpoint: folder,
    held: () => heldIn(folder),
    requests: () => parts(folder).map((route) => ({ at: 0, method: 'PUT', route, status: 200, bytes: 0, rows: 0 })),
    reset: () => {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder);
    },
    faults: () => undefined,
    close: () => {
      rmSync(folder, { recursive: true, force: true });
      return Promise.resolve();
    },
  });
};

const noHttp: readonly Rule[] = [
  'refuses a secret without its keys',
  'wrong credentials break the destination, with a way out',
  'expired credentials break the destination, with a way out',
  'a missing scope breaks the destination, with a way out',
  'terms not accepted break the destination, with a way out',
  'quota spent until tomorrow is tried again later, or breaks the destination',
  'a 429 is tried again, and says when',
  'a 500 is tried again',
  'a 503 is tried again',
  'an HTML page for an answer is tried again',
  'a 200 that means failure is never taken for a success',
  'half an answer is tried again',
  'no answer in time is tried again',
  'a refused connection is tried again',
];

connectorContract({
  connector: files,
  standIn: openFolder,
  settings: {},
  traits: { tier: 'gold' },
  poison: (person) => person,
  exceptions: [
    ...noHttp.map((rule) => ({ rule, because: 'a folder is not reached over HTTP and has no accounts' })),
    {
      rule: 'a deleted list breaks the destination, with a way out',
      because: 'a folder taken away is the same as one emptied by its reader',
    },
    {
      rule: 'takes as many rows a request as its limits say, and the platform no more',
      because: 'a folder takes files of any size',
    },
    { rule: 'a poison row is rejected alone', because: 'a folder refuses no row' },
    { rule: 'every row is answered while the platform refuses some', because: 'a folder refuses no row' },
    ...noErasure('what was written is for its reader to delete; an erasure arrives as a removal'),
    { rule: 'says how many the list holds', because: 'a folder holds changes, and its reader the list' },
    {
      rule: 'no error and no reason holds personal data or the secret',
      because: 'nothing above fails here; the failures below are looked at there',
    },
  ],
});

describe('files', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sluice-files-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const context = (over: object = {}, endpoint = folder) => ({
    settings: files.settings.parse({ folder: 'unused', ...over }),
    secret: {},
    endpoint,
    http: () => Promise.reject(new Error('a folder needs no HTTP')),
    now: () => 0,
  });
  const list = (over: Partial<ListSpec> = {}): ListSpec => ({
    audience: 'lapsed-vips',
    description: '',
    mode: 'mirror',
    destination: 'drop',
    run: '01JD0000000000000000000001',
    tick: Date.UTC(2026, 10, 22, 5),
    identifiers: ['external_id', 'email', 'phone'],
    traits: ['tier', 'note'],
    ...over,
  });
  const member = (texts: readonly string[], traits: Member['traits'] = {}): Member => ({
    key: '0'.repeat(32),
    identifiers: texts.map(identifierOf),
    traits,
    consent: null,
  });
  const deliver = async (using: ReturnType<typeof context>, spec: ListSpec, op: Op, members: Member[], sequence: number) => {
    const remote = await files.ensure(using, spec);
    const items = members.map((one) => ({ member: one, ...files.encode(using, remote, op, one) }));
    await files.send(using, remote, { op, items, id: `${sequence}`.repeat(32), sequence });
    return remote;
  };
  const RUN = 'drop/lapsed-vips/dt=2026-11-22/run=01JD0000000000000000000001';
  const vip = member(['external_id:c-1', 'email:a@example.com', 'email:b@example.com', 'phone:+4930123456'], {
    tier: 'gold',
    note: null,
  });

  test('writes JSON lines, and a manifest last that counts and seals them', async () => {
    const using = context();
    const remote = await deliver(using, list(), 'remove', [member(['external_id:c-9'])], 1);
    await deliver(using, list(), 'upsert', [vip, member(['external_id:c-2'], { tier: null })], 2);
    expect(existsSync(join(folder, RUN, 'manifest.json'))).toBe(false);
    await files.finish?.(using, remote, { upserts: 2, removes: 1, batches: 2 });

    const [removes, upserts] = [`part-00001-remove-1-${'1'.repeat(32)}.jsonl`, `part-00002-upsert-2-${'2'.repeat(32)}.jsonl`];
    const texts = [removes, upserts].map((name) => readFileSync(join(folder, RUN, name), 'utf8'));
    expect(texts).toEqual([
      '{"op":"remove","external_id":"c-9"}\n',
      '{"op":"upsert","external_id":"c-1","identifiers":[{"namespace":"email","value":"a@example.com"},{"namespace":"email","value":"b@example.com"},{"namespace":"phone","value":"+4930123456"}],"traits":{"tier":"gold","note":null}}\n' +
        '{"op":"upsert","external_id":"c-2","identifiers":[],"traits":{"tier":null}}\n',
    ]);
    const sealed = (file: string, op: Op, rows: number, text: string) => ({
      file,
      op,
      rows,
      bytes: Buffer.byteLength(text),
      sha256: createHash('sha256').update(text).digest('hex'),
    });
    expect(JSON.parse(readFileSync(join(folder, RUN, 'manifest.json'), 'utf8'))).toEqual({
      audience: 'lapsed-vips',
      destination: 'drop',
      mode: 'mirror',
      run: '01JD0000000000000000000001',
      at: '2026-11-22T05:00:00.000Z',
      rows: { upsert: 2, remove: 1 },
      parts: [sealed(removes, 'remove', 1, texts[0] ?? ''), sealed(upserts, 'upsert', 2, texts[1] ?? '')],
    });
    expect(readdirSync(join(folder, RUN)).filter((name) => name.endsWith('.new'))).toEqual([]);
    expect(existsSync(join(folder, 'drop/lapsed-vips/.open'))).toBe(false);
  });

  test('writes CSV with a column a namespace and a trait, and gzip where asked', async () => {
    const using = context({ format: 'csv', compress: 'gzip' });
    const harmful = member(['external_id:=1+1'], { tier: '=HYPERLINK("http://example.com")', note: 'two\nlines, "quoted"' });
    await deliver(using, list(), 'upsert', [vip, harmful], 1);
    await deliver(using, list(), 'remove', [member(['external_id:c-9'])], 2);
    const [upserts, removes] = parts(folder).map((part) => gunzipSync(readFileSync(join(folder, part))).toString());
    expect(upserts).toBe(
      'op,external_id,email,phone,tier,note\r\n' +
        'upsert,c-1,a@example.com b@example.com,+4930123456,gold,\r\n' +
        `upsert,"'=1+1",,,"'=HYPERLINK(""http://example.com"")","two\nlines, ""quoted"""\r\n`,
    );
    expect(removes).toBe('op,external_id,email,phone,tier,note\r\nremove,c-9,,,,\r\n');
  });

  test.each([
    ['=1+1', `"'=1+1"`],
    ['+cmd|x', `"'+cmd|x"`],
    ['-2+3', `"'-2+3"`],
    ['@SUM(A1)', `"'@SUM(A1)"`],
    ['\tx', `"'\tx"`],
    ['+4930123456', '+4930123456'],
    [-12.5, '-12.5'],
    ["'quoted", `"'quoted"`],
    [true, 'true'],
    [null, ''],
    ['𐍈', '𐍈'],
  ])('a cell of %j is written %s', (value, written) => expect(csvCell(value)).toBe(written));

  test('a part that is sent again is the same file', async () => {
    const using = context({ compress: 'gzip' });
    await deliver(using, list(), 'upsert', [vip], 1);
    const [part] = parts(folder);
    const before = readFileSync(join(folder, part ?? ''));
    await deliver(using, list(), 'upsert', [vip], 1);
    expect(parts(folder)).toEqual([part]);
    expect(readFileSync(join(folder, part ?? ''))).toEqual(before);
  });

  test('a delivery that died before its manifest is sealed by the next one', async () => {
    const using = context();
    await deliver(using, list(), 'upsert', [vip], 1);
    const next = list({ run: '01JD0000000000000000000002', tick: Date.UTC(2026, 10, 23, 5) });
    await files.ensure(using, next);
    expect(JSON.parse(readFileSync(join(folder, RUN, 'manifest.json'), 'utf8'))).toMatchObject({
      run: '01JD0000000000000000000001',
      rows: { upsert: 1, remove: 0 },
    });
  });

  test('only the owner may read what is written', async () => {
    await deliver(context(), list(), 'upsert', [vip], 1);
    const [part] = parts(folder);
    expect(statSync(join(folder, part ?? '')).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, RUN)).mode & 0o777).toBe(0o700);
  });

  test('names that are no file names stay inside the folder', async () => {
    await deliver(context(), list({ audience: '../../outside', destination: 'a/b' }), 'upsert', [vip], 1);
    expect(parts(folder).map((part) => part.split('/').slice(0, 2))).toEqual([['a%2Fb', '..%2F..%2Foutside']]);
  });

  test('an address like s3:// is refused in the destination file, with the reason', () => {
    const parsed = files.settings.safeParse({ folder: 's3://bucket/prefix' });
    expect(parsed.error?.issues.map((issue) => issue.message)).toEqual([
      'must be a folder: addresses like s3:// are not written to',
    ]);
  });

  test('a trait with the name of another column breaks the destination, with a way out', async () => {
    await expect(files.ensure(context(), list({ traits: ['email'] }))).rejects.toMatchObject({
      name: 'DestinationBroken',
      wayOut: 'Give the trait another name under `traits` of the sync.',
    });
  });

  test('a folder that cannot be written breaks the destination, and says nothing of people or paths', async () => {
    writeFileSync(join(folder, 'file'), '');
    await expect(files.ensure(context({}, join(folder, 'file')), list())).rejects.toMatchObject({
      name: 'DestinationBroken',
      message: 'The folder cannot be written (ENOTDIR).',
      wayOut: 'A part of the path is a file: set another `folder`.',
    });
    const remote = await deliver(context(), list(), 'upsert', [vip], 1);
    rmSync(folder, { recursive: true });
    await expect(files.finish?.(context(), remote, { upserts: 1, removes: 0, batches: 1 })).rejects.toMatchObject({
      name: 'DestinationBroken',
      message: 'The folder cannot be written (ENOENT).',
    });
  });
});
