import { beforeEach, describe, expect, test } from 'vitest';
import { accessToken, forgetToken, type TokenRequest } from '../../connectors/oauth.ts';
import type { HttpRequest, HttpResponse } from '../../core/connector.ts';

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
const token = (): Promise<string> => accessToken(context, request).then((one) => one.accessToken);

beforeEach(() => {
  // Tokens are kept for the process: every test has a grant of its own.
  tests += 1;
  request = {
    platform: 'Acme',
    url: 'https://auth.acme.example/token',
    form: { grant_type: 'refresh_token', refresh_token: `grant ${tests}` },
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
      body: `grant_type=refresh_token&refresh_token=grant+${tests}`,
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

  test('that the platform refused are made anew after they are forgotten', async () => {
    await token();
    forgetToken(request);
    expect(await token()).toBe('token-2');
  });

  test('of one grant are never given to another', async () => {
    await token();
    request = { ...request, form: { ...request.form, refresh_token: 'another' } };
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
