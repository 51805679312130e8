import { sign } from 'node:crypto';
import * as z from 'zod';
import {
  type Batch,
  type Connector,
  type Context,
  DestinationBroken,
  type Encoded,
  type HttpRequest,
  type HttpResponse,
  type Job,
  type ListSpec,
  type Member,
  type Op,
  type Outcome,
  RowsRefused,
  TryAgain,
} from '../core/connector.ts';
import { countryCode, emailForGoogle, familyName, givenName, maid, phone, plainText, postalCode } from '../core/identifiers.ts';
import { json, reasonCode, statusError } from './http.ts';
import { accessToken, tokenRefused, type TokenRequest } from './oauth.ts';

/** Google Customer Match through the Data Manager API, which answers with counts, later. docs/connectors/google.md */

const account = z
  .string()
  .regex(/^\d{3}-?\d{3}-?\d{4}$/, 'must be the ten digits of a Google Ads account, in quotes')
  .transform((text) => text.replaceAll('-', ''));

const settings = z.strictObject({
  /** Whose lists these are. */
  operating_account_id: account,
  /** Where the Google user of the secret has access, when that is a manager account or a data partner. */
  login_account_id: z
    .string()
    .regex(/^[\d-]+$/, 'must be digits, in quotes')
    .transform((text) => text.replaceAll('-', ''))
    .optional(),
  login_account_type: z.enum(['GOOGLE_ADS', 'DATA_PARTNER']).default('GOOGLE_ADS'),
  /** Data partners only: the account that is linked to theirs. */
  linked_account_id: account.optional(),
  /** A person says that the Customer Match terms are accepted: there is no default. */
  customer_match_terms: z.literal('accepted', {
    error: 'must be "accepted", once the Customer Match terms are accepted in Google Ads',
  }),
  /** Which of Google's two consents a grant under the destination's purpose is. What is not listed is never said to be granted. */
  consent_covers: z.array(z.enum(['ad_user_data', 'ad_personalization'])).min(1),
  list_prefix: z.string().max(100).default(''),
  /** Days after which Google lets a member go on its own; without it, the longest it has. */
  membership_days: z.int().min(1).max(540).optional(),
  /** Needed to send `maid`: a list of advertising ids belongs to one app on one system. */
  mobile_app: z.strictObject({ app_id: z.string().min(1), key_space: z.enum(['IOS', 'ANDROID']) }).optional(),
  /** The project that pays, for a secret with a refresh token of another one. */
  quota_project: z.string().min(1).optional(),
  /** Where tokens are made, when that is neither Google nor under `endpoint`. */
  token_url: z.url({ protocol: /^https$/ }).optional(),
});

const text = z.string().min(1);
/** What else stands in the key file of a service account, and is not used. Its `token_uri` least: a secret names no hosts. */
const KEY_FILE =
  'type project_id private_key_id client_id auth_uri token_uri auth_provider_x509_cert_url client_x509_cert_url universe_domain';
const secret = z.union([
  z.strictObject({ client_id: text, client_secret: text, refresh_token: text }),
  // A service account.
  z.strictObject({
    client_email: text,
    private_key: z.string().startsWith('-----BEGIN', 'must be the PEM of the key file'),
    ...Object.fromEntries(KEY_FILE.split(' ').map((name) => [name, z.string().optional()])),
  }),
]);

type Settings = z.infer<typeof settings>;
type Secret = z.infer<typeof secret>;
type GoogleContext = Context<Settings, Secret>;

const HOST = 'https://datamanager.googleapis.com';
const TOKEN_URL = 'https://oauth2.googleapis.com/token';
const SCOPE = 'https://www.googleapis.com/auth/datamanager';

/** https://developers.google.com/data-manager/api/devguides/limits, read 2026-11-22; so are the two below and the windows. */
const MEMBERS_PER_CALL = 10_000;
const IDENTIFIERS_PER_MEMBER = 10;
const MOBILE_IDS_PER_MEMBER = 10;
/** The guides document no limit of the body. Ours: ten thousand members with three identifiers and consent fit. */
const BODY_BYTES = 10_000_000;

