import { sign } from 'node:crypto';
import { parse } from 'csv-parse/sync';
import * as z from 'zod';
import {
  type Batch,
  type Connector,
  type Context,
  DestinationBroken,
  type HttpRequest,
  type HttpResponse,
  type Job,
  type ListSpec,
  type Member,
  type Outcome,
  type RemoteList,
  RowsRefused,
  type TraitValue,
  TryAgain,
} from '../core/connector.ts';
import { email, phone, plainText } from '../core/identifiers.ts';
import { json, read, reasonCode, statusError, undocumented } from './http.ts';
import { accessToken, type Token, tokenRefused, type TokenRequest } from './oauth.ts';

/**
 * Salesforce: an audience is a campaign, its members campaign members. Contacts (or leads) are upserted by an external id and never
 * deleted; leaving the audience deletes the campaign member alone. docs/connectors/salesforce.md
 */

const settings = z.strictObject({
  /** Where tokens are made: the login host, the one of sandboxes (https://test.salesforce.com), or the company's My Domain. */
  login_url: z
    .url({ protocol: /^https$/ })
    .transform((url) => url.replace(/\/$/, ''))
    .default('https://login.salesforce.com'),
  object: z.enum(['Contact', 'Lead']).default('Contact'),
  /** The custom field that holds our customer ids: Text, External ID, Unique. */
  external_id_field: z.string().regex(/^[A-Za-z]\w{0,76}__c$/, 'must be the API name of a custom field (..__c)'),
  /** Which field a phone number goes to. */
  phone_field: z
    .string()
    .regex(/^[A-Za-z]\w{0,79}$/, 'must be the API name of a field')
    .default('MobilePhone'),
  /** Before the audience's name in the name of the campaign. */
  campaign_prefix: z.string().max(40).default('sluice '),
});

const text = z.string().min(1);
const secret = z.union([
  // JWT bearer: the consumer key, a user who is allowed to use the app, and the key whose certificate was uploaded to it.
  z.strictObject({
    client_id: text,
    username: text,
    private_key: z.string().startsWith('-----BEGIN', 'must be the private key in PEM'),
  }),
  z.strictObject({ client_id: text, client_secret: text.optional(), refresh_token: text }),
]);

type Settings = z.infer<typeof settings>;
type Secret = z.infer<typeof secret>;
type SalesforceContext = Context<Settings, Secret>;

/** Spring '26, which every org has; a version is kept for three years at least. */
const API = '/services/data/v66.0';
/** One internal batch of an ingest job (developer.salesforce.com, Understanding Bulk API 2.0 Ingest, read 2026-11-22). */
const ROWS_PER_JOB = 10_000;
/** Ours: a job takes 100 MB (Upload Job Data, read 2026-11-22), but its results repeat what was sent and are read in one piece. */
const BYTES_PER_JOB = 20_000_000;
/** A SOQL statement has 100,000 characters (SOQL and SOSL Limits for Search Queries, read 2026-11-22). */
const SOQL_BYTES = 95_000;
const IDS_PER_QUERY = 4_000;
/** Bulk API and Bulk API 2.0 Limits, read 2026-11-22. */
const MAX_FIELD_CHARACTERS = 32_000;
const MAX_RECORD_CHARACTERS = 400_000;
/** The most a text field that is an external id can hold. */
const MAX_EXTERNAL_ID_BYTES = 255;
const MAX_CAMPAIGN_NAME = 80;

