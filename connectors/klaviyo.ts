import * as z from 'zod';
import {
  type Batch,
  type Connector,
  type Context,
  DestinationBroken,
  type HttpResponse,
  type Job,
  type Member,
  type Outcome,
  RowsRefused,
  type TraitValue,
  TryAgain,
} from '../core/connector.ts';
import { email, phone, plainText, sha256Hex } from '../core/identifiers.ts';
import { json, read, reasonCode, statusError } from './http.ts';

/** Klaviyo: an audience is a list of profiles. Being on a list is no consent, and leaving one is no unsubscribe. docs/connectors/klaviyo.md */

const settings = z.strictObject({
  /** Before the audience's name in the name of the list. */
  list_prefix: z.string().max(60).default('sluice '),
  /**
   * What leaving the audience means beyond leaving the list. `suppress` stops all e-mail marketing to the address, and only `subscribe_email` lifts it.
   * `suppress-withdrawn` does so only for who is removed for want of consent. There is no setting that unsubscribes: Klaviyo's call for
   * that unsubscribes from everything whoever is not on the list it names.
   */
  on_remove: z.enum(['leave-list', 'suppress', 'suppress-withdrawn']).default('leave-list'),
  /** Subscribe to e-mail marketing whose decision rests on a grant. It lifts an unsubscribe at Klaviyo, so those must flow back. */
  subscribe_email: z.boolean().default(false),
});

const secret = z.strictObject({
  /** A private key with lists:read, lists:write, profiles:read, profiles:write; data-privacy:write to erase, subscriptions:write to suppress or subscribe. */
  api_key: z.string().regex(/^pk_\S+$/, 'must be a private key (pk_...)'),
});

type Settings = z.infer<typeof settings>;
type Secret = z.infer<typeof secret>;
type KlaviyoContext = Context<Settings, Secret>;

/** https://github.com/klaviyo/openapi openapi/stable.json, revision 2026-07-15, read 2026-11-22; so are the limits below. */
const REVISION = '2026-07-15';
const PROFILES_PER_IMPORT = 10_000;
const IDS_PER_REMOVAL = 1_000;
const IDS_PER_LOOKUP = 100;
const ADDRESSES_PER_SUPPRESSION = 100;
/** https://developers.klaviyo.com/en/reference/bulk_subscribe_profiles, read 2026-11-25. */
const PROFILES_PER_SUBSCRIPTION = 1_000;
const ERRORS_PER_PAGE = 100;
const MAX_PROFILE_BYTES = 100_000;
/** Ours: what a proxy takes of a URL; a hundred long ids would be several times that. */
const MAX_FILTER_CHARACTERS = 6_000;
/** Klaviyo's own limit is not documented; 255 is what its integrations keep to. */
const MAX_EXTERNAL_ID_BYTES = 255;

/** Traits that are fields of a Klaviyo profile; every other trait is a custom property. */
const FIELDS = new Set(['first_name', 'last_name', 'organization', 'locale', 'title', 'image']);
const RESERVED = new Set(['id', 'email', 'phone_number', 'external_id', '_kx', 'location', 'properties', 'subscriptions']);

