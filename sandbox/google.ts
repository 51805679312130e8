import { createHmac, verify } from 'node:crypto';
import * as z from 'zod';
import { type Call, type Handler, Refusal, type Reply, standIn } from './stand-in.ts';

/**
 * Google's Data Manager API for Customer Match: user lists, changes that are checked at once and done later, and their status in counts.
 * Shapes follow google/ads/datamanager/v1 of https://github.com/googleapis/googleapis, read 2026-11-22. Identifiers sent as one member
 * are one matched person: a removal by any of them takes the person out. Tokens are made here too, at /token.
 */
interface State {
  readonly lists: Map<string, List>;
  readonly requests: Map<string, Change>;
  /** Requests that are not done yet, in the order in which they came. */
  waiting: string[];
  /** E-mail address of a service account -> its public key in PEM. */
  readonly serviceAccounts: Map<string, string>;
  nextId: bigint;
  tokens: number;
}

interface List {
  readonly account: string;
  readonly displayName: string;
  readonly description: string;
  readonly membershipDuration: string | undefined;
  membershipStatus: 'OPEN' | 'CLOSED';
  readonly info: z.infer<typeof ingestedInfo>;
  /** People by all of their identifiers together; and the people of an identifier. */
  readonly people: Map<string, readonly string[]>;
  readonly peopleOf: Map<string, Set<string>>;
}

interface Change {
  readonly op: 'ingest' | 'remove';
  readonly destinations: readonly z.infer<typeof destinationInput>[];
  readonly people: readonly { readonly ids: readonly string[]; readonly denied: boolean }[];
  readonly type: DataType;
  readonly due: number;
  done: boolean;
}

const CLIENT = {
  client_id: 'sandbox.apps.googleusercontent.example',
  client_secret: 'sandbox-google-client-secret',
  refresh_token: 'sandbox-google-refresh-token',
};
const SCOPE = 'https://www.googleapis.com/auth/datamanager';
/** Tokens carry their end and what they may do, signed: they outlive a reset, as real ones would. */
const TOKEN_KEY = 'signs the access tokens of the stand-in';
const TOKEN_SECONDS = 3_600;
const MAX_MEMBERS = 10_000;
const MAX_IDENTIFIERS = 10;
const MAX_DESTINATIONS = 10;
/** A change takes this long, and a little for every member. */
const CHANGE_MS = 40;
const MEMBERS_A_MS = 50;

const KEY_TYPES = {
  compositeData: 'CONTACT_ID',
  userData: 'CONTACT_ID',
  mobileData: 'MOBILE_ID',
  userIdData: 'USER_ID',
} as const;
type DataType = keyof typeof KEY_TYPES;

const digits = z.string().regex(/^\d+$/);
const productAccount = z.strictObject({
  accountType: z.enum(['GOOGLE_ADS', 'DISPLAY_VIDEO_PARTNER', 'DISPLAY_VIDEO_ADVERTISER', 'DATA_PARTNER']),
  accountId: digits,
});
const destinationInput = z.strictObject({
  reference: z.string().optional(),
  loginAccount: productAccount.optional(),
  linkedAccount: productAccount.optional(),
  operatingAccount: productAccount,
  productDestinationId: z.string(),
});
const status = z.enum(['CONSENT_STATUS_UNSPECIFIED', 'CONSENT_GRANTED', 'CONSENT_DENIED']);
const consentInput = z.strictObject({ adUserData: status.optional(), adPersonalization: status.optional() });
const userData = z.strictObject({
  userIdentifiers: z.array(
    z.strictObject({
      emailAddress: z.string().optional(),
      phoneNumber: z.string().optional(),
      address: z
        .strictObject({
          givenName: z.string().optional(),
          familyName: z.string().optional(),
          regionCode: z.string().optional(),
          postalCode: z.string().optional(),
        })
        .optional(),
    }),
  ),
});
const memberInput = z.strictObject({
  destinationReferences: z.array(z.string()).optional(),
  consent: consentInput.optional(),
  userData: userData.optional(),
  compositeData: z.strictObject({ userData: userData.optional() }).optional(),
  mobileData: z.strictObject({ mobileIds: z.array(z.string()) }).optional(),
  userIdData: z.strictObject({ userId: z.string() }).optional(),
});
type MemberInput = z.infer<typeof memberInput>;
const changeInput = z.strictObject({
  destinations: z.array(destinationInput).default([]),
  audienceMembers: z.array(memberInput).default([]),
  validateOnly: z.boolean().optional(),
  encoding: z.enum(['HEX', 'BASE64']).optional(),
});
const ingestInput = changeInput.extend({
  consent: consentInput.optional(),
  termsOfService: z
    .strictObject({ customerMatchTermsOfServiceStatus: z.enum(['ACCEPTED', 'REJECTED', 'TERMS_OF_SERVICE_STATUS_UNSPECIFIED']) })
    .optional(),
});
type ChangeInput = z.infer<typeof ingestInput>;