export const salesforce: Connector<Settings, Secret> = {
  name: 'salesforce',
  title: 'Salesforce campaigns',
  settings,
  secret,
  namespaces: {
    external_id: { normalise: plainText(MAX_EXTERNAL_ID_BYTES), hash: 'none', max: 1 },
    email: { normalise: email, hash: 'none', max: 1 },
    phone: { normalise: phone, hash: 'none', max: 1 },
  },
  // Who sells owns the contact's address: it is written only where the sync says so.
  defaultIdentifiers: ['external_id'],
  membership: 'member',
  modes: ['mirror', 'upsert', 'add-only'],
  traits: true,
  limits: {
    rows: ROWS_PER_JOB,
    bytes: BYTES_PER_JOB,
    overhead: 5_000,
    perOp: { remove: { rows: IDS_PER_QUERY, bytes: SOQL_BYTES } },
    // The least an Enterprise org has, for everybody who calls it. Sforce-Limit-Info tells what the others use.
    windows: [{ requests: 100_000, seconds: 86_400 }],
    concurrency: 4,
    source: 'https://developer.salesforce.com/docs/platform/salesforce-app-limits-cheatsheet, read 2026-11-22',
  },

  endpoint: ({ login_url }) => login_url,

  async ensure(context, list) {
    const { columns, folded } = await fieldsOf(context, list);
    const id = list.known === undefined ? await findOrMake(context, list) : await known(context, list.known.id);
    return { id, columns: columns.join(), folded: String(folded) };
  },

  encode(context, list, op, member) {
    const external = valueOf(member, 'external_id');
    if (external === undefined) return NOTHING;
    if (op === 'remove') return { text: soqlText(external), rows: 1 };
    const cells = columnsOf(list).map((column) => valueIn(context.settings, member, column));
    if (cells.some((value) => typeof value === 'string' && value.length > MAX_FIELD_CHARACTERS)) return NOTHING;
    const row = cells.map(cell).join();
    return row.length > MAX_RECORD_CHARACTERS ? NOTHING : { text: row, rows: 1 };
  },

  async send(context, list, batch) {
    const sent = sentRows(list, batch);
    if (sent.size === 0) return outcomes(list, batch, () => DELIVERED);
    const rows = [...sent.values()].map((index) => batch.items[index]?.text);
    if (batch.op === 'remove') return find(context, list, rows.join());
    const { object, external_id_field } = context.settings;
    return ingest(
      context,
      { object, operation: 'upsert', externalIdFieldName: external_id_field },
      `${columnsOf(list).join()}\n${rows.join('\n')}\n`,
      { step: 'records' },
    );
  },

  async poll(context, list, job, batch) {
    const step = job.state?.['step'];
    const path = `/jobs/${step === 'find' ? 'query' : 'ingest'}/${encodeURIComponent(job.id)}`;
    const response = await call(context, 'GET', path);
    // Jobs are kept for seven days.
    if (response.status === 404) return outcomes(list, batch, () => retry('job-gone'));
    if (response.status !== 200) throw failure(response, context);
    const info = read('Salesforce', jobAnswer, response);
    if (info.state === 'UploadComplete' || info.state === 'InProgress') return { ...job, afterMs: pollAfter(info, context) };
    if (step === 'records') return recordsDone(context, list, job.id, info, batch);
    if (step === 'members') return membersDone(context, list, job, info, batch);
    if (step === 'find') return found(context, list, job.id, info, batch);
    return deleted(context, list, job, info, batch);
  },

  headroom({ headers }) {
    // `api-usage=18/5000; per-app-api-usage=17/250(appName=x)`; bursts are beyond the limit, and not ours to use.
    const shares = [...(headers['sforce-limit-info'] ?? '').matchAll(/api-usage=(\d+)\/(\d+)/g)]
      .map(([, used, limit]) => (100 * Number(used)) / Number(limit))
      .filter(Number.isFinite);
    return shares.length === 0 ? undefined : { usedPercent: Math.max(...shares) };
  },

  async size(context, list) {
    const response = await call(
      context,
      'GET',
      `/sobjects/Campaign/${encodeURIComponent(list.id)}?fields=NumberOfContacts,NumberOfLeads`,
    );
    if (response.status === 404) throw CAMPAIGN_GONE();
    if (response.status !== 200) throw failure(response, context);
    const { NumberOfContacts, NumberOfLeads } = read('Salesforce', campaignAnswer, response);
    return context.settings.object === 'Contact' ? (NumberOfContacts ?? undefined) : (NumberOfLeads ?? undefined);
  },
};

const DELIVERED: Outcome = { kind: 'delivered' };
const NOTHING = { text: '', rows: 0 };
const rejected = (reason: string): Outcome => ({ kind: 'rejected', reason });
const retry = (reason: string): Outcome => ({ kind: 'retry', reason });

const CAMPAIGN_GONE = (): DestinationBroken =>
  new DestinationBroken(
    'The campaign was deleted in Salesforce.',
    'Restore it from the recycle bin, or start over with a new destination file: a campaign of the same name has another id, and nobody is in it.',
  );

// ---- Rows

const valueOf = ({ identifiers }: Member, namespace: string): string | undefined =>
  identifiers.find((one) => one.namespace === namespace)?.value;

const columnsOf = (list: RemoteList): string[] => ((list as Readonly<Record<string, string>>)['columns'] ?? '').split(',');

