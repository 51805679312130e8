import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';

/**
 * S3 over a folder, strict where the product leans on it: conditional writes and deletes, checksums, an immutable view of what is being read,
 * listings in the order of keys and page by page. An object is the file `<root>/<bucket>/<key>`, so that an engine can read and write it
 * as a file. Speaks to the AWS SDKs for JavaScript (v3) and Java (v2): path style, aws-chunked bodies, multipart uploads.
 */
export interface S3Server {
  /** `http://127.0.0.1:port` */
  readonly endpoint: string;
  /** Every request so far, as `PUT /bucket/key`. */
  readonly requests: readonly string[];
  /** The next requests that match are answered with this error; the rest of the world goes on. Status 0: done, and the connection cut before the answer. */
  fail(match: RegExp, status: number, code: string, times?: number): void;
  /** Takes back what `fail` and `before` set. */
  heal(): void;
  /** Calls somebody once, when the first request that matches has come and nothing was done for it. */
  before(match: RegExp, call: () => void): void;
  close(): Promise<void>;
}

/** The account that every bucket belongs to. */
export const OWNER = '111122223333';

interface Upload {
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly parts: Map<number, Buffer>;
}

/** @param root an existing folder; its folders are the buckets */
export async function startS3(root: string): Promise<S3Server> {
  const requests: string[] = [];
  const faults: { match: RegExp; status: number; code: string; times: number }[] = [];
  const calls: { match: RegExp; call: () => void }[] = [];
  const headers = new Map<string, Readonly<Record<string, string>>>();
  /** Of listed files as they were. */
  const etags = new Map<string, string>();
  const uploads = new Map<string, Upload>();
  /** Objects that were uploaded in parts. */
  const inParts = new Set<string>();
  let made = 0;

  const pathOf = (bucket: string, key: string): string => join(root, bucket, ...key.split('/'));
  const isObject = (path: string): boolean => existsSync(path) && statSync(path).isFile();
  const etagOf = (content: Buffer): string => `"${createHash('md5').update(content).digest('hex')}"`;

  function handle(request: IncomingMessage, body: Buffer, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://s3');
    const [bucket = '', ...rest] = url.pathname.slice(1).split('/').map(decodeURIComponent);
    const key = rest.join('/');
    const { method = 'GET' } = request;
    requests.push(`${method} /${bucket}/${key}`);
    const at = calls.findIndex((one) => one.match.test(`${method} /${bucket}/${key}`));
    if (at !== -1) for (const { call } of calls.splice(at, 1)) call();
    const fault = faults.find((one) => one.times > 0 && one.match.test(`${method} /${bucket}/${key}`));
    if (fault) {
      fault.times -= 1;
      if (fault.status !== 0) return refuse(response, fault.status, fault.code);
      response.end = () => response.destroy();
    }
    const { 'x-amz-expected-bucket-owner': owner = OWNER } = request.headers;
    if (owner !== OWNER) return refuse(response, 403, 'AccessDenied');
    if (!existsSync(join(root, bucket)) || bucket === '') return refuse(response, 404, 'NoSuchBucket');
    if (key === '' || rest.every((part) => part === '')) {
      if (method === 'POST' && url.searchParams.has('delete')) return removeMany(bucket, body, response);
      if (method === 'GET' && url.searchParams.has('location'))
        return xml(response, '<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>');
      return method === 'GET' ? list(bucket, url.searchParams, response) : send(response, 200);
    }
    if (key.split('/').some((part) => part === '..' || part === '.')) return refuse(response, 400, 'InvalidArgument');
    if (url.searchParams.has('uploads') || url.searchParams.has('uploadId'))
      return multipart(bucket, key, method, url.searchParams, request, body, response);
    switch (method) {
      case 'PUT':
        return put(bucket, key, request, body, response);
      case 'GET':
      case 'HEAD':
        return get(bucket, key, request, response);
      case 'DELETE':
        return remove(bucket, key, request, response);
      default:
        return refuse(response, 405, 'MethodNotAllowed');
    }
  }

  /** Looks and writes without giving way in between: of writers at once, one wins. */
  function put(bucket: string, key: string, request: IncomingMessage, body: Buffer, response: ServerResponse): void {
    const path = pathOf(bucket, key);
    const source = request.headers['x-amz-copy-source'];
    const content = typeof source === 'string' ? copied(source) : body;
    if (content === undefined) return refuse(response, 404, 'NoSuchKey');
    const current = isObject(path) ? etagOf(readFileSync(path)) : undefined;
    const { 'if-match': match, 'if-none-match': none } = request.headers;
    if (none !== undefined && none !== '*') return refuse(response, 501, 'NotImplemented');
    if (none === '*' && current !== undefined) return refuse(response, 412, 'PreconditionFailed');
    if (match !== undefined && current === undefined) return refuse(response, 404, 'NoSuchKey');
    if (match !== undefined && match !== current) return refuse(response, 412, 'PreconditionFailed');
    const sha = request.headers['x-amz-checksum-sha256'];
    if (typeof sha === 'string' && sha !== createHash('sha256').update(content).digest('base64'))
      return refuse(response, 400, 'BadDigest');
    store(bucket, key, content, keptHeaders(request));
    if (source === undefined) return send(response, 200, { ETag: etagOf(content) });
    xml(response, `<CopyObjectResult><ETag>${escaped(etagOf(content))}</ETag></CopyObjectResult>`);
  }

  function copied(source: string): Buffer | undefined {
    const [bucket = '', ...rest] = decodeURIComponent(source).replace(/^\//, '').split('/');
    const path = pathOf(bucket, rest.join('/'));
    return isObject(path) ? readFileSync(path) : undefined;
  }

  function store(bucket: string, key: string, content: Buffer, kept: Readonly<Record<string, string>>): void {
    const path = pathOf(bucket, key);
    // A key that ends in a slash is an empty object that stands for a folder.
    if (key.endsWith('/')) return void mkdirSync(path, { recursive: true });
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    inParts.delete(`${bucket}/${key}`);
    headers.set(`${bucket}/${key}`, kept);
  }

  function get(bucket: string, key: string, request: IncomingMessage, response: ServerResponse): void {
    const path = pathOf(bucket, key);
    if (!isObject(path)) return refuse(response, 404, request.method === 'HEAD' ? 'NotFound' : 'NoSuchKey');
    const content = readFileSync(path);
    const etag = etagOf(content);
    if (request.headers['if-match'] !== undefined && request.headers['if-match'] !== etag)
      return refuse(response, 412, 'PreconditionFailed');
    if (request.headers['if-none-match'] === etag) return send(response, 304, { ETag: etag });
    const base = {
      ETag: etag,
      'Last-Modified': statSync(path).mtime.toUTCString(),
      'Accept-Ranges': 'bytes',
      'Content-Type': 'binary/octet-stream',
      ...headers.get(`${bucket}/${key}`),
      ...(request.method === 'HEAD' && request.headers['x-amz-checksum-mode'] === 'ENABLED' && sumOf(bucket, key, content)),
    };
    const range = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '');
    if (range === null) return send(response, 200, base, content, request.method === 'HEAD');
    const [, from = '', to = ''] = range;
    const start = from === '' ? Math.max(0, content.length - Number(to)) : Number(from);
    const end = from === '' || to === '' ? content.length : Math.min(content.length, Number(to) + 1);
    if (start >= content.length) return refuse(response, 416, 'InvalidRange');
    const part = content.subarray(start, end);
    send(response, 206, { ...base, 'Content-Range': `bytes ${start}-${end - 1}/${content.length}` }, part);
  }

  /** S3 keeps a sum of every object: the one it came with, else its own. Of what was uploaded in parts it is one of the parts' sums. */
  function sumOf(bucket: string, key: string, content: Buffer): Readonly<Record<string, string>> {
    if (headers.get(`${bucket}/${key}`)?.['x-amz-checksum-sha256'] !== undefined) return { 'x-amz-checksum-type': 'FULL_OBJECT' };
    if (inParts.has(`${bucket}/${key}`))
      return {
        'x-amz-checksum-type': 'COMPOSITE',
        'x-amz-checksum-sha256': `${createHash('sha256').update(content).digest('base64')}-2`,
      };
    const sum = Buffer.alloc(8);
    sum.writeBigUInt64BE(crc64nvme(content));
    return { 'x-amz-checksum-type': 'FULL_OBJECT', 'x-amz-checksum-crc64nvme': sum.toString('base64') };
  }

  function remove(bucket: string, key: string, request: IncomingMessage, response: ServerResponse): void {
    const path = pathOf(bucket, key);
    const match = request.headers['if-match'];
    if (match !== undefined && !isObject(path)) return refuse(response, 404, 'NoSuchKey');
    if (match !== undefined && match !== etagOf(readFileSync(path))) return refuse(response, 412, 'PreconditionFailed');
    if (isObject(path)) rmSync(path);
    send(response, 204);
  }

  function removeMany(bucket: string, body: Buffer, response: ServerResponse): void {
    const keys = [...body.toString().matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key = '']) => unescaped(key));
    if (keys.length > 1000) return refuse(response, 400, 'MalformedXML');
    for (const key of keys) if (isObject(pathOf(bucket, key))) rmSync(pathOf(bucket, key));
    xml(response, `<DeleteResult>${keys.map((key) => `<Deleted><Key>${escaped(key)}</Key></Deleted>`).join('')}</DeleteResult>`);
  }

  function list(bucket: string, query: URLSearchParams, response: ServerResponse): void {
    const prefix = query.get('prefix') ?? '';
    const delimiter = query.get('delimiter') ?? '';
    const most = Math.min(1000, Number(query.get('max-keys') ?? 1000));
    const after = query.get('continuation-token') ?? query.get('start-after') ?? '';
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    const keys = keysIn(join(root, bucket, folder), folder).filter((key) => key.startsWith(prefix));
    const groups = new Map<string, string | undefined>();
    for (const key of keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))) {
      const cut = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
      groups.set(cut === -1 ? key : key.slice(0, cut + delimiter.length), cut === -1 ? key : undefined);
    }
    const left = [...groups].filter(([name]) => name > after);
    const page = left.slice(0, most);
    const coded =
      query.get('encoding-type') === 'url' ? (name: string) => encodeURIComponent(name).replaceAll('%2F', '/') : escaped;
    const entries = page.map(([name, key]) => {
      if (key === undefined) return `<CommonPrefixes><Prefix>${coded(name)}</Prefix></CommonPrefixes>`;
      const { size, mtime, mtimeMs } = statSync(pathOf(bucket, key));
      const known = `${bucket}/${key} ${mtimeMs} ${size}`;
      const etag = etags.get(known) ?? etagOf(readFileSync(pathOf(bucket, key)));
      etags.set(known, etag);
      return `<Contents><Key>${coded(key)}</Key><LastModified>${mtime.toISOString()}</LastModified><ETag>${escaped(etag)}</ETag><Size>${size}</Size><StorageClass>STANDARD</StorageClass></Contents>`;
    });
    const more = left.length > page.length;
    const next = more ? `<NextContinuationToken>${escaped(page.at(-1)?.[0] ?? '')}</NextContinuationToken>` : '';
    xml(
      response,
      `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${bucket}</Name><Prefix>${coded(prefix)}</Prefix><KeyCount>${page.length}</KeyCount><MaxKeys>${most}</MaxKeys><IsTruncated>${more}</IsTruncated>${next}${entries.join('')}</ListBucketResult>`,
    );
  }

  function multipart(
    bucket: string,
    key: string,
    method: string,
    query: URLSearchParams,
    request: IncomingMessage,
    body: Buffer,
    response: ServerResponse,
  ): void {
    if (method === 'POST' && query.has('uploads')) {
      const id = `upload-${++made}`;
      uploads.set(id, { key: `${bucket}/${key}`, headers: keptHeaders(request), parts: new Map() });
      return xml(
        response,
        `<InitiateMultipartUploadResult><Bucket>${bucket}</Bucket><Key>${escaped(key)}</Key><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
      );
    }
    const id = query.get('uploadId') ?? '';
    const upload = uploads.get(id);
    if (upload?.key !== `${bucket}/${key}`) return refuse(response, 404, 'NoSuchUpload');
    if (method === 'PUT') {
      upload.parts.set(Number(query.get('partNumber')), body);
      return send(response, 200, { ETag: etagOf(body) });
    }
    if (method === 'POST' && request.headers['if-none-match'] === '*' && isObject(pathOf(bucket, key)))
      return refuse(response, 412, 'PreconditionFailed');
    uploads.delete(id);
    if (method === 'DELETE') return send(response, 204);
    const content = Buffer.concat([...upload.parts].toSorted(([a], [b]) => a - b).map(([, part]) => part));
    store(bucket, key, content, upload.headers);
    inParts.add(`${bucket}/${key}`);
    xml(response, `<CompleteMultipartUploadResult><ETag>${escaped(etagOf(content))}</ETag></CompleteMultipartUploadResult>`);
  }

  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      try {
        handle(request, bodyOf(request, Buffer.concat(chunks)), response);
      } catch (error) {
        refuse(response, 500, 'InternalError', String(error));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    heal() {
      faults.splice(0);
      calls.splice(0);
    },
    before: (match, call) => void calls.push({ match, call }),
    fail: (match, status, code, times = 1) => void faults.push({ match, status, code, times }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const CRC = Array.from({ length: 256 }, (_, byte) => {
  let value = BigInt(byte);
  for (let bit = 0; bit < 8; bit++) value = (value & 1n) === 1n ? (value >> 1n) ^ 0x9a6c9329ac4bc9b5n : value >> 1n;
  return value;
});

/** CRC-64/NVME of small objects; https://reveng.sourceforge.io/crc-catalogue/17plus.htm, read 2026-11-25. */
function crc64nvme(content: Buffer): bigint {
  let value = 0xffffffffffffffffn;
  for (const byte of content) value = (CRC[Number((value ^ BigInt(byte)) & 0xffn)] ?? 0n) ^ (value >> 8n);
  return value ^ 0xffffffffffffffffn;
}

/** A body as it is stored: SDKs send it in signed or check-summed chunks. */
function bodyOf(request: IncomingMessage, sent: Buffer): Buffer {
  const streamed = String(request.headers['x-amz-content-sha256'] ?? '').startsWith('STREAMING-');
  if (!streamed && !String(request.headers['content-encoding'] ?? '').includes('aws-chunked')) return sent;
  const parts: Buffer[] = [];
  for (let at = 0; at < sent.length; ) {
    const line = sent.indexOf('\r\n', at);
    const size = Number.parseInt(sent.subarray(at, line).toString(), 16);
    if (!(size > 0)) break;
    parts.push(sent.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
  }
  return Buffer.concat(parts);
}

function keptHeaders(request: IncomingMessage): Readonly<Record<string, string>> {
  const kept = Object.entries(request.headers).flatMap(([name, value]): [string, string][] => {
    if (typeof value !== 'string' || !/^(x-amz-meta-.*|content-type|x-amz-checksum-sha256)$/.test(name)) return [];
    return [[name, value]];
  });
  const encoding = String(request.headers['content-encoding'] ?? '').replace(/,?\s*aws-chunked,?\s*/, '');
  return Object.fromEntries([...kept, ...(encoding === '' ? [] : [['content-encoding', encoding] as const])]);
}

function keysIn(folder: string, prefix: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? keysIn(join(folder, entry.name), `${prefix}${entry.name}/`) : [`${prefix}${entry.name}`],
  );
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
const unescaped = (text: string): string =>
  text.replaceAll('&quot;', '"').replaceAll('&gt;', '>').replaceAll('&lt;', '<').replaceAll('&amp;', '&');

function send(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>> = {},
  content: Buffer = Buffer.alloc(0),
  head = false,
): void {
  response.writeHead(status, { ...headers, 'Content-Length': content.length });
  response.end(head ? undefined : content);
}

const xml = (response: ServerResponse, text: string): void =>
  send(response, 200, { 'Content-Type': 'application/xml' }, Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n${text}`));

function refuse(response: ServerResponse, status: number, code: string, message = code): void {
  const text = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${escaped(message)}</Message></Error>`;
  send(response, status, { 'Content-Type': 'application/xml' }, Buffer.from(text), response.req.method === 'HEAD');
}
