import * as z from 'zod';
import {
  type Batch,
  type Connector,
  type Context,
  DestinationBroken,
  type HttpRequest,
  type HttpResponse,
  type Identifier,
  type ListSpec,
  type Outcome,
  RowsRefused,
  type TraitValue,
  TryAgain,
} from '../core/connector.ts';
import { email, phone, plainText } from '../core/identifiers.ts';
import { json, read, reasonCode, retryAfter, statusError } from './http.ts';
import { accessToken, tokenRefused, type TokenRequest } from './oauth.ts';

/** HubSpot: an audience is a static list of contacts, which are known by a unique property of their own. docs/connectors/hubspot.md */

const PROPERTY = /^[a-z][a-z0-9_]*$/;
const property = z.string().max(100).regex(PROPERTY, 'must be the internal name of a property: a-z, 0-9 and _');

const settings = z.strictObject({
  /** The date in the paths; both name the same calls. */
  api_version: z.enum(['2026-03', '2026-09']).default('2026-03'),
  /** Before the audience's name in the name of the list. */
  list_prefix: z.string().max(60).default('sluice '),
  /** A text property of contacts with unique values, made for this; it holds the external id. */
  id_property: property
    .refine(
      (name) => name !== 'email' && name !== 'hs_object_id',
      'must be a custom property: by their address people who change it would be lost. See adopt_by_email',
    )
    .default('sluice_external_id'),
  /** Contacts that HubSpot has already, with a member's address and no `id_property`, become that member. */
  adopt_by_email: z.boolean().default(false),
  phone_property: property.default('phone'),
});

const secret = z.union([
  /** Of a private app, an app with static auth or a service key: crm.objects.contacts.read and .write, crm.lists.read and .write. */
  z.strictObject({ access_token: z.string().min(1) }),
  z.strictObject({ client_id: z.string().min(1), client_secret: z.string().min(1), refresh_token: z.string().min(1) }),
]);

type Settings = z.infer<typeof settings>;
type Secret = z.infer<typeof secret>;
type HubspotContext = Context<Settings, Secret>;

/** "Batch operations are limited to 100 records at a time": https://developers.hubspot.com/docs/api-reference/latest/crm/objects/contacts/guide, read 2026-11-23. */
const CONTACTS_PER_CALL = 100;
/** Ours: HubSpot documents no largest body. */
const MAX_BYTES = 1_000_000;
/** What a row has around its properties: the id, the name of its property, the trace id. */
const OVERHEAD = CONTACTS_PER_CALL * 700;
const MAX_EXTERNAL_ID_BYTES = 255;
/** Contacts, in the calls about lists. */
const CONTACT_TYPE = '0-1';
const READ_ONLY = new Set(['hs_object_id', 'createdate', 'lastmodifieddate', 'hs_additional_emails']);

