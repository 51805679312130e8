import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createHttp } from '../../connectors/http.ts';
import { klaviyo } from '../../connectors/klaviyo.ts';
import {
  type Context,
  DestinationBroken,
  type ListSpec,
  type Member,
  type Outcome,
  RowsRefused,
  TryAgain,
} from '../../core/connector.ts';
import { klaviyo as standIn } from '../../sandbox/klaviyo.ts';
import { type SandboxPlatform, startSandbox } from '../../sandbox/server.ts';
import { connectorContract } from '../contracts/connector.ts';
import { batchOf, failureOf, member, scripted, type ScriptedReply } from './scripted-server.ts';

connectorContract({
  connector: klaviyo,
  standIn,
  settings: {},
  identifiers: ['external_id', 'email'],
  wrongSecret: { api_key: 'pk_wrong_key' },
  traits: { first_name: 'Canary', ltv_band: 'gold', visits: 3, favourite: null },
  poison: (person) => ({
    ...person,
    identifiers: [...person.identifiers.slice(0, 1), { namespace: 'email', value: 'canary at example' }],
  }),
  exceptions: [
    { rule: 'terms not accepted break the destination, with a way out', because: 'Klaviyo has no terms to accept by API' },
    {
      rule: 'quota spent until tomorrow is tried again later, or breaks the destination',
      because: 'Klaviyo limits a day only for making lists, which is tested below',
    },
  ],
});

const SECRET = { api_key: 'pk_sandbox_klaviyo' };
const LIST = { id: 'Y6nRLr' };
const SPEC: ListSpec = {
  audience: 'vips',
  description: '',
  mode: 'mirror',
  destination: 'klaviyo-eu',
  run: '01JD0000000000000000000000',
  tick: 0,
  identifiers: ['email'],
  traits: [],
};
const parse = (settings: Record<string, unknown> = {}) => klaviyo.settings.parse(settings);
type KlaviyoContext = Context<ReturnType<typeof parse>, typeof SECRET>;

const script = (replies: readonly ScriptedReply[], settings: Record<string, unknown> = {}) => ({
  settings: parse(settings),
  secret: SECRET,
  replies,
});
const nobody: Member = { ...member('none'), identifiers: [] };
/** A member without a key between those with one: rows of the request are not rows of the batch. */
const three = [member('c-1', { email: 'a@example.com' }), nobody, member('c-2'), member('c-3')];
const JOB = { kind: 'job', id: 'J1', afterMs: 1_001 } as const;
const job = (status: string, failed_count = 0) => ({
  status: 200,
  body: { data: { type: 'profile-bulk-import-job', id: 'J1', attributes: { status, failed_count } } },
});
const importError = (source: object, original_payload?: object, code = 'invalid') => ({
  type: 'import-error',
  id: 'e',
  attributes: { code, title: 'Invalid input.', detail: 'canary@example.com is odd', source, original_payload },
});
const refusal = (status: number, error: object) => ({
  status,
  body: { errors: [{ id: 'e', status, title: 'x', detail: 'x', ...error }] },
});
const polling = (replies: readonly ScriptedReply[]) =>
  scripted(script(replies), async (context, seen) => {
    const answer = klaviyo.poll?.(context, LIST, JOB, batchOf(klaviyo, context, LIST, 'upsert', three));
    const error = await failureOf(Promise.resolve(answer));
    return { seen, error, answer: error === undefined ? await answer : undefined };
  });
const importing = (reply: ScriptedReply) =>
  scripted(script([reply]), (context) =>
    failureOf(klaviyo.send(context, LIST, batchOf(klaviyo, context, LIST, 'upsert', three))),
  );

