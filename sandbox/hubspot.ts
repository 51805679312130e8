import * as z from 'zod';
import { type Call, Refusal, type Reply, standIn } from './stand-in.ts';

/**
 * HubSpot's contacts, static lists and tokens. Shapes follow https://github.com/HubSpot/HubSpot-public-api-spec-collection (Contacts, Lists and
 * OAuth, 2026-03); errors follow https://developers.hubspot.com/docs/api-reference/error-handling; both read 2026-11-23.
 */
interface State {
  /** Internal name -> whether its values are unique. */
  readonly properties: Map<string, boolean>;
  /** Record id -> properties. */
  readonly contacts: Map<string, Map<string, string>>;
  /** `property:value` of unique properties -> record id. */
  readonly unique: Map<string, string>;
  readonly lists: Map<string, List>;
  /** Addresses that an erasure named and HubSpot did not know: nobody can be written with one again. */
  readonly barred: Set<string>;
  records: number;
}

interface List {
  readonly name: string;
  readonly processingType: string;
  readonly members: Set<string>;
}

const SCOPES = ['crm.objects.contacts.read', 'crm.objects.contacts.write', 'crm.lists.read', 'crm.lists.write'];
const TOKENS: Readonly<Record<string, readonly string[]>> = {
  'pat-sandbox-hubspot': SCOPES,
  'pat-sandbox-hubspot-lists': ['crm.lists.read', 'crm.lists.write'],
};
const CLIENT = { client_id: 'sandbox-client', client_secret: 'sandbox-hubspot-client-secret', refresh_token: 'sandbox-refresh' };
/** An access token of the sandbox says when it ends: it outlives a reset, as a real one would. */
const ISSUED = 'sandbox-hubspot-access-';
const TOKEN_SECONDS = 1_800;
const MAX_INPUTS = 100;
const MAX_VALUE = 65_536;
const DEFAULT_PROPERTIES = [
  'firstname',
  'lastname',
  'phone',
  'mobilephone',
  'company',
  'jobtitle',
  'city',
  'state',
  'country',
  'zip',
];
const READ_ONLY = new Set(['createdate', 'lastmodifieddate', 'hs_object_id', 'hs_additional_emails']);

const trace = z.string().optional();
const values = z.record(z.string(), z.string());
const upsertInput = z.strictObject({
  inputs: z.array(
    z.strictObject({ id: z.string(), idProperty: z.string().optional(), objectWriteTraceId: trace, properties: values }),
  ),
});
const readInput = z.strictObject({
  idProperty: z.string().optional(),
  properties: z.array(z.string()),
  propertiesWithHistory: z.array(z.string()),
  inputs: z.array(z.strictObject({ id: z.string() })),
});
const listInput = z.strictObject({
  name: z.string().min(1),
  objectTypeId: z.string(),
  processingType: z.enum(['MANUAL', 'SNAPSHOT', 'DYNAMIC']),
  filterBranch: z.unknown().optional(),
  listFolderId: z.int().optional(),
  customProperties: values.optional(),
});
const recordIds = z.array(z.string());
const erasure = z.strictObject({ objectId: z.string(), idProperty: z.string().optional() });
const propertyInput = z.looseObject({ name: z.string().regex(/^[a-z][a-z0-9_]*$/), hasUniqueValue: z.boolean().optional() });

const CORRELATION = '00000000-0000-4000-8000-000000000000';
const failed = (status: number, category: string, message: string, more: object = {}): Reply => ({
  status,
  json: { status: 'error', message, correlationId: CORRELATION, category, ...more },
});
const tooMany = (policyName: 'TEN_SECONDLY_ROLLING' | 'DAILY'): Reply =>
  failed(429, 'RATE_LIMITS', `You have reached your ${policyName.toLowerCase()} limit.`, { errorType: 'RATE_LIMIT', policyName });
const unauthorised = (): Reply =>
  failed(401, 'INVALID_AUTHENTICATION', 'Authentication credentials not found. This API supports OAuth 2.0 authentication.');
const missing = (scopes: readonly string[]): Reply =>
  failed(403, 'MISSING_SCOPES', "This app hasn't been granted all required scopes to make this call.", {
    errors: [{ message: 'One or more of the following scopes are required.', context: { requiredGranularScopes: scopes } }],
  });
const done = (json: object, status = 200): Reply => ({ status, json });