/** Whether the org takes `abc` and `ABC` for the same customer: then they are one row here too. */
const key = (list: RemoteList, externalId: string): string =>
  (list as Readonly<Record<string, string>>)['folded'] === 'true' ? externalId.toLowerCase() : externalId;

/** undefined: no word about the field, which stays as it is. */
function valueIn({ external_id_field, phone_field }: Settings, member: Member, column: string): TraitValue | undefined {
  if (same(column, external_id_field)) return valueOf(member, 'external_id');
  const trait = Object.entries(member.traits).find(([name]) => same(name, column));
  if (trait !== undefined) return trait[1];
  return same(column, EMAIL_FIELD) ? valueOf(member, 'email') : same(column, phone_field) ? valueOf(member, 'phone') : undefined;
}

const EMAIL_FIELD = 'Email';
/** API names of fields. */
const same = (a: string, b: string): boolean => a === b || a.toLowerCase() === b.toLowerCase();

/** Always quoted: commas, quotes and line ends inside are then plain text. An empty cell leaves the field, `#N/A` empties it. */
function cell(value: TraitValue | undefined): string {
  if (value === undefined) return '';
  return value === null || value === '' ? '#N/A' : quoted(String(value));
}

const quoted = (value: string): string => `"${value.replaceAll('"', '""')}"`;

/** A SOQL string; `\` and quotes are escaped, and so is what would end a line. */
const soqlText = (value: string): string =>
  `'${value.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`).replaceAll('\n', String.raw`\n`).replaceAll('\r', String.raw`\r`)}'`;

/**
 * Key -> index into the batch of the rows that are sent. A second member with the same external id is none: two rows of one record in one
 * job are refused together (DUPLICATE_VALUE) or overwrite each other, by where Salesforce cuts the job.
 */
function sentRows(list: RemoteList, batch: Batch): Map<string, number> {
  const rows = new Map<string, number>();
  batch.items.forEach(({ member, rows: taken }, index) => {
    const external = valueOf(member, 'external_id');
    if (taken === 0 || external === undefined) return;
    const name = key(list, external);
    if (!rows.has(name)) rows.set(name, index);
  });
  return rows;
}

/** One outcome a member: what `of` says of its key, or why it took no place in the job. */
function outcomes(list: RemoteList, batch: Batch, of: (key: string) => Outcome): Outcome[] {
  const sent = sentRows(list, batch);
  return batch.items.map(({ member, rows }, index) => {
    const external = valueOf(member, 'external_id');
    if (external === undefined) return rejected('no-external-id');
    if (rows === 0) return rejected('field-too-large');
    const name = key(list, external);
    // A repeated removal is the same removal.
    return batch.op === 'upsert' && sent.get(name) !== index ? rejected('external-id-repeated') : of(name);
  });
}

// ---- The campaign and the fields

const campaignAnswer = z.object({ Id: text.optional(), NumberOfContacts: z.int().nullish(), NumberOfLeads: z.int().nullish() });
const queryAnswer = z.object({ records: z.array(z.object({ Id: text, Name: z.string() })) });
const createdAnswer = z.object({ id: text, success: z.literal(true) });
const describeAnswer = z.object({
  fields: z.array(
    z.object({
      name: text,
      type: text,
      externalId: z.boolean().nullish(),
      unique: z.boolean().nullish(),
      caseSensitive: z.boolean().nullish(),
      createable: z.boolean(),
      updateable: z.boolean(),
    }),
  ),
});

/**
 * The columns of an upsert by their API names, and whether external ids fold case. A field that is missing, cannot be written or does not
 * tell people apart breaks the destination here: in a job it would be the refusal of every row.
 */