export const hubspot: Connector<Settings, Secret> = {
  name: 'hubspot',
  title: 'HubSpot',
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
    rows: CONTACTS_PER_CALL,
    bytes: MAX_BYTES,
    overhead: OVERHEAD,
    // The smallest of all plans; Professional and Enterprise give a private app 190.
    windows: [{ requests: 100, seconds: 10 }],
    concurrency: 4,
    source: 'https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines, read 2026-11-23',
  },

  endpoint: () => 'https://api.hubapi.com',

  async ensure(context, list) {
    const { list_prefix, id_property } = context.settings;
    refuseTraits(context.settings, list);
    if (list.known !== undefined) {
      if (list.known.id_property !== id_property) {
        throw new DestinationBroken(
          `The members of "${list.audience}" are known at HubSpot by the property ${list.known.id_property}; the settings of ${list.destination} now name ${id_property}.`,
          'Set `id_property` back, or make a second destination file and let the old sync remove its members first.',
        );
      }
      await checkList(context, list.known.id);
      return { id: list.known.id, id_property };
    }
    const name = `${list_prefix}${list.audience}`;
    const found = await listByName(context, name);
    if (found !== undefined) return { id: found, id_property };
    const made = await call(context, 'POST', lists(context), { name, objectTypeId: CONTACT_TYPE, processingType: 'MANUAL' });
    if (made.status === 200 || made.status === 201) return { id: read('HubSpot', listAnswer, made).list.listId, id_property };
    // Somebody else may have made it in between.
    const late = made.status === 400 || made.status === 409 ? await listByName(context, name) : undefined;
    if (late === undefined) throw failure(made, context);
    return { id: late, id_property };
  },

  // The properties of the contact; `send` puts the id around them.
  encode({ settings: { phone_property } }, _list, op, { identifiers, traits }) {
    if (valueOf(identifiers, 'external_id') === undefined) return { text: '', rows: 0 };
    if (op === 'remove') return { text: '{}', rows: 1 };
    const properties: Record<string, string | undefined> = {
      ...Object.fromEntries(Object.entries(traits).map(([name, value]) => [name, propertyValue(value)])),
      email: valueOf(identifiers, 'email'),
      [phone_property]: valueOf(identifiers, 'phone'),
    };
    return { text: JSON.stringify(properties), rows: 1 };
  },

  async send(context, list, batch) {
    const rows = batch.items.flatMap((item, index) => (item.rows > 0 ? [index] : []));
    const answers = new Map<number, Outcome>();
    if (rows.length > 0) await (batch.op === 'remove' ? remove : upsert)(context, list.id, batch, rows, answers);
    return batch.items.map((item, index) => (item.rows === 0 ? NO_KEY : (answers.get(index) ?? { kind: 'delivered' })));
  },

  // The limit is the app's own, and the headers are about it: https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines, read 2026-11-23.
  headroom({ headers }) {
    if (headers['x-hubspot-ratelimit-remaining'] !== '0') return undefined;
    const waitMs = intervalMs(headers);
    return waitMs === undefined ? undefined : { waitMs };
  },

  async erase(context, members) {
    const externalIds = members.map((member) => valueOf(member.identifiers, 'external_id'));
    const wanted = externalIds.filter((one) => one !== undefined);
    const found = new Map<string, string>();
    const unread = new Set<string>();
    for (let start = 0; start < wanted.length; start += CONTACTS_PER_CALL) {
      const some = wanted.slice(start, start + CONTACTS_PER_CALL);
      const looked = await lookUp(context, some);
      for (const [external, record] of looked.records) found.set(external, record);
      for (const external of looked.unread) unread.add(external);
    }
    const answers: Outcome[] = [];
    for (const external of externalIds) {
      if (external === undefined) answers.push(NO_KEY);
      else if (unread.has(external)) answers.push(retry('not-looked-up'));
      else {
        const objectId = found.get(external);
        // By the record, never by the address: HubSpot bars an address it does not know from ever being used.
        answers.push(objectId === undefined ? { kind: 'delivered' } : await eraseRecord(context, objectId));
      }
    }
    return answers;
  },

  async size(context, list) {
    return (await checkList(context, list.id)).size;
  },
};

const NO_KEY: Outcome = { kind: 'rejected', reason: 'no-external-id' };
const retry = (reason: string): Outcome => ({ kind: 'retry', reason });

const LIST_GONE = (): DestinationBroken =>
  new DestinationBroken(
    'The list was deleted at HubSpot.',
    'Restore it there (within 90 days), or start over with a new destination file: a list of the same name has another id, and nobody is on it.',
  );

const valueOf = (identifiers: readonly Identifier[], namespace: string): string | undefined =>
  identifiers.find((one) => one.namespace === namespace)?.value;

/** Properties are text; the empty one clears: https://developers.hubspot.com/docs/api-reference/2026-03/crm/objects/contacts/batch/update-contacts, read 2026-11-23. */
const propertyValue = (value: TraitValue): string => (value === null ? '' : String(value));

function refuseTraits({ id_property, phone_property }: Settings, list: ListSpec): void {
  const reserved = list.traits.filter(
    (name) =>
      READ_ONLY.has(name) ||
      name === id_property ||
      name === 'email' ||
      (name === phone_property && list.identifiers.includes('phone')),
  );
  if (reserved.length > 0) {
    throw new DestinationBroken(
      `"${list.audience}" cannot send ${reserved.join(', ')} to HubSpot as a trait: it is an identifier, or HubSpot's own.`,
      'Rename the trait. Email and phone are identifiers: name them under `identifiers` of the sync.',
    );
  }
  const odd = list.traits.filter((name) => !PROPERTY.test(name));
  if (odd.length > 0) {
    throw new DestinationBroken(
      `HubSpot has no property called ${odd.join(', ')}: internal names are written in a-z, 0-9 and _.`,
      'Name the trait as the internal name of the contact property.',
    );
  }
}