describe('klaviyo imports', () => {
  test('profiles onto the list in one job, under the revision it was written for', async () => {
    const reply = { status: 202, body: { data: { type: 'profile-bulk-import-job', id: 'J1' } } };
    await scripted(script([reply]), async (context, seen) => {
      const traits = { first_name: 'A', last_name: null, tier: 'gold', note: null };
      const members = [member('c-1', { email: 'a@example.com', phone: '+14155550101' }, traits), nobody, member('c-2')];
      expect(await klaviyo.send(context, LIST, batchOf(klaviyo, context, LIST, 'upsert', members))).toEqual(JOB);
      expect(seen).toMatchObject([
        {
          method: 'POST',
          path: '/api/profile-bulk-import-jobs',
          headers: {
            authorization: 'Klaviyo-API-Key pk_sandbox_klaviyo',
            revision: '2026-07-15',
            'content-type': 'application/vnd.api+json',
          },
        },
      ]);
      expect(seen[0]?.body).toEqual({
        data: {
          type: 'profile-bulk-import-job',
          attributes: {
            profiles: {
              data: [
                {
                  type: 'profile',
                  attributes: {
                    first_name: 'A',
                    external_id: 'c-1',
                    email: 'a@example.com',
                    phone_number: '+14155550101',
                    properties: { tier: 'gold' },
                  },
                  meta: { patch_properties: { unset: ['note'] } },
                },
                { type: 'profile', attributes: { external_id: 'c-2' } },
              ],
            },
          },
          relationships: { lists: { data: [{ type: 'list', id: 'Y6nRLr' }] } },
        },
      });
    });
  });

  test.each(['queued', 'processing'])('a job that is %s is asked again later', async (status) => {
    const { answer, seen } = await polling([job(status)]);
    expect(answer).toEqual({ ...JOB, afterMs: 3_000 });
    expect(seen[0]?.path).toBe('/api/profile-bulk-import-jobs/J1?fields[profile-bulk-import-job]=status,failed_count');
  });

  test('a complete job without failures delivers everybody and asks for no errors', async () => {
    const { answer, seen } = await polling([job('complete')]);
    expect(answer).toEqual([
      { kind: 'delivered' },
      { kind: 'rejected', reason: 'no-external-id' },
      { kind: 'delivered' },
      { kind: 'delivered' },
    ]);
    expect(seen).toHaveLength(1);
  });

  test('import errors reach their members by pointer or by payload, over several pages, following no link to another host', async () => {
    const { answer, seen } = await polling([
      job('complete', 2),
      {
        status: 200,
        body: {
          data: [importError({ pointer: '/data/attributes/profiles/data/2/attributes/phone_number' })],
          links: { self: 'x', next: 'https://elsewhere.example/api/x?page[cursor]=two%26' },
        },
      },
      {
        status: 200,
        body: { data: [importError({ pointer: '/data' }, { external_id: 'c-1' }, 'duplicate_profile')], links: { next: null } },
      },
    ]);
    expect(answer).toEqual([
      { kind: 'rejected', reason: 'duplicate_profile' },
      { kind: 'rejected', reason: 'no-external-id' },
      { kind: 'delivered' },
      { kind: 'rejected', reason: 'invalid:phone_number' },
    ]);
    expect(seen.slice(1).map(({ path }) => path)).toEqual([
      '/api/profile-bulk-import-jobs/J1/import-errors?page[size]=100',
      '/api/profile-bulk-import-jobs/J1/import-errors?page[size]=100&page[cursor]=two%26',
    ]);
  });

  test('a failed row that no error points at is left to halving, the others are named', async () => {
    const data = [
      importError({ pointer: '/data/attributes/profiles/data/0/attributes/email' }),
      importError({ pointer: '/data' }),
    ];
    const { error } = await polling([job('complete', 2), { status: 200, body: { data } }]);
    expect(error).toBeInstanceOf(RowsRefused);
    expect((error as RowsRefused).rows).toEqual([{ index: 0, reason: 'invalid:email' }]);
    const alone = await polling([job('complete', 1), { status: 200, body: { data: [] } }]);
    expect(alone.error).toMatchObject({ reason: 'import-failed', rows: [] });
  });

  test.each([
    ['cancelled', job('cancelled'), 'job-cancelled'],
    ['gone', refusal(404, { code: 'not_found' }), 'job-gone'],
  ])('a job that is %s is done over', async (_what, reply, reason) => {
    const { answer } = await polling([reply]);
    const again = { kind: 'retry', reason };
    expect(answer).toEqual([again, { kind: 'rejected', reason: 'no-external-id' }, again, again]);
  });

  test('a refusal that points at rows names them, so that the rest is sent at once', async () => {
    const error = await importing(
      refusal(400, { code: 'invalid', source: { pointer: '/data/attributes/profiles/data/1/attributes/email' } }),
    );
    expect(error).toBeInstanceOf(RowsRefused);
    expect((error as RowsRefused).rows).toEqual([{ index: 2, reason: 'invalid:email' }]);
  });

  test.each([
    ['/data', 'List ID Y6nRLr does not exist.'],
    ['/data/relationships/lists/data/0/id', 'List relationship is invalid.'],
  ])('a list that is gone (pointer %s) breaks the destination', async (pointer, detail) => {
    expect(await importing(refusal(400, { code: 'invalid', detail, source: { pointer } }))).toBeInstanceOf(DestinationBroken);
  });

  test('a refusal that points nowhere is left to halving; a key of another kind breaks the destination', async () => {
    expect(await importing(refusal(400, { code: 'invalid', source: { pointer: '/data' } }))).toMatchObject({
      reason: 'invalid',
      rows: [],
    });
    expect(await importing(refusal(400, { code: 'authentication_failed' }))).toBeInstanceOf(DestinationBroken);
  });

  test('a 429 says when to come back', async () => {
    const reply = { ...refusal(429, { code: 'throttled' }), headers: { 'retry-after': '9' } };
    expect(await importing(reply)).toMatchObject({ throttled: true, afterMs: 9_000 });
  });

  test('a profile over 100 KB is rejected, its neighbours are sent', async () => {
    await scripted(script([{ status: 202, body: { data: { id: 'J1' } } }, job('complete')]), async (context, seen) => {
      const batch = batchOf(klaviyo, context, LIST, 'upsert', [member('c-1', {}, { note: 'x'.repeat(100_000) }), member('c-2')]);
      await klaviyo.send(context, LIST, batch);
      expect(JSON.stringify(seen[0]?.body)).not.toContain('c-1');
      expect(await klaviyo.poll?.(context, LIST, JOB, batch)).toEqual([
        { kind: 'rejected', reason: 'profile-too-large' },
        { kind: 'delivered' },
      ]);
    });
  });
});

