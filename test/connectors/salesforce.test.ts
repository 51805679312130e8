import { generateKeyPairSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type ClosableHttp, createHttp } from '../../connectors/http.ts';
import { salesforce } from '../../connectors/salesforce.ts';
import {
  type Context,
  DestinationBroken,
  type HttpRequest,
  type HttpResponse,
  type Job,
  type ListSpec,
  type Member,
  type Op,
  type Outcome,
  RowsRefused,
  TryAgain,
} from '../../core/connector.ts';
import { salesforce as standIn } from '../../sandbox/salesforce.ts';
import { type Sandbox, type SandboxPlatform, startSandbox } from '../../sandbox/server.ts';
import { connectorContract, noErasure } from '../contracts/connector.ts';
import { batchOf, failureOf, member } from './scripted-server.ts';

const wrongSecret = { ...standIn.secret, refresh_token: 'expired-salesforce-refresh-token' };
const contract = {
  connector: salesforce,
  standIn,
  identifiers: ['external_id', 'email'],
  wrongSecret,
  poison: (person: Member) => ({
    ...person,
    identifiers: [...person.identifiers.slice(0, 1), { namespace: 'email', value: 'canary at example' }],
  }),
  exceptions: [
    {
      rule: 'terms not accepted break the destination, with a way out',
      because: 'Salesforce has no terms to accept by API',
    },
    {
      rule: 'takes as many rows a request as its limits say, and the platform no more',
      because: 'Salesforce limits the bytes of a job and the records of a day, never the rows of a job',
    },
    ...noErasure('a contact is a record of the CRM itself and is erased there; here an erasure is a removal from every campaign'),
  ],
} as const;
connectorContract({
  ...contract,
  settings: { external_id_field: 'Customer_Id__c' },
  traits: { LastName: 'Canary "the" bird,\r\nof the mine', Loyalty_Tier__c: 'gold', Lifetime_Value__c: 12.5, FirstName: null },
});
connectorContract({
  ...contract,
  settings: { external_id_field: 'Customer_Id__c', object: 'Lead' },
  traits: { LastName: 'Canary', Company: 'None', Newsletter__c: true },
});

const SPEC: ListSpec = {
  audience: 'vips',
  description: 'Very important',
  mode: 'mirror',
  destination: 'salesforce-eu',
  run: '01JD0000000000000000000000',
  tick: 0,
  identifiers: ['email', 'phone'],
  traits: ['LastName', 'Loyalty_Tier__c'],
};
const parse = (over: object = {}) => salesforce.settings.parse({ external_id_field: 'Customer_Id__c', ...over });
type SalesforceContext = Context<ReturnType<typeof parse>, NonNullable<ReturnType<typeof parseSecret>>>;
const parseSecret = (secret: object) => salesforce.secret?.parse(secret);

interface State {
  readonly apps: Map<string, string>;
  readonly records: { readonly Contact: Map<string, Record<string, string>> };
  readonly campaigns: Map<string, string>;
  readonly members: Map<string, unknown>;
  readonly jobs: Map<string, { csv?: string; error?: string; state: string; due: number; input: Record<string, string> }>;
  readonly locked: Set<string>;
  tokens: number;
}

let sandbox: Sandbox;
let platform: SandboxPlatform;
let http: ClosableHttp;
let sent: HttpRequest[] = [];

beforeAll(async () => {
  sandbox = await startSandbox([standIn]);
  platform = sandbox.platform('salesforce');
  http = createHttp({ endpoint: platform.endpoint });
});
beforeEach(() => {
  platform.reset();
  sent = [];
});
afterAll(async () => {
  await http.close();
  await sandbox.close();
});

