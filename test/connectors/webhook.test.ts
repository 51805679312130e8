import { Webhook } from 'standardwebhooks';
import { describe, expect, test } from 'vitest';
import { signatures, webhook } from '../../connectors/webhook.ts';
import { webhook as standIn } from '../../sandbox/webhook.ts';
import { connectorContract } from '../contracts/connector.ts';

connectorContract({
  connector: webhook,
  standIn,
  settings: {},
  wrongSecret: { key: 'whsec_AAAAAAAAAAAAAAAAAAAAAAAA' },
  traits: { tier: 'gold' },
  poison: (person) => ({ ...person, identifiers: [{ namespace: 'external_id', value: 'x'.repeat(300) }] }),
  exceptions: [
    { rule: 'terms not accepted break the destination, with a way out', because: 'a receiver has no terms' },
    {
      rule: 'quota spent until tomorrow is tried again later, or breaks the destination',
      because: 'a receiver says so with a 429, which is tested',
    },
    {
      rule: 'a 200 that means failure is never taken for a success',
      because:
        'any 2xx is the word of the receiver that it took the rows; those it refused it names in `results`, which is tested',
    },
    { rule: 'says how many the list holds', because: 'a receiver is told and never asked' },
  ],
});

describe('webhook', () => {
  test('signs the vector of the Standard Webhooks spec', () => {
    const key = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
    expect(signatures(key, 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, '{"test": 2432232314}')).toBe(
      'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    );
  });

  test('is verified by the Standard Webhooks library, with either key while two are in use', () => {
    const [old, next] = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD'] as const;
    const now = Math.floor(Date.now() / 1000);
    const body = '{"type":"audience.members.upserted","name":"𐍈"}';
    const headers = {
      'webhook-id': 'msg_1',
      'webhook-timestamp': String(now),
      'webhook-signature': signatures(`${old} ${next}`, 'msg_1', now, body),
    };
    for (const key of [old, next]) expect(new Webhook(key).verify(body, headers)).toEqual(JSON.parse(body));
    expect(() => new Webhook(old).verify(`${body} `, headers)).toThrow('No matching signature found');
  });
});
