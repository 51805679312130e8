import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Table } from '../../../core/model.ts';
import { load, seen, shopWith } from './shop.ts';
import type { Changes } from './shop.ts';

const ORDERS = 'contracts/orders.yaml';
const CUSTOMERS = 'contracts/customers.yaml';

const tables = (changes: Changes = {}): readonly Table[] => load(shopWith(changes)).workspace?.tables ?? [];
const table = (name: string, changes: Changes = {}): Table | undefined => tables(changes).find((one) => one.name === name);

describe('a contract', () => {
  test('becomes a table with typed columns, fields, servers, freshness and quality', () => {
    const { columns, ...customers } = table('customers') ?? { columns: [] };
    expect(customers).toEqual({
      name: 'customers',
      physicalName: 'customers',
      role: 'customers',
      version: '1.0.0',
      status: 'active',
      fields: { customer_id: 'customer_id' },
      servers: {
        local: { type: 'local', path: '.sluice/shop/customers.parquet', format: 'parquet' },
        dev: { type: 'athena', database: 'shop', catalog: 'awsdatacatalog' },
      },
      freshness: { column: 'last_order_at', maxAge: { amount: 2, unit: 'day' } },
      quality: [{ kind: 'row-count', min: 1 }],
      file: CUSTOMERS,
    });
    expect(columns.find(({ name }) => name === 'lifetime_value')).toEqual({
      name: 'lifetime_value',
      type: 'number',
      required: true,
      unique: false,
      primaryKey: false,
      scale: 2,
      zoned: false,
    });
    expect(columns.find(({ name }) => name === 'ltv_band')?.purposes).toEqual(['email_marketing']);
    expect(columns.find(({ name }) => name === 'is_staff')?.classification).toBe('internal');
  });

  test('of events lists its active versions, of consents its words', () => {
    expect(table('order_completed')?.activeVersions).toEqual(['1', '2']);
    expect(table('consents')?.statuses).toEqual({
      granted: 'granted',
      denied: 'denied',
      withdrawn: 'withdrawn',
      pending: 'pending',
    });
  });

  test('finds a field under another name by sluice.field, and rules use the name of the contract for a column renamed in the table', () => {
    const mapped = (text: string) =>
      text
        .replace(
          'name: occurred_at\n',
          'name: placed_at\n        customProperties: [{ property: sluice.field, value: occurred_at }]\n',
        )
        .replace('.occurred_at', '.placed_at')
        .replace('- name: category\n', '- name: category\n        physicalName: cat_l1\n');
    const { workspace, problems } = load(shopWith({ [ORDERS]: mapped }));
    expect(problems).toEqual([]);
    const orders = workspace?.tables.find(({ name }) => name === 'order_completed');
    expect(orders?.fields['occurred_at']).toBe('placed_at');
    expect(JSON.stringify(workspace?.audiences['lapsed-vips']?.where)).toContain('"name":"cat_l1"');
  });

  test('may serve many tables from one place, and other places beside it', () => {
    const servers = `servers:
  - { server: local, type: local, path: "lake/{table}/*.parquet", format: parquet }
  - { server: dev, type: duckdb, database: dev.duckdb }
  - { server: aws, environment: prod, type: athena, schema: activation, stagingDir: s3://bucket/athena }
  - { server: stream, type: kafka, host: "broker:9092", format: avro }
schema:`;
    expect(table('order_completed', { [ORDERS]: (text) => text.replace(/servers:[\s\S]*\nschema:/, servers) })?.servers).toEqual({
      local: { type: 'local', path: 'lake/order_completed/*.parquet', format: 'parquet' },
      dev: { type: 'duckdb', database: 'dev.duckdb', schema: 'main' },
      aws: { type: 'athena', database: 'activation', catalog: 'awsdatacatalog' },
      prod: { type: 'athena', database: 'activation', catalog: 'awsdatacatalog' },
    });
  });

  test.each([
    ['metric: rowCount', 'mustBeBetween: [10, 20]', { kind: 'row-count', min: 10, max: 20 }],
    ['metric: rowCount', 'mustBeGreaterOrEqualTo: 10', { kind: 'row-count', min: 10 }],
    ['metric: rowCount', 'mustBeLessThan: 10', { kind: 'row-count', max: 9 }],
    ['metric: rowCount', 'mustNotBe: 0', { kind: 'row-count', min: 1 }],
  ])('asks of the whole table: %s, %s', (metric, bound, expected) => {
    const quality = `    quality:\n      - ${metric}\n        ${bound}\n    properties:\n`;
    expect(
      table('erasures', { 'contracts/erasures.yaml': (text) => text.replace('    properties:\n', quality) })?.quality,
    ).toEqual([expected]);
  });

  test.each([
    ['nullValues', 'mustBe: 0', { kind: 'null-values', maxPercent: 0 }],
    ['nullValues', 'mustBeLessThan: 1', { kind: 'null-values', maxPercent: 0 }],
    ['missingValues', 'mustBeLessOrEqualTo: 2.5\n            unit: percent', { kind: 'null-values', maxPercent: 2.5 }],
    ['nullValues', 'mustBeLessThan: 5\n            unit: percent', { kind: 'null-values', maxPercent: 5 - 1e-9 }],
    ['duplicateValues', 'mustBe: 0', { kind: 'unique' }],
  ])('asks of a column: %s, %s', (metric, bound, expected) => {
    const quality = `name: requested_at\n        quality:\n          - metric: ${metric}\n            ${bound}\n`;
    expect(
      table('erasures', { 'contracts/erasures.yaml': (text) => text.replace('name: requested_at\n', quality) })?.quality,
    ).toEqual([{ ...expected, column: 'requested_at' }]);
  });

  test.each([
    ['string', 'decimal(10,3)', 'string', 3],
    [undefined, 'DECIMAL(18)', 'number', 0],
    [undefined, 'varchar(20)', 'string', 6],
    [undefined, 'double', 'number', 6],
    [undefined, 'timestamp(3) with time zone', 'timestamp', 6],
  ])('types a column of logical type %s and physical type %s as %s', (logical, physical, type, scale) => {
    const column = `name: topic\n        ${logical ? `logicalType: ${logical}\n        ` : ''}physicalType: ${physical}\n`;
    const changes = {
      'contracts/support.yaml': (text: string) => text.replace(/name: topic\n.*\n.*\n/, column),
    };
    const found = table('support_ticket_opened', changes)?.columns.find(({ name }) => name === 'topic');
    expect(found).toMatchObject({ type, scale, zoned: physical.includes('with time zone') });
  });

  test('that is not active or deprecated is not read, and says nothing', () => {
    const { workspace, problems } = load(
      shopWith({ 'contracts/support.yaml': (text) => text.replace('status: active', 'status: retired') }),
    );
    expect(workspace?.tables.map(({ name }) => name)).not.toContain('support_ticket_opened');
    expect(problems.map(({ rule }) => rule)).toEqual(['unknown-event']);
  });
});