async function fieldsOf(context: SalesforceContext, list: ListSpec): Promise<{ columns: string[]; folded: boolean }> {
  const { object, external_id_field, phone_field } = context.settings;
  const response = await call(context, 'GET', `/sobjects/${object}/describe`);
  if (response.status !== 200) throw failure(response, context);
  const { fields } = read('Salesforce', describeAnswer, response);
  const field = (name: string) => fields.find((one) => same(one.name, name));

  const external = field(external_id_field);
  if (external?.externalId !== true || external.unique !== true || !['string', 'email'].includes(external.type)) {
    const fault = external === undefined ? 'has no field' : 'has no text field that is unique and an external id called';
    throw new DestinationBroken(
      `${object} ${fault} ${external_id_field}.`,
      `In Salesforce give ${object} a custom field of type Text with "External ID" and "Unique" set, let the user of the secret edit it, and name it in external_id_field.`,
    );
  }
  const addresses = [
    ...(list.identifiers.includes('email') ? [EMAIL_FIELD] : []),
    ...(list.identifiers.includes('phone') ? [phone_field] : []),
  ];
  const own = [external_id_field, ...addresses];
  const twice = list.traits.filter((name) => own.some((other) => same(name, other)));
  const missing = [...addresses, ...list.traits].filter((name) => {
    const one = field(name);
    return one === undefined || (!one.updateable && !one.createable);
  });
  if (twice.length > 0 || missing.length > 0) {
    const names = [...new Set([...twice, ...missing])].join(', ');
    throw new DestinationBroken(
      twice.length > 0
        ? `"${list.audience}" sends ${names} both as an identifier and as a trait.`
        : `${object} has no field ${names} that the user of the secret may write.`,
      twice.length > 0
        ? 'Leave it out of the traits of the sync.'
        : `Name traits by their API names in Salesforce (\`Loyalty_Tier__c: loyalty_tier\`), and give the user access to the fields.`,
    );
  }
  // By the names Salesforce has for them: results repeat only the columns that are named exactly so.
  const columns = [...own, ...list.traits].map((name) => field(name)?.name ?? name);
  return { columns, folded: external.caseSensitive !== true };
}

async function known(context: SalesforceContext, id: string): Promise<string> {
  const response = await call(context, 'GET', `/sobjects/Campaign/${encodeURIComponent(id)}?fields=Id`);
  if (response.status === 404) throw CAMPAIGN_GONE();
  if (response.status !== 200) throw failure(response, context);
  read('Salesforce', campaignAnswer, response);
  return id;
}

async function findOrMake(context: SalesforceContext, list: ListSpec): Promise<string> {
  const name = `${context.settings.campaign_prefix}${list.audience}`;
  if (name.length > MAX_CAMPAIGN_NAME) {
    throw new DestinationBroken(
      `A campaign's name has ${MAX_CAMPAIGN_NAME} characters at most; that of "${list.audience}" would have ${name.length}.`,
      'Set a shorter campaign_prefix, or rename the audience file.',
    );
  }
  const soql = `SELECT Id, Name FROM Campaign WHERE Name = ${soqlText(name)} ORDER BY CreatedDate LIMIT 10`;
  const response = await call(context, 'GET', `/query?q=${encodeURIComponent(soql)}`);
  if (response.status !== 200) throw failure(response, context);
  // SOQL compares without case.
  const there = read('Salesforce', queryAnswer, response).records.find((one) => one.Name === name);
  if (there !== undefined) return there.Id;
  const made = await call(context, 'POST', '/sobjects/Campaign', { Name: name, IsActive: true, Description: list.description });
  if (made.status !== 201) throw failure(made, context);
  return read('Salesforce', createdAnswer, made).id;
}

// ---- Jobs

const jobAnswer = z.object({
  id: text,
  state: text,
  createdDate: z.string().optional(),
  errorMessage: z.string().nullish(),
  numberRecordsProcessed: z.int().nullish(),
  numberRecordsFailed: z.int().nullish(),
});
type JobInfo = z.infer<typeof jobAnswer>;

const FIRST_LOOK_MS = 1_000;
const LONGEST_WAIT_MS = 60_000;

/** A quarter of the job's age: a long job costs a handful of requests, a short one is seen at once. */
const pollAfter = ({ createdDate }: JobInfo, { now }: SalesforceContext): number => {
  const age = now() - Date.parse(createdDate ?? '');
  return Math.min(LONGEST_WAIT_MS, Math.max(FIRST_LOOK_MS, Number.isFinite(age) ? Math.round(age / 4) : 0));
};

