import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { codeOf, statusOf, toldByAws } from './aws-errors.ts';

/** Bytes read or written at once. A part of an upload has at least 5 MiB; 10,000 parts: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html, read 2026-11-25. */
const PART = 8 * 1024 * 1024;
const MAX_PARTS = 10_000;
/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html, read 2026-11-25. */
const DELETES = 1_000;
/** `409 ConditionalRequestConflict`: two conditional writes met; S3 asks to try again. */
const CONFLICT_TRIES = 5;

export interface StoredObject {
  readonly etag: string;
  readonly bytes: number;
  readonly metadata: Readonly<Record<string, string>>;
  /** Of a bucket that keeps versions. */
  readonly version?: string;
  /** Over the whole content, `algorithm:base64`, as S3 keeps it; only from `head`, and not of objects that have none. */
  readonly sum?: string;
}

/** Something stands at the key already, and the write was only for an empty place. Nothing was written. */
export class Occupied extends Error {
  constructor(key: string, options: { cause?: unknown } = {}) {
    super(`There is an object ${key} already.`, options);
    this.name = 'Occupied';
  }
}

/** Objects of one bucket: whole writes, reads that survive a slow reader. Throws `StoreUnavailable`, `StoreRefused`. */
export class Objects {
  readonly #client: S3Client;
  readonly #bucket: string;

  constructor(client: S3Client, bucket: string) {
    this.#client = client;
    this.#bucket = bucket;
  }

  async head(key: string): Promise<StoredObject | undefined> {
    try {
      const found = await this.#client.send(new HeadObjectCommand({ Bucket: this.#bucket, Key: key, ChecksumMode: 'ENABLED' }));
      const sum = sumOf(found);
      return {
        etag: found.ETag ?? '',
        bytes: found.ContentLength ?? 0,
        metadata: found.Metadata ?? {},
        ...(found.VersionId && { version: found.VersionId }),
        ...(sum && { sum }),
      };
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw this.#told(error);
    }
  }

  /**
   * What is at the key, in pieces of their own requests: a worker that reads as slowly as a destination takes finds its connection
   * closed, and a piece that failed is asked for again. Undefined when nothing is there. An object that is replaced meanwhile is an error.
   */
  async read(key: string): Promise<{ readonly object: StoredObject; readonly body: Readable } | undefined> {
    const first = await this.#piece(key, 0);
    if (first === undefined) return undefined;
    const piece = (from: number): Promise<Buffer> =>
      this.#piece(key, from, first.object.etag).then((found) => found?.bytes ?? Buffer.alloc(0));
    async function* pieces(bytes: Buffer, total: number): AsyncGenerator<Buffer> {
      let at = bytes.length;
      yield bytes;
      // One ahead: the next is on its way while this one is used.
      let next = at < total ? piece(at) : undefined;
      while (next !== undefined) {
        const got = await next;
        at += got.length;
        next = at < total && got.length > 0 ? piece(at) : undefined;
        next?.catch(() => undefined);
        yield got;
      }
    }
    return { object: first.object, body: Readable.from(pieces(first.bytes, first.object.bytes), { objectMode: false }) };
  }

  async #piece(key: string, from: number, etag?: string): Promise<{ object: StoredObject; bytes: Buffer } | undefined> {
    const Range = `bytes=${from}-${from + PART - 1}`;
    try {
      const found = await this.#client.send(
        new GetObjectCommand({ Bucket: this.#bucket, Key: key, Range, ...(etag !== undefined && { IfMatch: etag }) }),
      );
      const bytes = Buffer.from((await found.Body?.transformToByteArray()) ?? []);
      const total = Number(/\/(\d+)$/.exec(found.ContentRange ?? '')?.[1] ?? bytes.length);
      return { object: { etag: found.ETag ?? '', bytes: total, metadata: found.Metadata ?? {} }, bytes };
    } catch (error) {
      if (codeOf(error) === 'NoSuchKey' || statusOf(error) === 404) return undefined;
      // An empty object has no range.
      if (statusOf(error) === 416 && from === 0) {
        const object = await this.head(key);
        return object && { object, bytes: Buffer.alloc(0) };
      }
      throw this.#told(error);
    }
  }

