import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { lookup } from 'node:dns/promises';
import { hostname } from 'node:os';
import { inspect } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { type ClosableHttp, createHttp, json, reasonCode, retryAfter, statusError } from '../../connectors/http.ts';
import { isLoopback, isPrivate } from '../../connectors/private-address.ts';
import type { HttpResponse } from '../../core/connector.ts';

const CANARY = 'canary@example.com';
const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  open.push({
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
const serving = (handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> =>
  listening(createHttpServer(handle));
/** Answers every connection with these bytes, and ends it. */
const raw = (bytes: string, end: (socket: Socket) => void = (socket) => socket.end()): Promise<string> =>
  listening(
    createServer((socket) => socket.on('error', () => undefined).once('data', () => socket.write(bytes, () => end(socket)))),
  );
const client = (host: string, over: object = {}): ClosableHttp => {
  const http = createHttp({ endpoint: `http://${host}`, timeoutMs: 500, ...over });
  open.push(http);
  return http;
};
const post = (http: ClosableHttp, host: string): Promise<unknown> =>
  http({
    method: 'POST',
    url: `http://${host}/users/${CANARY}?token=${CANARY}`,
    headers: { authorization: CANARY },
    body: CANARY,
  }).then(
    () => 'answered',
    (error: unknown) => error,
  );

describe('one exchange', () => {
  test('answers with status, lower-case headers and text, whatever the status', async () => {
    let agent: string | undefined;
    const host = await serving((request, response) => {
      agent = request.headers['user-agent'];
      response.writeHead(418, { 'X-Some': ['a', 'b'], 'Content-Type': 'text/plain' });
      request.pipe(response);
    });
    const http = client(host);
    const answer = await http({ method: 'POST', url: `http://${host}/`, headers: { 'x-in': '1' }, body: 'naïve 𐍈' });
    expect(answer).toMatchObject({ status: 418, text: 'naïve 𐍈', headers: { 'x-some': 'a, b', 'content-type': 'text/plain' } });
    expect(agent).toBe('sluice');
  });

  test.each(['POST', 'PUT', 'PATCH', 'DELETE'] as const)('sends a body with %s, and its length', async (method) => {
    const host = await serving((request, response) => {
      response.setHeader('x-length', request.headers['content-length'] ?? 'none');
      request.pipe(response);
    });
    const answer = await client(host)({ method, url: `http://${host}/`, body: 'naïve' });
    expect(answer).toMatchObject({ text: 'naïve', headers: { 'x-length': '6' } });
  });

  test('keeps its connections, and opens no more than it may', async () => {
    const sockets = new Set<Socket>();
    const host = await serving((request, response) => {
      sockets.add(request.socket);
      setTimeout(() => response.end('ok'), 5);
    });
    const http = client(host, { connections: 2 });
    await Promise.all(Array.from({ length: 20 }, () => http({ method: 'GET', url: `http://${host}/` })));
    expect(sockets.size).toBe(2);
  });

  test('never follows a redirect: the destination is broken', async () => {
    let asked = 0;
    const host = await serving((_, response) => {
      asked += 1;
      response.writeHead(307, { location: `http://${host}/elsewhere` }).end();
    });
    expect(await post(client(host), host)).toMatchObject({
      name: 'DestinationBroken',
      message: expect.stringContaining('redirect (HTTP 307)'),
    });
    expect(asked).toBe(1);
  });

  test.each([
    ['no answer in time', 'no complete answer in time', true, () => raw('', () => undefined)],
    [
      'half an answer in time, the rest never',
      'no complete answer in time',
      true,
      () => raw('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc', () => undefined),
    ],
    [
      'half an answer',
      'connection closed before the answer was complete',
      true,
      () => raw('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc'),
    ],
    [
      'a chunk cut off',
      'connection closed before the answer was complete',
      true,
      () => raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc'),
    ],
    ['no word', 'connection closed before the answer was complete', true, () => raw('')],
    ['a reset', 'connection reset', true, () => raw('', (socket) => socket.resetAndDestroy())],
    ['an answer that is not HTTP', 'the answer is not HTTP', true, () => raw(`${CANARY} hello\r\n\r\n`)],
    ['a refused connection', 'connection refused', false, () => Promise.resolve('127.0.0.1:9')],
    [
      'an answer without end',
      'the answer is larger than 1000 bytes and was cut off',
      true,
      () => serving((_, response) => response.end('x'.repeat(1001))),
    ],
  ])('%s is tried again, and the error says host and kind and nothing else', async (_, kind, ambiguous, start) => {
    const host = await start();
    const error = await post(client(host, { maxResponseBytes: 1000 }), host);
    expect(error).toMatchObject({ name: 'TryAgain', message: `${host}: ${kind}.`, ambiguous, throttled: false });
    expect(inspect(error, { depth: 20 })).not.toContain('canary');
  });

  test('a name that is nowhere is tried again: the network may be down', async () => {
    const error = await post(client('127.0.0.1:1', { timeoutMs: 5000 }), 'no-such-host.invalid');
    expect(error).toMatchObject({
      name: 'TryAgain',
      message: expect.stringMatching(/^no-such-host\.invalid: host name (?:not found|could not be looked up)\.$/),
    });
  });

  test('TLS that fails is tried again, and nothing has left', async () => {
    const host = await raw('not TLS');
    const error = await client(host)({ method: 'GET', url: `https://${host}/` }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      name: 'TryAgain',
      message: expect.stringMatching(/: TLS failed \(\w+\)\.$/),
      ambiguous: false,
    });
  });

  test('a connection that does not come about is tried again, and nothing has left', async () => {
    const host = await raw('', () => undefined);
    const http = client(host, { timeoutMs: 1000 });
    const error = await http({ method: 'POST', url: `https://${host}/`, body: CANARY }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'TryAgain', message: `${host}: no connection in time.`, ambiguous: false });
  });

  test('what is out comes home before its connections are closed', async () => {
    const host = await serving((_, response) => setTimeout(() => response.end('home'), 50));
    const http = client(host);
    const answer = http({ method: 'GET', url: `http://${host}/` });
    await http.close();
    expect(await answer).toMatchObject({ status: 200, text: 'home' });
  });
});

const own = hostname();
const resolved = await lookup(own).then(
  ({ address }) => isPrivate(address),
  () => false,
);

describe('private addresses', () => {
  test.each([
    '10.0.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '127.0.0.1',
    '100.64.0.1',
    '0.0.0.0',
    '::1',
    'fd00::1',
    'fe80::1',
    '::ffff:10.0.0.1',
    '64:ff9b:1::1',
  ])('%s is one', (address) => expect(isPrivate(address)).toBe(true));
  test.each(['8.8.8.8', '172.32.0.1', '2606:4700::1111', '::ffff:8.8.8.8'])('%s is none', (address) =>
    expect(isPrivate(address)).toBe(false),
  );
  test.each(['localhost', 'a.localhost', '127.0.0.1', '127.9.9.9', '[::1]', 'LOCALHOST'])('%s is this machine', (host) =>
    expect(isLoopback(host)).toBe(true),
  );

  test.each([
    ['cloud metadata', 'http://169.254.169.254/latest/meta-data'],
    ['a private address', 'https://10.1.2.3/'],
    ['a private address in a number', 'http://0x0a000001/'],
    ['a private IPv6 address', 'http://[fd00::1]/'],
    ['this machine', 'http://127.0.0.1:9/'],
    ['a name of this machine', 'http://localhost:9/'],
  ])('%s is refused, when the endpoint is a public one', async (_, url) => {
    const http = createHttp({ endpoint: 'https://hooks.example.com', timeoutMs: 500 });
    open.push(http);
    await expect(http({ method: 'GET', url })).rejects.toMatchObject({
      name: 'DestinationBroken',
      message: expect.stringContaining('private address'),
    });
  });

  test.skipIf(!resolved)(
    `a name that resolves to a private address is refused at the moment of connecting${resolved ? '' : ' (SKIPPED: the name of this machine does not)'}`,
    async () => {
      const http = createHttp({ endpoint: 'https://hooks.example.com', timeoutMs: 2000 });
      open.push(http);
      await expect(http({ method: 'GET', url: `http://${own}:9/` })).rejects.toMatchObject({
        name: 'DestinationBroken',
        message: `${own} is a private address; nothing was sent.`,
      });
    },
  );

  test('a loopback endpoint opens loopback and nothing else', async () => {
    const host = await serving((_, response) => response.end('ok'));
    const http = client(host);
    expect(await http({ method: 'GET', url: `http://localhost:${host.split(':')[1]}/` }).then(({ text }) => text)).toBe('ok');
    await expect(http({ method: 'GET', url: 'http://10.1.2.3/' })).rejects.toMatchObject({ name: 'DestinationBroken' });
  });
});

describe('reading answers', () => {
  const response = (status: number, text = '', headers: Record<string, string> = {}): HttpResponse => ({ status, headers, text });

  test('Retry-After is seconds or a date, in milliseconds from now', () => {
    const now = Date.UTC(2026, 10, 22, 12);
    expect(retryAfter({ 'retry-after': '120' }, now)).toBe(120_000);
    expect(retryAfter({ 'retry-after': '0.5' }, now)).toBe(500);
    expect(retryAfter({ 'retry-after': 'Sun, 22 Nov 2026 12:01:00 GMT' }, now)).toBe(60_000);
    expect(retryAfter({ 'retry-after': 'Sun, 22 Nov 2026 11:00:00 GMT' }, now)).toBe(0);
    expect(retryAfter({ 'retry-after': 'soon' }, now)).toBeUndefined();
    expect(retryAfter({ 'retry-after': '-5' }, now)).toBeUndefined();
    expect(retryAfter({}, now)).toBeUndefined();
  });

  test('JSON keeps ids beyond 2^53, and a page or half an answer is tried again without a word of it', () => {
    expect(
      json(response(200, '{"id":413642381039213536,"n":[1,-2.5,1e3],"near":9007199254740991,"text":"413642381039213536"}')),
    ).toEqual({
      id: '413642381039213536',
      n: [1, -2.5, 1000],
      near: 9007199254740991,
      text: '413642381039213536',
    });
    for (const [text, kind] of [
      [`<html>${CANARY}</html>`, 'an HTML page'],
      [`{"email":"${CANARY}`, 'no complete JSON'],
      ['', 'no complete JSON'],
    ] as const) {
      const message = `The answer (HTTP 200, ${text.length} characters) is ${kind}.`;
      expect(() => json(response(200, text))).toThrow(expect.objectContaining({ name: 'TryAgain', message, ambiguous: true }));
    }
  });

  test.each([
    [401, 'DestinationBroken'],
    [403, 'DestinationBroken'],
    [404, 'DestinationBroken'],
    [410, 'DestinationBroken'],
    [400, 'RowsRefused'],
    [413, 'RowsRefused'],
    [422, 'RowsRefused'],
    [408, 'TryAgain'],
    [425, 'TryAgain'],
    [429, 'TryAgain'],
    [500, 'TryAgain'],
    [504, 'TryAgain'],
  ])('status %i means %s', (status, name) => {
    const error = statusError('Acme', response(status, CANARY, { 'retry-after': '3' }), { now: 0, code: 'some_code' });
    expect(error).toMatchObject({
      name,
      ...(name === 'TryAgain' && { afterMs: 3000, throttled: status === 429, ambiguous: status === 408 || status >= 500 }),
      ...(name === 'RowsRefused' && { reason: 'some_code', rows: [] }),
      ...(name !== 'RowsRefused' && { message: `Acme answered HTTP ${status}, some_code.` }),
    });
    expect(inspect(error)).not.toContain('canary');
  });

  test.each([
    ['INVALID_EMAIL', 'INVALID_EMAIL'],
    ['too-long.v2:x', 'too-long.v2:x'],
    [1870090, '1870090'],
    [CANARY, 'refused'],
    ['+12015550123', 'refused'],
    ['12015550123', 'refused'],
    ["'x' is not valid", 'refused'],
    [undefined, 'refused'],
    [{ code: 'a' }, 'refused'],
    ['a'.repeat(65), 'refused'],
  ])('of the code %j is kept %s', (code, kept) => expect(reasonCode(code)).toBe(kept));
});