const found = (...profiles: readonly (readonly [id: string, external: string, email?: string])[]) => ({
  status: 200,
  body: {
    data: profiles.map(([id, external_id, email]) => ({
      type: 'profile',
      id,
      attributes: { external_id, email: email ?? null },
    })),
  },
});
const removal = (context: KlaviyoContext, members: readonly Member[], batch = 'b'.repeat(32)) =>
  klaviyo.send(context, LIST, batchOf(klaviyo, context, LIST, 'remove', members, batch));

describe('klaviyo removes', () => {
  test('by profile id, looked up first, everybody in one call; who is not at Klaviyo is off the list already', async () => {
    await scripted(script([found(['P1', 'c-1'], ['P3', 'c-3']), { status: 204 }]), async (context, seen) => {
      expect(await removal(context, three)).toEqual([
        { kind: 'delivered' },
        { kind: 'rejected', reason: 'no-external-id' },
        { kind: 'delivered' },
        { kind: 'delivered' },
      ]);
      const filter = encodeURIComponent('any(external_id,["c-1","c-2","c-3"])');
      expect(seen.map(({ method, path, body }) => [method, path, body])).toEqual([
        ['GET', `/api/profiles?filter=${filter}&fields[profile]=external_id,email&page[size]=100`, undefined],
        [
          'DELETE',
          '/api/lists/Y6nRLr/relationships/profiles',
          {
            data: [
              { type: 'profile', id: 'P1' },
              { type: 'profile', id: 'P3' },
            ],
          },
        ],
      ]);
    });
  });

  test('1,000 people with eleven requests', async () => {
    const people = Array.from({ length: 1_000 }, (_, n) => member(`c-${n}`));
    const replies = Array.from({ length: 10 }, (_, n) => found([`P${n}`, `c-${n * 100}`]));
    await scripted(script([...replies, { status: 204 }]), async (context, seen) => {
      expect(await removal(context, people)).toHaveLength(1_000);
      expect(seen).toHaveLength(11);
    });
  });

  test('long ids in look-ups that fit a URL', async () => {
    const people = Array.from({ length: 40 }, (_, n) => member(`${'😀'.repeat(60)}${n}`));
    const replies = Array.from({ length: 5 }, () => found());
    await scripted(script(replies), async (context, seen) => {
      await removal(context, people);
      for (const { path } of seen) expect(path.length).toBeLessThan(8_000);
    });
  });

  test('a removal that was throttled half way asks for nobody twice; the next batch asks again', async () => {
    const throttled = { ...refusal(429, { code: 'throttled' }), headers: { 'retry-after': '1' } };
    const replies = [found(['P1', 'c-1']), throttled, { status: 204 }, found(['P2', 'c-1']), { status: 204 }];
    await scripted(script(replies), async (context, seen) => {
      expect(await failureOf(removal(context, [member('c-1')], '1'.repeat(32)))).toBeInstanceOf(TryAgain);
      await removal(context, [member('c-1')], '1'.repeat(32));
      await removal(context, [member('c-1')], '2'.repeat(32));
      expect(seen.map(({ method }) => method)).toEqual(['GET', 'DELETE', 'DELETE', 'GET', 'DELETE']);
      expect(seen[4]?.body).toEqual({ data: [{ type: 'profile', id: 'P2' }] });
    });
  });

  test('a profile that vanished after its look-up is looked up again; a list that is gone breaks the destination', async () => {
    const list = { status: 200, body: { data: { id: 'Y6nRLr', attributes: { name: 'x' } } } };
    const gone = refusal(404, { code: 'not_found' });
    await scripted(script([found(['P1', 'c-1']), gone, list, found()]), async (context) => {
      expect(await failureOf(removal(context, [member('c-1')]))).toBeInstanceOf(TryAgain);
      expect(await removal(context, [member('c-1')])).toEqual([{ kind: 'delivered' }]);
    });
    await scripted(script([found(['P1', 'c-1']), gone, gone]), async (context) => {
      expect(await failureOf(removal(context, [member('c-1')]))).toBeInstanceOf(DestinationBroken);
    });
  });

  test('and suppresses only where the settings say so, the address the profile has now', async () => {
    const replies = [found(['P1', 'c-1', 'now@example.com'], ['P2', 'c-2']), { status: 204 }, { status: 202, body: {} }];
    await scripted(script(replies, { on_remove: 'suppress' }), async (context, seen) => {
      expect(await removal(context, [member('c-1'), member('c-2')])).toEqual([{ kind: 'accepted' }, { kind: 'delivered' }]);
      expect(seen[2]).toMatchObject({
        method: 'POST',
        path: '/api/profile-suppression-bulk-create-jobs',
        body: {
          data: {
            type: 'profile-suppression-bulk-create-job',
            attributes: { profiles: { data: [{ type: 'profile', attributes: { email: 'now@example.com' } }] } },
          },
        },
      });
    });
  });
});

