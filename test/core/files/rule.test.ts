import { describe, expect, test } from 'vitest';
import { audienceOf, ruleOf } from './shop.ts';
import type { Rule } from '../../../core/model.ts';

/** A rule with columns and tables by name alone: what the tests are about. */
function brief(rule: Rule | undefined): unknown {
  return JSON.parse(
    JSON.stringify(rule, (key, value: unknown) =>
      (key === 'column' || key === 'table') && typeof value === 'object' ? (value as { name: string }).name : value,
    ),
  );
}

const read = (where: string): unknown => brief(ruleOf(where));
const number = (value: string) => ({ type: 'number', value });
const integer = (value: string) => ({ type: 'integer', value });
const text = (value: string) => ({ type: 'string', value });
const tested = (column: string, ...tests: unknown[]) =>
  tests.length === 1
    ? { kind: 'test', column, test: tests[0] }
    : { kind: 'all', rules: tests.map((one) => ({ kind: 'test', column, test: one })) };

describe('a test of a column', () => {
  test('a value alone is equality', () => {
    expect(read('{ loyalty_tier: gold }')).toEqual(tested('loyalty_tier', { op: 'eq', value: text('gold') }));
    expect(read('{ is_staff: true }')).toEqual(tested('is_staff', { op: 'eq', value: { type: 'boolean', value: true } }));
  });

  test('a list is one of', () => {
    expect(read('{ country: [DE, NO] }')).toEqual(tested('country', { op: 'in', values: [text('DE'), text('NO')] }));
  });

  test('several keys are tests that must all hold', () => {
    expect(read('{ orders_count: { gte: 1, lt: 5 } }')).toEqual(
      tested('orders_count', { op: 'gte', value: integer('1') }, { op: 'lt', value: integer('5') }),
    );
  });

  test('between includes both ends', () => {
    expect(read('{ orders_count: { between: [1, 5] } }')).toEqual(
      tested('orders_count', { op: 'gte', value: integer('1') }, { op: 'lte', value: integer('5') }),
    );
  });

  test.each(['eq', 'ne', 'gt', 'gte', 'lt', 'lte'])('%s compares', (op) => {
    expect(read(`{ lifetime_value: { ${op}: 500 } }`)).toEqual(tested('lifetime_value', { op, value: number('500') }));
  });

  test('not_in, contains, starts_with, ends_with and is', () => {
    expect(read('{ country: { not_in: [DE] } }')).toEqual(tested('country', { op: 'not_in', values: [text('DE')] }));
    expect(read('{ country: { contains: D } }')).toEqual(tested('country', { op: 'contains', text: 'D' }));
    expect(read('{ country: { starts_with: D, ends_with: E } }')).toEqual(
      tested('country', { op: 'starts_with', text: 'D' }, { op: 'ends_with', text: 'E' }),
    );
    expect(read('{ country: { is: unknown } }')).toEqual(tested('country', { op: 'unknown' }));
    expect(read('{ country: { is: known } }')).toEqual(tested('country', { op: 'known' }));
  });

  test('times: before, after, on, within, within_next', () => {
    expect(read('{ last_order_at: { before: 90 days ago, after: 2026-01-31T08:00 } }')).toEqual(
      tested(
        'last_order_at',
        { op: 'before', at: { kind: 'ago', duration: { amount: 90, unit: 'day' } } },
        { op: 'after', at: { kind: 'absolute', iso: '2026-01-31T08:00' } },
      ),
    );
    expect(read('{ last_order_at: { on: yesterday } }')).toEqual(
      tested('last_order_at', { op: 'on', at: { kind: 'yesterday' } }),
    );
    expect(read('{ signed_up_on: { within: 2 weeks } }')).toEqual(
      tested('signed_up_on', { op: 'within', duration: { amount: 2, unit: 'week' } }),
    );
    expect(read('{ signed_up_on: { within_next: a month } }')).toEqual(
      tested('signed_up_on', { op: 'within_next', duration: { amount: 1, unit: 'month' } }),
    );
    expect(read('{ signed_up_on: 2026-01-31 }')).toEqual(
      tested('signed_up_on', { op: 'eq', value: { type: 'date', value: { kind: 'absolute', iso: '2026-01-31' } } }),
    );
    expect(read('{ last_order_at: { gte: in 3 hours } }')).toEqual(
      tested('last_order_at', {
        op: 'gte',
        value: { type: 'timestamp', value: { kind: 'ahead', duration: { amount: 3, unit: 'hour' } } },
      }),
    );
  });

  test('numbers keep every digit that is written', () => {
    expect(read('{ lifetime_value: 123456789012345678.90 }')).toEqual(
      tested('lifetime_value', { op: 'eq', value: number('123456789012345678.9') }),
    );
    expect(read('{ orders_count: 9223372036854775807 }')).toEqual(
      tested('orders_count', { op: 'eq', value: integer('9223372036854775807') }),
    );
    expect(read('{ lifetime_value: { in: [-0.50, 007, +3, -0.0] } }')).toEqual(
      tested('lifetime_value', { op: 'in', values: [number('-0.5'), number('7'), number('3'), number('0')] }),
    );
  });
});

