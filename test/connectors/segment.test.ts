import { describe, expect, test } from 'vitest';
import { createHttp } from '../../connectors/http.ts';
import { segment } from '../../connectors/segment.ts';
import { type Context, DestinationBroken, type ListSpec, RowsRefused, TryAgain } from '../../core/connector.ts';
import { segment as standIn } from '../../sandbox/segment.ts';
import { type SandboxPlatform, startSandbox } from '../../sandbox/server.ts';
import { connectorContract } from '../contracts/connector.ts';
import { batchOf, failureOf, member, scripted, type ScriptedReply } from './scripted-server.ts';

const SETTINGS = { region: 'eu', source_id: 'sandboxHttpSource' };
const SECRET = { write_key: 'sandbox-segment-write-key', api_token: 'sandbox-segment-api-token' };

connectorContract({
  connector: segment,
  standIn,
  settings: SETTINGS,
  // The smallest events: 2,500 of anything larger are over the 500 KB that a batch may have.
  identifiers: ['external_id'],
  wrongSecret: { write_key: 'wrong-write-key', api_token: 'wrong-api-token' },
  poison: (person) => ({ ...person, traits: { note: 'x'.repeat(33_000) } }),
  exceptions: [
    {
      rule: 'every row is answered while the platform refuses some',
      because: 'Segment answers 200 and never says which rows it dropped; outcomes are `accepted` for that reason',
    },
    {
      rule: 'a deleted list breaks the destination, with a way out',
      because: 'Segment answers 200 for a source that is gone; it is looked at before every delivery, which is tested below',
    },
    { rule: 'terms not accepted break the destination, with a way out', because: 'Segment has no terms to accept by API' },
    {
      rule: 'quota spent until tomorrow is tried again later, or breaks the destination',
      because: 'Segment bills what is over the plan and refuses nothing',
    },
    { rule: 'says how many the list holds', because: 'Segment has no call that counts the users with a trait' },
  ],
});

const parse = (settings: Record<string, unknown> = {}) => segment.settings.parse({ ...SETTINGS, ...settings });
const SPEC: ListSpec = {
  audience: 'vips',
  description: '',
  mode: 'mirror',
  destination: 'segment-eu',
  run: '01JD0000000000000000000000',
  tick: Date.parse('2026-11-22T06:00:00Z'),
  identifiers: ['external_id'],
  traits: [],
};
const LIST = { id: 'sluice_vips', destination: 'segment-eu', run: SPEC.run, at: '2026-11-22T06:00:00.000Z' };

const script = (replies: readonly ScriptedReply[], settings: Record<string, unknown> = {}) => ({
  settings: parse(settings),
  secret: SECRET,
  replies,
  now: 1_800_000_000_000,
});
const SUCCESS = { status: 200, body: { success: true } };

const withSandbox = async <T>(
  secret: { write_key: string; api_token?: string },
  use: (context: Context<ReturnType<typeof parse>, typeof secret>, platform: SandboxPlatform) => Promise<T>,
): Promise<T> => {
  const sandbox = await startSandbox([standIn]);
  const platform = sandbox.platform('segment');
  const http = createHttp({ endpoint: platform.endpoint });
  try {
    return await use({ settings: parse(), secret, endpoint: platform.endpoint, http, now: Date.now }, platform);
  } finally {
    await http.close();
    await sandbox.close();
  }
};

