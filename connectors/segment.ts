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
  TryAgain,
} from '../core/connector.ts';
import { email, phone, plainText, sha256Hex } from '../core/identifiers.ts';
import { json, read, retryAfter, statusError } from './http.ts';

/** Segment: an audience is one boolean trait, set by `identify` calls. docs/connectors/segment.md */

/**
 * Where events go, and where the Public API answers. A workspace has one region, and the host of the other takes its events, answers 200 and
 * forgets them. https://www.twilio.com/docs/segment/guides/regional-segment and /connections/sources/catalog/libraries/server/http-api, read 2026-11-22.
 */
const HOSTS = {
  us: { events: 'https://api.segment.io', api: 'https://api.segmentapis.com' },
  eu: { events: 'https://events.eu1.segmentapis.com', api: 'https://eu1.api.segmentapis.com' },
} as const;

const settings = z.strictObject({
  /** No default: the wrong one loses every event without a word. */
  region: z.enum(['us', 'eu']),
  /** Name of the trait; `{audience}` keeps the audiences of one workspace apart. */
  trait: z
    .string()
    .max(150)
    .regex(/^[A-Za-z][\w -]*\{audience\}[\w -]*$/, 'must begin with a letter and hold {audience}')
    .default('sluice_{audience}'),
  /** Which destinations behind Segment get the events: `{ All: false, Braze: true }`. All of them unless set. */
  integrations: z.record(z.string(), z.boolean()).optional(),
  /** The source the write key belongs to; with an `api_token` in the secret it is looked at before every delivery. */
  source_id: z
    .string()
    .regex(/^[\w-]{1,64}$/)
    .optional(),
  /** What an erasure asks Segment for. */
  regulation: z.enum(['SUPPRESS_WITH_DELETE', 'DELETE_ONLY']).default('SUPPRESS_WITH_DELETE'),
  /** Host of the Public API where `endpoint` is a proxy; otherwise the region's own. */
  api_endpoint: z.url().optional(),
});

const secret = z.strictObject({
  /** Of an HTTP API source. */
  write_key: z.string().min(1),
  /** A Public API token: to look at the source before sending, and to erase people. */
  api_token: z.string().min(1).optional(),
});

type Settings = z.infer<typeof settings>;
type Secret = z.infer<typeof secret>;

/** https://www.twilio.com/docs/segment/connections/sources/catalog/libraries/server/http-api, read 2026-11-22: beyond it Segment answers 200 and takes nothing. */
const EVENTS_PER_CALL = 2_500;
/** Same page: 32 KB an event. */
const MAX_EVENT_BYTES = 32_000;
/** Ours: what stands behind Segment stores the id as a key. */
const MAX_EXTERNAL_ID_BYTES = 255;
/** https://www.twilio.com/docs/segment/privacy/user-deletion-and-suppression, read 2026-11-22. */
const IDS_PER_REGULATION = 5_000;
/** Identifiers, and what Segment's spec gives another meaning. https://www.twilio.com/docs/segment/connections/spec/identify, read 2026-11-22. */
const RESERVED = new Set(['id', 'email', 'phone']);