export const klaviyo: Connector<Settings, Secret> = {
  name: 'klaviyo',
  title: 'Klaviyo',
  settings,
  secret,
  namespaces: {
    external_id: { normalise: plainText(MAX_EXTERNAL_ID_BYTES), hash: 'none', max: 1 },
    email: { normalise: email, hash: 'none', max: 1 },
    phone: { normalise: phone, hash: 'none', max: 1 },
  },
  defaultIdentifiers: ['email'],
  membership: 'member',
  modes: ['mirror', 'upsert', 'add-only'],
  traits: true,
  limits: {
    rows: PROFILES_PER_IMPORT,
    bytes: 5_000_000,
    overhead: 500,
    perOp: { remove: { rows: IDS_PER_REMOVAL } },
    // The tier of imports, jobs and list changes; looking ids up may be faster, but one budget keeps the account safe.
    windows: [
      { requests: 10, seconds: 1 },
      { requests: 150, seconds: 60 },
    ],
    concurrency: 4,
    source: 'https://github.com/klaviyo/openapi openapi/stable.json, revision 2026-07-15, read 2026-11-22',
  },

  endpoint: () => 'https://a.klaviyo.com',

  async ensure(context, list) {
    const reserved = list.traits.filter((name) => RESERVED.has(name) || name.startsWith('$'));
    if (reserved.length > 0) {
      const wayOut = 'Rename the trait. Email and phone are identifiers: name them under `identifiers` of the sync.';
      throw new DestinationBroken(
        `Klaviyo keeps ${reserved.join(', ')} for itself, so "${list.audience}" cannot send it as a trait.`,
        wayOut,
      );
    }
    if (list.known !== undefined) {
      const response = await call(context, 'GET', `/api/lists/${encodeURIComponent(list.known.id)}?fields[list]=name`);
      if (response.status === 404) throw LIST_GONE();
      if (response.status !== 200) throw failure(response, context);
      json(response);
      return { id: list.known.id };
    }
    const name = `${context.settings.list_prefix}${list.audience}`;
    const filter = encodeURIComponent(`equals(name,${JSON.stringify(name)})`);
    const found = await call(context, 'GET', `/api/lists?filter=${filter}&fields[list]=name&sort=created`);
    if (found.status !== 200) throw failure(found, context);
    const same = read('Klaviyo', listsAnswer, found).data.find((one) => one.attributes.name === name);
    if (same !== undefined) return { id: same.id };
    const made = await call(context, 'POST', '/api/lists', { data: { type: 'list', attributes: { name } } });
    if (made.status !== 201) throw failure(made, context);
    return { id: read('Klaviyo', idAnswer, made).data.id };
  },

  encode(_context, _list, op, { identifiers, traits }) {
    const external_id = valueOf(identifiers, 'external_id');
    if (external_id === undefined) return NOTHING;
    if (op === 'remove') return { text: JSON.stringify(external_id), rows: 1 };
    const { fields, properties, unset } = sorted(traits);
    const text = JSON.stringify({
      type: 'profile',
      attributes: {
        ...fields,
        external_id,
        email: valueOf(identifiers, 'email'),
        phone_number: valueOf(identifiers, 'phone'),
        properties,
      },
      // An import takes no null: a property goes only by this.
      meta: unset === undefined ? undefined : { patch_properties: { unset } },
    });
    return Buffer.byteLength(text) > MAX_PROFILE_BYTES ? NOTHING : { text, rows: 1 };
  },

  async send(context, list, batch) {
    const sent = sentRows(batch);
    if (sent.length === 0) return outcomes(batch, new Map());
    if (batch.op === 'remove') return removeProfiles(context, list.id, batch, sent);
    const head = `{"data":{"type":"profile-bulk-import-job","attributes":{"profiles":{"data":[`;
    const tail = `]}},"relationships":{"lists":{"data":[{"type":"list","id":${JSON.stringify(list.id)}}]}}}}`;
    const body = `${head}${sent.map((index) => batch.items[index]?.text).join(',')}${tail}`;
    const response = await call(context, 'POST', '/api/profile-bulk-import-jobs', body);
    if (response.status !== 202) throw importRefused(response, sent, context);
    return { kind: 'job', id: read('Klaviyo', idAnswer, response).data.id, afterMs: 1_000 + Math.ceil(sent.length / 5) };
  },

  async poll(context, list, job, batch) {
    const path = `/api/profile-bulk-import-jobs/${encodeURIComponent(job.id)}`;
    const response = await call(context, 'GET', `${path}?fields[profile-bulk-import-job]=status,failed_count`);
    const sent = sentRows(batch);
    // Jobs expire. What became of this one nobody can say any more; importing it again does no harm.
    if (response.status === 404) return outcomes(batch, new Map(sent.map((index) => [index, retry('job-gone')])));
    if (response.status !== 200) throw failure(response, context);
    const { status, failed_count: failed } = read('Klaviyo', jobAnswer, response).data.attributes;
    if (status === 'cancelled') return outcomes(batch, new Map(sent.map((index) => [index, retry('job-cancelled')])));
    if (status !== 'complete') return { ...job, afterMs: 3_000 } satisfies Job;
    if ((failed ?? 0) === 0) {
      await subscribe(context, list.id, batch, sent);
      return outcomes(batch, new Map());
    }
    const { refused, reason } = await importErrors(context, path, batch, sent);
    // A failed row that nobody names is found by halving: an import that is repeated changes nothing.
    if (refused.size < (failed ?? 0))
      throw new RowsRefused(
        reason,
        [...refused].map(([index, why]) => ({ index, reason: why })),
      );
    await subscribe(
      context,
      list.id,
      batch,
      sent.filter((index) => !refused.has(index)),
    );
    const taken = await takeOver(
      context,
      batch,
      [...refused].flatMap(([index, why]) => (DUPLICATE.test(why) ? [index] : [])),
    );
    return outcomes(
      batch,
      new Map(
        [...refused].map(([index, why]) => [index, taken.has(index) ? retry('id-changed') : { kind: 'rejected', reason: why }]),
      ),
    );
  },

  // https://developers.klaviyo.com/en/docs/rate_limits_and_error_handling, read 2026-11-22: the state of the minute, in every answer but a 429.
  headroom({ headers }) {
    const seconds = Number(headers['ratelimit-reset'] ?? Number.NaN);
    return headers['ratelimit-remaining'] === '0' && seconds >= 0 ? { waitMs: seconds * 1000 } : undefined;
  },

  async erase(context, members) {
    const externalIds = members.map((member) => valueOf(member.identifiers, 'external_id'));
    const found = new Map<string, Profile>();
    await lookUp(
      context,
      externalIds.filter((one) => one !== undefined),
      found,
    );
    const answers: Outcome[] = [];
    for (const external of externalIds) {
      const profile = external === undefined ? undefined : found.get(external);
      if (external === undefined) answers.push(NO_KEY);
      // By the profile's own id, never by an address: a household's address would take the wrong person with it.
      else if (profile === undefined) answers.push({ kind: 'delivered' });
      else {
        const data = { type: 'profile', id: profile.id, attributes: {} };
        const body = { data: { type: 'data-privacy-deletion-job', attributes: { profile: { data } } } };
        const response = await call(context, 'POST', '/api/data-privacy-deletion-jobs', body);
        if (response.status !== 202) throw failure(response, context);
        answers.push({ kind: 'accepted' });
      }
    }
    return answers;
  },

  async size(context, list) {
    const response = await call(
      context,
      'GET',
      `/api/lists/${encodeURIComponent(list.id)}?additional-fields[list]=profile_count`,
    );
    if (response.status === 404) throw LIST_GONE();
    if (response.status !== 200) throw failure(response, context);
    return read('Klaviyo', listAnswer, response).data.attributes.profile_count;
  },
};

