import * as z from 'zod';
import { type Call, Refusal, type Reply, standIn } from './stand-in.ts';

/**
 * Klaviyo's lists, profile imports, suppressions and deletions. Shapes follow https://github.com/klaviyo/openapi openapi/stable.json,
 * revision 2026-07-15, read 2026-11-22. Imports take time, and lists change only when they are complete.
 */
interface State {
  readonly lists: Map<string, { readonly name: string; readonly members: Set<string> }>;
  readonly profiles: Map<string, Profile>;
  readonly jobs: Map<string, ImportJob>;
  readonly suppressed: Set<string>;
  /** Address -> when its person consented to e-mail marketing, ISO 8601. */
  readonly subscribed: Map<string, string>;
  /** Addresses that lost every subscription. */
  readonly unsubscribed: Set<string>;
  ids: number;
}

interface Profile {
  external_id?: string | null;
  email?: string | null;
  phone_number?: string | null;
  readonly fields: Map<string, unknown>;
  readonly properties: Map<string, unknown>;
}

interface ImportJob {
  readonly due: number;
  readonly lists: readonly string[];
  readonly rows: readonly ProfileInput[];
  /** Indexes that a `refuse-rows` fault struck. */
  readonly struck: ReadonlySet<number>;
  done: boolean;
  readonly errors: { readonly index: number; readonly code: string; readonly field: string }[];
}

const KEYS: Readonly<Record<string, readonly string[]>> = {
  pk_sandbox_klaviyo: [
    'lists:read',
    'lists:write',
    'profiles:read',
    'profiles:write',
    'data-privacy:write',
    'subscriptions:write',
  ],
  pk_sandbox_klaviyo_lists: ['lists:read', 'lists:write', 'profiles:read', 'profiles:write'],
};
const MAX_PROFILES = 10_000;
const MAX_RELATIONS = 1_000;
const MAX_SUPPRESSIONS = 100;
const MAX_SUBSCRIPTIONS = 1_000;
const MAX_FILTER_CHARACTERS = 8_000;
/** An import takes this long, and a little for every row. */
const JOB_MS = 40;
const ROWS_A_MS = 50;

const text = z.string().nullish();
const profileInput = z.strictObject({
  type: z.literal('profile'),
  id: text,
  attributes: z.strictObject({
    email: text,
    phone_number: text,
    external_id: text,
    _kx: text,
    first_name: text,
    last_name: text,
    organization: text,
    locale: text,
    title: text,
    image: text,
    location: z.record(z.string(), z.unknown()).nullish(),
    properties: z.record(z.string(), z.unknown()).nullish(),
  }),
  meta: z
    .strictObject({
      patch_properties: z
        .strictObject({
          append: z.record(z.string(), z.unknown()).nullish(),
          unappend: z.record(z.string(), z.unknown()).nullish(),
          unset: z.union([z.string(), z.array(z.string())]).nullish(),
        })
        .nullish(),
      patch_identifiers: z.record(z.string(), z.unknown()).nullish(),
    })
    .nullish(),
});
type ProfileInput = z.infer<typeof profileInput>;

const ref = (type: string) => z.strictObject({ type: z.literal(type), id: z.string() });
const importInput = z.strictObject({
  data: z.strictObject({
    type: z.literal('profile-bulk-import-job'),
    attributes: z.strictObject({ profiles: z.strictObject({ data: z.array(profileInput).min(1) }) }),
    relationships: z.strictObject({ lists: z.strictObject({ data: z.array(ref('list')) }) }).optional(),
  }),
});
const listInput = z.strictObject({
  data: z.strictObject({
    type: z.literal('list'),
    attributes: z.strictObject({ name: z.string().min(1), opt_in_process: z.enum(['double_opt_in', 'single_opt_in']).nullish() }),
  }),
});
const changeInput = z.strictObject({ data: profileInput });
const relations = z.strictObject({ data: z.array(ref('profile')).min(1) });
const suppressions = z.strictObject({
  data: z.strictObject({
    type: z.literal('profile-suppression-bulk-create-job'),
    attributes: z.strictObject({
      profiles: z.strictObject({
        data: z.array(z.strictObject({ type: z.literal('profile'), attributes: z.strictObject({ email: z.string() }) })),
      }),
    }),
  }),
});
const deletion = z.strictObject({
  data: z.strictObject({
    type: z.literal('data-privacy-deletion-job'),
    attributes: z.strictObject({
      profile: z.strictObject({
        data: z.strictObject({
          type: z.literal('profile'),
          id: text,
          attributes: z.strictObject({ email: text, phone_number: text }),
        }),
      }),
    }),
  }),
});
const subscription = z.strictObject({
  data: z.strictObject({
    type: z.literal('profile-subscription-bulk-create-job'),
    attributes: z.strictObject({
      historical_import: z.boolean().optional(),
      profiles: z.strictObject({
        data: z.array(
          z.strictObject({
            type: z.literal('profile'),
            attributes: z.strictObject({
              email: z.email(),
              subscriptions: z.strictObject({
                email: z.strictObject({
                  marketing: z.strictObject({ consent: z.literal('SUBSCRIBED'), consented_at: z.iso.datetime().optional() }),
                }),
              }),
            }),
          }),
        ),
      }),
    }),
    relationships: z.strictObject({
      list: z.strictObject({ data: z.strictObject({ type: z.literal('list'), id: z.string() }) }),
    }),
  }),
});
const unsubscription = z.looseObject({
  data: z.looseObject({
    attributes: z.looseObject({
      profiles: z.looseObject({ data: z.array(z.looseObject({ attributes: z.looseObject({ email: text }) })) }),
    }),
  }),
});