describe('segment sends', () => {
  test('an identify call a member, the audience as one boolean trait', async () => {
    const settings = { integrations: { All: false, Braze: true } };
    await scripted(script([SUCCESS, SUCCESS], settings), async (context, seen) => {
      const joining = member('c-1', { email: 'a@example.com', phone: '+14155550101' }, { tier: 'gold', note: null });
      await segment.send(context, LIST, batchOf(segment, context, LIST, 'upsert', [joining]));
      await segment.send(context, LIST, batchOf(segment, context, LIST, 'remove', [member('c-2')]));
      expect(seen.map(({ method, path, headers }) => [method, path, headers.authorization])).toEqual(
        Array.from({ length: 2 }, () => ['POST', '/v1/batch', 'Basic c2FuZGJveC1zZWdtZW50LXdyaXRlLWtleTo=']),
      );
      const common = {
        type: 'identify',
        messageId: expect.stringMatching(/^sluice-[0-9a-f]{32}$/),
        timestamp: LIST.at,
        ...settings,
      };
      expect(seen.map(({ body }) => body)).toEqual([
        {
          batch: [
            {
              ...common,
              userId: 'c-1',
              traits: { tier: 'gold', note: null, email: 'a@example.com', phone: '+14155550101', sluice_vips: true },
            },
          ],
          sentAt: '2027-01-15T08:00:00.000Z',
        },
        { batch: [{ ...common, userId: 'c-2', traits: { sluice_vips: false } }], sentAt: '2027-01-15T08:00:00.000Z' },
      ]);
    });
  });

  test('to the host of the region, which has to be said', () => {
    expect(segment.settings.safeParse({}).success).toBe(false);
    expect(segment.endpoint(parse({ region: 'eu' }))).toBe('https://events.eu1.segmentapis.com');
    expect(segment.endpoint(parse({ region: 'us' }))).toBe('https://api.segment.io');
  });

  test('the same message id for the same message, in whatever batch; another for every other run, member, operation, destination and content', async () => {
    await scripted(script([]), (context) => {
      const idOf = (list: typeof LIST, op: 'upsert' | 'remove', id: string, traits = {}) =>
        (JSON.parse(segment.encode(context, list, op, member(id, {}, traits)).text) as { messageId: string }).messageId;
      const first = idOf(LIST, 'upsert', 'c-1');
      expect(idOf(LIST, 'upsert', 'c-1')).toBe(first);
      const others = [
        idOf({ ...LIST, run: '01JD0000000000000000000001' }, 'upsert', 'c-1'),
        idOf({ ...LIST, destination: 'segment-us' }, 'upsert', 'c-1'),
        idOf({ ...LIST, id: 'sluice_others' }, 'upsert', 'c-1'),
        idOf(LIST, 'remove', 'c-1'),
        idOf(LIST, 'upsert', 'c-2'),
        idOf(LIST, 'upsert', 'c-1', { tier: 'gold' }),
      ];
      expect(new Set([first, ...others]).size).toBe(7);
      for (const id of [first, ...others]) expect(id.length).toBeLessThan(100);
      return Promise.resolve();
    });
  });

  test('a resend after a lost answer counts once, even when the batch was cut differently', async () => {
    await withSandbox(SECRET, async (context, platform) => {
      const send = (...ids: string[]) =>
        segment.send(
          context,
          LIST,
          batchOf(
            segment,
            context,
            LIST,
            'upsert',
            ids.map((id) => member(id)),
          ),
        );
      await send('c-1', 'c-2', 'c-3');
      await send('c-1');
      await send('c-2', 'c-3');
      const state = platform.state<{ dropped: Map<string, number> }>();
      expect([...state.dropped]).toEqual([['duplicate', 3]]);
      expect([...(platform.held().get('sluice_vips') ?? [])]).toEqual(['c-1', 'c-2', 'c-3']);
    });
  });

  test('regulations for erasures, 5,000 user ids a request', async () => {
    const people = Array.from({ length: 5_001 }, (_, n) => member(`c-${n}`));
    const done = { status: 200, body: { data: { regulateId: 'r' } } };
    await scripted(script([done, done]), async (context, seen) => {
      const outcomes = await segment.erase?.(context, [...people, { ...member('x'), identifiers: [] }]);
      expect(outcomes).toEqual([...people.map(() => ({ kind: 'accepted' })), { kind: 'rejected', reason: 'no-external-id' }]);
      expect(
        seen.map(({ path, headers, body }) => [
          path,
          headers.authorization,
          (body as { subjectIds: string[] }).subjectIds.length,
        ]),
      ).toEqual([
        ['/regulations', 'Bearer sandbox-segment-api-token', 5_000],
        ['/regulations', 'Bearer sandbox-segment-api-token', 1],
      ]);
      expect(seen[1]?.body).toEqual({ regulationType: 'SUPPRESS_WITH_DELETE', subjectType: 'USER_ID', subjectIds: ['c-5000'] });
    });
  });
});

