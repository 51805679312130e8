import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { DestinationBroken, TryAgain } from '../core/connector.ts';
import { type Drop, sumOf } from './drop.ts';

export interface BucketDrop {
  /** `s3://bucket/prefix`, checked. */
  readonly address: string;
  /** Undefined: what the environment says. */
  readonly region: string | undefined;
  /** Twelve digits: S3 refuses everything when the bucket is somebody else's. */
  readonly owner: string | undefined;
  /** Another S3 than that of AWS. */
  readonly endpoint: string | undefined;
}

/** Of one request, connect to last byte, as for every other destination (http.ts). Milliseconds. */
const TIMEOUT = { connectionTimeout: 10_000, requestTimeout: 60_000, throwOnRequestTimeout: true };
/** A client an endpoint and region, for as long as the process lives: its connections are kept. Credentials are the machine's, or the role's. */
const clients = new Map<string, S3Client>();
function clientFor({ region, endpoint }: BucketDrop): S3Client {
  const key = JSON.stringify([region, endpoint]);
  const client =
    clients.get(key) ??
    new S3Client({
      // Trying again is the engine's: it knows the budget, and what may have been taken.
      maxAttempts: 1,
      requestHandler: TIMEOUT,
      ...(region !== undefined && { region }),
      // A stand-in, or S3 of another maker, has no host name a bucket.
      ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
    });
  clients.set(key, client);
  return client;
}

/** A prefix of a bucket. How it is encrypted at rest is the bucket's own setting. */
export function s3Drop(options: BucketDrop): Drop {
  const client = clientFor(options);
  const [, bucket = '', prefix = ''] = /^s3:\/\/([^/]+)(?:\/(.*))?$/.exec(options.address) ?? [];
  const keyOf = (name: string): string => [prefix, name].filter((part) => part !== '').join('/');
  const at = { Bucket: bucket, ...(options.owner !== undefined && { ExpectedBucketOwner: options.owner }) };

  const get = async (name: string): Promise<Buffer> => {
    const { Body } = await client.send(new GetObjectCommand({ ...at, Key: keyOf(name) }));
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  };
  const keys = async (wanted: string): Promise<readonly string[]> => {
    const found: string[] = [];
    for (let token: string | undefined; ; ) {
      const ContinuationToken = token;
      const page = await client.send(
        new ListObjectsV2Command({ ...at, Prefix: wanted, Delimiter: '/', ...(ContinuationToken && { ContinuationToken }) }),
      );
      for (const { Key } of page.Contents ?? []) if (Key !== undefined) found.push(Key);
      token = page.NextContinuationToken;
      if (token === undefined) return found;
    }
  };

  return {
    // A bucket has no folders.
    prepare: async () => undefined,
    write: (name, content, once) =>
      touching(async () => {
        try {
          await client.send(
            new PutObjectCommand({
              ...at,
              Key: keyOf(name),
              Body: content,
              ContentLength: content.length,
              ChecksumAlgorithm: 'SHA256',
              ...(once && { IfNoneMatch: '*' }),
            }),
          );
        } catch (error) {
          if (!once || statusOf(error) !== 412) throw error;
          // Also what a request that was sent twice finds: its own first.
          if (content.equals(await get(name))) return;
          throw new DestinationBroken(
            'Another object stands where a part of this run is to go, with other content; it was left as it is.',
            'Look who else writes under this prefix, and give the destination one of its own in `folder`.',
          );
        }
      }),
    read: (name) =>
      touching(async () => {
        // Looked for before it is asked for: a role that may list under one prefix is told 403, and not 404, of an object that is not there.
        const key = keyOf(name);
        return (await keys(key)).includes(key) ? get(name) : undefined;
      }),
    list: (folder) =>
      touching(async () => {
        const within = `${keyOf(folder)}/`;
        return (await keys(within)).map((key) => key.slice(within.length)).toSorted();
      }),
    sum: (name) =>
      touching(async () => {
        // S3 took the object by this checksum: it need not be read back.
        const head = await client.send(new HeadObjectCommand({ ...at, Key: keyOf(name), ChecksumMode: 'ENABLED' }));
        if (head.ChecksumSHA256 === undefined || head.ContentLength === undefined) return sumOf(await get(name));
        return { bytes: head.ContentLength, sha256: Buffer.from(head.ChecksumSHA256, 'base64').toString('hex') };
      }),
    remove: (name) => touching(async () => void (await client.send(new DeleteObjectCommand({ ...at, Key: keyOf(name) })))),
  };
}

const RIGHTS =
  'Let the role that writes do s3:PutObject, s3:GetObject and s3:ListBucket there, s3:DeleteObject on `.open`, and use the key of the bucket; ' +
  'look at `bucket_owner` too, where it is set.';
const CREDENTIALS = 'Give the process credentials of AWS that are valid (environment, profile or role), then run the sync again.';
const REGION = 'Set `region` of the destination to the region of the bucket.';

/** Code of S3 -> way out. https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, read 2026-11-25. */
const WAYS_OUT: Readonly<Record<string, string>> = {
  AccessDenied: RIGHTS,
  // A HEAD has no body that would say more.
  Forbidden: RIGHTS,
  AllAccessDisabled: RIGHTS,
  'KMS.DisabledException': 'Enable the KMS key that encrypts the bucket.',
  'KMS.NotFoundException': 'Give the bucket a KMS key that is there.',
  NoSuchBucket: 'Make the bucket, or set another `folder`.',
  InvalidBucketName: 'Set another `folder`: this is no name of a bucket.',
  PermanentRedirect: REGION,
  AuthorizationHeaderMalformed: REGION,
  IllegalLocationConstraintException: REGION,
  ExpiredToken: CREDENTIALS,
  InvalidAccessKeyId: CREDENTIALS,
  InvalidToken: CREDENTIALS,
  SignatureDoesNotMatch: CREDENTIALS,
  CredentialsProviderError: CREDENTIALS,
  NotImplemented:
    'This S3 does not know conditional writes (If-None-Match), without which a part could be written over: set another `folder`.',
};
/** Asked for less: nothing was taken. */
const THROTTLED = new Set(['SlowDown', 'Throttling', 'ThrottlingException', 'RequestLimitExceeded', 'TooManyRequestsException']);
/** Before a byte of the request left. */
const BEFORE = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

const statusOf = (error: unknown): number | undefined =>
  (error as { $metadata?: { httpStatusCode?: number } } | null)?.$metadata?.httpStatusCode;

/** What S3 refuses, in the kinds of a connector. Never with its error as `cause`: that one holds the request. */
async function touching<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DestinationBroken || error instanceof TryAgain) throw error;
    const { name = '', message = '', code: system } = error as { name?: string; message?: string; code?: unknown };
    const status = statusOf(error);
    const code = typeof system === 'string' && /^[A-Z_]+$/.test(system) ? system : /^[\w.]{1,60}$/.test(name) ? name : 'unknown';
    if (message === 'Region is missing') throw new DestinationBroken('The bucket cannot be reached (no region).', REGION);
    const wayOut = WAYS_OUT[name] ?? (status === 403 ? RIGHTS : status === 301 ? REGION : undefined);
    if (wayOut !== undefined) throw new DestinationBroken(`The bucket cannot be written (${code}).`, wayOut);
    const throttled = THROTTLED.has(name) || status === 429;
    throw new TryAgain(`The bucket cannot be written now (${code}).`, {
      throttled,
      ambiguous: !throttled && !BEFORE.has(code),
    });
  }
}
