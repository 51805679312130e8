import { createHmac, timingSafeEqual } from 'node:crypto';
import * as z from 'zod';
import { type Call, type Reply, standIn } from './stand-in.ts';

/** A receiver of Sluice's signed webhooks, as strict as a good one: it verifies, refuses what it does not know, and answers by row. */
interface State {
  /** Audience -> external id -> what was last said of the person. */
  readonly lists: Map<string, Map<string, unknown>>;
  /** `webhook-id` -> the answer given, so that a message sent twice counts once. */
  readonly answered: Map<string, unknown>;
}

const SECRET = 'whsec_c2x1aWNlLXNhbmRib3gtd2ViaG9vay1rZXk=';
/** Standard Webhooks asks receivers to refuse old messages; its libraries use five minutes. */
const TOLERANCE_S = 300;
const MAX_ID_BYTES = 255;

const member = z.strictObject({
  external_id: z.string().min(1),
  identifiers: z.array(z.strictObject({ namespace: z.string(), value: z.string() })).optional(),
  traits: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).optional(),
  consent: z
    .strictObject({
      purpose: z.string(),
      basis: z.enum(['opt-in', 'opt-out']),
      jurisdiction: z.string().nullable(),
      grant: z.enum(['granted', 'confirmed']).optional(),
    })
    .optional(),
});

const timestamp = z.iso.datetime();
const members = z.array(member).min(1).max(500);
const message = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.enum(['audience.members.upserted', 'audience.members.removed']),
    timestamp,
    data: z.strictObject({ audience: z.string(), destination: z.string(), members }),
  }),
  z.strictObject({ type: z.literal('members.erased'), timestamp, data: z.strictObject({ members }) }),
]);

const refusal = (status: number, error: string, headers?: Record<string, string>): Reply => ({
  status,
  json: { error },
  headers,
});

export const webhook = standIn<State>({
  name: 'webhook',
  title: 'Signed webhook receiver',
  windows: [{ requests: 20, seconds: 1 }],
  maxBytes: 1_000_000,
  secret: { key: SECRET },
  create: () => ({ lists: new Map(), answered: new Map() }),
  authorise: verify,
  routes: { 'POST /': receive },
  replies: {
    unauthorised: () => refusal(401, 'signature'),
    forbidden: () => refusal(403, 'forbidden'),
    throttled: (afterMs) => refusal(429, 'too-many-requests', { 'retry-after': String(Math.ceil(afterMs / 1000)) }),
    failed: (status) => refusal(status, 'unavailable'),
    tooLarge: () => refusal(413, 'too-large'),
    notFound: () => refusal(404, 'not-found'),
    invalid: (issues) => ({ status: 400, json: { error: 'invalid', issues } }),
  },
  held: (state) => new Map([...state.lists].map(([name, people]) => [name, new Set(people.keys())])),
});

function verify({ headers, body, now }: Call<State>): Reply | undefined {
  const id = headers['webhook-id'] ?? '';
  const timestamp = headers['webhook-timestamp'] ?? '';
  if (Math.abs(now / 1000 - Number(timestamp)) > TOLERANCE_S) return refusal(401, 'timestamp');
  const key = Buffer.from(SECRET.slice('whsec_'.length), 'base64');
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest();
  const given = (headers['webhook-signature'] ?? '').split(' ').map((one) => Buffer.from(one.replace(/^v1,/, ''), 'base64'));
  return given.some((one) => one.length === expected.length && timingSafeEqual(one, expected))
    ? undefined
    : refusal(401, 'signature');
}

function receive(call: Call<State>): Reply {
  if (call.fault('list-deleted')) return refusal(410, 'gone');
  const id = call.headers['webhook-id'] as string;
  const { type, data } = call.parse(message);
  call.rows(data.members.length);
  if (type === 'members.erased') {
    for (const people of call.state.lists.values()) for (const one of data.members) people.delete(one.external_id);
    return { status: 200, json: { results: [] } };
  }
  const before = call.state.answered.get(id);
  if (before !== undefined) return { status: 200, json: before };

  const people = call.state.lists.get(data.audience) ?? new Map<string, unknown>();
  call.state.lists.set(data.audience, people);
  const results: { index: number; status: string; error: string; retryable: boolean }[] = [];
  for (const [index, one] of data.members.entries()) {
    const error = call.refusesRow(index)
      ? 'refused'
      : Buffer.byteLength(one.external_id) > MAX_ID_BYTES
        ? 'external-id-too-long'
        : undefined;
    if (error !== undefined) results.push({ index, status: 'error', error, retryable: false });
    else if (type === 'audience.members.upserted') people.set(one.external_id, one);
    else people.delete(one.external_id);
  }
  const answer = { results };
  // A message with refused rows is not remembered: the same rows may be good next time.
  if (results.length === 0) call.state.answered.set(id, answer);
  return { status: 200, json: answer };
}