const lists = ({ settings: { api_version } }: HubspotContext): string => `/crm/lists/${api_version}`;
const contacts = ({ settings: { api_version } }: HubspotContext): string => `/crm/objects/${api_version}/contacts`;

/** The list of this name, whatever the case of its letters; undefined when there is none. */
async function listByName(context: HubspotContext, name: string): Promise<string | undefined> {
  const path = `${lists(context)}/object-type-id/${CONTACT_TYPE}/name/${encodeURIComponent(name)}`;
  const response = await call(context, 'GET', path);
  if (response.status === 404) return undefined;
  if (response.status !== 200) throw failure(response, context);
  return takesMembers(read('HubSpot', listAnswer, response).list).listId;
}

async function checkList(context: HubspotContext, id: string): Promise<z.infer<typeof listAnswer>['list']> {
  const response = await call(context, 'GET', `${lists(context)}/${encodeURIComponent(id)}`);
  if (response.status === 404) throw LIST_GONE();
  if (response.status !== 200) throw failure(response, context);
  const { list } = read('HubSpot', listAnswer, response);
  if (list.deletedAt != null) throw LIST_GONE();
  return takesMembers(list);
}

function takesMembers(list: z.infer<typeof listAnswer>['list']): typeof list {
  if (list.processingType === 'MANUAL' || list.processingType === 'SNAPSHOT') return list;
  throw new DestinationBroken(
    'The list is an active one at HubSpot, which fills it by its own filters.',
    'Rename it there, or set another `list_prefix`: Sluice makes a static list.',
  );
}

/** Writes the contacts, then puts those that were taken on the list. `answers` gets every row that is not simply delivered. */
async function upsert(
  context: HubspotContext,
  listId: string,
  batch: Batch,
  rows: readonly number[],
  answers: Map<number, Outcome>,
): Promise<void> {
  const { records, refused } = await write(context, batch, rows);
  const taken = [...refused].flatMap(([row, { category }]) =>
    category === 'CONFLICT' && (context.settings.adopt_by_email || formerlyOf(batch, row).length > 0) ? [row] : [],
  );
  if (taken.length > 0) {
    const adopted = await adopt(context, batch, taken);
    if (adopted.length > 0) {
      const again = await write(context, batch, adopted);
      for (const row of adopted) refused.delete(row);
      for (const [row, record] of again.records) records.set(row, record);
      for (const [row, error] of again.refused) refused.set(row, error);
    }
  }
  const missing = await changeMembers(context, listId, 'add', [...records.values()]);
  for (const row of rows) {
    const error = refused.get(row);
    const record = records.get(row);
    if (error !== undefined) {
      answers.set(row, error.again ? retry(error.reason) : { kind: 'rejected', reason: error.reason });
    } else if (record === undefined) answers.set(row, retry('no-answer-for-row'));
    // Merged into another contact or deleted since it was written: the next try finds what became of it.
    else if (missing.has(record)) answers.set(row, retry('record-missing'));
  }
}

/** Off the list; who is not at HubSpot is off it already. */
async function remove(
  context: HubspotContext,
  listId: string,
  batch: Batch,
  rows: readonly number[],
  answers: Map<number, Outcome>,
): Promise<void> {
  const { records, unread } = await lookUp(
    context,
    rows.map((row) => externalIdOf(batch, row)),
  );
  await changeMembers(context, listId, 'remove', [...records.values()]);
  for (const row of rows) if (unread.has(externalIdOf(batch, row))) answers.set(row, retry('not-looked-up'));
}

/** Of a row that is sent: it has one. */
const externalIdOf = (batch: Batch, row: number): string =>
  valueOf(batch.items[row]?.member.identifiers ?? [], 'external_id') as string;
const formerlyOf = (batch: Batch, row: number): readonly string[] => batch.items[row]?.member.formerly ?? [];
const keyOf = (batch: Batch, row: number): string => batch.items[row]?.member.key as string;

