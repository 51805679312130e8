import { createHmac, verify } from 'node:crypto';
import { parse } from 'csv-parse/sync';
import * as z from 'zod';
import { type Call, type Handler, Refusal, type Reply, standIn } from './stand-in.ts';

/**
 * Salesforce's tokens, describe, campaigns, and the ingest and query jobs of Bulk API 2.0. Shapes follow the Bulk API 2.0 and REST API
 * developer guides (developer.salesforce.com, v66.0), read 2026-11-22. Jobs take time; records change when they are done, 200 at once.
 */
interface State {
  /** Consumer key of an app -> the public key of its certificate, PEM. */
  readonly apps: Map<string, string>;
  readonly records: Readonly<Record<RecordObject, Map<string, Row>>>;
  readonly campaigns: Map<string, string>;
  readonly members: Map<string, { readonly campaign: string; readonly record: string }>;
  readonly jobs: Map<string, BulkJob>;
  /** External ids of records that somebody else holds locked; each is let go after it was in the way once. */
  readonly locked: Set<string>;
  ids: number;
  tokens: number;
}

type RecordObject = 'Contact' | 'Lead';
type Row = Record<string, string>;

interface BulkJob {
  readonly kind: 'ingest' | 'query';
  readonly input: Readonly<Record<string, string>>;
  readonly created: number;
  state: string;
  due: number;
  csv?: string;
  /** Every nth row is refused, because a `refuse-rows` fault struck. */
  refusing?: number;
  /** The campaign is gone, because a `list-deleted` fault struck. */
  gone?: boolean;
  error?: string;
  readonly columns: string[];
  readonly taken: { readonly id: string; readonly created: boolean; readonly row: Row }[];
  readonly refused: { readonly error: string; readonly row: Row }[];
  readonly left: Row[];
}

const CLIENT = {
  client_id: 'sandbox-salesforce-consumer-key',
  client_secret: 'sandbox-salesforce-consumer-secret',
  refresh_token: 'sandbox-salesforce-refresh-token',
};
/** The one user who may use the apps. */
const USER = 'sluice@example.com';
/** Tokens are signed, so that they outlive a reset as real ones would. */
const TOKEN_KEY = 'signs the sessions of the stand-in';
const SESSION_MS = 2 * 60 * 60_000;
const ASSERTION_SECONDS = 300;
const AUDIENCES = ['https://login.salesforce.com', 'https://test.salesforce.com'];
/** A job takes this long, and a little for every row. */
const JOB_MS = 30;
const ROWS_A_MS = 50;
/** Rows that are changed together. */
const CHUNK = 200;
const QUERY_PAGE = 2_000;
const MAX_SOQL = 100_000;
const MAX_FIELD = 32_000;
const API = '/services/data/v66.0';

interface Field {
  readonly type: string;
  readonly length?: number;
  readonly required?: true;
  readonly readOnly?: true;
  readonly externalId?: true;
  readonly unique?: true;
  readonly caseSensitive?: true;
}

const COMMON: Readonly<Record<string, Field>> = {
  Id: { type: 'id', length: 18, readOnly: true },
  LastName: { type: 'string', length: 80, required: true },
  FirstName: { type: 'string', length: 40 },
  Email: { type: 'email', length: 80 },
  Phone: { type: 'phone', length: 40 },
  MobilePhone: { type: 'phone', length: 40 },
  Description: { type: 'textarea', length: 32_000 },
  CreatedDate: { type: 'datetime', readOnly: true },
  Customer_Id__c: { type: 'string', length: 255, externalId: true, unique: true, caseSensitive: true },
  Folded_Id__c: { type: 'string', length: 255, externalId: true, unique: true },
  Loose_Id__c: { type: 'string', length: 255, externalId: true },
  Customer_Number__c: { type: 'double', externalId: true, unique: true },
  Loyalty_Tier__c: { type: 'string', length: 40 },
  Lifetime_Value__c: { type: 'double' },
  Newsletter__c: { type: 'boolean' },
};
const FIELDS: Readonly<Record<RecordObject, Readonly<Record<string, Field>>>> = {
  Contact: COMMON,
  Lead: { ...COMMON, Company: { type: 'string', length: 255, required: true } },
};
const PREFIX: Readonly<Record<string, string>> = {
  Contact: '003',
  Lead: '00Q',
  Campaign: '701',
  CampaignMember: '00v',
  Job: '750',
};

