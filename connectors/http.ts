import { lookup } from 'node:dns';
import { Agent, type IncomingMessage, request, type RequestOptions } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { isIP, type Socket } from 'node:net';
import type * as z from 'zod';
import { DestinationBroken, type Http, type HttpResponse, RowsRefused, TryAgain } from '../core/connector.ts';
import { isLoopback, isPrivate } from './private-address.ts';

export interface HttpOptions {
  /** The destination's base address. A loopback endpoint is the only way to reach loopback addresses. */
  readonly endpoint?: string;
  /** For one exchange, connect to last byte. Milliseconds. */
  readonly timeoutMs?: number;
  /** Sockets a host; kept alive between requests. */
  readonly connections?: number;
  /** Of a response body; more is cut off as an error. */
  readonly maxResponseBytes?: number;
  /** `refuse` (default): no connection to private, link-local or metadata addresses. `allow`: for a proxy inside the company's network. */
  readonly privateAddresses?: 'refuse' | 'allow';
}

export type ClosableHttp = Http & { close(): Promise<void> };

const TIMEOUT_MS = 60_000;
const CONNECTIONS = 4;
const KEEP_ALIVE_MS = 30_000;
/** For name, connection and TLS, at most; and half of an exchange's time. */
const CONNECT_MS = 10_000;
/** Result files of jobs are the largest answers: Salesforce's failed rows reach tens of megabytes. */
const MAX_RESPONSE_BYTES = 64 * 1024 * 1024;

/**
 * HTTP for one destination: keep-alive, bounded connections, time and answer, no retries, no redirects, nothing logged.
 * Every status except a redirect is an answer. What fails below HTTP is `TryAgain`, with the host and the kind of failure and nothing else.
 */
export function createHttp(options: HttpOptions = {}): ClosableHttp {
  const { timeoutMs = TIMEOUT_MS, connections = CONNECTIONS, maxResponseBytes = MAX_RESPONSE_BYTES } = options;
  const allowPrivate = options.privateAddresses === 'allow';
  const allowLoopback = allowPrivate || isLoopbackUrl(options.endpoint);
  const settings = {
    keepAlive: true,
    maxSockets: connections,
    // Of a connection that nobody uses; an exchange has a deadline of its own.
    timeout: KEEP_ALIVE_MS,
    lookup: guardedLookup(allowLoopback, allowPrivate),
  };
  const agents = { 'http:': new Agent(settings), 'https:': new TlsAgent(settings) };
  const out = new Set<Promise<unknown>>();

  const exchange: Http = async ({ method, url, headers, body }) => {
    const target = addressOf(url);
    refuseHeaders(target.host, headers);
    refuseAddress(target, allowLoopback, allowPrivate);
    const agent = agents[target.protocol === 'http:' ? 'http:' : 'https:'];
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      // Said here, because Node says no length for a DELETE.
      const length = body !== undefined && { 'content-length': Buffer.byteLength(body) };
      const options = { agent, method, headers: { 'user-agent': 'sluice', ...headers, ...length }, signal };
      const answer = await answerTo(target, options, body, Math.min(timeoutMs / 2, CONNECT_MS));
      const text = await readText(answer, maxResponseBytes, target.host);
      const { statusCode: status = 0 } = answer;
      if (status >= 300 && status < 400 && status !== 304) {
        throw new DestinationBroken(
          `${target.host} answered with a redirect (HTTP ${status}); redirects are not followed.`,
          'Set `endpoint` (or the URL of the destination) to the address that answers itself.',
        );
      }
      return { status, headers: flat(answer.headers), text };
    } catch (error) {
      if (error instanceof TryAgain || error instanceof DestinationBroken) throw error;
      // Never as `cause`: errors of Node's parser carry bytes of the answer, which may hold people's data.
      const { kind, ambiguous } = signal.aborted ? LATE : failureOf(error);
      throw new TryAgain(`${target.host}: ${kind}.`, { ambiguous });
    }
  };
  const send: Http = (asked) => {
    const answer = exchange(asked);
    const ended = answer.catch(() => undefined).finally(() => out.delete(ended));
    out.add(ended);
    return answer;
  };
  return Object.assign(send, {
    async close() {
      await Promise.all(out);
      for (const agent of Object.values(agents)) agent.destroy();
    },
  });
}