describe('every example of the standard', () => {
  const folder = join(import.meta.dirname, 'odcs');
  test.each(readdirSync(folder).filter((name) => name.endsWith('.yaml')))('%s is taken without an error', (name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    const { problems } = load(shopWith({ 'contracts/example.yaml': text }));
    expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  });
});

describe('two versions of a contract', () => {
  const second = (status: string, physicalName: string) => (text: string) =>
    text
      .replace('version: 1.0.0', 'version: 2.0.0')
      .replace('status: active', `status: ${status}`)
      .replace('name: order_completed\n', `name: order_completed\n    physicalName: ${physicalName}\n`)
      .replace('name: category', 'name: product_group');
  const both = (status = 'active', name = 'order_completed_2'): Changes => ({
    'contracts/orders-2.yaml': second(status, name)(shopWith().get(ORDERS) ?? ''),
  });

  test('are served side by side; a rule speaks of the newest active one, or of the one it names', () => {
    expect(
      tables(both())
        .filter(({ role }) => role === 'events')
        .map(({ name, version }) => `${name} ${version}`),
    ).toEqual(['order_completed 2.0.0', 'order_completed 1.0.0', 'support_ticket_opened 1.0.0']);
    const asks = (version: string, column: string) => ({
      ...both(),
      'audiences/lapsed-vips.yaml': `where: { event: order_completed,${version} where: { ${column}: shoes } }\n`,
    });
    expect(load(shopWith(asks('', 'product_group'))).problems).toEqual([]);
    expect(load(shopWith(asks(' version: 1,', 'category'))).problems).toEqual([]);
    expect(seen(asks('', 'category'))).toMatchInlineSnapshot(`
      "audiences/lapsed-vips.yaml:1:43  "category" is not a column of order_completed (contracts/orders-2.yaml, version 2.0.0). [unknown-column]
        1 | where: { event: order_completed, where: { category: shoes } }
          |                                           ^^^^^^^^"
    `);
  });

  test('name every audience that the change breaks', () => {
    expect(seen({ ...both(), [ORDERS]: (text) => text.replace('status: active', 'status: retired') })).toMatchInlineSnapshot(`
      "audiences/lapsed-vips.yaml:15:16  "category" is not a column of order_completed (contracts/orders-2.yaml, version 2.0.0). [unknown-column]
        15 |       where: { category: { in: [shoes, bags] } }
           |                ^^^^^^^^"
    `);
  });

  test('need two names in SQL, and two versions', () => {
    expect(seen(both('active', 'order_completed'))).toMatchInlineSnapshot(`
      "audiences/lapsed-vips.yaml:15:16  "category" is not a column of order_completed (contracts/orders-2.yaml, version 2.0.0). [unknown-column]
        15 |       where: { category: { in: [shoes, bags] } }
           |                ^^^^^^^^

      contracts/orders.yaml:20:11  "order_completed" means two tables in SQL: this one and order_completed of contracts/orders-2.yaml. [duplicate-name]
        20 |   - name: order_completed
           |           ^^^^^^^^^^^^^^^
        Give one a physicalName of its own."
    `);
    expect(seen({ 'contracts/orders-2.yaml': shopWith().get(ORDERS) ?? '' })).toMatchInlineSnapshot(`
      "contracts/orders.yaml:20:11  "order_completed" of version 1 is defined twice: here and in contracts/orders-2.yaml. [duplicate-name]
        20 |   - name: order_completed
           |           ^^^^^^^^^^^^^^^
        Remove one, or give it a new major version."
    `);
  });

  test('warn of the deprecated one when it is all there is', () => {
    expect(
      seen({ 'contracts/support.yaml': (text) => text.replace('status: active', 'status: deprecated') }),
    ).toMatchInlineSnapshot(`
      "audiences/lapsed-vips.yaml:17:14  Warning: The event "support_ticket_opened" is deprecated (contracts/support.yaml, version 1.0.0). [deprecated-event]
        17 |     - event: support_ticket_opened
           |              ^^^^^^^^^^^^^^^^^^^^^"
    `);
    expect(seen({ [CUSTOMERS]: (text) => text.replace('status: active', 'status: deprecated') })).toMatchInlineSnapshot(`
      "contracts/customers.yaml:20:11  Warning: The only contract of role customers is deprecated. [deprecated-contract]
        20 |   - name: customers
           |           ^^^^^^^^^"
    `);
  });

  test('of the customers cannot both be active', () => {
    const customers = (shopWith().get(CUSTOMERS) ?? '')
      .replace('version: 1.0.0', 'version: 2.0.0')
      .replace('- name: customers\n', '- name: customers\n    physicalName: customers_2\n');
    expect(seen({ 'contracts/customers-2.yaml': customers })).toMatchInlineSnapshot(`
      "contracts/customers.yaml:20:11  Two active contracts have a table of role customers: this one and contracts/customers-2.yaml. [several-contracts]
        20 |   - name: customers
           |           ^^^^^^^^^
        Set the status of one to deprecated or draft."
    `);
  });
});

