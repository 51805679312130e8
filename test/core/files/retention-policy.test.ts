import { describe, expect, test } from 'vitest';
import { lifecycleOf } from '../../../core/files/retention-policy.ts';
import { load, seen, shopWith } from './shop.ts';

const FILE = 'policies/retention.yaml';
const COMPLETE = `datasets:
  customers: { period: 730 days, by: last_order_at }
  identifiers: 365 days
  events: 3 years
  support_ticket_opened: 1 year
  consents: keep
fields:
  customers.lifetime_value: 400 days
  identifiers.value: { period: 180 days, by: first_seen }
storage: { deltas: 3 days, generations: 90 days, runs: 2 years, receipts: 5 years }
`;

const read = (text: string) => load(shopWith({ [FILE]: text }));

describe('the retention policy', () => {
  test('of the documentation reads as it is meant: tables by their name before their role, fields by the column of their table', () => {
    const { workspace, problems } = read(COMPLETE);
    expect(problems).toEqual([]);
    const periods = workspace?.tables.map(({ name, retention }) => [
      name,
      retention?.rows && [retention.rows.by.name, retention.rows.period],
      Object.entries(retention?.fields ?? {}).map(([field, { by, period }]) => [field, by.name, period]),
    ]);
    const day = (amount: number) => ({ amount, unit: 'day' });
    expect(periods?.toSorted((a, b) => JSON.stringify(a[0]).localeCompare(JSON.stringify(b[0])))).toEqual([
      ['consents', undefined, []],
      ['customers', ['last_order_at', day(730)], [['lifetime_value', 'last_order_at', day(400)]]],
      ['erasures', undefined, []],
      ['identifiers', ['last_seen', day(365)], [['value', 'first_seen', day(180)]]],
      ['order_completed', ['occurred_at', { amount: 3, unit: 'year' }], []],
      ['support_ticket_opened', ['occurred_at', { amount: 1, unit: 'year' }], []],
    ]);
    expect(workspace?.retention).toEqual({
      storage: {
        deltas: day(3),
        generations: day(90),
        runs: { amount: 2, unit: 'year' },
        receipts: { amount: 5, unit: 'year' },
      },
      version: expect.stringMatching(/^[0-9a-f]{12}$/) as string,
    });
    // The rules ask the same tables.
    const event = JSON.stringify(workspace?.audiences['lapsed-vips']?.where);
    expect(event).toContain('"retention":{"fields":{},"rows":{"by":{"name":"occurred_at"');
  });

  test('names every dataset and sensitive field without a period, and says how to add one', () => {
    expect(seen({ [FILE]: 'storage: { deltas: 3 days }\n' })).toMatchInlineSnapshot(`
      "policies/retention.yaml:1:1  Warning: Nothing says how long "identifiers.value" may be used, which is classified restricted. [no-retention]
        1 | storage: { deltas: 3 days }
          | ^^^^^^^
        Add "identifiers.value: 730 days" under fields, or "identifiers.value: keep".

      policies/retention.yaml:1:1  Warning: Nothing says how long rows of "customers" (contracts/customers.yaml) may be used. [no-retention]
        1 | storage: { deltas: 3 days }
          | ^^^^^^^
        Add "customers: { period: 730 days, by: <column> }" under datasets, or "customers: keep" where the table itself is kept clean.

      policies/retention.yaml:1:1  Warning: Nothing says how long rows of "identifiers" (contracts/identifiers.yaml) may be used. [no-retention]
        1 | storage: { deltas: 3 days }
          | ^^^^^^^
        Add "identifiers: 730 days" under datasets, or "identifiers: keep" where the table itself is kept clean.

      policies/retention.yaml:1:1  Warning: Nothing says how long rows of "order_completed" (contracts/orders.yaml) may be used. [no-retention]
        1 | storage: { deltas: 3 days }
          | ^^^^^^^
        Add "order_completed: 730 days" under datasets, or "order_completed: keep" where the table itself is kept clean.

      policies/retention.yaml:1:1  Warning: Nothing says how long rows of "support_ticket_opened" (contracts/support.yaml) may be used. [no-retention]
        1 | storage: { deltas: 3 days }
          | ^^^^^^^
        Add "support_ticket_opened: 730 days" under datasets, or "support_ticket_opened: keep" where the table itself is kept clean."
    `);
  });

  test('names a sensitive field of a dataset that is kept, unless that is meant', () => {
    const kept = 'datasets: { customers: keep, identifiers: keep, events: keep }\n';
    expect(seen({ [FILE]: kept })).toMatchInlineSnapshot(`
      "policies/retention.yaml:1:1  Warning: Nothing says how long "identifiers.value" may be used, which is classified restricted. [no-retention]
        1 | datasets: { customers: keep, identifiers: keep, events: keep }
          | ^^^^^^^^
        Add "identifiers.value: 730 days" under fields, or "identifiers.value: keep"."
    `);
    expect(seen({ [FILE]: `${kept}fields: { identifiers.value: keep }\n` })).toBe('');
  });

  test('says what is wrong in it, all at once', () => {
    expect(
      seen({
        [FILE]: `datasets:
  customers: 730 days
  identifiers: { period: 1 yaer, bye: last_seen }
  order_completd: 3 years
  support_ticket_opened: { period: 1 year, by: topic }
  consents: 2 years
  erasures: 10 years
fields:
  customers.lifetime_valu: { period: 1 year, by: last_order_at }
  customers.customer_id: { period: 1 year, by: last_order_at }
  nothing.value: 1 year
  phone: 1 year
storage: { deltas: 1 day, ledger: 3 days, runs: soon }
`,
      }),
    ).toMatchInlineSnapshot(`
      "policies/retention.yaml:1:1  Warning: Nothing says how long rows of "order_completed" (contracts/orders.yaml) may be used. [no-retention]
        1 | datasets:
          | ^^^^^^^^
        Add "order_completed: 730 days" under datasets, or "order_completed: keep" where the table itself is kept clean.

      policies/retention.yaml:2:14  Nothing says how old a row of "customers" is, so "customers" needs "by". [missing-key]
        2 |   customers: 730 days
          |              ^^^^^^^^
        Write { period: ..., by: signed_up_on }; there are signed_up_on, last_order_at.

      policies/retention.yaml:3:26  "1 yaer" is not a length of time. [invalid-time]
        3 |   identifiers: { period: 1 yaer, bye: last_seen }
          |                          ^^^^^^
        Write a whole number and a unit, such as "90 days", "12 hours" or "1 year".

      policies/retention.yaml:3:34  Unknown key "bye" in the period of "identifiers". [unknown-key]
        3 |   identifiers: { period: 1 yaer, bye: last_seen }
          |                                  ^^^
        Did you mean "by"?

      policies/retention.yaml:4:3  No contract has a table "order_completd", nor is it the name of a contract or a role. [unknown-dataset]
        4 |   order_completd: 3 years
          |   ^^^^^^^^^^^^^^
        Did you mean "order_completed"?

      policies/retention.yaml:5:48  "topic" is of type string; how old a row is must be a date or a timestamp. [wrong-field-type]
        5 |   support_ticket_opened: { period: 1 year, by: topic }
          |                                                ^^^^^

      policies/retention.yaml:6:3  Rows of "consents" may not be forgotten: they are what keeps people from being sent. [needed-for-refusal]
        6 |   consents: 2 years
          |   ^^^^^^^^
        Write keep. How long a grant lasts says expires_after in policies/consent.yaml; a refusal never expires.

      policies/retention.yaml:7:3  Rows of "erasures" may not be forgotten: they are what keeps people from being sent. [needed-for-refusal]
        7 |   erasures: 10 years
          |   ^^^^^^^^
        Write keep.

      policies/retention.yaml:9:3  "lifetime_valu" is not a column of customers (contracts/customers.yaml, version 1.0.0). [unknown-column]
        9 |   customers.lifetime_valu: { period: 1 year, by: last_order_at }
          |   ^^^^^^^^^^^^^^^^^^^^^^^
        Did you mean "lifetime_value"?

      policies/retention.yaml:10:3  "customers.customer_id" may not be forgotten: without it people could not be kept from being sent. [needed-for-refusal]
        10 |   customers.customer_id: { period: 1 year, by: last_order_at }
           |   ^^^^^^^^^^^^^^^^^^^^^
        Write keep, or leave it out.

      policies/retention.yaml:11:3  No contract has a table "nothing", nor is it the name of a contract or a role. [unknown-dataset]
        11 |   nothing.value: 1 year
           |   ^^^^^^^^^^^^^
        There are consents, customers, erasures, identifiers, order_completed, support_ticket_opened.

      policies/retention.yaml:12:3  "phone" must be a table and a column of it: customers.phone. [invalid-value]
        12 |   phone: 1 year
           |   ^^^^^

      policies/retention.yaml:13:20  "deltas" must be at least 2 days: a plan may be sent for a day, and an interrupted delivery is closed from its files. [out-of-range]
        13 | storage: { deltas: 1 day, ledger: 3 days, runs: soon }
           |                    ^^^^^

      policies/retention.yaml:13:27  Unknown key "ledger" in the storage. [unknown-key]
        13 | storage: { deltas: 1 day, ledger: 3 days, runs: soon }
           |                           ^^^^^^

      policies/retention.yaml:13:49  "soon" is not a length of time. [invalid-time]
        13 | storage: { deltas: 1 day, ledger: 3 days, runs: soon }
           |                                                 ^^^^
        Write a whole number and a unit, such as "90 days", "12 hours" or "1 year"."
    `);
  });

  test('with an error leaves no workspace: it decides who is read', () => {
    expect(read('datasets: { customers: 5 }\n').workspace).toBeNull();
  });

  test('is what a bucket deletes by age', () => {
    const ledgers = { store: 'state', prefix: 'ledger/', deletedDays: 7, what: 'deleted generations of ledgers' };
    const runs = { store: 'state', prefix: 'runs/', deletedDays: 1, what: 'snapshots, deltas and journals of runs' };
    expect(lifecycleOf({ storage: {}, version: 'none' })).toEqual([{ ...runs, days: 7 }, ledgers]);
    expect(lifecycleOf(read(COMPLETE).workspace?.retention ?? { storage: {}, version: '' })).toEqual([
      { ...runs, days: 3 },
      ledgers,
      { store: 'receipts', prefix: '', days: 1830, deletedDays: 1, what: 'receipts' },
    ]);
  });
});