export const segment: Connector<Settings, Secret> = {
  name: 'segment',
  title: 'Segment',
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
    rows: EVENTS_PER_CALL,
    // 500 KB a batch; Segment's own library stops at 480 KB because nobody says what a KB is.
    bytes: 480_000,
    overhead: 200,
    windows: [{ requests: 1_000, seconds: 1 }],
    concurrency: 16,
    source:
      'https://www.twilio.com/docs/segment/connections/sources/catalog/libraries/server/http-api, read 2026-11-22; a Unify space takes 1,000 events a second: set `budget`',
  },

  endpoint: ({ region }) => HOSTS[region].events,

  async ensure(context, list) {
    const id = context.settings.trait.replace('{audience}', list.audience);
    const reserved = list.traits.filter((name) => RESERVED.has(name) || name === id);
    if (reserved.length > 0) {
      const wayOut = 'Rename the trait. Email and phone are identifiers: name them under `identifiers` of the sync.';
      throw new DestinationBroken(
        `Segment keeps ${reserved.join(', ')} for itself, so "${list.audience}" cannot send it as a trait.`,
        wayOut,
      );
    }
    if (list.known !== undefined && list.known.id !== id) {
      throw new DestinationBroken(
        `"${list.audience}" is kept at Segment under "${list.known.id}"; the settings of ${list.destination} now name another trait.`,
        'Set it back, or make a second destination file with the new one and let the old sync remove its members first.',
      );
    }
    await lookAtSource(context);
    return { id, destination: list.destination, run: list.run, at: new Date(list.tick).toISOString() };
  },

  encode({ settings: { integrations } }, list, op, member) {
    const userId = valueOf(member.identifiers, 'external_id');
    if (userId === undefined) return NOTHING;
    const traits =
      op === 'remove'
        ? { [list.id]: false }
        : {
            ...member.traits,
            email: valueOf(member.identifiers, 'email'),
            phone: valueOf(member.identifiers, 'phone'),
            [list.id]: true,
          };
    const event = JSON.stringify({ type: 'identify', userId, traits, timestamp: list.at, integrations });
    const text = `{"messageId":"${messageId(list, op, member, event)}",${event.slice(1)}`;
    // Segment answers for no row, so what it would drop is refused here; `send` says why.
    return Buffer.byteLength(text) >= MAX_EVENT_BYTES ? NOTHING : { text, rows: 1 };
  },

  async send(context, _list, batch) {
    const rows = batch.items.filter((item) => item.rows > 0);
    const answers = batch.items.map((item): Outcome => (item.rows > 0 ? { kind: 'accepted' } : refusal(item)));
    if (rows.length === 0) return answers;
    // Sent, they would be answered with 200 and dropped.
    if (rows.length > EVENTS_PER_CALL) throw new RowsRefused('too-many-events');
    const response = await context.http({
      method: 'POST',
      url: `${context.endpoint}/v1/batch`,
      headers: {
        'content-type': 'application/json',
        authorization: `Basic ${Buffer.from(`${context.secret.write_key}:`).toString('base64')}`,
      },
      body: `{"batch":[${rows.map((item) => item.text).join(',')}],"sentAt":"${new Date(context.now()).toISOString()}"}`,
    });
    if (response.status < 200 || response.status > 299) throw failure(response, context);
    // 200 says that Segment has them, not that it wants them: `accepted`, never `delivered`.
    if (response.text !== '' && (json(response) as { success?: unknown } | null)?.success === false)
      throw new RowsRefused('not-accepted');
    return answers;
  },

  async erase(context, members) {
    const { api_token: token } = context.secret;
    if (token === undefined) {
      throw new DestinationBroken(
        'Segment erases only through its Public API.',
        'Put a Public API token into the secret as `api_token`.',
      );
    }
    const ids = members.map((member) => valueOf(member.identifiers, 'external_id'));
    const known = ids.filter((id) => id !== undefined);
    for (let start = 0; start < known.length; start += IDS_PER_REGULATION) {
      const subjectIds = known.slice(start, start + IDS_PER_REGULATION);
      const response = await context.http({
        method: 'POST',
        url: `${apiEndpoint(context)}/regulations`,
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        body: JSON.stringify({ regulationType: context.settings.regulation, subjectType: 'USER_ID', subjectIds }),
      });
      if (response.status < 200 || response.status > 299) throw failure(response, context);
      read('Segment', regulated, response);
    }
    // Segment works on regulations for up to 30 days.
    return ids.map((id) => (id === undefined ? NO_KEY : { kind: 'accepted' }));
  },
};

const regulated = z.object({ data: z.object({ regulateId: z.string() }) });

const NO_KEY: Outcome = { kind: 'rejected', reason: 'no-external-id' };
const NOTHING = { text: '', rows: 0 };