const answer = (status: number, json: unknown, headers?: Record<string, string>): Reply => ({
  status,
  json,
  headers: { 'content-type': 'application/vnd.api+json', ...headers },
});
const failed = (status: number, code: string, detail: string, source: { pointer?: string; parameter?: string } = {}): Reply =>
  answer(status, { errors: [{ id: 'sandbox', status, code, title: detail, detail, source, links: {}, meta: {} }] });
const row = (index: number, field: string): string => `/data/attributes/profiles/data/${index}/attributes/${field}`;

export const klaviyo = standIn<State>({
  name: 'klaviyo',
  title: 'Klaviyo',
  windows: [
    { requests: 10, seconds: 1 },
    { requests: 150, seconds: 60 },
  ],
  maxBytes: 5_000_000,
  secret: { api_key: 'pk_sandbox_klaviyo' },
  create: () => ({
    lists: new Map(),
    profiles: new Map(),
    jobs: new Map(),
    suppressed: new Set(),
    unsubscribed: new Set(),
    subscribed: new Map(),
    ids: 0,
  }),
  authorise(call) {
    settle(call.state, call.now);
    if (!(keyOf(call) in KEYS))
      return failed(401, 'not_authenticated', 'Authentication credentials were not provided or are wrong.');
    if (!/^20\d\d-\d\d-\d\d$/.test(call.headers.revision ?? ''))
      return failed(400, 'invalid', 'Missing or invalid revision header.');
    if (call.body !== '' && call.headers['content-type'] !== 'application/vnd.api+json')
      return failed(415, 'unsupported_media_type', 'Unsupported media type.');
    return undefined;
  },
  routes: {
    'GET /api/lists': findLists,
    'POST /api/lists': makeList,
    'GET /api/lists/{id}': showList,
    'DELETE /api/lists/{id}/relationships/profiles': removeFromList,
    'GET /api/profiles': findProfiles,
    'PATCH /api/profiles/{id}': changeProfile,
    'POST /api/profile-bulk-import-jobs': startImport,
    'GET /api/profile-bulk-import-jobs/{id}': showImport,
    'GET /api/profile-bulk-import-jobs/{id}/import-errors': showImportErrors,
    'POST /api/profile-suppression-bulk-create-jobs': suppress,
    'POST /api/profile-subscription-bulk-create-jobs': subscribe,
    'POST /api/profile-subscription-bulk-delete-jobs': unsubscribe,
    'POST /api/data-privacy-deletion-jobs': erase,
  },
  replies: {
    unauthorised: () => failed(401, 'not_authenticated', 'Incorrect authentication credentials.'),
    forbidden: () => failed(403, 'permission_denied', 'You do not have permission to perform this action.'),
    throttled: (afterMs) => {
      const reply = failed(429, 'throttled', 'Request was throttled.');
      return { ...reply, headers: { ...reply.headers, 'retry-after': String(Math.ceil(afterMs / 1000)) } };
    },
    failed: (status) => failed(status, 'error', 'A server error occurred.'),
    tooLarge: () => failed(413, 'payload_too_large', 'The payload exceeds 5MB.'),
    notFound: () => failed(404, 'not_found', 'Not found.'),
    invalid: ([issue]) => failed(400, 'invalid', 'Invalid input.', { pointer: `/${(issue?.path ?? '').replaceAll('.', '/')}` }),
  },
  headers: ({ limit, remaining, seconds }) => ({
    'ratelimit-limit': String(limit),
    'ratelimit-remaining': String(remaining),
    'ratelimit-reset': String(seconds),
  }),
  held(state) {
    settle(state, Date.now());
    const names = (id: string): string => state.profiles.get(id)?.external_id ?? state.profiles.get(id)?.email ?? id;
    return new Map([...state.lists.values()].map(({ name, members }) => [name, new Set([...members].map(names))]));
  },
});

