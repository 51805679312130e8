import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { createHttp } from '../../connectors/http.ts';
import { hubspot } from '../../connectors/hubspot.ts';
import {
  type Context,
  DestinationBroken,
  type ListSpec,
  type Member,
  type Op,
  RowsRefused,
  TryAgain,
} from '../../core/connector.ts';
import { hubspot as standIn } from '../../sandbox/hubspot.ts';
import { type SandboxPlatform, startSandbox } from '../../sandbox/server.ts';
import { connectorContract } from '../contracts/connector.ts';
import { batchOf, failureOf, member, scripted, type ScriptedReply } from './scripted-server.ts';

const OAUTH = { client_id: 'sandbox-client', client_secret: 'sandbox-hubspot-client-secret', refresh_token: 'sandbox-refresh' };
const contract = {
  connector: hubspot,
  standIn,
  settings: {},
  identifiers: ['external_id', 'email'],
  wrongSecret: { access_token: 'pat-wrong-token' },
  traits: { firstname: 'Canary', jobtitle: 'gold', zip: 3, city: null },
  poison: (person: Member): Member => ({
    ...person,
    identifiers: [...person.identifiers.slice(0, 1), { namespace: 'email', value: 'canary at example' }],
  }),
  exceptions: [
    { rule: 'terms not accepted break the destination, with a way out', because: 'HubSpot has no terms to accept by API' },
  ],
} as const;

describe('with the token of a private app', () => {
  connectorContract(contract);
});
describe('with OAuth, adopting contacts', () => {
  connectorContract({
    ...contract,
    settings: { adopt_by_email: true, api_version: '2026-09' },
    identifiers: ['external_id', 'email', 'phone'],
    secret: OAUTH,
    wrongSecret: { ...OAUTH, refresh_token: 'wrong-refresh-token' },
  });
});

const SECRET = { access_token: 'pat-sandbox-hubspot' };
const LIST = { id: '7', id_property: 'sluice_external_id' };
const SPEC: ListSpec = {
  audience: 'vips',
  description: '',
  mode: 'mirror',
  destination: 'hubspot-eu',
  run: '01JD0000000000000000000000',
  tick: 0,
  identifiers: ['external_id', 'email'],
  traits: [],
};
const parse = (settings: Record<string, unknown> = {}) => hubspot.settings.parse(settings);
const nobody: Member = { ...member('none'), identifiers: [] };
/** A member without a key between those with one: inputs of the request are not rows of the batch. */
const three = [member('c-1', { email: 'canary.1@example.com' }), nobody, member('c-2'), member('c-3')];

/** One batch against scripted answers; what was asked, and what came of it. */
const sending = (
  replies: readonly ScriptedReply[],
  members: readonly Member[] = three,
  { op = 'upsert', settings = {}, now }: { op?: Op; settings?: Record<string, unknown>; now?: number } = {},
) =>
  scripted({ settings: parse(settings), secret: SECRET, replies, ...(now !== undefined && { now }) }, async (context, seen) => {
    const answer = hubspot.send(context, LIST, batchOf(hubspot, context, LIST, op, members));
    const error = await failureOf(answer);
    expect(inspect(error, { depth: 9 })).not.toMatch(/canary/i);
    return { seen, error, outcomes: error === undefined ? await answer : undefined };
  });

const keyOf = (id: string): string => member(id).key;
const result = (record: string, id: string) => ({
  id: record,
  objectWriteTraceId: keyOf(id),
  properties: { hs_object_id: record },
});
const written = (results: readonly object[], errors: readonly object[] = [], status = errors.length > 0 ? 207 : 200) => ({
  status,
  body: { status: 'COMPLETE', results, ...(errors.length > 0 && { numErrors: errors.length, errors }) },
});
const added = (...recordIdsMissing: string[]) => ({
  status: 200,
  body: { recordsIdsAdded: [], recordIdsRemoved: [], recordIdsMissing },
});
const invalid = (error: string, name: string) =>
  `Property values were not valid: ${JSON.stringify([{ isValid: false, message: 'Email address canary at example is invalid', error, name }])}`;
const DELIVERED = { kind: 'delivered' };
const NO_KEY = { kind: 'rejected', reason: 'no-external-id' };