interface State {
  readonly profiles: Map<string, { email?: string | null; properties: Map<string, unknown>; fields: Map<string, unknown> }>;
  readonly suppressed: Set<string>;
  readonly unsubscribed: Set<string>;
  readonly subscribed: Map<string, string>;
}

const withSandbox = async <T>(
  given: { readonly settings?: Record<string, unknown>; readonly secret?: typeof SECRET },
  use: (
    context: KlaviyoContext,
    platform: SandboxPlatform,
    upsert: (...members: Member[]) => Promise<readonly Outcome[]>,
  ) => Promise<T>,
): Promise<T> => {
  const sandbox = await startSandbox([standIn], { windows: { klaviyo: [{ requests: 1_000, seconds: 1 }] } });
  const platform = sandbox.platform('klaviyo');
  const http = createHttp({ endpoint: platform.endpoint });
  const context = {
    settings: parse(given.settings),
    secret: given.secret ?? SECRET,
    endpoint: platform.endpoint,
    http,
    now: Date.now,
  };
  const upsert = async (...members: Member[]): Promise<readonly Outcome[]> => {
    const list = await klaviyo.ensure(context, SPEC);
    const batch = batchOf(klaviyo, context, list, 'upsert', members);
    let answer = await klaviyo.send(context, list, batch);
    while ('kind' in answer) {
      await sleep(20);
      answer = (await klaviyo.poll?.(context, list, answer, batch)) ?? [];
    }
    return answer;
  };
  try {
    return await use(context, platform, upsert);
  } finally {
    await http.close();
    await sandbox.close();
  }
};

