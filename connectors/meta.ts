import { createHmac } from 'node:crypto';
import * as z from 'zod';
import {
  type Connector,
  type Context,
  DestinationBroken,
  type HttpRequest,
  type HttpResponse,
  type Item,
  type Member,
  type Outcome,
  TryAgain,
} from '../core/connector.ts';
import {
  birthDay,
  birthMonth,
  birthYear,
  cityLetters,
  countryCodeLower,
  email,
  gender,
  maid,
  personName,
  phoneDigits,
  plainText,
  postalCodeShort,
  region,
} from '../core/identifiers.ts';
import { json, read, reasonCode, statusError } from './http.ts';

/** Meta Custom Audiences, Marketing API: multi-key rows into a customer list. docs/connectors/meta.md */

const settings = z.strictObject({
  ad_account_id: z.string().regex(/^(?:act_)?\d{5,20}$/, 'must be the digits of the ad account, in quotes'),
  /** Put before the audience's name in Ads Manager. */
  audience_prefix: z.string().max(100).default(''),
  /** v26.0 is in use since 2026-08; v25.0 is the one the documentation is written for, read 2026-11-22. */
  api_version: z
    .string()
    .regex(/^v\d{2}\.0$/, 'must look like v25.0')
    .default('v25.0'),
  /** Flag people under an opt-out law of the US who have granted nothing for Limited Data Use. */
  limited_data_use: z.boolean().default(false),
  customer_file_source: z
    .enum(['USER_PROVIDED_ONLY', 'PARTNER_PROVIDED_ONLY', 'BOTH_USER_AND_PARTNER_PROVIDED'])
    .default('USER_PROVIDED_ONLY'),
});

const secret = z.strictObject({
  /** Of a system user with `ads_management`; those need not expire. */
  access_token: z.string().min(1),
  /** Signs every call (`appsecret_proof`); needed when the app requires it. */
  app_secret: z.string().min(1).optional(),
});

type Settings = z.infer<typeof settings>;
type Secret = z.infer<typeof secret>;
type MetaContext = Context<Settings, Secret>;

/** Guides "Customer File Custom Audiences", as of 2026-09-12: 10,000 users a request. */
const ROWS_PER_CALL = 10_000;
/** The guides document no limit of the body. Ours: ten thousand rows of every key fit. */
const BODY_BYTES = 10_000_000;
/** An account holds 500 of them, as of 2026-09-12: one page finds a name. */
const AUDIENCES_PER_ACCOUNT = 500;

/** Our namespace -> Meta's key. Strong ones first: a removal needs only those. */
const KEYS = {
  external_id: 'EXTERN_ID',
  email: 'EMAIL',
  phone: 'PHONE',
  maid: 'MADID',
  first_name: 'FN',
  last_name: 'LN',
  city: 'CT',
  region: 'ST',
  postal_code: 'ZIP',
  country: 'COUNTRY',
  gender: 'GEN',
  birth_year: 'DOBY',
  birth_month: 'DOBM',
  birth_day: 'DOBD',
} as const satisfies Record<string, string>;
const STRONG = ['external_id', 'email', 'phone', 'maid'] as const;
const LDU_KEYS = ['DATA_PROCESSING_OPTIONS', 'DATA_PROCESSING_OPTIONS_COUNTRY', 'DATA_PROCESSING_OPTIONS_STATE'];

/** Of a column that goes into the schema of a list: sent hashed, one a person, only beside a strong one. */
const weak = { hash: 'sha256', max: 1, weak: true } as const;

