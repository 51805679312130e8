import { generateKeyPairSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { google } from '../../connectors/google.ts';
import { type ClosableHttp, createHttp } from '../../connectors/http.ts';
import type { HttpRequest, HttpResponse, Job, ListSpec, Member, Op, Outcome, RemoteList } from '../../core/connector.ts';
import { identifierOf } from '../../core/delta.ts';
import { prepareIdentifiers, sha256Hex } from '../../core/identifiers.ts';
import { google as standIn } from '../../sandbox/google.ts';
import { type Sandbox, type SandboxPlatform, startSandbox } from '../../sandbox/server.ts';
import { connectorContract, noErasure } from '../contracts/connector.ts';

const base = {
  operating_account_id: '123-456-7890',
  customer_match_terms: 'accepted',
  consent_covers: ['ad_user_data', 'ad_personalization'],
  mobile_app: { app_id: 'com.example.shop', key_space: 'ANDROID' },
};
const wrongSecret = { ...standIn.secret, refresh_token: 'expired-google-refresh-token' };
// A list takes one kind of data, so the promises are kept once for each kind.
const exceptions = noErasure('Google has no call that erases a person: an erasure is a removal from every list');
const given = { connector: google, standIn, settings: { ...base, list_prefix: 'sluice ' }, wrongSecret, exceptions };
const only = (namespace: string, value: string) => (person: Member) => ({ ...person, identifiers: [{ namespace, value }] });
connectorContract({ ...given, poison: only('email', 'not-a-hash') });
connectorContract({ ...given, identifiers: ['maid'], poison: only('maid', 'not-an-advertising-id') });
connectorContract({ ...given, identifiers: ['external_id'], poison: only('external_id', '') });

const vips: ListSpec = {
  audience: 'vips',
  description: 'Very important',
  mode: 'mirror',
  destination: 'google-eu',
  run: '01JD0000000000000000000000',
  tick: 0,
  identifiers: ['email', 'phone', 'maid', 'external_id'],
  traits: [],
};
const hex = (digit: string): string => digit.repeat(64);
const [a, b, c, p] = [hex('a'), hex('b'), hex('c'), hex('d')];
const maid = 'c0ffee00-0000-4000-8000-000000000001';
const granted = { purpose: 'ads', basis: 'opt-in', jurisdiction: 'DE', grant: 'granted' } as const;
const member = (texts: readonly string[], consent: Member['consent'] = granted): Member => ({
  key: '0'.repeat(32),
  identifiers: texts.map(identifierOf),
  traits: {},
  consent,
});

let sandbox: Sandbox;
let platform: SandboxPlatform;
let http: ClosableHttp;
let sent: HttpRequest[] = [];

const context = (over: object = {}, secret: object = standIn.secret) => ({
  settings: google.settings.parse({ ...base, ...over }),
  secret: secret as { client_id: string; client_secret: string; refresh_token: string },
  endpoint: platform.endpoint,
  http: (request: HttpRequest) => {
    sent.push(request);
    return http(request);
  },
  now: Date.now,
});
type Using = ReturnType<typeof context>;
/** Google as scripted: each answer once, for the calls after the token. */
const scripted = (...answers: readonly [number, object][]): Using => {
  const left = [...answers];
  const script = (request: HttpRequest): Promise<HttpResponse> => {
    if (request.url.endsWith('/token')) return http(request);
    const [status, body] = left.shift() ?? [500, {}];
    return Promise.resolve({ status, headers: {}, text: JSON.stringify(body) });
  };
  return { ...context(), http: script };
};
const batchOf = (using: Using, list: RemoteList, op: Op, members: readonly Member[]) => {
  const items = members.map((one) => ({ member: one, ...google.encode(using, list, op, one) }));
  return { op, items, id: '0'.repeat(32), sequence: 1 };
};
const start = (using: Using, list: RemoteList, op: Op, members: readonly Member[]) =>
  google.send(using, list, batchOf(using, list, op, members));
const finished = async (
  using: Using,
  list: RemoteList,
  op: Op,
  members: readonly Member[],
  answer: readonly Outcome[] | Job,
): Promise<readonly Outcome[]> => {
  let current = answer;
  while ('kind' in current) {
    await sleep(10);
    current = (await google.poll?.(using, list, current, batchOf(using, list, op, members))) ?? [];
  }
  return current;
};
const deliver = async (op: Op, members: readonly Member[], using = context(), spec = vips) => {
  const list = await google.ensure(using, spec);
  return finished(using, list, op, members, await start(using, list, op, members));
};
const held = (name: string): string[] => [...(platform.held().get(name) ?? [])].sort();
const bodies = (path: string): Record<string, unknown>[] =>
  sent.filter((one) => one.url.includes(path)).map((one) => JSON.parse(one.body ?? '') as Record<string, unknown>);
const everyList: RemoteList = { id: '1', contact: '1', mobile: '2', user: '3' };
const thrown = (work: Promise<unknown>): Promise<unknown> => work.then(String, (error: unknown) => error);
const badRequest = (...fieldViolations: object[]): [number, object] => [
  400,
  { error: { code: 400, status: 'INVALID_ARGUMENT', details: [{ reason: 'INVALID_ARGUMENT' }, { fieldViolations }] } },
];

beforeAll(async () => {
  sandbox = await startSandbox([standIn]);
  platform = sandbox.platform('google');
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

describe('what google is sent', () => {
  test('writes identifiers as the formatting guide says', () => {
    const written = (namespace: string, raw: string, country: string | null = 'US') =>
      google.namespaces[namespace]?.normalise(raw, { country });
    expect(written('email', ' Jefferson.Loves.Hiking+a@GMail.com ')).toBe('jeffersonloveshiking@gmail.com');
    expect(written('email', 'c.d+x@googlemail.com')).toBe('cd@googlemail.com');
    expect(written('email', 'First.Last+a@Example.com')).toBe('first.last+a@example.com');
    expect(written('phone', '(202) 555-0123')).toBe('+12025550123');
    expect(written('first_name', ' Mrs. Quinn-Alex ')).toBe('quinn-alex');
    expect(written('country', 'us')).toBe('US');
    expect(written('postal_code', '94045-1234')).toBe('94045-1234');
    const [sentEmail] = prepareIdentifiers(google.namespaces, ['email\u001fc.d@gmail.com'], null);
    expect(sentEmail?.value).toBe(sha256Hex('cd@gmail.com'));
  });

  test('sends each kind of data in a request of its own to a list of its own, and answers once', async () => {
    const outcomes = await deliver('upsert', [
      member([`email:${a}`, `email:${b}`, `phone:${p}`, `maid:${maid}`, 'external_id:c-1']),
      member([`maid:${maid}`]),
    ]);
    expect(outcomes).toEqual([{ kind: 'accepted' }, { kind: 'accepted' }]);
    const consent = { adUserData: 'CONSENT_GRANTED', adPersonalization: 'CONSENT_GRANTED' };
    const termsOfService = { customerMatchTermsOfServiceStatus: 'ACCEPTED' };
    const destination = (productDestinationId: string) => ({
      operatingAccount: { accountType: 'GOOGLE_ADS', accountId: '1234567890' },
      productDestinationId,
    });
    expect(bodies(':ingest')).toEqual([
      {
        destinations: [destination('9150000000')],
        audienceMembers: [
          {
            compositeData: { userData: { userIdentifiers: [{ emailAddress: a }, { emailAddress: b }, { phoneNumber: p }] } },
            consent,
          },
        ],
        encoding: 'HEX',
        termsOfService,
      },
      {
        destinations: [destination('9150000001')],
        audienceMembers: [
          { mobileData: { mobileIds: [maid] }, consent },
          { mobileData: { mobileIds: [maid] }, consent },
        ],
        termsOfService,
      },
      {
        destinations: [destination('9150000002')],
        audienceMembers: [{ userIdData: { userId: 'c-1' }, consent }],
        termsOfService,
      },
    ]);
    expect(held('vips')).toEqual([`email:${a}`, `email:${b}`, `phone:${p}`]);
    expect(held('vips (mobile ids)')).toEqual([`maid:${maid}`]);
    expect(held('vips (user ids)')).toEqual(['external_id:c-1']);
  });

  test('removes with neither consent nor terms, also a kind that the sync sends no more', async () => {
    const people = [member([`email:${a}`, `maid:${maid}`])];
    const list = await google.ensure(context(), vips);
    await finished(context(), list, 'upsert', people, await start(context(), list, 'upsert', people));
    const later = await google.ensure(context(), { ...vips, identifiers: ['email'], known: list });
    expect(later).toEqual(list);
    const gone = [member([`email:${a}`, `maid:${maid}`], null)];
    expect(await finished(context(), later, 'remove', gone, await start(context(), later, 'remove', gone))).toEqual([
      { kind: 'accepted' },
    ]);
    expect(bodies(':remove').map((body) => [Object.keys(body), body['audienceMembers']])).toEqual([
      [
        ['destinations', 'audienceMembers', 'encoding'],
        [{ compositeData: { userData: { userIdentifiers: [{ emailAddress: a }] } } }],
      ],
      [['destinations', 'audienceMembers'], [{ mobileData: { mobileIds: [maid] } }]],
    ]);
    expect([held('vips'), held('vips (mobile ids)')]).toEqual([[], []]);
  });

  test('sends an address only whole and beside an e-mail address or phone', async () => {
    const address = [`first_name:${b}`, `last_name:${c}`, 'country:DE', 'postal_code:10115'];
    await deliver('upsert', [member([`email:${a}`, ...address]), member([`phone:${p}`, ...address.slice(1)])]);
    expect(bodies(':ingest')[0]?.['audienceMembers']).toMatchObject([
      {
        compositeData: {
          userData: {
            userIdentifiers: [
              { emailAddress: a },
              { address: { givenName: b, familyName: c, regionCode: 'DE', postalCode: '10115' } },
            ],
          },
        },
      },
      { compositeData: { userData: { userIdentifiers: [{ phoneNumber: p }] } } },
    ]);
    sent = [];
    expect(await deliver('remove', [member(address, null)])).toEqual([{ kind: 'accepted' }]);
    expect(bodies(':remove')).toEqual([]);
  });

  test('splits a member of more than ten identifiers, and a violation finds them', async () => {
    const many = Array.from({ length: 12 }, (_, n) => `email:${sha256Hex(String(n))}`);
    const encoded = google.encode(context(), everyList, 'upsert', member(many));
    expect(encoded.rows).toBe(2);
    await deliver('upsert', [member(many)]);
    expect(held('vips')).toHaveLength(12);
    const error = await thrown(
      deliver('upsert', [member(many.with(11, 'email:bad')), member([`email:${a}`]), member(['email:x'])]),
    );
    expect(error).toMatchObject({
      name: 'RowsRefused',
      rows: [
        { index: 0, reason: 'INVALID_SHA256_FORMAT' },
        { index: 2, reason: 'INVALID_SHA256_FORMAT' },
      ],
    });
  });
});

describe('what google is told of consent', () => {
  const consentIn = async (using: Using, consent: Member['consent']) => {
    sent = [];
    const outcomes = await deliver('upsert', [member([`email:${a}`], consent)], using);
    const [body] = bodies(':ingest') as unknown as { consent?: object; audienceMembers: { consent?: object }[] }[];
    expect(body?.consent).toBeUndefined();
    return [outcomes[0]?.kind, body?.audienceMembers[0]?.consent];
  };

  test('is granted where the decision rests on a grant, for what the settings say it covers', async () => {
    const both = { adUserData: 'CONSENT_GRANTED', adPersonalization: 'CONSENT_GRANTED' };
    expect(await consentIn(context(), granted)).toEqual(['accepted', both]);
    const half = context({ consent_covers: ['ad_user_data'] });
    expect(await consentIn(half, granted)).toEqual(['accepted', { adUserData: 'CONSENT_GRANTED' }]);
  });

  test('is granted by a grant under an opt-out basis too, and never by that basis alone, by default, or without a decision', async () => {
    const optOut = { purpose: 'ads', basis: 'opt-out', jurisdiction: 'US' } as const;
    expect(await consentIn(context(), optOut)).toEqual(['accepted', undefined]);
    const both = { adUserData: 'CONSENT_GRANTED', adPersonalization: 'CONSENT_GRANTED' };
    expect(await consentIn(context(), { ...optOut, grant: 'granted' })).toEqual(['accepted', both]);
    expect(google.settings.safeParse({ ...base, consent_covers: undefined }).success).toBe(false);
    expect(google.settings.safeParse({ ...base, consent_covers: [] }).success).toBe(false);
    expect(google.settings.safeParse({ ...base, customer_match_terms: undefined }).success).toBe(false);
    sent = [];
    expect(await deliver('upsert', [member([`email:${a}`], null)])).toEqual([{ kind: 'rejected', reason: 'no-consent' }]);
    expect(bodies(':ingest')).toEqual([]);
  });
});

describe('what google answers', () => {
  const people = [member([`email:${a}`]), member([`email:${b}`])];
  const statusOf = (requestStatus: string, ...reasons: readonly string[]): [number, object] => {
    const errorCounts = reasons.map((reason) => ({ reason: `PROCESSING_ERROR_REASON_${reason}`, recordCount: '1' }));
    return [200, { requestStatusPerDestination: [{ requestStatus, ...(reasons.length > 0 && { errorInfo: { errorCounts } }) }] }];
  };
  const taken: [number, object] = [200, { requestId: 'r-1' }];
  const result = async (op: Op, ...answers: readonly [number, object][]) => {
    const using = scripted(taken, ...answers);
    return finished(using, everyList, op, people, await start(using, everyList, op, people));
  };

  test('is asked for ever less often while Google works', async () => {
    const using = scripted(taken, statusOf('PROCESSING'), statusOf('PROCESSING'), statusOf('SUCCESS'));
    const batch = batchOf(using, everyList, 'upsert', people);
    const waits: number[] = [];
    let answer = await google.send(using, everyList, batch);
    while ('kind' in answer) {
      waits.push(answer.afterMs);
      // Another process may go on with it.
      answer = (await google.poll?.(using, everyList, JSON.parse(JSON.stringify(answer)) as Job, batch)) ?? [];
    }
    expect(waits).toEqual([2_000, 4_000, 8_000]);
    expect(answer).toEqual([{ kind: 'accepted' }, { kind: 'accepted' }]);
  });

  test('counts of a part that failed are accepted, unless repeating helps', async () => {
    const both = (outcome: Outcome): Outcome[] => [outcome, outcome];
    expect(await result('upsert', statusOf('PARTIAL_SUCCESS', 'DENIED_CONSENT'))).toEqual(both({ kind: 'accepted' }));
    expect(await result('upsert', statusOf('PARTIAL_SUCCESS'))).toEqual(both({ kind: 'accepted' }));
    expect(await result('upsert', statusOf('PARTIAL_SUCCESS', 'INTERNAL_ERROR'))).toEqual(
      both({ kind: 'retry', reason: 'INTERNAL_ERROR' }),
    );
    expect(await result('upsert', statusOf('FAILED', 'NO_CONSENT'))).toEqual(both({ kind: 'rejected', reason: 'NO_CONSENT' }));
    expect(await result('upsert', statusOf('FAILED'))).toEqual(both({ kind: 'retry', reason: 'FAILED' }));
  });

  test('a removal that is not whole is never taken for one', async () => {
    for (const status of [
      statusOf('PARTIAL_SUCCESS', 'INVALID_FORMAT'),
      statusOf('FAILED', 'INVALID_FORMAT'),
      statusOf('FAILED'),
    ]) {
      const outcomes = await result('remove', status);
      expect(outcomes.map((outcome) => outcome.kind)).toEqual(['retry', 'retry']);
    }
  });

  test('people whose consent is denied are not held, and are not said to be delivered', async () => {
    const list = await google.ensure(context(), vips);
    const using = context();
    const denying = {
      ...using,
      http: (request: HttpRequest) =>
        using.http({ ...request, body: request.body?.replaceAll('"CONSENT_GRANTED"', '"CONSENT_DENIED"') }),
    };
    expect(await finished(denying, list, 'upsert', people, await start(denying, list, 'upsert', people))).toEqual([
      { kind: 'rejected', reason: 'DENIED_CONSENT' },
      { kind: 'rejected', reason: 'DENIED_CONSENT' },
    ]);
    expect(held('vips')).toEqual([]);
  });

  test('data of one kind that is refused after another kind was taken does not make the member rejected', async () => {
    const mixed = [member([`email:${a}`, 'maid:bad']), member([`email:${b}`, `maid:${maid}`]), member(['maid:worse'])];
    expect(await deliver('upsert', mixed)).toEqual([
      { kind: 'accepted' },
      { kind: 'accepted' },
      { kind: 'rejected', reason: 'INVALID_MOBILE_ID_FORMAT' },
    ]);
    expect(held('vips')).toEqual([`email:${a}`, `email:${b}`]);
    expect(held('vips (mobile ids)')).toEqual([`maid:${maid}`]);
  });

  test('a violation points at the member of its own request', async () => {
    const using = scripted(badRequest({ field: 'audience_members[0].mobile_data', reason: 'INVALID_MOBILE_ID_FORMAT' }));
    const error = await thrown(start(using, everyList, 'upsert', [member([]), member(['maid:bad'])]));
    expect(error).toMatchObject({ name: 'RowsRefused', rows: [{ index: 1, reason: 'INVALID_MOBILE_ID_FORMAT' }] });
  });

  test("what is nobody's row breaks the destination, and what is unexplained is halved", async () => {
    for (const reason of [
      'TERMS_AND_CONDITIONS_NOT_SIGNED',
      'INVALID_USER_LIST_ID',
      'INVALID_USER_LIST_TYPE',
      'INVALID_DESTINATION',
    ]) {
      const error = await thrown(start(scripted(badRequest({ field: 'destinations[0]', reason })), everyList, 'upsert', people));
      expect(error).toMatchObject({ name: 'DestinationBroken', message: `Google answered with ${reason} (HTTP 400).` });
    }
    const tooMany = badRequest({ field: 'audience_members', reason: 'TOO_MANY_AUDIENCE_MEMBERS' });
    const error = await thrown(start(scripted(tooMany), everyList, 'upsert', people));
    expect(error).toMatchObject({ name: 'RowsRefused', rows: [], reason: 'TOO_MANY_AUDIENCE_MEMBERS' });
    const disabled = { error: { status: 'PERMISSION_DENIED', details: [{ reason: 'SERVICE_DISABLED' }] } };
    expect(await thrown(start(scripted([403, disabled]), everyList, 'upsert', people))).toMatchObject({
      name: 'DestinationBroken',
      wayOut: expect.stringContaining('Enable the Data Manager API'),
    });
  });

  test('a yes without the id of the request may have been a yes', async () => {
    expect(await thrown(start(scripted([200, {}]), everyList, 'upsert', people))).toMatchObject({
      name: 'TryAgain',
      ambiguous: true,
    });
  });

  test('a status that Google does not know is asked for again, and breaks nothing', async () => {
    const using = scripted(taken, badRequest({ field: 'request_id', reason: 'INVALID_REQUEST_ID' }));
    const error = await thrown(
      start(using, everyList, 'upsert', people).then((job) => finished(using, everyList, 'upsert', people, job)),
    );
    expect(error).toMatchObject({ name: 'TryAgain', throttled: false });
  });

  test('a spent quota is waited for: as long as it says, a minute, or until midnight in California', async () => {
    const exhausted = async (details: object[]) => {
      const using = {
        ...scripted([429, { error: { status: 'RESOURCE_EXHAUSTED', details } }]),
        now: () => Date.UTC(2026, 10, 22, 18, 30),
      };
      // The token is one of now.
      return thrown(start({ ...using }, everyList, 'upsert', people));
    };
    const daily = { metadata: { quota_limit: 'IngestionMutateRequestsPerDayPerProject' } };
    expect(await exhausted([{ retryDelay: '7.5s' }])).toMatchObject({ name: 'TryAgain', throttled: true, afterMs: 7_500 });
    expect(await exhausted([])).toMatchObject({ afterMs: 60_000 });
    // 10:30 in California.
    expect(await exhausted([daily, { retryDelay: '1s' }])).toMatchObject({ afterMs: 13.5 * 3_600_000 });
  });
});

describe('lists at google', () => {
  test('are made with a description, whole days and the accounts in headers that no other call has', async () => {
    const using = context({ membership_days: 90, login_account_id: '987-654-3210', quota_project: 'shop' });
    await deliver('upsert', [member([`email:${a}`])], using, { ...vips, identifiers: ['email'], description: '' });
    const [made] = sent.filter((one) => one.method === 'POST' && one.url.endsWith('/userLists'));
    expect(JSON.parse(made?.body ?? '')).toEqual({
      displayName: 'vips',
      description: 'Audience vips',
      membershipStatus: 'OPEN',
      membershipDuration: '7776000s',
      ingestedUserListInfo: {
        uploadKeyTypes: ['CONTACT_ID'],
        contactIdInfo: { dataSourceType: 'DATA_SOURCE_TYPE_FIRST_PARTY' },
      },
    });
    for (const { url, headers } of sent.filter((one) => !one.url.endsWith('/token'))) {
      const expected = url.includes('/userLists') ? 'accountTypes/GOOGLE_ADS/accounts/9876543210' : undefined;
      expect([headers?.['login-account'], headers?.['x-goog-user-project']]).toEqual([expected, 'shop']);
    }
    expect(bodies(':ingest')[0]?.['destinations']).toMatchObject([
      { loginAccount: { accountType: 'GOOGLE_ADS', accountId: '9876543210' } },
    ]);
  });

  test('of advertising ids need an app', async () => {
    const error = await thrown(google.ensure(context({ mobile_app: undefined }), vips));
    expect(error).toMatchObject({ name: 'DestinationBroken', wayOut: expect.stringContaining('mobile_app') });
  });

  test('that are closed, or hold another kind under the same name, stop the sync', async () => {
    const known = await google.ensure(context(), { ...vips, identifiers: ['email'] });
    const { lists } = platform.state<{ lists: Map<string, { membershipStatus: string }> }>();
    const list = lists.get(known.id);
    if (list !== undefined) list.membershipStatus = 'CLOSED';
    const closed = 'The user list was closed at Google because nothing used it, and takes no members.';
    expect(await thrown(google.ensure(context(), { ...vips, known }))).toMatchObject({ message: closed });
    expect(await thrown(google.ensure(context(), vips))).toMatchObject({ message: closed });
    await google.ensure(context(), { ...vips, audience: 'x', identifiers: ['maid'] });
    const other = await thrown(google.ensure(context(), { ...vips, audience: 'x (mobile ids)', identifiers: ['email'] }));
    expect(other).toMatchObject({ name: 'DestinationBroken', wayOut: expect.stringContaining('list_prefix') });
  });
});

describe('tokens for google', () => {
  const tokensAsked = (): number => sent.filter((one) => one.url.endsWith('/token')).length;
  /** A grant that no other test has used, so that none of its tokens is remembered. */
  const ensureWith = (using: Using, now: number) =>
    google.ensure({ ...using, now: () => now }, { ...vips, identifiers: ['email'] });

  test('are made once for all workers, and once more a minute before they end', async () => {
    const using = context({ token_url: undefined });
    const elsewhere = { ...using, endpoint: `${platform.endpoint.replace('127.0.0.1', 'localhost')}` };
    const now = Date.now();
    await Promise.allSettled(Array.from({ length: 20 }, () => ensureWith(elsewhere, now)));
    expect(tokensAsked()).toBe(1);
    await ensureWith(elsewhere, now + 58 * 60_000);
    expect(tokensAsked()).toBe(1);
    await Promise.allSettled(Array.from({ length: 20 }, () => ensureWith(elsewhere, now + 59 * 60_000 + 1_000)));
    expect(tokensAsked()).toBe(2);
  });

  test('come from a service account that signs for itself', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = {
      public: publicKey.export({ type: 'spki', format: 'pem' }),
      private: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    };
    const email = 'sluice@shop.iam.gserviceaccount.example';
    platform.state<{ serviceAccounts: Map<string, string> }>().serviceAccounts.set(email, pem.public as string);
    const secret = {
      type: 'service_account',
      client_email: email,
      private_key: pem.private,
      token_uri: 'https://attacker.example',
    };
    expect(google.secret?.safeParse(secret).success).toBe(true);
    expect(await deliver('upsert', [member([`email:${a}`])], context({}, secret))).toEqual([{ kind: 'accepted' }]);
    expect(tokensAsked()).toBe(1);
    expect(sent.every((one) => one.url.startsWith(platform.endpoint))).toBe(true);

    const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    const wrong = await thrown(google.ensure(context({}, { ...secret, private_key: stranger }), vips));
    expect(wrong).toMatchObject({ name: 'DestinationBroken', message: 'Google gave no access token (invalid_grant).' });
    const broken = await thrown(google.ensure(context({}, { ...secret, private_key: '-----BEGIN nothing' }), vips));
    expect(broken).toMatchObject({ message: 'The private key of the service account cannot be read.' });
  });

  test('that are refused are made anew once, whoever hears of it first', async () => {
    const secret = { ...standIn.secret };
    const using = { ...context({}, secret), endpoint: `${platform.endpoint}` };
    const old = { ...using, now: () => Date.now() - 59 * 60_000 };
    const list = await google.ensure(using, vips);
    platform.faults({ kind: 'unauthorised', times: 4 });
    const answers = await Promise.all([1, 2, 3, 4].map(() => thrown(start(old, list, 'upsert', [member([`email:${a}`])]))));
    expect(answers.map((error) => (error as Error).name)).toEqual(Array.from({ length: 4 }, () => 'TryAgain'));
    const before = tokensAsked();
    expect(await deliver('upsert', [member([`email:${a}`])], using)).toEqual([{ kind: 'accepted' }]);
    expect(tokensAsked()).toBe(before + 1);
  });
});

describe('the stand-in of google', () => {
  const token = async (): Promise<string> => {
    const form = new URLSearchParams({ grant_type: 'refresh_token', ...standIn.secret });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const response = await http({ method: 'POST', url: `${platform.endpoint}/token`, headers, body: form.toString() });
    return (JSON.parse(response.text) as { access_token: string }).access_token;
  };
  const post = async (path: string, body: object, headers: Record<string, string> = {}) => {
    const authorization = `Bearer ${await token()}`;
    const request = { authorization, 'content-type': 'application/json', ...headers };
    const response = await http({
      method: 'POST',
      url: `${platform.endpoint}${path}`,
      headers: request,
      body: JSON.stringify(body),
    });
    const details = (
      JSON.parse(response.text) as { error?: { details: { fieldViolations?: { field: string; reason: string }[] }[] } }
    ).error;
    const violations = details?.details.flatMap((one) => one.fieldViolations ?? []) ?? [];
    return [response.status, ...violations.map(({ field, reason }) => `${field} ${reason}`)];
  };
  const lists = '/v1/accountTypes/GOOGLE_ADS/accounts/1234567890/userLists';
  const listBody = (uploadKeyTypes: string[], over: object = {}) => ({
    displayName: 'x',
    description: 'x',
    ingestedUserListInfo: { uploadKeyTypes },
    ...over,
  });
  const ingest = (audienceMembers: object[], over: object = {}) => ({
    destinations: [
      { operatingAccount: { accountType: 'GOOGLE_ADS', accountId: '1234567890' }, productDestinationId: '9150000000' },
    ],
    audienceMembers,
    encoding: 'HEX',
    termsOfService: { customerMatchTermsOfServiceStatus: 'ACCEPTED' },
    ...over,
  });
  const contact = (identifier: object) => ({ compositeData: { userData: { userIdentifiers: [identifier] } } });

  test('refuses what Google refuses', async () => {
    expect(await post(lists, listBody(['CONTACT_ID']))).toEqual([200]);
    expect(await post(lists, listBody(['CONTACT_ID']))).toEqual([409]);
    expect(await post(lists, listBody(['CONTACT_ID', 'MOBILE_ID'], { displayName: 'y' }))).toEqual([
      400,
      'user_list.ingested_user_list_info.upload_key_types INVALID_ARGUMENT',
    ]);
    expect(await post(lists, listBody(['CONTACT_ID'], { displayName: 'y', membershipDuration: '100s' }))).toEqual([
      400,
      'user_list.membership_duration INVALID_ARGUMENT',
    ]);
    const path = '/v1/audienceMembers:ingest';
    const address = { givenName: a, familyName: b, regionCode: 'DE', postalCode: '10115' };
    const at = 'audience_members[0].composite_data.user_data.user_identifiers[0]';
    expect(await post(path, ingest([contact({ emailAddress: a }), contact({ address })]))).toEqual([200]);
    expect(await post(path, ingest([contact({ addressInfo: address })]))).toEqual([400, `${at} INVALID_ARGUMENT`]);
    expect(await post(path, ingest([contact({ address: { ...address, postalCode: undefined } })]))).toEqual([
      400,
      `${at}.address.postal_code INVALID_POSTAL_CODE`,
    ]);
    expect(await post(path, ingest([contact({ emailAddress: 'a@example.com' })]))).toEqual([
      400,
      `${at}.email_address INVALID_SHA256_FORMAT`,
    ]);
    expect(await post(path, ingest([contact({ emailAddress: a }), { mobileData: { mobileIds: [maid] } }]))).toEqual([
      400,
      'audience_members MULTIPLE_DATA_TYPES_NOT_ALLOWED',
    ]);
    expect(await post(path, ingest([{ mobileData: { mobileIds: [maid] } }]))).toEqual([
      400,
      'destinations[0].product_destination_id INVALID_USER_LIST_TYPE',
    ]);
    expect(await post(path, ingest([contact({ emailAddress: a })], { encoding: undefined }))).toEqual([
      400,
      'encoding REQUIRED_FIELD_MISSING',
    ]);
    expect(await post(path, ingest([contact({ emailAddress: a })], { termsOfService: undefined }))).toEqual([
      400,
      'terms_of_service TERMS_AND_CONDITIONS_NOT_SIGNED',
    ]);
    expect(
      await post(path, ingest([contact({ emailAddress: a })]), { 'login-account': 'accountTypes/GOOGLE_ADS/accounts/1' }),
    ).toEqual([400, 'login_account INVALID_ARGUMENT']);
    const [status] = await post('/v1/audienceMembers:remove', ingest([contact({ emailAddress: a })]));
    expect(status).toBe(400);
    expect(await post(path, ingest([contact({ emailAddress: a })]), { authorization: 'Bearer ya29.forged.token' })).toEqual([
      401,
    ]);
  });

  test('does the work only after a while', async () => {
    await post(lists, listBody(['CONTACT_ID']));
    await post('/v1/audienceMembers:ingest', ingest([contact({ emailAddress: a })]));
    expect(held('x')).toEqual([]);
    await expect.poll(() => held('x')).toEqual([`email:${a}`]);
  });

  test('enforces 300 requests a minute, and says how long to wait', async () => {
    const url = `${platform.endpoint}${lists}`;
    const statuses = new Set<number>();
    for (let n = 0; n < 300; n += 1) statuses.add((await http({ method: 'GET', url })).status);
    expect([...statuses]).toEqual([401]);
    const { status, text } = await http({ method: 'GET', url });
    expect(status).toBe(429);
    expect(text).toMatch(/"retryDelay":"\d+s"/);
  });
});
