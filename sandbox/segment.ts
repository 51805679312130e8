import * as z from 'zod';
import { type Call, Refusal, type Reply, standIn } from './stand-in.ts';

/**
 * Segment's tracking API and two calls of its Public API. The tracking API is as silent as the real one: it answers 200 and drops what it does
 * not want; `dropped` is its debugger. https://www.twilio.com/docs/segment/connections/sources/catalog/libraries/server/http-api, read 2026-11-22.
 */
interface State {
  /** User id -> traits. */
  readonly users: Map<string, Map<string, unknown>>;
  /** Message ids seen. */
  readonly seen: Set<string>;
  /** Why events were dropped, and how many. */
  readonly dropped: Map<string, number>;
  readonly suppressed: Set<string>;
}

const WRITE_KEY = 'sandbox-segment-write-key';
const SOURCE = 'sandboxHttpSource';
/** Public API tokens and what they may do. */
const TOKENS: Readonly<Record<string, readonly string[]>> = {
  'sandbox-segment-api-token': ['sources', 'regulations'],
  'sandbox-segment-read-token': ['sources'],
};
const MAX_BATCH_BYTES = 512_000;
const MAX_EVENT_BYTES = 32_768;
const MAX_EVENTS = 2_500;
const MAX_MESSAGE_ID = 99;
const MAX_SUBJECTS = 5_000;

const batch = z.looseObject({ batch: z.array(z.looseObject({ type: z.string() })) });
const regulation = z.strictObject({
  regulationType: z.enum([
    'SUPPRESS_WITH_DELETE',
    'DELETE_ONLY',
    'SUPPRESS_ONLY',
    'DELETE_INTERNAL',
    'SUPPRESS_WITH_DELETE_INTERNAL',
    'UNSUPPRESS',
  ]),
  subjectType: z.enum(['USER_ID', 'OBJECT_ID']),
  subjectIds: z.array(z.string()).min(1).max(MAX_SUBJECTS),
});

const TAKEN: Reply = { status: 200, json: { success: true } };
const apiError = (status: number, type: string): Reply => ({ status, json: { errors: [{ type, message: type }] } });

export const segment = standIn<State>({
  name: 'segment',
  title: 'Segment',
  windows: [{ requests: 1_000, seconds: 1 }],
  maxBytes: MAX_BATCH_BYTES,
  secret: { write_key: WRITE_KEY, api_token: 'sandbox-segment-api-token' },
  create: () => ({ users: new Map(), seen: new Set(), dropped: new Map(), suppressed: new Set() }),
  // The tracking API knows no bad credentials: it drops what they bring. The Public API looks at its token in each call.
  authorise: () => undefined,
  routes: { 'POST /v1/batch': takeBatch, 'GET /sources/{id}': showSource, 'POST /regulations': regulate },
  replies: {
    unauthorised: () => apiError(401, 'unauthorized'),
    forbidden: () => apiError(403, 'forbidden'),
    throttled: (afterMs) => {
      const seconds = String(Math.ceil(afterMs / 1000));
      return { status: 429, headers: { 'retry-after': seconds, 'x-ratelimit-reset': seconds }, json: { success: false } };
    },
    failed: (status) => ({ status, json: { success: false } }),
    tooLarge: () => ({ status: 400, json: { success: false, message: 'payload too large' } }),
    notFound: () => apiError(404, 'not-found'),
    invalid: () => ({ status: 400, json: { success: false, message: 'malformed JSON' } }),
  },
  held,
});

function takeBatch(call: Call<State>): Reply {
  const { state } = call;
  const events = call.parse(batch).batch;
  call.rows(events.length);
  if (events.some((event) => Buffer.byteLength(JSON.stringify(event)) > MAX_EVENT_BYTES)) {
    return { status: 400, json: { success: false, message: 'payload too large' } };
  }
  const drop = (reason: string, count = 1): void => {
    state.dropped.set(reason, (state.dropped.get(reason) ?? 0) + count);
  };
  const key = Buffer.from((call.headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString('utf8');
  if (key !== `${WRITE_KEY}:`) drop('unknown write key', events.length);
  else if (events.length > MAX_EVENTS) drop('too many events', events.length);
  else if (call.fault('list-deleted')) drop('source is gone', events.length);
  else for (const [index, event] of events.entries()) take(state, event, call.refusesRow(index), drop);
  return TAKEN;
}

function take(state: State, event: Record<string, unknown>, refused: boolean, drop: (reason: string) => void): void {
  const { type, userId, messageId, traits } = event;
  if (typeof userId !== 'string' || userId === '') return drop('no_user_anon_id');
  if (typeof messageId !== 'string' || messageId.length > MAX_MESSAGE_ID) return drop('message id');
  if (state.seen.has(messageId)) return drop('duplicate');
  state.seen.add(messageId);
  if (state.suppressed.has(userId)) return drop('suppressed');
  if (refused) return drop('blocked by a tracking plan');
  if (type !== 'identify' || typeof traits !== 'object' || traits === null) return drop('not an identify call');
  const user = state.users.get(userId) ?? new Map<string, unknown>();
  state.users.set(userId, user);
  for (const [name, value] of Object.entries(traits)) {
    if (value === null) user.delete(name);
    else user.set(name, value);
  }
  return undefined;
}

function require({ headers }: Call<State>, scope: string): void {
  const scopes = TOKENS[(headers.authorization ?? '').replace(/^Bearer /, '')];
  if (scopes === undefined) throw new Refusal(apiError(401, 'unauthorized'));
  if (!scopes.includes(scope)) throw new Refusal(apiError(403, 'forbidden'));
}

function showSource(call: Call<State>): Reply {
  require(call, 'sources');
  if (call.params.id !== SOURCE) return apiError(404, 'not-found');
  const source = { id: SOURCE, slug: 'sluice', enabled: !call.fault('list-deleted'), writeKeys: [WRITE_KEY] };
  return { status: 200, json: { data: { source } } };
}

function regulate(call: Call<State>): Reply {
  require(call, 'regulations');
  const { regulationType: type, subjectIds } = call.parse(regulation);
  call.rows(subjectIds.length);
  for (const id of subjectIds) {
    if (type.includes('DELETE')) call.state.users.delete(id);
    if (type.startsWith('SUPPRESS')) call.state.suppressed.add(id);
    if (type === 'UNSUPPRESS') call.state.suppressed.delete(id);
  }
  return { status: 200, json: { data: { regulateId: 'sandboxRegulation' } } };
}

/** Every trait that is `true` of a user is a list that the user is in. */
function held(state: State): Map<string, Set<string>> {
  const lists = new Map<string, Set<string>>();
  for (const [id, traits] of state.users) {
    for (const [name, value] of traits) {
      if (value !== true) continue;
      const list = lists.get(name);
      if (list === undefined) lists.set(name, new Set([id]));
      else list.add(id);
    }
  }
  return lists;
}