/** Sends, and answers when the head of the answer is there. */
function answerTo(target: URL, options: RequestOptions, body: string | undefined, connectMs: number): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = (target.protocol === 'http:' ? request : tlsRequest)(target, options);
    sent.on('response', resolve).on('error', reject);
    sent.on('socket', (socket: Socket) => {
      if (!socket.connecting) return;
      const late = setTimeout(
        () => sent.destroy(Object.assign(new Error('No connection in time.'), { code: 'ETIMEDOUT' })),
        connectMs,
      );
      const connected = 'encrypted' in socket ? 'secureConnect' : 'connect';
      socket.once(connected, () => clearTimeout(late)).once('close', () => clearTimeout(late));
    });
    sent.end(body);
  });
}

/**
 * The address, exactly as it was put together: what a URL parser would take out or turn around (`..`, also written `%2e%2e`, a backslash, a
 * line break, a fragment) means that a value of somebody else's got into it, and the request would go elsewhere.
 */
function addressOf(url: string): URL {
  const [path = ''] = url.split('?');
  // oxlint-disable-next-line no-control-regex
  const strange = /[\u0000-\u0020\u007f\\#]/.test(url) || /\/(?:\.|%2e){1,2}(?:\/|$)/i.test(path);
  if (strange || !URL.canParse(url)) {
    throw new DestinationBroken(
      'The address of a request holds a part that leads elsewhere; nothing was sent.',
      'Compare the settings of the destination, and the id of its list at the platform, with what they should be.',
    );
  }
  return new URL(url);
}

/** A line break in a value would be a header, or a request, of its own. Neither name nor value is told: it may be a secret. */
function refuseHeaders(host: string, headers: Readonly<Record<string, string>> | undefined): void {
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (/^[!#$%&'*+.^_`|~\w-]+$/.test(name) && /^[\t\u0020-\u007e\u0080-\u00ff]*$/.test(value)) continue;
    throw new DestinationBroken(
      `A header of a request to ${host} holds a line break or another character that HTTP cannot carry; nothing was sent.`,
      'Look at the secret and the settings of the destination: a value was pasted with a line break, or with letters outside Latin-1.',
    );
  }
}

/** A folder is an endpoint too, of a connector that speaks no HTTP. */
const isLoopbackUrl = (endpoint = ''): boolean => URL.canParse(endpoint) && isLoopback(new URL(endpoint).hostname);

function flat(headers: IncomingMessage['headers']): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) result[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return result;
}

async function readText(body: IncomingMessage, max: number, host: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > max) throw new TryAgain(`${host}: the answer is larger than ${max} bytes and was cut off.`, { ambiguous: true });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Kinds of failure before a byte of the request left: the platform took nothing. */
const BEFORE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ETIMEDOUT: 'no connection in time',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ENOTFOUND: 'host name not found',
  EAI_AGAIN: 'host name could not be looked up',
};

/** After it may have left: the platform may have taken everything. */
const LATE = { kind: 'no complete answer in time', ambiguous: true };

function failureOf(error: unknown): { readonly kind: string; readonly ambiguous: boolean } {
  if (!(error instanceof Error)) return { kind: 'unknown failure', ambiguous: true };
  const inner: NodeJS.ErrnoException = error instanceof AggregateError ? (error.errors[0] as Error) : error;
  const { code = '', syscall } = inner;
  const before = BEFORE[code] ?? (TLS.test(code) ? `TLS failed (${code})` : undefined);
  if (before !== undefined) return { kind: before, ambiguous: false };
  // A connection that was reset says so by the system's call; one that was ended in the middle has the same code in Node, without one.
  const reset = code === 'EPIPE' || (code === 'ECONNRESET' && syscall !== undefined);
  if (reset) return { kind: 'connection reset', ambiguous: true };
  if (code === 'ECONNRESET') return { kind: 'connection closed before the answer was complete', ambiguous: true };
  if (code.startsWith('HPE_')) return { kind: 'the answer is not HTTP', ambiguous: true };
  return { kind: `transport failed${/^\w+$/.test(code) ? ` (${code})` : ''}`, ambiguous: true };
}

const TLS = /^(?:ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|EPROTO)/;

function refused(host: string): DestinationBroken {
  return new DestinationBroken(
    `${host} is a private address; nothing was sent.`,
    'Use a public address. A stand-in on this machine is reached by a loopback `endpoint` in the destination file.',
  );
}

function refuseAddress(url: URL, allowLoopback: boolean, allowPrivate: boolean): void {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (allowPrivate || (allowLoopback && isLoopback(host))) return;
  if (isLoopback(host) || (isIP(host) !== 0 && isPrivate(host))) throw refused(url.host);
}