export const meta: Connector<Settings, Secret> = {
  name: 'meta',
  title: 'Meta Custom Audiences',
  settings,
  secret,
  // Written as the guide's table of hashing requirements says, as of 2026-09-12. EXTERN_ID and MADID are not hashed.
  namespaces: {
    external_id: { normalise: plainText(255), hash: 'none', max: 1 },
    email: { normalise: email, hash: 'sha256' },
    phone: { normalise: phoneDigits, hash: 'sha256' },
    maid: { normalise: maid, hash: 'none' },
    first_name: { normalise: personName, ...weak },
    last_name: { normalise: personName, ...weak },
    city: { normalise: cityLetters, ...weak },
    region: { normalise: region, ...weak },
    postal_code: { normalise: postalCodeShort, ...weak },
    country: { normalise: countryCodeLower, ...weak },
    gender: { normalise: gender, ...weak },
    birth_year: { normalise: birthYear, ...weak },
    birth_month: { normalise: birthMonth, ...weak },
    birth_day: { normalise: birthDay, ...weak },
  },
  defaultIdentifiers: ['email', 'phone', 'maid'],
  membership: 'identifier',
  removalNeeds: STRONG,
  modes: ['mirror', 'upsert', 'add-only'],
  traits: false,
  limits: {
    rows: ROWS_PER_CALL,
    bytes: BODY_BYTES,
    overhead: 1_000,
    windows: [
      // Business use case "custom_audience", Standard access: at least this many an hour.
      { requests: 190_000, seconds: 3600 },
      // The score model: 9,000 points in 300 s, 3 a write.
      { requests: 3_000, seconds: 300 },
    ],
    concurrency: 4,
    source: 'https://developers.facebook.com/docs/marketing-api/overview/rate-limiting, read 2026-11-22',
  },
  endpoint: () => 'https://graph.facebook.com',

  async ensure(context, list) {
    const columns = list.identifiers.filter((name) => Object.hasOwn(KEYS, name)).join(',');
    if (list.known !== undefined) {
      // A deleted list is answered with an error here, before anything is sent.
      await call(context, 'GET', `/${encodeURIComponent(list.known.id)}?fields=id`);
      return { id: list.known.id, columns };
    }
    const account = `/act_${context.settings.ad_account_id.replace('act_', '')}/customaudiences`;
    const name = `${context.settings.audience_prefix}${list.audience}`;
    // Found by name, because a run may have died between creating the list and remembering it.
    const found = read('Meta', audiences, await call(context, 'GET', `${account}?fields=id,name&limit=${AUDIENCES_PER_ACCOUNT}`));
    const same = found.data.find((one) => one.name === name);
    if (same !== undefined) return { id: same.id, columns };
    const source = context.settings.customer_file_source;
    const made = await call(context, 'POST', account, {
      name,
      subtype: 'CUSTOM',
      description: list.description,
      customer_file_source: source,
    });
    return { id: read('Meta', created, made).id, columns };
  },

  encode(context, list, op, member) {
    const { places, shared } = layoutOf(list, op);
    const first = shared.map(() => EMPTY);
    // Several e-mail addresses are several rows. What there is one of (the external id, the weak ones) stands in each of them.
    const more: string[][] = [];
    const counts: number[] = [];
    let strong = false;
    for (const { namespace, value } of member.identifiers) {
      const place = places.get(namespace);
      if (place === undefined) continue;
      strong ||= isStrong(namespace);
      const row = counts[place] ?? 0;
      counts[place] = row + 1;
      if (row === 0) first[place] = JSON.stringify(value);
      else (more[row - 1] ??= shared.map(() => EMPTY))[place] = JSON.stringify(value);
    }
    if (!strong) return { text: '', rows: 0 };
    const options = op === 'upsert' && context.settings.limited_data_use ? `,${limitedDataUse(member)}` : '';
    let text = `[${first.join(',')}${options}]`;
    for (const cells of more)
      text += `,[${cells.map((cell, place) => (shared[place] ? first[place] : cell)).join(',')}${options}]`;
    return { text, rows: 1 + more.length };
  },

  async send(context, list, batch) {
    const rows = batch.items.filter((item) => item.rows > 0);
    if (rows.length === 0) return answers(batch.items, ACCEPTED);
    const keys = columnsOf(list, batch.op).map((column) => KEYS[column as keyof typeof KEYS]);
    if (batch.op === 'upsert' && context.settings.limited_data_use) keys.push(...(LDU_KEYS as typeof keys));
    const count = rows.reduce((sum, item) => sum + item.rows, 0);
    // A session a request: a delivery has several workers and none knows which request is the last, and `num_received` counts a session.
    // Ids are int64 and unique in the account: 60 bits of the batch's own, the same when it is sent again.
    const session = `{"session_id":${BigInt(`0x${batch.id.slice(0, 15)}`)},"batch_seq":1,"last_batch_flag":true,"estimated_num_total":${count}}`;
    const data = rows.map((item) => item.text).join(',');
    const body = `{"payload":{"schema":${JSON.stringify(keys)},"data":[${data}]},"session":${session}}`;
    const taken = read(
      'Meta',
      received,
      await call(context, batch.op === 'upsert' ? 'POST' : 'DELETE', `/${encodeURIComponent(list.id)}/users`, body),
    );
    if (taken.num_received === 0) throw new TryAgain('Meta answered that it received none of the rows.');
    // Which rows were invalid is never said (the samples are people's data, and not read). Only when all were is it known of each.
    return answers(batch.items, taken.num_invalid_entries >= count ? { kind: 'rejected', reason: 'invalid-entries' } : ACCEPTED);
  },

  /** From every audience of the ad account, whoever added them. */
  async erase(context, members) {
    const items = members.map((member) => ({ member, ...meta.encode(context, { id: '' }, 'remove', member) }));
    const account = `/act_${context.settings.ad_account_id.replace('act_', '')}/usersofanyaudience`;
    const schema = JSON.stringify(STRONG.map((name) => KEYS[name]));
    for (let first = 0; first < items.length; first += ERASE_MEMBERS) {
      const rows = items.slice(first, first + ERASE_MEMBERS).filter((item) => item.rows > 0);
      const body = `{"payload":{"schema":${schema},"data":[${rows.map((item) => item.text).join(',')}]}}`;
      if (rows.length > 0) read('Meta', erased, await call(context, 'DELETE', account, body));
    }
    return answers(items, ACCEPTED);
  },

  async size(context, list) {
    const answer = read(
      'Meta',
      sized,
      await call(context, 'GET', `/${encodeURIComponent(list.id)}?fields=approximate_count_lower_bound`),
    );
    const count = Number(answer.approximate_count_lower_bound ?? -1);
    return count < 0 ? undefined : count;
  },
};