/** `answer` may stand in for what the stand-in says to a request. */
type Change = (request: HttpRequest, real: () => Promise<HttpResponse>) => Promise<HttpResponse> | undefined;
const context = (over: object = {}, given: { secret?: object; now?: () => number; change?: Change } = {}): SalesforceContext => ({
  settings: parse(over),
  secret: parseSecret(given.secret ?? standIn.secret) as SalesforceContext['secret'],
  endpoint: platform.endpoint,
  http: (request) => {
    sent.push(request);
    return given.change?.(request, () => http(request)) ?? http(request);
  },
  now: given.now ?? Date.now,
});
const finished = async (
  using: SalesforceContext,
  op: Op,
  members: readonly Member[],
  spec = SPEC,
): Promise<readonly Outcome[]> => {
  const list = await salesforce.ensure(using, spec);
  const batch = batchOf(salesforce, using, list, op, members);
  let answer: readonly Outcome[] | Job = await salesforce.send(using, list, batch);
  while ('kind' in answer) {
    await sleep(10);
    answer = (await salesforce.poll?.(using, list, answer, batch)) ?? [];
  }
  return answer;
};
const held = (name = 'sluice vips'): string[] => [...(platform.held().get(name) ?? [])].sort();
const state = (): State => platform.state<State>();
const contacts = () => [...state().records.Contact.values()];
const files = (): string[] => sent.filter(({ method }) => method === 'PUT').map(({ body }) => body ?? '');
const paths = (): string[] =>
  platform.requests().map(({ method, route }) => `${method} ${route.replace('/services/data/v66.0', '')}`);
const answering =
  (part: string, status: number, body: unknown, method = 'GET'): Change =>
  (request) =>
    request.method === method && request.url.includes(part)
      ? Promise.resolve({ status, headers: {}, text: typeof body === 'string' ? body : JSON.stringify(body) })
      : undefined;
const named = (id: string, over: Record<string, string> = {}, traits: Member['traits'] = {}) =>
  member(id, over, { LastName: 'Doe', ...traits });

describe('salesforce sends', () => {
  test('contacts in one job and the members of the campaign in another, in files that keep commas, quotes and line ends', async () => {
    const awkward = named('c-1,"x"', { email: 'a@example.com', phone: '+14155550101' }, { LastName: 'O"Neil,\r\nthe 2nd\n=1+1' });
    const outcomes = await finished(context(), 'upsert', [awkward, named('c-2', {}, { Loyalty_Tier__c: null })]);
    expect(outcomes).toEqual([{ kind: 'delivered' }, { kind: 'delivered' }]);
    expect(files()[0]).toBe(
      'Customer_Id__c,Email,MobilePhone,LastName,Loyalty_Tier__c\n' +
        '"c-1,""x""","a@example.com","+14155550101","O""Neil,\r\nthe 2nd\n=1+1",\n' +
        '"c-2",,,"Doe",#N/A\n',
    );
    expect(files()[1]).toMatch(/^CampaignId,ContactId\n("701\w{15}","003\w{15}"\n){2}$/);
    expect(contacts()).toMatchObject([
      { Customer_Id__c: 'c-1,"x"', Email: 'a@example.com', MobilePhone: '+14155550101', LastName: 'O"Neil,\r\nthe 2nd\n=1+1' },
      { Customer_Id__c: 'c-2', LastName: 'Doe' },
    ]);
    expect(held()).toEqual(['c-1,"x"', 'c-2']);
    const jobs = sent.filter(({ method, url }) => method === 'POST' && url.endsWith('/jobs/ingest'));
    const file = { contentType: 'CSV', lineEnding: 'LF', columnDelimiter: 'COMMA' };
    expect(jobs.map(({ body }) => JSON.parse(body ?? '') as unknown)).toEqual([
      { object: 'Contact', operation: 'upsert', externalIdFieldName: 'Customer_Id__c', ...file },
      { object: 'CampaignMember', operation: 'insert', ...file },
    ]);
  });

  test('an empty cell for what a sync does not know, which leaves the field, and #N/A for what is empty, which clears it', async () => {
    await finished(context(), 'upsert', [named('c-1', { email: 'a@example.com' }, { Loyalty_Tier__c: 'gold' })]);
    await finished(context(), 'upsert', [named('c-1', {}, { Loyalty_Tier__c: '' })]);
    expect(contacts()).toEqual([{ Customer_Id__c: 'c-1', Email: 'a@example.com', LastName: 'Doe' }]);
  });

  test('fields by the names Salesforce has for them, whatever the case in the sync', async () => {
    const list = await salesforce.ensure(context({ external_id_field: 'customer_ID__c' }), { ...SPEC, traits: ['lastname'] });
    expect(list).toMatchObject({ columns: 'Customer_Id__c,Email,MobilePhone,LastName', folded: 'false' });
    const batch = batchOf(salesforce, context(), list, 'upsert', [member('c-1', {}, { lastname: 'Doe' })]);
    expect(batch.items[0]?.text).toBe('"c-1",,,"Doe"');
  });

  test('a value over 32,000 characters is rejected, because it would fail the whole job', async () => {
    const outcomes = await finished(context(), 'upsert', [named('c-1', {}, { LastName: 'x'.repeat(32_001) }), named('c-2')]);
    expect(outcomes).toEqual([{ kind: 'rejected', reason: 'field-too-large' }, { kind: 'delivered' }]);
  });

  test.each([
    ['Customer_Id__c', ['c-1', 'C-1']],
    ['Folded_Id__c', ['c-1']],
  ])('one row an external id, as %s tells them apart: the second member with one is rejected', async (external_id_field, in_) => {
    const outcomes = await finished(context({ external_id_field }), 'upsert', [
      named('c-1'),
      named('c-1'),
      named('C-1'),
      named('c-2'),
    ]);
    const repeated = { kind: 'rejected', reason: 'external-id-repeated' };
    const third = in_.length === 2 ? { kind: 'delivered' } : repeated;
    expect(outcomes).toEqual([{ kind: 'delivered' }, repeated, third, { kind: 'delivered' }]);
    expect(held()).toEqual([...in_, 'c-2'].sort());
  });
});

