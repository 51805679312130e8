import { createHmac } from 'node:crypto';
import { z } from 'zod';
import {
  type Batch,
  type Connector,
  type Context,
  DestinationBroken,
  type HttpResponse,
  type Member,
  type Outcome,
  TryAgain,
} from '../core/connector.ts';
import { email, maid, phone, plainText } from '../core/identifiers.ts';
import { json, reasonCode, statusError } from './http.ts';

/** Signed webhooks by the Standard Webhooks spec: any receiver that verifies one can keep an audience. docs/connectors/webhook.md */

const settings = z.strictObject({
  /** Where messages are posted, unless the destination file has an `endpoint`. */
  url: z.url({ protocol: /^https$/ }).optional(),
});

const secret = z.strictObject({
  /** `whsec_` and base64; during a rotation two of them, separated by a space: both sign. */
  key: z.string().regex(/^whsec_[A-Za-z0-9+/]{8,}={0,2}(?: whsec_[A-Za-z0-9+/]{8,}={0,2})*$/, 'must be whsec_ and base64'),
});

type Settings = z.infer<typeof settings>;
type Secret = z.infer<typeof secret>;

/** Ours: a receiver stores the id as a key. */
const MAX_EXTERNAL_ID_BYTES = 255;

export const webhook: Connector<Settings, Secret> = {
  name: 'webhook',
  title: 'Signed webhook',
  settings,
  secret,
  namespaces: {
    external_id: { normalise: plainText(MAX_EXTERNAL_ID_BYTES), hash: 'none', max: 1 },
    email: { normalise: email, hash: 'none' },
    phone: { normalise: phone, hash: 'none' },
    maid: { normalise: maid, hash: 'none' },
  },
  defaultIdentifiers: ['external_id'],
  membership: 'member',
  modes: ['mirror', 'upsert', 'add-only'],
  traits: true,
  limits: {
    rows: 500,
    bytes: 1_000_000,
    overhead: 1_000,
    windows: [{ requests: 20, seconds: 1 }],
    concurrency: 4,
    source: 'ours, 2026-11-22: no receiver documents limits; a slower one answers 429 or gets a `budget` in the destination file',
  },

  endpoint: ({ url }) => url?.replace(/\/$/, '') ?? '',

  // A webhook has no lists to create: the audience is named in every message.
  ensure(context, list) {
    if (context.endpoint === '') {
      throw new DestinationBroken(`${list.destination} has no address to post to.`, 'Set `url` under settings, or `endpoint`.');
    }
    return Promise.resolve({ id: list.audience, destination: list.destination });
  },

  encode(_context, _list, op, { identifiers, traits, consent }) {
    const external = externalId(identifiers);
    const others = identifiers.filter((one) => one.namespace !== 'external_id');
    const row =
      op === 'remove'
        ? { external_id: external }
        : { external_id: external, identifiers: others, traits, consent: consent ?? undefined };
    // A member without the key takes no place in a message; `send` answers for it.
    return external === undefined ? { text: '', rows: 0 } : { text: JSON.stringify(row), rows: 1 };
  },

  async send(context, list, batch) {
    const rows = batch.items.filter((item) => item.rows > 0);
    if (rows.length === 0) return batch.items.map(() => NO_KEY);
    const timestamp = Math.floor(context.now() / 1000);
    const body = messageOf(list, batch, rows.map((item) => item.text).join(','), timestamp);
    const response = await context.http({
      method: 'POST',
      url: context.endpoint,
      headers: {
        'content-type': 'application/json',
        'webhook-id': `msg_${batch.id}`,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': signatures(context.secret.key, `msg_${batch.id}`, timestamp, body),
      },
      body,
    });
    const answers = outcomes(response, rows.length, context);
    let next = 0;
    return batch.items.map((item) => (item.rows === 0 ? NO_KEY : (answers[next++] as Outcome)));
  },
};

const NO_KEY: Outcome = { kind: 'rejected', reason: 'no-external-id' };

const externalId = (identifiers: Member['identifiers']): string | undefined =>
  identifiers.find((one) => one.namespace === 'external_id')?.value;

function messageOf(
  list: { readonly id: string; readonly destination?: string },
  batch: Batch,
  members: string,
  timestamp: number,
): string {
  const type = batch.op === 'upsert' ? 'audience.members.upserted' : 'audience.members.removed';
  const head = `"audience":${JSON.stringify(list.id)},"destination":${JSON.stringify(list.destination ?? '')}`;
  return `{"type":"${type}","timestamp":"${new Date(timestamp * 1000).toISOString()}","data":{${head},"members":[${members}]}}`;
}

/**
 * `v1,` and the base64 HMAC-SHA256 over `id.timestamp.body`, one for every key, separated by spaces.
 * https://github.com/standard-webhooks/standard-webhooks spec/standard-webhooks.md, read 2026-11-22.
 */
export function signatures(keys: string, id: string, timestamp: number, body: string): string {
  const sign = (key: string): string =>
    createHmac('sha256', Buffer.from(key.replace(/^whsec_/, ''), 'base64'))
      .update(`${id}.${timestamp}.${body}`)
      .digest('base64');
  return keys
    .split(' ')
    .map((key) => `v1,${sign(key)}`)
    .join(' ');
}

const answer = z.object({
  results: z.array(
    z.object({
      index: z.int().nonnegative(),
      status: z.union([z.string(), z.number()]),
      error: z.unknown().optional(),
      retryable: z.boolean().optional(),
    }),
  ),
});

/** 2xx is success for every row the answer does not name otherwise; `results` names rows by their index in the message. */
function outcomes(response: HttpResponse, rows: number, context: Context<Settings, Secret>): readonly Outcome[] {
  if (response.status < 200 || response.status > 299) {
    throw statusError('The webhook receiver', response, { now: context.now(), wayOut: WAYS_OUT[response.status] });
  }
  const result = Array.from({ length: rows }, (): Outcome => ({ kind: 'delivered' }));
  const type = response.headers['content-type'] ?? '';
  // A receiver may answer `ok`, or nothing. A page for browsers is from something in front of it, which took nothing.
  if (type.includes('text/html')) throw new TryAgain('The webhook receiver answered with an HTML page.', { ambiguous: true });
  if (!type.includes('json') || response.text === '') return result;
  const parsed = answer.safeParse(json(response));
  for (const { index, status, error, retryable } of parsed.success ? parsed.data.results : []) {
    const good = typeof status === 'number' ? status >= 200 && status < 300 : status === 'ok' || status === 'delivered';
    if (index >= rows || good) continue;
    const reason = reasonCode(error);
    result[index] = retryable === true ? { kind: 'retry', reason } : { kind: 'rejected', reason };
  }
  return result;
}

const WAYS_OUT: Readonly<Record<number, string>> = {
  401: 'The receiver does not accept the signature: put the key it expects (whsec_...) into the secret of the destination.',
  403: 'The receiver knows the sender and refuses it: allow it there, or correct the key in the secret.',
  410: 'The receiver has gone for good: set another `url`, or remove the syncs to this destination.',
};