const refusal = (status: number, errorCode: string, message: string): Reply => ({ status, json: [{ errorCode, message }] });
const no = (status: number, errorCode: string, message: string): never => {
  throw new Refusal(refusal(status, errorCode, message));
};

export const salesforce = standIn<State>({
  name: 'salesforce',
  title: 'Salesforce',
  windows: [{ requests: 100_000, seconds: 86_400 }],
  maxBytes: 100_000_000,
  secret: CLIENT,
  create: () => ({
    apps: new Map(),
    records: { Contact: new Map(), Lead: new Map() },
    campaigns: new Map(),
    members: new Map(),
    jobs: new Map(),
    locked: new Set(),
    ids: 0,
    tokens: 0,
  }),
  // Every route but the one that makes tokens asks for one.
  authorise(call) {
    settle(call.state, call.now);
    return undefined;
  },
  routes: {
    'POST /services/oauth2/token': makeToken,
    [`GET ${API}/sobjects/{object}/describe`]: authorised(describe),
    [`GET ${API}/query`]: authorised(query),
    [`POST ${API}/sobjects/Campaign`]: authorised(makeCampaign),
    [`GET ${API}/sobjects/Campaign/{id}`]: authorised(showCampaign),
    [`POST ${API}/jobs/ingest`]: authorised(makeIngest),
    [`PUT ${API}/jobs/ingest/{id}/batches`]: authorised(upload),
    [`PATCH ${API}/jobs/ingest/{id}`]: authorised(closeJob),
    [`GET ${API}/jobs/ingest/{id}`]: authorised((call) => showJob(call, 'ingest')),
    [`GET ${API}/jobs/ingest/{id}/successfulResults`]: authorised(successfulResults),
    [`GET ${API}/jobs/ingest/{id}/failedResults`]: authorised(failedResults),
    [`GET ${API}/jobs/ingest/{id}/unprocessedrecords`]: authorised(unprocessedRecords),
    [`POST ${API}/jobs/query`]: authorised(makeQuery),
    [`GET ${API}/jobs/query/{id}`]: authorised((call) => showJob(call, 'query')),
    [`GET ${API}/jobs/query/{id}/results`]: authorised(queryResults),
  },
  replies: {
    unauthorised: () => refusal(401, 'INVALID_SESSION_ID', 'Session expired or invalid'),
    forbidden: () => refusal(403, 'API_DISABLED_FOR_ORG', 'The REST API is not enabled for this Organization.'),
    // There is no 429 and no Retry-After: too much at once and too much in a day differ by their text.
    throttled: (afterMs) =>
      afterMs < 60_000
        ? refusal(403, 'REQUEST_LIMIT_EXCEEDED', 'ConcurrentRequests (Concurrent API Requests) Limit exceeded.')
        : SPENT,
    failed: (status) => refusal(status, 'SERVER_UNAVAILABLE', 'The server is temporarily unavailable.'),
    tooLarge: () => refusal(413, 'REQUEST_ENTITY_TOO_LARGE', 'The request exceeds the maximum size.'),
    notFound: () => refusal(404, 'NOT_FOUND', 'The requested resource does not exist'),
    invalid: ([issue]) => refusal(400, 'JSON_PARSER_ERROR', `Invalid input at ${issue?.path ?? ''}`),
  },
  headers: ({ limit, remaining }) => ({ 'sforce-limit-info': `api-usage=${limit - remaining}/${limit}` }),
  held(state) {
    settle(state, Date.now());
    const all = new Map([...state.records.Contact, ...state.records.Lead]);
    const names = new Map<string, Set<string>>([...state.campaigns.values()].map((name) => [name, new Set()]));
    for (const { campaign, record } of state.members.values()) {
      const row = all.get(record);
      names.get(state.campaigns.get(campaign) ?? '')?.add(row?.['Customer_Id__c'] ?? row?.['Folded_Id__c'] ?? record);
    }
    return names;
  },
});