describe('klaviyo over its stand-in', () => {
  test.each(['leave-list', 'suppress'])('nobody is ever unsubscribed (%s)', async (on_remove) => {
    await withSandbox({ settings: { on_remove } }, async (context, platform, upsert) => {
      const members = [member('c-1', { email: 'a@example.com' }), member('c-2', { email: 'b@example.com' })];
      await upsert(...members);
      const list = await klaviyo.ensure(context, SPEC);
      await klaviyo.send(context, list, batchOf(klaviyo, context, list, 'remove', members.slice(0, 1)));
      await klaviyo.erase?.(context, members.slice(1));
      const { suppressed, unsubscribed } = platform.state<State>();
      expect([...unsubscribed]).toEqual([]);
      expect([...suppressed]).toEqual(on_remove === 'suppress' ? ['a@example.com'] : []);
      expect(platform.requests().filter(({ route }) => route.includes('subscription'))).toEqual([]);
    });
  });

  test('subscribes whose decision rests on a grant, as of when they granted it, and nobody else', async () => {
    const at = Date.parse('2026-05-01T00:00:00Z');
    const under = { purpose: 'mail', basis: 'opt-out', jurisdiction: 'US' } as const;
    const consent = { ...under, grant: 'granted' } as const;
    const members = [
      { ...member('c-1', { email: 'a@example.com' }), consent, granted: at },
      // Has only not refused.
      { ...member('c-2', { email: 'b@example.com' }), consent: under },
      { ...member('c-3'), consent, granted: at },
      // Refused by Klaviyo, so not there to be subscribed.
      { ...member('c-4', { email: 'a@example.com' }), consent, granted: at },
    ];
    const seen = async (settings: Record<string, unknown>) =>
      withSandbox({ settings }, async (_context, platform, upsert) => {
        await upsert(...members);
        return [...platform.state<State>().subscribed];
      });
    expect(await seen({ subscribe_email: true })).toEqual([['a@example.com', '2026-05-01T00:00:00.000Z']]);
    expect(await seen({})).toEqual([]);
  });

  test('subscribes a thousand a request', async () => {
    const consent = { purpose: 'mail', basis: 'opt-in', jurisdiction: 'DE', grant: 'granted' } as const;
    const members = Array.from({ length: 1_001 }, (_, n) => ({
      ...member(`c-${n}`, { email: `${n}@example.com` }),
      consent,
      granted: 1,
    }));
    await withSandbox({ settings: { subscribe_email: true } }, async (_context, platform, upsert) => {
      await upsert(...members);
      expect(platform.state<State>().subscribed.size).toBe(1_001);
      expect(platform.requests().filter(({ route }) => route.includes('subscription')).length).toBe(2);
    });
  });

  test('suppresses only who is removed for want of consent, where the settings say so', async () => {
    await withSandbox({ settings: { on_remove: 'suppress-withdrawn' } }, async (context, platform, upsert) => {
      const members = [member('c-1', { email: 'a@example.com' }), member('c-2', { email: 'b@example.com' })];
      await upsert(...members);
      const list = await klaviyo.ensure(context, SPEC);
      const leaving = [
        { ...member('c-1'), consent: null, withdrawn: true as const },
        { ...member('c-2'), consent: null },
      ];
      await klaviyo.send(context, list, batchOf(klaviyo, context, list, 'remove', leaving));
      expect([...platform.state<State>().suppressed]).toEqual(['a@example.com']);
      expect([...(platform.held().get('sluice vips') ?? [])]).toEqual([]);
    });
  });

  test('an empty trait takes the property away; an empty field of the profile stays, because an import cannot clear it', async () => {
    await withSandbox({}, async (_context, platform, upsert) => {
      await upsert(member('c-1', {}, { tier: 'gold', first_name: 'A' }));
      await upsert(member('c-1', {}, { tier: null, first_name: null }));
      const [profile] = platform.state<State>().profiles.values();
      expect([...(profile?.properties ?? [])]).toEqual([]);
      expect([...(profile?.fields ?? [])]).toEqual([['first_name', 'A']]);
    });
  });

  test('a household address belongs to one profile: the second member is rejected, and erasing one spares the other', async () => {
    await withSandbox({}, async (context, platform, upsert) => {
      const shared = { email: 'home@example.com' };
      expect(await upsert(member('c-1', shared), member('c-2', shared), member('c-3'))).toEqual([
        { kind: 'delivered' },
        { kind: 'rejected', reason: 'duplicate_profile:email' },
        { kind: 'delivered' },
      ]);
      expect(await klaviyo.erase?.(context, [member('c-2', shared)])).toEqual([{ kind: 'delivered' }]);
      expect(await klaviyo.erase?.(context, [member('c-3')])).toEqual([{ kind: 'accepted' }]);
      expect([...(platform.held().get('sluice vips') ?? [])]).toEqual(['c-1']);
    });
  });

  test('a key that may not erase or suppress breaks only that, with a way out', async () => {
    const given = { settings: { on_remove: 'suppress' }, secret: { api_key: 'pk_sandbox_klaviyo_lists' } };
    await withSandbox(given, async (context, _platform, upsert) => {
      const one = member('c-1', { email: 'a@example.com' });
      expect(await upsert(one)).toEqual([{ kind: 'delivered' }]);
      const list = await klaviyo.ensure(context, SPEC);
      for (const run of [
        () => klaviyo.erase?.(context, [one]),
        () => klaviyo.send(context, list, batchOf(klaviyo, context, list, 'remove', [one])),
      ]) {
        const error = await failureOf(Promise.resolve(run()));
        expect(error).toBeInstanceOf(DestinationBroken);
        expect((error as DestinationBroken).wayOut).toContain('data-privacy:write');
      }
    });
  });

  test('says how many profiles the list holds', async () => {
    await withSandbox({}, async (context, _platform, upsert) => {
      await upsert(member('c-1'), member('c-2'));
      expect(await klaviyo.size?.(context, await klaviyo.ensure(context, SPEC))).toBe(2);
    });
  });
});

