import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type ClosableHttp, createHttp } from '../../connectors/http.ts';
import { meta } from '../../connectors/meta.ts';
import type { HttpRequest, ListSpec, Member, Op } from '../../core/connector.ts';
import { identifierOf } from '../../core/delta.ts';
import { prepareIdentifiers, sha256Hex } from '../../core/identifiers.ts';
import { meta as standIn } from '../../sandbox/meta.ts';
import { type Sandbox, type SandboxPlatform, startSandbox } from '../../sandbox/server.ts';
import { connectorContract } from '../contracts/connector.ts';

connectorContract({
  connector: meta,
  standIn,
  settings: { ad_account_id: '1234567890', audience_prefix: 'sluice ' },
  wrongSecret: { access_token: 'expired-meta-token' },
  identifiers: ['email', 'phone', 'maid', 'external_id'],
  poison: (person) => ({ ...person, identifiers: [{ namespace: 'email', value: 'not-a-hash' }] }),
  exceptions: [
    { rule: 'a poison row is rejected alone', because: 'Meta counts invalid entries and never says which rows they were' },
    {
      rule: 'every row is answered while the platform refuses some',
      because: 'Meta counts invalid entries and never says which rows they were: all are accepted, unconfirmed',
    },
  ],
});

describe('meta', () => {
  const vips: ListSpec = {
    audience: 'vips',
    description: 'Very important',
    mode: 'mirror',
    destination: 'meta-eu',
    run: '01JD0000000000000000000000',
    tick: 0,
    identifiers: ['external_id', 'email', 'phone', 'first_name'],
    traits: [],
  };
  const hex = (digit: string): string => digit.repeat(64);
  const [a, b, c, p] = [hex('a'), hex('b'), hex('c'), hex('d')];
  const member = (texts: readonly string[], consent: Member['consent'] = null): Member => ({
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
    settings: meta.settings.parse({ ad_account_id: 'act_1234567890', ...over }),
    secret: secret as { access_token: string },
    endpoint: platform.endpoint,
    http: (request: HttpRequest) => {
      sent.push(request);
      return http(request);
    },
    now: Date.now,
  });
  const send = async (op: Op, members: readonly Member[], using = context(), id = '0123456789abcdef0123456789abcdef') => {
    const list = await meta.ensure(using, vips);
    const items = members.map((one) => ({ member: one, ...meta.encode(using, list, op, one) }));
    return meta.send(using, list, { op, items, id, sequence: 1 });
  };
  const held = (): string[] => [...(platform.held().get('vips') ?? [])].sort();
  const answering = (status: number, error: object, headers: Record<string, string> = {}) => ({
    ...context(),
    http: () => Promise.resolve({ status, headers, text: JSON.stringify({ error }) }),
  });

  beforeAll(async () => {
    sandbox = await startSandbox([standIn]);
    platform = sandbox.platform('meta');
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

  test('hashes the examples of the guide as the guide does', () => {
    const raw = ['email\u001f Mary@Example.com ', 'phone\u001f+1 (555) 987-6543'];
    expect(prepareIdentifiers(meta.namespaces, raw.slice(0, 1), 'US')[0]?.value).toMatch(/^f1904cf1[0-9a-f]{52}bb79$/);
    // The guide's number is not a valid one, so it is hashed without the check that would refuse it.
    expect(sha256Hex('15559876543')).toMatch(/^1ef97083[0-9a-f]{52}6a4e$/);
    expect(prepareIdentifiers(meta.namespaces, raw.slice(1), 'US')).toEqual([]);
  });

  test('writes names, places and dates as the table of hashing requirements says', () => {
    const written = (namespace: string, raw: string, country: string | null = 'US') =>
      meta.namespaces[namespace]?.normalise(raw, { country });
    expect(written('first_name', " O'Brien-Élodie ")).toBe('obrienélodie');
    expect(written('last_name', '정')).toBe('정');
    expect(written('city', 'St. Louis')).toBe('stlouis');
    expect(written('region', 'US-CA')).toBe('ca');
    expect(written('region', 'California')).toBeUndefined();
    expect(written('postal_code', '94035-1234')).toBe('94035');
    expect(written('postal_code', 'M1 1AE', 'GB')).toBe('m11');
    expect(written('country', 'us')).toBe('us');
    expect(written('gender', 'Female')).toBe('f');
    expect(written('gender', 'divers')).toBeUndefined();
    expect(written('birth_month', '3')).toBe('03');
    expect(written('maid', 'AB1234CD-E123-12FG-J123-123456789012')).toBeUndefined();
    expect(written('maid', 'AB1234CD-E123-12F0-A123-123456789012')).toBe('ab1234cd-e123-12f0-a123-123456789012');
  });

  test('sends several e-mail addresses as several rows, with the external id and the name in each', async () => {
    const outcomes = await send('upsert', [
      member([`external_id:c-1`, `email:${a}`, `email:${b}`, `phone:${p}`, `first_name:${c}`]),
    ]);
    expect(outcomes).toEqual([{ kind: 'accepted' }]);
    expect(JSON.parse(sent.at(-1)?.body ?? '')).toEqual({
      payload: {
        schema: ['EXTERN_ID', 'EMAIL', 'PHONE', 'FN'],
        data: [
          ['c-1', a, p, c],
          ['c-1', b, '', c],
        ],
      },
      session: { session_id: 0x0123456789abcde, batch_seq: 1, last_batch_flag: true, estimated_num_total: 2 },
    });
    expect(sent.at(-1)?.body).toContain(`"session_id":${0x0123456789abcden}`);
    expect(held()).toEqual([`email:${a}`, `email:${b}`, 'external_id:c-1', `phone:${p}`]);
  });

  test('a removal by one identifier takes the person of that row out, and the rest come back when they are sent again', async () => {
    await send('upsert', [member([`email:${a}`, `phone:${p}`])], context(), '1'.repeat(32));
    await send('remove', [member([`email:${a}`])], context(), '2'.repeat(32));
    expect(held()).toEqual([]);
    await send('upsert', [member([`email:${b}`, `phone:${p}`])], context(), '3'.repeat(32));
    expect(held()).toEqual([`email:${b}`, `phone:${p}`]);
  });

  test('removes an identifier that the sync no longer sends', async () => {
    await send('upsert', [member([`email:${a}`])], context(), '1'.repeat(32));
    await send('remove', [member([`email:${a}`, 'maid:c0ffee00-0000-4000-8000-000000000001'])], context(), '2'.repeat(32));
    expect(JSON.parse(sent.at(-1)?.body ?? '').payload).toEqual({
      schema: ['EXTERN_ID', 'EMAIL', 'PHONE', 'MADID'],
      data: [['', a, '', 'c0ffee00-0000-4000-8000-000000000001']],
    });
    expect(held()).toEqual([]);
  });

  test('a changed name alone needs no request to be taken back', async () => {
    const before = platform.requests().length;
    expect(await send('remove', [member([`first_name:${c}`])])).toEqual([{ kind: 'accepted' }]);
    expect(
      platform
        .requests()
        .slice(before)
        .filter((one) => one.method === 'DELETE'),
    ).toEqual([]);
  });

  test('flags people under an opt-out of the US for Limited Data Use, and nobody else', async () => {
    const under = (basis: 'opt-in' | 'opt-out', jurisdiction: string | null): Member['consent'] => ({
      purpose: 'ads',
      basis,
      jurisdiction,
    });
    const members = [
      member([`email:${a}`], under('opt-out', 'US-CA')),
      member([`email:${b}`], under('opt-out', 'US')),
      member([`email:${c}`], under('opt-in', 'DE')),
      member([`email:${p}`], under('opt-in', 'US')),
      member([`email:${p}`], { purpose: 'ads', basis: 'opt-out', jurisdiction: 'US', grant: 'granted' }),
    ];
    await send('upsert', members, context({ limited_data_use: true }));
    const { schema, data }: { schema: string[]; data: unknown[][] } = JSON.parse(sent.at(-1)?.body ?? '').payload;
    const options = ['DATA_PROCESSING_OPTIONS', 'DATA_PROCESSING_OPTIONS_COUNTRY', 'DATA_PROCESSING_OPTIONS_STATE'];
    expect(schema.slice(-3)).toEqual(options);
    expect(data.map((row) => row.slice(-3))).toEqual([
      [['LDU'], 1, 1000],
      [['LDU'], 1, 0],
      [[], 0, 0],
      [[], 0, 0],
      [[], 0, 0],
    ]);
    const [list] = [...platform.state<{ lists: Map<string, { limited: Set<string> }> }>().lists.values()];
    expect([...(list?.limited ?? [])]).toEqual([`email:${a}`, `email:${b}`]);
  });

  test('rejects the members when Meta says that every entry was invalid', async () => {
    const outcomes = await send('upsert', [member(['email:not-a-hash']), member(['email:neither'])]);
    expect(outcomes).toEqual([1, 2].map(() => ({ kind: 'rejected', reason: 'invalid-entries' })));
  });

  test('signs every call with the proof of the app secret, and a wrong one breaks the destination', async () => {
    await send('upsert', [member([`email:${a}`])]);
    const proof = createHmac('sha256', 'sandbox-meta-app-secret').update('sandbox-meta-token').digest('hex');
    for (const { url } of sent) expect(new URL(url).searchParams.get('appsecret_proof')).toBe(proof);
    const wrong = context({}, { ...standIn.secret, app_secret: 'of another app' });
    await expect(send('upsert', [member([`email:${a}`])], wrong)).rejects.toThrow('Meta answered with error 104 (HTTP 400).');
    // Without an app secret there is no proof to send.
    await send('upsert', [member([`email:${a}`])], context({}, { access_token: 'sandbox-meta-token' }), '9'.repeat(32));
    expect(sent.at(-1)?.url).not.toContain('appsecret_proof');
  });

  test('speaks the version of the settings, and says what to do when that has ended', async () => {
    await send('upsert', [member([`email:${a}`])], context({ api_version: 'v26.0' }));
    for (const { url } of sent) expect(url).toContain('/v26.0/');
    const ended = send('upsert', [member([`email:${a}`])], context({ api_version: 'v19.0' }));
    await expect(ended).rejects.toMatchObject({ name: 'DestinationBroken', wayOut: expect.stringContaining('api_version') });
  });

  test('reads the code in the body, not only the status', async () => {
    const list = { id: '1', columns: 'email' };
    const items = [{ member: member([`email:${a}`]), text: `["${a}"]`, rows: 1 }];
    const batch = { op: 'upsert', items, id: '0'.repeat(32), sequence: 1 } as const;
    const thrown = (using: ReturnType<typeof context>): Promise<unknown> =>
      meta.send(using, list, batch).then(String, (error: unknown) => error);
    for (const code of [1, 2, 341, 2650, 21009]) {
      expect(await thrown(answering(400, { code, message: 'canary@example.com' }))).toMatchObject({
        name: 'TryAgain',
        throttled: false,
      });
    }
    for (const code of [4, 17, 613, 80003]) {
      expect(await thrown(answering(400, { code }))).toMatchObject({
        name: 'TryAgain',
        throttled: true,
        afterMs: 60_000,
        ambiguous: false,
      });
    }
    expect(await thrown(answering(200, { code: 99, is_transient: true }))).toMatchObject({ name: 'TryAgain' });
    expect(await thrown(answering(400, { code: 368 }))).toMatchObject({ name: 'TryAgain', afterMs: 3_600_000 });
    for (const code of [10, 100, 190, 200, 278, 294, 2635]) {
      expect(await thrown(answering(400, { code }))).toMatchObject({ name: 'DestinationBroken' });
    }
    expect(await thrown(answering(400, { code: 200, error_subcode: 1870090 }))).toMatchObject({
      wayOut: expect.stringContaining('terms'),
    });
    expect(await thrown(answering(400, { code: 3, error_subcode: 7 }))).toMatchObject({
      name: 'RowsRefused',
      reason: 'meta-3-7',
    });
    expect(await thrown(answering(413, { code: 100 }))).toMatchObject({ name: 'RowsRefused', reason: 'http-413' });
  });

  test('waits as long as the usage header says', async () => {
    const usage = { act: [{ type: 'custom_audience', estimated_time_to_regain_access: 7 }, { type: 'ads_management' }] };
    const using = answering(400, { code: 80003 }, { 'x-business-use-case-usage': JSON.stringify(usage) });
    await expect(meta.size?.(using, { id: '1' })).rejects.toMatchObject({ afterMs: 420_000 });
  });

  test('never shares the session of two requests, and sending one again is counted once', async () => {
    await send('upsert', [member([`email:${a}`])], context(), `aaaa${'0'.repeat(28)}`);
    await send('upsert', [member([`email:${b}`])], context(), `bbbb${'0'.repeat(28)}`);
    await send('upsert', [member([`email:${b}`])], context(), `bbbb${'0'.repeat(28)}`);
    const { sessions } = platform.state<{ sessions: Map<string, { received: number; closed: boolean }> }>();
    expect([...sessions.values()].map((one) => [one.received, one.closed])).toEqual([
      [1, true],
      [1, true],
    ]);
  });
});