const SPENT = refusal(403, 'REQUEST_LIMIT_EXCEEDED', 'TotalRequests Limit exceeded.');

// ---- Tokens

const mac = (body: string): string => createHmac('sha256', TOKEN_KEY).update(body).digest('base64url');

/** A refresh token, or an assertion signed by an app for a user who may use it. */
function makeToken(call: Call<State>): Reply {
  const form = new URLSearchParams(call.body);
  const refused = (error: string): Reply => ({ status: 400, json: { error, error_description: 'refused' } });
  if (call.headers['content-type'] !== 'application/x-www-form-urlencoded') return refused('invalid_request');
  if (form.get('grant_type') === 'refresh_token') {
    if (form.get('client_id') !== CLIENT.client_id) return refused('invalid_client_id');
    if (form.get('client_secret') !== CLIENT.client_secret) return refused('invalid_client');
    return form.get('refresh_token') === CLIENT.refresh_token ? session(call) : refused('invalid_grant');
  }
  if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer') return refused('unsupported_grant_type');
  const [head = '', body = '', signature = ''] = (form.get('assertion') ?? '').split('.');
  const header = part(z.object({ alg: z.literal('RS256') }), head);
  const claims = part(z.object({ iss: z.string(), sub: z.string(), aud: z.string(), exp: z.int() }), body);
  const certificate = call.state.apps.get(claims?.iss ?? '');
  if (header === undefined || claims === undefined || certificate === undefined) return refused('invalid_client_id');
  const signed = verify('RSA-SHA256', Buffer.from(`${head}.${body}`), certificate, Buffer.from(signature, 'base64url'));
  const seconds = claims.exp - call.now / 1000;
  const valid = signed && seconds > 0 && seconds <= ASSERTION_SECONDS && claims.sub === USER && AUDIENCES.includes(claims.aud);
  return valid ? session(call) : refused('invalid_grant');
}

function part<T>(schema: z.ZodType<T>, text: string): T | undefined {
  try {
    return schema.safeParse(JSON.parse(Buffer.from(text, 'base64url').toString())).data;
  } catch {
    return undefined;
  }
}

/** Without `expires_in`: Salesforce does not say when a session ends. */
function session({ state, now, endpoint }: Call<State>): Reply {
  state.tokens += 1;
  const body = Buffer.from(JSON.stringify({ n: state.tokens, end: now + SESSION_MS })).toString('base64url');
  return {
    status: 200,
    json: {
      access_token: `00D.${body}.${mac(body)}`,
      scope: 'api',
      instance_url: endpoint,
      id: `${endpoint}/id/00D000000000001/005000000000001`,
      token_type: 'Bearer',
    },
  };
}

function authorised(handler: Handler<State>): Handler<State> {
  return (call) => {
    const [, body = '', signature = ''] = (call.headers.authorization ?? '').replace(/^Bearer 00D/, '').split('.');
    const token = body !== '' && signature === mac(body) ? part(z.object({ end: z.number() }), body) : undefined;
    if (token === undefined || token.end <= call.now) return refusal(401, 'INVALID_SESSION_ID', 'Session expired or invalid');
    return call.fault('quota') ? SPENT : handler(call);
  };
}

// ---- Objects

/** 18 characters: a prefix for the kind of object, and a number. */
function newId(state: State, kind: string): string {
  state.ids += 1;
  return `${PREFIX[kind]}Sb${String(state.ids).padStart(13, '0')}`;
}

