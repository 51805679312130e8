import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OWNER, type S3Server, startS3 } from './s3-server.ts';

let root: string;
let server: S3Server;
let s3: S3Client;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'sluice-s3-'));
  mkdirSync(join(root, 'state'));
  server = await startS3(root);
  s3 = new S3Client({
    endpoint: server.endpoint,
    region: 'eu-central-1',
    forcePathStyle: true,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
  });
});
afterAll(async () => {
  s3.destroy();
  await server.close();
  rmSync(root, { recursive: true });
});

const put = (Key: string, Body: string | Buffer, more: object = {}) =>
  s3.send(new PutObjectCommand({ Bucket: 'state', Key, Body, ...more }));
const read = async (Key: string): Promise<string> =>
  (await (await s3.send(new GetObjectCommand({ Bucket: 'state', Key }))).Body?.transformToString()) ?? '';
const nameOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error as Error).name,
  );

describe('the S3 stand-in', () => {
  it('keeps an object as a file, and gives it back as it was', async () => {
    const body = gzipSync('{"k":"ä"}\n');
    await put('a/b c+1.jsonl.gz', body, { Metadata: { lines: '1' } });
    expect(readFileSync(join(root, 'state', 'a', 'b c+1.jsonl.gz'))).toEqual(body);
    const head = await s3.send(new HeadObjectCommand({ Bucket: 'state', Key: 'a/b c+1.jsonl.gz' }));
    expect([head.ContentLength, head.Metadata]).toEqual([body.length, { lines: '1' }]);
    const part = await s3.send(new GetObjectCommand({ Bucket: 'state', Key: 'a/b c+1.jsonl.gz', Range: 'bytes=0-1' }));
    expect(Buffer.from((await part.Body?.transformToByteArray()) ?? [])).toEqual(body.subarray(0, 2));
  });

  it('lets one of many writers at once win who all ask that nothing be there', async () => {
    const tries = await Promise.all(Array.from({ length: 20 }, (_, i) => nameOf(put('once', `${i}`, { IfNoneMatch: '*' }))));
    expect(tries.toSorted()).toEqual([...Array.from({ length: 19 }, () => 'PreconditionFailed'), 'done']);
  });

  it('writes and deletes only what is still as the writer knew it', async () => {
    const first = await put('pointer', '1');
    expect(await nameOf(put('pointer', '2', { IfMatch: first.ETag }))).toBe('done');
    expect(await nameOf(put('pointer', '3', { IfMatch: first.ETag }))).toBe('PreconditionFailed');
    expect(await nameOf(put('nothing', '3', { IfMatch: first.ETag }))).toBe('NoSuchKey');
    expect(await read('pointer')).toBe('2');
    expect(await nameOf(s3.send(new DeleteObjectCommand({ Bucket: 'state', Key: 'pointer', IfMatch: first.ETag })))).toBe(
      'PreconditionFailed',
    );
  });

  it('lists in the order of the keys, page by page, and folders where it is asked for them', async () => {
    for (const key of ['l/b/2', 'l/a', 'l/b/1', 'l/c']) await put(key, key);
    const seen: string[] = [];
    let token: string | undefined;
    do {
      const page = await s3.send(
        new ListObjectsV2Command({ Bucket: 'state', Prefix: 'l/', MaxKeys: 3, ...(token && { ContinuationToken: token }) }),
      );
      seen.push(...(page.Contents ?? []).map(({ Key, Size }) => `${Key} ${Size}`));
      token = page.NextContinuationToken;
    } while (token !== undefined);
    expect(seen).toEqual(['l/a 3', 'l/b/1 5', 'l/b/2 5', 'l/c 3']);
    const top = await s3.send(new ListObjectsV2Command({ Bucket: 'state', Prefix: 'l/', Delimiter: '/' }));
    expect([top.Contents?.map(({ Key }) => Key), top.CommonPrefixes]).toEqual([['l/a', 'l/c'], [{ Prefix: 'l/b/' }]]);
  });

  it('copies, deletes many, and says what is not there', async () => {
    await put('from', 'x');
    await s3.send(new CopyObjectCommand({ Bucket: 'state', Key: 'to', CopySource: 'state/from' }));
    expect(await read('to')).toBe('x');
    await s3.send(new DeleteObjectsCommand({ Bucket: 'state', Delete: { Objects: [{ Key: 'from' }, { Key: 'to' }] } }));
    expect([await nameOf(read('to')), await nameOf(s3.send(new HeadObjectCommand({ Bucket: 'state', Key: 'to' })))]).toEqual([
      'NoSuchKey',
      'NotFound',
    ]);
    expect(await nameOf(s3.send(new ListObjectsV2Command({ Bucket: 'nobody' })))).toBe('NoSuchBucket');
  });

  it('fails when a test asks for it', async () => {
    server.fail(/^PUT \/state\/slow$/, 503, 'SlowDown');
    expect([await nameOf(put('slow', '1')), await nameOf(put('slow', '1'))]).toEqual(['SlowDown', 'done']);
  });
  it('cuts a connection after its work, until it is healed', async () => {
    server.fail(/^PUT \/state\/cut$/, 0, '', Infinity);
    expect(await nameOf(put('cut', '1'))).not.toBe('done');
    expect(await read('cut')).toBe('1');
    server.heal();
    expect(await nameOf(put('cut', '2'))).toBe('done');
  });

  it('belongs to one account, and is closed to who expects another', async () => {
    expect(await nameOf(put('owned', '1', { ExpectedBucketOwner: OWNER }))).toBe('done');
    expect(await nameOf(put('owned', '2', { ExpectedBucketOwner: '999999999999' }))).toBe('AccessDenied');
    expect(await read('owned')).toBe('1');
  });
});
