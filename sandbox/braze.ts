import * as z from 'zod';
import { type Call, Refusal, type Reply, standIn } from './stand-in.ts';

/**
 * Braze's user data endpoints. Answers follow https://www.braze.com/docs/api/errors and
 * https://www.braze.com/docs/api/endpoints/user_data/post_user_track/, read 2026-11-22.
 */
interface State {
  /** External id -> attributes of the profile, standard and custom. */
  readonly profiles: Map<string, Map<string, unknown>>;
  /** Subscription group -> external ids subscribed. */
  readonly subscriptions: Map<string, Set<string>>;
  /** How many attribute values were written: what data points are charged by. */
  dataPoints: number;
}

/** REST API keys and what they may do. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  'sandbox-braze-key': ['users.track', 'users.delete'],
  'sandbox-braze-track-only': ['users.track'],
};
/** The only subscription group of the sandbox workspace. */
const GROUP = '5e0b8c2a-6f4d-4a57-9c1e-0a1b2c3d4e5f';
const MAX_OBJECTS = 75;
const MAX_EXTERNAL_ID_BYTES = 987;
const MAX_DELETE_IDS = 50;
const QUOTA_SECONDS = 3_600;

const object = z.record(z.string(), z.unknown());
const track = z.strictObject({
  attributes: z.array(object).optional(),
  events: z.array(object).optional(),
  purchases: z.array(object).optional(),
});
const deletion = z.strictObject({
  external_ids: z.array(z.string()).optional(),
  user_aliases: z.array(object).optional(),
  braze_ids: z.array(z.string()).optional(),
  email_addresses: z.array(object).optional(),
  phone_numbers: z.array(object).optional(),
});
const STATES = ['opted_in', 'subscribed', 'unsubscribed'];
const groups = z.array(
  z.strictObject({ subscription_group_id: z.string(), subscription_state: z.enum(['subscribed', 'unsubscribed']) }),
);

const message = (status: number, text: string, headers?: Record<string, string>): Reply => ({
  status,
  json: { message: text },
  headers,
});
const limited = (seconds: number): Reply => message(429, 'Rate Limited', { 'x-ratelimit-retry-after': String(seconds) });

export const braze = standIn<State>({
  name: 'braze',
  title: 'Braze',
  windows: [{ requests: 3_000, seconds: 3 }],
  maxBytes: 4_000_000,
  secret: { api_key: 'sandbox-braze-key' },
  create: () => ({ profiles: new Map(), subscriptions: new Map([[GROUP, new Set()]]), dataPoints: 0 }),
  // The real one repeats the key in its answer, which is why nobody may pass its messages on.
  authorise: ({ headers }) => (keyOf(headers) in KEYS ? undefined : message(401, `Invalid API key: ${keyOf(headers)}`)),
  routes: { 'POST /users/track': trackUsers, 'POST /users/delete': deleteUsers },
  replies: {
    unauthorised: () => message(401, 'Invalid API key: '),
    forbidden: () => message(403, 'Forbidden'),
    throttled: (afterMs) => limited(Math.ceil(afterMs / 1000)),
    failed: (status) => message(status, 'Internal Server Error'),
    tooLarge: () => message(413, 'Request Entity Too Large'),
    notFound: () => message(404, 'Not Found'),
    invalid: () => message(400, 'Bad Request'),
  },
  headers: ({ limit, remaining, seconds }, now) => ({
    'x-ratelimit-limit': String(limit),
    'x-ratelimit-remaining': String(remaining),
    'x-ratelimit-reset': String(Math.ceil(now / 1000) + seconds),
  }),
  held,
});

const keyOf = (headers: Readonly<Record<string, string>>): string => (headers.authorization ?? '').replace(/^Bearer /, '');

function require(call: Call<State>, permission: string): void {
  if (KEYS[keyOf(call.headers)]?.includes(permission) !== true) throw new Refusal(message(401, 'Unauthorized'));
  if (call.fault('quota')) throw new Refusal(limited(QUOTA_SECONDS));
}

