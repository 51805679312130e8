import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { csvCell, files } from '../../connectors/files.ts';
import type { ListSpec, Member, Op } from '../../core/connector.ts';
import { identifierOf } from '../../core/delta.ts';
import { connectorContract, type Exception, noErasure, type PlatformUnderTest, type Rule } from '../contracts/connector.ts';
import { OWNER, type S3Server, startS3 } from '../support/s3-server.ts';

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

const BUCKET = 'company-drops';
const ADDRESS = `s3://${BUCKET}/partner/daily`;
/** Everything that is not a listing, by which nothing is changed or looked into. */
const anything = /^(?:PUT|GET|HEAD|DELETE) \/company-drops\//;

/** What S3 answers, for what the suite calls a fault. */
const ANSWERS: Readonly<Record<string, readonly [number, string]>> = {
  unauthorised: [403, 'InvalidAccessKeyId'],
  forbidden: [403, 'AccessDenied'],
  'list-deleted': [404, 'NoSuchBucket'],
  cut: [0, ''],
};

const openBucket = async (): Promise<PlatformUnderTest> => {
  const root = mkdtempSync(join(tmpdir(), 'sluice-files-s3-'));
  const server = await startS3(root);
  let before = 0;
  return {
    endpoint: server.endpoint,
    held: () => heldIn(join(root, BUCKET, 'partner/daily')),
    requests: () =>
      server.requests.slice(before).map((route) => ({ at: 0, method: 'PUT', route, status: 200, bytes: 0, rows: 0 })),
    reset: () => {
      server.heal();
      before = server.requests.length;
      rmSync(root, { recursive: true, force: true });
      mkdirSync(join(root, BUCKET), { recursive: true });
    },
    faults: (...faults) => {
      server.heal();
      for (const { kind, status = 500 } of faults) {
        const answer =
          kind === 'error' ? ([status, status === 503 ? 'ServiceUnavailable' : 'InternalError'] as const) : ANSWERS[kind];
        if (answer === undefined) throw new Error(`S3 has no fault ${kind}`);
        server.fail(anything, ...answer, Infinity);
      }
    },
    close: async () => {
      await server.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
};

beforeEach(() => {
  for (const [name, value] of Object.entries({
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_REGION: 'eu-central-1',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
  })) {
    vi.stubEnv(name, value);
  }
});
afterEach(() => void vi.unstubAllEnvs());

const FOR_ITS_READER: readonly Exception[] = [
  { rule: 'refuses a secret without its keys', because: 'the credentials are those of the machine, or of the role' },
  {
    rule: 'takes as many rows a request as its limits say, and the platform no more',
    because: 'a place for files takes files of any size',
  },
  { rule: 'a poison row is rejected alone', because: 'a place for files refuses no row' },
  { rule: 'every row is answered while the platform refuses some', because: 'a place for files refuses no row' },
  ...noErasure('what was written is for its reader to delete; an erasure arrives as a removal'),
  { rule: 'says how many the list holds', because: 'there are changes, and its reader has the list' },
];

connectorContract({
  connector: files,
  standIn: openBucket,
  settings: { folder: ADDRESS },
  traits: { tier: 'gold' },
  poison: (person) => person,
  exceptions: [
    ...FOR_ITS_READER,
    {
      rule: 'wrong credentials break the destination, with a way out',
      because:
        'the credentials are those of the machine, or of the role; what S3 says of wrong ones is looked at with the expired',
    },
    { rule: 'terms not accepted break the destination, with a way out', because: 'S3 has no terms that are asked for here' },
    { rule: 'quota spent until tomorrow is tried again later, or breaks the destination', because: 'S3 has no such quota' },
    { rule: 'a 429 is tried again, and says when', because: 'S3 says SlowDown and not for how long; looked at below' },
    ...(['an HTML page for an answer is tried again', 'a 200 that means failure is never taken for a success'] as const).map(
      (rule) => ({ rule, because: 'S3 answers an upload of one piece by its status alone' }),
    ),
    {
      rule: 'no answer in time is tried again',
      because: 'its minute is counted by the client of S3, and not by what the suite can make impatient',
    },
    { rule: 'a slow answer is waited for', because: 'the stand-in of S3 answers at once' },
    { rule: 'a request delivered twice changes nothing', because: 'a part that is sent again is looked at below' },
  ],
});

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
    ...FOR_ITS_READER.slice(1),
    {
      rule: 'no error and no reason holds personal data or the secret',
      because: 'nothing above fails here; the failures below are looked at there',
    },
  ],
});