const NO_KEY: Outcome = { kind: 'rejected', reason: 'no-external-id' };
const NOTHING = { text: '', rows: 0 };
const retry = (reason: string): Outcome => ({ kind: 'retry', reason });

const LIST_GONE = (): DestinationBroken =>
  new DestinationBroken(
    'The list was deleted at Klaviyo.',
    'Restore it, or start over with a new destination file: a list of the same name has another id, and nobody is on it.',
  );

const valueOf = (identifiers: Member['identifiers'], namespace: string): string | undefined =>
  identifiers.find((one) => one.namespace === namespace)?.value;

/** Of a row that is sent: it has one. */
const externalIdOf = (batch: Batch, index: number): string =>
  valueOf(batch.items[index]?.member.identifiers ?? [], 'external_id') as string;

/** Indexes into the batch of the rows that are sent. */
const sentRows = (batch: Batch): number[] => batch.items.flatMap((item, index) => (item.rows > 0 ? [index] : []));

/** `delivered`, but for what `others` say, and for members that took no place in the request. */
const outcomes = (batch: Batch, others: ReadonlyMap<number, Outcome>): Outcome[] =>
  batch.items.map(({ member, rows }, index) => {
    if (rows > 0) return others.get(index) ?? { kind: 'delivered' };
    return valueOf(member.identifiers, 'external_id') === undefined ? NO_KEY : { kind: 'rejected', reason: 'profile-too-large' };
  });