function trackUsers(call: Call<State>): Reply {
  require(call, 'users.track');
  const { attributes = [], events = [], purchases = [] } = call.parse(track);
  const objects = attributes.length + events.length + purchases.length;
  call.rows(objects);
  if (objects > MAX_OBJECTS) return message(400, 'Max Input Length Exceeded');
  const deleted = call.fault('list-deleted');

  const errors: { type: string; input_array: string; index: number }[] = [];
  const processed = new Set<string>();
  for (const [index, row] of attributes.entries()) {
    const type = call.refusesRow(index)
      ? 'BLACKLISTED_EXTERNAL_USER_ID'
      : objection(row, deleted ? new Set() : new Set(call.state.subscriptions.keys()));
    if (type === undefined) processed.add(apply(call.state, row));
    else errors.push({ type, input_array: 'attributes', index });
  }
  if (processed.size === 0) {
    const text = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields.";
    return { status: 400, json: { message: text, ...(errors.length > 0 && { errors }) } };
  }
  const answer = { message: 'success', attributes_processed: processed.size };
  return { status: 201, json: errors.length === 0 ? answer : { ...answer, errors } };
}

const isAbsentOr = (pattern: RegExp, value: unknown): boolean =>
  value === undefined || value === null || (typeof value === 'string' && pattern.test(value));

/** The error an attributes object earns, by its documented code. */
function objection(row: Record<string, unknown>, known: ReadonlySet<string>): string | undefined {
  const { external_id: id, email, phone, subscription_groups: given } = row;
  if (typeof id !== 'string' || id === '') return "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required";
  if (Buffer.byteLength(id) > MAX_EXTERNAL_ID_BYTES) return 'EXTERNAL_USER_ID_TOO_LARGE';
  if (!isAbsentOr(/^[^\s@]+@[^\s@]+\.[^\s@]+$/, email)) return 'EMAIL_BAD_FORMAT';
  if (!isAbsentOr(/^\+[1-9]\d{6,14}$/, phone)) return "'phone' is not a valid phone number";
  // The real one takes any word and does nothing with it; a stand-in that did would hide it.
  if (['email_subscribe', 'push_subscribe'].some((name) => row[name] !== undefined && !STATES.includes(row[name] as string)))
    return 'BAD_SUBSCRIPTION_STATE';
  if (given === undefined) return undefined;
  if (!Array.isArray(given)) return 'BAD_SUBSCRIPTION_GROUP_ARRAY';
  const parsed = groups.safeParse(given);
  if (!parsed.success) return 'BAD_SUBSCRIPTION_GROUP_HASH';
  return parsed.data.every((one) => known.has(one.subscription_group_id)) ? undefined : 'BAD_SUBSCRIPTION_GROUP_ID';
}

/** Writes the object onto its profile; the answer is the external id. */
function apply(state: State, row: Record<string, unknown>): string {
  const { external_id, _update_existing_only: existingOnly, subscription_groups: given, ...attributes } = row;
  const id = external_id as string;
  const profile = state.profiles.get(id) ?? new Map<string, unknown>();
  if (!state.profiles.has(id)) {
    if (existingOnly === true) return id;
    state.profiles.set(id, profile);
  }
  for (const [name, value] of Object.entries(attributes)) {
    state.dataPoints += 1;
    if (value === null) profile.delete(name);
    else profile.set(name, value);
  }
  for (const { subscription_group_id: group, subscription_state: to } of groups.parse(given ?? [])) {
    if (to === 'subscribed') state.subscriptions.get(group)?.add(id);
    else state.subscriptions.get(group)?.delete(id);
  }
  return id;
}

function deleteUsers(call: Call<State>): Reply {
  require(call, 'users.delete');
  const kinds = Object.entries(call.parse(deletion)).filter(([, ids]) => ids !== undefined);
  const [kind, ids = []] = kinds[0] ?? [];
  if (kinds.length !== 1 || kind !== 'external_ids') return message(400, 'Bad Request');
  call.rows(ids.length);
  if (ids.length > MAX_DELETE_IDS) return message(400, 'The max number of ids per request was exceeded');
  for (const id of ids as string[]) {
    call.state.profiles.delete(id);
    for (const subscribed of call.state.subscriptions.values()) subscribed.delete(id);
  }
  return { status: 201, json: { deleted: ids.length, message: 'success' } };
}

/** Every attribute that is `true` on a profile is a list that the profile is in. */
function held(state: State): Map<string, Set<string>> {
  const lists = new Map<string, Set<string>>();
  for (const [id, profile] of state.profiles) {
    for (const [name, value] of profile) {
      if (value !== true) continue;
      const list = lists.get(name);
      if (list === undefined) lists.set(name, new Set([id]));
      else list.add(id);
    }
  }
  return lists;
}