describe('hubspot sends', () => {
  test('contacts by their unique property with a trace id each, then their record ids to the list', async () => {
    const people = [
      member('c-1', { email: 'a@example.com', phone: '+14155550101' }, { tier: 'gold', score: 7, vip: true, note: null }),
      member('c-2'),
    ];
    const { seen, outcomes } = await sending([written([result('101', 'c-1'), result('102', 'c-2')]), added()], people);
    expect(seen).toMatchObject([
      {
        method: 'POST',
        path: '/crm/objects/2026-03/contacts/batch/upsert',
        headers: { authorization: 'Bearer pat-sandbox-hubspot' },
      },
      { method: 'PUT', path: '/crm/lists/2026-03/7/memberships/add' },
    ]);
    expect(seen.map(({ body }) => body)).toEqual([
      {
        inputs: [
          {
            id: 'c-1',
            idProperty: 'sluice_external_id',
            objectWriteTraceId: keyOf('c-1'),
            properties: { tier: 'gold', score: '7', vip: 'true', note: '', email: 'a@example.com', phone: '+14155550101' },
          },
          { id: 'c-2', idProperty: 'sluice_external_id', objectWriteTraceId: keyOf('c-2'), properties: {} },
        ],
      },
      ['101', '102'],
    ]);
    expect(outcomes).toEqual([DELIVERED, DELIVERED]);
  });

  test('a removal as a look-up by the unique property and the record ids it gives, in the version that is set', async () => {
    const found = [{ id: '101', properties: { crm_id: 'c-1' } }];
    const errors = [{ category: 'OBJECT_NOT_FOUND', context: { ids: ['c-2', 'c-3'] } }];
    const settings = { id_property: 'crm_id', api_version: '2026-09' };
    const { seen, outcomes } = await sending([written(found, errors), added()], three, { op: 'remove', settings });
    expect(seen.map(({ method, path, body }) => [method, path, body])).toEqual([
      [
        'POST',
        '/crm/objects/2026-09/contacts/batch/read',
        {
          idProperty: 'crm_id',
          properties: ['crm_id'],
          propertiesWithHistory: [],
          inputs: [{ id: 'c-1' }, { id: 'c-2' }, { id: 'c-3' }],
        },
      ],
      ['PUT', '/crm/lists/2026-09/7/memberships/remove', ['101']],
    ]);
    expect(outcomes).toEqual([DELIVERED, NO_KEY, DELIVERED, DELIVERED]);
  });

  test('nothing to the list when nobody who leaves is at HubSpot', async () => {
    const { seen, outcomes } = await sending([written([])], [member('c-1')], { op: 'remove' });
    expect(seen).toHaveLength(1);
    expect(outcomes).toEqual([DELIVERED]);
  });
});