export const hubspot = standIn<State>({
  name: 'hubspot',
  title: 'HubSpot',
  windows: [{ requests: 100, seconds: 10 }],
  maxBytes: 4_000_000,
  secret: { access_token: 'pat-sandbox-hubspot' },
  create: () => ({
    properties: new Map([
      ...DEFAULT_PROPERTIES.map((name) => [name, false] as const),
      ['email', true] as const,
      ['sluice_external_id', true] as const,
    ]),
    contacts: new Map(),
    unique: new Map(),
    lists: new Map(),
    barred: new Set(),
    records: 0,
  }),
  authorise(call) {
    if (call.fault('quota')) return tooMany('DAILY');
    if (call.headers.authorization === undefined && call.headers['content-type'] === 'application/x-www-form-urlencoded') {
      return undefined;
    }
    return scopesOf(call) === undefined ? unauthorised() : undefined;
  },
  routes: {
    'POST /oauth/{version}/token': makeToken,
    'GET /crm/lists/{version}/object-type-id/{type}/name/{name}': findList,
    'GET /crm/lists/{version}/{id}': showList,
    'POST /crm/lists/{version}': makeList,
    'DELETE /crm/lists/{version}/{id}': deleteList,
    'PUT /crm/lists/{version}/{id}/memberships/add': (call) => changeMembers(call, 'add'),
    'PUT /crm/lists/{version}/{id}/memberships/remove': (call) => changeMembers(call, 'remove'),
    'POST /crm/objects/{version}/contacts/batch/upsert': upsert,
    'POST /crm/objects/{version}/contacts/batch/update': update,
    'POST /crm/objects/{version}/contacts/batch/read': readContacts,
    'POST /crm/objects/{version}/contacts/gdpr-delete': erase,
    'POST /crm/properties/{version}/contacts': makeProperty,
  },
  replies: {
    unauthorised,
    forbidden: () => missing(SCOPES),
    // HubSpot sends no Retry-After for its rolling limit.
    throttled: () => {
      const reply = tooMany('TEN_SECONDLY_ROLLING');
      return { ...reply, headers: { 'x-hubspot-ratelimit-interval-milliseconds': '10000' } };
    },
    failed: (status) => failed(status, 'INTERNAL_ERROR', 'internal error'),
    tooLarge: () => failed(413, 'PAYLOAD_TOO_LARGE', 'Request body is too large.'),
    notFound: () => failed(404, 'OBJECT_NOT_FOUND', 'Resource not found'),
    invalid: ([issue]) =>
      failed(400, 'VALIDATION_ERROR', 'Invalid input JSON', {
        errors: [{ message: issue?.message ?? '', in: issue?.path ?? '' }],
      }),
  },
  headers: ({ limit, remaining, seconds }) => ({
    'x-hubspot-ratelimit-max': String(limit),
    'x-hubspot-ratelimit-remaining': String(remaining),
    'x-hubspot-ratelimit-interval-milliseconds': String(seconds * 1000),
  }),
  held(state) {
    const names = (id: string): string =>
      state.contacts.get(id)?.get('sluice_external_id') ?? state.contacts.get(id)?.get('email') ?? id;
    return new Map([...state.lists.values()].map(({ name, members }) => [name, new Set([...members].map(names))]));
  },
});

function scopesOf({ headers, now }: Call<State>): readonly string[] | undefined {
  const [, token = ''] = /^Bearer (\S+)$/.exec(headers.authorization ?? '') ?? [];
  if (token.startsWith(ISSUED)) return Number(token.slice(ISSUED.length)) > now ? SCOPES : undefined;
  return Object.hasOwn(TOKENS, token) ? TOKENS[token] : undefined;
}

/** Every call but the one that makes tokens begins with this. */
function begin(call: Call<State>, ...scopes: readonly string[]): void {
  const held = scopesOf(call);
  if (held === undefined) throw new Refusal(unauthorised());
  if (!/^2026-0[39]$/.test(call.params.version ?? '')) throw new Refusal(failed(404, 'OBJECT_NOT_FOUND', 'Resource not found'));
  if (!scopes.every((scope) => held.includes(scope))) throw new Refusal(missing(scopes));
  if (call.body !== '' && call.headers['content-type'] !== 'application/json') {
    throw new Refusal(failed(415, 'VALIDATION_ERROR', 'Unsupported media type'));
  }
}