/** Traits by where they belong. A field cannot be cleared by an import, so its null is left out. */
function sorted(traits: Member['traits']) {
  const fields: Record<string, TraitValue> = {};
  const properties: Record<string, TraitValue> = {};
  const unset: string[] = [];
  for (const [name, value] of Object.entries(traits)) {
    if (FIELDS.has(name)) {
      if (value !== null) fields[name] = value;
    } else if (value === null) unset.push(name);
    else properties[name] = value;
  }
  return {
    fields,
    properties: Object.keys(properties).length > 0 ? properties : undefined,
    unset: unset.length > 0 ? unset : undefined,
  };
}

/** Off the list: ids first, then one removal; then the suppression, where the settings ask for it. */
async function removeProfiles(
  context: KlaviyoContext,
  listId: string,
  batch: Batch,
  sent: readonly number[],
): Promise<Outcome[]> {
  const externalIds = sent.map((index) => externalIdOf(batch, index));
  const { profiles, done } = memoryOf(context, batch);
  await lookUp(context, externalIds, profiles);
  const response = await takeOff(context, listId, profiles);
  if (response?.status === 404) {
    // The list is gone, or a profile was merged or deleted since it was looked up.
    done();
    const list = await call(context, 'GET', `/api/lists/${encodeURIComponent(listId)}?fields[list]=name`);
    if (list.status === 404) throw LIST_GONE();
    throw new TryAgain('Klaviyo does not know a profile that it named a moment ago.');
  }
  if (response !== undefined && response.status !== 204) throw failure(response, context);
  const suppressed = await suppress(context, leaving(context.settings, batch, sent, profiles));
  done();
  // Suppressions are queued for hours, and their jobs do not tell what came of them.
  const queued = sent.filter((index) => suppressed.has(externalIdOf(batch, index)));
  return outcomes(batch, new Map(queued.map((index) => [index, { kind: 'accepted' }])));
}

const takeOff = async (context: KlaviyoContext, listId: string, profiles: ReadonlyMap<string, Profile>) =>
  profiles.size === 0
    ? undefined
    : call(context, 'DELETE', `/api/lists/${encodeURIComponent(listId)}/relationships/profiles`, {
        data: [...profiles.values()].map(({ id }) => ({ type: 'profile', id })),
      });

/** Those whose leaving stops all e-mail marketing, by the settings. Who merely left the audience has not withdrawn. */
function leaving(
  { on_remove }: Settings,
  batch: Batch,
  sent: readonly number[],
  profiles: ReadonlyMap<string, Profile>,
): ReadonlyMap<string, Profile> {
  if (on_remove === 'suppress') return profiles;
  if (on_remove === 'leave-list') return new Map();
  const withdrawn = sent.filter((index) => batch.items[index]?.member.withdrawn === true);
  const ids = new Set(withdrawn.map((index) => externalIdOf(batch, index)));
  return new Map([...profiles].filter(([externalId]) => ids.has(externalId)));
}

/**
 * Subscribes whose decision rests on a grant, as of when they granted it: a subscription recorded elsewhere (`historical_import`), so that
 * Klaviyo asks nobody again. Done again it changes nothing.
 */
