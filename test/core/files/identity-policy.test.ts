import { describe, expect, test } from 'vitest';
import { USUAL_IDENTITY } from '../../../core/identity.ts';
import { USUAL_LINKAGE } from '../../../core/linkage.ts';
import { load, seen, shopWith } from './shop.ts';

const IDENTITY = 'policies/identity.yaml';
const FULL = `trust_levels: { login: 90, order: 60, import: 20 }
unverified: use
precedence: [trust, last_seen]
namespaces:
  email: { issued_by: web shop, trust: order, min_trust: import, max: 3 }
  phone: { description: as typed at the checkout, unverified: ignore }
destinations:
  meta-eu: { email: 2 }
survivorship: { identifiers: survivor }
linkage: { merges: { times: 10 }, most: { times: 2, floor: 20 } }
`;

describe('the identity policy', () => {
  test('is what is usual where there is no file', () => {
    expect(load(shopWith({ [IDENTITY]: null })).workspace?.identity).toEqual(USUAL_IDENTITY);
  });

  test('becomes rules a namespace, and has a version that changes with every change of the file', () => {
    const { workspace, problems } = load(shopWith({ [IDENTITY]: FULL }));
    expect(problems).toEqual([]);
    expect(workspace?.identity).toEqual({
      namespaces: {
        email: { unverified: 'use', max: 3, minTrust: 20, trust: 60 },
        phone: { unverified: 'ignore' },
      },
      unverified: 'use',
      destinations: { 'meta-eu': { email: 2 } },
      precedence: ['trust', 'last_seen'],
      survivorship: 'survivor',
      linkage: { ...USUAL_LINKAGE, merges: { times: 10, floor: USUAL_LINKAGE.merges.floor }, most: { times: 2, floor: 20 } },
      version: expect.stringMatching(/^[0-9a-f]{12}$/) as string,
    });
    const changed = load(shopWith({ [IDENTITY]: `${FULL}# reviewed\n` })).workspace?.identity.version;
    expect(changed).not.toBe(workspace?.identity.version);
    expect(load(shopWith({ [IDENTITY]: FULL })).workspace?.identity.version).toBe(workspace?.identity.version);
  });

  test('law 1: with errors in it nothing can be sent', () => {
    expect(load(shopWith({ [IDENTITY]: 'precedence: [newest]\n' })).workspace).toBeNull();
  });

  test('says all at once what is wrong in it', () => {
    expect(
      seen({
        [IDENTITY]: `trust_levels: { login: 90 }
precedence: [trust, trust]
namespaces:
  email: { min_trust: logn, unverifid: ignore }
  maid: { max: 1 }
  loyalty_card: { issued_by: stores }
  external_id: { max: 1 }
destinations:
  meta-uk: { email: 1 }
  meta-eu: { emial: 1 }
  braze-eu: { email: 2 }
`,
      }),
    ).toMatchInlineSnapshot(`
      "policies/identity.yaml:2:21  "trust" stands twice in "precedence". [invalid-value]
        2 | precedence: [trust, trust]
          |                     ^^^^^
        Take the second one away; it decides nothing.

      policies/identity.yaml:4:23  "logn" is not one of the trust levels of this file. [unknown-trust-level]
        4 |   email: { min_trust: logn, unverifid: ignore }
          |                       ^^^^
        Did you mean "login"?

      policies/identity.yaml:4:29  Unknown key "unverifid" in the namespace email. [unknown-key]
        4 |   email: { min_trust: logn, unverifid: ignore }
          |                             ^^^^^^^^^
        Did you mean "unverified"?

      policies/identity.yaml:6:3  Warning: No sync sends identifiers of the namespace "loyalty_card". [unused-namespace]
        6 |   loyalty_card: { issued_by: stores }
          |   ^^^^^^^^^^^^
        Take it away, or name it under "identifiers" of a sync.

      policies/identity.yaml:7:18  "max" says nothing of external_id: it is the customer id itself, one a person. [invalid-value]
        7 |   external_id: { max: 1 }
          |                  ^^^
        Only "description" and "issued_by" can stand here.

      policies/identity.yaml:9:3  There is no destination "meta-uk". [unknown-destination]
        9 |   meta-uk: { email: 1 }
          |   ^^^^^^^
        Did you mean "meta-eu"?

      policies/identity.yaml:10:14  Meta Custom Audiences does not take the identifier "emial". [unsupported-identifier]
        10 |   meta-eu: { emial: 1 }
           |              ^^^^^
        Did you mean "email"?

      policies/identity.yaml:11:22  Braze takes at most 1 of "email" a person, not 2. [out-of-range]
        11 |   braze-eu: { email: 2 }
           |                      ^
        Write 1 or less, or take the line away."
    `);
  });

  test('refuses a rule over a column that no contract has', () => {
    const without = (text: string) =>
      text.replace(/ {6}- name: verified\n(?: {8}.*\n)+/, '').replace(/ {6}- name: trust\n(?: {8}.*\n)+/, '');
    expect(
      seen({
        'contracts/identifiers.yaml': without,
        [IDENTITY]: 'namespaces: { email: { unverified: ignore, min_trust: 5 }, phone: { trust: 9, min_trust: 5 } }\n',
      }),
    ).toMatchInlineSnapshot(`
      "policies/identity.yaml:1:15  No contract says how far identifiers of "email" are trusted, so all of them would be ignored. [missing-field]
        1 | namespaces: { email: { unverified: ignore, min_trust: 5 }, phone: { trust: 9, min_trust: 5 } }
          |               ^^^^^
        Add "trust" to the contract of role identifiers, or take the rule away.

      policies/identity.yaml:1:15  No contract says which identifiers of "email" are verified, so all of them would be ignored. [missing-field]
        1 | namespaces: { email: { unverified: ignore, min_trust: 5 }, phone: { trust: 9, min_trust: 5 } }
          |               ^^^^^
        Add "verified" to the contract of role identifiers, or take the rule away."
    `);
  });
});
