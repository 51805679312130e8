import { describe, expect, test } from 'vitest';
import { load, seen, shopWith } from './shop.ts';

const META = 'destinations/meta-eu.yaml';
const meta = (...lines: string[]): string => ['connector: meta', 'purpose: ads_personalisation', ...lines, ''].join('\n');
const settings = 'settings: { ad_account_id: "1234567890" }';
const destination = (text: string) => {
  const { workspace, problems } = load(shopWith({ [META]: text }));
  expect(problems).toEqual([]);
  return workspace?.destinations['meta-eu'];
};

describe('a destination', () => {
  test('has the settings its connector makes of the file, defaults and all', () => {
    expect(destination(meta(settings, 'secret: sluice/meta-eu', 'endpoint: https://graph.facebook.com/'))).toMatchObject({
      name: 'meta-eu',
      file: META,
      connector: 'meta',
      purpose: 'ads_personalisation',
      settings: { ad_account_id: '1234567890', audience_prefix: '', limited_data_use: false },
      secret: 'sluice/meta-eu',
      endpoint: 'https://graph.facebook.com',
    });
  });

  test('has the documented limit less 10 % as its budget, unless the file says otherwise', () => {
    const of = (...lines: string[]) => destination(meta(settings, 'secret: a', ...lines))?.budget;
    const usual = of();
    const { workspace } = load(shopWith());
    expect(workspace?.destinations['meta-eu']?.budget).toEqual({ windows: [{ requests: 60, seconds: 60 }], concurrency: 4 });
    expect(of('budget: { concurrency: 2 }')).toEqual({ windows: usual?.windows, concurrency: 2 });
    expect(of('budget: { windows: [{ requests: 2, per: second }, { requests: 90, per: hour }] }')).toEqual({
      windows: [
        { requests: 2, seconds: 1 },
        { requests: 90, seconds: 3600 },
      ],
      concurrency: usual?.concurrency,
    });
    const braze = workspace?.destinations['braze-eu']?.budget.windows;
    expect(braze).toEqual([{ requests: 2700, seconds: 3 }]);
  });

  test.each(['http://127.0.0.1:8080', 'http://localhost:1', 'http://[::1]:9'])(
    'may be this machine without encryption: %s',
    (endpoint) => {
      expect(destination(meta(settings, 'secret: a', `endpoint: ${endpoint}`))?.endpoint).toBe(endpoint);
    },
  );
});