const keyOf = ({ headers }: Call<State>): string => (headers.authorization ?? '').replace(/^Klaviyo-API-Key /, '');

function require(call: Call<State>, ...scopes: readonly string[]): void {
  const held = KEYS[keyOf(call)] ?? [];
  if (!scopes.every((scope) => held.includes(scope))) {
    throw new Refusal(failed(403, 'permission_denied', 'You do not have permission to perform this action.'));
  }
}

const newId = (state: State, prefix: string): string => {
  state.ids += 1;
  return `${prefix}${String(state.ids).padStart(8, '0')}`;
};

function listOf(call: Call<State>): { readonly name: string; readonly members: Set<string> } {
  const list = call.fault('list-deleted') ? undefined : call.state.lists.get(call.params.id ?? '');
  if (list === undefined) throw new Refusal(failed(404, 'not_found', 'A list with the given id does not exist.'));
  return list;
}

function filterOf(call: Call<State>): string {
  const filter = call.query.get('filter') ?? '';
  if (encodeURIComponent(filter).length > MAX_FILTER_CHARACTERS) throw new Refusal({ status: 414, text: 'URI Too Long' });
  return filter;
}

function findLists(call: Call<State>): Reply {
  require(call, 'lists:read');
  const [, name] = /^equals\(name,("(?:[^"\\]|\\.)*")\)$/.exec(filterOf(call)) ?? [];
  if (name === undefined) return failed(400, 'invalid', 'Invalid filter provided.', { parameter: 'filter' });
  const found = [...call.state.lists].filter(([, list]) => list.name === JSON.parse(name)).slice(0, 10);
  return answer(200, {
    data: found.map(([id, list]) => ({ type: 'list', id, attributes: { name: list.name } })),
    links: { next: null },
  });
}

function makeList(call: Call<State>): Reply {
  require(call, 'lists:write');
  const { name } = call.parse(listInput).data.attributes;
  const id = newId(call.state, 'L');
  call.state.lists.set(id, { name, members: new Set() });
  return answer(201, { data: { type: 'list', id, attributes: { name } } });
}

function showList(call: Call<State>): Reply {
  require(call, 'lists:read');
  const { name, members } = listOf(call);
  const count = call.query.get('additional-fields[list]') === 'profile_count' ? { profile_count: members.size } : {};
  return answer(200, { data: { type: 'list', id: call.params.id, attributes: { name, ...count } } });
}

function removeFromList(call: Call<State>): Reply {
  require(call, 'lists:write', 'profiles:write');
  const { members } = listOf(call);
  const { data } = call.parse(relations);
  call.rows(data.length);
  if (data.length > MAX_RELATIONS) return failed(400, 'invalid', 'Too many profiles.', { pointer: '/data' });
  if (data.some(({ id }) => !call.state.profiles.has(id)))
    return failed(404, 'not_found', 'A profile does not exist.', { pointer: '/data' });
  for (const { id } of data) members.delete(id);
  return { status: 204 };
}

function findProfiles(call: Call<State>): Reply {
  require(call, 'profiles:read');
  const [, field = '', values] = /^any\((external_id|email|phone_number|id),(\[.*\])\)$/s.exec(filterOf(call)) ?? [];
  const wanted = new Set(values === undefined ? [] : (JSON.parse(values) as string[]));
  const size = Number(call.query.get('page[size]') ?? 20);
  if (wanted.size === 0 || wanted.size > 100 || size > 100)
    return failed(400, 'invalid', 'Invalid filter provided.', { parameter: 'filter' });
  const found = [...call.state.profiles].filter(([id, one]) => wanted.has(field === 'id' ? id : (one[field as 'email'] ?? '')));
  const data = found
    .slice(0, size)
    .map(([id, { external_id, email }]) => ({ type: 'profile', id, attributes: { external_id, email } }));
  return answer(200, { data, links: { next: null } });
}

/** https://developers.klaviyo.com/en/docs/update_profile_properties_via_api, read 2026-11-25: no two profiles have one external id. */
function changeProfile(call: Call<State>): Reply {
  require(call, 'profiles:write');
  const { data } = call.parse(changeInput);
  const id = call.params.id ?? '';
  if (data.id !== id) return failed(400, 'invalid', 'The id of the body is another one.');
  if (!call.state.profiles.has(id)) return failed(404, 'not_found', 'A profile with the given id does not exist.');
  const { external_id: external } = data.attributes;
  const taken = [...call.state.profiles].some(([other, one]) => other !== id && external != null && one.external_id === external);
  if (taken) return failed(409, 'duplicate_profile', 'A profile already exists with one of these identifiers.');
  write(call.state, id, data);
  return answer(200, { data: { type: 'profile', id } });
}