test('klaviyo asks everybody to wait when its minute is used up, and only then', () => {
  const after = (headers: Record<string, string>) => klaviyo.headroom?.({ status: 200, text: '', headers })?.waitMs;
  expect(after({ 'ratelimit-remaining': '0', 'ratelimit-reset': '12' })).toBe(12_000);
  expect(after({ 'ratelimit-remaining': '3', 'ratelimit-reset': '12' })).toBeUndefined();
  expect(after({ 'ratelimit-remaining': '0' })).toBeUndefined();
});

describe('klaviyo makes lists', () => {
  const lists = (...names: readonly string[]) => ({
    status: 200,
    body: { data: names.map((name, n) => ({ type: 'list', id: `L${n}`, attributes: { name } })) },
  });

  test('under the prefix and the name of the audience, once', async () => {
    const made = { status: 201, body: { data: { type: 'list', id: 'L9' } } };
    await scripted(script([lists('Sluice vips'), made, lists('Sluice vips', 'sluice vips')]), async (context, seen) => {
      expect(await klaviyo.ensure(context, SPEC)).toEqual({ id: 'L9' });
      expect(await klaviyo.ensure(context, SPEC)).toEqual({ id: 'L1' });
      const filter = encodeURIComponent('equals(name,"sluice vips")');
      expect(seen[0]?.path).toBe(`/api/lists?filter=${filter}&fields[list]=name&sort=created`);
      expect(seen[1]?.body).toEqual({ data: { type: 'list', attributes: { name: 'sluice vips' } } });
    });
  });

  test('150 a day: the 151st waits as long as Klaviyo says', async () => {
    const spent = { ...refusal(429, { code: 'throttled' }), headers: { 'retry-after': '40000' } };
    await scripted(script([lists(), spent]), async (context) => {
      expect(await failureOf(klaviyo.ensure(context, SPEC))).toMatchObject({ throttled: true, afterMs: 40_000_000 });
    });
  });

  test('and breaks the destination when the list it knows is gone, rather than making an empty one', async () => {
    await scripted(script([refusal(404, { code: 'not_found' })]), async (context, seen) => {
      expect(await failureOf(klaviyo.ensure(context, { ...SPEC, known: { id: 'L1' } }))).toBeInstanceOf(DestinationBroken);
      expect(seen.map(({ path }) => path)).toEqual(['/api/lists/L1?fields[list]=name']);
    });
  });

  test('not for traits that Klaviyo keeps for itself', async () => {
    await scripted(script([]), async (context) => {
      const error = await failureOf(klaviyo.ensure(context, { ...SPEC, traits: ['tier', '$consent', 'email'] }));
      expect((error as DestinationBroken).message).toBe(
        'Klaviyo keeps $consent, email for itself, so "vips" cannot send it as a trait.',
      );
    });
  });
});
