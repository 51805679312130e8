import * as z from 'zod';
import {
  type Connector,
  type Context,
  DestinationBroken,
  type HttpResponse,
  type Item,
  type Member,
  type Outcome,
  RowsRefused,
} from '../core/connector.ts';
import { email, phone, plainText } from '../core/identifiers.ts';
import { json, read, reasonCode, retryAfter, statusError, undocumented } from './http.ts';

/** Braze: an audience is one boolean custom attribute on the user profile. docs/connectors/braze.md */

/** https://www.braze.com/docs/user_guide/administer/personal/sdk_endpoints/, read 2026-11-22. */
const INSTANCES: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`US-0${n + 1}`, `https://rest.iad-0${n + 1}.braze.com`])),
  'US-10': 'https://rest.us-10.braze.com',
  'EU-01': 'https://rest.fra-01.braze.eu',
  'EU-02': 'https://rest.fra-02.braze.eu',
  'AU-01': 'https://rest.au-01.braze.com',
  'ID-01': 'https://rest.id-01.braze.com',
  'JP-01': 'https://rest.jp-01.braze.com',
  'KR-01': 'https://rest.kr-01.braze.com',
};

const settings = z.strictObject({
  /** The instance in the dashboard's address. Leave it out where the destination file has an `endpoint`. */
  instance: z.enum(Object.keys(INSTANCES)).optional(),
  /** Name of the custom attribute; `{audience}` keeps the audiences of one workspace apart. */
  attribute: z
    .string()
    .max(150)
    .regex(/^[A-Za-z][\w -]*\{audience\}[\w -]*$/, 'must begin with a letter and hold {audience}')
    .default('sluice_{audience}'),
  /** What the attribute becomes when somebody leaves: cleared from the profile, or `false`. */
  removed: z.enum(['null', 'false']).default('null'),
  /** `false`: only profiles that Braze has already are written. */
  create_profiles: z.boolean().default(true),
  /** A subscription group that members are put into; what happens to the subscription when they leave must be said. */
  subscription_group: z
    .strictObject({ id: z.uuid(), on_remove: z.enum(['unsubscribe', 'unsubscribe-withdrawn', 'keep']) })
    .optional(),
  /** Channels whose subscription state follows the decision. */
  subscription_states: z.array(z.enum(['email', 'push'])).optional(),
});

const secret = z.strictObject({
  /** A REST API key with the permission `users.track`; `users.delete` too if people are to be erased. */
  api_key: z.string().min(1),
});

type Settings = z.infer<typeof settings>;
type Secret = z.infer<typeof secret>;

/** `EXTERNAL_USER_ID_TOO_LARGE`: https://www.braze.com/docs/api/endpoints/user_data/post_user_track/, read 2026-11-22. */
const MAX_EXTERNAL_ID_BYTES = 987;
/** https://www.braze.com/docs/api/endpoints/user_data/post_user_delete/, read 2026-11-22. */
const IDS_PER_DELETE = 50;
/** Fields of the attributes object that decide who is meant or whether they may be written to: not traits. */
const RESERVED = new Set([
  'external_id',
  'braze_id',
  'user_alias',
  '_update_existing_only',
  'push_token_import',
  'push_tokens',
  'email',
  'phone',
  'email_subscribe',
  'push_subscribe',
  'subscription_groups',
]);

