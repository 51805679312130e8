import { describe, expect, test } from 'vitest';
import { braze } from '../../connectors/braze.ts';
import { createHttp } from '../../connectors/http.ts';
import {
  type Context,
  DestinationBroken,
  type ListSpec,
  type Member,
  type Op,
  RowsRefused,
  TryAgain,
} from '../../core/connector.ts';
import { braze as standIn } from '../../sandbox/braze.ts';
import { startSandbox } from '../../sandbox/server.ts';
import { connectorContract } from '../contracts/connector.ts';
import { batchOf, failureOf, member, scripted, type ScriptedReply } from './scripted-server.ts';

const GROUP = '5e0b8c2a-6f4d-4a57-9c1e-0a1b2c3d4e5f';

connectorContract({
  connector: braze,
  standIn,
  settings: { subscription_group: { id: GROUP, on_remove: 'unsubscribe' } },
  identifiers: ['external_id', 'email', 'phone'],
  wrongSecret: { api_key: 'wrong-braze-key' },
  traits: { ltv_band: 'gold', visits: 3, favourite: null },
  poison: (person) => ({ ...person, identifiers: [{ namespace: 'external_id', value: 'x'.repeat(988) }] }),
  exceptions: [
    { rule: 'terms not accepted break the destination, with a way out', because: 'Braze has no terms to accept by API' },
    { rule: 'says how many the list holds', because: 'Braze counts the users of an attribute nowhere in its API' },
  ],
});

const SECRET = { api_key: 'sandbox-braze-key' };
const LIST = { id: 'sluice_vips', group: '' };
const SPEC: ListSpec = {
  audience: 'vips',
  description: '',
  mode: 'mirror',
  destination: 'braze-eu',
  run: '01JD0000000000000000000000',
  tick: 0,
  identifiers: ['external_id'],
  traits: [],
};
const parse = (settings: Record<string, unknown> = {}) => braze.settings.parse(settings);

/** One batch against scripted answers; what was asked, and what came of it. */
const sending = (
  replies: readonly ScriptedReply[],
  members: readonly Member[],
  { op = 'upsert', settings = {}, now }: { op?: Op; settings?: Record<string, unknown>; now?: number } = {},
) =>
  scripted({ settings: parse(settings), secret: SECRET, replies, ...(now !== undefined && { now }) }, async (context, seen) => {
    const answer = braze.send(context, LIST, batchOf(braze, context, LIST, op, members));
    const error = await failureOf(answer);
    return { seen, error, outcomes: error === undefined ? await answer : undefined };
  });

const SUCCESS = { status: 201, body: { message: 'success', attributes_processed: 1 } };