const valueOf = (identifiers: Member['identifiers'], namespace: string): string | undefined =>
  identifiers.find((one) => one.namespace === namespace)?.value;

const refusal = ({ member }: Item): Outcome =>
  valueOf(member.identifiers, 'external_id') === undefined ? NO_KEY : { kind: 'rejected', reason: 'event-too-large' };

/**
 * The same for the same message of the same run, whatever batch it travels in, so that a resend after a lost answer counts once;
 * and no other message in the world has it: Segment drops doubles across all sources and workspaces, for about 24 hours.
 * https://www.twilio.com/docs/segment/guides/duplicate-data, read 2026-11-22; at most 99 characters (HTTP API page).
 */
const messageId = (list: Readonly<Record<string, string>>, op: string, { key }: Member, event: string): string =>
  `sluice-${sha256Hex(`${list.run}\n${list.destination}\n${op}\n${key}\n${event}`).slice(0, 32)}`;

/** A sandbox or a proxy stands for both hosts unless `api_endpoint` says otherwise. */
function apiEndpoint({ endpoint, settings: { region, api_endpoint: given } }: Context<Settings, Secret>): string {
  return given?.replace(/\/$/, '') ?? (endpoint === HOSTS[region].events ? HOSTS[region].api : endpoint);
}

/**
 * Asks the Public API for the source, because the tracking API answers 200 to a key nobody knows, to a source that has been switched off,
 * and in the wrong region. Without a token and a source id there is no way to know.
 */
async function lookAtSource(context: Context<Settings, Secret>): Promise<void> {
  const { source_id: id } = context.settings;
  const { api_token: token, write_key: key } = context.secret;
  if (id === undefined || token === undefined) return;
  const response = await context.http({
    method: 'GET',
    url: `${apiEndpoint(context)}/sources/${encodeURIComponent(id)}`,
    headers: { authorization: `Bearer ${token}` },
  });
  if (response.status === 404) throw new DestinationBroken(`Segment has no source ${id}.`, WAYS_OUT[404] as string);
  if (response.status < 200 || response.status > 299) throw failure(response, context);
  const parsed = sourceAnswer.safeParse(json(response));
  if (!parsed.success) throw new TryAgain('Segment answered about the source in a form it does not document.');
  const { enabled, writeKeys } = parsed.data.data.source;
  if (!enabled)
    throw new DestinationBroken(`The Segment source ${id} is switched off.`, 'Enable it in its settings, or remove the syncs.');
  if (!writeKeys.includes(key)) {
    const wayOut = 'Copy the write key of that source (Settings, API Keys) into the secret as `write_key`.';
    throw new DestinationBroken(`The write key is not one of the Segment source ${id}.`, wayOut);
  }
}

const sourceAnswer = z.object({
  data: z.object({ source: z.object({ enabled: z.boolean(), writeKeys: z.array(z.string()) }) }),
});

const WAYS_OUT: Readonly<Record<number, string>> = {
  401: 'Renew the write key or the Public API token, and see that `region` is the region of the workspace.',
  403: 'The token lacks access: give it Workspace Owner or Source Admin, or, for OAuth sources, allow the write key.',
  404: 'Compare `source_id` and `region` with the workspace.',
};

/** Statuses that Segment's own library tries again beside the usual ones. @segment/analytics-node 3.1.0 publisher.js, read 2026-11-22. */
const RETRIED = new Set([410, 460]);

function failure(response: HttpResponse, context: Context<Settings, Secret>): Error {
  const now = context.now();
  if (RETRIED.has(response.status)) return new TryAgain(`Segment answered HTTP ${response.status}.`, { ambiguous: true });
  // Both headers hold seconds; a 429 of the Public API has only the second.
  const wait = retryAfter(response.headers, now) === undefined ? response.headers['x-ratelimit-reset'] : undefined;
  const headers = wait === undefined ? response.headers : { ...response.headers, 'retry-after': wait };
  return statusError('Segment', { ...response, headers }, { now, wayOut: WAYS_OUT[response.status] });
}