describe('salesforce answers', () => {
  test('by row: the code and our field, never its message, and nobody refused becomes a member', async () => {
    const outcomes = await finished(context(), 'upsert', [
      named('c-1'),
      named('c-2', { email: 'canary at example' }),
      member('c-3', {}, { LastName: null }),
      { ...member('none'), identifiers: [] },
      named('c-5', {}, { Loyalty_Tier__c: 'x'.repeat(41) }),
    ]);
    expect(outcomes).toEqual([
      { kind: 'delivered' },
      { kind: 'rejected', reason: 'INVALID_EMAIL_ADDRESS:Email' },
      { kind: 'rejected', reason: 'REQUIRED_FIELD_MISSING:LastName' },
      { kind: 'rejected', reason: 'no-external-id' },
      { kind: 'rejected', reason: 'STRING_TOO_LONG:Loyalty_Tier__c' },
    ]);
    expect(held()).toEqual(['c-1']);
  });

  test('a locked record is sent again, and is a member then', async () => {
    const [one, two] = [named('c-1'), named('c-2')];
    await salesforce.ensure(context(), SPEC);
    state().locked.add('c-1');
    expect(await finished(context(), 'upsert', [one, two])).toEqual([
      { kind: 'retry', reason: 'UNABLE_TO_LOCK_ROW' },
      { kind: 'delivered' },
    ]);
    expect(await finished(context(), 'upsert', [one])).toEqual([{ kind: 'delivered' }]);
    expect(held()).toEqual(['c-1', 'c-2']);
  });

  test('a lock behind a trigger is a lock too', async () => {
    const row = '"003Sb0000000000001","CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY:Trigger: UNABLE_TO_LOCK_ROW, unable: []:--","c-1"';
    const results = `"sf__Id","sf__Error","Customer_Id__c"\n${row}\n`;
    const change: Change = (request, real) =>
      request.url.endsWith('/failedResults')
        ? answering('/failedResults', 200, results)(request, real)
        : request.url.endsWith('/successfulResults')
          ? answering('/successfulResults', 200, '"sf__Id","sf__Created","Customer_Id__c"\n')(request, real)
          : undefined;
    state().locked.add('c-1');
    expect(await finished(context({}, { change }), 'upsert', [named('c-1')])).toEqual([
      { kind: 'retry', reason: 'UNABLE_TO_LOCK_ROW' },
    ]);
  });

  test('members are found again whatever the order and the number of refused ones, and whoever is a member already is delivered', async () => {
    await finished(context(), 'upsert', [named('c-7')]);
    const members = Array.from({ length: 450 }, (_, n) => (n % 9 === 0 ? named(`c-${n}`, { email: 'bad' }) : named(`c-${n}`)));
    const outcomes = await finished(context(), 'upsert', members);
    expect(outcomes).toEqual(
      members.map((_, n) => (n % 9 === 0 ? { kind: 'rejected', reason: 'INVALID_EMAIL_ADDRESS:Email' } : { kind: 'delivered' })),
    );
    expect(held()).toEqual(
      Array.from({ length: 450 }, (_, n) => `c-${n}`)
        .filter((_, n) => n % 9 !== 0)
        .sort(),
    );
  });

  test.each([
    ['the destination', 'InvalidBatch : Field name not found : Loyalty_Tier__c', DestinationBroken],
    ['some row, which halving finds', 'ClientInputError : LineEnding is invalid on user data', RowsRefused],
  ])('a job that failed as a whole is about %s (%s)', async (_what, errorMessage, kind) => {
    const info = { id: '750', state: 'Failed', numberRecordsProcessed: 0, numberRecordsFailed: 0, errorMessage };
    const error = await failureOf(
      finished(context({}, { change: answering('/jobs/ingest/750', 200, info) }), 'upsert', [named('c-1')]),
    );
    expect(error).toBeInstanceOf(kind);
    expect(String(error)).not.toContain('Loyalty');
  });

  test.each([
    ['Failed', 'InternalServerError : the job failed after 20 retries', { kind: 'retry', reason: 'unprocessed' }],
    ['Failed', 'ExceededQuota : ApiBatchItems Limit exceeded.', { kind: 'retry', reason: 'daily-limit', afterMs: 3_600_000 }],
    ['Aborted', null, { kind: 'retry', reason: 'unprocessed' }],
  ])(
    'a job that stopped half way (%s, %s) delivers who was processed and sends the others again',
    async (ended, errorMessage, others) => {
      const head = '"sf__Id","sf__Created","Customer_Id__c"\n';
      let contact = '';
      const change: Change = (request, real) => {
        const first = [...state().jobs.keys()].findLast((id) => state().jobs.get(id)?.input['object'] === 'Contact') ?? '-';
        if (!request.url.includes(first) || request.method !== 'GET') return undefined;
        if (request.url.endsWith('/successfulResults'))
          return answering('', 200, `${head}"${contact}","true","c-1"\n`)(request, real);
        if (request.url.endsWith('/failedResults'))
          return answering('', 200, '"sf__Id","sf__Error","Customer_Id__c"\n')(request, real);
        return answering('', 200, { id: first, state: ended, numberRecordsProcessed: 1, numberRecordsFailed: 0, errorMessage })(
          request,
          real,
        );
      };
      await finished(context(), 'upsert', [named('c-1')]);
      contact = [...state().records.Contact.keys()][0] ?? '';
      expect(await finished(context({}, { change }), 'upsert', [named('c-1'), named('c-2')])).toEqual([
        { kind: 'delivered' },
        others,
      ]);
    },
  );

  test('a job that is no longer known is done over; the campaign keeps whom it has', async () => {
    const using = context();
    const list = await salesforce.ensure(using, SPEC);
    const batch = batchOf(salesforce, using, list, 'upsert', [named('c-1')]);
    const job = { kind: 'job', id: '750Sb0000000009999', afterMs: 0, state: { step: 'records' } } as const;
    expect(await salesforce.poll?.(using, list, job, batch)).toEqual([{ kind: 'retry', reason: 'job-gone' }]);
  });

  test('a job is asked for ever less often, and its state does not change while it waits', async () => {
    const using = context();
    const list = await salesforce.ensure(using, SPEC);
    const batch = batchOf(salesforce, using, list, 'upsert', [named('c-1')]);
    const job = (await salesforce.send(using, list, batch)) as Job;
    expect(job).toEqual({ kind: 'job', id: expect.any(String), afterMs: 1_000, state: { step: 'records' } });
    const age = (ms: number) => {
      const createdDate = new Date(Date.now() - ms).toISOString().replace('Z', '+0000');
      const answer = { id: job.id, state: 'InProgress', createdDate };
      return salesforce.poll?.(context({}, { change: answering(job.id, 200, answer) }), list, job, batch);
    };
    expect(await age(500)).toEqual({ ...job, afterMs: 1_000 });
    expect(((await age(40_000)) as Job).afterMs).toBeGreaterThanOrEqual(10_000);
    expect(await age(3_600_000)).toEqual({ ...job, afterMs: 60_000 });
  });

  test('results without the column of the external id are no answer', async () => {
    const change = answering('/successfulResults', 200, '"sf__Id","sf__Created"\n"003","true"\n');
    const error = await failureOf(finished(context({}, { change }), 'upsert', [named('c-1')]));
    expect(error).toMatchObject({ name: 'TryAgain', ambiguous: true });
  });
});