/** Makes an ingest job, gives it its one file and closes it. */
async function ingest(
  context: SalesforceContext,
  what: Readonly<Record<string, string>>,
  csv: string,
  state: Readonly<Record<string, string>>,
): Promise<Job> {
  const made = await call(context, 'POST', '/jobs/ingest', {
    ...what,
    contentType: 'CSV',
    lineEnding: 'LF',
    columnDelimiter: 'COMMA',
  });
  if (made.status !== 200) throw failure(made, context);
  const { id } = read('Salesforce', jobAnswer, made);
  const path = `/jobs/ingest/${encodeURIComponent(id)}`;
  const put = await call(context, 'PUT', `${path}/batches`, csv);
  // Nobody else knows the job: what it holds already is this very file, delivered twice on the way.
  if (put.status !== 201 && !(put.status === 400 && /multiple contents/i.test(put.text))) throw failure(put, context, true);
  const closed = await call(context, 'PATCH', path, { state: 'UploadComplete' });
  if (closed.status === 200) read('Salesforce', jobAnswer, closed);
  else if (closed.status === 400) {
    const response = await call(context, 'GET', path);
    if (response.status !== 200 || read('Salesforce', jobAnswer, response).state === 'Open') throw failure(closed, context, true);
  } else throw failure(closed, context, true);
  return { kind: 'job', id, afterMs: FIRST_LOOK_MS, state };
}

/** What is wrong with a job as a whole. Its message is looked at and not repeated: it can quote a row. */
function jobFailure({ state, errorMessage }: JobInfo): Error | undefined {
  if (state !== 'Failed') return undefined;
  const message = errorMessage ?? '';
  if (SPENT.test(message)) return undefined;
  if (/field name not found|INVALID_FIELD|NoSuchField/i.test(message)) {
    return new DestinationBroken('A field that was there a moment ago is gone from Salesforce.', WAYS_OUT[403]);
  }
  // The file could not be read: halving finds the row.
  if (/InvalidBatch|ClientInputError|InvalidFile/i.test(message)) return new RowsRefused('job-failed');
  return undefined;
}

/** `ExceededQuota : ApiBatchItems Limit exceeded.` The job has ended, so asking for it again would never say anything else. */
const SPENT = /ExceededQuota|limit ?exceeded/i;

/** Rows in neither file of results were never looked at (`unprocessedrecords` would list them once more). */
const pending = (spent: boolean): Outcome =>
  spent ? { kind: 'retry', reason: 'daily-limit', afterMs: SPENT_MS } : retry('unprocessed');
const isSpent = ({ errorMessage }: JobInfo): boolean => SPENT.test(errorMessage ?? '');

/** Codes of rows that pass: https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_calls_concepts_core_data_objects.htm#StatusCode, read 2026-11-22. */
const PASSING =
  /\b(?:UNABLE_TO_LOCK_ROW|SERVER_UNAVAILABLE|REQUEST_RUNNING_TOO_LONG|REQUEST_LIMIT_EXCEEDED|QUERY_TIMEOUT|STORAGE_LIMIT_EXCEEDED)\b/;
const GONE = new Set(['ENTITY_IS_DELETED', 'INVALID_CROSS_REFERENCE_KEY', 'INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY']);

/** `CODE:message:fields --`. The code, and a field if it is one of ours; the message may repeat a value. */
function reasonOf(error: string, columns: readonly string[]): { code: string; outcome: Outcome } {
  const code = reasonCode(error.split(':', 1)[0]);
  const last = /:([\w., ]*?) ?--\s*$/.exec(error)?.[1]?.split(/[, ]+/) ?? [];
  const field = columns.find((column) => last.includes(column));
  const passing = PASSING.exec(error)?.[0];
  const outcome = passing === undefined ? rejected(field === undefined ? code : `${code}:${field}`) : retry(passing);
  return { code, outcome };
}

/** Rows of a results file by the value of one of the columns that were sent. */
async function results(
  context: SalesforceContext,
  jobId: string,
  kind: 'successfulResults' | 'failedResults',
  column: string,
): Promise<Map<string, { readonly id: string; readonly error: string }>> {
  const response = await call(context, 'GET', `/jobs/ingest/${encodeURIComponent(jobId)}/${kind}`);
  if (response.status !== 200) throw failure(response, context);
  const [head = [], ...rows] = csvOf(response);
  const at = head.findIndex((name) => same(name, column));
  const [id, error] = [head.indexOf('sf__Id'), head.indexOf('sf__Error')];
  if (at < 0 || id < 0) {
    // Without a row there may be no header either.
    if (rows.length === 0 && response.text.trim() === '') return new Map();
    throw undocumented('Salesforce', response);
  }
  return new Map(rows.map((row) => [row[at] ?? '', { id: row[id] ?? '', error: row[error] ?? '' }]));
}

