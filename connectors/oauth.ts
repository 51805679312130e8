import { type Context, DestinationBroken, RowsRefused } from '../core/connector.ts';
import { sha256Hex } from '../core/identifiers.ts';
import { json, reasonCode, statusError } from './http.ts';

export interface TokenRequest {
  readonly platform: string;
  /** Where tokens are made. */
  readonly url: string;
  /** The form that is posted: grant type, ids, secrets, assertion. */
  readonly form: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** What a person does when the grant itself is refused. */
  readonly wayOut: string;
}

export interface Token {
  readonly accessToken: string;
  /** Epoch milliseconds; a token is renewed a minute before. */
  readonly expiresAt: number;
  /** Everything else of the answer that is text (`instance_url`, `scope`). */
  readonly extra: Readonly<Record<string, string>>;
}

/** Renewed this long before it ends, so that no request leaves with a token that dies on the way. */
const EARLY_MS = 60_000;
/** Where the platform does not say (`expires_in` is only recommended, RFC 6749 5.1). */
const DEFAULT_LIFE_MS = 30 * 60_000;

const tokens = new Map<string, Promise<Token>>();

/**
 * The access token of a grant, made once and shared by everybody in this process who asks with the same form, and renewed before it ends.
 * A refused grant is `DestinationBroken`; a token host that is down or busy is `TryAgain`.
 */
export async function accessToken(
  context: Pick<Context<unknown, unknown>, 'http' | 'now'>,
  request: TokenRequest,
): Promise<Token> {
  const key = tokenKey(request);
  const held = tokens.get(key);
  if (held !== undefined) {
    const token = await held;
    if (token.expiresAt - EARLY_MS > context.now()) return token;
    // Whoever sees the old promise first replaces it; the others find the new one.
    if (tokens.get(key) === held) tokens.delete(key);
    return accessToken(context, request);
  }
  const made = makeToken(context, request);
  tokens.set(key, made);
  made.catch(() => {
    if (tokens.get(key) === made) tokens.delete(key);
  });
  return made;
}

/** Forgets a token that the platform refused with 401, so that the next request makes a new one. */
export const forgetToken = (request: TokenRequest): void => {
  tokens.delete(tokenKey(request));
};

const tokenKey = (request: TokenRequest): string => sha256Hex(JSON.stringify([request.url, request.form, request.headers]));

async function makeToken(context: Pick<Context<unknown, unknown>, 'http' | 'now'>, request: TokenRequest): Promise<Token> {
  const asked = context.now();
  const response = await context.http({
    method: 'POST',
    url: request.url,
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json', ...request.headers },
    body: new URLSearchParams(request.form).toString(),
  });
  if (response.status !== 200) {
    const error = statusError(request.platform, response, { now: context.now(), wayOut: request.wayOut });
    // RFC 6749 5.2: a refused grant is HTTP 400 with an error code.
    if (!(error instanceof RowsRefused)) throw error;
    const code = reasonCode((json(response) as { error?: unknown }).error);
    throw new DestinationBroken(`${request.platform} gave no access token (${code}).`, request.wayOut);
  }
  const body = json(response) as Record<string, unknown>;
  if (typeof body.access_token !== 'string')
    throw new DestinationBroken(`${request.platform} gave no access token.`, request.wayOut);
  const life = Number(body.expires_in);
  const extra = Object.entries(body).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return {
    accessToken: body.access_token,
    expiresAt: asked + (life > 0 ? life * 1000 : DEFAULT_LIFE_MS),
    extra: Object.fromEntries(extra.filter(([name]) => name !== 'access_token' && name !== 'refresh_token')),
  };
}
