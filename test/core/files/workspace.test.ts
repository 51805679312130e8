import { describe, expect, test } from 'vitest';
import { load, seen, shopWith } from './shop.ts';

describe('a workspace', () => {
  test('of the example shop has no problem', () => {
    const { workspace, problems } = load(shopWith());
    expect(problems).toEqual([]);
    expect(Object.keys(workspace?.audiences ?? {})).toEqual(['basket-builders', 'churned', 'lapsed-vips', 'staff']);
    expect(Object.keys(workspace?.destinations ?? {})).toEqual(['braze-eu', 'meta-eu', 'partner-drop']);
    expect(workspace?.tables.map(({ role, name }) => `${role} ${name}`)).toEqual([
      'consents consents',
      'customers customers',
      'erasures erasures',
      'identifiers identifiers',
      'events order_completed',
      'events support_ticket_opened',
    ]);
  });

  test('keeps the sound audiences when others have errors', () => {
    const { workspace } = load(shopWith({ 'audiences/lapsed-vips.yaml': 'where: { nope: 1 }\n' }));
    expect(Object.keys(workspace?.audiences ?? {})).toEqual(['basket-builders', 'churned', 'staff']);
  });

  test('names every audience that a change of a contract breaks', () => {
    const renamed = (text: string) =>
      text
        .replace('name: last_order_at', 'name: latest_order_at')
        .replace('.last_order_at', '.latest_order_at')
        .replace('1.0.0', '2.0.0');
    expect(seen({ 'contracts/customers.yaml': renamed })).toMatchInlineSnapshot(`
      "audiences/churned.yaml:6:7  "last_order_at" is not a column of customers (contracts/customers.yaml, version 2.0.0). [unknown-column]
        6 |     - last_order_at: { before: 1 year ago }
          |       ^^^^^^^^^^^^^
        Did you mean "latest_order_at"?

      audiences/lapsed-vips.yaml:7:7  "last_order_at" is not a column of customers (contracts/customers.yaml, version 2.0.0). [unknown-column]
        7 |     - last_order_at: { before: 90 days ago }
          |       ^^^^^^^^^^^^^
        Did you mean "latest_order_at"?"
    `);
    const retyped = (text: string) =>
      text.replace(
        'name: orders_count\n        logicalType: integer\n        physicalType: bigint',
        'name: orders_count\n        logicalType: string\n        physicalType: varchar',
      );
    expect(seen({ 'contracts/customers.yaml': retyped })).toMatchInlineSnapshot(`
      "audiences/churned.yaml:7:28  "orders_count" is of type string, and this is a number. [wrong-type]
        7 |     - orders_count: { gte: 1 }
          |                            ^
        Put it in quotes: "1".

      audiences/lapsed-vips.yaml:20:24  The audience "churned" has errors of its own, so this one cannot be made. [broken-audience]
        20 |     - not: { audience: churned }
           |                        ^^^^^^^
        Correct that file first."
    `);
  });

  test('has names that are names, and each once', () => {
    expect(
      seen({
        'audiences/My Audience.yaml': 'where: { country: DE }\n',
        'audiences/_.yaml': 'where: { country: DE }\n',
        'audiences/staff.yml': 'where: { country: DE }\n',
        'audiences/README.md': 'not ours',
        'notes.yaml': 'not: [ours',
      }),
    ).toMatchInlineSnapshot(`
      "audiences/My Audience.yaml:1:1  "My Audience" cannot be a name: it needs lower-case letters, digits, - and _, 64 at most. [file-name]
        1 | where: { country: DE }
          | ^
        Rename the file to my-audience.yaml.

      audiences/_.yaml:1:1  "_" cannot be a name: it needs lower-case letters, digits, - and _, 64 at most. [file-name]
        1 | where: { country: DE }
          | ^

      audiences/staff.yml:1:1  "staff" is defined twice: by this file and by audiences/staff.yaml. [duplicate-name]
        1 | where: { country: DE }
          | ^
        Rename one."
    `);
  });

  test('may have names that objects are born with', () => {
    const { workspace, problems } = load(
      shopWith({
        'audiences/constructor.yaml': 'where: { country: DE }\nsyncs: [{ to: valueof }]\n',
        'destinations/valueof.yaml': shopWith().get('destinations/meta-eu.yaml') ?? '',
      }),
    );
    expect(problems).toEqual([]);
    expect(workspace?.audiences['constructor']?.name).toBe('constructor');
    expect(workspace?.destinations['toString']).toBeUndefined();
    expect(seen({ 'audiences/staff.yaml': 'where: { constructor: 1 }\nsyncs: [{ to: toString }]\n' })).toContain(
      'There is no destination "toString".',
    );
  });

  test('without any file needs customers', () => {
    expect(load(new Map()).problems.map(({ rule, file }) => `${file} ${rule}`)).toEqual([
      'contracts/customers.yaml missing-contract',
    ]);
  });

  test('of another environment reads the servers of that name', () => {
    expect(load(shopWith(), 'prod').problems.map(({ rule, file }) => `${file} ${rule}`)).toEqual(
      ['consents', 'customers', 'erasures', 'identifiers', 'orders', 'support'].map((name) => `contracts/${name}.yaml no-server`),
    );
  });
});