async function subscribe(context: KlaviyoContext, listId: string, batch: Batch, rows: readonly number[]): Promise<void> {
  if (!context.settings.subscribe_email) return;
  const data = rows.flatMap((index) => {
    const { identifiers = [], consent, granted } = batch.items[index]?.member ?? {};
    const address = valueOf(identifiers, 'email');
    if (address === undefined || consent?.grant === undefined || granted === undefined) return [];
    const marketing = { consent: 'SUBSCRIBED', consented_at: new Date(granted).toISOString() };
    return [{ type: 'profile', attributes: { email: address, subscriptions: { email: { marketing } } } }];
  });
  for (let start = 0; start < data.length; start += PROFILES_PER_SUBSCRIPTION) {
    const profiles = { data: data.slice(start, start + PROFILES_PER_SUBSCRIPTION) };
    const type = 'profile-subscription-bulk-create-job';
    const relationships = { list: { data: { type: 'list', id: listId } } };
    const body = { data: { type, attributes: { historical_import: true, profiles }, relationships } };
    const response = await call(context, 'POST', '/api/profile-subscription-bulk-create-jobs', body);
    if (response.status !== 202) throw failure(response, context);
  }
}

/** Stops e-mail marketing to the addresses these profiles have now. Returns the external ids of those that have one. */
async function suppress(context: KlaviyoContext, profiles: ReadonlyMap<string, Profile>): Promise<Set<string>> {
  const reached = [...profiles].filter(([, profile]) => profile.email != null);
  const addresses = [...new Set(reached.map(([, profile]) => profile.email as string))];
  for (let start = 0; start < addresses.length; start += ADDRESSES_PER_SUPPRESSION) {
    const some = addresses.slice(start, start + ADDRESSES_PER_SUPPRESSION);
    const data = some.map((address) => ({ type: 'profile', attributes: { email: address } }));
    const body = { data: { type: 'profile-suppression-bulk-create-job', attributes: { profiles: { data } } } };
    const response = await call(context, 'POST', '/api/profile-suppression-bulk-create-jobs', body);
    if (response.status !== 202) throw failure(response, context);
  }
  return new Set(reached.map(([externalId]) => externalId));
}

interface Profile {
  readonly id: string;
  readonly email?: string | null;
}

/**
 * What was looked up for a batch, until it is through: a removal that is tried again after a 429 asks for nobody twice. Not longer, because
 * an import by somebody else can give a profile to another external id, and a remembered id would then take the wrong person off the list.
 */
const lookedUp = new Map<string, Map<string, Profile>>();
const BATCHES_REMEMBERED = 32;

function memoryOf(
  { endpoint, secret: { api_key } }: KlaviyoContext,
  batch: Batch,
): { profiles: Map<string, Profile>; done(): void } {
  const key = sha256Hex(`${endpoint} ${api_key} ${batch.id}`);
  const profiles = lookedUp.get(key) ?? new Map<string, Profile>();
  lookedUp.delete(key);
  lookedUp.set(key, profiles);
  for (const oldest of lookedUp.keys()) {
    if (lookedUp.size <= BATCHES_REMEMBERED) break;
    lookedUp.delete(oldest);
  }
  return { profiles, done: () => void lookedUp.delete(key) };
}

/** Adds the profiles of these external ids to `found`, which may hold some; those Klaviyo does not know stay out. */
async function lookUp(context: KlaviyoContext, externalIds: readonly string[], found: Map<string, Profile>): Promise<void> {
  for (const values of chunks(externalIds.filter((one) => !found.has(one)))) {
    const filter = encodeURIComponent(`any(external_id,[${values.join(',')}])`);
    const response = await call(
      context,
      'GET',
      `/api/profiles?filter=${filter}&fields[profile]=external_id,email&page[size]=${IDS_PER_LOOKUP}`,
    );
    if (response.status !== 200) throw failure(response, context);
    for (const { id, attributes } of read('Klaviyo', profilesAnswer, response).data) {
      if (attributes.external_id != null) found.set(attributes.external_id, { id, email: attributes.email });
    }
  }
}

/** The address belongs to a profile with another external id. */
const DUPLICATE = /^duplicate_profile\b/;

/**
 * Gives the profile of an id that was merged into a member the member's external id, where the two share the address and the member has no
 * profile yet. Returns the rows worth another try. https://developers.klaviyo.com/en/docs/update_profile_properties_via_api, read 2026-11-25.
 */