const ACCEPTED: Outcome = { kind: 'accepted' };
/** Members an erasing call: their identifiers become rows, and the limit is on rows. */
const ERASE_MEMBERS = 1_000;

const answers = (items: readonly Pick<Item, 'rows' | 'member'>[], outcome: Outcome): readonly Outcome[] =>
  items.map((item): Outcome => {
    if (item.rows > 0) return outcome;
    // Weak identifiers alone (a changed name to take back) are keys of nothing at Meta: there is nothing to do.
    return item.member.identifiers.length > 0 ? ACCEPTED : { kind: 'rejected', reason: 'no-identifier' };
  });

const isStrong = (column: string): boolean => (STRONG as readonly string[]).includes(column);
const EMPTY = '""';

/** A removal may take back identifiers that the sync no longer sends: its columns are all the strong ones. */
const columnsOf = (list: { readonly id: string; readonly columns?: string }, op: string): readonly string[] =>
  op === 'remove' ? STRONG : (list.columns ?? '').split(',');

interface Layout {
  /** Namespace -> place in a row. */
  readonly places: ReadonlyMap<string, number>;
  /** By place: whether the one value stands in every row of a member. */
  readonly shared: readonly boolean[];
}

const layouts = new Map<string, Layout>();

/** Made once a schema, not once a member: there are millions of them, and a handful of schemas. */
function layoutOf(list: { readonly id: string; readonly columns?: string }, op: string): Layout {
  const key = op === 'remove' ? 'remove' : (list.columns ?? '');
  const known = layouts.get(key);
  if (known !== undefined) return known;
  const columns = columnsOf(list, op);
  const layout = {
    places: new Map(columns.map((column, place) => [column, place])),
    shared: columns.map((column) => column === 'external_id' || !isStrong(column)),
  };
  layouts.set(key, layout);
  return layout;
}

/** Options, country (1: US), state (1000: California; 0: Meta looks itself). Guide "Data Processing Options", as of 2026-09-12. */
function limitedDataUse({ consent }: Member): string {
  // Who granted it although they need not have has limited nothing.
  if (consent?.basis !== 'opt-out' || consent.grant !== undefined || !/^US(?:-|$)/.test(consent.jurisdiction ?? ''))
    return '[],0,0';
  return consent.jurisdiction === 'US-CA' ? '["LDU"],1,1000' : '["LDU"],1,0';
}

const id = z.string().regex(/^\d+$/);
const created = z.object({ id });
const audiences = z.object({ data: z.array(z.object({ id, name: z.string() })) });
const received = z.object({ num_received: z.coerce.number(), num_invalid_entries: z.coerce.number() });
/** What it counts is not documented: an object that does not say no. */
const erased = z.looseObject({ success: z.literal(true).optional() });
const sized = z.object({ approximate_count_lower_bound: z.coerce.number().optional() });
const failed = z.object({
  error: z.object({ code: z.number().optional(), error_subcode: z.number().optional(), is_transient: z.boolean().optional() }),
});