const isRecord = (object: string | undefined): object is RecordObject => object === 'Contact' || object === 'Lead';

function describe(call: Call<State>): Reply {
  const { object } = call.params;
  if (!isRecord(object)) return refusal(404, 'NOT_FOUND', 'The requested resource does not exist');
  const fields = Object.entries(FIELDS[object]).map(([name, field]) => ({
    name,
    type: field.type,
    length: field.length ?? 0,
    externalId: field.externalId ?? false,
    unique: field.unique ?? false,
    caseSensitive: field.caseSensitive ?? false,
    createable: field.readOnly !== true,
    updateable: field.readOnly !== true,
    nillable: field.required !== true,
  }));
  return { status: 200, json: { name: object, fields } };
}

/** A SOQL string, its escapes undone. */
const unquoted = (literal: string): string =>
  literal.slice(1, -1).replace(/\\(.)/g, (_, letter: string) => ({ n: '\n', r: '\r' })[letter] ?? letter);
const STRING = String.raw`'(?:[^'\\\n\r]|\\[nrt'"\\])*'`;
const CAMPAIGNS = new RegExp(`^SELECT Id, Name FROM Campaign WHERE Name = (${STRING}) ORDER BY CreatedDate LIMIT (\\d+)$`);
const MEMBERS = new RegExp(
  `^SELECT Id, (Contact|Lead)\\.(\\w+) FROM CampaignMember WHERE CampaignId = (${STRING}) AND \\1\\.\\2 IN \\((${STRING}(?:,${STRING})*)\\)$`,
);

function query(call: Call<State>): Reply {
  const [, name, limit] = CAMPAIGNS.exec(call.query.get('q') ?? '') ?? [];
  if (name === undefined) return refusal(400, 'MALFORMED_QUERY', 'unexpected token');
  const wanted = unquoted(name).toLowerCase();
  const records = [...call.state.campaigns]
    .filter(([, one]) => one.toLowerCase() === wanted)
    .slice(0, Number(limit))
    .map(([Id, Name]) => ({ attributes: { type: 'Campaign', url: `${API}/sobjects/Campaign/${Id}` }, Id, Name }));
  return { status: 200, json: { totalSize: records.length, done: true, records } };
}

const campaign = z.strictObject({
  Name: z.string().min(1).max(80),
  IsActive: z.boolean().optional(),
  Description: z.string().max(32_000).optional(),
});

function makeCampaign(call: Call<State>): Reply {
  const { Name } = call.parse(campaign);
  const id = newId(call.state, 'Campaign');
  call.state.campaigns.set(id, Name);
  return { status: 201, json: { id, success: true, errors: [] } };
}

function showCampaign(call: Call<State>): Reply {
  const { state, params } = call;
  const id = params.id ?? '';
  if (call.fault('list-deleted') || !state.campaigns.has(id)) return refusal(404, 'ENTITY_IS_DELETED', 'entity is deleted');
  const of = [...state.members.values()].filter((one) => one.campaign === id);
  const all: Readonly<Record<string, unknown>> = {
    Id: id,
    Name: state.campaigns.get(id),
    NumberOfContacts: of.filter(({ record }) => state.records.Contact.has(record)).length,
    NumberOfLeads: of.filter(({ record }) => state.records.Lead.has(record)).length,
  };
  const fields = (call.query.get('fields') ?? Object.keys(all).join()).split(',');
  const strange = fields.find((name) => !(name in all));
  if (strange !== undefined) return refusal(400, 'INVALID_FIELD', `No such column '${strange}' on entity 'Campaign'.`);
  return {
    status: 200,
    json: { attributes: { type: 'Campaign' }, ...Object.fromEntries(fields.map((name) => [name, all[name]])) },
  };
}

// ---- Jobs