function csvOf(response: HttpResponse): string[][] {
  if (/^\s*<(?:!doctype|html)/i.test(response.text)) throw undocumented('Salesforce', response);
  try {
    return parse(response.text, { bom: true, skip_empty_lines: true, relax_column_count: false }) as string[][];
  } catch {
    throw undocumented('Salesforce', response);
  }
}

/** Who is a record now, and why the others are not. */
async function recordsOf(context: SalesforceContext, list: RemoteList, jobId: string, someFailed: boolean) {
  const [column = '', ...others] = columnsOf(list);
  const taken = await results(context, jobId, 'successfulResults', column);
  const refused = someFailed ? await results(context, jobId, 'failedResults', column) : new Map<string, never>();
  const ids = new Map([...taken].map(([external, { id }]) => [key(list, external), id]));
  const failures = new Map(
    [...refused].map(([external, { error }]) => [key(list, external), reasonOf(error, [column, ...others]).outcome]),
  );
  return { ids, failures };
}

/** Contacts are there: those who are become members of the campaign, in a second job. */
async function recordsDone(context: SalesforceContext, list: RemoteList, jobId: string, info: JobInfo, batch: Batch) {
  const broken = jobFailure(info);
  if (broken !== undefined) throw broken;
  const { ids, failures } = await recordsOf(context, list, jobId, info.state !== 'JobComplete' || info.numberRecordsFailed !== 0);
  const members = [...sentRows(list, batch).keys()].flatMap((name) => ids.get(name) ?? []);
  if (members.length === 0) return outcomes(list, batch, (name) => failures.get(name) ?? pending(isSpent(info)));
  const { object } = context.settings;
  const rows = members.map((id) => `"${list.id}","${id}"`).join('\n');
  const whole = String(members.length === sentRows(list, batch).size);
  return ingest(context, { object: 'CampaignMember', operation: 'insert' }, `CampaignId,${object}Id\n${rows}\n`, {
    step: 'members',
    records: jobId,
    whole,
    spent: String(isSpent(info)),
  });
}

async function membersDone(context: SalesforceContext, list: RemoteList, job: Job, info: JobInfo, batch: Batch) {
  const broken = jobFailure(info);
  if (broken !== undefined) throw broken;
  const complete = info.state === 'JobComplete';
  const clean = complete && info.numberRecordsFailed === 0;
  const whole = job.state?.['whole'] === 'true';
  if (clean && whole) return outcomes(list, batch, () => DELIVERED);
  const column = `${context.settings.object}Id`;
  const refused = clean ? new Map<string, never>() : await results(context, job.id, 'failedResults', column);
  const taken = complete ? undefined : await results(context, job.id, 'successfulResults', column);
  const errors = [...refused].map(([id, { error }]) => [id, reasonOf(error, [])] as const);
  if (errors.some(([, { code }]) => GONE.has(code))) await known(context, list.id);
  const members = new Map(errors.map(([id, { code, outcome }]) => [id, code === ALREADY ? DELIVERED : outcome]));
  const { ids, failures } = await recordsOf(context, list, job.state?.['records'] ?? '', !whole);
  return outcomes(list, batch, (name) => {
    const id = ids.get(name);
    // Whoever is no record after the first job had no row in this one.
    if (id === undefined) return failures.get(name) ?? pending(job.state?.['spent'] === 'true');
    return members.get(id) ?? (taken === undefined || taken.has(id) ? DELIVERED : pending(isSpent(info)));
  });
}

/** `DUPLICATE_VALUE: Already a campaign member.` The text follows the user's language, the code does not. */
const ALREADY = 'DUPLICATE_VALUE';

// ---- Removal: the ids of the campaign members by a query job, then a job that deletes them

async function find(context: SalesforceContext, list: RemoteList, externalIds: string): Promise<Job> {
  const { object, external_id_field } = context.settings;
  const field = `${object}.${external_id_field}`;
  const query = `SELECT Id, ${field} FROM CampaignMember WHERE CampaignId = ${soqlText(list.id)} AND ${field} IN (${externalIds})`;
  const response = await call(context, 'POST', '/jobs/query', { operation: 'query', query });
  if (response.status !== 200) throw failure(response, context, true);
  return { kind: 'job', id: read('Salesforce', jobAnswer, response).id, afterMs: FIRST_LOOK_MS, state: { step: 'find' } };
}