describe('what may be sent where', () => {
  const sync = (lines: string) => ({ 'audiences/staff.yaml': `where: { is_staff: true }\nsyncs:\n${lines}` });
  const mark = (column: string, property: string) => (text: string) =>
    text.replace(`- name: ${column}\n`, `- name: ${column}\n        ${property}\n`);

  test('a column marked with purposes goes nowhere else', () => {
    expect(seen(sync('  - to: partner-drop\n    traits: [ltv_band]\n'))).toMatchInlineSnapshot(`
      "audiences/basket-builders.yaml:10:11  The audience "staff" has errors of its own, so this one cannot be made. [broken-audience]
        10 | exclude: [staff]
           |           ^^^^^
        Correct that file first.

      audiences/churned.yaml:8:11  The audience "staff" has errors of its own, so this one cannot be made. [broken-audience]
        8 | exclude: [staff]
          |           ^^^^^
        Correct that file first.

      audiences/lapsed-vips.yaml:20:24  The audience "churned" has errors of its own, so this one cannot be made. [broken-audience]
        20 |     - not: { audience: churned }
           |                        ^^^^^^^
        Correct that file first.

      audiences/staff.yaml:4:14  "ltv_band" may only be sent for email_marketing; partner-drop is for partner_offers. [purpose-not-allowed]
        4 |     traits: [ltv_band]
          |              ^^^^^^^^
        The path is customers.ltv_band -> contracts/customers.yaml -> audiences/staff.yaml -> destinations/partner-drop.yaml. Leave it out, or let whoever owns the contract add the purpose to sluice.purposes."
    `);
    expect(seen(sync('  - to: braze-eu\n    mode: upsert\n    traits: [ltv_band]\n'))).toBe('');
  });

  test('a classified column goes nowhere until its contract names the purposes', () => {
    const traits = sync('  - to: partner-drop\n    traits: { o: orders_count, s: is_staff }\n');
    expect(
      seen({ ...traits, 'contracts/customers.yaml': mark('orders_count', 'classification: restricted') }),
    ).toMatchInlineSnapshot(`
      "audiences/basket-builders.yaml:10:11  The audience "staff" has errors of its own, so this one cannot be made. [broken-audience]
        10 | exclude: [staff]
           |           ^^^^^
        Correct that file first.

      audiences/churned.yaml:8:11  The audience "staff" has errors of its own, so this one cannot be made. [broken-audience]
        8 | exclude: [staff]
          |           ^^^^^
        Correct that file first.

      audiences/lapsed-vips.yaml:20:24  The audience "churned" has errors of its own, so this one cannot be made. [broken-audience]
        20 |     - not: { audience: churned }
           |                        ^^^^^^^
        Correct that file first.

      audiences/staff.yaml:4:18  "orders_count" is classified restricted, and its contract names no purpose it may be sent for. [classified-column]
        4 |     traits: { o: orders_count, s: is_staff }
          |                  ^^^^^^^^^^^^
        The path is customers.orders_count -> contracts/customers.yaml -> audiences/staff.yaml -> destinations/partner-drop.yaml. Leave it out, or let whoever owns the contract add the custom property sluice.purposes."
    `);
    const both = 'classification: restricted\n        customProperties: [{ property: sluice.purposes, value: [partner_offers] }]';
    expect(seen({ ...traits, 'contracts/customers.yaml': mark('orders_count', both) })).toBe('');
  });

  test('identifiers too', () => {
    const purposes = 'customProperties: [{ property: sluice.purposes, value: [email_marketing] }]';
    expect(
      seen({
        ...sync('  - to: meta-eu\n    identifiers: [email]\n'),
        'contracts/identifiers.yaml': mark('value', purposes),
        'audiences/lapsed-vips.yaml': null,
        'audiences/basket-builders.yaml': null,
        'audiences/churned.yaml': null,
      }),
    ).toMatchInlineSnapshot(`
      "audiences/staff.yaml:4:19  Identifiers in "value" may only be sent for email_marketing; meta-eu is for ads_personalisation. [purpose-not-allowed]
        4 |     identifiers: [email]
          |                   ^^^^^
        The path is identifiers.value -> contracts/identifiers.yaml -> audiences/staff.yaml -> destinations/meta-eu.yaml. Leave it out, or let whoever owns the contract add the purpose to sluice.purposes."
    `);
  });

  test('an identifier comes from the identifiers, from a column, or is the customer id', () => {
    const without = {
      'contracts/identifiers.yaml': null,
      'audiences/lapsed-vips.yaml': null,
      'audiences/basket-builders.yaml': null,
      'audiences/churned.yaml': null,
    };
    expect(seen({ ...without, ...sync('  - to: meta-eu\n    identifiers: [email, external_id]\n') })).toMatchInlineSnapshot(`
      "audiences/staff.yaml:4:19  No contract holds identifiers of the namespace "email". [no-identifiers]
        4 |     identifiers: [email, external_id]
          |                   ^^^^^
        Add a contract of role identifiers, or mark a column of customers with the custom property sluice.namespace."
    `);
    const column = mark('state', 'customProperties: [{ property: sluice.namespace, value: email }]');
    expect(
      seen({
        ...without,
        ...sync('  - to: meta-eu\n    identifiers: [email, external_id]\n'),
        'contracts/customers.yaml': column,
      }),
    ).toBe('');
  });

  test('what identifies nobody alone is not enough', () => {
    expect(seen(sync('  - to: meta-eu\n    identifiers: [first_name, country]\n'))).toMatchInlineSnapshot(`
      "audiences/basket-builders.yaml:10:11  The audience "staff" has errors of its own, so this one cannot be made. [broken-audience]
        10 | exclude: [staff]
           |           ^^^^^
        Correct that file first.

      audiences/churned.yaml:8:11  The audience "staff" has errors of its own, so this one cannot be made. [broken-audience]
        8 | exclude: [staff]
          |           ^^^^^
        Correct that file first.

      audiences/lapsed-vips.yaml:20:24  The audience "churned" has errors of its own, so this one cannot be made. [broken-audience]
        20 |     - not: { audience: churned }
           |                        ^^^^^^^
        Correct that file first.

      audiences/staff.yaml:4:19  None of first_name, country identifies a person alone. [weak-identifiers]
        4 |     identifiers: [first_name, country]
          |                   ^^^^^^^^^^
        Add one of external_id, email, phone, maid."
    `);
  });
});