async function takeOver(context: KlaviyoContext, batch: Batch, rows: readonly number[]): Promise<ReadonlySet<number>> {
  const merged = rows.filter((row) => (batch.items[row]?.member.formerly?.length ?? 0) > 0);
  const found = new Map<string, Profile>();
  const formerly = (row: number): readonly string[] => batch.items[row]?.member.formerly ?? [];
  await lookUp(
    context,
    merged.flatMap((row) => [externalIdOf(batch, row), ...formerly(row)]),
    found,
  );
  const taken = new Set<number>();
  for (const row of merged) {
    const external_id = externalIdOf(batch, row);
    const address = valueOf(batch.items[row]?.member.identifiers ?? [], 'email');
    const old = formerly(row).find((one) => address !== undefined && found.get(one)?.email?.toLowerCase() === address);
    const profile = old === undefined ? undefined : found.get(old);
    if (profile === undefined || found.has(external_id)) continue;
    const data = { type: 'profile', id: profile.id, attributes: { external_id } };
    const response = await call(context, 'PATCH', `/api/profiles/${encodeURIComponent(profile.id)}`, { data });
    if (response.status === 200) taken.add(row);
    // What Klaviyo refuses here stays refused, with the reason of the import.
    else if (![400, 404, 409].includes(response.status)) throw failure(response, context);
  }
  return taken;
}

/** Quoted values, as many as a filter and a URL take. */
function* chunks(externalIds: readonly string[]): Generator<string[]> {
  let values: string[] = [];
  let characters = 0;
  for (const externalId of externalIds) {
    const value = JSON.stringify(externalId);
    const length = encodeURIComponent(value).length + 3;
    if (values.length > 0 && (values.length === IDS_PER_LOOKUP || characters + length > MAX_FILTER_CHARACTERS)) {
      yield values;
      values = [];
      characters = 0;
    }
    values.push(value);
    characters += length;
  }
  if (values.length > 0) yield values;
}

const id = z.string().min(1);
const idAnswer = z.object({ data: z.object({ id }) });
const listsAnswer = z.object({ data: z.array(z.object({ id, attributes: z.object({ name: z.string() }) })) });
const listAnswer = z.object({ data: z.object({ attributes: z.object({ profile_count: z.int().optional() }) }) });
const profilesAnswer = z.object({
  data: z.array(z.object({ id, attributes: z.object({ external_id: z.string().nullish(), email: z.string().nullish() }) })),
});
const jobAnswer = z.object({ data: z.object({ attributes: z.object({ status: z.string(), failed_count: z.int().nullish() }) }) });
const apiError = z.object({
  code: z.string().optional(),
  detail: z.string().optional(),
  source: z.object({ pointer: z.string().nullish() }).nullish(),
});
const errorsAnswer = z.object({ errors: z.array(apiError) });
const importErrorsAnswer = z.object({
  data: z.array(z.object({ attributes: apiError.extend({ original_payload: z.unknown().optional() }) })),
  links: z.object({ next: z.string().nullish() }).nullish(),
});

