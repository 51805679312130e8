import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FileExists, MissingFile, StoreUnavailable } from '../../core/store-errors.ts';
import { s3Files } from '../../stores/files-s3.ts';
import { type S3Server, startS3 } from '../support/s3-server.ts';

let root: string;
let server: S3Server;
let client: S3Client;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'sluice-s3-files-'));
  for (const bucket of ['state', 'receipts']) mkdirSync(join(root, bucket));
  server = await startS3(root);
  client = new S3Client({
    endpoint: server.endpoint,
    region: 'eu-central-1',
    forcePathStyle: true,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
});
afterAll(async () => {
  client.destroy();
  await server.close();
  rmSync(root, { recursive: true });
});

describe('files in a bucket', () => {
  it('are written although S3 asks for fewer requests, once, and when it goes on asking that is said', async () => {
    const files = s3Files({ client, bucket: 'state', prefix: 'sluice/' });
    server.fail(/^PUT \/state\/sluice\/runs\/02\//, 503, 'SlowDown', 2);
    expect((await files.write('runs/02/a.jsonl', ['one', 'two'])).lines).toBe(2);
    const lines: string[] = [];
    for await (const line of files.lines('runs/02/a.jsonl')) lines.push(line);
    expect(lines).toEqual(['one', 'two']);
    server.fail(/^(PUT|POST|HEAD|GET) \/state\/sluice\/runs\/02\/b/, 503, 'SlowDown', 99);
    await expect(files.write('runs/02/b.jsonl', ['three'])).rejects.toThrow(StoreUnavailable);
    server.heal();
    expect(await files.exists('runs/02/b.jsonl')).toBe(false);
  });

  it('are taken from another bucket byte for byte, once, also large ones', async () => {
    const files = s3Files({ client, bucket: 'state', prefix: 'sluice/' });
    const receipts = s3Files({ client, bucket: 'receipts', prefix: 'sluice/' });
    // More than one part of an upload.
    const large = await files.write(
      'runs/01/receipts.jsonl',
      Array.from({ length: 400_000 }, (_, i) => `receipt ${i} of many, of a run`),
    );
    expect(large.bytes).toBeGreaterThan(8 * 1024 * 1024);
    const sum = await files.checksum(large.location);
    for (let i = 0; i < 2; i++) expect(await receipts.adopt('dt=2026-03-01/01/a.jsonl', large.location)).toEqual(sum);
    expect(await receipts.checksum(receipts.location('dt=2026-03-01/01/a.jsonl'))).toEqual(sum);
    const small = await files.write('runs/01/other.jsonl', ['another']);
    expect(await receipts.adopt('dt=2026-03-01/01/b.jsonl', small.location)).toEqual(await files.checksum(small.location));
    await expect(receipts.adopt('dt=2026-03-01/01/a.jsonl', small.location)).rejects.toThrow(FileExists);
    await expect(receipts.adopt('dt=2026-03-01/01/c.jsonl', files.location('runs/01/none'))).rejects.toThrow(MissingFile);
    await expect(receipts.adopt('dt=2026-03-01/01/c.jsonl', '/somewhere/else')).rejects.toThrow(MissingFile);
    expect(await receipts.list('dt=')).toEqual(['dt=2026-03-01/01/a.jsonl', 'dt=2026-03-01/01/b.jsonl']);
  });

  it('are sealed and looked at by what S3 keeps of them: nothing of their content is read', async () => {
    const files = s3Files({ client, bucket: 'state', prefix: 'sluice/' });
    // As Athena writes: an object that came without a sum.
    const location = files.location('ledger/vips/meta/01/a1/members/20261125_0.parquet');
    await client.send(new PutObjectCommand({ Bucket: 'state', Key: location.slice('s3://state/'.length), Body: '123456789' }));
    const from = server.requests.length;
    const seal = await files.seal(location);
    const etag = '"25f9e794323b453885f5181f1b624d0b"';
    expect(seal).toEqual({
      bytes: 9,
      stored: { etag, sum: `crc64nvme:${Buffer.from('ae8b14860a799888', 'hex').toString('base64')}` },
    });
    expect(await files.broken(location, seal)).toBeUndefined();
    // Put back from a backup it has another tag, and another version where there are versions.
    const back = { ...seal, stored: { ...seal.stored, etag: '"another"', version: 'another' } };
    expect(await files.broken(location, back)).toBeUndefined();
    expect(await files.broken(location, { ...back, stored: { ...back.stored, sum: 'crc64nvme:AAAAAAAAAAA=' } })).toBe(
      'was altered',
    );
    expect(await files.broken(location, { ...back, stored: { etag: '"another"' } })).toBe('was altered');
    expect(await files.broken(location, { ...seal, bytes: 10 })).toBe('has 9 bytes, 10 were written');
    expect(server.requests.slice(from).filter((request) => !request.startsWith('HEAD '))).toEqual([]);
  });
});