const contextAt = (over: object, endpoint: string) => ({
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
const deliver = async (using: ReturnType<typeof contextAt>, spec: ListSpec, op: Op, members: Member[], sequence: number) => {
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

describe('files', () => {
  let folder: string;
  const context = (over: object = {}, endpoint = folder) => contextAt(over, endpoint);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sluice-files-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

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

  test.each([
    ['s3://', 'must name a bucket: s3://bucket/prefix'],
    ['s3:///prefix', 'must name a bucket: s3://bucket/prefix'],
    ...['s3://Bucket/prefix', 's3://ab/prefix', 's3://a..b/prefix', 's3://127.0.0.1/prefix', 's3://key:secret@bucket'].map(
      (folder) => [
        folder,
        'must name a bucket as S3 does: 3 to 63 lower-case letters, digits, - and ., a letter or digit at both ends',
      ],
    ),
    [
      's3://fast--euc1-az1--x-s3/prefix',
      'must be in a general purpose bucket: directory and table buckets are written to otherwise',
    ],
    ...['s3://bucket//prefix', 's3://bucket/*', 's3://bucket/a/../b', 's3://bucket/a?b', 's3://bucket/\u00e4'].map((folder) => [
      folder,
      "must have a prefix of letters, digits and !-_.'()= between single slashes",
    ]),
    ['gs://bucket/prefix', 'must be a folder or an address s3://bucket/prefix'],
  ])('the address %s is refused in the destination file: %s', (folder, message) => {
    expect(files.settings.safeParse({ folder }).error?.issues.map((issue) => issue.message)).toEqual([message]);
  });

  test('an owner and a region are of buckets only, and well formed', () => {
    const problems = (over: object) =>
      files.settings.safeParse(over).error?.issues.map(({ path, message }) => [path.join('.'), message]) ?? [];
    const folder = 's3://company-drops/partner/daily/';
    expect(problems({ folder, bucket_owner: '111122223333', region: 'eu-central-1' })).toEqual([]);
    expect(problems({ folder, bucket_owner: '1111', region: 'Frankfurt' })).toEqual([
      ['bucket_owner', 'must be the 12 digits of an account, in quotes'],
      ['region', 'must be a region such as eu-central-1'],
    ]);
    expect(problems({ folder: 'out', bucket_owner: '111122223333' })).toEqual([
      ['bucket_owner', 'may only stand beside a `folder` that is an address s3://'],
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

describe('files in a bucket', () => {
  let root: string;
  let server: S3Server;
  let first: number;
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'sluice-files-s3-'));
    server = await startS3(root);
  });
  beforeEach(() => {
    server.heal();
    rmSync(root, { recursive: true, force: true });
    mkdirSync(join(root, BUCKET), { recursive: true });
    first = server.requests.length;
  });
  afterAll(async () => {
    await server.close();
    rmSync(root, { recursive: true, force: true });
  });

  const context = (over: object = {}) => contextAt({ folder: ADDRESS, ...over }, server.endpoint);
  const within = (): string => join(root, BUCKET, 'partner/daily');
  /** Every object under the prefix -> its content. */
  const objects = (at = within()): Readonly<Record<string, string>> =>
    Object.fromEntries(
      readdirSync(at, { recursive: true, encoding: 'utf8' })
        .filter((name) => statSync(join(at, name)).isFile())
        .toSorted()
        .map((name) => [name, readFileSync(join(at, name)).toString('base64')]),
    );
  const requests = (): readonly string[] =>
    server.requests
      .slice(first)
      .map((one) => one.replace(`/${BUCKET}/partner/daily/drop/lapsed-vips/`, '').replace(RUN_FOLDER, ''));
  /** As somebody else would write it. */
  const put = async (name: string, text: string): Promise<void> => {
    const client = new S3Client({ endpoint: server.endpoint, forcePathStyle: true });
    await client.send(new PutObjectCommand({ Bucket: BUCKET, Key: `partner/daily/${name}`, Body: text }));
    client.destroy();
  };
  const RUN_FOLDER = RUN.slice('drop/lapsed-vips/'.length);
  const part = `part-00001-upsert-1-${'1'.repeat(32)}.jsonl`;

  test.each([{}, { format: 'csv', compress: 'gzip' }])('are byte for byte those of a folder: %j', async (over) => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-files-'));
    for (const using of [contextAt(over, folder), context(over)]) {
      const remote = await deliver(using, list(), 'remove', [member(['external_id:c-9'])], 1);
      await deliver(using, list(), 'upsert', [vip], 2);
      await files.finish?.(using, remote, { upserts: 1, removes: 1, batches: 2 });
    }
    expect(objects()).toEqual(objects(folder));
    expect(Object.keys(objects())).toHaveLength(3);
    rmSync(folder, { recursive: true });
  });

  test('are written parts first, the manifest last, and not read back: S3 has their sums', async () => {
    const using = context();
    const remote = await deliver(using, list(), 'upsert', [vip], 1);
    await files.finish?.(using, remote, { upserts: 1, removes: 0, batches: 1 });
    expect(requests()).toEqual([
      `GET /${BUCKET}/`,
      'PUT .open',
      `PUT /${part}`,
      `GET /${BUCKET}/`,
      `HEAD /${part}`,
      'PUT /manifest.json',
      'DELETE .open',
    ]);
  });

  test('ask for no object that is not there, which a role for one prefix is refused and not denied', async () => {
    server.fail(/^(GET|HEAD) .*\.open$/, 403, 'AccessDenied', Infinity);
    await files.ensure(context(), list());
    expect(Object.keys(objects())).toEqual(['drop/lapsed-vips/.open']);
  });

  test("are written once: a part that is sent again is there, and nobody else's is written over", async () => {
    const using = context();
    await deliver(using, list(), 'upsert', [vip], 1);
    const before = objects();
    await deliver(using, list(), 'upsert', [vip], 1);
    expect(objects()).toEqual(before);
    await put(`${RUN}/${part}`, 'of somebody else');
    await expect(deliver(using, list(), 'upsert', [vip], 1)).rejects.toMatchObject({
      name: 'DestinationBroken',
      message: 'Another object stands where a part of this run is to go, with other content; it was left as it is.',
      wayOut: 'Look who else writes under this prefix, and give the destination one of its own in `folder`.',
    });
    expect(readFileSync(join(within(), RUN, part), 'utf8')).toBe('of somebody else');
  });

  test('of a delivery that died before its manifest are sealed by the next one', async () => {
    const using = context();
    await deliver(using, list(), 'upsert', [vip], 1);
    await files.ensure(using, list({ run: '01JD0000000000000000000002', tick: Date.UTC(2026, 10, 23, 5) }));
    expect(JSON.parse(readFileSync(join(within(), RUN, 'manifest.json'), 'utf8'))).toMatchObject({
      run: '01JD0000000000000000000001',
      rows: { upsert: 1, remove: 0 },
    });
  });

  test('may lie at the top of a bucket, and names that are no names of files stay one part of a key', async () => {
    const using = context({ folder: `s3://${BUCKET}/` });
    await deliver(using, list({ audience: '../../outside', destination: 'a/b' }), 'upsert', [vip], 1);
    expect(parts(join(root, BUCKET)).map((name) => name.split('/').slice(0, 2))).toEqual([['a%2Fb', '..%2F..%2Foutside']]);
  });

  test('go to the bucket of its owner only, where the destination names one', async () => {
    await deliver(context({ bucket_owner: OWNER }), list(), 'upsert', [vip], 1);
    await expect(files.ensure(context({ bucket_owner: '999999999999' }), list())).rejects.toMatchObject({
      name: 'DestinationBroken',
      message: 'The bucket cannot be written (AccessDenied).',
      wayOut: expect.stringContaining('`bucket_owner`') as string,
    });
  });

  test.each([
    [403, 'AccessDenied', /^Let the role that writes do s3:PutObject/],
    [404, 'NoSuchBucket', /^Make the bucket/],
    [301, 'PermanentRedirect', /^Set `region`/],
    [400, 'ExpiredToken', /^Give the process credentials/],
    [501, 'NotImplemented', /conditional writes/],
  ])('break the destination when S3 says %i %s, with a way out', async (status, code, wayOut) => {
    const remote = await files.ensure(context(), list());
    server.fail(/^PUT /, status, code, Infinity);
    await expect(deliver(context(), list(), 'upsert', [vip], 1)).rejects.toMatchObject({
      name: 'DestinationBroken',
      message: `The bucket cannot be written (${code}).`,
      wayOut: expect.stringMatching(wayOut) as string,
    });
    expect(remote.id).toBe('drop/lapsed-vips');
  });

  test.each([
    [503, 'SlowDown', { throttled: true, ambiguous: false }],
    [500, 'InternalError', { throttled: false, ambiguous: true }],
    [409, 'ConditionalRequestConflict', { throttled: false, ambiguous: true }],
  ])('are tried again when S3 says %i %s, by the engine and not by the client', async (status, code, how) => {
    server.fail(/^PUT /, status, code, 1);
    await expect(files.ensure(context(), list())).rejects.toMatchObject({
      name: 'TryAgain',
      message: `The bucket cannot be written now (${code}).`,
      ...how,
    });
    expect((await files.ensure(context(), list())).id).toBe('drop/lapsed-vips');
  });

  test('need a region and credentials, and say where they come from', async () => {
    vi.stubEnv('AWS_REGION', undefined);
    await expect(files.ensure(contextAt({ folder: ADDRESS }, 'http://127.0.0.1:1'), list())).rejects.toMatchObject({
      name: 'DestinationBroken',
      message: 'The bucket cannot be reached (no region).',
    });
    vi.stubEnv('AWS_ACCESS_KEY_ID', undefined);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', undefined);
    await expect(
      files.ensure(contextAt({ folder: ADDRESS, region: 'eu-west-1' }, 'http://127.0.0.1:1'), list()),
    ).rejects.toMatchObject({
      name: 'DestinationBroken',
      message: 'The bucket cannot be written (CredentialsProviderError).',
    });
  });

  test('a marker that somebody else wrote breaks the destination, with a way out', async () => {
    await put('drop/lapsed-vips/.open', 'no JSON');
    await expect(files.ensure(context(), list())).rejects.toMatchObject({ name: 'DestinationBroken' });
  });
});