describe('salesforce removes', () => {
  test('the campaign member and never the contact, by ids that hold quotes', async () => {
    const people = [named("c-1'); --"), named('c-2\\'), named('c-3')];
    await finished(context(), 'upsert', people);
    expect(await finished(context(), 'remove', [...people.slice(0, 2), named('c-9'), named('c-9')])).toEqual(
      Array.from({ length: 4 }, () => ({ kind: 'delivered' })),
    );
    expect(held()).toEqual(['c-3']);
    expect(contacts()).toHaveLength(3);
    const query = sent.find(({ url, method }) => method === 'POST' && url.endsWith('/jobs/query'));
    expect(JSON.parse(query?.body ?? '')).toEqual({
      operation: 'query',
      query:
        'SELECT Id, Contact.Customer_Id__c FROM CampaignMember ' +
        `WHERE CampaignId = '${[...state().campaigns.keys()][0]}' AND Contact.Customer_Id__c IN ('c-1\\'); --','c-2\\\\','c-9')`,
    });
    expect(files().at(-1)).toMatch(/^Id\n("00v\w{15}"\n){2}$/);
  });

  test('asks for pages of results until there is none', async () => {
    const people = Array.from({ length: 2_500 }, (_, n) => named(`c-${n}`));
    await finished(context(), 'upsert', people);
    await finished(context(), 'remove', people.slice(1));
    expect(held()).toEqual(['c-0']);
    expect(paths().filter((path) => path.endsWith('/jobs/query/{id}/results'))).toHaveLength(2);
  });

  test('who was removed by somebody else in between is delivered, a locked one is sent again', async () => {
    const people = [named('c-1'), named('c-2'), named('c-3')];
    await finished(context(), 'upsert', people);
    const [, second = ''] = [...state().members.keys()];
    const change: Change = (request) => {
      if (request.url.endsWith('/failedResults')) {
        const rows = `"${second}","UNABLE_TO_LOCK_ROW:unable to obtain exclusive access:--","${second}"\n`;
        return http(request).then((real) => ({ ...real, text: real.text + rows }));
      }
      return undefined;
    };
    const using = context({}, { change });
    const list = await salesforce.ensure(using, SPEC);
    const batch = batchOf(salesforce, using, list, 'remove', people);
    let answer = await salesforce.send(using, list, batch);
    while ('kind' in answer) {
      await sleep(10);
      answer = (await salesforce.poll?.(using, list, answer, batch)) ?? [];
      if ('kind' in answer && answer.state?.['step'] === 'delete') state().members.delete([...state().members.keys()][0] ?? '');
    }
    expect(answer).toEqual([{ kind: 'delivered' }, { kind: 'retry', reason: 'UNABLE_TO_LOCK_ROW' }, { kind: 'delivered' }]);
  });

  test('a query that failed removed nobody, and says so', async () => {
    await finished(context(), 'upsert', [named('c-1')]);
    const info = { id: '750', state: 'Failed', errorMessage: 'QUERY_TIMEOUT' };
    const outcomes = await finished(context({}, { change: answering('/jobs/query/', 200, info) }), 'remove', [named('c-1')]);
    expect(outcomes).toEqual([{ kind: 'retry', reason: 'query-failed' }]);
  });

  test('nobody is in a campaign that was deleted, and that breaks the destination', async () => {
    const using = context();
    const list = await salesforce.ensure(using, SPEC);
    state().campaigns.clear();
    const batch = batchOf(salesforce, using, list, 'remove', [named('c-1')]);
    const job = (await salesforce.send(using, list, batch)) as Job;
    await sleep(50);
    expect(await failureOf(Promise.resolve(salesforce.poll?.(using, list, job, batch)))).toBeInstanceOf(DestinationBroken);
  });

  test('a full batch of removals is a query Salesforce takes', async () => {
    const { perOp, overhead } = salesforce.limits;
    const using = context();
    const list = await salesforce.ensure(using, SPEC);
    const { bytes = 0 } = perOp?.remove ?? {};
    const ids: string[] = [];
    for (let size = 0; size < bytes - overhead - 100; size += (ids.at(-1)?.length ?? 0) + 3)
      ids.push(`customer-${ids.length}-${'x'.repeat(40)}`);
    const batch = batchOf(
      salesforce,
      using,
      list,
      'remove',
      ids.map((id) => member(id)),
    );
    expect(await salesforce.send(using, list, batch)).toMatchObject({ kind: 'job' });
  });
});