/** A list holds one kind of data and so does a request (`uploadKeyTypes` has one entry, MULTIPLE_DATA_TYPES_NOT_ALLOWED). */
const KINDS = {
  contact: {
    keyType: 'CONTACT_ID',
    suffix: '',
    namespaces: ['email', 'phone', 'first_name', 'last_name', 'postal_code', 'country'],
  },
  mobile: { keyType: 'MOBILE_ID', suffix: ' (mobile ids)', namespaces: ['maid'] },
  user: { keyType: 'USER_ID', suffix: ' (user ids)', namespaces: ['external_id'] },
} as const;
type Kind = keyof typeof KINDS;
const KIND_NAMES = Object.keys(KINDS) as readonly Kind[];
/** The first character of a line of an encoded member. */
const KIND_OF: Readonly<Record<string, Kind>> = { c: 'contact', m: 'mobile', u: 'user' };

/** Parts of an address: Google matches by all four or not at all. */
const weak = { max: 1, weak: true } as const;

export const google: Connector<Settings, Secret> = {
  name: 'google',
  title: 'Google Customer Match (Data Manager API)',
  settings,
  secret,
  // https://developers.google.com/data-manager/api/devguides/concepts/formatting, read 2026-11-22.
  namespaces: {
    email: { normalise: emailForGoogle, hash: 'sha256' },
    phone: { normalise: phone, hash: 'sha256' },
    maid: { normalise: maid, hash: 'none' },
    external_id: { normalise: plainText(255), hash: 'none', max: 1 },
    first_name: { normalise: givenName, hash: 'sha256', ...weak },
    last_name: { normalise: familyName, hash: 'sha256', ...weak },
    postal_code: { normalise: postalCode, hash: 'none', ...weak },
    country: { normalise: countryCode, hash: 'none', ...weak },
  },
  defaultIdentifiers: ['email', 'phone'],
  membership: 'identifier',
  removalNeeds: ['email', 'phone', 'maid', 'external_id'],
  modes: ['mirror', 'upsert', 'add-only'],
  traits: false,
  limits: {
    rows: MEMBERS_PER_CALL,
    bytes: BODY_BYTES,
    overhead: 1_000,
    // Of a Cloud project. Reads have windows of their own, as wide; one budget for both keeps within either.
    windows: [
      { requests: 300, seconds: 60 },
      { requests: 100_000, seconds: 86_400 },
    ],
    concurrency: 4,
    source: 'https://developers.google.com/data-manager/api/devguides/limits, read 2026-11-22',
  },
  endpoint: () => HOST,

  async ensure(context, list) {
    const known: Readonly<Record<string, string>> = list.known ?? {};
    const lists: Partial<Record<Kind, string>> = {};
    for (const kind of KIND_NAMES) {
      const id = known[kind];
      const wanted = list.identifiers.some((name) => (KINDS[kind].namespaces as readonly string[]).includes(name));
      if (id !== undefined) {
        // Also of a kind that is sent no more: its members are still to be removed.
        open(read(userList, await call(context, 'GET', `${listsPath(context)}/${encodeURIComponent(id)}`)));
        lists[kind] = id;
      } else if (wanted) lists[kind] = await findOrMake(context, list, kind);
    }
    return { id: list.known?.id ?? lists.contact ?? lists.mobile ?? lists.user ?? '', ...lists };
  },

  encode(context, list, op, member) {
    // Law 1: nobody is sent without a decision.
    if (op === 'upsert' && member.consent === null) return NOTHING;
    const remote: Readonly<Record<string, string>> = list;
    const tail = `${op === 'upsert' ? consentOf(context.settings, member) : ''}}`;
    const contact = remote['contact'] === undefined ? NOTHING : contactsOf(member, tail);
    const mobile = remote['mobile'] === undefined ? NOTHING : mobilesOf(member, tail);
    const user = remote['user'] === undefined ? NOTHING : usersOf(member, tail);
    const text = [contact.text, mobile.text, user.text].filter((lines) => lines !== '').join('\n');
    // Each kind goes in a request of its own: the longest is what counts.
    return { text, rows: Math.max(contact.rows, mobile.rows, user.rows) };
  },

  async send(context, list, batch) {
    const remote: Readonly<Record<string, string>> = list;
    const work: Work = { requests: [], refused: [], waitMs: FIRST_LOOK_MS };
    for (const [kind, rows] of rowsByKind(batch)) {
      let left = rows;
      while (left.length > 0) {
        try {
          const id = await change(context, batch.op, kind, remote[kind] ?? '', left);
          work.requests.push({ kind, id });
          break;
        } catch (error) {
          // As long as Google has taken nothing, the engine drops or halves. Afterwards "rejected" would be untrue of a member whose
          // other data is in: then only this kind of theirs is refused.
          if (!(error instanceof RowsRefused) || work.requests.length === 0) throw error;
          if (error.rows.length === 0 && batch.items.length > 1) throw error;
          const named = new Map(error.rows.map((row) => [row.index, row.reason]));
          for (const item of new Set(left.map((row) => row.item))) {
            const reason = error.rows.length === 0 ? error.reason : named.get(item);
            if (reason !== undefined) work.refused.push([kind, item, reason]);
          }
          left = error.rows.length === 0 ? [] : left.filter((row) => !named.has(row.item));
        }
      }
    }
    return work.requests.length === 0 ? outcomesOf(batch, work) : jobOf(work);
  },

  async poll(context, _list, job, batch) {
    const work = workSchema.parse(JSON.parse(job.state?.['work'] ?? ''));
    for (const request of work.requests) request.verdict ??= await verdictOf(context, batch.op, request.id);
    if (work.requests.every((request) => request.verdict !== undefined)) return outcomesOf(batch, work);
    return jobOf({ ...work, waitMs: Math.min(work.waitMs * 2, LONGEST_LOOK_MS) });
  },

  async size(context, list) {
    const { sizeInfo } = read(userList, await call(context, 'GET', `${listsPath(context)}/${encodeURIComponent(list.id)}`));
    const count = Math.max(Number(sizeInfo?.searchNetworkMembersCount ?? 0), Number(sizeInfo?.displayNetworkMembersCount ?? 0));
    // Google says zero until it has counted, and of lists too small to serve.
    return count > 0 ? count : undefined;
  },
};