describe('braze sends', () => {
  test('one attributes object a member: traits, identifiers, and the audience as one boolean attribute', async () => {
    const { seen } = await sending(
      [SUCCESS],
      [member('c-1', { email: 'a@example.com', phone: '+14155550101' }, { tier: 'gold', score: 7, note: null }), member('c-2')],
    );
    expect(seen).toMatchObject([
      {
        method: 'POST',
        path: '/users/track',
        headers: { authorization: 'Bearer sandbox-braze-key', 'content-type': 'application/json' },
      },
    ]);
    expect(seen[0]?.body).toEqual({
      attributes: [
        {
          tier: 'gold',
          score: 7,
          note: null,
          external_id: 'c-1',
          email: 'a@example.com',
          phone: '+14155550101',
          sluice_vips: true,
        },
        { external_id: 'c-2', sluice_vips: true },
      ],
    });
  });

  test('a removal as a cleared attribute that makes no profile', async () => {
    const { seen } = await sending([SUCCESS], [member('c-1')], { op: 'remove' });
    expect(seen[0]?.body).toEqual({ attributes: [{ external_id: 'c-1', _update_existing_only: true, sluice_vips: null }] });
  });

  test('a removal as false where the settings say so', async () => {
    const { seen } = await sending([SUCCESS], [member('c-1')], { op: 'remove', settings: { removed: 'false' } });
    expect(seen[0]?.body).toEqual({ attributes: [{ external_id: 'c-1', _update_existing_only: true, sluice_vips: false }] });
  });

  test('nothing about subscriptions unless a group is set, and an unsubscribe only where on_remove says so', async () => {
    const group = (on_remove: string) => ({ subscription_group: { id: GROUP, on_remove } });
    const bodyOf = async (op: Op, settings: Record<string, unknown>) => {
      const { seen } = await sending([SUCCESS], [member('c-1')], { op, settings });
      const body = seen[0]?.body as { attributes: Record<string, unknown>[] } | undefined;
      return body?.attributes[0]?.subscription_groups;
    };
    expect(await bodyOf('upsert', {})).toBeUndefined();
    expect(await bodyOf('remove', {})).toBeUndefined();
    expect(await bodyOf('upsert', group('keep'))).toEqual([{ subscription_group_id: GROUP, subscription_state: 'subscribed' }]);
    expect(await bodyOf('remove', group('keep'))).toBeUndefined();
    expect(await bodyOf('remove', group('unsubscribe'))).toEqual([
      { subscription_group_id: GROUP, subscription_state: 'unsubscribed' },
    ]);
  });

  test('subscription states as the decision is: confirmed, not refused, withdrawn; none for who left the audience', async () => {
    const settings = {
      subscription_states: ['email', 'push'],
      subscription_group: { id: GROUP, on_remove: 'unsubscribe-withdrawn' },
    };
    const bodyOf = async (op: Op, more: Partial<Member>) => {
      const { seen } = await sending([SUCCESS], [{ ...member('c-1'), ...more }], { op, settings });
      const body = seen[0]?.body as { attributes: Record<string, unknown>[] } | undefined;
      const { email_subscribe, push_subscribe, subscription_groups } = body?.attributes[0] ?? {};
      return [
        email_subscribe,
        push_subscribe,
        (subscription_groups as { subscription_state: string }[] | undefined)?.[0]?.subscription_state,
      ];
    };
    const under = { purpose: 'mail', basis: 'opt-in', jurisdiction: 'DE' } as const;
    expect(await bodyOf('upsert', { consent: { ...under, grant: 'confirmed' } })).toEqual(['opted_in', 'opted_in', 'subscribed']);
    expect(await bodyOf('upsert', { consent: { ...under, grant: 'granted' } })).toEqual([
      'subscribed',
      'subscribed',
      'subscribed',
    ]);
    expect(await bodyOf('upsert', { consent: { ...under, basis: 'opt-out' } })).toEqual([
      'subscribed',
      'subscribed',
      'subscribed',
    ]);
    expect(await bodyOf('remove', { withdrawn: true })).toEqual(['unsubscribed', 'unsubscribed', 'unsubscribed']);
    expect(await bodyOf('remove', {})).toEqual([undefined, undefined, undefined]);
  });

  test('deletions 50 external ids a request', async () => {
    const people = Array.from({ length: 51 }, (_, n) => member(`c-${n}`));
    const outcomes = await scripted(
      { settings: parse(), secret: SECRET, replies: [50, 1].map((deleted) => ({ status: 201, body: { deleted } })) },
      async (context, seen) => {
        const answer = await braze.erase?.(context, [...people, { ...member('x'), identifiers: [] }]);
        expect(seen.map(({ path, body }) => [path, (body as { external_ids: string[] }).external_ids.length])).toEqual([
          ['/users/delete', 50],
          ['/users/delete', 1],
        ]);
        return answer;
      },
    );
    expect(outcomes).toEqual([...people.map(() => ({ kind: 'accepted' })), { kind: 'rejected', reason: 'no-external-id' }]);
  });
});