/** Record ids that HubSpot does not know any more; being on the list already, or not on it, is no fault. */
async function changeMembers(
  context: HubspotContext,
  listId: string,
  change: 'add' | 'remove',
  records: readonly string[],
): Promise<ReadonlySet<string>> {
  if (records.length === 0) return new Set();
  const path = `${lists(context)}/${encodeURIComponent(listId)}/memberships/${change}`;
  const response = await call(context, 'PUT', path, records);
  if (response.status === 404) throw LIST_GONE();
  // No row can be at fault here: either the list has changed its kind, or nothing is known.
  if (response.status === 400) {
    await checkList(context, listId);
    throw new TryAgain('HubSpot refused a change of the list without a reason.');
  }
  if (response.status !== 200) throw failure(response, context);
  return new Set(read('HubSpot', membershipAnswer, response).recordIdsMissing);
}

interface RowError {
  readonly reason: string;
  readonly category: string | undefined;
  /** Not about the row: it may be taken the next time. */
  readonly again: boolean;
}

interface Written {
  /** Row -> id of its contact. */
  readonly records: Map<number, string>;
  readonly refused: Map<number, RowError>;
}

/**
 * One upsert by the id property. Every input has a trace id of its own, which makes HubSpot take the good rows and name the others
 * (https://developers.hubspot.com/docs/api-reference/error-handling#multi-status-errors, read 2026-11-23).
 */
async function write(context: HubspotContext, batch: Batch, rows: readonly number[]): Promise<Written> {
  const idProperty = context.settings.id_property;
  const inputs = rows.map((row) => {
    const head = { id: externalIdOf(batch, row), idProperty, objectWriteTraceId: keyOf(batch, row) };
    return `${JSON.stringify(head).slice(0, -1)},"properties":${batch.items[row]?.text}}`;
  });
  const response = await call(context, 'POST', `${contacts(context)}/batch/upsert`, `{"inputs":[${inputs.join(',')}]}`);
  const { results, errors } = readBatch(response, batch, rows, context);

  const byKey = new Map(rows.map((row) => [keyOf(batch, row), row]));
  const byId = new Map(rows.map((row) => [externalIdOf(batch, row), row]));
  const records = new Map<number, string>();
  for (const result of results) {
    const row = byKey.get(result.objectWriteTraceId ?? '') ?? byId.get(result.properties[idProperty] ?? '');
    if (row !== undefined) records.set(row, result.id);
  }
  const refused = new Map<number, RowError>();
  let unplaced: RowError | undefined;
  for (const error of errors) {
    const named = rowsOf(error, byKey, byId);
    const rowError = rowErrorOf(error, namesOf(context, batch), context);
    if (named.length === 0) unplaced = rowError;
    for (const row of named) {
      refused.set(row, rowError);
      records.delete(row);
    }
  }
  const open = rows.filter((row) => !records.has(row) && !refused.has(row));
  if (open.length === 0) return { records, refused };
  if (unplaced !== undefined) {
    // With one row there is nobody else it can be about; with more, halving finds out: an upsert that is repeated changes nothing.
    if (rows.length > 1) throw rowsRefused(unplaced.reason, refused);
    return { records, refused: new Map([[rows[0] as number, unplaced]]) };
  }
  const looked = await lookUp(
    context,
    open.map((row) => externalIdOf(batch, row)),
  );
  for (const row of open) {
    const record = looked.records.get(externalIdOf(batch, row));
    if (record !== undefined) records.set(row, record);
  }
  return { records, refused };
}

const rowsRefused = (reason: string, refused: ReadonlyMap<number, RowError>): RowsRefused =>
  new RowsRefused(
    reason,
    [...refused].filter(([, error]) => !error.again).map(([index, error]) => ({ index, reason: error.reason })),
  );

/** The rows an error names, by their trace ids or by the ids they were sent with. */
function rowsOf(error: HubspotError, byKey: ReadonlyMap<string, number>, byId: ReadonlyMap<string, number>): number[] {
  const keys = [...(error.context.objectWriteTraceId ?? []), error.objectWriteTraceId ?? ''];
  const named = [...keys.map((key) => byKey.get(key)), ...(error.context.ids ?? []).map((one) => byId.get(one))];
  return [...new Set(named.filter((row) => row !== undefined))];
}

/**
 * Gives the id property to contacts that have the address of a member: those of an id that was merged into the member, and, where the settings
 * say so, those without one. Returns the rows worth another try. A contact that is somebody else's member is left alone, so is a member who
 * has a contact: HubSpot lets no two contacts have one id.
 */