async function call(
  context: MetaContext,
  method: HttpRequest['method'],
  path: string,
  body?: object | string,
): Promise<HttpResponse> {
  const { access_token, app_secret } = context.secret;
  const proof = app_secret === undefined ? '' : createHmac('sha256', app_secret).update(access_token).digest('hex');
  const query = proof === '' ? '' : `${path.includes('?') ? '&' : '?'}appsecret_proof=${proof}`;
  const response = await context.http({
    method,
    url: `${context.endpoint}/${context.settings.api_version}${path}${query}`,
    headers: { authorization: `Bearer ${access_token}`, ...(body !== undefined && { 'content-type': 'application/json' }) },
    body: typeof body === 'object' ? JSON.stringify(body) : body,
  });
  // A failure may come with any status: the body decides.
  const answer = response.status >= 500 ? undefined : json(response);
  const failure = failed.safeParse(answer);
  // 413 is about this body, whatever its code says: halving it may help.
  if (failure.success && response.status !== 413) throw errorOf(failure.data.error, response, context.now());
  if (response.status < 200 || response.status > 299) throw statusError('Meta', response, { now: context.now() });
  return response;
}

/** Codes that say "later" (guide "Error codes", marketing API "Rate limiting", both read 2026-11-22). */
const LATER = new Set([1, 2, 341, 21009, 2650]);
const THROTTLED = new Set([4, 17, 32, 613, 80000, 80003, 80004, 80014]);
/** Temporarily blocked for a policy: soon is too soon. */
const BLOCKED_MS = 60 * 60_000;

const TOKEN =
  'Make a new token for the system user (Business settings, System users), with ads_management, and put it into the secret.';
const ACCOUNT =
  'Give the system user of the token the ad account with "Manage campaigns", and compare ad_account_id with Ads Manager.';
const LIST_GONE =
  'Restore the audience in Ads Manager, or rename the audience file, so that a new list is filled from the beginning.';

const BROKEN_SUBCODES: Readonly<Record<number, string>> = {
  33: LIST_GONE,
  1487366: LIST_GONE,
  1713230: 'Meta has blocked uploads of this account: the reason and the appeal are in Account Quality (business.facebook.com).',
  1870050: ACCOUNT,
  1870090:
    'Accept the Custom Audience terms for the ad account, once, as its administrator: https://business.facebook.com/ads/manage/customaudiences/tos.',
};

const BROKEN_CODES: Readonly<Record<number, string>> = {
  10: ACCOUNT,
  100: 'Compare ad_account_id and api_version in the destination file with Ads Manager; the code is explained in the Marketing API reference.',
  102: TOKEN,
  104: 'Put the app_secret of the app that the token belongs to into the secret.',
  105: 'Report it with the code: the request had more parameters than Meta takes.',
  190: TOKEN,
  194: TOKEN,
  200: ACCOUNT,
  294: 'The app of the token needs Advanced Access to ads_management: ask for it in the app dashboard.',
  2635: 'This version of the Marketing API has ended: set a newer api_version in the destination file.',
  2655: 'Accept the Custom Audience terms for the ad account, once, as its administrator.',
};

function errorOf(error: z.infer<typeof failed>['error'], response: HttpResponse, now: number): Error {
  const { code = 0, error_subcode: subcode = 0 } = error;
  const said = `Meta answered with error ${code}${subcode === 0 ? '' : `/${subcode}`} (HTTP ${response.status}).`;
  const broken =
    BROKEN_SUBCODES[subcode] ?? (THROTTLED.has(code) || LATER.has(code) || code === 368 ? undefined : BROKEN_CODES[code]);
  if (broken !== undefined) return new DestinationBroken(said, broken);
  if (THROTTLED.has(code)) return new TryAgain(said, { throttled: true, afterMs: regainAccess(response) ?? THROTTLE_MS });
  if (code === 368) return new TryAgain(said, { throttled: true, afterMs: BLOCKED_MS });
  if (LATER.has(code) || error.is_transient === true) return new TryAgain(said, { ambiguous: true });
  if (code > 200 && code < 300) return new DestinationBroken(said, ACCOUNT);
  return statusError(
    'Meta',
    { ...response, status: Math.max(400, response.status) },
    { now, code: reasonCode(`meta-${code}-${subcode}`) },
  );
}

/** Without a word from Meta: the window of the score model decays in 300 s. */
const THROTTLE_MS = 60_000;

/** `X-Business-Use-Case-Usage`: account -> uses, each with the minutes until access comes back. */
function regainAccess(response: HttpResponse): number | undefined {
  const header = response.headers['x-business-use-case-usage'];
  const parsed = usage.safeParse(header === undefined ? undefined : json({ ...response, text: header }));
  if (!parsed.success) return undefined;
  const minutes = Object.values(parsed.data).flatMap((uses) => uses.map((use) => use.estimated_time_to_regain_access ?? 0));
  const longest = Math.max(0, ...minutes);
  return longest === 0 ? undefined : longest * 60_000;
}

const usage = z.record(z.string(), z.array(z.object({ estimated_time_to_regain_access: z.number().optional() })));