const ingestInput = z.strictObject({
  object: z.enum(['Contact', 'Lead', 'CampaignMember']),
  operation: z.enum(['insert', 'upsert', 'delete']),
  externalIdFieldName: z.string().optional(),
  contentType: z.literal('CSV').optional(),
  lineEnding: z.enum(['LF', 'CRLF']).optional(),
  columnDelimiter: z.literal('COMMA').optional(),
});

function newJob(call: Call<State>, kind: BulkJob['kind'], input: BulkJob['input'], state: string): Reply {
  const id = newId(call.state, 'Job');
  const due = kind === 'query' ? call.now + JOB_MS : Number.POSITIVE_INFINITY;
  call.state.jobs.set(id, { kind, input, created: call.now, state, due, columns: [], taken: [], refused: [], left: [] });
  return { status: 200, json: infoOf(id, call.state.jobs.get(id) as BulkJob) };
}

const infoOf = (id: string, job: BulkJob): object => ({
  id,
  ...job.input,
  state: job.state,
  createdDate: new Date(job.created).toISOString().replace('Z', '+0000'),
  jobType: job.kind === 'ingest' ? 'V2Ingest' : 'V2Query',
  apiVersion: 66,
  ...(job.error !== undefined && { errorMessage: job.error }),
  numberRecordsProcessed: job.taken.length + job.refused.length,
  ...(job.kind === 'ingest' && { numberRecordsFailed: job.refused.length }),
});

function jobOf(call: Call<State>, kind: BulkJob['kind']): BulkJob {
  const job = call.state.jobs.get(call.params.id ?? '');
  return job?.kind === kind ? job : no(404, 'NOT_FOUND', 'The requested resource does not exist');
}

/** Faults that strike any of the requests of a job strike the job. */
function strike(call: Call<State>, job: BulkJob): void {
  const nth = [...Array(1_000).keys()].find((index) => call.refusesRow(index));
  if (nth !== undefined) job.refusing = nth + 1;
  if (call.fault('list-deleted')) job.gone = true;
}

function makeIngest(call: Call<State>): Reply {
  const input = call.parse(ingestInput);
  const { object, operation, externalIdFieldName } = input;
  if (operation === 'upsert') {
    const field = isRecord(object) ? FIELDS[object][externalIdFieldName ?? ''] : undefined;
    if (field?.externalId !== true) return refusal(400, 'INVALIDJOB', 'InvalidJob : external ID field does not exist');
  } else if (externalIdFieldName !== undefined) return refusal(400, 'INVALIDJOB', 'externalIdFieldName is only for upsert');
  const reply = newJob(call, 'ingest', input as Record<string, string>, 'Open');
  strike(call, [...call.state.jobs.values()].at(-1) as BulkJob);
  return reply;
}

function upload(call: Call<State>): Reply {
  const job = jobOf(call, 'ingest');
  strike(call, job);
  if (!/^text\/csv(?:;|$)/.test(call.headers['content-type'] ?? '')) {
    return refusal(415, 'UNSUPPORTED_MEDIA_TYPE', 'Only text/csv is supported');
  }
  if (job.state !== 'Open') return refusal(400, 'INVALIDJOBSTATE', 'Uploading job data is only allowed while the job is open');
  if (job.csv !== undefined) {
    const wayOut =
      "please 'Close' / 'Abort' / 'Delete' the current Job then create a new Job and make sure you only do 'PUT' once on a given Job.";
    return refusal(400, 'INVALIDJOB', `Found multiple contents for job: <${call.params.id}>, ${wayOut}`);
  }
  job.csv = call.body;
  call.rows(Math.max(0, call.body.split('\n').length - 2));
  return { status: 201 };
}

function closeJob(call: Call<State>): Reply {
  const job = jobOf(call, 'ingest');
  strike(call, job);
  const { state } = call.parse(z.strictObject({ state: z.enum(['UploadComplete', 'Aborted']) }));
  if (job.state !== 'Open') return refusal(400, 'INVALIDJOBSTATE', `Job state can not be changed from ${job.state} to ${state}`);
  job.state = state;
  job.due = call.now + JOB_MS + Math.ceil((job.csv?.length ?? 0) / 100 / ROWS_A_MS);
  return { status: 200, json: infoOf(call.params.id ?? '', job) };
}