const source = z.enum(['DATA_SOURCE_TYPE_FIRST_PARTY']).optional();
const ingestedInfo = z.strictObject({
  uploadKeyTypes: z.array(z.enum(['CONTACT_ID', 'MOBILE_ID', 'USER_ID'])),
  contactIdInfo: z.strictObject({ dataSourceType: source }).optional(),
  mobileIdInfo: z
    .strictObject({ dataSourceType: source, keySpace: z.enum(['IOS', 'ANDROID']).optional(), appId: z.string().optional() })
    .optional(),
  userIdInfo: z.strictObject({ dataSourceType: source }).optional(),
});
const listInput = z.strictObject({
  displayName: z.string().optional(),
  description: z.string().optional(),
  integrationCode: z.string().optional(),
  membershipStatus: z.enum(['OPEN', 'CLOSED']).optional(),
  membershipDuration: z.string().optional(),
  ingestedUserListInfo: ingestedInfo.optional(),
});

interface Violation {
  readonly field: string;
  readonly reason: string;
}

const failure = (code: number, name: string, message: string, details: readonly object[] = []): Reply => ({
  status: code,
  json: {
    error: {
      code,
      message,
      status: name,
      details: [...details, { '@type': 'type.googleapis.com/google.rpc.RequestInfo', requestId: 'sandbox' }],
    },
  },
});
const errorInfo = (reason: string, metadata: Readonly<Record<string, string>> = {}): object => ({
  '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
  reason,
  domain: 'datamanager.googleapis.com',
  metadata,
});
const badRequest = (violations: readonly Violation[]): Reply =>
  failure(400, 'INVALID_ARGUMENT', 'There was a problem with the request.', [
    errorInfo('INVALID_ARGUMENT'),
    {
      '@type': 'type.googleapis.com/google.rpc.BadRequest',
      fieldViolations: violations.map(({ field, reason }) => ({
        field,
        description: `The value is not valid: ${reason}`,
        reason,
      })),
    },
  ]);
const refuse = (field: string, reason: string): never => {
  throw new Refusal(badRequest([{ field, reason }]));
};
const unauthorised = (): Reply =>
  failure(401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials. Expected OAuth 2 access token.', [
    errorInfo('ACCESS_TOKEN_EXPIRED'),
  ]);
const forbidden = (): Reply =>
  failure(403, 'PERMISSION_DENIED', 'Request had insufficient authentication scopes.', [
    errorInfo('ACCESS_TOKEN_SCOPE_INSUFFICIENT'),
  ]);