/** Id of the campaign member -> key, for those who were asked for. */
async function foundIn(
  context: SalesforceContext,
  list: RemoteList,
  queryJob: string,
  batch: Batch,
): Promise<Map<string, string>> {
  const asked = sentRows(list, batch);
  const members = new Map<string, string>();
  let locator: string | undefined;
  do {
    const page = locator === undefined ? '' : `?locator=${encodeURIComponent(locator)}`;
    const response = await call(context, 'GET', `/jobs/query/${encodeURIComponent(queryJob)}/results${page}`);
    if (response.status !== 200) throw failure(response, context);
    const [head, ...rows] = csvOf(response);
    if (head !== undefined && (head.length !== 2 || head[0] !== 'Id')) throw undocumented('Salesforce', response);
    for (const [id = '', external = ''] of rows) if (asked.has(key(list, external))) members.set(id, key(list, external));
    const next = response.headers['sforce-locator'];
    locator = next === undefined || next === 'null' || next === '' || next === locator ? undefined : next;
  } while (locator !== undefined);
  return members;
}

async function found(context: SalesforceContext, list: RemoteList, jobId: string, info: JobInfo, batch: Batch) {
  const broken = jobFailure(info);
  if (broken !== undefined) throw broken;
  if (info.state !== 'JobComplete') return outcomes(list, batch, () => retry('query-failed'));
  const members = info.numberRecordsProcessed === 0 ? new Map<string, string>() : await foundIn(context, list, jobId, batch);
  if (members.size === 0) {
    // Nobody of them is in the campaign, which is also what a campaign in the recycle bin looks like.
    await known(context, list.id);
    return outcomes(list, batch, () => DELIVERED);
  }
  const csv = `Id\n${[...members.keys()].map((id) => `"${id}"`).join('\n')}\n`;
  return ingest(context, { object: 'CampaignMember', operation: 'delete' }, csv, { step: 'delete', found: jobId });
}

async function deleted(context: SalesforceContext, list: RemoteList, job: Job, info: JobInfo, batch: Batch) {
  const broken = jobFailure(info);
  if (broken !== undefined) throw broken;
  const complete = info.state === 'JobComplete';
  if (complete && info.numberRecordsFailed === 0) return outcomes(list, batch, () => DELIVERED);
  const refused = await results(context, job.id, 'failedResults', 'Id');
  const taken = complete ? undefined : await results(context, job.id, 'successfulResults', 'Id');
  const left = new Map<string, Outcome>();
  for (const [id, name] of await foundIn(context, list, job.state?.['found'] ?? '', batch)) {
    const error = refused.get(id)?.error;
    const { code, outcome } = reasonOf(error ?? '', []);
    if (error !== undefined && !GONE.has(code)) left.set(name, outcome);
    else if (error === undefined && taken !== undefined && !taken.has(id)) left.set(name, pending(isSpent(info)));
  }
  return outcomes(list, batch, (name) => left.get(name) ?? DELIVERED);
}

// ---- Requests and answers

async function call(
  context: SalesforceContext,
  method: HttpRequest['method'],
  path: string,
  body?: string | object,
): Promise<HttpResponse> {
  const grant = grantOf(context);
  const token = await accessToken(context, grant);
  const csv = typeof body === 'string';
  const response = await context.http({
    method,
    url: `${instanceOf(context, token)}${API}${path}`,
    headers: {
      authorization: `Bearer ${token.accessToken}`,
      ...(body !== undefined && { 'content-type': csv ? 'text/csv; charset=UTF-8' : 'application/json' }),
    },
    ...(body !== undefined && { body: csv ? body : JSON.stringify(body) }),
  });
  if (response.status === 401) throw await tokenRefused(context, grant, token);
  return response;
}

const errorsAnswer = z.array(z.object({ errorCode: z.string(), message: z.string().default('') })).min(1);

/** The daily limit counts the last 24 hours: some of it comes back every hour. */
const SPENT_MS = 60 * 60_000;
/** Too many long requests at once; Salesforce says no time. */
const BUSY_MS = 30_000;

const WAYS_OUT = {
  401: 'Renew the refresh token, or the certificate of the app, and check that the user of the secret is active and allowed to use the app.',
  403: 'Give the user of the secret "API Enabled", "Marketing User", and rights to create and edit contacts or leads, campaigns and the fields that are sent.',
  404: 'Salesforce does not know the address: compare login_url and object with the org.',
  400: 'Compare the settings of the destination file with the org: the object, the external id field, validation rules and required fields of campaigns.',
} as const;