describe('salesforce campaigns', () => {
  test('are found by their exact name, or made under the prefix and the name of the audience', async () => {
    state().campaigns.set('701Sb0000000000099', 'Sluice VIPS');
    const made = await salesforce.ensure(context(), SPEC);
    expect(state().campaigns.get(made.id)).toBe('sluice vips');
    expect(await salesforce.ensure(context(), SPEC)).toEqual(made);
    expect((await salesforce.ensure(context({ campaign_prefix: "l'été " }), SPEC)).id).not.toBe(made.id);
    expect(state().campaigns.size).toBe(3);
  });

  test('that are gone break the destination, rather than being made anew and empty', async () => {
    const { id } = await salesforce.ensure(context(), SPEC);
    state().campaigns.clear();
    expect(await failureOf(salesforce.ensure(context(), { ...SPEC, known: { id } }))).toBeInstanceOf(DestinationBroken);
    expect(state().campaigns.size).toBe(0);
  });

  test('have a name of 80 characters at most, and their number of members is said', async () => {
    const long = await failureOf(salesforce.ensure(context(), { ...SPEC, audience: 'a'.repeat(74) }));
    expect(String(long)).toContain('81');
    await finished(context(), 'upsert', [named('c-1'), named('c-2')]);
    expect(await salesforce.size?.(context(), await salesforce.ensure(context(), SPEC))).toBe(2);
  });

  test.each([
    [{ external_id_field: 'Nothing__c' }, {}, 'Contact has no field Nothing__c.'],
    [{ external_id_field: 'Loose_Id__c' }, {}, 'Contact has no text field that is unique and an external id called Loose_Id__c.'],
    [
      { external_id_field: 'Customer_Number__c' },
      {},
      'Contact has no text field that is unique and an external id called Customer_Number__c.',
    ],
    [{ phone_field: 'Fax' }, {}, 'Contact has no field Fax that the user of the secret may write.'],
    [
      {},
      { traits: ['Shoe_Size__c', 'CreatedDate'] },
      'Contact has no field Shoe_Size__c, CreatedDate that the user of the secret may write.',
    ],
    [{}, { traits: ['email'] }, '"vips" sends email both as an identifier and as a trait.'],
  ])('are not begun when the fields cannot work: %j %j', async (over, spec, message) => {
    const error = await failureOf(salesforce.ensure(context(over), { ...SPEC, ...spec }));
    expect(error).toBeInstanceOf(DestinationBroken);
    expect((error as DestinationBroken).message).toBe(message);
    expect(paths()).not.toContain('POST /sobjects/Campaign');
  });
});

