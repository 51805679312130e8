import { describe, expect, test } from 'vitest';
import { seenIn } from './shop.ts';

/** Each condition is an item of one `where`; every problem of all of them is seen at once. */
const seenOf = (...conditions: string[]): string =>
  seenIn(`where:\n  all:\n${conditions.map((one) => `    - ${one}\n`).join('')}`);

describe('a rule says, all at once,', () => {
  test('which columns do not exist, and the nearest that do', () => {
    expect(
      seenOf(
        'lifetime_vale: { gte: 500 }',
        'al: [ country: DE ]',
        'or: [ country: DE ]',
        'amount: { gte: 3 }',
        'count: { gte: 3 }',
      ),
    ).toMatchInlineSnapshot(`
      "audiences/a.yaml:3:7  "lifetime_vale" is not a column of customers (contracts/customers.yaml, version 1.0.0). [unknown-column]
        3 |     - lifetime_vale: { gte: 500 }
          |       ^^^^^^^^^^^^^
        Did you mean "lifetime_value"?

      audiences/a.yaml:4:7  "al" is not a column of customers (contracts/customers.yaml, version 1.0.0). [unknown-column]
        4 |     - al: [ country: DE ]
          |       ^^
        Did you mean "all"?

      audiences/a.yaml:5:7  "or" is not a column of customers (contracts/customers.yaml, version 1.0.0). [unknown-column]
        5 |     - or: [ country: DE ]
          |       ^^
        Did you mean "any"?

      audiences/a.yaml:6:7  "amount" is not a column of customers (contracts/customers.yaml, version 1.0.0). [unknown-column]
        6 |     - amount: { gte: 3 }
          |       ^^^^^^
        "amount" is a property of the event order_completed: ask for it under "event: order_completed", "where".

      audiences/a.yaml:7:7  "count" is not a column of customers (contracts/customers.yaml, version 1.0.0). [unknown-column]
        7 |     - count: { gte: 3 }
          |       ^^^^^
        "count" needs "event: <name>" beside it."
    `);
  });

  test('which literals are of the wrong type', () => {
    expect(
      seenOf(
        'lifetime_value: { gte: "500" }',
        'lifetime_value: lots',
        'lifetime_value: 1e3',
        'orders_count: 3.5',
        'orders_count: 9223372036854775808',
        'loyalty_tier: 3',
        'country: { in: [DE, NO, no, 7, true] }',
        'country:',
        'is_staff: yes',
        'country: [[DE]]',
        'country: { contains: "" }',
        'country: { starts_with: 4 }',
        'lifetime_value: 123456789012345678901234567890123456789',
        'country: "a\\0b"',
      ),
    ).toMatchInlineSnapshot(`
      "audiences/a.yaml:3:30  "lifetime_value" is of type number, and this is a text. [wrong-type]
        3 |     - lifetime_value: { gte: "500" }
          |                              ^^^^^
        Write it without quotes: 500.

      audiences/a.yaml:4:23  "lifetime_value" is of type number, and this is a text. [wrong-type]
        4 |     - lifetime_value: lots
          |                       ^^^^

      audiences/a.yaml:5:23  "1e3" is not written as a plain decimal number. [invalid-value]
        5 |     - lifetime_value: 1e3
          |                       ^^^
        Write digits, such as 1500 or 0.25.

      audiences/a.yaml:6:21  "orders_count" is of type integer, and 3.5 is not a whole number. [wrong-type]
        6 |     - orders_count: 3.5
          |                     ^^^

      audiences/a.yaml:7:21  9223372036854775808 is out of range: the column holds -9223372036854775808 to 9223372036854775807. [out-of-range]
        7 |     - orders_count: 9223372036854775808
          |                     ^^^^^^^^^^^^^^^^^^^

      audiences/a.yaml:8:21  "loyalty_tier" is of type string, and this is a number. [wrong-type]
        8 |     - loyalty_tier: 3
          |                     ^
        Put it in quotes: "3".

      audiences/a.yaml:9:35  "country" is of type string, and this is a number. [wrong-type]
        9 |     - country: { in: [DE, NO, no, 7, true] }
          |                                   ^
        Put it in quotes: "7".

      audiences/a.yaml:9:38  "country" is of type string, and this is true. [wrong-type]
        9 |     - country: { in: [DE, NO, no, 7, true] }
          |                                      ^^^^
        Put it in quotes: "true".

      audiences/a.yaml:10:15  "country" is compared with nothing; it needs a text. [wrong-type]
        10 |     - country:
           |               ^
        To ask for a missing value write { is: unknown }.

      audiences/a.yaml:11:17  "is_staff" is of type boolean, and this is a text. [wrong-type]
        11 |     - is_staff: yes
           |                 ^^^
        Write true or false, without quotes.

      audiences/a.yaml:12:17  "country" is compared with a list; it needs a text. [wrong-type]
        12 |     - country: [[DE]]
           |                 ^^^^

      audiences/a.yaml:13:28  "contains" must not be empty: every text would match. [invalid-value]
        13 |     - country: { contains: "" }
           |                            ^^

      audiences/a.yaml:14:31  "starts_with" must be a text, not a number. [wrong-type]
        14 |     - country: { starts_with: 4 }
           |                               ^
        Put it in quotes: "4".

      audiences/a.yaml:15:23  123456789012345678901234567890123456789 has more than 38 digits, which no engine keeps exactly. [out-of-range]
        15 |     - lifetime_value: 123456789012345678901234567890123456789
           |                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

      audiences/a.yaml:16:16  The text holds a character that is not allowed (NUL or half of a surrogate pair). [invalid-value]
        16 |     - country: "a\\0b"
           |                ^^^^^^"
    `);
  });

  test('which times do not exist or are not what the test needs', () => {
    expect(
      seenOf(
        'last_order_at: { before: 2026-02-30 }',
        'last_order_at: { before: 2026-02-28T25:00 }',
        'last_order_at: { before: 90 days }',
        'last_order_at: { before: last summer }',
        'last_order_at: { within: 90 days ago }',
        'last_order_at: { within: 900 years }',
        'last_order_at: { within: 7 }',
        'last_order_at: { on: 2026-01-01T10:00 }',
        'last_order_at: 2026-02-28',
        'last_order_at: today',
        'signed_up_on: 2026-01-01T10:00:00Z',
        'signed_up_on: 20260101',
      ),
    ).toMatchInlineSnapshot(`
      "audiences/a.yaml:3:32  "2026-02-30" is not a point in time: there is no 2026-02-30 in the calendar. [invalid-time]
        3 |     - last_order_at: { before: 2026-02-30 }
          |                                ^^^^^^^^^^
        Write a date ("2026-01-31"), a time ("2026-01-31T08:00"), "90 days ago", "in 7 days", "now", "today", "yesterday" or "tomorrow".

      audiences/a.yaml:4:32  "2026-02-28T25:00" is not a point in time: there is no such time of day. [invalid-time]
        4 |     - last_order_at: { before: 2026-02-28T25:00 }
          |                                ^^^^^^^^^^^^^^^^
        Write a date ("2026-01-31"), a time ("2026-01-31T08:00"), "90 days ago", "in 7 days", "now", "today", "yesterday" or "tomorrow".

      audiences/a.yaml:5:32  "90 days" is not a point in time. [invalid-time]
        5 |     - last_order_at: { before: 90 days }
          |                                ^^^^^^^
        Did you mean "90 days ago"?

      audiences/a.yaml:6:32  "last summer" is not a point in time. [invalid-time]
        6 |     - last_order_at: { before: last summer }
          |                                ^^^^^^^^^^^
        Write a date ("2026-01-31"), a time ("2026-01-31T08:00"), "90 days ago", "in 7 days", "now", "today", "yesterday" or "tomorrow".

      audiences/a.yaml:7:32  "90 days ago" is not a length of time. [invalid-time]
        7 |     - last_order_at: { within: 90 days ago }
          |                                ^^^^^^^^^^^
        Write "90 days"; within counts from now.

      audiences/a.yaml:8:32  "900 years" is not a length of time. [invalid-time]
        8 |     - last_order_at: { within: 900 years }
          |                                ^^^^^^^^^
        Write a whole number and a unit, such as "90 days", "12 hours" or "1 year".

      audiences/a.yaml:9:32  "within" must be a length of time, not a number. [invalid-time]
        9 |     - last_order_at: { within: 7 }
          |                                ^
        Write a whole number and a unit, such as "90 days", "12 hours" or "1 year".

      audiences/a.yaml:10:28  "on" needs a day, and this has a time of day. [invalid-time]
        10 |     - last_order_at: { on: 2026-01-01T10:00 }
           |                            ^^^^^^^^^^^^^^^^
        Write "2026-01-01".

      audiences/a.yaml:11:22  "last_order_at" is a point in time; equal to "2026-02-28" would mean midnight exactly. [day-for-time]
        11 |     - last_order_at: 2026-02-28
           |                      ^^^^^^^^^^
        Write { on: 2026-02-28 }.

      audiences/a.yaml:12:22  "last_order_at" is a point in time; equal to "today" would mean midnight exactly. [day-for-time]
        12 |     - last_order_at: today
           |                      ^^^^^
        Write { on: today }.

      audiences/a.yaml:13:21  "signed_up_on" is a date; "2026-01-01T10:00:00Z" has a time of day. [wrong-type]
        13 |     - signed_up_on: 2026-01-01T10:00:00Z
           |                     ^^^^^^^^^^^^^^^^^^^^
        Write "2026-01-01".

      audiences/a.yaml:14:21  "signed_up_on" is of type date, and this is a number. [wrong-type]
        14 |     - signed_up_on: 20260101
           |                     ^^^^^^^^
        Write a date ("2026-01-31"), a time ("2026-01-31T08:00"), "90 days ago", "in 7 days", "now", "today", "yesterday" or "tomorrow"."
    `);
  });

  test('which tests do not exist or do not fit the column', () => {
    expect(
      seenOf(
        'loyalty_tier: { startswith: x, before: today }',
        'lifetime_value: { ">=": 3 }',
        'lifetime_value: { at_most: 3 }',
        'lifetime_value: { qwertz: 3 }',
        'is_staff: { gt: true }',
        'orders_count: { contains: 3 }',
        'country: { is: null }',
        'orders_count: { between: 5 }',
        'orders_count: { in: 5 }',
      ),
    ).toMatchInlineSnapshot(`
      "audiences/a.yaml:3:23  "startswith" is not a test. [unknown-test]
        3 |     - loyalty_tier: { startswith: x, before: today }
          |                       ^^^^^^^^^^
        Did you mean "starts_with"?

      audiences/a.yaml:3:38  "before" cannot test "loyalty_tier", which is of type string. [wrong-test]
        3 |     - loyalty_tier: { startswith: x, before: today }
          |                                      ^^^^^^
        A string is tested with eq, ne, gt, gte, lt, lte, between, in, not_in, is, contains, starts_with, ends_with.

      audiences/a.yaml:4:25  ">=" is not a test. [unknown-test]
        4 |     - lifetime_value: { ">=": 3 }
          |                         ^^^^
        Did you mean "gte"?

      audiences/a.yaml:5:25  "at_most" is not a test. [unknown-test]
        5 |     - lifetime_value: { at_most: 3 }
          |                         ^^^^^^^
        Did you mean "lte"?

      audiences/a.yaml:6:25  "qwertz" is not a test. [unknown-test]
        6 |     - lifetime_value: { qwertz: 3 }
          |                         ^^^^^^
        A number is tested with eq, ne, gt, gte, lt, lte, between, in, not_in, is.

      audiences/a.yaml:7:19  "gt" cannot test "is_staff", which is of type boolean. [wrong-test]
        7 |     - is_staff: { gt: true }
          |                   ^^
        A boolean is tested with eq, ne, in, not_in, is.

      audiences/a.yaml:8:23  "contains" cannot test "orders_count", which is of type integer. [wrong-test]
        8 |     - orders_count: { contains: 3 }
          |                       ^^^^^^^^
        A integer is tested with eq, ne, gt, gte, lt, lte, between, in, not_in, is.

      audiences/a.yaml:9:22  "is" must be known or unknown. [invalid-value]
        9 |     - country: { is: null }
          |                      ^^^^
        Did you mean "unknown"?

      audiences/a.yaml:10:32  "between" must be a list of two values, the smaller first. [wrong-type]
        10 |     - orders_count: { between: 5 }
           |                                ^
        Write [1, 5].

      audiences/a.yaml:11:27  "in" must be a list, not a number. [wrong-type]
        11 |     - orders_count: { in: 5 }
           |                           ^
        Write [a, b]."
    `);
  });

  test('which conditions are empty, impossible or of the wrong form', () => {
    expect(
      seenOf(
        '{}',
        'country',
        'country: []',
        'country: {}',
        'orders_count: { gte: 5, lt: 3 }',
        'orders_count: { gt: 5, lte: 5 }',
        'signed_up_on: { between: [2026-02-01, 2026-01-01] }',
        'any: { country: DE }',
        'any: []',
        'not: [ country: DE ]',
        'audience: [a, b]',
      ),
    ).toMatchInlineSnapshot(`
      "audiences/a.yaml:3:7  A condition is empty. [empty-rule]
        3 |     - {}
          |       ^^
        Write a column and its value, or remove it.

      audiences/a.yaml:4:7  A condition must be a mapping such as "country: DE", not a text. [wrong-type]
        4 |     - country
          |       ^^^^^^^

      audiences/a.yaml:5:16  "country" is compared with an empty list, which nobody can meet. [empty-rule]
        5 |     - country: []
          |                ^^

      audiences/a.yaml:6:16  "country" has no test. [empty-rule]
        6 |     - country: {}
          |                ^^
        Write one, such as { gte: 1 }.

      audiences/a.yaml:7:21  No value of "orders_count" can meet these bounds together. [empty-range]
        7 |     - orders_count: { gte: 5, lt: 3 }
          |                     ^^^^^^^^^^^^^^^^^

      audiences/a.yaml:8:21  No value of "orders_count" can meet these bounds together. [empty-range]
        8 |     - orders_count: { gt: 5, lte: 5 }
          |                     ^^^^^^^^^^^^^^^^^

      audiences/a.yaml:9:21  No value of "signed_up_on" can meet these bounds together. [empty-range]
        9 |     - signed_up_on: { between: [2026-02-01, 2026-01-01] }
          |                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

      audiences/a.yaml:10:12  "any" must be a list of conditions, not a mapping. [wrong-type]
        10 |     - any: { country: DE }
           |            ^^^^^^^^^^^^^^^
        Begin each condition with "- ".

      audiences/a.yaml:11:12  "any" has no condition. [empty-rule]
        11 |     - any: []
           |            ^^

      audiences/a.yaml:12:7  "not" takes one condition, not a list: a list could mean "not all" or "not any". [wrong-type]
        12 |     - not: [ country: DE ]
           |       ^^^
        Write not: { all: [...] } or not: { any: [...] }.

      audiences/a.yaml:13:17  "audience" must be the name of one audience, not a list. [wrong-type]
        13 |     - audience: [a, b]
           |                 ^^^^^^
        Write any: with one "audience" condition each."
    `);
  });

  test('what is wrong with a condition on events', () => {
    const event = (name: string, ...keys: string[]) => [`event: ${name}`, ...keys].join('\n      ');
    expect(
      seenOf(
        event('order_complete'),
        event('order_completed', 'count: { atleast: 3 }', 'within: 1 fortnight'),
        event('order_completed', 'sum: { property: amuont, gte: 2 }'),
        event('order_completed', 'sum: { property: category, gte: 2 }'),
        event('order_completed', 'sum: { property: amount }'),
        event('order_completed', 'sum: 5', 'never: true'),
        event('order_completed', 'sum: 5'),
        event('order_completed', 'never: false'),
        event('order_completed', 'count: -1'),
        event('order_completed', 'count: { gte: 5, lt: 3 }'),
        event('order_completed', 'version: 3'),
        event('order_completed', 'country: DE', 'filter: {}'),
        event('order_completed', 'where: { categori: shoes, event: x, audience: y }'),
        event('order_completed', 'where: { amount: shoes }'),
      ),
    ).toMatchInlineSnapshot(`
      "audiences/a.yaml:3:14  No contract has an event "order_complete". [unknown-event]
        3 |     - event: order_complete
          |              ^^^^^^^^^^^^^^
        Did you mean "order_completed"?

      audiences/a.yaml:5:16  Unknown key "atleast" in count. [unknown-key]
        5 |       count: { atleast: 3 }
          |                ^^^^^^^
        Did you mean "gte"?

      audiences/a.yaml:6:15  "1 fortnight" is not a length of time. [invalid-time]
        6 |       within: 1 fortnight
          |               ^^^^^^^^^^^
        Write a whole number and a unit, such as "90 days", "12 hours" or "1 year".

      audiences/a.yaml:8:24  "amuont" is not a column of order_completed (contracts/orders.yaml, version 1.0.0). [unknown-column]
        8 |       sum: { property: amuont, gte: 2 }
          |                        ^^^^^^
        Did you mean "amount"?

      audiences/a.yaml:10:24  "category" is of type string and cannot be added up. [wrong-test]
        10 |       sum: { property: category, gte: 2 }
           |                        ^^^^^^^^
        Numbers of this event are amount.

      audiences/a.yaml:12:12  "sum" has no bound. [empty-rule]
        12 |       sum: { property: amount }
           |            ^^^^^^^^^^^^^^^^^^^^
        Add one, such as gte: 1.

      audiences/a.yaml:15:7  An event condition has one of count, sum and never; this has sum and never. [several-measures]
        15 |       never: true
           |       ^^^^^
        Write two conditions under "all".

      audiences/a.yaml:17:12  "sum" needs the property to add up and a bound. [wrong-type]
        17 |       sum: 5
           |            ^
        Write sum: { property: amount, gte: 200 }.

      audiences/a.yaml:19:14  "never" can only be true. [invalid-value]
        19 |       never: false
           |              ^^^^^
        For at least one, leave it out.

      audiences/a.yaml:21:14  A count is never negative. [out-of-range]
        21 |       count: -1
           |              ^^

      audiences/a.yaml:23:14  No count can meet these bounds together. [empty-range]
        23 |       count: { gte: 5, lt: 3 }
           |              ^^^^^^^^^^^^^^^^^

      audiences/a.yaml:25:16  No contract has this version of the event. [unknown-event]
        25 |       version: 3
           |                ^
        There is 1.

      audiences/a.yaml:27:7  Unknown key "country" in an event condition. [unknown-key]
        27 |       country: DE
           |       ^^^^^^^
        "country" is a column of customers: give it a condition of its own, under "all".

      audiences/a.yaml:28:7  Unknown key "filter" in an event condition. [unknown-key]
        28 |       filter: {}
           |       ^^^^^^
        Did you mean "where"?

      audiences/a.yaml:30:16  "categori" is not a column of order_completed (contracts/orders.yaml, version 1.0.0). [unknown-column]
        30 |       where: { categori: shoes, event: x, audience: y }
           |                ^^^^^^^^
        Did you mean "category"?

      audiences/a.yaml:30:33  An event condition cannot stand inside the "where" of another. [nested-event]
        30 |       where: { categori: shoes, event: x, audience: y }
           |                                 ^^^^^

      audiences/a.yaml:30:43  An audience cannot stand inside the "where" of an event. [nested-event]
        30 |       where: { categori: shoes, event: x, audience: y }
           |                                           ^^^^^^^^

      audiences/a.yaml:32:24  "amount" is of type number, and this is a text. [wrong-type]
        32 |       where: { amount: shoes }
           |                        ^^^^^"
    `);
  });
});