const NOTHING = { text: '', rows: 0 };
const ACCEPTED: Outcome = { kind: 'accepted' };

/** A line a member of the request: the letter of its kind, and the member as JSON, which holds no raw line break. */
function linesOf(values: readonly string[], most: number, head: string, tail: string): Encoded {
  if (values.length === 0) return NOTHING;
  let text = '';
  for (let first = 0; first < values.length; first += most) {
    text += `${first === 0 ? '' : '\n'}${head}${(values.length <= most ? values : values.slice(first, first + most)).join(',')}${tail}`;
  }
  return { text, rows: Math.ceil(values.length / most) };
}

const mobilesOf = (member: Member, tail: string): Encoded =>
  linesOf(valuesOf(member, 'maid'), MOBILE_IDS_PER_MEMBER, 'm{"mobileData":{"mobileIds":[', `]}${tail}`);
const usersOf = (member: Member, tail: string): Encoded =>
  linesOf(valuesOf(member, 'external_id'), 1, 'u{"userIdData":{"userId":', `}${tail}`);
const valuesOf = ({ identifiers }: Member, namespace: string): string[] =>
  identifiers.filter((one) => one.namespace === namespace).map((one) => JSON.stringify(one.value));

/** The address of the person goes only whole, and beside what can be removed again. */
function contactsOf(member: Member, tail: string): Encoded {
  const found: string[] = [];
  let address: Record<string, string> | undefined;
  for (const { namespace, value } of member.identifiers) {
    if (namespace === 'email') found.push(`{"emailAddress":${JSON.stringify(value)}}`);
    else if (namespace === 'phone') found.push(`{"phoneNumber":${JSON.stringify(value)}}`);
    else if (ADDRESS[namespace] !== undefined) (address ??= {})[ADDRESS[namespace]] = value;
  }
  if (found.length > 0 && address !== undefined && Object.keys(address).length === ADDRESS_PARTS) {
    found.push(`{"address":${JSON.stringify(address)}}`);
  }
  return linesOf(found, IDENTIFIERS_PER_MEMBER, 'c{"compositeData":{"userData":{"userIdentifiers":[', `]}}${tail}`);
}