describe('hubspot maps a 207', () => {
  test.each([
    ['the trace id', { objectWriteTraceId: [keyOf('c-2')] }, {}],
    ['a trace id beside the context', {}, { objectWriteTraceId: keyOf('c-2') }],
    ['the ids', { ids: ['c-2'] }, {}],
  ])('to members by %s of its errors, and never by their place', async (_what, context, more) => {
    const error = { status: 'error', category: 'VALIDATION_ERROR', message: invalid('INVALID_EMAIL', 'email'), context, ...more };
    const { seen, outcomes } = await sending([written([result('103', 'c-3'), result('101', 'c-1')], [error]), added()]);
    expect(seen[1]?.body).toEqual(['103', '101']);
    expect(outcomes).toEqual([DELIVERED, NO_KEY, { kind: 'rejected', reason: 'INVALID_EMAIL:email' }, DELIVERED]);
  });

  test('to members by the id property of its results where they have no trace id', async () => {
    const results = ['c-3', 'c-1', 'c-2'].map((id) => ({ id: `10${id}`, properties: { sluice_external_id: id } }));
    const { outcomes } = await sending([written(results), added('10c-2')]);
    expect(outcomes).toEqual([DELIVERED, NO_KEY, { kind: 'retry', reason: 'record-missing' }, DELIVERED]);
  });

  test('the same when it comes as a 200', async () => {
    const error = { category: 'VALIDATION_ERROR', context: { objectWriteTraceId: [keyOf('c-1')] } };
    const { outcomes } = await sending([written([result('102', 'c-2'), result('103', 'c-3')], [error], 200), added()]);
    expect(outcomes).toEqual([{ kind: 'rejected', reason: 'VALIDATION_ERROR' }, NO_KEY, DELIVERED, DELIVERED]);
  });

  test('to a batch that is halved when an error names nobody, without those that are named', async () => {
    const errors = [
      { category: 'CONFLICT', message: 'canary@example.com', context: { objectWriteTraceId: [keyOf('c-2')] } },
      { category: 'VALIDATION_ERROR', message: 'canary@example.com is odd', context: { ids: ['canary'] } },
    ];
    const { error } = await sending([written([result('101', 'c-1')], errors)]);
    expect(error).toBeInstanceOf(RowsRefused);
    expect(error).toMatchObject({ reason: 'VALIDATION_ERROR', rows: [{ index: 2, reason: 'CONFLICT' }] });
  });

  test('to a batch that is halved with those in it whom only the moment refused', async () => {
    const errors = [
      { category: 'RATE_LIMITS', context: { objectWriteTraceId: [keyOf('c-2')] } },
      { category: 'VALIDATION_ERROR' },
    ];
    const { error } = await sending([written([], errors)]);
    expect(error).toBeInstanceOf(RowsRefused);
    expect((error as RowsRefused).rows).toEqual([]);
  });

  test('to a refusal of a member who is among the results too, and to nobody else', async () => {
    const errors = [{ category: 'CONFLICT', context: { objectWriteTraceId: [keyOf('c-1')] } }];
    const { seen, outcomes } = await sending([
      written([result('101', 'c-1'), result('102', 'c-2'), result('103', 'c-3')], errors),
      added(),
    ]);
    expect(seen[1]?.body).toEqual(['102', '103']);
    expect(outcomes).toEqual([{ kind: 'rejected', reason: 'CONFLICT' }, NO_KEY, DELIVERED, DELIVERED]);
  });

  test('to the only member there is when an error names nobody', async () => {
    const { outcomes } = await sending([written([], [{ category: 'VALIDATION_ERROR' }])], [nobody, member('c-1')]);
    expect(outcomes).toEqual([NO_KEY, { kind: 'rejected', reason: 'VALIDATION_ERROR' }]);
  });

  test('to another try for a row that only the moment refused', async () => {
    const errors = [{ category: 'RATE_LIMITS', context: { objectWriteTraceId: [keyOf('c-1')] } }];
    const { outcomes } = await sending([written([], errors)], [member('c-1')]);
    expect(outcomes).toEqual([{ kind: 'retry', reason: 'RATE_LIMITS' }]);
  });

  test('by looking up members of whom it says nothing, who are sent again if they are not there', async () => {
    const looked = written([{ id: '102', properties: { sluice_external_id: 'c-2' } }]);
    const { seen, outcomes } = await sending([written([result('101', 'c-1')]), looked, added()]);
    expect(seen[1]).toMatchObject({
      path: '/crm/objects/2026-03/contacts/batch/read',
      body: { inputs: [{ id: 'c-2' }, { id: 'c-3' }] },
    });
    expect(seen[2]?.body).toEqual(['101', '102']);
    expect(outcomes).toEqual([DELIVERED, NO_KEY, DELIVERED, { kind: 'retry', reason: 'no-answer-for-row' }]);
  });
});

