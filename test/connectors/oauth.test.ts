import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { accessToken, tokenRefused, type TokenRequest } from '../../connectors/oauth.ts';
import type { HttpRequest, HttpResponse } from '../../core/connector.ts';
import { start } from '../stores/started.ts';

let tests = 0;
let request: TokenRequest;
let asked: HttpRequest[];
let now: number;
let answer: () => Partial<HttpResponse>;

const context = {
  now: () => now,
  http: async (sent: HttpRequest): Promise<HttpResponse> => {
    asked.push(sent);
    await Promise.resolve();
    return {
      status: 200,
      headers: {},
      text: JSON.stringify({ access_token: `token-${asked.length}`, expires_in: 3600, scope: 'a b' }),
      ...answer(),
    };
  },
};
const grantOf = (refresh_token: string): Pick<TokenRequest, 'grant' | 'form'> => {
  const grant = { client_id: 'app', refresh_token };
  return { grant, form: () => ({ grant_type: 'refresh_token', ...grant }) };
};
const token = (): Promise<string> => accessToken(context, request).then((one) => one.accessToken);

beforeEach(() => {
  // Tokens are kept for the process: every test has a grant of its own.
  tests += 1;
  request = {
    platform: 'Acme',
    url: 'https://auth.acme.example/token',
    ...grantOf(`grant ${tests}`),
    wayOut: 'Connect again.',
  };
  [asked, now, answer] = [[], 1_000_000, () => ({})];
});

describe('access tokens', () => {
  test('are made once, however many ask at the same time', async () => {
    expect(new Set(await Promise.all(Array.from({ length: 50 }, token)))).toEqual(new Set(['token-1']));
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatchObject({
      method: 'POST',
      url: request.url,
      body: `grant_type=refresh_token&client_id=app&refresh_token=grant+${tests}`,
    });
    expect((await accessToken(context, request)).extra).toEqual({ scope: 'a b' });
  });

  test('are renewed a minute before they end, once', async () => {
    await token();
    now += 3_600_000 - 60_001;
    expect(await token()).toBe('token-1');
    now += 1;
    expect(new Set(await Promise.all(Array.from({ length: 50 }, token)))).toEqual(new Set(['token-2']));
    expect(asked).toHaveLength(2);
  });

  test('that the platform refused are made anew, once for all who were refused; the next one refused too breaks the destination', async () => {
    const refused = await accessToken(context, request);
    const errors = await Promise.all(Array.from({ length: 20 }, () => tokenRefused(context, request, refused)));
    expect(new Set(errors.map((error) => `${error.name}: ${error.message}`))).toEqual(
      new Set(['TryAgain: Acme refused the access token; a new one is made.']),
    );
    expect(new Set(await Promise.all(Array.from({ length: 20 }, token)))).toEqual(new Set(['token-2']));
    // Somebody whose request left with the old one hears of it late.
    expect(await tokenRefused(context, request, refused)).toMatchObject({ name: 'TryAgain' });
    expect(await token()).toBe('token-2');
    expect(await tokenRefused(context, request, await accessToken(context, request))).toMatchObject({
      name: 'DestinationBroken',
      message: 'Acme refused the access token, and the next one.',
      wayOut: 'Connect again.',
    });
  });

  test('of one grant are never given to another, nor to the same at another host', async () => {
    await token();
    const url = request.url;
    request = { ...request, url: 'https://auth.elsewhere.example/token' };
    expect(await token()).toBe('token-2');
    request = { ...request, url, ...grantOf('another') };
    expect(await token()).toBe('token-3');
  });

  test('whose answer names no end are used for as long as the connector says', async () => {
    answer = () => ({ text: JSON.stringify({ access_token: `token-${asked.length}` }) });
    request = { ...request, lifeMs: 120_000 };
    await token();
    now += 59_999;
    expect(await token()).toBe('token-1');
    now += 1;
    expect(await token()).toBe('token-2');
  });

  test.each([
    [
      'a refused grant',
      { status: 400, text: '{"error":"invalid_grant","error_description":"canary@example.com"}' },
      'Acme gave no access token (invalid_grant).',
    ],
    ['refused credentials of the client', { status: 401, text: '{}' }, 'Acme answered HTTP 401.'],
    ['an answer without a token', { status: 200, text: '{}' }, 'Acme gave no access token.'],
  ])('%s breaks the destination, with a way out', async (_, response, message) => {
    answer = () => response;
    await expect(token()).rejects.toMatchObject({ name: 'DestinationBroken', message, wayOut: 'Connect again.' });
  });

  test('a token host that is down is tried again, and a failure is not kept', async () => {
    answer = () => ({ status: 503, text: '' });
    await expect(token()).rejects.toMatchObject({ name: 'TryAgain' });
    answer = () => ({ text: '<html>' });
    await expect(token()).rejects.toMatchObject({ name: 'TryAgain' });
    answer = () => ({});
    expect(await token()).toBe('token-3');
  });
});

describe('access tokens of several processes', () => {
  let root: string;
  let server: Server;
  let url: string;
  let posts: string[];
  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), 'sluice-tokens-'));
    posts = [];
    server = createServer((sent, response) => {
      let body = '';
      sent.on('data', (chunk: Buffer) => (body += chunk.toString()));
      sent.on('end', () => {
        const text = JSON.stringify({ access_token: `secret-token-${posts.push(body)}`, expires_in: 3600 });
        // Long enough for all the others to ask as well.
        setTimeout(() => response.writeHead(200, { 'content-type': 'application/json' }).end(text), 500);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
    rmSync(root, { recursive: true, force: true });
  });
  const workers = (count: number, ...refused: string[]) =>
    Promise.all(
      Array.from({ length: count }, () => start('../connectors/token-child.ts', [root, url, 'refresh-secret', ...refused]).end()),
    );

  test('are made by one of eight; a refused one is made anew by one; and the file of the store opens nothing', async () => {
    const first = { stdout: ['secret-token-1'], stderr: '', code: 0, signal: null };
    expect(await workers(8)).toEqual(Array.from({ length: 8 }, () => first));
    expect(posts).toEqual(['grant_type=refresh_token&client_id=app&refresh_token=refresh-secret']);

    expect(await workers(8, 'secret-token-1')).toEqual(
      Array.from({ length: 8 }, () => ({ ...first, stdout: ['secret-token-2'] })),
    );
    expect(posts).toHaveLength(2);

    const bytes = readdirSync(root).map((name) => readFileSync(join(root, name), 'latin1'));
    expect(bytes.join('')).toContain('tokens');
    expect(bytes.join('')).not.toMatch(/secret-token|refresh-secret/);
  });

  test('a row put in the place of another, or damaged, is not used and made anew', async () => {
    await workers(1);
    const db = new DatabaseSync(join(root, 'budgets.db'));
    db.exec("UPDATE tokens SET sealed = 'AAAA' || substr(sealed, 5)");
    db.close();
    expect((await workers(2)).map(({ stdout }) => stdout)).toEqual([['secret-token-2'], ['secret-token-2']]);
  });
});