describe('a destination file says, all at once,', () => {
  const seenOf = (text: string): string =>
    seen({ [META]: text, 'audiences/lapsed-vips.yaml': null, 'audiences/basket-builders.yaml': null });

  test('which bucket is none', () => {
    const wrong = 'connector: files\npurpose: partner_offers\nsettings:\n  folder: s3:///daily\n  bucket_owner: 111122223333\n';
    expect(seenOf(wrong)).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:4:11  "folder" must name a bucket: s3://bucket/prefix. [invalid-value]
        4 |   folder: s3:///daily
          |           ^^^^^^^^^^^

      destinations/meta-eu.yaml:5:17  "bucket_owner" must be a text, not a number. [wrong-type]
        5 |   bucket_owner: 111122223333
          |                 ^^^^^^^^^^^^
        Put it in quotes: "111122223333"."
    `);
  });

  test('which names do not exist', () => {
    expect(seenOf('connector: mta\npurpose: ads_personalization\n')).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:1:12  There is no connector "mta". [unknown-connector]
        1 | connector: mta
          |            ^^^
        Did you mean "meta"?

      destinations/meta-eu.yaml:2:10  policies/consent.yaml has no purpose "ads_personalization", so nobody can be sent to meta-eu. [unknown-purpose]
        2 | purpose: ads_personalization
          |          ^^^^^^^^^^^^^^^^^^^
        Did you mean "ads_personalisation"?"
    `);
  });

  test('what its connector wants of the settings', () => {
    expect(
      seenOf(meta('settings: { ad_acount_id: 123, audience_prefix: 5, customer_file_source: USER, api_version: "26" }')),
    ).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:1:1  A destination of Meta Custom Audiences needs a secret. [missing-secret-name]
        1 | connector: meta
          | ^^^^^^^^^
        Add "secret: sluice/<name>", the name of the secret that holds access_token.

      destinations/meta-eu.yaml:3:13  Unknown key "ad_acount_id" in the settings of Meta Custom Audiences. [unknown-key]
        3 | settings: { ad_acount_id: 123, audience_prefix: 5, customer_file_source: USER, api_version: "26" }
          |             ^^^^^^^^^^^^
        Did you mean "ad_account_id"?

      destinations/meta-eu.yaml:3:49  "audience_prefix" must be a text, not a number. [wrong-type]
        3 | settings: { ad_acount_id: 123, audience_prefix: 5, customer_file_source: USER, api_version: "26" }
          |                                                 ^
        Put it in quotes: "5".

      destinations/meta-eu.yaml:3:74  "customer_file_source" must be one of USER_PROVIDED_ONLY, PARTNER_PROVIDED_ONLY, BOTH_USER_AND_PARTNER_PROVIDED, not "USER". [invalid-value]
        3 | settings: { ad_acount_id: 123, audience_prefix: 5, customer_file_source: USER, api_version: "26" }
          |                                                                          ^^^^

      destinations/meta-eu.yaml:3:93  "api_version" must look like v25.0. [invalid-value]
        3 | settings: { ad_acount_id: 123, audience_prefix: 5, customer_file_source: USER, api_version: "26" }
          |                                                                                             ^^^^"
    `);
    expect(seenOf(meta('secret: a'))).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:1:1  "ad_account_id" is missing in the settings of Meta Custom Audiences. [missing-key]
        1 | connector: meta
          | ^^^^^^^^^
        Add it under "settings"."
    `);
    expect(seenOf(meta('secret: a', 'settings: [a]'))).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:4:11  "settings" must be a mapping, not a list. [wrong-type]
        4 | settings: [a]
          |           ^^^"
    `);
  });

  test('what is wrong with its budget', () => {
    const of = (budget: string) => seenOf(meta(settings, 'secret: a', `budget: ${budget}`));
    expect(of('{ requests: 5 }')).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:5:1  "per" is missing in the budget. [missing-key]
        5 | budget: { requests: 5 }
          | ^^^^^^
        Write both, such as { requests: 60, per: minute }."
    `);
    expect(of('{ requests: 0, per: minutes, concurrency: 2.5 }')).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:5:21  "requests" must be at least 1. [invalid-value]
        5 | budget: { requests: 0, per: minutes, concurrency: 2.5 }
          |                     ^

      destinations/meta-eu.yaml:5:29  "per" must be one of second, minute, hour, day, not "minutes". [invalid-value]
        5 | budget: { requests: 0, per: minutes, concurrency: 2.5 }
          |                             ^^^^^^^
        Did you mean "minute"?

      destinations/meta-eu.yaml:5:51  "concurrency" must be a whole number, not 2.5. [wrong-type]
        5 | budget: { requests: 0, per: minutes, concurrency: 2.5 }
          |                                                   ^^^"
    `);
    expect(of('{ windows: [{ requests: 5 }] }')).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:5:23  "per" is missing in a window of the budget. [missing-key]
        5 | budget: { windows: [{ requests: 5 }] }
          |                       ^^^^^^^^"
    `);
    expect(of('{ windows: [], requests: 5, per: second }')).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:5:20  "windows" must have at least 1 item. [invalid-value]
        5 | budget: { windows: [], requests: 5, per: second }
          |                    ^^"
    `);
  });

  test('that it lets more through than the platform allows, as a warning', () => {
    expect(
      seen({ 'destinations/braze-eu.yaml': (text) => `${text}budget: { requests: 1001, per: second, concurrency: 900 }\n` }),
    ).toMatchInlineSnapshot(`
      "destinations/braze-eu.yaml:6:1  Warning: The budget allows 900 requests at once; the connector is made for 24. [budget-over-limit]
        6 | budget: { requests: 1001, per: second, concurrency: 900 }
          | ^^^^^^

      destinations/braze-eu.yaml:6:1  Warning: The budget allows more than the 3000 requests in 3 seconds that the platform documents. [budget-over-limit]
        6 | budget: { requests: 1001, per: second, concurrency: 900 }
          | ^^^^^^
        Keep it only if the platform raised the limit for this account: https://www.braze.com/docs/api/api_limits, read 2026-11-22; newer contracts have an hourly limit of their own: set \`budget\`."
    `);
    expect(
      seen({
        'destinations/braze-eu.yaml': (text) =>
          `${text}budget: { windows: [{ requests: 5000, per: second }, { requests: 60000, per: minute }] }\n`,
      }),
    ).toBe('');
  });

  test('that an endpoint must be encrypted and hold no secret', () => {
    const of = (endpoint: string) => seenOf(meta(settings, 'secret: a', `endpoint: ${endpoint}`));
    expect(of('http://graph.facebook.com')).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:5:11  The endpoint is not encrypted. [bad-endpoint]
        5 | endpoint: http://graph.facebook.com
          |           ^^^^^^^^^^^^^^^^^^^^^^^^^
        Write https://graph.facebook.com; http is only for this machine (127.0.0.1, ::1, localhost)."
    `);
    expect(of('graph.facebook.com')).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:5:11  "graph.facebook.com" is not an address. [bad-endpoint]
        5 | endpoint: graph.facebook.com
          |           ^^^^^^^^^^^^^^^^^^
        Write one such as https://rest.fra-01.braze.eu."
    `);
    expect(of('ftp://graph.facebook.com')).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:5:11  The endpoint cannot be reached over "ftp:". [bad-endpoint]
        5 | endpoint: ftp://graph.facebook.com
          |           ^^^^^^^^^^^^^^^^^^^^^^^^
        Write https://."
    `);
    expect(of('https://graph.facebook.com?access_token=x')).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:5:11  The endpoint holds more than a host: a user name, a password or a query. [secret-in-file]
        Leave the host alone, and put what the platform needs to know into the settings or the secret."
    `);
    expect(of('https://user:hunter2@graph.facebook.com')).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:5:11  The endpoint holds more than a host: a user name, a password or a query. [secret-in-file]
        Leave the host alone, and put what the platform needs to know into the settings or the secret."
    `);
    expect(of('http://127.0.0.1.example.com')).toContain('[bad-endpoint]');
  });

  test('which secret it needs, and never shows one that was pasted', () => {
    expect(seenOf(meta(settings))).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:1:1  A destination of Meta Custom Audiences needs a secret. [missing-secret-name]
        1 | connector: meta
          | ^^^^^^^^^
        Add "secret: sluice/<name>", the name of the secret that holds access_token."
    `);
    const pasted = seenOf(meta(settings, 'secret: "EAAB pasted token"'));
    expect(pasted).not.toContain('EAAB');
    expect(pasted).toMatchInlineSnapshot(`
      "destinations/meta-eu.yaml:4:9  "secret" must be the name of a secret, such as sluice/meta-eu, and never the secret itself. [secret-in-file]
        If a real one stood here, replace it at the platform: it is in the history of the files now."
    `);
    expect(seen({ 'destinations/partner-drop.yaml': (text) => `${text}secret: a\n` })).toMatchInlineSnapshot(`
      "destinations/partner-drop.yaml:5:1  Warning: A destination of Files in a folder or a bucket needs no secret; this one is never read. [needless-secret]
        5 | secret: a
          | ^^^^^^"
    `);
  });
});

test('a sync to a destination with errors says that they come first', () => {
  expect(seen({ 'destinations/partner-drop.yaml': 'connector: fils\npurpose: partner_offers\n' })).toMatchInlineSnapshot(`
    "audiences/churned.yaml:12:9  The destination "partner-drop" has errors of its own, so nothing can be sent to it. [broken-destination]
      12 |   - to: partner-drop
         |         ^^^^^^^^^^^^
      Correct destinations/partner-drop.yaml first.

    audiences/lapsed-vips.yaml:20:24  The audience "churned" has errors of its own, so this one cannot be made. [broken-audience]
      20 |     - not: { audience: churned }
         |                        ^^^^^^^
      Correct that file first.

    destinations/partner-drop.yaml:1:12  There is no connector "fils". [unknown-connector]
      1 | connector: fils
        |            ^^^^
      Did you mean "files"?"
  `);
});