/** RFC 6749 6, with HubSpot's own errors. */
function makeToken({ body, now }: Call<State>): Reply {
  const form = new URLSearchParams(body);
  const is = (name: keyof typeof CLIENT): boolean => form.get(name) === CLIENT[name];
  if (form.get('grant_type') !== 'refresh_token')
    return done({ status: 'BAD_GRANT_TYPE', message: 'missing or unknown grant type' }, 400);
  if (!is('client_id') || !is('client_secret'))
    return done({ status: 'BAD_CLIENT_ID', message: 'missing or unknown client id' }, 400);
  if (!is('refresh_token')) return done({ status: 'BAD_REFRESH_TOKEN', message: 'missing or unknown refresh token' }, 400);
  return done({
    access_token: `${ISSUED}${now + TOKEN_SECONDS * 1000}`,
    refresh_token: CLIENT.refresh_token,
    expires_in: TOKEN_SECONDS,
    token_type: 'bearer',
    token_use: 'access_token',
  });
}

const listOf = (id: string, { name, processingType, members }: List, version: number): object => ({
  listId: id,
  listVersion: version,
  name,
  objectTypeId: '0-1',
  processingStatus: 'COMPLETE',
  processingType,
  size: members.size,
});

function findList(call: Call<State>): Reply {
  begin(call, 'crm.lists.read');
  const wanted = call.params.name?.toLowerCase();
  const found = [...call.state.lists].find(([, list]) => list.name.toLowerCase() === wanted);
  if (found === undefined || call.params.type !== '0-1') return failed(404, 'OBJECT_NOT_FOUND', 'List does not exist with name.');
  return done({ list: listOf(found[0], found[1], 1) });
}

function heldList(call: Call<State>): List {
  const list = call.fault('list-deleted') ? undefined : call.state.lists.get(call.params.id ?? '');
  if (list === undefined) throw new Refusal(failed(404, 'OBJECT_NOT_FOUND', 'List does not exist.'));
  return list;
}

function showList(call: Call<State>): Reply {
  begin(call, 'crm.lists.read');
  return done({ list: listOf(call.params.id ?? '', heldList(call), 1) });
}

function makeList(call: Call<State>): Reply {
  begin(call, 'crm.lists.write');
  const { name, objectTypeId, processingType } = call.parse(listInput);
  if (objectTypeId !== '0-1') return failed(400, 'VALIDATION_ERROR', 'The object type is not supported.');
  if ([...call.state.lists.values()].some((list) => list.name.toLowerCase() === name.toLowerCase())) {
    return failed(400, 'VALIDATION_ERROR', 'The list name is already in use.', { subCategory: 'ILS.DUPLICATE_LIST_NAMES' });
  }
  const id = String(call.state.lists.size + 1);
  const list: List = { name, processingType, members: new Set() };
  call.state.lists.set(id, list);
  return done({ list: listOf(id, list, 1) });
}

function deleteList(call: Call<State>): Reply {
  begin(call, 'crm.lists.read', 'crm.lists.write');
  heldList(call);
  call.state.lists.delete(call.params.id ?? '');
  return { status: 204 };
}

function changeMembers(call: Call<State>, change: 'add' | 'remove'): Reply {
  begin(call, 'crm.lists.read', 'crm.lists.write');
  const { members, processingType } = heldList(call);
  const ids = call.parse(recordIds);
  call.rows(ids.length);
  if (processingType === 'DYNAMIC') return failed(400, 'VALIDATION_ERROR', 'Memberships of a DYNAMIC list cannot be changed.');
  const known = ids.filter((id) => call.state.contacts.has(id));
  const changed = known.filter((id) => members.has(id) === (change === 'remove'));
  for (const id of changed) {
    if (change === 'add') members.add(id);
    else members.delete(id);
  }
  return done({
    recordsIdsAdded: change === 'add' ? changed : [],
    recordIdsRemoved: change === 'remove' ? changed : [],
    recordIdsMissing: ids.filter((id) => !call.state.contacts.has(id)),
  });
}

interface Problem {
  readonly category: string;
  readonly message: string;
  readonly context?: Readonly<Record<string, readonly string[]>>;
}

const notValid = (error: string, name: string, message: string): Problem => ({
  category: 'VALIDATION_ERROR',
  message: `Property values were not valid: ${JSON.stringify([{ isValid: false, message, error, name, localizedErrorMessage: message, portalId: 1 }])}`,
});