describe('braze reads', () => {
  const three = [member('c-1'), { ...member('none'), identifiers: [] }, member('c-2'), member('c-3')];

  test('indexed errors beside a success as the rows they point at, members without an id not counted', async () => {
    const errors = [{ type: 'EXTERNAL_USER_ID_TOO_LARGE', input_array: 'attributes', index: 1 }];
    const { outcomes } = await sending([{ status: 201, body: { message: 'success', attributes_processed: 2, errors } }], three);
    expect(outcomes).toEqual([
      { kind: 'delivered' },
      { kind: 'rejected', reason: 'no-external-id' },
      { kind: 'rejected', reason: 'EXTERNAL_USER_ID_TOO_LARGE' },
      { kind: 'delivered' },
    ]);
  });

  test.each([
    ["'external_id' must be fewer than 988 bytes", 'EXTERNAL_USER_ID_TOO_LARGE'],
    ["The value provided for the 'email' field is not a valid email.", 'EMAIL_BAD_FORMAT'],
    ['provided external_id is blacklisted and disallowed', 'BLACKLISTED_EXTERNAL_USER_ID'],
    ["'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required", 'identifier-required'],
    ['canary@example.com is odd', 'refused'],
  ])('the sentence "%s" as the reason %s', async (type, reason) => {
    const errors = [{ type, input_array: 'attributes', index: 0 }];
    const { outcomes } = await sending([{ status: 201, body: { message: 'success', errors } }], [member('c-1')]);
    expect(outcomes).toEqual([{ kind: 'rejected', reason }]);
  });

  test('a 400 that names rows as those rows, so that the rest is sent again', async () => {
    const message = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields.";
    const errors = [{ type: 'EMAIL_BAD_FORMAT', input_array: 'attributes', index: 2 }];
    const { error } = await sending([{ status: 400, body: { message, errors } }], three);
    expect(error).toBeInstanceOf(RowsRefused);
    expect((error as RowsRefused).rows).toEqual([{ index: 3, reason: 'EMAIL_BAD_FORMAT' }]);
  });

  test.each([
    ['a 400 without rows', 400, { message: 'Bad Request' }, 'http-400'],
    [
      'an error without an index beside a success',
      201,
      { message: 'success', errors: [{ type: 'EMAIL_BAD_FORMAT' }] },
      'EMAIL_BAD_FORMAT',
    ],
    ['an error that is only a text', 201, { message: 'success', errors: ['minor error message'] }, 'refused'],
    ['an index beyond the rows', 201, { message: 'success', errors: [{ type: 'X', input_array: 'attributes', index: 9 }] }, 'X'],
    ['an error about another array', 201, { message: 'success', errors: [{ type: 'X', input_array: 'events', index: 0 }] }, 'X'],
    ['a 200 whose message is no success', 200, { message: 'Valid data must be provided' }, 'http-200'],
  ])('%s as a batch to be halved', async (_what, status, body, reason) => {
    const { error } = await sending([{ status, body }], three);
    expect(error).toBeInstanceOf(RowsRefused);
    expect(error).toMatchObject({ rows: [], reason });
  });

  test('a queued answer during maintenance as accepted, not delivered', async () => {
    const { outcomes } = await sending([{ status: 202, body: { message: 'queued' } }], [member('c-1')]);
    expect(outcomes).toEqual([{ kind: 'accepted' }]);
  });

  test('a success for profiles it may not create as accepted: Braze does not say whom it knew', async () => {
    const { seen, outcomes } = await sending([SUCCESS], [member('c-1')], { settings: { create_profiles: false } });
    expect(seen[0]?.body).toEqual({ attributes: [{ external_id: 'c-1', _update_existing_only: true, sluice_vips: true }] });
    expect(outcomes).toEqual([{ kind: 'accepted' }]);
  });

  test.each([
    ['X-RateLimit-Retry-After in seconds', { 'x-ratelimit-retry-after': '42' }, 42_000],
    ['X-RateLimit-Reset as an epoch second', { 'x-ratelimit-reset': '1800000090' }, 90_000],
    ['X-RateLimit-Reset as seconds left', { 'x-ratelimit-reset': '3' }, 3_000],
    ['nothing', {}, undefined],
  ])('when to come back after a 429 from %s', async (_what, headers, afterMs) => {
    const reply = { status: 429, headers, body: { message: 'Rate Limited' } };
    const { error } = await sending([reply], [member('c-1')], { now: 1_800_000_000_000 });
    expect(error).toBeInstanceOf(TryAgain);
    expect(error).toMatchObject({ throttled: true, afterMs });
  });
});