/** Looks at what a name resolves to, at the moment of connecting: a check before that can be answered differently after it. */
function guardedLookup(allowLoopback: boolean, allowPrivate: boolean): typeof lookup {
  const guarded = (host: string, options: object, done: (error: Error | null, ...rest: unknown[]) => void): void => {
    lookup(host, options, (error: Error | null, address: unknown, family: unknown) => {
      const addresses = Array.isArray(address) ? address.map((one: { address: string }) => one.address) : [String(address)];
      const bad = (one: string): boolean => isPrivate(one) && !(allowLoopback && isLoopback(one));
      if (error === null && !allowPrivate && addresses.some(bad)) done(refused(host));
      else done(error, address, family);
    });
  };
  return guarded as unknown as typeof lookup;
}

/**
 * Milliseconds until a `Retry-After` (seconds or a date) has passed; undefined without one. `now` in epoch milliseconds.
 * RFC 9110, 10.2.3.
 */
export function retryAfter(headers: Readonly<Record<string, string>>, now: number): number | undefined {
  const value = headers['retry-after']?.trim();
  if (value === undefined || value === '') return undefined;
  if (/^\d+(?:\.\d+)?$/.test(value)) return Math.ceil(Number(value) * 1000);
  const date = /^[A-Z][a-z]{2,8},? /.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/**
 * The answer as JSON. Integers beyond 2^53 come as strings of their digits, so that no id is rounded.
 * A body that is no JSON (a proxy's HTML page, half an answer) is `TryAgain`.
 */
export function json(response: HttpResponse): unknown {
  try {
    if (!/\d{16}/.test(response.text)) return JSON.parse(response.text);
    return JSON.parse(response.text, keepDigits);
  } catch {
    const kind = /^\s*</.test(response.text) ? 'an HTML page' : 'no complete JSON';
    throw new TryAgain(`The answer (HTTP ${response.status}, ${response.text.length} characters) is ${kind}.`, {
      ambiguous: true,
    });
  }
}

/** The answer as JSON of this shape. Success in another form than the platform documents is `TryAgain`: nobody knows what was done. */
export function read<T>(platform: string, schema: z.ZodType<T>, response: HttpResponse): T {
  const parsed = schema.safeParse(json(response));
  if (parsed.success) return parsed.data;
  throw undocumented(platform, response);
}

export const undocumented = (platform: string, { status }: Pick<HttpResponse, 'status'>): TryAgain =>
  new TryAgain(`${platform} answered HTTP ${status} in a form it does not document.`, { ambiguous: true });

/** ECMAScript 2026 gives revivers the source text of a number. */
const keepDigits = ((_key: string, value: unknown, context?: { source?: string }) =>
  typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? '')
    ? context?.source
    : value) as (key: string, value: unknown) => unknown;

/**
 * The error an unsuccessful status means on most platforms. A connector looks at its platform's own codes first and comes here last.
 * 401, 403, 404, 410: `DestinationBroken`; 408, 425, 429, 5xx: `TryAgain`; any other 4xx: `RowsRefused`, unexplained.
 * `code` is the platform's own code for it, a word; never pass its message, which may repeat a person's data.
 */
export function statusError(
  platform: string,
  response: HttpResponse,
  options: { readonly now: number; readonly code?: string; readonly wayOut?: string },
): TryAgain | RowsRefused | DestinationBroken {
  const { status } = response;
  const code = options.code === undefined ? '' : `, ${reasonCode(options.code)}`;
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    const afterMs = retryAfter(response.headers, options.now);
    // A gateway's 5xx says nothing about whether the work behind it was done.
    const ambiguous = status === 408 || status >= 500;
    return new TryAgain(`${platform} answered HTTP ${status}${code}.`, { afterMs, throttled: status === 429, ambiguous });
  }
  const wayOut = options.wayOut ?? WAYS_OUT[status];
  if (wayOut !== undefined && WAYS_OUT[status] !== undefined) {
    return new DestinationBroken(`${platform} answered HTTP ${status}${code}.`, wayOut);
  }
  return new RowsRefused(options.code === undefined ? `http-${status}` : reasonCode(options.code));
}

const WAYS_OUT: Readonly<Record<number, string>> = {
  401: 'The credentials were refused or have expired: renew them and put them into the secret of the destination.',
  403: 'The credentials lack a permission: give them the scopes named on the connector page of the docs.',
  404: 'The account or list is not there: compare the settings of the destination with the platform.',
  410: 'The address is gone for good: correct the destination file, or remove its syncs.',
};

/** A platform's error code fit for outcomes and logs: letters, digits and `._:-`, at most 64. Anything else, which could be a person's data, is `refused`. */
export const reasonCode = (code: unknown): string => {
  const text = typeof code === 'number' ? String(code) : typeof code === 'string' ? code.trim() : '';
  return /^[A-Za-z][\w.:-]{0,63}$|^\d{1,9}$/.test(text) ? text : 'refused';
};