function showJob(call: Call<State>, kind: BulkJob['kind']): Reply {
  const job = jobOf(call, kind);
  if (job.state === 'UploadComplete') job.state = 'InProgress';
  return { status: 200, json: infoOf(call.params.id ?? '', job) };
}

const cellOf = (value: string): string => `"${value.replaceAll('"', '""')}"`;
const csv = (rows: readonly (readonly string[])[], headers?: Record<string, string>): Reply => ({
  status: 200,
  headers: { 'content-type': 'text/csv', ...headers },
  text: rows.map((row) => `${row.map(cellOf).join()}\n`).join(''),
});

/** A job that has ended. The order of results is nobody's promise: here it is turned round. */
function ended(call: Call<State>): BulkJob {
  const job = jobOf(call, 'ingest');
  return ['JobComplete', 'Failed', 'Aborted'].includes(job.state) ? job : no(400, 'INVALIDJOBSTATE', 'The job is not complete');
}
const values = (job: BulkJob, row: Row): string[] => job.columns.map((name) => row[name] ?? '');

function successfulResults(call: Call<State>): Reply {
  const job = ended(call);
  const rows = job.taken.map(({ id, created, row }) => [id, String(created), ...values(job, row)]).toReversed();
  return csv([['sf__Id', 'sf__Created', ...job.columns], ...rows]);
}

function failedResults(call: Call<State>): Reply {
  const job = ended(call);
  return csv([
    ['sf__Id', 'sf__Error', ...job.columns],
    ...job.refused.map(({ error, row }) => [row['Id'] ?? '', error, ...values(job, row)]).toReversed(),
  ]);
}

function unprocessedRecords(call: Call<State>): Reply {
  const job = ended(call);
  return csv([job.columns, ...job.left.map((row) => values(job, row))]);
}

function makeQuery(call: Call<State>): Reply {
  const input = call.parse(z.strictObject({ operation: z.literal('query'), query: z.string() }));
  if (input.query.length > MAX_SOQL)
    return refusal(400, 'MALFORMED_QUERY', 'SOQL statements cannot be longer than 100000 characters.');
  const [, object = '', field = '', , ids = ''] = MEMBERS.exec(input.query) ?? [];
  if (!isRecord(object) || FIELDS[object][field] === undefined) return refusal(400, 'API_ERROR', 'MALFORMED_QUERY');
  call.rows(ids.match(new RegExp(STRING, 'g'))?.length ?? 0);
  return newJob(call, 'query', input, 'UploadComplete');
}

function queryResults(call: Call<State>): Reply {
  const job = jobOf(call, 'query');
  if (job.state !== 'JobComplete') return refusal(400, 'INVALIDJOBSTATE', 'The job is not complete');
  const from = Number(call.query.get('locator') ?? 0);
  const page = job.taken.slice(from, from + QUERY_PAGE);
  const next = from + QUERY_PAGE < job.taken.length ? String(from + QUERY_PAGE) : 'null';
  return csv([job.columns, ...page.map(({ row }) => values(job, row))], {
    'sforce-locator': next,
    'sforce-numberofrecords': String(page.length),
  });
}

// ---- Work

/** Jobs whose time has come are done, in the order they were made. */
function settle(state: State, now: number): void {
  for (const job of state.jobs.values()) {
    if (job.due > now || !['UploadComplete', 'InProgress'].includes(job.state)) continue;
    job.state = 'JobComplete';
    if (job.kind === 'query') runQuery(state, job);
    else runIngest(state, job);
    if (job.error !== undefined) job.state = 'Failed';
  }
}