describe('hubspot reads a refused batch', () => {
  test.each([
    ['one bad address', 400, { category: 'VALIDATION_ERROR', message: invalid('INVALID_EMAIL', 'email') }, 'INVALID_EMAIL:email'],
    [
      'a code among errors',
      400,
      { errors: [{ code: 'INVALID_INTEGER', context: { propertyName: ['phone'] } }] },
      'INVALID_INTEGER:phone',
    ],
    ['a property that is not of the files', 400, { errors: [{ code: 'INVALID_DATE', in: 'canary' }] }, 'INVALID_DATE'],
    ['ids sent twice', 400, { category: 'VALIDATION_ERROR', message: 'Duplicate IDs found: [canary-1]' }, 'VALIDATION_ERROR'],
    ['a contact that exists', 409, { category: 'CONFLICT', message: 'Contact already exists. Existing ID: 1' }, 'CONFLICT'],
    ['half a message', 400, { category: 'VALIDATION_ERROR', message: 'not valid: [{"message":"canary' }, 'VALIDATION_ERROR'],
    ['a code that is no code', 400, { category: 'canary@example.com' }, 'refused'],
    ['a body that is too large', 413, {}, 'http-413'],
  ])('%s without a name as a batch to be halved', async (_what, status, body, reason) => {
    const { error } = await sending([{ status, body }]);
    expect(error).toBeInstanceOf(RowsRefused);
    expect(error).toMatchObject({ reason, rows: [] });
  });

  test('with a name as that row, so that the rest is sent again', async () => {
    const body = { category: 'VALIDATION_ERROR', context: { objectWriteTraceId: [keyOf('c-3')] } };
    const { error } = await sending([{ status: 400, body }]);
    expect(error).toBeInstanceOf(RowsRefused);
    expect((error as RowsRefused).rows).toEqual([{ index: 3, reason: 'VALIDATION_ERROR' }]);
  });

  test('of one row as that row refused', async () => {
    const body = { category: 'VALIDATION_ERROR', message: invalid('INVALID_EMAIL', 'email') };
    const { outcomes } = await sending([{ status: 400, body }], [member('c-1', { email: 'canary at example' })]);
    expect(outcomes).toEqual([{ kind: 'rejected', reason: 'INVALID_EMAIL:email' }]);
  });

  test.each([
    [
      'the id property is not unique',
      { message: 'Unable to perform update/upsert by non-unique 0-1 property' },
      /sluice_external_id/,
    ],
    ['the id property is not there', { message: invalid('PROPERTY_DOESNT_EXIST', 'sluice_external_id') }, /sluice_external_id/],
    ['a trait has no property', { message: invalid('PROPERTY_DOESNT_EXIST', 'ltv_band') }, /ltv_band/],
    ['a trait may not be written', { message: invalid('READ_ONLY_VALUE', 'ltv_band') }, /ltv_band/],
  ])('as broken when %s: no row is at fault', async (_what, error, name) => {
    const people = [member('c-1', {}, { ltv_band: 'gold' }), member('c-2', {}, { ltv_band: 'gold' })];
    const inParts = { category: 'VALIDATION_ERROR', ...error, context: { objectWriteTraceId: [keyOf('c-1')] } };
    for (const reply of [{ status: 400, body: { category: 'VALIDATION_ERROR', ...error } }, written([], [inParts])]) {
      const { error: broken } = await sending([reply], people);
      expect(broken).toBeInstanceOf(DestinationBroken);
      expect((broken as DestinationBroken).message).toMatch(name);
      expect((broken as DestinationBroken).wayOut).toContain('Settings, Properties');
    }
  });

  test('of a removal whose answer it cannot place as members to ask for again', async () => {
    const strange = [{ category: 'VALIDATION_ERROR' }, { category: 'OBJECT_NOT_FOUND', context: { ids: ['c-3'] } }];
    const found = [{ id: '101', properties: { sluice_external_id: 'c-1' } }];
    const { outcomes } = await sending([written(found, strange), added()], three, { op: 'remove' });
    expect(outcomes).toEqual([DELIVERED, NO_KEY, { kind: 'retry', reason: 'not-looked-up' }, DELIVERED]);
  });

  test('of a removal that finds somebody else as members to ask for again', async () => {
    const found = [{ id: '109', properties: { sluice_external_id: 'C-1' } }];
    const { seen, outcomes } = await sending([written(found)], [member('c-1')], { op: 'remove' });
    expect(seen).toHaveLength(1);
    expect(outcomes).toEqual([{ kind: 'retry', reason: 'not-looked-up' }]);
  });

  test('of the list as the list deleted', async () => {
    const { error } = await sending([written([result('101', 'c-1')]), { status: 404, body: {} }], [member('c-1')]);
    expect((error as DestinationBroken).message).toBe('The list was deleted at HubSpot.');
  });

  test('of an erasure as done when the contact is gone since it was looked up', async () => {
    const found = written([{ id: '101', properties: { sluice_external_id: 'c-1' } }]);
    const replies = [found, { status: 404, body: { category: 'OBJECT_NOT_FOUND' } }];
    const outcomes = await scripted({ settings: parse(), secret: SECRET, replies }, async (context) =>
      hubspot.erase?.(context, [member('c-1')]),
    );
    expect(outcomes).toEqual([DELIVERED]);
  });

  test('of the list as broken when the list has become an active one, and as no row at fault when not', async () => {
    const refused = { status: 400, body: { category: 'VALIDATION_ERROR' } };
    const list = (processingType: string) => ({ status: 200, body: { list: { listId: '7', processingType } } });
    const taken = written([result('101', 'c-1')]);
    expect((await sending([taken, refused, list('DYNAMIC')], [member('c-1')])).error).toBeInstanceOf(DestinationBroken);
    expect((await sending([taken, refused, list('MANUAL')], [member('c-1')])).error).toBeInstanceOf(TryAgain);
  });
});