/** Why a contact cannot be written so, in HubSpot's words, which repeat the values. `id`: the contact that is changed, if there is one. */
function objection(state: State, id: string | undefined, properties: Readonly<Record<string, string>>): Problem | undefined {
  for (const [name, value] of Object.entries(properties)) {
    if (READ_ONLY.has(name)) return notValid('READ_ONLY_VALUE', name, `"${name}" is a read only property`);
    if (!state.properties.has(name)) return notValid('PROPERTY_DOESNT_EXIST', name, `Property "${name}" does not exist`);
    if (value.length > MAX_VALUE) return notValid('INVALID_LENGTH', name, `${value} is too long`);
    if (name === 'email' && value !== '' && (!/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(value) || state.barred.has(value))) {
      return notValid('INVALID_EMAIL', name, `Email address ${value} is invalid`);
    }
    const other = state.properties.get(name) === true ? state.unique.get(`${name}:${value}`) : undefined;
    if (other !== undefined && other !== id) {
      const message =
        name === 'email' ? `Contact already exists. Existing ID: ${other}` : `A contact has the ${name} ${value} already`;
      return { category: 'CONFLICT', message, context: { existingId: [other] } };
    }
  }
  return undefined;
}

function write(state: State, id: string, properties: Readonly<Record<string, string>>): Map<string, string> {
  const contact = state.contacts.get(id) ?? new Map<string, string>();
  state.contacts.set(id, contact);
  for (const [name, value] of Object.entries(properties)) {
    if (state.properties.get(name) === true) {
      state.unique.delete(`${name}:${contact.get(name) ?? ''}`);
      if (value !== '') state.unique.set(`${name}:${value}`, id);
    }
    if (value === '') contact.delete(name);
    else contact.set(name, value);
  }
  return contact;
}

interface Row {
  readonly id: string;
  readonly objectWriteTraceId?: string | undefined;
  readonly properties: Readonly<Record<string, string>>;
}

/**
 * Writes in parts when every input has a trace id of its own; else one bad row refuses all. `find` gives the contact of a row, undefined for
 * one that is to be made, or why there is none.
 */
function batchWrite(
  call: Call<State>,
  inputs: readonly Row[],
  find: (row: Row) => string | undefined | Problem,
  parts: boolean,
): Reply {
  call.rows(inputs.length);
  if (inputs.length > MAX_INPUTS) return failed(400, 'VALIDATION_ERROR', `The maximum number of inputs is ${MAX_INPUTS}`);
  const traces = new Set(inputs.map((row) => row.objectWriteTraceId).filter((one) => one !== undefined));
  const inParts = parts && traces.size === inputs.length;
  const results: object[] = [];
  const errors: object[] = [];
  const todo: (() => void)[] = [];
  for (const [index, row] of inputs.entries()) {
    const found = find(row);
    const struck = call.refusesRow(index)
      ? notValid('INVALID_OPTION', 'city', `${row.properties.city} was not one of the allowed options`)
      : undefined;
    const problem = struck ?? (typeof found === 'object' ? found : objection(call.state, found, row.properties));
    if (problem === undefined) {
      const save = (): void => {
        const record = typeof found === 'string' ? found : String((call.state.records += 1) + 100_000_000_000);
        const contact = write(call.state, record, row.properties);
        const properties = { ...Object.fromEntries(contact), hs_object_id: record };
        results.push({
          id: record,
          new: found === undefined,
          properties,
          objectWriteTraceId: row.objectWriteTraceId,
          archived: false,
        });
      };
      // In parts each row sees what the rows before it have done.
      if (inParts) save();
      else todo.push(save);
      continue;
    }
    const { category, message, context } = problem;
    if (!inParts) return failed(category === 'CONFLICT' ? 409 : 400, category, message, context && { context });
    errors.push({ status: 'error', category, message, context: { ...context, objectWriteTraceId: [row.objectWriteTraceId] } });
  }
  for (const save of todo) save();
  const status = errors.length > 0 ? { numErrors: errors.length, errors } : {};
  return done({ status: 'COMPLETE', results, ...status, ...TIMES }, errors.length > 0 ? 207 : 200);
}

const TIMES = { startedAt: '2026-11-22T00:00:00.000Z', completedAt: '2026-11-22T00:00:00.000Z' };