function runQuery(state: State, job: BulkJob): void {
  const [, object = 'Contact', field = '', campaign = '', ids = ''] = MEMBERS.exec(job.input['query'] ?? '') ?? [];
  const records = state.records[object as RecordObject];
  // SOQL compares without case, but for a field that is unique with case.
  const exact = FIELDS[object as RecordObject][field]?.caseSensitive === true;
  const folded = (value: string): string => (exact ? value : value.toLowerCase());
  const wanted = new Set((ids.match(new RegExp(STRING, 'g')) ?? []).map((one) => folded(unquoted(one))));
  job.columns.push('Id', `${object}.${field}`);
  for (const [id, member] of state.members) {
    const external = records.get(member.record)?.[field];
    if (member.campaign !== unquoted(campaign) || external === undefined || !wanted.has(folded(external))) continue;
    job.taken.push({ id, created: false, row: { Id: id, [`${object}.${field}`]: external } });
  }
}

function runIngest(state: State, job: BulkJob): void {
  const ending = job.input['lineEnding'] ?? 'LF';
  const text = job.csv ?? '';
  const first = text.slice(0, text.indexOf('\n') + 1);
  if (first.endsWith('\r\n') !== (ending === 'CRLF')) {
    job.error = `ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is ${ending}`;
    return;
  }
  let rows: string[][];
  try {
    rows = parse(text, { record_delimiter: ending === 'LF' ? '\n' : '\r\n' }) as string[][];
  } catch {
    job.error = 'InvalidBatch : Failed to parse CSV';
    return;
  }
  const [columns = [], ...data] = rows;
  const object = job.input['object'] as RecordObject | 'CampaignMember';
  const known = object === 'CampaignMember' ? MEMBER_COLUMNS : Object.keys(FIELDS[object]);
  const strange = columns.find((name) => !known.includes(name));
  const needed = job.input['externalIdFieldName'];
  const missing = strange ?? (needed === undefined || columns.includes(needed) ? undefined : needed);
  if (missing !== undefined || data.some((row) => row.some((value) => value.length > MAX_FIELD))) {
    job.error =
      missing === undefined ? 'InvalidBatch : value exceeds max field size' : `InvalidBatch : Field name not found : ${missing}`;
    return;
  }
  job.columns.push(...columns);
  const all = data.map((row): Row => Object.fromEntries(columns.map((name, at) => [name, row[at] ?? ''])));
  const work = new Work(state, job);
  for (let start = 0; start < all.length; start += CHUNK) {
    const chunk = all.slice(start, start + CHUNK);
    for (const [index, row] of chunk.entries()) {
      const nth = start + index + 1;
      const error =
        job.refusing !== undefined && nth % job.refusing === 0
          ? 'FIELD_CUSTOM_VALIDATION_EXCEPTION:The row is refused.:--'
          : object === 'CampaignMember'
            ? work.member(row)
            : work.record(object, row, chunk);
      if (error !== undefined) job.refused.push({ error, row });
    }
  }
}

const MEMBER_COLUMNS = ['Id', 'CampaignId', 'ContactId', 'LeadId', 'Status'];

/** One ingest job at work, with the indexes it needs. */
class Work {
  readonly #state: State;
  readonly #job: BulkJob;
  readonly #byExternal = new Map<string, string>();
  readonly #joined: Set<string>;

  constructor(state: State, job: BulkJob) {
    this.#state = state;
    this.#job = job;
    this.#joined = new Set([...state.members.values()].map(({ campaign, record }) => `${campaign} ${record}`));
    const name = job.input['externalIdFieldName'];
    const object = job.input['object'];
    if (name === undefined || !isRecord(object)) return;
    for (const [id, row] of state.records[object]) {
      if (row[name] !== undefined) this.#byExternal.set(this.#folded(object, name, row[name]), id);
    }
  }