describe('hubspot knows when to come back', () => {
  const limit = (policyName: string) => ({ category: 'RATE_LIMITS', errorType: 'RATE_LIMIT', policyName });
  test.each([
    ['the rolling limit', 429, limit('TEN_SECONDLY_ROLLING'), {}, 10_000],
    [
      'the rolling limit and its interval',
      429,
      limit('TEN_SECONDLY_ROLLING'),
      { 'x-hubspot-ratelimit-interval-milliseconds': '8000' },
      8_000,
    ],
    ['a limit with Retry-After', 429, limit('TEN_SECONDLY_ROLLING'), { 'retry-after': '3' }, 3_000],
    ['the limit of a second', 429, limit('SECONDLY'), {}, 1_000],
    ['the limit of the day', 429, limit('DAILY'), { 'x-hubspot-ratelimit-interval-milliseconds': '10000' }, 3_600_000],
    ['a 429 without a body', 429, undefined, {}, 10_000],
    ['locked contacts', 423, {}, {}, 2_000],
    ['an account on the move', 477, {}, { 'retry-after': '7200' }, 7_200_000],
  ])('from %s', async (_what, status, body, headers, afterMs) => {
    const { error } = await sending([{ status, headers, body }], [member('c-1')], { now: 1_800_000_000_000 });
    expect(error).toBeInstanceOf(TryAgain);
    expect(error).toMatchObject({ throttled: true, ambiguous: false, afterMs });
  });

  test('when the headers say that nothing is left, and only then', () => {
    const after = (headers: Record<string, string>) => hubspot.headroom?.({ status: 200, text: '', headers });
    const interval = { 'x-hubspot-ratelimit-max': '100', 'x-hubspot-ratelimit-interval-milliseconds': '10000' };
    expect(after({ ...interval, 'x-hubspot-ratelimit-remaining': '0' })).toEqual({ waitMs: 10_000 });
    expect(after({ ...interval, 'x-hubspot-ratelimit-remaining': '1' })).toBeUndefined();
    expect(after({ 'x-hubspot-ratelimit-remaining': '0' })).toBeUndefined();
    expect(after({})).toBeUndefined();
  });
});

describe('hubspot finds its list', () => {
  const ensure = (replies: readonly ScriptedReply[], spec: Partial<ListSpec> = {}, settings: Record<string, unknown> = {}) =>
    scripted({ settings: parse(settings), secret: SECRET, replies }, async (context, seen) => {
      const answer = Promise.resolve().then(() => hubspot.ensure(context, { ...SPEC, ...spec }));
      const error = await failureOf(answer);
      return { seen, error, list: error === undefined ? await answer : undefined };
    });
  const list = (more: object = {}) => ({
    status: 200,
    body: { list: { listId: '7', processingType: 'MANUAL', size: 3, ...more } },
  });
  const none = { status: 404, body: { category: 'OBJECT_NOT_FOUND' } };

  test('by its name, or makes a static list of contacts', async () => {
    const found = await ensure([list()]);
    expect(found.seen).toMatchObject([{ method: 'GET', path: '/crm/lists/2026-03/object-type-id/0-1/name/sluice%20vips' }]);
    expect(found.list).toEqual(LIST);
    const made = await ensure([none, list()], {}, { list_prefix: 'crm/' });
    expect(made.seen[0]?.path).toBe('/crm/lists/2026-03/object-type-id/0-1/name/crm%2Fvips');
    expect(made.seen[1]).toMatchObject({
      method: 'POST',
      path: '/crm/lists/2026-03',
      body: { name: 'crm/vips', objectTypeId: '0-1', processingType: 'MANUAL' },
    });
    expect(made.list).toEqual(LIST);
  });

  test('when somebody else made it in between', async () => {
    const { list: late } = await ensure([none, { status: 400, body: { category: 'VALIDATION_ERROR' } }, list()]);
    expect(late).toEqual(LIST);
  });

  test.each([
    ['an active list has its name', [list({ processingType: 'DYNAMIC' })], {}],
    ['it was deleted', [none], { known: LIST }],
    ['it is in the bin', [list({ deletedAt: '2026-11-22T00:00:00Z' })], { known: LIST }],
    ['it became an active list', [list({ processingType: 'DYNAMIC' })], { known: LIST }],
    ['its members are known by another property', [], { known: { id: '7', id_property: 'crm_id' } }],
    ['a trait is an identifier', [], { traits: ['email'] }],
    ['a trait goes where the phone goes', [], { traits: ['phone'], identifiers: ['phone'] }],
    ['a trait is the id property', [], { traits: ['sluice_external_id'] }],
    ['a trait is read-only', [], { traits: ['createdate'] }],
    ['a trait can be no name of a property', [], { traits: ['LTV band'] }],
  ])('or is broken when %s', async (_what, replies, spec) => {
    const { error } = await ensure(replies, spec);
    expect(error).toBeInstanceOf(DestinationBroken);
  });

  test('and says how many it holds, if HubSpot does', async () => {
    const size = (reply: ScriptedReply) =>
      scripted({ settings: parse(), secret: SECRET, replies: [reply] }, async (context) => hubspot.size?.(context, LIST));
    expect(await size(list())).toBe(3);
    expect(await size(list({ size: undefined }))).toBeUndefined();
  });
});