export const braze: Connector<Settings, Secret> = {
  name: 'braze',
  title: 'Braze',
  settings,
  secret,
  namespaces: {
    external_id: { normalise: plainText(MAX_EXTERNAL_ID_BYTES), hash: 'none', max: 1 },
    email: { normalise: email, hash: 'none', max: 1 },
    phone: { normalise: phone, hash: 'none', max: 1 },
  },
  defaultIdentifiers: ['external_id'],
  membership: 'member',
  modes: ['mirror', 'upsert', 'add-only'],
  traits: true,
  limits: {
    // In total, not an array: attributes, events and purchases share it on every contract but the oldest.
    rows: 75,
    bytes: 4_000_000,
    overhead: 100,
    windows: [{ requests: 3_000, seconds: 3 }],
    concurrency: 24,
    source:
      'https://www.braze.com/docs/api/api_limits, read 2026-11-22; newer contracts have an hourly limit of their own: set `budget`',
  },

  endpoint: ({ instance }) => (instance === undefined ? '' : (INSTANCES[instance] ?? '')),

  // An attribute exists once it is written: nothing is asked of Braze, what cannot work is said before the first batch.
  ensure(context, list) {
    const { attribute, subscription_group: group } = context.settings;
    const id = attribute.replace('{audience}', list.audience);
    if (context.endpoint === '') {
      const wayOut = 'Set `instance` under settings (EU-01, as in the address of the dashboard), or `endpoint`.';
      throw new DestinationBroken(`${list.destination} does not say which Braze instance it is.`, wayOut);
    }
    const reserved = list.traits.filter((name) => RESERVED.has(name) || name === id);
    if (reserved.length > 0) {
      const wayOut = 'Rename the trait. Email and phone are identifiers: name them under `identifiers` of the sync.';
      throw new DestinationBroken(
        `Braze keeps ${reserved.join(', ')} for itself, so "${list.audience}" cannot send it as a trait.`,
        wayOut,
      );
    }
    if (list.known !== undefined && (list.known.id !== id || (list.known.group ?? '') !== (group?.id ?? ''))) {
      throw new DestinationBroken(
        `"${list.audience}" is kept at Braze under "${list.known.id}"; the settings of ${list.destination} now name another attribute or subscription group.`,
        'Set them back, or make a second destination file with the new ones and let the old sync remove its members first.',
      );
    }
    return Promise.resolve({ id, group: group?.id ?? '' });
  },

  encode({ settings }, list, op, { identifiers, traits, consent, withdrawn }) {
    const { create_profiles, removed, subscription_group: group } = settings;
    const external_id = valueOf(identifiers, 'external_id');
    // A member without the key takes no place in a request; `send` answers for it.
    if (external_id === undefined) return { text: '', rows: 0 };
    if (op === 'remove') {
      const row = {
        external_id,
        // Or Braze would make a new profile for somebody who has been erased there.
        _update_existing_only: true,
        [list.id]: removed === 'null' ? null : false,
        // Who merely left the audience has not withdrawn.
        ...(withdrawn && statesOf(settings, 'unsubscribed')),
        subscription_groups:
          group?.on_remove === 'unsubscribe' || (withdrawn && group?.on_remove === 'unsubscribe-withdrawn')
            ? subscription(group.id, 'unsubscribed')
            : undefined,
      };
      return { text: JSON.stringify(row), rows: 1 };
    }
    const row = {
      ...traits,
      external_id,
      _update_existing_only: create_profiles ? undefined : true,
      email: valueOf(identifiers, 'email'),
      phone: valueOf(identifiers, 'phone'),
      [list.id]: true,
      ...statesOf(settings, consent?.grant === 'confirmed' ? 'opted_in' : 'subscribed'),
      subscription_groups: group === undefined ? undefined : subscription(group.id, 'subscribed'),
    };
    return { text: JSON.stringify(row), rows: 1 };
  },

  async send(context, _list, batch) {
    const sent = batch.items.flatMap((item, index) => (item.rows > 0 ? [index] : []));
    if (sent.length === 0) return batch.items.map(() => NO_KEY);
    const body = `{"attributes":[${sent.map((index) => (batch.items[index] as Item).text).join(',')}]}`;
    const response = await post(context, '/users/track', body);
    const refused = readTrack(response, sent, context);
    // Braze cannot say whether it knew the profile, so nobody is said to be in it.
    const queued = response.status === 202 || (batch.op === 'upsert' && !context.settings.create_profiles);
    return batch.items.map((item, index): Outcome => {
      if (item.rows === 0) return NO_KEY;
      const reason = refused.get(index);
      return reason === undefined ? { kind: queued ? 'accepted' : 'delivered' } : { kind: 'rejected', reason };
    });
  },

  // Somebody else may use the same workspace: what is left of its window is theirs too.
  headroom({ headers }) {
    if (headers['x-ratelimit-remaining'] !== '0') return undefined;
    const seconds = waitSeconds(headers, Date.parse(headers.date ?? ''));
    return seconds === undefined ? undefined : { waitMs: seconds * 1000 };
  },

  async erase(context, members) {
    const ids = members.map((member) => valueOf(member.identifiers, 'external_id'));
    const known = ids.filter((id) => id !== undefined);
    for (let start = 0; start < known.length; start += IDS_PER_DELETE) {
      const response = await post(
        context,
        '/users/delete',
        JSON.stringify({ external_ids: known.slice(start, start + IDS_PER_DELETE) }),
      );
      if (response.status < 200 || response.status > 299) throw failure(response, context);
      read('Braze', deleteAnswer, response);
    }
    // Braze queues deletions.
    return ids.map((id) => (id === undefined ? NO_KEY : { kind: 'accepted' }));
  },
};

const NO_KEY: Outcome = { kind: 'rejected', reason: 'no-external-id' };

const valueOf = (identifiers: Member['identifiers'], namespace: string): string | undefined =>
  identifiers.find((one) => one.namespace === namespace)?.value;

/**
 * `opted_in` is a person who confirmed that they want it, `subscribed` one who may be written to.
 * https://www.braze.com/docs/user_guide/message_building_by_channel/email/managing_user_subscriptions, read 2026-11-25.
 */
const statesOf = ({ subscription_states = [] }: Settings, state: 'opted_in' | 'subscribed' | 'unsubscribed') =>
  Object.fromEntries(subscription_states.map((channel) => [`${channel}_subscribe`, state]));

const subscription = (id: string, state: 'subscribed' | 'unsubscribed') => [
  { subscription_group_id: id, subscription_state: state },
];