describe('a contract says, all at once,', () => {
  test('what is no part of the standard', () => {
    expect(
      seen({
        'contracts/support.yaml': (text) =>
          text
            .replace('logicalType: timestamp', 'logicalType: datetime')
            .replace('required: true', 'requird: true')
            .replace('version: 1.0.0', 'version: 1.0')
            .replace('kind: DataContract\n', '')
            .replace('name: customer-care', 'nam: customer-care'),
      }),
    ).toMatchInlineSnapshot(`
      "audiences/lapsed-vips.yaml:17:14  The event "support_ticket_opened" is not known, because contracts/support.yaml has errors of its own. [broken-contract]
        17 |     - event: support_ticket_opened
           |              ^^^^^^^^^^^^^^^^^^^^^
        Correct that file first.

      contracts/support.yaml:2:1  "kind" is missing in a contract. [missing-key]
        2 | apiVersion: v3.1.0
          | ^^^^^^^^^^

      contracts/support.yaml:5:10  "version" must be a text, not a number. [wrong-type]
        5 | version: 1.0
          |          ^^^
        Put it in quotes: "1.0".

      contracts/support.yaml:28:9  Unknown key "requird" in a property. [unknown-key]
        28 |         requird: true
           |         ^^^^^^^
        Did you mean "required"?

      contracts/support.yaml:37:22  "logicalType" must be one of string, date, timestamp, time, number, integer, object, array, boolean, not "datetime". [invalid-value]
        37 |         logicalType: datetime
           |                      ^^^^^^^^

      contracts/support.yaml:45:3  Unknown key "nam" in the team. [unknown-key]
        45 |   nam: customer-care
           |   ^^^
        Did you mean "name"?"
    `);
  });

  test('what Sluice needs and does not find', () => {
    expect(
      seen({
        'contracts/support.yaml': (text) =>
          text
            .replace('name: customer_id', 'name: cust_id')
            .replace('type: local', 'type: duckdb')
            .replace('name: topic\n', 'name: ticket_id\n')
            .replace(
              'team:',
              'slaProperties:\n  - { property: freshness, value: 2, element: support_ticket_opened.occured_at }\nteam:',
            ),
        'contracts/erasures.yaml': (text) =>
          text.replace('logicalType: string', 'logicalType: integer').replace('server: local', 'server: locl'),
      }),
    ).toMatchInlineSnapshot(`
      "audiences/lapsed-vips.yaml:17:14  The event "support_ticket_opened" is not known, because contracts/support.yaml has errors of its own. [broken-contract]
        17 |     - event: support_ticket_opened
           |              ^^^^^^^^^^^^^^^^^^^^^
        Correct that file first.

      contracts/erasures.yaml:10:1  "erasures" has no server for the environment "local". [no-server]
        10 | servers:
           | ^^^^^^^
        Did you mean "locl"?

      contracts/erasures.yaml:20:11  "customer_id" of erasures is of type integer, and the customer id is of type string in contracts/customers.yaml. [id-type]
        20 |   - name: erasures
           |           ^^^^^^^^
        Give both the same type in the activation tables.

      contracts/support.yaml:11:13  "database" is missing in a server of type duckdb. [missing-key]
        11 |   - server: local
           |             ^^^^^

      contracts/support.yaml:20:11  "support_ticket_opened" has no column for "customer_id", which a table of role events needs. [missing-field]
        20 |   - name: support_ticket_opened
           |           ^^^^^^^^^^^^^^^^^^^^^
        Add a column "customer_id", or mark one with the custom property sluice.field: customer_id.

      contracts/support.yaml:41:15  "ticket_id" is declared twice in support_ticket_opened. [duplicate-column]
        41 |       - name: ticket_id
           |               ^^^^^^^^^

      contracts/support.yaml:46:47  "occured_at" is not a column of support_ticket_opened. [freshness-column]
        46 |   - { property: freshness, value: 2, element: support_ticket_opened.occured_at }
           |                                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        Did you mean "occurred_at"?"
    `);
  });

  test('which of its sluice properties mean nothing', () => {
    const property = (name: string, value: string) => `        customProperties: [{ property: ${name}, value: ${value} }]\n`;
    expect(
      seen({
        'contracts/consents.yaml': (text) =>
          text.replace('granted: granted', 'granted: grnted').replace('value: consents\n', 'value: consent\n'),
        'contracts/support.yaml': (text) =>
          text
            .replace('- name: topic\n', `- name: topic\n${property('sluice.role', 'events')}`)
            .replace('- name: ticket_id\n', `- name: ticket_id\n${property('sluice.feild', 'x')}`),
        'contracts/erasures.yaml': (text) =>
          text
            .replace('- name: requested_at\n', `- name: requested_at\n${property('sluice.field', 'requested')}`)
            .replace('- name: customer_id\n', `- name: customer_id\n${property('sluice.purposes', '[1]')}`),
      }),
    ).toMatchInlineSnapshot(`
      "audiences/lapsed-vips.yaml:17:14  The event "support_ticket_opened" is not known, because contracts/support.yaml has errors of its own. [broken-contract]
        17 |     - event: support_ticket_opened
           |              ^^^^^^^^^^^^^^^^^^^^^
        Correct that file first.

      contracts/consents.yaml:24:16  "consent" is not a role. [invalid-value]
        24 |         value: consent
           |                ^^^^^^^
        Did you mean "consents"?

      contracts/erasures.yaml:20:11  "erasures" has no column for "requested_at", which a table of role erasures needs. [missing-field]
        20 |   - name: erasures
           |           ^^^^^^^^
        If it is "requested_at", say so there with the custom property sluice.field: requested_at.

      contracts/erasures.yaml:20:11  "requested_at" says it is the field "requested", which tables of role erasures do not have. [unknown-field]
        20 |   - name: erasures
           |           ^^^^^^^^
        Did you mean "requested_at"?

      contracts/erasures.yaml:27:64  "sluice.purposes" must be a list of texts. [wrong-type]
        27 |         customProperties: [{ property: sluice.purposes, value: [1] }]
           |                                                                ^^^
        Put each in quotes.

      contracts/support.yaml:27:40  Unknown custom property "sluice.feild" in a property. [unknown-key]
        27 |         customProperties: [{ property: sluice.feild, value: x }]
           |                                        ^^^^^^^^^^^^
        Did you mean "sluice.field"?

      contracts/support.yaml:43:40  Unknown custom property "sluice.role" in a property. [unknown-key]
        43 |         customProperties: [{ property: sluice.role, value: events }]
           |                                        ^^^^^^^^^^^
        It belongs to a schema object."
    `);
  });

  test('which quality rules it would not run', () => {
    const quality = [
      '    quality:',
      '      - { metric: rowCount, mustNotBe: 5 }',
      '      - { type: sql, query: SELECT 1, mustBe: 0 }',
      '      - { type: text, description: People look at it. }',
      '      - { type: custom, engine: soda, implementation: x }',
      '    properties:\n',
    ].join('\n');
    expect(seen({ 'contracts/erasures.yaml': (text) => text.replace('    properties:\n', quality) })).toMatchInlineSnapshot(`
      "contracts/erasures.yaml:26:19  Warning: Sluice cannot run this quality rule. [quality-not-run]
        26 |       - { metric: rowCount, mustNotBe: 5 }
           |                   ^^^^^^^^
        It runs rowCount with bounds, nullValues and missingValues as none or a percentage, and duplicateValues as none.

      contracts/erasures.yaml:27:9  Warning: Sluice cannot run this quality rule. [quality-not-run]
        27 |       - { type: sql, query: SELECT 1, mustBe: 0 }
           |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        It runs rowCount with bounds, nullValues and missingValues as none or a percentage, and duplicateValues as none."
    `);
  });

  test('which columns a rule cannot test', () => {
    expect(
      seen({
        [CUSTOMERS]: (text) =>
          text.replace(
            '- name: state\n        logicalType: string\n        physicalType: varchar',
            '- name: state\n        logicalType: array',
          ),
        'audiences/staff.yaml': 'where: { state: CA }\n',
        'policies/consent.yaml': (text) => text.replace(', region: state', ''),
      }),
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

      audiences/staff.yaml:1:10  "state" is of type array in customers (contracts/customers.yaml, version 1.0.0); a rule cannot test it. [unusable-column]
        1 | where: { state: CA }
          |          ^^^^^
        Add a column of a plain type to the activation table."
    `);
  });

  test('that it has no role, or a status nobody knows', () => {
    expect(
      seen({
        'contracts/erasures.yaml': (text) => text.replace('- property: sluice.role', '- property: other'),
        'contracts/support.yaml': (text) => text.replace('status: active', 'status: actve'),
        'audiences/lapsed-vips.yaml': null,
      }),
    ).toMatchInlineSnapshot(`
      "contracts/erasures.yaml:20:11  Warning: "erasures" has no role, so Sluice does not read it. [no-role]
        20 |   - name: erasures
           |           ^^^^^^^^
        Add the custom property sluice.role: customers, identifiers, consents, events, identity-changes, erasures.

      contracts/support.yaml:7:9  "actve" is not a status that Sluice knows, so this contract is not read. [unknown-status]
        7 | status: actve
          |         ^^^^^
        Did you mean "active"?"
    `);
  });

  test('that nothing of it can be used when it is missing or broken', () => {
    const without = load(shopWith({ [CUSTOMERS]: null }));
    expect(without.workspace).toBeNull();
    expect(seen({ [CUSTOMERS]: null })).toMatchInlineSnapshot(`
      "contracts/customers.yaml:1:1  No active contract has a table of role customers. Audiences are rules over its columns. [missing-contract]
        Write contracts/customers.yaml with the custom property sluice.role: customers."
    `);
    expect(seen({ 'contracts/consents.yaml': null })).toMatchInlineSnapshot(`
      "contracts/consents.yaml:1:1  No active contract has a table of role consents. Without consents nobody may be sent anywhere. [missing-contract]
        Write contracts/consents.yaml with the custom property sluice.role: consents."
    `);
    expect(seen({ [ORDERS]: 'schema: [' })).toMatchInlineSnapshot(`
      "audiences/lapsed-vips.yaml:11:14  The event "order_completed" is not known, because contracts/orders.yaml has errors of its own. [broken-contract]
        11 |     - event: order_completed
           |              ^^^^^^^^^^^^^^^
        Correct that file first.

      audiences/lapsed-vips.yaml:14:14  The event "order_completed" is not known, because contracts/orders.yaml has errors of its own. [broken-contract]
        14 |     - event: order_completed
           |              ^^^^^^^^^^^^^^^
        Correct that file first.

      contracts/orders.yaml:1:10  Not valid YAML: a list that begins with "[" is not closed with "]" before this. [yaml-syntax]
        1 | schema: [
          |          ^"
    `);
  });
});