const call = (
  context: KlaviyoContext,
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
): Promise<HttpResponse> =>
  context.http({
    method,
    url: `${context.endpoint}${path}`,
    headers: {
      authorization: `Klaviyo-API-Key ${context.secret.api_key}`,
      revision: REVISION,
      accept: 'application/vnd.api+json',
      ...(body !== undefined && { 'content-type': 'application/vnd.api+json' }),
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });

const ROW = /^\/data\/attributes\/profiles\/data\/(\d+)(?:\/attributes\/(\w+))?/;

/** `invalid:email`: Klaviyo's code and the field it is about. */
function reasonOf({ code, source }: z.infer<typeof apiError>): string {
  const field = ROW.exec(source?.pointer ?? '')?.[2];
  return reasonCode(field === undefined ? code : `${code}:${field}`);
}

/** One bad row refuses the whole import, and Klaviyo points at it. */
function importRefused(response: HttpResponse, sent: readonly number[], context: KlaviyoContext): Error {
  const parsed = response.status === 400 ? errorsAnswer.safeParse(json(response)) : undefined;
  if (parsed?.success !== true) return failure(response, context);
  const rows = new Map<number, string>();
  for (const error of parsed.data.errors) {
    const row = ROW.exec(error.source?.pointer ?? '')?.[1];
    const index = row === undefined ? undefined : sent[Number(row)];
    if (index !== undefined) rows.set(index, reasonOf(error));
    // Seen as /data with "List ID ... does not exist.", documented as the relationship.
    else if (
      /^\/data\/relationships\/lists?\b/.test(error.source?.pointer ?? '') ||
      /^List\b.*(?:not exist|not found)/i.test(error.detail ?? '')
    )
      return LIST_GONE();
  }
  if (rows.size === 0) return failure(response, context);
  return new RowsRefused(
    'import-refused',
    [...rows].map(([index, reason]) => ({ index, reason })),
  );
}

/** Which rows of a finished import failed, by the pointer of the error or by the external id of the payload it repeats. */
async function importErrors(context: KlaviyoContext, path: string, batch: Batch, sent: readonly number[]) {
  const byExternalId = new Map(sent.map((index) => [externalIdOf(batch, index), index]));
  const refused = new Map<number, string>();
  let reason = 'import-failed';
  let cursor: string | undefined;
  do {
    const page = cursor === undefined ? '' : `&page[cursor]=${encodeURIComponent(cursor)}`;
    const response = await call(context, 'GET', `${path}/import-errors?page[size]=${ERRORS_PER_PAGE}${page}`);
    if (response.status !== 200) throw failure(response, context);
    const { data, links } = read('Klaviyo', importErrorsAnswer, response);
    for (const { attributes } of data) {
      const row = ROW.exec(attributes.source?.pointer ?? '')?.[1];
      const index =
        (row === undefined ? undefined : sent[Number(row)]) ?? byExternalId.get(externalIdIn(attributes.original_payload) ?? '');
      reason = reasonOf(attributes);
      if (index !== undefined) refused.set(index, reason);
    }
    // The cursor of the link, at our own address: credentials follow no link.
    const next =
      links?.next == null || data.length === 0
        ? undefined
        : URL.parse(links.next, context.endpoint)?.searchParams.get('page[cursor]');
    cursor = next === cursor ? undefined : (next ?? undefined);
  } while (cursor !== undefined);
  return { refused, reason };
}

function externalIdIn(payload: unknown): string | undefined {
  const parsed = z
    .object({ external_id: z.string().optional(), attributes: z.object({ external_id: z.string().optional() }).optional() })
    .safeParse(payload);
  return parsed.success ? (parsed.data.external_id ?? parsed.data.attributes?.external_id) : undefined;
}

const WAYS_OUT: Readonly<Record<number, string>> = {
  401: 'Put a private API key of the account (pk_..., Settings, API keys) into the secret.',
  403: 'Give the key lists:read, lists:write, profiles:read and profiles:write; data-privacy:write to erase people, subscriptions:write to suppress.',
  404: 'Klaviyo does not know the address: leave `endpoint` out, or correct it.',
};

function failure(response: HttpResponse, context: KlaviyoContext): Error {
  // Success of another kind than documented, or a page that says it is one: `read` and `json` know what to say of it.
  if (response.status < 300) read('Klaviyo', z.never(), response);
  const parsed =
    response.status >= 400 && response.status < 500 && /^\s*\{/.test(response.text)
      ? errorsAnswer.safeParse(json(response))
      : undefined;
  const error = parsed?.success === true ? parsed.data.errors[0] : undefined;
  // A key of another kind is answered with 400.
  const status =
    response.status === 400 && /^(?:not_authenticated|authentication_failed)$/.test(error?.code ?? '') ? 401 : response.status;
  return statusError(
    'Klaviyo',
    { ...response, status },
    { now: context.now(), wayOut: WAYS_OUT[status], ...(error !== undefined && { code: reasonOf(error) }) },
  );
}
