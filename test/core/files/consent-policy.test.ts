import { describe, expect, test } from 'vitest';
import { load, seen, shopWith } from './shop.ts';

const CONSENT = 'policies/consent.yaml';

describe('the consent policy', () => {
  test('becomes purposes with their bases, and has a version that changes with every change of the file', () => {
    const { workspace } = load(shopWith());
    expect(workspace?.consent).toEqual({
      purposes: {
        ads_personalisation: {
          name: 'ads_personalisation',
          basis: 'opt-in',
          expiresAfter: { amount: 730, unit: 'day' },
          jurisdictions: { US: 'opt-out', 'US-CA': 'opt-out' },
          sharedIdentifiers: 'keep-for-entitled',
        },
        email_marketing: { name: 'email_marketing', basis: 'opt-in', jurisdictions: {}, sharedIdentifiers: 'keep-for-entitled' },
        partner_offers: {
          name: 'partner_offers',
          basis: 'opt-in',
          expiresAfter: { amount: 365, unit: 'day' },
          jurisdictions: {},
          sharedIdentifiers: 'keep-for-entitled',
        },
      },
      jurisdiction: { column: 'country', region: 'state' },
      version: workspace?.consent.version,
    });
    const changed = load(shopWith({ [CONSENT]: (text) => `${text}# reviewed\n` })).workspace?.consent.version;
    expect([workspace?.consent.version, changed]).toEqual([
      expect.stringMatching(/^[0-9a-f]{12}$/),
      expect.stringMatching(/^[0-9a-f]{12}$/),
    ]);
    expect(changed).not.toBe(workspace?.consent.version);
  });

  test('knows an order of sources, and purposes whose grants must be confirmed', () => {
    const text = (more: string) =>
      `purposes: { ads_personalisation: { basis: opt-in }, email_marketing: { basis: opt-in, double_opt_in: true }, partner_offers: { basis: opt-in } }\n${more}`;
    const { purposes } = load(shopWith({ [CONSENT]: text('sources: [preference_centre, checkout]\n') })).workspace?.consent ?? {};
    const sources = ['preference_centre', 'checkout'];
    expect([purposes?.['ads_personalisation'], purposes?.['email_marketing']]).toMatchObject([
      { sources },
      { sources, doubleOptIn: true },
    ]);
    expect(purposes?.['ads_personalisation']).not.toHaveProperty('doubleOptIn');
    expect(
      seen({
        [CONSENT]: text('sources: [checkout, import, checkout]\n'),
        'contracts/consents.yaml': (contract) => contract.replace('- name: source\n', '- name: origin\n'),
      }),
    ).toMatchInlineSnapshot(`
      "policies/consent.yaml:2:1  The policy puts sources in order, and consents (contracts/consents.yaml, version 1.0.0) has no field "source". [missing-field]
        2 | sources: [checkout, import, checkout]
          | ^^^^^^^
        Add the column to the contract, mark the one it is with sluice.field: source, or take the order out.

      policies/consent.yaml:2:29  "checkout" stands in the order of sources twice. [duplicate-name]
        2 | sources: [checkout, import, checkout]
          |                             ^^^^^^^^
        Remove one."
    `);
  });

  test('lets a purpose refuse shared identifiers, where only such are sent as can be compared', () => {
    const text =
      'purposes: { ads_personalisation: { basis: opt-out, shared_identifiers: refuse }, email_marketing: { basis: opt-in }, partner_offers: { basis: opt-in } }\n';
    const sync = (identifiers: string) => ({
      [CONSENT]: text,
      'audiences/a.yaml': `description: all\nowner: a@example.com\nwhere: { is_staff: false }\nsyncs:\n  - { to: meta-eu, identifiers: [${identifiers}] }\n`,
    });
    const alone = (changes: Record<string, string>) =>
      load(shopWith(changes))
        .problems.filter(({ file }) => file === 'audiences/a.yaml')
        .map(({ rule, line, column }) => [rule, line, column]);
    expect(alone(sync('email, maid'))).toEqual([]);
    expect(alone(sync('email, phone'))).toEqual([['not-comparable', 5, 41]]);
    expect(load(shopWith(sync('email'))).workspace?.consent.purposes['ads_personalisation']?.sharedIdentifiers).toBe('refuse');
  });

  test('says all at once what is wrong in it', () => {
    expect(
      seen({
        [CONSENT]: `purposes:
  ads_personalisation: { basis: optin, expires: 3 days }
  email_marketing:
    basis: opt-in
    expires_after: 730
    jurisdictions:
      uk: opt-in
      UK: opt-in
      us-ca: opt-out
      ZZ: opt-in
      DE-XX: opt-out
  partner_offers: { basis: opt-in, expires_after: 0 days }
jurisdiction: { column: contry, region: orders_count }
`,
      }),
    ).toMatchInlineSnapshot(`
      "policies/consent.yaml:2:33  "basis" must be one of opt-in, opt-out, not "optin". [invalid-value]
        2 |   ads_personalisation: { basis: optin, expires: 3 days }
          |                                 ^^^^^
        Did you mean "opt-in"?

      policies/consent.yaml:2:40  Unknown key "expires" in the purpose ads_personalisation. [unknown-key]
        2 |   ads_personalisation: { basis: optin, expires: 3 days }
          |                                        ^^^^^^^
        Did you mean "expires_after"?

      policies/consent.yaml:5:20  "expires_after" must be a length of time, not a number. [invalid-time]
        5 |     expires_after: 730
          |                    ^^^
        Write a whole number and a unit, such as "90 days", "12 hours" or "1 year".

      policies/consent.yaml:7:7  ISO 3166 assigns no code "uk". [unknown-jurisdiction]
        7 |       uk: opt-in
          |       ^^
        The United Kingdom is GB.

      policies/consent.yaml:8:7  ISO 3166 assigns no code "UK". [unknown-jurisdiction]
        8 |       UK: opt-in
          |       ^^
        The United Kingdom is GB.

      policies/consent.yaml:9:7  ISO 3166 assigns no code "us-ca". [unknown-jurisdiction]
        9 |       us-ca: opt-out
          |       ^^^^^
        Write it in upper case: US-CA.

      policies/consent.yaml:10:7  ISO 3166 assigns no code "ZZ". [unknown-jurisdiction]
        10 |       ZZ: opt-in
           |       ^^
        Write an ISO 3166 code: a country (US) or a region of it (US-CA).

      policies/consent.yaml:11:7  ISO 3166 assigns no code "DE-XX". [unknown-jurisdiction]
        11 |       DE-XX: opt-out
           |       ^^^^^
        Write an ISO 3166 code: a country (US) or a region of it (US-CA).

      policies/consent.yaml:12:51  "0 days" is not a length of time. [invalid-time]
        12 |   partner_offers: { basis: opt-in, expires_after: 0 days }
           |                                                   ^^^^^^
        Write a whole number and a unit, such as "90 days", "12 hours" or "1 year".

      policies/consent.yaml:13:25  "contry" is not a column of customers (contracts/customers.yaml, version 1.0.0). [unknown-column]
        13 | jurisdiction: { column: contry, region: orders_count }
           |                         ^^^^^^
        Did you mean "country"?

      policies/consent.yaml:13:41  "orders_count" is of type integer; a region must be a string. [wrong-field-type]
        13 | jurisdiction: { column: contry, region: orders_count }
           |                                         ^^^^^^^^^^^^"
    `);
  });

  test('speaks of columns by the names of the contract, and keeps those of the table', () => {
    const renamed = (text: string) => text.replace('- name: state\n', '- name: state\n        physicalName: region_code\n');
    const { workspace, problems } = load(shopWith({ 'contracts/customers.yaml': renamed }));
    expect(problems).toEqual([]);
    expect(workspace?.consent.jurisdiction).toEqual({ column: 'country', region: 'region_code' });
  });

  test('needs a column when it differs by jurisdiction', () => {
    expect(seen({ [CONSENT]: (text) => text.replace(/jurisdiction: .*\n$/, '') })).toMatchInlineSnapshot(`
      "policies/consent.yaml:6:5  "ads_personalisation" differs by jurisdiction, and the policy does not say which column holds it. [missing-key]
        6 |     jurisdictions: { US: opt-out, US-CA: opt-out }
          |     ^^^^^^^^^^^^^
        Add "jurisdiction: { column: country }" at the top of the file."
    `);
  });

  test('that is missing means that nobody may be sent', () => {
    expect(seen({ [CONSENT]: null })).toMatchInlineSnapshot(`
      "policies/consent.yaml:1:1  policies/consent.yaml is missing, so nobody may be sent anywhere. [missing-policy]
        Write it: each purpose of a destination with its basis, opt-in or opt-out."
    `);
    expect(load(shopWith({ [CONSENT]: null })).workspace).toBeNull();
  });

  test('that cannot be read leaves no workspace', () => {
    expect(load(shopWith({ [CONSENT]: 'purposes: 5\n' })).workspace).toBeNull();
  });

  test('is not asked for where nothing is sent', () => {
    const files = new Map([...shopWith({ [CONSENT]: null })].filter(([path]) => !path.startsWith('destinations/')));
    for (const name of ['lapsed-vips', 'churned', 'basket-builders']) files.delete(`audiences/${name}.yaml`);
    expect(load(files).problems).toEqual([]);
  });
});

test('a policy that does not exist is an error', () => {
  expect(
    seen({
      'policies/retension.yaml': 'a: 1\n',
    }),
  ).toMatchInlineSnapshot(`
    "policies/retension.yaml:1:1  There is no policy "retension". [unknown-file]
      1 | a: 1
        | ^
      Did you mean "retention"?"
  `);
});