describe('conditions together', () => {
  const de = tested('country', { op: 'eq', value: text('DE') });
  const gold = tested('loyalty_tier', { op: 'eq', value: text('gold') });

  test('a mapping of several is all of them, a list under where too', () => {
    expect(read('{ country: DE, loyalty_tier: gold }')).toEqual({ kind: 'all', rules: [de, gold] });
    expect(read('\n  - country: DE\n  - loyalty_tier: gold\n')).toEqual({ kind: 'all', rules: [de, gold] });
  });

  test('all, any and not nest to any depth', () => {
    expect(read('{ any: [ { not: { all: [ { country: DE }, { any: [ { loyalty_tier: gold } ] } ] } } ] }')).toEqual({
      kind: 'any',
      rules: [{ kind: 'not', rule: { kind: 'all', rules: [de, { kind: 'any', rules: [gold] }] } }],
    });
    const deep = `${'{ not: '.repeat(90)}{ country: DE }${' }'.repeat(90)}`;
    expect(JSON.stringify(read(deep)).match(/"not"/g)).toHaveLength(90);
  });
});

describe('a condition on events', () => {
  const event = (more: object) => ({
    kind: 'event',
    table: 'order_completed',
    measure: { kind: 'count', range: { gte: '1' } },
    ...more,
  });
  const of = (more: string) => read(`\n  event: order_completed\n${more}`);

  test('is at least one when nothing else is said', () => {
    expect(of('')).toEqual(event({}));
  });

  test('counts', () => {
    expect(of('  count: { gte: 3, lt: 9 }\n  within: 365 days\n')).toEqual(
      event({ within: { amount: 365, unit: 'day' }, measure: { kind: 'count', range: { gte: '3', lt: '9' } } }),
    );
    expect(of('  count: 0\n')).toEqual(event({ measure: { kind: 'count', range: { eq: '0' } } }));
    expect(of('  count: { between: [2, 4] }\n')).toEqual(event({ measure: { kind: 'count', range: { gte: '2', lte: '4' } } }));
  });

  test('adds up a property', () => {
    expect(of('  sum: { property: amount, gte: 200.50 }\n')).toEqual(
      event({ measure: { kind: 'sum', column: 'amount', range: { gte: '200.5' } } }),
    );
  });

  test('never did, with bounds in time', () => {
    expect(of('  never: true\n  after: 2026-01-01\n  before: 30 days ago\n')).toEqual(
      event({
        measure: { kind: 'never' },
        after: { kind: 'absolute', iso: '2026-01-01' },
        before: { kind: 'ago', duration: { amount: 30, unit: 'day' } },
      }),
    );
  });

  test('filters by its properties, typed by its own contract', () => {
    expect(of('  where: { category: { in: [shoes, bags] }, any: [ { amount: { gt: 5 } }, { order_id: "7" } ] }\n')).toEqual(
      event({
        where: {
          kind: 'all',
          rules: [
            tested('category', { op: 'in', values: [text('shoes'), text('bags')] }),
            {
              kind: 'any',
              rules: [tested('amount', { op: 'gt', value: number('5') }), tested('order_id', { op: 'eq', value: text('7') })],
            },
          ],
        },
      }),
    );
  });
});

test('an audience under a rule is a reference', () => {
  expect(() => ruleOf('{ audience: churned }')).toThrow('There is no audience "churned". [unknown-audience]');
});

test('the whole audience of the documentation reads as it is meant', () => {
  const audience = audienceOf(`
description: Everybody in Germany
owner: crm@example.com
where: { country: DE }
holdout: 2.5 %
rollout: 40%
schedule: every monday and thursday at 6:05 Europe/Berlin
guardrails: { max_added: 20%, max_removed: { percent: 12.5, floor: 7 }, min_size: 10 }
syncs:
  - to: meta-eu
    mode: mirror
    identifiers: [email, maid]
  - to: braze-eu
    mode: upsert
    rollout: 12.5%
    traits: { band: ltv_band, favourite_category: favourite_category }
`);
  const { where: _, syncs, ...rest } = audience;
  expect(rest).toEqual({
    name: 'a',
    file: 'audiences/a.yaml',
    description: 'Everybody in Germany',
    owner: 'crm@example.com',
    timeZone: 'Europe/Berlin',
    exclude: [],
    holdout: 2.5,
    schedule: { kind: 'cron', expression: '5 6 ? * MON,THU *', timeZone: 'Europe/Berlin' },
    guardrails: { maxAdded: { percent: 20, floor: 100 }, maxRemoved: { percent: 12.5, floor: 7 }, minSize: 10 },
  });
  expect(
    syncs.map(({ traits, ...sync }) => ({ ...sync, traits: traits.map(({ name, column }) => [name, column.name]) })),
  ).toEqual([
    { to: 'meta-eu', mode: 'mirror', identifiers: ['email', 'maid'], settings: {}, rollout: 40, traits: [] },
    {
      to: 'braze-eu',
      mode: 'upsert',
      identifiers: ['external_id'],
      settings: {},
      rollout: 12.5,
      traits: [
        ['band', 'ltv_band'],
        ['favourite_category', 'favourite_category'],
      ],
    },
  ]);
});

test('an audience that says only who is in has the documented defaults', () => {
  const { where: _, ...rest } = audienceOf('where: { country: DE }\n');
  expect(rest).toEqual({
    name: 'a',
    file: 'audiences/a.yaml',
    description: '',
    owner: '',
    timeZone: 'UTC',
    exclude: [],
    holdout: 0,
    schedule: { kind: 'manual' },
    guardrails: { maxRemoved: { percent: 20, floor: 100 } },
    syncs: [],
  });
});

test('an audience in SQL keeps its text and where it stands', () => {
  expect(audienceOf('sql: |\n  SELECT customer_id\n  FROM customers\n').sql).toEqual({
    text: 'SELECT customer_id\nFROM customers\n',
    line: 1,
    column: 6,
  });
});