const ADDRESS: Readonly<Record<string, string>> = {
  first_name: 'givenName',
  last_name: 'familyName',
  country: 'regionCode',
  postal_code: 'postalCode',
};
const ADDRESS_PARTS = 4;

/**
 * Granted is said of a decision that rests on a grant, for what the settings say the purpose covers. Nobody who merely has not refused
 * (opt-out) has granted anything: their consent stays unspecified, and Google decides by the account's own settings.
 */
function consentOf({ consent_covers: covers }: Settings, { consent }: Member): string {
  if (consent?.grant === undefined) return '';
  const [data, personal] = [covers.includes('ad_user_data'), covers.includes('ad_personalization')];
  if (data && personal) return ',"consent":{"adUserData":"CONSENT_GRANTED","adPersonalization":"CONSENT_GRANTED"}';
  return `,"consent":{"${data ? 'adUserData' : 'adPersonalization'}":"CONSENT_GRANTED"}`;
}

/** One member of a request body, and the place in the batch it comes from. */
interface Row {
  readonly item: number;
  readonly text: string;
}

function rowsByKind(batch: Batch): Map<Kind, Row[]> {
  const kinds = new Map<Kind, Row[]>();
  for (const [item, { text }] of batch.items.entries()) {
    for (const line of linesIn(text)) {
      const kind = kindOf(line);
      let rows = kinds.get(kind);
      if (rows === undefined) kinds.set(kind, (rows = []));
      rows.push({ item, text: line.slice(1) });
    }
  }
  return kinds;
}

const linesIn = (text: string): readonly string[] => (text === '' ? [] : text.includes('\n') ? text.split('\n') : [text]);
const kindOf = (line: string): Kind => KIND_OF[line[0] ?? ''] as Kind;

/** Sends one kind to its list. Returns the id of the request, whose result is known later. */
async function change(context: GoogleContext, op: Op, kind: Kind, listId: string, rows: readonly Row[]): Promise<string> {
  const { operating_account_id, login_account_id, login_account_type, linked_account_id } = context.settings;
  const destination = {
    operatingAccount: { accountType: 'GOOGLE_ADS', accountId: operating_account_id },
    ...(login_account_id !== undefined && { loginAccount: { accountType: login_account_type, accountId: login_account_id } }),
    ...(linked_account_id !== undefined && { linkedAccount: { accountType: 'GOOGLE_ADS', accountId: linked_account_id } }),
    productDestinationId: listId,
  };
  const encoding = kind === 'contact' ? ',"encoding":"HEX"' : '';
  const terms = op === 'upsert' ? ',"termsOfService":{"customerMatchTermsOfServiceStatus":"ACCEPTED"}' : '';
  const members = rows.map((row) => row.text).join(',');
  const body = `{"destinations":[${JSON.stringify(destination)}],"audienceMembers":[${members}]${encoding}${terms}}`;
  const answer = await call(context, 'POST', `/v1/audienceMembers:${op === 'upsert' ? 'ingest' : 'remove'}`, body, rows);
  return read(taken, answer).requestId;
}

/**
 * Google recommends to look after 30 minutes and then ever less often (devguides/diagnostics, read 2026-11-22). Small requests are done
 * sooner, and a removal should not wait for nothing, so it begins early and doubles.
 */