const exhausted = (afterMs: number, quota: string): Reply =>
  failure(429, 'RESOURCE_EXHAUSTED', 'Too many requests.', [
    errorInfo('RATE_LIMIT_EXCEEDED', { quota_limit: quota }),
    { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${Math.ceil(afterMs / 1000)}s` },
  ]);

const LISTS = '/v1/accountTypes/{type}/accounts/{account}/userLists';

export const google = standIn<State>({
  name: 'google',
  title: 'Google Customer Match (Data Manager API)',
  windows: [
    { requests: 300, seconds: 60 },
    { requests: 100_000, seconds: 86_400 },
  ],
  maxBytes: 20_000_000,
  secret: CLIENT,
  create: () => ({
    lists: new Map(),
    requests: new Map(),
    waiting: [],
    serviceAccounts: new Map(),
    nextId: 9_150_000_000n,
    tokens: 0,
  }),
  // Every route but the one that makes tokens asks for one.
  authorise(call) {
    settle(call.state, call.now);
    return undefined;
  },
  routes: {
    'POST /token': makeToken,
    [`GET ${LISTS}`]: authorised(listLists),
    [`POST ${LISTS}`]: authorised(makeList),
    [`GET ${LISTS}/{list}`]: authorised(showList),
    'POST /v1/audienceMembers:ingest': authorised((call) => change(call, 'ingest', call.parse(ingestInput))),
    'POST /v1/audienceMembers:remove': authorised((call) => change(call, 'remove', call.parse(changeInput))),
    'GET /v1/requestStatus:retrieve': authorised(retrieveStatus),
  },
  replies: {
    unauthorised,
    forbidden,
    throttled: (afterMs) => exhausted(afterMs, 'IngestionMutateRequestsPerMinutePerProject'),
    failed: (code) =>
      code === 503
        ? failure(503, 'UNAVAILABLE', 'The service is currently unavailable.')
        : failure(code, 'INTERNAL', 'Internal error encountered.', [errorInfo('INTERNAL_ERROR')]),
    tooLarge: () => failure(413, 'INVALID_ARGUMENT', 'Request payload size exceeds the limit.'),
    notFound: () => ({ status: 404, headers: { 'content-type': 'text/html' }, text: '<!DOCTYPE html><title>Error 404</title>' }),
    invalid: (issues) => badRequest(issues.map(({ path }) => ({ field: fieldOf(path), reason: 'INVALID_ARGUMENT' }))),
  },
  held(state) {
    settle(state, Date.now());
    return new Map([...state.lists.values()].map((list) => [list.displayName, new Set(list.peopleOf.keys())]));
  },
});

/** `audienceMembers.3.userData` as violations write it: `audience_members[3].user_data`. */
const fieldOf = (path: string): string =>
  path.replace(/\.(\d+)/g, '[$1]').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const mac = (body: string): string => createHmac('sha256', TOKEN_KEY).update(body).digest('base64url');

/** OAuth 2.0: a refresh token, or an assertion signed by a service account. RFC 6749 5 and RFC 7523. */
function makeToken(call: Call<State>): Reply {
  const form = new URLSearchParams(call.body);
  const no = (error: string): Reply => ({ status: error === 'invalid_client' ? 401 : 400, json: { error } });
  if (call.headers['content-type'] !== 'application/x-www-form-urlencoded') return no('invalid_request');
  if (form.get('grant_type') === 'refresh_token') {
    if (form.get('client_id') !== CLIENT.client_id || form.get('client_secret') !== CLIENT.client_secret)
      return no('invalid_client');
    if (form.get('refresh_token') !== CLIENT.refresh_token) return no('invalid_grant');
    return tokenFor(call);
  }
  if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer') return no('unsupported_grant_type');
  const [head = '', body = '', signature = ''] = (form.get('assertion') ?? '').split('.');
  const header = part(z.strictObject({ alg: z.literal('RS256'), typ: z.literal('JWT') }), head);
  const claims = part(z.strictObject({ iss: z.string(), scope: z.string(), aud: z.string(), iat: z.int(), exp: z.int() }), body);
  const key = call.state.serviceAccounts.get(claims?.iss ?? '');
  if (header === undefined || claims === undefined || key === undefined) return no('invalid_grant');
  const signed = verify('RSA-SHA256', Buffer.from(`${head}.${body}`), key, Buffer.from(signature, 'base64url'));
  const now = call.now / 1000;
  const current = claims.iat <= now + 60 && claims.exp > now && claims.exp - claims.iat <= 3_600;
  if (!signed || !current || claims.aud !== `${call.endpoint}/token`) return no('invalid_grant');
  return tokenFor(call, claims.scope);
}

function part<T>(schema: z.ZodType<T>, text: string): T | undefined {
  try {
    return schema.safeParse(JSON.parse(Buffer.from(text, 'base64url').toString())).data;
  } catch {
    return undefined;
  }
}

function tokenFor({ state, now }: Call<State>, scope = SCOPE): Reply {
  state.tokens += 1;
  const body = Buffer.from(JSON.stringify({ n: state.tokens, scope, end: now + TOKEN_SECONDS * 1000 })).toString('base64url');
  return {
    status: 200,
    json: { access_token: `ya29.${body}.${mac(body)}`, expires_in: TOKEN_SECONDS, scope, token_type: 'Bearer' },
  };
}

function authorised(handler: Handler<State>): Handler<State> {
  return (call) => {
    const [, body = '', signature = ''] = (call.headers.authorization ?? '').replace(/^Bearer ya29/, '').split('.');
    if (body === '' || signature !== mac(body)) return unauthorised();
    const token = part(z.object({ scope: z.string(), end: z.number() }), body);
    if (token === undefined || token.end <= call.now) return unauthorised();
    return token.scope.split(' ').includes(SCOPE) ? handler(call) : forbidden();
  };
}

function accountOf(call: Call<State>): string {
  if (call.params.type !== 'GOOGLE_ADS' || !/^\d{10}$/.test(call.params.account ?? '')) refuse('parent', 'INVALID_FORMAT');
  for (const name of ['login-account', 'linked-account']) {
    const value = call.headers[name];
    if (value !== undefined && !/^accountTypes\/[A-Z_]+\/accounts\/\d+$/.test(value)) refuse(name, 'INVALID_FORMAT');
  }
  return call.params.account ?? '';
}

const described = (id: string, list: List): object => {
  // An estimate that says nothing of small lists.
  const count = list.people.size < 100 ? 0 : Math.floor(list.people.size / 10) * 10;
  return {
    name: `accountTypes/GOOGLE_ADS/accounts/${list.account}/userLists/${id}`,
    id,
    displayName: list.displayName,
    description: list.description,
    membershipStatus: list.membershipStatus,
    ...(list.membershipStatus === 'CLOSED' && { closingReason: 'UNUSED' }),
    membershipDuration: list.membershipDuration ?? `${540 * 86_400}s`,
    accessReason: 'OWNED',
    sizeInfo: { displayNetworkMembersCount: String(count), searchNetworkMembersCount: String(count) },
    ingestedUserListInfo: list.info,
  };
};

function listLists(call: Call<State>): Reply {
  const account = accountOf(call);
  const filter = call.query.get('filter');
  const name = filter === null ? undefined : /^display_name = ("(?:[^"\\]|\\.)*")$/.exec(filter)?.[1];
  if (filter !== null && name === undefined) refuse('filter', 'INVALID_FORMAT');
  const found = [...call.state.lists].filter(
    ([, list]) => list.account === account && (name === undefined || list.displayName === JSON.parse(name)),
  );
  // Like every empty field of a protobuf message, an empty list is left out.
  return { status: 200, json: found.length === 0 ? {} : { userLists: found.map(([id, list]) => described(id, list)) } };
}

function makeList(call: Call<State>): Reply {
  const account = accountOf(call);
  const input = call.parse(listInput);
  const info = input.ingestedUserListInfo ?? refuse('user_list.ingested_user_list_info', 'REQUIRED_FIELD_MISSING');
  if (!input.displayName) refuse('user_list.display_name', 'REQUIRED_FIELD_MISSING');
  if (!input.description) refuse('user_list.description', 'REQUIRED_FIELD_MISSING');
  if (info.uploadKeyTypes.length !== 1) refuse('user_list.ingested_user_list_info.upload_key_types', 'INVALID_ARGUMENT');
  const seconds = /^(\d+)s$/.exec(input.membershipDuration ?? '86400s')?.[1];
  if (seconds === undefined || Number(seconds) % 86_400 !== 0 || Number(seconds) > 540 * 86_400) {
    refuse('user_list.membership_duration', 'INVALID_ARGUMENT');
  }
  if (info.uploadKeyTypes[0] === 'MOBILE_ID' && (!info.mobileIdInfo?.appId || !info.mobileIdInfo.keySpace)) {
    refuse('user_list.ingested_user_list_info.mobile_id_info', 'REQUIRED_FIELD_MISSING');
  }
  if (call.fault('terms')) return termsMissing();
  const taken = [...call.state.lists.values()].some((list) => list.account === account && list.displayName === input.displayName);
  if (taken) return failure(409, 'ALREADY_EXISTS', 'A user list of that name exists.', [errorInfo('ALREADY_EXISTS')]);
  const id = String(call.state.nextId);
  call.state.nextId += 1n;
  const list: List = {
    account,
    displayName: input.displayName ?? '',
    description: input.description ?? '',
    membershipDuration: input.membershipDuration,
    membershipStatus: input.membershipStatus ?? 'OPEN',
    info,
    people: new Map(),
    peopleOf: new Map(),
  };
  call.state.lists.set(id, list);
  return { status: 200, json: described(id, list) };
}

function showList(call: Call<State>): Reply {
  const account = accountOf(call);
  const list = call.state.lists.get(call.params.list ?? '');
  if (list === undefined || list.account !== account || call.fault('list-deleted')) {
    return failure(404, 'NOT_FOUND', 'Resource not found.', [errorInfo('NOT_FOUND')]);
  }
  return { status: 200, json: described(call.params.list ?? '', list) };
}

const termsMissing = (): Reply => badRequest([{ field: 'terms_of_service', reason: 'TERMS_AND_CONDITIONS_NOT_SIGNED' }]);

/** Fast fail: one bad record refuses the request. What passes is done later, and only then can a record fail by itself. */
function change(call: Call<State>, op: 'ingest' | 'remove', input: ChangeInput): Reply {
  const { destinations, audienceMembers: members } = input;
  call.rows(members.length);
  if (call.fault('quota')) return exhausted(0, 'IngestionMutateRequestsPerDayPerProject');
  // Those belong to the calls for user lists; here the accounts stand in the destinations.
  if (call.headers['login-account'] !== undefined || call.headers['linked-account'] !== undefined) {
    refuse('login_account', 'INVALID_ARGUMENT');
  }
  if (members.length === 0) refuse('audience_members', 'REQUIRED_FIELD_MISSING');
  if (members.length > MAX_MEMBERS) refuse('audience_members', 'TOO_MANY_AUDIENCE_MEMBERS');
  if (destinations.length === 0) refuse('destinations', 'REQUIRED_FIELD_MISSING');
  if (destinations.length > MAX_DESTINATIONS) refuse('destinations', 'TOO_MANY_DESTINATIONS');
  const types = new Set(members.map(typeOf));
  if (types.size > 1) refuse('audience_members', 'MULTIPLE_DATA_TYPES_NOT_ALLOWED');
  const [type] = types;
  if (type === undefined) return badRequest([{ field: 'audience_members[0]', reason: 'REQUIRED_FIELD_MISSING' }]);
  if (KEY_TYPES[type] === 'CONTACT_ID' && input.encoding === undefined) refuse('encoding', 'REQUIRED_FIELD_MISSING');
  if (op === 'ingest' && input.termsOfService?.customerMatchTermsOfServiceStatus !== 'ACCEPTED') return termsMissing();
  if (call.fault('terms')) return termsMissing();
  for (const [index, { operatingAccount, productDestinationId }] of destinations.entries()) {
    const list = call.state.lists.get(productDestinationId);
    const field = `destinations[${index}].product_destination_id`;
    if (list?.account !== operatingAccount.accountId || call.fault('list-deleted')) refuse(field, 'INVALID_USER_LIST_ID');
    if (list?.info.uploadKeyTypes[0] !== KEY_TYPES[type]) refuse(field, 'INVALID_USER_LIST_TYPE');
  }
  const violations: Violation[] = [];
  const people = members.map((member, index) => {
    const ids = idsOf(member, input.encoding ?? 'HEX', (field, reason) =>
      violations.push({ field: `audience_members[${index}]${field}`, reason }),
    );
    if (call.refusesRow(index)) violations.push({ field: `audience_members[${index}]`, reason: 'INVALID_AUDIENCE_MEMBER' });
    return { ids, denied: (member.consent ?? input.consent)?.adUserData === 'CONSENT_DENIED' };
  });
  if (violations.length > 0) return badRequest(violations);
  const id = `sandbox-request-${call.state.nextId}`;
  call.state.nextId += 1n;
  if (input.validateOnly !== true) {
    const due = call.now + CHANGE_MS + Math.ceil(members.length / MEMBERS_A_MS);
    call.state.requests.set(id, { op, destinations, people, type, due, done: false });
    call.state.waiting.push(id);
  }
  return { status: 200, json: { requestId: id } };
}

function typeOf(member: MemberInput): DataType | undefined {
  const types = (Object.keys(KEY_TYPES) as DataType[]).filter((type) => member[type] !== undefined);
  return types.length === 1 ? types[0] : undefined;
}

const HASH = { HEX: /^[0-9a-fA-F]{64}$/, BASE64: /^[A-Za-z0-9+/]{43}=$/ };
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** What identifies a member, as `namespace:value`; `bad` is told of what Google refuses. */
function idsOf(member: MemberInput, encoding: 'HEX' | 'BASE64', bad: (field: string, reason: string) => void): string[] {
  if (member.userIdData !== undefined) {
    if (member.userIdData.userId === '') bad('.user_id_data.user_id', 'REQUIRED_FIELD_MISSING');
    return [`external_id:${member.userIdData.userId}`];
  }
  if (member.mobileData !== undefined) {
    const { mobileIds } = member.mobileData;
    if (mobileIds.length === 0) bad('.mobile_data.mobile_ids', 'REQUIRED_FIELD_MISSING');
    if (mobileIds.length > MAX_IDENTIFIERS) bad('.mobile_data.mobile_ids', 'TOO_MANY_USER_IDENTIFIERS');
    for (const [index, id] of mobileIds.entries()) {
      if (!UUID.test(id)) bad(`.mobile_data.mobile_ids[${index}]`, 'INVALID_MOBILE_ID_FORMAT');
    }
    return mobileIds.map((id) => `maid:${id}`);
  }
  const at = member.userData === undefined ? '.composite_data.user_data.user_identifiers' : '.user_data.user_identifiers';
  const identifiers = (member.userData ?? member.compositeData?.userData)?.userIdentifiers ?? [];
  if (identifiers.length === 0) bad(at, 'REQUIRED_FIELD_MISSING');
  if (identifiers.length > MAX_IDENTIFIERS) bad(at, 'TOO_MANY_USER_IDENTIFIERS');
  return identifiers.flatMap(({ emailAddress, phoneNumber, address }, index) => {
    const hash = (value: string | undefined, field: string): void => {
      if (value === undefined || value === '') bad(`${at}[${index}].${field}`, 'REQUIRED_FIELD_MISSING');
      else if (!HASH[encoding].test(value)) bad(`${at}[${index}].${field}`, 'INVALID_SHA256_FORMAT');
    };
    if ([emailAddress, phoneNumber, address].filter((one) => one !== undefined).length !== 1)
      bad(`${at}[${index}]`, 'INVALID_FORMAT');
    if (emailAddress !== undefined) {
      hash(emailAddress, 'email_address');
      return [`email:${emailAddress}`];
    }
    if (phoneNumber !== undefined) {
      hash(phoneNumber, 'phone_number');
      return [`phone:${phoneNumber}`];
    }
    if (address === undefined) return [];
    hash(address.givenName, 'address.given_name');
    hash(address.familyName, 'address.family_name');
    if (!/^[A-Z]{2}$/.test(address.regionCode ?? '')) bad(`${at}[${index}].address.region_code`, 'INVALID_COUNTRY_CODE');
    if (!/^[A-Z\d][A-Z\d -]{0,9}$/i.test(address.postalCode ?? ''))
      bad(`${at}[${index}].address.postal_code`, 'INVALID_POSTAL_CODE');
    return [`address:${address.givenName}/${address.familyName}/${address.regionCode}/${address.postalCode}`];
  });
}

/** Does what is due, in the order in which it came. */
function settle(state: State, now: number): void {
  while (state.waiting.length > 0) {
    const request = state.requests.get(state.waiting[0] ?? '');
    if (request !== undefined && request.due > now) return;
    state.waiting.shift();
    if (request === undefined) continue;
    request.done = true;
    for (const { productDestinationId } of request.destinations) {
      const list = state.lists.get(productDestinationId);
      if (list === undefined || (request.op === 'ingest' && list.membershipStatus === 'CLOSED')) continue;
      for (const { ids, denied } of request.people) {
        if (request.op === 'remove') take(list, ids);
        else if (!denied) put(list, ids);
      }
    }
  }
}

function put({ people, peopleOf }: List, ids: readonly string[]): void {
  const key = ids.join(' ');
  people.set(key, ids);
  for (const id of ids) {
    const of = peopleOf.get(id);
    if (of === undefined) peopleOf.set(id, new Set([key]));
    else of.add(key);
  }
}

function take({ people, peopleOf }: List, ids: readonly string[]): void {
  for (const key of new Set(ids.flatMap((id) => [...(peopleOf.get(id) ?? [])]))) {
    for (const id of people.get(key) ?? []) {
      const of = peopleOf.get(id);
      of?.delete(key);
      if (of?.size === 0) peopleOf.delete(id);
    }
    people.delete(key);
  }
}

const STATUS_NAMES = {
  compositeData: 'userData',
  userData: 'userData',
  mobileData: 'mobileData',
  userIdData: 'userIdData',
} as const;

function retrieveStatus(call: Call<State>): Reply {
  const request = call.state.requests.get(call.query.get('requestId') ?? '');
  if (request === undefined) return badRequest([{ field: 'request_id', reason: 'INVALID_REQUEST_ID' }]);
  const denied = request.op === 'ingest' ? request.people.filter((one) => one.denied).length : 0;
  const whole = denied === 0 ? 'SUCCESS' : denied === request.people.length ? 'FAILED' : 'PARTIAL_SUCCESS';
  const counts = { recordCount: String(request.people.length) };
  const name = STATUS_NAMES[request.type];
  return {
    status: 200,
    json: {
      requestStatusPerDestination: request.destinations.map((destination) => ({
        destination,
        requestStatus: request.done ? whole : 'PROCESSING',
        ...(request.done &&
          denied > 0 && {
            errorInfo: { errorCounts: [{ recordCount: String(denied), reason: 'PROCESSING_ERROR_REASON_DENIED_CONSENT' }] },
          }),
        ...(request.op === 'ingest'
          ? { audienceMembersIngestionStatus: { [`${name}IngestionStatus`]: counts } }
          : { audienceMembersRemovalStatus: { [`${name}RemovalStatus`]: counts } }),
      })),
    },
  };
}