async function adopt(context: HubspotContext, batch: Batch, rows: readonly number[]): Promise<number[]> {
  const { id_property: idProperty } = context.settings;
  const byAddress = new Map<string, number>();
  for (const row of rows) {
    const address = valueOf(batch.items[row]?.member.identifiers ?? [], 'email');
    if (address !== undefined) byAddress.set(address, row);
  }
  if (byAddress.size === 0) return [];
  const response = await call(context, 'POST', `${contacts(context)}/batch/read`, {
    idProperty: 'email',
    properties: ['email', 'hs_additional_emails', idProperty],
    propertiesWithHistory: [],
    inputs: [...byAddress.keys()].map((id) => ({ id })),
  });
  const { results } = readBatch(response, batch, rows, context);
  const adopted = new Map<number, string>();
  for (const { id, properties } of results) {
    const addresses = [properties.email ?? '', ...(properties.hs_additional_emails ?? '').split(';')];
    const row = addresses.map((one) => byAddress.get(one.trim().toLowerCase())).find((one) => one !== undefined);
    if (row === undefined) continue;
    const owner = properties[idProperty] ?? '';
    const theirs = owner === '' ? context.settings.adopt_by_email : formerlyOf(batch, row).includes(owner);
    if (theirs) adopted.set(row, id);
  }
  if (adopted.size === 0) return [];
  const inputs = [...adopted].map(([row, id]) => ({
    id,
    objectWriteTraceId: keyOf(batch, row),
    properties: { [idProperty]: externalIdOf(batch, row) },
  }));
  const updated = await call(context, 'POST', `${contacts(context)}/batch/update`, { inputs });
  // A row that HubSpot refuses here is refused by the upsert that follows, with a reason.
  if (updated.status >= 400 && updated.status !== 400 && updated.status !== 409) throw failure(updated, context);
  return [...adopted.keys()];
}

/** External id -> id of its contact. Who is in neither answer is not at HubSpot. */
async function lookUp(
  context: HubspotContext,
  externalIds: readonly string[],
): Promise<{ readonly records: ReadonlyMap<string, string>; readonly unread: ReadonlySet<string> }> {
  const { id_property: idProperty } = context.settings;
  if (externalIds.length === 0) return { records: new Map(), unread: new Set() };
  const response = await call(context, 'POST', `${contacts(context)}/batch/read`, {
    idProperty,
    properties: [idProperty],
    propertiesWithHistory: [],
    inputs: externalIds.map((id) => ({ id })),
  });
  const { results, errors, status } = readBatch(response, undefined, [], context);
  const asked = new Set(externalIds);
  const records = new Map<string, string>();
  let strange = (status ?? 'COMPLETE') !== 'COMPLETE' || errors.some(({ category }) => category !== 'OBJECT_NOT_FOUND');
  for (const { id, properties } of results) {
    const external = properties[idProperty] ?? '';
    if (asked.has(external)) records.set(external, id);
    else strange = true;
  }
  // Not found is said by name; who is merely absent beside an answer we cannot read may be there all the same.
  const absent = new Set(errors.flatMap((error) => (error.category === 'OBJECT_NOT_FOUND' ? (error.context.ids ?? []) : [])));
  const unread = strange ? externalIds.filter((one) => !records.has(one) && !absent.has(one)) : [];
  return { records, unread: new Set(unread) };
}

async function eraseRecord(context: HubspotContext, objectId: string): Promise<Outcome> {
  const response = await call(context, 'POST', `${contacts(context)}/gdpr-delete`, { objectId });
  if (response.status === 404) return { kind: 'delivered' };
  if (response.status !== 204) throw failure(response, context);
  // A 204 says that HubSpot has been asked, not that it is done.
  return { kind: 'accepted' };
}