const FIRST_LOOK_MS = 2_000;
const LONGEST_LOOK_MS = 15 * 60_000;

const verdictSchema = z.object({ kind: z.enum(['accepted', 'rejected', 'retry']), reason: z.string() });
type Verdict = z.infer<typeof verdictSchema>;
const kindSchema = z.enum(['contact', 'mobile', 'user']);
/** What a job has to remember. */
const workSchema = z.object({
  requests: z.array(z.object({ kind: kindSchema, id: z.string(), verdict: verdictSchema.optional() })),
  /** Kind, place in the batch, reason. */
  refused: z.array(z.tuple([kindSchema, z.int(), z.string()])),
  waitMs: z.number(),
});
type Work = z.infer<typeof workSchema>;

const jobOf = (work: Work): Job => ({
  kind: 'job',
  id: work.requests[0]?.id ?? '',
  afterMs: work.waitMs,
  state: { work: JSON.stringify(work) },
});

/** The result of one request, or undefined while Google works on it. */
async function verdictOf(context: GoogleContext, op: Op, id: string): Promise<Verdict | undefined> {
  const answer = await call(context, 'GET', `/v1/requestStatus:retrieve?requestId=${encodeURIComponent(id)}`);
  const [status] = read(statuses, answer).requestStatusPerDestination;
  const errors = status?.errorInfo?.errorCounts ?? [];
  const reason = reasonCode((errors[0]?.reason ?? 'FAILED').replace('PROCESSING_ERROR_REASON_', ''));
  const passing = errors.length === 0 || errors.some((error) => error.reason === 'PROCESSING_ERROR_REASON_INTERNAL_ERROR');
  switch (status?.requestStatus) {
    case 'SUCCESS':
      return { kind: 'accepted', reason: '' };
    case 'PARTIAL_SUCCESS':
      // Counts, never rows. A removal that is not whole is repeated, because somebody is still in; adding is repeated when the failure
      // was Google's own. Otherwise (consent) repeating changes nothing, and nobody can say of whom it is true.
      if (op === 'remove') return { kind: 'retry', reason: 'removal-incomplete' };
      return errors.length > 0 && passing ? { kind: 'retry', reason } : { kind: 'accepted', reason: '' };
    case 'FAILED':
      return { kind: op === 'remove' || passing ? 'retry' : 'rejected', reason };
    default:
      return undefined;
  }
}

/** One outcome a member: what is in anywhere is not "rejected", and what is to be repeated comes before both. */
function outcomesOf(batch: Batch, work: Work): Outcome[] {
  const verdicts = new Map(work.requests.map((request) => [request.kind, request.verdict]));
  const refused = new Map(work.refused.map(([kind, item, reason]) => [`${kind} ${item}`, reason]));
  // Nearly always: ten thousand members need no look at their parts.
  if (refused.size === 0 && work.requests.every(({ verdict }) => verdict?.kind === 'accepted')) {
    return batch.items.map(({ member, text }) => (text === '' ? unsent(batch.op, member) : ACCEPTED));
  }
  return batch.items.map(({ member, text }, item): Outcome => {
    if (text === '') return unsent(batch.op, member);
    const parts = linesIn(text).map((line): Verdict => {
      const kind = kindOf(line);
      const reason = refused.get(`${kind} ${item}`);
      return reason === undefined ? (verdicts.get(kind) as Verdict) : { kind: 'rejected', reason };
    });
    const found = parts.find((part) => part.kind === 'retry') ?? parts.find((part) => part.kind === 'accepted') ?? parts[0];
    return found === undefined || found.kind === 'accepted' ? ACCEPTED : found;
  });
}

function unsent(op: Op, member: Member): Outcome {
  // Parts of an address, or ids of a kind that never had a list: nothing of it is at Google.
  if (op === 'remove' && member.identifiers.length > 0) return ACCEPTED;
  const reason = op === 'upsert' && member.consent === null ? 'no-consent' : 'no-identifier';
  return { kind: 'rejected', reason };
}