describe('segment refuses by itself what the API would drop without a word', () => {
  test('an event of 32 KB is rejected, its neighbours are sent', async () => {
    await withSandbox(SECRET, async (context, platform) => {
      const members = [member('c-1'), member('c-2', {}, { note: '😀'.repeat(8_000) }), member('c-3')];
      expect(await segment.send(context, LIST, batchOf(segment, context, LIST, 'upsert', members))).toEqual([
        { kind: 'accepted' },
        { kind: 'rejected', reason: 'event-too-large' },
        { kind: 'accepted' },
      ]);
      expect([...(platform.held().get('sluice_vips') ?? [])]).toEqual(['c-1', 'c-3']);
    });
  });

  test('2,501 events are not sent', async () => {
    await scripted(script([]), async (context) => {
      const members = Array.from({ length: 2_501 }, (_, n) => member(`c-${n}`));
      const error = await failureOf(segment.send(context, LIST, batchOf(segment, context, LIST, 'upsert', members)));
      expect(error).toMatchObject({ reason: 'too-many-events', rows: [] });
      expect(error).toBeInstanceOf(RowsRefused);
    });
  });

  test.each([
    ['a write key of another source', { ...SECRET, write_key: 'other' }, SETTINGS.source_id, 'is not one of the Segment source'],
    ['a token of another region or workspace', { ...SECRET, api_token: 'other' }, SETTINGS.source_id, 'HTTP 401'],
    ['a source that is not there', SECRET, 'other', 'has no source other'],
  ])('%s breaks the destination before the first event', async (_what, secret, source_id, message) => {
    await withSandbox(secret, async (context, platform) => {
      const error = await failureOf(segment.ensure({ ...context, settings: parse({ source_id }) }, SPEC));
      expect(error).toBeInstanceOf(DestinationBroken);
      expect((error as DestinationBroken).message).toContain(message);
      expect(platform.requests().map(({ route }) => route)).toEqual(['GET /sources/{id}']);
    });
  });

  test('a source that was switched off breaks the destination before the first event', async () => {
    await withSandbox(SECRET, async (context, platform) => {
      platform.faults({ kind: 'list-deleted' });
      const error = await failureOf(segment.ensure(context, SPEC));
      expect(error).toBeInstanceOf(DestinationBroken);
      expect((error as DestinationBroken).message).toBe('The Segment source sandboxHttpSource is switched off.');
    });
  });

  test('without a token nothing is looked at, and nothing can be erased', async () => {
    await withSandbox({ write_key: SECRET.write_key }, async (context, platform) => {
      expect(await segment.ensure(context, SPEC)).toEqual(LIST);
      const error = await failureOf(Promise.resolve(segment.erase?.(context, [member('c-1')])));
      expect(error).toBeInstanceOf(DestinationBroken);
      expect(platform.requests()).toEqual([]);
    });
  });

  test('a token that may only read breaks an erasure, with a way out', async () => {
    await withSandbox({ ...SECRET, api_token: 'sandbox-segment-read-token' }, async (context) => {
      expect(await segment.ensure(context, SPEC)).toEqual(LIST);
      expect(await failureOf(Promise.resolve(segment.erase?.(context, [member('c-1')])))).toBeInstanceOf(DestinationBroken);
    });
  });

  test('reserved traits, and a trait name other than the one its members have', async () => {
    await scripted(script([], { source_id: undefined }), async (context) => {
      expect(await failureOf(segment.ensure(context, { ...SPEC, traits: ['email'] }))).toBeInstanceOf(DestinationBroken);
      expect(await failureOf(segment.ensure(context, { ...SPEC, known: { id: 'old_vips' } }))).toBeInstanceOf(DestinationBroken);
      expect(await failureOf(segment.ensure(context, { ...SPEC, known: { id: 'sluice_vips' } }))).toBeUndefined();
    });
  });
});

describe('segment reads', () => {
  const sending = (reply: ScriptedReply) =>
    scripted(script([reply]), (context) =>
      failureOf(segment.send(context, LIST, batchOf(segment, context, LIST, 'upsert', [member('c-1')]))),
    );

  test('a 200 as accepted: it was received, nobody says that it was wanted', async () => {
    await scripted(script([SUCCESS, { status: 200 }]), async (context) => {
      for (let n = 0; n < 2; n += 1) {
        const answer = await segment.send(context, LIST, batchOf(segment, context, LIST, 'upsert', [member('c-1')]));
        expect(answer).toEqual([{ kind: 'accepted' }]);
      }
    });
  });

  test('a 200 that means failure, and a 400, as a batch to be halved', async () => {
    expect(await sending({ status: 200, body: { success: false } })).toMatchObject({ reason: 'not-accepted', rows: [] });
    expect(await sending({ status: 400, body: { success: false } })).toMatchObject({ reason: 'http-400', rows: [] });
  });

  test.each([408, 410, 460, 500, 502])('a %i as worth another try', async (status) => {
    expect(await sending({ status, body: {} })).toBeInstanceOf(TryAgain);
  });

  test.each([
    ['Retry-After', { 'retry-after': '7' }],
    ['X-RateLimit-Reset', { 'x-ratelimit-reset': '7' }],
  ])('when to come back after a 429 from %s, in seconds', async (_what, headers) => {
    expect(await sending({ status: 429, headers, body: {} })).toMatchObject({ throttled: true, afterMs: 7_000 });
  });
});

test('an erased person who was suppressed is not brought back by a later event', async () => {
  await withSandbox(SECRET, async (context, platform) => {
    await segment.send(context, LIST, batchOf(segment, context, LIST, 'upsert', [member('c-1')]));
    await segment.erase?.(context, [member('c-1')]);
    await segment.send(context, LIST, batchOf(segment, context, LIST, 'remove', [member('c-1')]));
    expect(platform.state<{ users: Map<string, unknown> }>().users.size).toBe(0);
  });
});