  #folded(object: RecordObject, name: string, value: string): string {
    return FIELDS[object][name]?.caseSensitive === true ? value : value.toLowerCase();
  }

  /** Upserts a row; the error of a row that is refused. */
  record(object: RecordObject, row: Row, chunk: readonly Row[]): string | undefined {
    const name = this.#job.input['externalIdFieldName'] ?? '';
    const raw = row[name] ?? '';
    if (raw === '') return `MISSING_ARGUMENT:${name} not specified:--`;
    const external = this.#folded(object, name, raw);
    if (chunk.filter((other) => this.#folded(object, name, other[name] ?? '') === external).length > 1) {
      return `DUPLICATE_VALUE:Duplicate external id specified: ${raw}:${name} --`;
    }
    if (this.#state.locked.delete(raw)) return 'UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record:--';
    for (const [column, value] of Object.entries(row)) {
      const error = objection(column, FIELDS[object][column] as Field, value);
      if (error !== undefined) return error;
    }
    const there = this.#byExternal.get(external);
    const next: Row = { ...(there === undefined ? {} : this.#state.records[object].get(there)) };
    for (const [column, value] of Object.entries(row)) {
      if (value === '#N/A') delete next[column];
      else if (value !== '') next[column] = value;
    }
    const lacking = Object.entries(FIELDS[object]).filter(([column, field]) => field.required && next[column] === undefined);
    if (lacking.length > 0) {
      const names = lacking.map(([column]) => column).join(', ');
      return `REQUIRED_FIELD_MISSING:Required fields are missing: [${names}]:${names} --`;
    }
    const id = there ?? newId(this.#state, object);
    this.#state.records[object].set(id, next);
    this.#byExternal.set(external, id);
    this.#job.taken.push({ id, created: there === undefined, row });
    return undefined;
  }

  member(row: Row): string | undefined {
    return this.#job.input['operation'] === 'delete' ? this.#leave(row) : this.#join(row);
  }

  #join(row: Row): string | undefined {
    const { members, campaigns, records } = this.#state;
    const campaign = row['CampaignId'] ?? '';
    if (this.#job.gone === true || !campaigns.has(campaign)) return 'ENTITY_IS_DELETED:entity is deleted:--';
    const [contact = '', lead = ''] = [row['ContactId'], row['LeadId']];
    const record = contact === '' ? lead : contact;
    if (!records.Contact.has(contact) && !records.Lead.has(lead)) {
      return 'INVALID_CROSS_REFERENCE_KEY:invalid cross reference id:ContactId --';
    }
    if (this.#joined.has(`${campaign} ${record}`)) return 'DUPLICATE_VALUE:Already a campaign member.:--';
    const id = newId(this.#state, 'CampaignMember');
    members.set(id, { campaign, record });
    this.#joined.add(`${campaign} ${record}`);
    this.#job.taken.push({ id, created: true, row });
    return undefined;
  }

  #leave(row: Row): string | undefined {
    const id = row['Id'] ?? '';
    if (!this.#state.members.delete(id)) return 'ENTITY_IS_DELETED:entity is deleted:--';
    this.#job.taken.push({ id, created: false, row });
    return undefined;
  }
}

/** What Salesforce has against a value, in its own words: they repeat it. */
function objection(column: string, field: Field, value: string): string | undefined {
  if (value === '' || value === '#N/A') return undefined;
  if (field.readOnly === true) return `INVALID_FIELD_FOR_INSERT_UPDATE:Unable to create/update fields: ${column}:${column} --`;
  if (field.length !== undefined && value.length > field.length) {
    return `STRING_TOO_LONG:${column}: data value too large: ${value} (max length=${field.length}):${column} --`;
  }
  if (field.type === 'email' && !/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(value)) {
    return `INVALID_EMAIL_ADDRESS:${column}: invalid email address: ${value}:${column} --`;
  }
  const bad =
    (field.type === 'double' && !Number.isFinite(Number(value))) ||
    (field.type === 'boolean' && !/^(?:true|false|1|0)$/i.test(value));
  return bad ? `INVALID_TYPE_ON_FIELD_IN_RECORD:${column}: value not of required type: ${value}:${column} --` : undefined;
}