describe('salesforce limits', () => {
  const limited = (message: string, errorCode = 'REQUEST_LIMIT_EXCEEDED') =>
    failureOf(salesforce.ensure(context({}, { change: answering('/describe', 403, [{ errorCode, message }]) }), SPEC));

  test('the day: everybody waits an hour, because the last 24 hours are counted; too many at once: half a minute', async () => {
    expect(await limited('TotalRequests Limit exceeded.')).toMatchObject({
      throttled: true,
      afterMs: 3_600_000,
      ambiguous: false,
    });
    expect(await limited('ConcurrentRequests (Concurrent API Requests) Limit exceeded.')).toMatchObject({
      throttled: true,
      afterMs: 30_000,
    });
    expect(await limited('No.', 'INSUFFICIENT_ACCESS')).toBeInstanceOf(DestinationBroken);
  });

  test('how much of the day is used is said by every answer, the tighter of the org and the app', () => {
    const used = (value: string) => salesforce.headroom?.({ status: 200, text: '', headers: { 'sforce-limit-info': value } });
    expect(used('api-usage=90000/100000')).toEqual({ usedPercent: 90 });
    expect(used('api-usage=25/5000; per-app-api-usage=200/250(appName=sluice)')).toEqual({ usedPercent: 80 });
    expect(used('api-usage=110018/100000; api-bursts=1/750')?.usedPercent).toBeGreaterThan(110);
    expect(used('')).toBeUndefined();
    expect(used('api-usage=0/0')).toBeUndefined();
  });
});

