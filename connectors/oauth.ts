import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Context, DestinationBroken, RowsRefused, TryAgain } from '../core/connector.ts';
import type { SealedToken } from '../core/ports.ts';
import { json, reasonCode, statusError } from './http.ts';

export interface TokenRequest {
  readonly platform: string;
  /** Where tokens are made. */
  readonly url: string;
  /** What tokens are made from: the ids and secrets of the destination. Whoever has the same ones shares the token. */
  readonly grant: Readonly<Record<string, string | undefined>>;
  /** What is posted for a token. Called for each, since an assertion is signed anew. */
  readonly form: () => Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** How long a token is used where its answer does not say. Default: half an hour. */
  readonly lifeMs?: number;
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

type TokenContext = Pick<Context<unknown, unknown>, 'http' | 'now' | 'tokens'>;

/** Renewed this long before it ends, so that no request leaves with a token that dies on the way. */
const EARLY_MS = 60_000;
/** Where the platform does not say (`expires_in` is only recommended, RFC 6749 5.1). */
const DEFAULT_LIFE_MS = 30 * 60_000;
/** Time for one worker to make a token while the others wait; then it counts as dead. */
const TURN_MS = 30_000;
const ASK_AGAIN_MS = 100;

/** Of this process: grant -> its token, or the making of it. */
const held = new Map<string, Promise<Held>>();

interface Held extends Token {
  /** As the store keeps it; absent where the token is this process's own. */
  readonly sealed?: string;
}

/**
 * The access token of a grant, made once and shared by every worker that has the same grant: those of this process, and with
 * `context.tokens` those of all others. Renewed before it ends.
 * A refused grant is `DestinationBroken`; a token host that is down or busy is `TryAgain`.
 */
export async function accessToken(context: TokenContext, request: TokenRequest): Promise<Token> {
  const { name, key } = namesOf(request);
  const before = held.get(name);
  if (before !== undefined) {
    const token = await before;
    if (token.expiresAt - EARLY_MS > context.now()) return token;
    // Whoever sees the old promise first replaces it; the others find the new one.
    if (held.get(name) === before) held.delete(name);
    return accessToken(context, request);
  }
  const made = context.tokens === undefined ? makeToken(context, request) : shared(context, request, name, key);
  held.set(name, made);
  made.catch(() => {
    if (held.get(name) === made) held.delete(name);
  });
  return made;
}

/** Grant -> the token of it that was refused last. */
const refused = new Map<string, { readonly token: string; readonly at: number }>();
/** A second token refused this soon is no accident. */
const AGAIN_MS = 10 * 60_000;

/**
 * What a 401 means of a token: it may have been withdrawn before its end, so it is forgotten everywhere and the answer is `TryAgain`, with a new
 * one. When that is refused too, it is the grant: `DestinationBroken`.
 */
export async function tokenRefused(context: TokenContext, request: TokenRequest, { accessToken: token }: Token): Promise<Error> {
  const { name } = namesOf(request);
  const current = held.get(name);
  const known = await current?.catch(() => undefined);
  if (known?.accessToken === token) {
    if (known.sealed !== undefined) await context.tokens?.drop(name, known.sealed);
    if (held.get(name) === current) held.delete(name);
  }
  const last = refused.get(name);
  if (last?.token !== token) {
    refused.set(name, { token, at: context.now() });
    if (last !== undefined && context.now() - last.at < AGAIN_MS)
      return new DestinationBroken(`${request.platform} refused the access token, and the next one.`, request.wayOut);
  }
  return new TryAgain(`${request.platform} refused the access token; a new one is made.`);
}

/** A token from the store, or made for everybody when it is this worker's turn. */
async function shared(context: TokenContext, request: TokenRequest, name: string, key: Buffer): Promise<Held> {
  const { tokens } = context;
  if (tokens === undefined) return makeToken(context, request);
  // A maker that died has lost its turn by then, and who waited longer would wait for ever.
  for (let waited = 0; waited <= 2 * TURN_MS; waited += ASK_AGAIN_MS) {
    const answer = await tokens.take(name, TURN_MS);
    if (answer.kind === 'make') {
      try {
        const token = await makeToken(context, request);
        const sealed = seal(token, name, key);
        await tokens.put(name, answer.turn, { sealed, until: token.expiresAt - EARLY_MS });
        return { ...token, sealed };
      } catch (error) {
        await tokens.release(name, answer.turn);
        throw error;
      }
    }
    if (answer.kind === 'token') {
      const token = unsealed(answer.token, name, key);
      if (token !== undefined) return { ...token, sealed: answer.token.sealed };
      await tokens.drop(name, answer.token.sealed);
    } else await sleep(ASK_AGAIN_MS);
  }
  throw new TryAgain(`Another worker has been making the access token of ${request.platform} for too long.`);
}

async function makeToken(context: TokenContext, request: TokenRequest): Promise<Token> {
  const asked = context.now();
  const response = await context.http({
    method: 'POST',
    url: request.url,
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json', ...request.headers },
    body: new URLSearchParams(request.form()).toString(),
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
    expiresAt: asked + (life > 0 ? life * 1000 : (request.lifeMs ?? DEFAULT_LIFE_MS)),
    extra: Object.fromEntries(extra.filter(([name]) => name !== 'access_token' && name !== 'refresh_token')),
  };
}

// ---- Sealing: the key comes from the grant itself, so a token is readable to whoever could make one, and to nobody else.

function namesOf({ url, grant }: TokenRequest): { readonly name: string; readonly key: Buffer } {
  const from = JSON.stringify([url, grant]);
  const derived = (info: string): Buffer => Buffer.from(hkdfSync('sha256', from, '', info, 32));
  return { name: derived('sluice token name').toString('hex'), key: derived('sluice token key') };
}

/** AES-256-GCM: nonce, tag and text, base64. The grant's name is bound in, so that a row put in another's place does not open. */
function seal(token: Token, name: string, key: Buffer): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(name));
  const text = Buffer.concat([cipher.update(JSON.stringify(token), 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64');
}

/** Undefined for what this grant did not seal. */
function unsealed({ sealed }: SealedToken, name: string, key: Buffer): Token | undefined {
  const bytes = Buffer.from(sealed, 'base64');
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), { authTagLength: 16 })
      .setAAD(Buffer.from(name))
      .setAuthTag(bytes.subarray(12, 28));
    return JSON.parse(decipher.update(bytes.subarray(28), undefined, 'utf8') + decipher.final('utf8')) as Token;
  } catch {
    return undefined;
  }
}