test('braze asks everybody to wait when its window is used up, and only then', () => {
  const after = (headers: Record<string, string>) => braze.headroom?.({ status: 201, text: '', headers })?.waitMs;
  const date = 'Fri, 15 Jan 2027 08:00:00 GMT';
  expect(after({ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1800000002', date })).toBe(2_000);
  expect(after({ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1200' })).toBe(1_200_000);
  expect(after({ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1800000002' })).toBeUndefined();
  expect(after({ 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': '1800000002', date })).toBeUndefined();
  expect(after({})).toBeUndefined();
});

describe('braze refuses before anything is sent', () => {
  const ensure = (settings: Record<string, unknown>, spec: Partial<ListSpec> = {}) =>
    scripted({ settings: parse(settings), secret: SECRET, replies: [] }, async (context) =>
      failureOf(Promise.resolve().then(() => braze.ensure(context, { ...SPEC, ...spec }))),
    );

  test('an attribute name that would put all audiences into one attribute', () => {
    expect(braze.settings.safeParse({ attribute: 'vip' }).success).toBe(false);
    expect(braze.settings.safeParse({ attribute: '$x_{audience}' }).success).toBe(false);
  });

  test('a subscription group without a word on what happens when somebody leaves', () => {
    expect(braze.settings.safeParse({ subscription_group: { id: GROUP } }).success).toBe(false);
  });

  test('traits that decide who is meant or whether they may be written to', async () => {
    const error = await ensure({}, { traits: ['tier', 'email', 'email_subscribe', 'sluice_vips'] });
    expect(error).toBeInstanceOf(DestinationBroken);
    expect((error as DestinationBroken).message).toBe(
      'Braze keeps email, email_subscribe, sluice_vips for itself, so "vips" cannot send it as a trait.',
    );
  });

  test('another attribute or group than the one its members are in', async () => {
    expect(await ensure({ attribute: 'crm_{audience}' }, { known: LIST })).toBeInstanceOf(DestinationBroken);
    expect(await ensure({ subscription_group: { id: GROUP, on_remove: 'keep' } }, { known: LIST })).toBeInstanceOf(
      DestinationBroken,
    );
    expect(await ensure({}, { known: LIST })).toBeUndefined();
  });

  test('a destination that does not say which instance it is', async () => {
    const error = await scripted({ settings: parse(), secret: SECRET, replies: [] }, async (context) =>
      failureOf(Promise.resolve().then(() => braze.ensure({ ...context, endpoint: braze.endpoint(parse()) }, SPEC))),
    );
    expect(error).toBeInstanceOf(DestinationBroken);
    expect(braze.endpoint(parse({ instance: 'EU-01' }))).toBe('https://rest.fra-01.braze.eu');
    expect(braze.endpoint(parse({ instance: 'US-08' }))).toBe('https://rest.iad-08.braze.com');
  });
});

describe('braze over its stand-in', () => {
  const withSandbox = async <T>(
    settings: Record<string, unknown>,
    secret: { api_key: string },
    use: (
      context: Context<ReturnType<typeof parse>, typeof secret>,
      state: { profiles: Map<string, unknown>; dataPoints: number },
    ) => Promise<T>,
  ): Promise<T> => {
    const sandbox = await startSandbox([standIn]);
    const platform = sandbox.platform('braze');
    const http = createHttp({ endpoint: platform.endpoint });
    try {
      return await use({ settings: parse(settings), secret, endpoint: platform.endpoint, http, now: Date.now }, platform.state());
    } finally {
      await http.close();
      await sandbox.close();
    }
  };

  test('costs one data point a membership and one a trait, and a removal one', async () => {
    await withSandbox({}, SECRET, async (context, state) => {
      await braze.send(context, LIST, batchOf(braze, context, LIST, 'upsert', [member('c-1', {}, { tier: 'gold' })]));
      expect(state.dataPoints).toBe(2);
      await braze.send(context, LIST, batchOf(braze, context, LIST, 'remove', [member('c-1')]));
      expect(state.dataPoints).toBe(3);
    });
  });

  test('removing an erased person does not bring their profile back', async () => {
    await withSandbox({}, SECRET, async (context, state) => {
      await braze.send(context, LIST, batchOf(braze, context, LIST, 'upsert', [member('c-1')]));
      await braze.erase?.(context, [member('c-1')]);
      expect(state.profiles.size).toBe(0);
      await braze.send(context, LIST, batchOf(braze, context, LIST, 'remove', [member('c-1'), member('c-2')]));
      expect(state.profiles.size).toBe(0);
    });
  });

  test('a key that may not delete breaks an erasure, with a way out', async () => {
    await withSandbox({}, { api_key: 'sandbox-braze-track-only' }, async (context) => {
      const error = await failureOf(Promise.resolve(braze.erase?.(context, [member('c-1')])));
      expect(error).toBeInstanceOf(DestinationBroken);
      expect((error as DestinationBroken).wayOut).toContain('users.delete');
    });
  });
});