const id = z.union([z.string().min(1), z.int()]).transform(String);
const listAnswer = z.object({
  list: z.object({
    listId: id,
    processingType: z.string(),
    deletedAt: z.string().nullish(),
    size: z.coerce.number().int().nonnegative().optional().catch(undefined),
  }),
});
const membershipAnswer = z.object({ recordIdsMissing: z.array(id).default([]) });
const words = z.union([z.array(z.string()), z.string().transform((one) => [one])]).catch([]);
/** "All fields should be treated as optional": https://developers.hubspot.com/docs/api-reference/error-handling, read 2026-11-23. */
const hubspotError = z.object({
  category: z.string().optional().catch(undefined),
  message: z.string().optional().catch(undefined),
  policyName: z.string().optional().catch(undefined),
  objectWriteTraceId: z.string().optional().catch(undefined),
  context: z.record(z.string(), words).default({}).catch({}),
  errors: z
    .array(
      z.object({
        code: z.string().optional().catch(undefined),
        in: z.string().optional().catch(undefined),
        context: z.record(z.string(), words).default({}).catch({}),
      }),
    )
    .default([])
    .catch([]),
});
type HubspotError = z.infer<typeof hubspotError>;
const batchAnswer = z.object({
  status: z.string().optional(),
  results: z.array(
    z.object({
      id,
      objectWriteTraceId: z.string().nullish(),
      properties: z.record(z.string(), z.string().nullable()).default({}),
    }),
  ),
  errors: z.array(hubspotError).default([]),
});

/** A 200 may hold errors as a 207 does. Anything else is an error about everything, or about rows that it names. */
function readBatch(
  response: HttpResponse,
  batch: Batch | undefined,
  rows: readonly number[],
  context: HubspotContext,
): z.infer<typeof batchAnswer> {
  if (response.status === 200 || response.status === 201 || response.status === 207)
    return read('HubSpot', batchAnswer, response);
  if (response.status !== 400 && response.status !== 409) throw failure(response, context);
  const error = errorOf(response);
  if (error === undefined) throw failure(response, context);
  const rowError = rowErrorOf(error, namesOf(context, batch), context);
  if (batch === undefined) throw new RowsRefused(rowError.reason);
  const byKey = new Map(rows.map((row) => [keyOf(batch, row), row]));
  const byId = new Map(rows.map((row) => [externalIdOf(batch, row), row]));
  const named = rowsOf(error, byKey, byId);
  // One row alone is refused as in a 207, so that the address it lacks can be adopted.
  if (rows.length === 1) return { results: [], errors: [error] };
  throw rowsRefused(rowError.reason, new Map(named.map((row) => [row, rowError])));
}

