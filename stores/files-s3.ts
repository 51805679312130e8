import { createHash, randomUUID } from 'node:crypto';
import { pipeline, Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import type { S3Client } from '@aws-sdk/client-s3';
import type { Files, Written } from '../core/ports.ts';
import { BadKey, FileExists, MissingFile } from '../core/store-errors.ts';
import { segmentsOfKey } from './keys.ts';
import { joinLines, splitLines, unpacked } from './line-stream.ts';
import { isPart, logOf, S3Logs } from './s3-logs.ts';
import { Objects, Occupied } from './s3-objects.ts';
import { differenceOf, sizes } from './seal.ts';

export interface S3FilesOptions {
  readonly client: S3Client;
  readonly bucket: string;
  /** Where in the bucket: `sluice/` or nothing. With a slash at its end. */
  readonly prefix?: string;
}

/**
 * Files in a bucket. A file is one object, written under `If-None-Match`, so that of two writers one wins and neither can half replace
 * the other; S3 shows an object whole or not at all. A log is a row of numbered objects (s3-logs.ts).
 * Throws `MissingFile`, `FileExists`, `BadKey`, `LogTaken`, `StoreDamaged`, `StoreUnavailable`, `StoreRefused`.
 */
export function s3Files({ client, bucket, prefix = '' }: S3FilesOptions): Files {
  const objects = new Objects(client, bucket);
  const logs = new S3Logs(objects);
  const root = `s3://${bucket}/${prefix}`;
  const objectOf = (key: string): string => {
    if (isPart(key)) throw new BadKey(key, 'the store keeps the parts of a log there');
    return prefix + segmentsOfKey(key).join('/') + (key.endsWith('/') ? '/' : '');
  };

  const keyIn = (location: string): string => {
    const at = `s3://${bucket}/`;
    if (!location.startsWith(at)) throw new MissingFile(location);
    return location.slice(at.length);
  };
  const checksum = async (location: string): ReturnType<Files['checksum']> => {
    const read = await objects.read(keyIn(location));
    if (read === undefined) throw new MissingFile(location);
    const own = sum();
    for await (const _ of own.through(read.body));
    return own.end();
  };

  return {
    location: (key) => `s3://${bucket}/${objectOf(key)}`,
    keyOf(location) {
      if (!location.startsWith(root)) throw new BadKey(location, `it is not in ${root}`);
      const key = location.slice(root.length);
      segmentsOfKey(key);
      return key;
    },
    write: (key, lines) => writeOnce(objects, { key, object: objectOf(key), location: `s3://${bucket}/${objectOf(key)}` }, lines),
    adopt: (key, location) => adopt(client, objects, { key, object: objectOf(key), location }),
    async *lines(key, from = 0) {
      const bytes = await logs.read(objectOf(key));
      if (bytes === undefined) throw new MissingFile(key);
      yield* splitLines(unpacked(bytes, key), key.endsWith('.gz'), from);
    },
    async append(key, lines) {
      if (key.endsWith('.gz')) throw new BadKey(key, 'a log is not compressed, so that a line can be added to it');
      const bad = lines.find((line) => line.includes('\n'));
      if (bad !== undefined) throw new TypeError(`A line of ${key} contains the end of a line.`);
      await logs.append(objectOf(key), lines);
    },
    exists: (key) => logs.exists(objectOf(key)),
    async list(wanted) {
      const folder = wanted.slice(0, wanted.lastIndexOf('/') + 1);
      if (folder !== '') segmentsOfKey(folder);
      const found = new Set<string>();
      for await (const object of objects.list(prefix + wanted)) found.add(logOf(object).slice(prefix.length));
      return [...found].toSorted((a, b) => (a < b ? -1 : 1));
    },
    async remove(wanted) {
      const object = objectOf(wanted).replace(/\/$/, '');
      const found: string[] = [];
      for await (const one of objects.list(object)) {
        const log = logOf(one);
        if (log === object || log.startsWith(`${object}/`)) found.push(one);
      }
      await objects.remove(found);
    },
    checksum,
    async seal(location) {
      const found = await objects.head(keyIn(location));
      if (found === undefined) throw new MissingFile(location);
      const { bytes, etag, version, sum: whole } = found;
      return { bytes, stored: { etag, ...(version && { version }), ...(whole && { sum: whole }) } };
    },
    async broken(location, seal) {
      const { stored } = seal;
      // Of a generation that was written before S3 was asked, or that came from another store.
      if (stored === undefined) return differenceOf(await checksum(location), seal);
      const found = await objects.head(keyIn(location));
      if (found === undefined) throw new MissingFile(location);
      if (found.bytes !== seal.bytes) return sizes(found.bytes, seal.bytes);
      // Put back from a backup it is another version with another tag; its sum says that it is the same.
      const same =
        (stored.version !== undefined && found.version === stored.version) ||
        found.etag === stored.etag ||
        (stored.sum !== undefined && found.sum === stored.sum);
      return same ? undefined : 'was altered';
    },
  };
}

/** Through this machine, not by a copy inside S3: whether that may be conditional depends on region and kind of bucket. */
async function adopt(
  client: S3Client,
  objects: Objects,
  { key, object, location }: { readonly key: string; readonly object: string; readonly location: string },
): ReturnType<Files['adopt']> {
  const [, bucket = '', from = ''] = /^s3:\/\/([^/]+)\/(.+)$/.exec(location) ?? [];
  const source = bucket === '' ? undefined : await new Objects(client, bucket).read(from);
  if (source === undefined) throw new MissingFile(location);
  const own = sum();
  try {
    await objects.upload(object, own.through(source.body), true, { writer: randomUUID() });
    return own.end();
  } catch (error) {
    if (!(error instanceof Occupied)) throw error;
    const there = await objects.read(object);
    if (there === undefined) throw error;
    const other = sum();
    for await (const _ of other.through(there.body));
    const again = await new Objects(client, bucket).read(from);
    const whole = sum();
    if (again !== undefined) for await (const _ of whole.through(again.body));
    const found = other.end();
    if (whole.end().sha256 !== found.sha256) throw new FileExists(key, { cause: error });
    return found;
  }
}

/** SHA-256 and bytes of what goes through. */
function sum(): { through(bytes: Readable): AsyncGenerator<Buffer>; end(): { readonly sha256: string; readonly bytes: number } } {
  const hash = createHash('sha256');
  let bytes = 0;
  return {
    async *through(source) {
      for await (const chunk of source as AsyncIterable<Buffer>) {
        hash.update(chunk);
        bytes += chunk.length;
        yield chunk;
      }
    },
    end: () => ({ sha256: hash.digest('hex'), bytes }),
  };
}

async function writeOnce(
  objects: Objects,
  { key, object, location }: { readonly key: string; readonly object: string; readonly location: string },
  lines: AsyncIterable<string> | Iterable<string>,
): Promise<Written> {
  let count = 0;
  const content = createHash('sha256');
  async function* text(): AsyncGenerator<Buffer> {
    for await (const piece of joinLines(lines, (n) => {
      count += n;
    })) {
      content.update(piece);
      yield piece;
    }
  }
  const source = Readable.from(text(), { objectMode: false });
  const bytes = key.endsWith('.gz') ? pipeline(source, createGzip({ level: 1, chunkSize: 64 * 1024 }), () => undefined) : source;
  try {
    const stored = await objects.upload(object, bytes as AsyncIterable<Buffer>, true, { writer: randomUUID() });
    return { key, location, lines: count, bytes: stored };
  } catch (error) {
    if (!(error instanceof Occupied)) throw error;
    // Also what a request that was sent twice finds: its own first. By content, not by stored bytes: zlib may have changed.
    const there = await objects.read(object);
    if (there === undefined) throw error;
    const other = createHash('sha256');
    for await (const piece of unpacked(there.body, key)) other.update(piece);
    if (other.digest('hex') !== content.digest('hex')) throw new FileExists(key, { cause: error });
    return { key, location, lines: count, bytes: there.object.bytes };
  }
}