  /** Writes one small object. `onlyNew`: throws `Occupied` when one is there. */
  async put(key: string, body: Buffer, onlyNew: boolean, metadata: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.#conditional(key, () =>
      this.#client.send(
        new PutObjectCommand({
          Bucket: this.#bucket,
          Key: key,
          Body: body,
          ContentLength: body.length,
          ChecksumAlgorithm: 'SHA256',
          Metadata: { ...metadata },
          ...(onlyNew && { IfNoneMatch: '*' }),
        }),
      ),
    );
  }

  /** Writes an object of any size, whole or not at all; answers with its bytes as stored. `onlyNew` as in `put`. */
  async upload(
    key: string,
    source: AsyncIterable<Buffer>,
    onlyNew: boolean,
    metadata: Readonly<Record<string, string>> = {},
  ): Promise<number> {
    const parts = inParts(source);
    const first = await parts.next();
    const one = first.done === true ? Buffer.alloc(0) : first.value;
    if (one.length < PART) {
      await this.put(key, one, onlyNew, metadata);
      return one.length;
    }
    return this.#multipart(key, one, parts, onlyNew, metadata);
  }

  async #multipart(
    key: string,
    first: Buffer,
    rest: AsyncGenerator<Buffer>,
    onlyNew: boolean,
    metadata: Readonly<Record<string, string>>,
  ): Promise<number> {
    const at = { Bucket: this.#bucket, Key: key };
    const created = await this.#sent(() =>
      this.#client.send(new CreateMultipartUploadCommand({ ...at, ChecksumAlgorithm: 'SHA256', Metadata: { ...metadata } })),
    );
    const upload = { ...at, UploadId: created.UploadId };
    try {
      const done: { PartNumber: number; ETag: string | undefined; ChecksumSHA256?: string | undefined }[] = [];
      let bytes = 0;
      for (let part: Buffer | undefined = first; part !== undefined; ) {
        const [body, PartNumber] = [part, done.length + 1];
        if (PartNumber > MAX_PARTS) throw new RangeError(`${key} has more than ${(MAX_PARTS * PART) / 2 ** 30} GiB.`);
        const sent = await this.#sent(() =>
          this.#client.send(
            new UploadPartCommand({ ...upload, PartNumber, Body: body, ContentLength: body.length, ChecksumAlgorithm: 'SHA256' }),
          ),
        );
        done.push({ PartNumber, ETag: sent.ETag, ...(sent.ChecksumSHA256 && { ChecksumSHA256: sent.ChecksumSHA256 }) });
        bytes += body.length;
        const next = await rest.next();
        part = next.done === true ? undefined : next.value;
      }
      await this.#conditional(key, () =>
        this.#client.send(
          new CompleteMultipartUploadCommand({
            ...upload,
            MultipartUpload: { Parts: done },
            ...(onlyNew && { IfNoneMatch: '*' }),
          }),
        ),
      );
      return bytes;
    } catch (error) {
      // Its parts would be paid for; should this fail too, the bucket's lifecycle rule ends it.
      await this.#client.send(new AbortMultipartUploadCommand(upload)).catch(() => undefined);
      throw error;
    }
  }

  /** All keys that begin with `prefix`, in the order of S3. */
  async *list(prefix: string): AsyncGenerator<string> {
    for (let token: string | undefined; ; ) {
      const from = token;
      const page = await this.#sent(() =>
        this.#client.send(
          new ListObjectsV2Command({ Bucket: this.#bucket, Prefix: prefix, ...(from && { ContinuationToken: from }) }),
        ),
      );
      for (const one of page.Contents ?? []) if (one.Key !== undefined) yield one.Key;
      token = page.NextContinuationToken;
      if (token === undefined) return;
    }
  }

  async remove(keys: readonly string[]): Promise<void> {
    for (let i = 0; i < keys.length; i += DELETES) {
      const Objects = keys.slice(i, i + DELETES).map((Key) => ({ Key }));
      const answer = await this.#sent(() =>
        this.#client.send(new DeleteObjectsCommand({ Bucket: this.#bucket, Delete: { Objects, Quiet: true } })),
      );
      const [failed] = answer.Errors ?? [];
      if (failed !== undefined)
        throw this.#told(Object.assign(new Error('not deleted'), { name: failed.Code ?? 'InternalError' }));
    }
  }

  async #conditional(key: string, send: () => Promise<unknown>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await send();
        return;
      } catch (error) {
        if (statusOf(error) === 412) throw new Occupied(key, { cause: error });
        if (codeOf(error) !== 'ConditionalRequestConflict' || attempt === CONFLICT_TRIES) throw this.#told(error);
      }
    }
  }

  async #sent<T>(send: () => Promise<T>): Promise<T> {
    try {
      return await send();
    } catch (error) {
      throw this.#told(error);
    }
  }

  #told(error: unknown): unknown {
    return toldByAws(error, `The bucket ${this.#bucket}`);
  }
}

/**
 * S3 keeps a CRC-64/NVME of every object that came without a sum, Athena's too. A sum of sums (`COMPOSITE`) hangs on how an object was
 * cut into parts and says nothing of a copy. https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html, read 2026-11-25.
 */
function sumOf(found: HeadObjectCommandOutput): string | undefined {
  if (found.ChecksumType === 'COMPOSITE') return undefined;
  const sums = {
    sha256: found.ChecksumSHA256,
    crc64nvme: found.ChecksumCRC64NVME,
    crc32c: found.ChecksumCRC32C,
    crc32: found.ChecksumCRC32,
    sha1: found.ChecksumSHA1,
  };
  const [kept] = Object.entries(sums).filter(([, sum]) => sum !== undefined && !sum.includes('-'));
  return kept?.join(':');
}

/** Pieces of exactly `PART` bytes, and a last one of what is left. */
async function* inParts(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let size = 0;
  for await (const chunk of source) {
    held.push(chunk);
    size += chunk.length;
    while (size >= PART) {
      const all = Buffer.concat(held);
      yield all.subarray(0, PART);
      held = [all.subarray(PART)];
      size -= PART;
    }
  }
  if (size > 0) yield Buffer.concat(held);
}