const post = (context: Context<Settings, Secret>, path: string, body: string): Promise<HttpResponse> =>
  context.http({
    method: 'POST',
    url: `${context.endpoint}${path}`,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${context.secret.api_key}` },
    body,
  });

/** The page shows both, or one of them. */
const deleteAnswer = z.union([z.object({ deleted: z.number() }), z.object({ message: z.enum(['success', 'queued']) })]);
const trackAnswer = z.object({ message: z.string(), errors: z.array(z.unknown()).default([]) });
/** The page shows errors without a shape; this is what the API answers. `index` counts inside `input_array`. */
const trackError = z.object({ type: z.unknown(), input_array: z.literal('attributes').optional(), index: z.int().nonnegative() });

/**
 * Index in the batch -> why Braze refused the row, for an answer that took the others. `sent` holds the batch index of every row.
 * Throws `RowsRefused` when nothing was taken, or when an error does not say which row it is about: then rows are found by halving,
 * which only repeats attributes.
 */
function readTrack(response: HttpResponse, sent: readonly number[], context: Context<Settings, Secret>): Map<number, string> {
  const good = response.status >= 200 && response.status < 300;
  if (!good && response.status !== 400) throw failure(response, context);
  const parsed = trackAnswer.safeParse(json(response));
  if (!parsed.success) {
    if (good) throw undocumented('Braze', response);
    throw failure(response, context);
  }
  const refused = new Map<number, string>();
  let unplaced: string | undefined;
  for (const entry of parsed.data.errors) {
    const error = trackError.safeParse(entry);
    const reason = reasonOf(
      error.success ? error.data.type : typeof entry === 'string' ? entry : (entry as { type?: unknown } | null)?.type,
    );
    if (reason === 'BAD_SUBSCRIPTION_GROUP_ID') {
      const wayOut = 'Compare `subscription_group` in the settings with Subscription Groups in the Braze dashboard.';
      throw new DestinationBroken('Braze does not know the subscription group.', wayOut);
    }
    const index = error.success ? sent[error.data.index] : undefined;
    if (index === undefined) unplaced = reason;
    else refused.set(index, reason);
  }
  const taken = good && (parsed.data.message === 'success' || parsed.data.message === 'queued');
  if (taken && unplaced === undefined) return refused;
  if (!good && refused.size === 0) throw failure(response, context);
  throw new RowsRefused(
    unplaced ?? `http-${response.status}`,
    [...refused].map(([index, reason]) => ({ index, reason })),
  );
}

/** Documented codes come as they are; older answers are sentences, which may repeat a value and are never passed on. */
const SENTENCES: readonly (readonly [RegExp, string])[] = [
  [/blacklist/i, 'BLACKLISTED_EXTERNAL_USER_ID'],
  [/external_id.*(?:fewer|bytes|large)/i, 'EXTERNAL_USER_ID_TOO_LARGE'],
  [/subscription_group_id/i, 'BAD_SUBSCRIPTION_GROUP_ID'],
  [/email.*not a valid/i, 'EMAIL_BAD_FORMAT'],
  [/external_id.*required/i, 'identifier-required'],
];

function reasonOf(type: unknown): string {
  const known = typeof type === 'string' ? SENTENCES.find(([sentence]) => type.includes(' ') && sentence.test(type)) : undefined;
  return known?.[1] ?? reasonCode(type);
}

const WAYS_OUT: Readonly<Record<number, string>> = {
  401: 'Put a REST API key with the permission users.track (and users.delete, to erase people) into the secret; it must belong to the instance of the endpoint.',
  403: 'The Braze account is inactive or its plan lacks the API, or the key does: look under Settings, APIs and Identifiers.',
  404: 'Braze does not know the key at this endpoint: take both from Settings, APIs and Identifiers.',
};

function failure(response: HttpResponse, context: Context<Settings, Secret>): Error {
  const now = context.now();
  const seconds = waitSeconds(response.headers, now);
  const headers = seconds === undefined ? response.headers : { ...response.headers, 'retry-after': String(seconds) };
  return statusError('Braze', { ...response, headers }, { now, wayOut: WAYS_OUT[response.status] });
}

/**
 * Newer contracts answer a 429 with `X-RateLimit-Retry-After` in seconds; the others with `X-RateLimit-Reset`, an epoch second there and
 * seconds left elsewhere. https://www.braze.com/docs/api/endpoints/user_data/post_user_track/ and /docs/api/api_limits, read 2026-11-22.
 */
function waitSeconds(headers: HttpResponse['headers'], now: number): number | undefined {
  if (retryAfter(headers, now) !== undefined) return undefined;
  const after = Number(headers['x-ratelimit-retry-after'] ?? Number.NaN);
  if (after >= 0) return after;
  const reset = Number(headers['x-ratelimit-reset'] ?? Number.NaN);
  if (!(reset >= 0)) return undefined;
  if (reset < 1_000_000_000) return reset;
  return Number.isNaN(now) ? undefined : Math.max(0, Math.ceil(reset - now / 1000));
}
