import { createHmac } from 'node:crypto';
import * as z from 'zod';
import {
  type Connector,
  type Context,
  DestinationBroken,
  type HttpResponse,
  type Item,
  type Member,
  type Outcome,
  TryAgain,
} from '../core/connector.ts';
import { email, maid, phone, plainText, sha256Hex } from '../core/identifiers.ts';
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

/** Ours: a message that a small receiver reads at once. */
const MEMBERS_PER_MESSAGE = 500;

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
    rows: MEMBERS_PER_MESSAGE,
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
    const type = batch.op === 'upsert' ? 'audience.members.upserted' : 'audience.members.removed';
    const head = `"audience":${JSON.stringify(list.id)},"destination":${JSON.stringify(list.destination ?? '')},`;
    return post(context, batch.id, type, head, batch.items);
  },

  /** A message of its own, so that the receiver can tell an erasure from somebody who left an audience. */
  async erase(context, members) {
    const list = { id: '' };
    const items = members.map((member) => ({ member, ...webhook.encode(context, list, 'remove', member) }));
    const answers: Outcome[] = [];
    for (let start = 0; start < items.length; start += MEMBERS_PER_MESSAGE) {
      const some = items.slice(start, start + MEMBERS_PER_MESSAGE);
      // With the moment: who came back and is erased again is no repetition of the first message.
      const id = sha256Hex(`erase ${context.now()} ${some.map((item) => item.member.key).join()}`).slice(0, 32);
      answers.push(...(await post(context, id, 'members.erased', '', some)));
    }
    return answers;
  },
};

/** Sends the members of `items` in one signed message and answers for each. `head`: what stands before them in `data`, JSON. */
async function post(
  context: Context<Settings, Secret>,
  id: string,
  type: string,
  head: string,
  items: readonly Item[],
): Promise<readonly Outcome[]> {
  const rows = items.filter((item) => item.rows > 0);
  if (rows.length === 0) return items.map(() => NO_KEY);
  const timestamp = Math.floor(context.now() / 1000);
  const members = rows.map((item) => item.text).join(',');
  const body = `{"type":"${type}","timestamp":"${new Date(timestamp * 1000).toISOString()}","data":{${head}"members":[${members}]}}`;
  const response = await context.http({
    method: 'POST',
    url: context.endpoint,
    headers: {
      'content-type': 'application/json',
      'webhook-id': `msg_${id}`,
      'webhook-timestamp': String(timestamp),
      'webhook-signature': signatures(context.secret.key, `msg_${id}`, timestamp, body),
    },
    body,
  });
  const answers = outcomes(response, rows.length, context);
  let next = 0;
  return items.map((item) => (item.rows === 0 ? NO_KEY : (answers[next++] as Outcome)));
}

const NO_KEY: Outcome = { kind: 'rejected', reason: 'no-external-id' };

const externalId = (identifiers: Member['identifiers']): string | undefined =>
  identifiers.find((one) => one.namespace === 'external_id')?.value;

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