test('hubspot refuses to know people by an address they may change', () => {
  const parsed = hubspot.settings.safeParse({ id_property: 'email' });
  expect(parsed.error?.issues[0]?.message).toContain('adopt_by_email');
  expect(hubspot.settings.safeParse({ id_property: 'CRM Id' }).success).toBe(false);
});

describe('hubspot over its stand-in', () => {
  type HubspotSecret = typeof SECRET | typeof OAUTH;
  type Contacts = { contacts: Map<string, Map<string, string>>; barred: Set<string> };
  const withSandbox = async <T>(
    { settings = {}, secret = SECRET }: { settings?: Record<string, unknown>; secret?: HubspotSecret },
    use: (context: Context<ReturnType<typeof parse>, HubspotSecret>, platform: SandboxPlatform) => Promise<T>,
  ): Promise<T> => {
    const sandbox = await startSandbox([standIn]);
    const platform = sandbox.platform('hubspot');
    const http = createHttp({ endpoint: platform.endpoint });
    try {
      return await use({ settings: parse(settings), secret, endpoint: platform.endpoint, http, now: Date.now }, platform);
    } finally {
      await http.close();
      await sandbox.close();
    }
  };
  const deliver = async (
    context: Context<ReturnType<typeof parse>, HubspotSecret>,
    members: readonly Member[],
    op: Op = 'upsert',
  ) => {
    const list = await hubspot.ensure(context, SPEC);
    return hubspot.send(context, list, batchOf(hubspot, context, list, op, members));
  };
  /** As a form or a salesperson makes one: without an external id. */
  const contact = (platform: SandboxPlatform, id: string, email: string) => {
    const state = platform.state<Contacts & { unique: Map<string, string> }>();
    state.contacts.set(id, new Map([['email', email]]));
    state.unique.set(`email:${email}`, id);
    return state;
  };
  const ada = member('c-1', { email: 'ada@example.com' });

  test('leaves a contact alone that has the address of a member, and reports the conflict', async () => {
    await withSandbox({}, async (context, platform) => {
      const { contacts } = contact(platform, '55', 'ada@example.com');
      expect(await deliver(context, [ada, member('c-2')])).toEqual([{ kind: 'rejected', reason: 'CONFLICT' }, DELIVERED]);
      expect(contacts.get('55')).toEqual(new Map([['email', 'ada@example.com']]));
      expect([...(platform.held().get('sluice vips') ?? [])]).toEqual(['c-2']);
    });
  });

  test('adopts such a contact where the settings say so', async () => {
    await withSandbox({ settings: { adopt_by_email: true } }, async (context, platform) => {
      const { contacts } = contact(platform, '55', 'ada@example.com');
      expect(await deliver(context, [ada, member('c-2')])).toEqual([DELIVERED, DELIVERED]);
      expect(contacts.get('55')?.get('sluice_external_id')).toBe('c-1');
      expect(contacts.size).toBe(2);
      expect([...(platform.held().get('sluice vips') ?? [])].sort()).toEqual(['c-1', 'c-2']);
      const before = platform.requests().length;
      await deliver(context, [ada]);
      expect(platform.requests().length - before, 'found, written, put on the list').toBe(3);
    });
  });

  test('adopts nobody who is another member, or who has another contact', async () => {
    await withSandbox({ settings: { adopt_by_email: true } }, async (context, platform) => {
      expect(await deliver(context, [ada, member('c-2')])).toEqual([DELIVERED, DELIVERED]);
      const { contacts } = contact(platform, '55', 'new@example.com');
      const housemate = member('c-3', { email: 'ada@example.com' });
      const moved = member('c-2', { email: 'new@example.com' });
      const conflict = { kind: 'rejected', reason: 'CONFLICT' };
      expect(await deliver(context, [housemate, moved])).toEqual([conflict, conflict]);
      expect(contacts.get('55')).toEqual(new Map([['email', 'new@example.com']]));
    });
  });

  test('gives the contact of a merged id to the survivor, whatever the settings say', async () => {
    await withSandbox({}, async (context, platform) => {
      await deliver(context, [ada]);
      await deliver(context, [ada], 'remove');
      const survivor = { ...member('c-9', { email: 'ada@example.com' }), formerly: ['c-0', 'c-1'] };
      expect(await deliver(context, [survivor])).toEqual([DELIVERED]);
      const { contacts } = platform.state<Contacts>();
      expect([...contacts.values()].map((one) => one.get('sluice_external_id'))).toEqual(['c-9']);
      expect([...(platform.held().get('sluice vips') ?? [])]).toEqual(['c-9']);
      const housemate = { ...member('c-3', { email: 'ada@example.com' }), formerly: ['c-2'] };
      expect(await deliver(context, [housemate])).toEqual([{ kind: 'rejected', reason: 'CONFLICT' }]);
    });
  });

  test('keeps one contact of somebody who changes their address', async () => {
    await withSandbox({}, async (context, platform) => {
      await deliver(context, [ada]);
      await deliver(context, [member('c-1', { email: 'lovelace@example.com' })]);
      const { contacts } = platform.state<Contacts>();
      expect([...contacts.values()].map((one) => one.get('email'))).toEqual(['lovelace@example.com']);
      await deliver(context, [ada], 'remove');
      expect(platform.held().get('sluice vips')?.size).toBe(0);
      expect(contacts.size, 'leaving the list is no deletion').toBe(1);
    });
  });

  test('erases contacts by their record, and bars no address that HubSpot does not know', async () => {
    await withSandbox({}, async (context, platform) => {
      await deliver(context, [ada]);
      const asked = [ada, member('c-9', { email: 'unknown@example.com' }), nobody];
      expect(await hubspot.erase?.(context, asked)).toEqual([{ kind: 'accepted' }, DELIVERED, NO_KEY]);
      const { contacts, barred } = platform.state<Contacts>();
      expect([contacts.size, barred.size]).toEqual([0, 0]);
    });
  });

  test('an app without the scopes for contacts breaks the sync, and is told which', async () => {
    await withSandbox({ secret: { access_token: 'pat-sandbox-hubspot-lists' } }, async (context) => {
      const error = await failureOf(deliver(context, [ada]));
      expect(error).toBeInstanceOf(DestinationBroken);
      expect((error as DestinationBroken).wayOut).toContain('crm.objects.contacts.write');
    });
  });

  test('makes one OAuth token for all who ask at once, and another before it ends', async () => {
    await withSandbox({ secret: OAUTH }, async (context, platform) => {
      const tokens = () => platform.requests().filter((one) => one.route.endsWith('/token')).length;
      const start = Date.now();
      await hubspot.ensure(context, SPEC);
      await Promise.all(Array.from({ length: 8 }, (_, n) => deliver(context, [member(`c-${n}`)])));
      expect(tokens()).toBe(1);
      await deliver({ ...context, now: () => start + 28 * 60_000 }, [ada]);
      expect(tokens()).toBe(1);
      const late = { ...context, now: () => start + 29.5 * 60_000 };
      await Promise.all(Array.from({ length: 8 }, (_, n) => deliver(late, [member(`c-${n}`)])));
      expect(tokens()).toBe(2);
    });
  });

  test('makes one new token when the old one is withdrawn, and breaks when that is refused too', async () => {
    await withSandbox({ secret: OAUTH }, async (context, platform) => {
      await deliver(context, [ada]);
      platform.faults({ kind: 'unauthorised', route: '/crm/' });
      expect(await failureOf(deliver(context, [ada]))).toBeInstanceOf(TryAgain);
      expect(await failureOf(deliver(context, [ada]))).toBeInstanceOf(DestinationBroken);
    });
  });
});