function startImport(call: Call<State>): Reply {
  require(call, 'lists:write', 'profiles:write');
  const { attributes, relationships } = call.parse(importInput).data;
  const rows = attributes.profiles.data;
  call.rows(rows.length);
  if (rows.length > MAX_PROFILES)
    return failed(400, 'invalid', 'Too many profiles.', { pointer: '/data/attributes/profiles/data' });
  const lists = (relationships?.lists.data ?? []).map((one) => one.id);
  const missing = lists.find((id) => call.fault('list-deleted') || !call.state.lists.has(id));
  if (missing !== undefined) return failed(400, 'invalid', `List ID ${missing} does not exist.`, { pointer: '/data' });
  const objections = rows.flatMap((one, index) => {
    const field = objection(one);
    return field === undefined ? [] : [failed(400, 'invalid', 'Invalid input.', { pointer: row(index, field) })];
  });
  if (objections.length > 0) {
    return answer(400, { errors: objections.flatMap((one) => (one.json as { errors: unknown[] }).errors) });
  }
  const id = newId(call.state, 'J');
  const struck = new Set(rows.keys().filter((index) => call.refusesRow(index)));
  const due = call.now + JOB_MS + Math.ceil(rows.length / ROWS_A_MS);
  call.state.jobs.set(id, { due, lists, rows, struck, done: false, errors: [] });
  return answer(202, {
    data: { type: 'profile-bulk-import-job', id, attributes: { status: 'queued', total_count: rows.length } },
  });
}

/** The field of a profile that Klaviyo refuses at once. */
function objection({ attributes: { email, phone_number: phone, external_id: external } }: ProfileInput): string | undefined {
  if (email == null && phone == null && external == null) return 'email';
  if (email != null && !/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(email)) return 'email';
  if (phone != null && !/^\+[1-9]\d{6,14}$/.test(phone)) return 'phone_number';
  return external != null && Buffer.byteLength(external) > 255 ? 'external_id' : undefined;
}

function jobOf(call: Call<State>): ImportJob {
  const job = call.state.jobs.get(call.params.id ?? '');
  if (job === undefined) throw new Refusal(failed(404, 'not_found', 'A job with the given id does not exist.'));
  return job;
}

function showImport(call: Call<State>): Reply {
  require(call, 'lists:read', 'profiles:read');
  const { done, rows, errors } = jobOf(call);
  const status = done ? 'complete' : 'processing';
  const attributes = {
    status,
    total_count: rows.length,
    completed_count: done ? rows.length - errors.length : 0,
    failed_count: errors.length,
  };
  return answer(200, { data: { type: 'profile-bulk-import-job', id: call.params.id, attributes } });
}

function showImportErrors(call: Call<State>): Reply {
  require(call, 'profiles:read');
  const { rows, errors } = jobOf(call);
  const size = Number(call.query.get('page[size]') ?? 20);
  const from = Number(call.query.get('page[cursor]') ?? 0);
  const data = errors.slice(from, from + size).map(({ index, code, field }) => ({
    type: 'import-error',
    id: `E${index}`,
    attributes: {
      code,
      title: 'Invalid input.',
      detail: 'Invalid input.',
      source: { pointer: row(index, field) },
      original_payload: rows[index]?.attributes,
    },
  }));
  const path = `${call.endpoint}/api/profile-bulk-import-jobs/${call.params.id}/import-errors`;
  const next = from + size < errors.length ? `${path}?page[size]=${size}&page[cursor]=${from + size}` : null;
  return answer(200, { data, links: { self: path, next } });
}