/** `rows`: the request carried people, so an unexplained refusal may be about one of them. */
function failure(response: HttpResponse, context: SalesforceContext, rows = false): Error {
  const { status } = response;
  // Success of another kind than documented, or a page that says it is one.
  if (status < 300) {
    json(response);
    return undocumented('Salesforce', response);
  }
  const parsed = status < 500 && /^\s*\[/.test(response.text) ? errorsAnswer.safeParse(json(response)).data?.[0] : undefined;
  const code = parsed?.errorCode;
  const said = `Salesforce answered HTTP ${status}, ${reasonCode(code)}.`;
  if (code === 'REQUEST_LIMIT_EXCEEDED' || code === 'EXCEEDEDQUOTA' || code === 'LIMIT_EXCEEDED') {
    const afterMs = /concurrent/i.test(parsed?.message ?? '') ? BUSY_MS : SPENT_MS;
    return new TryAgain(said, { throttled: true, afterMs });
  }
  if (code === 'UNABLE_TO_LOCK_ROW') return new TryAgain(said);
  const wayOut = (WAYS_OUT as Readonly<Record<number, string>>)[status] ?? WAYS_OUT[400];
  const error = statusError('Salesforce', response, { now: context.now(), wayOut, ...(code !== undefined && { code }) });
  return error instanceof RowsRefused && !rows ? new DestinationBroken(said, wayOut) : error;
}

// ---- Tokens

const JWT_GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
/** Salesforce takes an assertion for a few minutes (OAuth 2.0 JWT Bearer Flow, read 2026-11-22): it is signed anew for every token. */
const ASSERTION_SECONDS = 180;
/** Tokens come without their end; an org can end sessions after 15 minutes, and a 401 before that makes a new one. */
const TOKEN_LIFE_MS = 26 * 60_000;

function grantOf({ settings: { login_url }, secret: held, endpoint, now }: SalesforceContext): TokenRequest {
  return {
    platform: 'Salesforce',
    url: `${endpoint}/services/oauth2/token`,
    grant: { ...held, login_url },
    lifeMs: TOKEN_LIFE_MS,
    wayOut: WAYS_OUT[401],
    form: () => formOf(held, login_url, now()),
  };
}

function formOf(held: SalesforceContext['secret'], loginUrl: string, now: number): Record<string, string> {
  if ('refresh_token' in held) {
    const { client_id, client_secret, refresh_token } = held;
    return { grant_type: 'refresh_token', client_id, refresh_token, ...(client_secret !== undefined && { client_secret }) };
  }
  const { hostname } = new URL(loginUrl);
  const test = hostname === 'test.salesforce.com' || hostname.endsWith('.sandbox.my.salesforce.com');
  const claims = {
    iss: held.client_id,
    sub: held.username,
    aud: `https://${test ? 'test' : 'login'}.salesforce.com`,
    exp: Math.floor(now / 1000) + ASSERTION_SECONDS,
  };
  const signed = `${encoded({ alg: 'RS256', typ: 'JWT' })}.${encoded(claims)}`;
  return { grant_type: JWT_GRANT, assertion: `${signed}.${signatureOf(signed, held.private_key)}` };
}

const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function signatureOf(signed: string, privateKey: string): string {
  try {
    return sign('RSA-SHA256', Buffer.from(signed), privateKey).toString('base64url');
  } catch {
    throw new DestinationBroken('The private key in the secret cannot be read.', WAYS_OUT[401]);
  }
}

/** Hosts of orgs: My Domain and older instances, government, China. */
const SALESFORCE_HOST = /\.(?:salesforce\.com|force\.com|salesforce\.mil|cloudforce\.com|sfcrmproducts\.cn)$/;

/** The org's own host, as the token's answer names it. People are sent to Salesforce or to the endpoint, and nowhere else. */
function instanceOf({ endpoint }: SalesforceContext, { extra }: Token): string {
  const instance = (extra['instance_url'] ?? endpoint).replace(/\/$/, '');
  if (instance === endpoint) return instance;
  const url = URL.parse(instance);
  if (url?.protocol === 'https:' && SALESFORCE_HOST.test(url.hostname)) return url.origin;
  throw new DestinationBroken('The token is for a host that is none of Salesforce.', 'Correct login_url or `endpoint`.');
}