const errorOf = (response: HttpResponse): HubspotError | undefined =>
  /^\s*\{/.test(response.text) ? hubspotError.safeParse(json(response)).data : undefined;

/** Names of properties that are ours to say: of the files, never of a person. */
const namesOf = ({ settings: { id_property, phone_property } }: HubspotContext, batch: Batch | undefined): ReadonlySet<string> =>
  new Set(['email', id_property, phone_property, ...Object.keys(batch?.items[0]?.member.traits ?? {})]);

const embedded = z.array(z.object({ error: z.string().optional(), code: z.string().optional(), name: z.string().optional() }));

/** Code and property of each fault: in `errors`, or as JSON inside the message, as seen in HubSpot's own example. */
function faultsOf({
  message = '',
  errors,
}: HubspotError): { readonly code: string | undefined; readonly name: string | undefined }[] {
  const faults = errors.map(({ code, in: field, context }) => ({ code, name: context.propertyName?.[0] ?? field }));
  const start = message.indexOf('[{');
  if (start < 0) return faults;
  try {
    const inner = embedded.safeParse(JSON.parse(message.slice(start, message.lastIndexOf(']') + 1)));
    return [...faults, ...(inner.success ? inner.data.map(({ error, code, name }) => ({ code: error ?? code, name })) : [])];
  } catch {
    return faults;
  }
}

/** @throws DestinationBroken when no row is at fault but a property that the files name. */
function rowErrorOf(error: HubspotError, names: ReadonlySet<string>, { settings: { id_property } }: HubspotContext): RowError {
  if (/\bnon-unique\b/i.test(error.message ?? '')) throw noIdProperty(id_property);
  const [fault] = faultsOf(error).filter(({ code }) => code !== undefined);
  const name = fault?.name !== undefined && names.has(fault.name) ? fault.name : undefined;
  const code = reasonCode(fault?.code ?? error.category);
  if (name === id_property && code === 'PROPERTY_DOESNT_EXIST') throw noIdProperty(id_property);
  if (name !== undefined && BY_FILES.has(code)) {
    throw new DestinationBroken(
      `HubSpot refuses the contact property ${name} (${code}).`,
      'Make it under Settings, Properties (or rename the trait): the name is the internal one, and it must be writable.',
    );
  }
  return {
    reason: name === undefined ? code : `${code}:${name}`,
    category: error.category,
    again: error.category === 'RATE_LIMITS' || error.category === 'INTERNAL_ERROR',
  };
}

const BY_FILES = new Set(['PROPERTY_DOESNT_EXIST', 'READ_ONLY_VALUE']);

const noIdProperty = (name: string): DestinationBroken =>
  new DestinationBroken(
    `HubSpot has no contact property ${name} with unique values.`,
    'Make it under Settings, Properties, Contact properties: single-line text, with "Require unique values for this property" (or set `id_property`).',
  );

/** One exchange, with a token: the static one, or one that is renewed before it ends. */
async function call(context: HubspotContext, method: HttpRequest['method'], path: string, body?: unknown): Promise<HttpResponse> {
  const grant = grantOf(context);
  const token = grant === undefined ? undefined : await accessToken(context, grant);
  const response = await context.http({
    method,
    url: `${context.endpoint}${path}`,
    headers: {
      authorization: `Bearer ${token?.accessToken ?? tokenIn(context.secret)}`,
      accept: 'application/json',
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  if (response.status === 401 && grant !== undefined && token !== undefined) throw await tokenRefused(context, grant, token);
  return response;
}

const tokenIn = (held: Secret): string => ('access_token' in held ? held.access_token : '');

const GRANT =
  'Install the app in the HubSpot account again, and put its client id, client secret and new refresh token into the secret.';

/** The older /oauth/v1/token ends on 2027-02-16: https://developers.hubspot.com/changelog/v1-oauth-api-deprecation, read 2026-11-23. */
function grantOf({ endpoint, secret: held, settings: { api_version } }: HubspotContext): TokenRequest | undefined {
  if ('access_token' in held) return undefined;
  const form = () => ({ grant_type: 'refresh_token', ...held });
  return { platform: 'HubSpot', url: `${endpoint}/oauth/${api_version}/token`, grant: held, form, wayOut: GRANT };
}

const WAYS_OUT: Readonly<Record<number, string>> = {
  401: 'Put a valid access token (of a private app, an app with static auth or a service key) into the secret, or the client and refresh token of an OAuth app.',
  403: 'Give the app crm.objects.contacts.read, crm.objects.contacts.write, crm.lists.read and crm.lists.write.',
  404: 'HubSpot does not know the address: leave `endpoint` out, or correct it or `api_version`.',
};

/** https://developers.hubspot.com/docs/api-reference/error-handling, read 2026-11-23: 423 lasts two seconds, 477 is a move between data centres. */
const LOCKED_MS = 2_000;
/** The day ends at midnight in the time zone of the account, which no answer tells: asked again every hour. */
const HOUR_MS = 3_600_000;
const ROLLING_MS = 10_000;

const intervalMs = (headers: HttpResponse['headers']): number | undefined => {
  const ms = Number(headers['x-hubspot-ratelimit-interval-milliseconds'] ?? Number.NaN);
  return ms > 0 ? ms : undefined;
};

function failure(response: HttpResponse, context: HubspotContext): Error {
  const { status, headers } = response;
  // Success of another kind than documented, or a page that says it is one.
  if (status < 300) read('HubSpot', z.never(), response);
  const now = context.now();
  const said = retryAfter(headers, now);
  const error = status >= 400 && status < 500 ? errorOf(response) : undefined;
  if (status === 429 && error?.policyName === 'DAILY') {
    return new TryAgain('The daily requests of the HubSpot account are used up.', { throttled: true, afterMs: said ?? HOUR_MS });
  }
  if (status === 429) {
    const afterMs = said ?? (error?.policyName === 'SECONDLY' ? 1_000 : (intervalMs(headers) ?? ROLLING_MS));
    return new TryAgain('HubSpot answered HTTP 429.', { throttled: true, afterMs });
  }
  if (status === 423)
    return new TryAgain('HubSpot has locked the contacts for a moment.', { throttled: true, afterMs: LOCKED_MS });
  if (status === 477) {
    return new TryAgain('The HubSpot account is being moved to another data centre.', {
      throttled: true,
      afterMs: said ?? HOUR_MS,
    });
  }
  const code = error?.category;
  return statusError('HubSpot', response, { now, wayOut: WAYS_OUT[status], ...(code !== undefined && { code }) });
}