const listsPath = ({ settings: { operating_account_id } }: GoogleContext): string =>
  `/v1/accountTypes/GOOGLE_ADS/accounts/${operating_account_id}/userLists`;

/** By name, because a run may have died between making the list and remembering it. Names are unique in an account. */
async function findOrMake(context: GoogleContext, list: ListSpec, kind: Kind): Promise<string> {
  const { list_prefix, membership_days, mobile_app } = context.settings;
  const { keyType, suffix } = KINDS[kind];
  if (kind === 'mobile' && mobile_app === undefined) {
    throw new DestinationBroken(
      `${list.destination} is to send advertising ids and does not say of which app.`,
      'Set `mobile_app` with app_id and key_space (IOS or ANDROID) in the destination file, or leave maid out of the sync.',
    );
  }
  const displayName = `${list_prefix}${list.audience}${suffix}`;
  const filter = encodeURIComponent(`display_name = ${JSON.stringify(displayName)}`);
  const found = read(userLists, await call(context, 'GET', `${listsPath(context)}?filter=${filter}&pageSize=1000`));
  const same = found.userLists?.find((one) => one.displayName === displayName);
  if (same !== undefined) {
    if (same.ingestedUserListInfo?.uploadKeyTypes?.[0] === keyType && same.readOnly !== true) return open(same).id;
    throw new DestinationBroken(
      `Google has a user list for "${list.audience}" already that does not take ${keyType} data.`,
      'Set another list_prefix in the destination file, or rename that list in Google Ads.',
    );
  }
  const source = { dataSourceType: 'DATA_SOURCE_TYPE_FIRST_PARTY' };
  const info = {
    contact: { contactIdInfo: source },
    mobile: { mobileIdInfo: { ...source, keySpace: mobile_app?.key_space, appId: mobile_app?.app_id } },
    user: { userIdInfo: source },
  }[kind];
  const made = await call(
    context,
    'POST',
    listsPath(context),
    JSON.stringify({
      displayName,
      // The upgrade guide requires one, read 2026-11-22.
      description: list.description || `Audience ${list.audience}`,
      membershipStatus: 'OPEN',
      ...(membership_days !== undefined && { membershipDuration: `${membership_days * 86_400}s` }),
      ingestedUserListInfo: { uploadKeyTypes: [keyType], ...info },
    }),
  );
  return read(userList, made).id;
}

/** A closed list takes no members and does not say so. */
function open(list: z.infer<typeof userList>): z.infer<typeof userList> {
  if (list.membershipStatus !== 'CLOSED') return list;
  const unused = list.closingReason === 'UNUSED' ? ' because nothing used it' : '';
  throw new DestinationBroken(
    `The user list was closed at Google${unused}, and takes no members.`,
    'Open it again in Google Ads (Audience manager, Your data segments), or remove the sync.',
  );
}

const userList = z.object({
  id: z.string().regex(/^\d+$/),
  displayName: z.string().optional(),
  readOnly: z.boolean().optional(),
  membershipStatus: z.string().optional(),
  closingReason: z.string().optional(),
  sizeInfo: z
    .object({ displayNetworkMembersCount: z.string().optional(), searchNetworkMembersCount: z.string().optional() })
    .optional(),
  ingestedUserListInfo: z.object({ uploadKeyTypes: z.array(z.string()).optional() }).optional(),
});
const userLists = z.object({ userLists: z.array(userList).optional() });
const taken = z.object({ requestId: z.string().min(1) });
const statuses = z.object({
  requestStatusPerDestination: z
    .array(
      z.object({
        requestStatus: z.string().optional(),
        errorInfo: z.object({ errorCounts: z.array(z.object({ reason: z.string().optional() })).optional() }).optional(),
      }),
    )
    .default([]),
});

function read<T>(schema: z.ZodType<T>, answer: unknown): T {
  const parsed = schema.safeParse(answer);
  if (!parsed.success) throw new TryAgain('Google said yes in a form that it does not document.', { ambiguous: true });
  return parsed.data;
}