function upsert(call: Call<State>): Reply {
  begin(call, 'crm.objects.contacts.write');
  const { inputs } = call.parse(upsertInput);
  const [by, ...others] = new Set(inputs.map((row) => row.idProperty));
  if (by === undefined || others.length > 0) return failed(400, 'VALIDATION_ERROR', 'One idProperty is required.');
  if (call.state.properties.get(by) !== true) {
    return failed(400, 'VALIDATION_ERROR', `Unable to perform update/upsert by non-unique 0-1 property ${by} in portal ID 1`);
  }
  const ids = inputs.map((row) => row.id);
  const twice = ids.filter((id, index) => ids.indexOf(id) !== index);
  if (twice.length > 0) return failed(400, 'VALIDATION_ERROR', `Duplicate IDs found in batch input: [${twice.join(', ')}]`);
  const rows = inputs.map((row) => ({ ...row, properties: { ...row.properties, [by]: row.id } }));
  // "Partial upserts are not supported when using email as the idProperty."
  return batchWrite(call, rows, (row) => call.state.unique.get(`${by}:${row.id}`), by !== 'email');
}

function update(call: Call<State>): Reply {
  begin(call, 'crm.objects.contacts.write');
  const { inputs } = call.parse(upsertInput);
  const find = (row: Row): string | Problem =>
    call.state.contacts.has(row.id) ? row.id : { category: 'OBJECT_NOT_FOUND', message: NOT_FOUND, context: { ids: [row.id] } };
  return batchWrite(call, inputs, find, true);
}

const NOT_FOUND = 'Could not get some CONTACT objects, they may be deleted or not exist. Check that ids are valid.';

function readContacts(call: Call<State>): Reply {
  begin(call, 'crm.objects.contacts.read');
  const { idProperty, properties, inputs } = call.parse(readInput);
  call.rows(inputs.length);
  if (inputs.length > MAX_INPUTS) return failed(400, 'VALIDATION_ERROR', `The maximum number of inputs is ${MAX_INPUTS}`);
  if (idProperty !== undefined && call.state.properties.get(idProperty) !== true) {
    return failed(400, 'VALIDATION_ERROR', `Unable to perform read by non-unique 0-1 property ${idProperty} in portal ID 1`);
  }
  const recordOf = (id: string): string | undefined =>
    idProperty === undefined ? (call.state.contacts.has(id) ? id : undefined) : call.state.unique.get(`${idProperty}:${id}`);
  const found = new Set(inputs.map(({ id }) => recordOf(id)).filter((id) => id !== undefined));
  const results = [...found].map((id) => {
    const contact = call.state.contacts.get(id);
    const shown = properties.map((name) => [name, contact?.get(name) ?? null] as const);
    return { id, properties: { ...Object.fromEntries(shown), hs_object_id: id }, archived: false };
  });
  const lost = inputs.map(({ id }) => id).filter((id) => recordOf(id) === undefined);
  const error = { status: 'error', category: 'OBJECT_NOT_FOUND', message: NOT_FOUND, context: { ids: lost } };
  const errors = lost.length > 0 ? { numErrors: 1, errors: [error] } : {};
  return done({ status: 'COMPLETE', results, ...errors, ...TIMES }, lost.length > 0 ? 207 : 200);
}

function erase(call: Call<State>): Reply {
  begin(call, 'crm.objects.contacts.write');
  const { objectId, idProperty } = call.parse(erasure);
  call.rows(1);
  const { contacts, unique, lists, barred, properties } = call.state;
  const id = idProperty === undefined ? objectId : unique.get(`${idProperty}:${objectId}`);
  const contact = contacts.get(id ?? '');
  // "If email address is not found, the email address will be added to a blocklist."
  if (contact === undefined && idProperty === 'email') barred.add(objectId);
  if (id === undefined || contact === undefined) {
    return idProperty === 'email' ? { status: 204 } : failed(404, 'OBJECT_NOT_FOUND', 'resource not found');
  }
  for (const [name, value] of contact) if (properties.get(name) === true) unique.delete(`${name}:${value}`);
  contacts.delete(id);
  for (const { members } of lists.values()) members.delete(id);
  return { status: 204 };
}

/** So that a user of the sandbox can make the properties their traits need, as at HubSpot. */
function makeProperty(call: Call<State>): Reply {
  begin(call);
  const { name, hasUniqueValue } = call.parse(propertyInput);
  if (call.state.properties.has(name)) return failed(409, 'OBJECT_ALREADY_EXISTS', 'A property of this name exists already.');
  call.state.properties.set(name, hasUniqueValue === true);
  return done({ name, hasUniqueValue: hasUniqueValue === true }, 201);
}