describe('salesforce tokens', () => {
  const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const app = (over: object = {}) => ({
    client_id: `app-${Math.random()}`,
    username: 'sluice@example.com',
    private_key: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    ...over,
  });
  const admit = ({ client_id }: { client_id: string }) =>
    state().apps.set(client_id, pair.publicKey.export({ type: 'spki', format: 'pem' }) as string);
  const assertions = () =>
    sent
      .filter(({ url }) => url.endsWith('/services/oauth2/token'))
      .map(({ body }) => new URLSearchParams(body).get('assertion'));

  test('are made once for all who ask at the same time, by an assertion signed with the key of the app', async () => {
    const secret = app();
    admit(secret);
    const using = context({}, { secret });
    await Promise.all([1, 2, 3].map((n) => salesforce.ensure(using, { ...SPEC, audience: `a-${n}` })));
    expect(state().tokens).toBe(1);
    const claims = JSON.parse(Buffer.from(assertions()[0]?.split('.')[1] ?? '', 'base64url').toString()) as Record<
      string,
      unknown
    >;
    expect(claims).toMatchObject({ iss: secret.client_id, sub: secret.username, aud: 'https://login.salesforce.com' });
    expect(Number(claims['exp']) - Date.now() / 1000).toBeLessThanOrEqual(180);
  });

  test.each([
    ['https://test.salesforce.com/', 'https://test.salesforce.com'],
    ['https://acme--uat.sandbox.my.salesforce.com', 'https://test.salesforce.com'],
    ['https://acme.my.salesforce.com', 'https://login.salesforce.com'],
  ])('name the audience that belongs to %s', async (login_url, audience) => {
    const secret = app();
    admit(secret);
    await salesforce.ensure(context({ login_url }, { secret }), SPEC);
    const claims = JSON.parse(Buffer.from(assertions()[0]?.split('.')[1] ?? '', 'base64url').toString()) as Record<
      string,
      unknown
    >;
    expect(claims['aud']).toBe(audience);
  });

  test('are renewed before a session of half an hour ends, each by an assertion of its own', async () => {
    const secret = app();
    admit(secret);
    let minutes = 0;
    const using = context({}, { secret, now: () => Date.now() + minutes * 60_000 });
    for (minutes of [0, 24, 26]) await failureOf(salesforce.ensure(using, SPEC));
    expect(new Set(assertions()).size).toBe(2);
  });

  test('a session that ended early is replaced once; a second refusal breaks the destination', async () => {
    const secret = { ...standIn.secret, client_id: standIn.secret['client_id'] };
    const using = context({ login_url: 'https://once.my.salesforce.com' }, { secret });
    await salesforce.ensure(using, SPEC);
    const made = state().tokens;
    platform.faults({ kind: 'unauthorised', times: 1 });
    expect(await failureOf(salesforce.ensure(using, SPEC))).toBeInstanceOf(TryAgain);
    await salesforce.ensure(using, SPEC);
    expect(state().tokens).toBe(made + 1);
    platform.faults({ kind: 'unauthorised', times: 1 });
    expect(await failureOf(salesforce.ensure(using, SPEC))).toBeInstanceOf(DestinationBroken);
  });

  test('are asked for with a fresh assertion after a try that failed', async () => {
    const secret = app();
    admit(secret);
    let minutes = 0;
    const using = context({}, { secret, now: () => Date.now() + minutes * 60_000 });
    platform.faults({ kind: 'error', times: 1 });
    expect(await failureOf(salesforce.ensure(using, SPEC))).toBeInstanceOf(TryAgain);
    minutes = 1;
    await salesforce.ensure(using, SPEC);
    expect(new Set(assertions()).size).toBe(2);
  });

  test.each([
    ['a user who may not use the app', { username: 'other@example.com' }],
    ['a key that cannot be read', { private_key: '-----BEGIN nothing that could be read' }],
    [
      'a key of another app',
      { private_key: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }) },
    ],
  ])('%s breaks the destination', async (_what, over) => {
    const secret = app(over);
    admit(secret);
    const error = await failureOf(salesforce.ensure(context({}, { secret }), SPEC));
    expect(error).toBeInstanceOf(DestinationBroken);
    expect(String(error)).not.toMatch(/PRIVATE|@/);
  });

  test.each([
    ['https://elsewhere.example', false],
    ['http://acme.my.salesforce.com', false],
    ['https://salesforce.com.elsewhere.example', false],
    ['https://acme.my.salesforce.com', true],
    ['https://eu6.salesforce.com/', true],
  ])('lead to %s: %s', async (instance_url, allowed) => {
    const asked: string[] = [];
    const change: Change = (request) => {
      if (request.url.endsWith('/services/oauth2/token')) {
        return Promise.resolve({ status: 200, headers: {}, text: JSON.stringify({ access_token: 'x', instance_url }) });
      }
      asked.push(request.url);
      return Promise.resolve({ status: 403, headers: {}, text: '[]' });
    };
    const error = await failureOf(salesforce.ensure(context({}, { change, secret: app() }), SPEC));
    expect(error).toBeInstanceOf(DestinationBroken);
    const base = `${instance_url.replace(/\/$/, '')}/services/data/v66.0`;
    expect(asked).toEqual(allowed ? [`${base}/sobjects/Contact/describe`] : []);
  });
});