/** Imports whose time has come are done, in the order they were started. */
function settle(state: State, now: number): void {
  let byExternal: Map<string, string> | undefined;
  let byEmail: Map<string, string> | undefined;
  for (const job of state.jobs.values()) {
    if (job.done || job.due > now) continue;
    job.done = true;
    byExternal ??= new Map([...state.profiles].flatMap(([id, one]) => (one.external_id == null ? [] : [[one.external_id, id]])));
    byEmail ??= new Map([...state.profiles].flatMap(([id, one]) => (one.email == null ? [] : [[one.email, id]])));
    for (const [index, input] of job.rows.entries()) {
      const { email, external_id: external } = input.attributes;
      const own = external == null ? undefined : byExternal.get(external);
      const same = email == null ? undefined : byEmail.get(email);
      // An address belongs to one profile, and a profile to one external id.
      const other =
        own === undefined && same !== undefined
          ? (state.profiles.get(same)?.external_id ?? external) !== external
          : own !== undefined && same !== undefined && own !== same;
      if (job.struck.has(index) || other) {
        job.errors.push({ index, code: other ? 'duplicate_profile' : 'invalid', field: other ? 'email' : 'phone_number' });
        continue;
      }
      const id = own ?? same ?? newId(state, 'P');
      write(state, id, input);
      if (external != null) byExternal.set(external, id);
      if (email != null) byEmail.set(email, id);
      for (const list of job.lists) state.lists.get(list)?.members.add(id);
    }
  }
}

/** An import leaves what it does not name or names as null; only `unset` takes something away. */
function write(state: State, id: string, { attributes, meta }: ProfileInput): void {
  const profile = state.profiles.get(id) ?? { fields: new Map<string, unknown>(), properties: new Map<string, unknown>() };
  state.profiles.set(id, profile);
  const { email, phone_number: phone, external_id: external, properties, ...fields } = attributes;
  profile.email = email ?? profile.email;
  profile.phone_number = phone ?? profile.phone_number;
  profile.external_id = external ?? profile.external_id;
  for (const [name, value] of Object.entries(fields)) if (value != null) profile.fields.set(name, value);
  for (const [name, value] of Object.entries(properties ?? {})) if (value != null) profile.properties.set(name, value);
  for (const name of [meta?.patch_properties?.unset ?? []].flat()) profile.properties.delete(name);
}

function suppress(call: Call<State>): Reply {
  require(call, 'profiles:write', 'subscriptions:write');
  const { data } = call.parse(suppressions).data.attributes.profiles;
  call.rows(data.length);
  if (data.length > MAX_SUPPRESSIONS)
    return failed(400, 'invalid', 'Too many profiles.', { pointer: '/data/attributes/profiles/data' });
  for (const { attributes } of data) call.state.suppressed.add(attributes.email);
  return answer(202, {
    data: { type: 'profile-suppression-bulk-create-job', id: newId(call.state, 'S'), attributes: { status: 'processing' } },
  });
}

/** Lifts an unsubscribe and a suppression, as the real one does. A subscription of the past says when it was given. */
function subscribe(call: Call<State>): Reply {
  require(call, 'lists:write', 'profiles:write', 'subscriptions:write');
  const { attributes, relationships } = call.parse(subscription).data;
  const { data } = attributes.profiles;
  call.rows(data.length);
  if (data.length > MAX_SUBSCRIPTIONS)
    return failed(400, 'invalid', 'Too many profiles.', { pointer: '/data/attributes/profiles/data' });
  if (!call.state.lists.has(relationships.list.data.id))
    return failed(404, 'not_found', 'A list with this id does not exist.', { pointer: '/data/relationships/list/data/id' });
  for (const [index, { attributes: profile }] of data.entries()) {
    const { consented_at: at } = profile.subscriptions.email.marketing;
    if (attributes.historical_import === true && (at === undefined || Date.parse(at) > call.now))
      return failed(400, 'invalid', 'consented_at must be in the past.', { pointer: row(index, 'subscriptions') });
    call.state.subscribed.set(profile.email, at ?? new Date(call.now).toISOString());
    call.state.unsubscribed.delete(profile.email);
    call.state.suppressed.delete(profile.email);
  }
  return { status: 202 };
}

/** The call nobody should make by accident: whoever is not on the list it names loses every subscription. */
function unsubscribe(call: Call<State>): Reply {
  require(call, 'lists:write', 'profiles:write', 'subscriptions:write');
  for (const { attributes } of call.parse(unsubscription).data.attributes.profiles.data) {
    if (attributes.email != null) call.state.unsubscribed.add(attributes.email);
  }
  return { status: 202 };
}

function erase(call: Call<State>): Reply {
  require(call, 'data-privacy:write');
  const { id, attributes } = call.parse(deletion).data.attributes.profile.data;
  call.rows(1);
  if ([id, attributes.email, attributes.phone_number].filter((one) => one != null).length !== 1) {
    return failed(400, 'invalid', 'Exactly one identifier is needed.', { pointer: '/data/attributes/profile/data' });
  }
  for (const [other, profile] of call.state.profiles) {
    if (other !== id && (profile.email == null || profile.email !== attributes.email)) continue;
    call.state.profiles.delete(other);
    for (const { members } of call.state.lists.values()) members.delete(other);
  }
  return { status: 202 };
}