/** `rows` of a request that has some, so that a violation finds its member. */
async function call(
  context: GoogleContext,
  method: HttpRequest['method'],
  path: string,
  body?: string,
  rows?: readonly Row[],
): Promise<unknown> {
  const grant = grantOf(context);
  const token = await accessToken(context, grant);
  const { quota_project, login_account_id, login_account_type, linked_account_id } = context.settings;
  const ofLists = path.startsWith('/v1/accountTypes/');
  const response = await context.http({
    method,
    url: `${context.endpoint}${path}`,
    headers: {
      authorization: `Bearer ${token.accessToken}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(quota_project !== undefined && { 'x-goog-user-project': quota_project }),
      // Calls that send people name these accounts in the body instead.
      ...(ofLists &&
        login_account_id !== undefined && { 'login-account': `accountTypes/${login_account_type}/accounts/${login_account_id}` }),
      ...(ofLists &&
        linked_account_id !== undefined && { 'linked-account': `accountTypes/GOOGLE_ADS/accounts/${linked_account_id}` }),
    },
    body,
  });
  if (response.status === 200) return json(response);
  if (response.status === 401) throw await tokenRefused(context, grant, token);
  throw errorOf(response, context.now(), rows);
}

const TOKEN =
  'Make a new refresh token with the scope https://www.googleapis.com/auth/datamanager (or a new key of the service account) and put it into the secret.';
const REFRESH_GRANT = 'refresh_token';
const JWT_GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
/** An assertion may live an hour (https://developers.google.com/identity/protocols/oauth2/service-account, read 2026-11-22); it is used at once. */
const ASSERTION_SECONDS = 3_600;

function grantOf({ settings: { token_url }, secret: held, endpoint, now }: GoogleContext): TokenRequest {
  const url = token_url ?? (endpoint === HOST ? TOKEN_URL : `${endpoint}/token`);
  return { platform: 'Google', url, grant: held, wayOut: TOKEN, form: () => formOf(held, url, now()) };
}

function formOf(held: GoogleContext['secret'], url: string, now: number): Record<string, string> {
  if ('refresh_token' in held) return { grant_type: REFRESH_GRANT, ...held };
  const { client_email, private_key } = held as { client_email: string; private_key: string };
  const issued = Math.floor(now / 1000);
  const claims = { iss: client_email, scope: SCOPE, aud: url, iat: issued, exp: issued + ASSERTION_SECONDS };
  const signed = `${encoded({ alg: 'RS256', typ: 'JWT' })}.${encoded(claims)}`;
  return { grant_type: JWT_GRANT, assertion: `${signed}.${signatureOf(signed, private_key)}` };
}

const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function signatureOf(signed: string, key: string): string {
  try {
    return sign('RSA-SHA256', Buffer.from(signed), key).toString('base64url');
  } catch {
    throw new DestinationBroken('The private key of the service account cannot be read.', TOKEN);
  }
}

const failed = z.object({
  error: z.object({
    status: z.string().optional(),
    details: z
      .array(
        z.object({
          reason: z.string().optional(),
          metadata: z.object({ quota_limit: z.string().optional() }).optional(),
          retryDelay: z.string().optional(),
          fieldViolations: z.array(z.object({ field: z.string().default(''), reason: z.string().optional() })).optional(),
        }),
      )
      .default([]),
  }),
});

const ACCESS =
  'Give the Google user (or service account) of the secret access to the Google Ads account, and compare operating_account_id and login_account_id.';
const LIST_GONE =
  'Restore the user list in Google Ads, or rename the audience file, so that a new list is filled from the beginning.';

/** Reasons that are not about rows: error.proto of google/ads/datamanager/v1, read 2026-11-22, and google/api/error_reason.proto. */
const BROKEN: Readonly<Record<string, string>> = {
  TERMS_AND_CONDITIONS_NOT_SIGNED:
    'Accept the Customer Match terms in Google Ads (Tools, Audience manager), once, as an administrator of the account.',
  INVALID_USER_LIST_ID: LIST_GONE,
  INVALID_USER_LIST_TYPE: 'Set another list_prefix in the destination file: the list of that name takes other data.',
  INVALID_DESTINATION: ACCESS,
  DATA_PARTNER_USER_LIST_MUTATE_NOT_ALLOWED:
    'Let the client link the data partner to the account, with the right to change its user lists.',
  NOT_FOUND: LIST_GONE,
  PERMISSION_DENIED: ACCESS,
  ACCESS_TOKEN_SCOPE_INSUFFICIENT: TOKEN,
  SERVICE_DISABLED: 'Enable the Data Manager API in the Google Cloud project of the credentials.',
};

const MEMBER = /^audience_?[mM]embers\[(\d+)\]/;

function errorOf(response: HttpResponse, now: number, rows: readonly Row[] | undefined): Error {
  const parsed = /^\s*\{/.test(response.text) && response.status < 500 ? failed.safeParse(json(response)) : undefined;
  const details = parsed?.data?.error.details ?? [];
  const violations = details.flatMap((detail) => detail.fieldViolations ?? []);
  const info = details.find((detail) => detail.reason !== undefined)?.reason;
  const general = violations.find((violation) => !MEMBER.test(violation.field));
  const code = general?.reason ?? info ?? violations[0]?.reason ?? parsed?.data?.error.status;
  const said = `Google answered with ${reasonCode(code ?? `http-${response.status}`)} (HTTP ${response.status}).`;

  if (response.status === 429) {
    const daily = details.some((detail) => detail.metadata?.quota_limit?.includes('PerDay') === true);
    const delay = /^(\d+(?:\.\d+)?)s$/.exec(details.find((detail) => detail.retryDelay !== undefined)?.retryDelay ?? '')?.[1];
    const told = delay === undefined ? MINUTE_MS : Math.ceil(Number(delay) * 1000);
    return new TryAgain(said, { throttled: true, afterMs: daily ? Math.max(told, untilPacificMidnight(now)) : told });
  }
  // Somebody else changes the same list at the moment, or has just made it; or the status of a request is not there yet, or no more.
  if (response.status === 409 || code === 'INVALID_REQUEST_ID') return new TryAgain(said);
  const broken = [general?.reason, info, parsed?.data?.error.status]
    .map((one) => BROKEN[one ?? ''])
    .find((one) => one !== undefined);
  if (broken !== undefined && response.status < 500) return new DestinationBroken(said, broken);
  const error = statusError('Google', response, { now, code, wayOut: response.status === 403 ? ACCESS : LIST_GONE });
  if (!(error instanceof RowsRefused)) return error;
  if (rows === undefined) {
    return new DestinationBroken(
      said,
      'Compare the settings of the destination file with Google Ads; the code is in the Data Manager API reference.',
    );
  }
  const named = new Map<number, string>();
  for (const { field, reason } of violations) {
    const item = rows[Number(MEMBER.exec(field)?.[1] ?? -1)]?.item;
    if (item !== undefined && !named.has(item)) named.set(item, reasonCode(reason));
  }
  return new RowsRefused(
    error.reason,
    [...named].map(([index, reason]) => ({ index, reason })),
  );
}

/** The shorter of the two windows. */
const MINUTE_MS = 60_000;

/** Daily quotas begin anew then: https://cloud.google.com/docs/quotas/view-manage, read 2026-11-22. An hour off twice a year. */
function untilPacificMidnight(now: number): number {
  const [hours = 0, minutes = 0, seconds = 0] = PACIFIC.format(now).split(':').map(Number);
  return (86_400 - hours * 3_600 - minutes * 60 - seconds) * 1_000;
}
const PACIFIC = new Intl.DateTimeFormat('en-GB', { timeZone: 'America/Los_Angeles', timeStyle: 'medium' });
