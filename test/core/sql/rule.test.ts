import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Rule } from '../../../core/model.ts';
import { audienceQuery } from '../../../core/sql/audience.ts';
import {
  all,
  any,
  audience,
  columnOf,
  CUSTOMERS,
  days,
  EVENTS,
  is,
  not,
  openSqlWorld,
  type SqlWorld,
  TICK,
  TICKETS,
  workspace,
} from './world.ts';

let world: SqlWorld;
beforeAll(async () => {
  world = await openSqlWorld();
  world.write(CUSTOMERS, [
    {
      customer_id: 'ann',
      country: 'DE',
      spent: 500,
      orders: 3,
      staff: false,
      joined: '2026-05-31',
      last_order_at: '2026-03-03T06:00:00',
      seen_at: '2026-05-31T22:30:00+00:00',
      tier: 'gold',
    },
    {
      customer_id: 'bob',
      country: 'FR',
      spent: 499.99,
      orders: 0,
      staff: true,
      joined: '2026-06-01',
      last_order_at: '2026-06-01T06:00:00',
      seen_at: '2026-05-31T21:59:59+00:00',
      tier: "O'Hara_50%",
    },
    {
      customer_id: 'cat',
      country: 'US',
      spent: -1,
      orders: 9007199254740993n.toString(),
      staff: false,
      joined: '2025-06-01',
      last_order_at: '2026-06-02T00:00:00',
      seen_at: '2026-06-02T00:00:00+00:00',
      tier: 'silver',
    },
    { customer_id: 'dan' },
  ]);
  world.write(EVENTS, [
    { customer_id: 'ann', occurred_at: '2026-06-01T06:00:00', event_version: '1', category: 'shoes', amount: 0.1 },
    { customer_id: 'ann', occurred_at: '2026-05-02T06:00:00', event_version: '2', category: 'bags', amount: 0.2 },
    { customer_id: 'ann', occurred_at: '2026-05-02T05:59:59', event_version: '2', category: null, amount: 5 },
    { customer_id: 'ann', occurred_at: '2026-06-01T06:00:01', event_version: '1', category: 'shoes', amount: 1000 },
    { customer_id: 'bob', occurred_at: '2026-05-30T00:00:00', event_version: '3', category: 'shoes', amount: 70 },
    { customer_id: 'cat', occurred_at: '2026-05-30T00:00:00', event_version: '1', category: 'coats', amount: null },
    { customer_id: null, occurred_at: '2026-05-30T00:00:00', event_version: '1', category: 'coats', amount: 7 },
  ]);
  world.write(TICKETS, [
    { customer_id: 'bob', occurred_at: '2026-05-31' },
    { customer_id: 'cat', occurred_at: '2026-06-02' },
  ]);
});
afterAll(() => world.close());

const TABLES = [CUSTOMERS, EVENTS, TICKETS];
const number = (value: string) => ({ type: 'number', value }) as const;
const text = (value: string) => ({ type: 'string', value }) as const;
const absolute = (iso: string) => ({ kind: 'absolute', iso }) as const;

/** Rule, its SQL condition, and whom it matches. */
async function matches(of: Rule, sql: string | undefined, who: readonly string[], zone = 'UTC'): Promise<void> {
  const one = audience('one', of, { timeZone: zone });
  const query = audienceQuery(one, workspace(TABLES, [one]), TICK);
  if (sql !== undefined) expect(query.sql.slice(query.sql.lastIndexOf('WHERE ') + 6)).toBe(`coalesce(${sql}, FALSE)`);
  const rows = await world.rows(query);
  expect(rows.map((row) => String(row['customer_id'])).toSorted((a, b) => a.localeCompare(b))).toEqual(who);
}

describe('tests of a column', () => {
  it.each<readonly [string, Rule, string, readonly string[]]>([
    ['gte', is('spent', { op: 'gte', value: number('500') }), `c."spent" >= 500`, ['ann']],
    ['lt with a fraction', is('spent', { op: 'lt', value: number('499.99') }), `c."spent" < 499.99`, ['cat']],
    ['eq of a negative number', is('spent', { op: 'eq', value: number('-1.0') }), `c."spent" = (-1.0)`, ['cat']],
    [
      'eq of an integer beyond 2^53',
      is('orders', { op: 'eq', value: { type: 'integer', value: '9007199254740993' } }),
      `c."orders" = 9007199254740993`,
      ['cat'],
    ],
    ['eq of a text', is('country', { op: 'eq', value: text('DE') }), `c."country" = 'DE'`, ['ann']],
    ['eq of a text with a quote', is('tier', { op: 'eq', value: text("O'Hara_50%") }), `c."tier" = 'O''Hara_50%'`, ['bob']],
    ['ne leaves out who is unknown', is('country', { op: 'ne', value: text('DE') }), `c."country" <> 'DE'`, ['bob', 'cat']],
    ['in', is('country', { op: 'in', values: [text('DE'), text('FR')] }), `c."country" IN ('DE', 'FR')`, ['ann', 'bob']],
    [
      'not_in leaves out who is unknown',
      is('country', { op: 'not_in', values: [text('DE')] }),
      `c."country" NOT IN ('DE')`,
      ['bob', 'cat'],
    ],
    ['in nothing', is('country', { op: 'in', values: [] }), `(c."country" IS NOT NULL AND FALSE)`, []],
    ['known', is('country', { op: 'known' }), `c."country" IS NOT NULL`, ['ann', 'bob', 'cat']],
    ['unknown', is('country', { op: 'unknown' }), `c."country" IS NULL`, ['dan']],
    ['a boolean', is('staff', { op: 'eq', value: { type: 'boolean', value: true } }), `c."staff" = TRUE`, ['bob']],
    ['contains takes % as it is', is('tier', { op: 'contains', text: '50%' }), `c."tier" LIKE '%50\\%%' ESCAPE '\\'`, ['bob']],
    ['contains takes _ as it is', is('tier', { op: 'contains', text: 'a_5' }), `c."tier" LIKE '%a\\_5%' ESCAPE '\\'`, ['bob']],
    ['starts_with', is('tier', { op: 'starts_with', text: "O'" }), `c."tier" LIKE 'O''%' ESCAPE '\\'`, ['bob']],
    ['ends_with', is('tier', { op: 'ends_with', text: 'ver' }), `c."tier" LIKE '%ver' ESCAPE '\\'`, ['cat']],
  ])('%s', async (_name, of, sql, who) => matches(of, sql, who));
});

describe('times', () => {
  it('before is strict', () =>
    matches(
      is('last_order_at', { op: 'before', at: { kind: 'ago', duration: days(90) } }),
      `c."last_order_at" < TIMESTAMP '2026-03-03 06:00:00.000'`,
      [],
    ));
  it('after is strict', () =>
    matches(
      is('last_order_at', { op: 'after', at: { kind: 'now' } }),
      `c."last_order_at" > TIMESTAMP '2026-06-01 06:00:00.000'`,
      ['cat'],
    ));
  it('within includes its edge and now, and nothing of the future', () =>
    matches(
      is('last_order_at', { op: 'within', duration: days(90) }),
      `(c."last_order_at" >= TIMESTAMP '2026-03-03 06:00:00.000' AND c."last_order_at" <= TIMESTAMP '2026-06-01 06:00:00.000')`,
      ['ann', 'bob'],
    ));
  it('within_next reaches from now', () =>
    matches(is('last_order_at', { op: 'within_next', duration: days(1) }), undefined, ['bob', 'cat']));
  it('on is a calendar day of the zone', async () => {
    const on = is('seen_at', { op: 'on', at: { kind: 'today' } });
    await matches(
      on,
      `(c."seen_at" >= CAST('2026-06-01 00:00:00.000 UTC' AS timestamp with time zone) AND c."seen_at" < CAST('2026-06-02 00:00:00.000 UTC' AS timestamp with time zone))`,
      [],
    );
    await matches(
      on,
      `(c."seen_at" >= CAST('2026-05-31 22:00:00.000 UTC' AS timestamp with time zone) AND c."seen_at" < CAST('2026-06-01 22:00:00.000 UTC' AS timestamp with time zone))`,
      ['ann'],
      'Europe/Berlin',
    );
  });
  it('a date is compared with the calendar day in the zone', async () => {
    await matches(is('joined', { op: 'before', at: { kind: 'today' } }), `c."joined" < DATE '2026-06-01'`, ['ann', 'cat']);
    await matches(is('joined', { op: 'on', at: { kind: 'now' } }), `c."joined" = DATE '2026-05-31'`, ['ann'], 'Pacific/Honolulu');
  });
  it('an absolute date is its midnight in the zone, a year ago follows the calendar', async () => {
    await matches(
      is('last_order_at', { op: 'after', at: absolute('2026-06-01') }),
      `c."last_order_at" > TIMESTAMP '2026-06-01 00:00:00.000'`,
      ['bob', 'cat'],
    );
    await matches(
      is('joined', { op: 'eq', value: { type: 'date', value: { kind: 'ago', duration: { amount: 1, unit: 'year' } } } }),
      `c."joined" = DATE '2025-06-01'`,
      ['cat'],
    );
  });
});

describe('unknown values', () => {
  const rich = is('spent', { op: 'gte', value: number('0') });
  it('a condition on an unknown value is not met, and neither is its negation', async () => {
    await matches(rich, undefined, ['ann', 'bob']);
    await matches(not(rich), `NOT (c."spent" >= 0)`, ['cat']);
  });
  it('any needs only one that is known to hold', () =>
    matches(any(rich, is('country', { op: 'unknown' })), `(c."spent" >= 0 OR c."country" IS NULL)`, ['ann', 'bob', 'dan']));
  it('all with one that is known not to hold is known, and so is its negation', () =>
    matches(not(all(rich, is('country', { op: 'known' }))), undefined, ['cat', 'dan']));
  it('an empty all holds for everybody, an empty any for nobody', async () => {
    await matches(all(), 'TRUE', ['ann', 'bob', 'cat', 'dan']);
    await matches(any(), 'FALSE', []);
  });
});

describe('events', () => {
  const event = (more: Partial<Extract<Rule, { kind: 'event' }>> & Pick<Extract<Rule, { kind: 'event' }>, 'measure'>): Rule => ({
    kind: 'event',
    table: EVENTS,
    ...more,
  });
  const amount = columnOf(EVENTS, 'amount');

  it('counts events of the active versions up to now, the edge of the window included', async () => {
    await matches(
      event({ measure: { kind: 'count', range: { gte: '2' } }, within: days(30) }),
      'coalesce(sluice_events_0.n0, 0) >= 2',
      ['ann'],
    );
    await matches(event({ measure: { kind: 'count', range: { gte: '3' } }, within: days(30) }), undefined, []);
  });
  it('reads an events table once for all its conditions', () => {
    const one = audience(
      'one',
      all(
        event({ measure: { kind: 'count', range: { gte: '1' } } }),
        event({ measure: { kind: 'sum', column: amount, range: { lt: '3' } }, within: days(30) }),
      ),
    );
    expect(audienceQuery(one, workspace(TABLES, [one]), TICK).sql).toBe(`WITH sluice_events_0 AS (
  SELECT CAST(e."customer_id" AS varchar) AS customer_id, count(*) FILTER (WHERE e."occurred_at" <= TIMESTAMP '2026-06-01 06:00:00.000' AND CAST(e."event_version" AS varchar) IN ('1', '2')) AS n0, sum(TRY_CAST(e."amount" AS decimal(38,2))) FILTER (WHERE e."occurred_at" >= TIMESTAMP '2026-05-02 06:00:00.000' AND e."occurred_at" <= TIMESTAMP '2026-06-01 06:00:00.000' AND CAST(e."event_version" AS varchar) IN ('1', '2')) AS s1
  FROM "order_completed" e
  WHERE (e."occurred_at" <= TIMESTAMP '2026-06-01 06:00:00.000' AND CAST(e."event_version" AS varchar) IN ('1', '2')) OR (e."occurred_at" >= TIMESTAMP '2026-05-02 06:00:00.000' AND e."occurred_at" <= TIMESTAMP '2026-06-01 06:00:00.000' AND CAST(e."event_version" AS varchar) IN ('1', '2'))
  GROUP BY 1
)
SELECT CAST(c."customer_id" AS varchar) AS customer_id
FROM "customers" c
  LEFT JOIN sluice_events_0 ON sluice_events_0.customer_id = CAST(c."customer_id" AS varchar)
WHERE coalesce((coalesce(sluice_events_0.n0, 0) >= 1 AND coalesce(sluice_events_0.s1, 0) < 3), FALSE)`);
  });
  it('adds exactly: 0.1 and 0.2 are 0.3', () =>
    matches(event({ measure: { kind: 'sum', column: amount, range: { eq: '0.3' } }, within: days(30) }), undefined, ['ann']));
  it('the sum of nothing is 0, and so is the sum of unknown values', () =>
    matches(event({ measure: { kind: 'sum', column: amount, range: { eq: '0' } } }), undefined, ['bob', 'cat', 'dan']));
  it('counts only rows whose properties meet the filter', () =>
    matches(
      event({
        measure: { kind: 'count', range: { gte: '1' } },
        where: is('category', { op: 'in', values: [text('shoes'), text('bags')] }, EVENTS),
      }),
      undefined,
      ['ann'],
    ));
  it('never did is known of everybody, also of who has no row at all', async () => {
    await matches(event({ measure: { kind: 'never' } }), 'coalesce(sluice_events_0.n0, 0) = 0', ['bob', 'dan']);
    await matches(not(event({ measure: { kind: 'never' } })), undefined, ['ann', 'cat']);
  });
  it('all bounds of a range hold at once', () =>
    matches(event({ measure: { kind: 'count', range: { gte: '1', lt: '3' } } }), undefined, ['cat']));
  it('before and after are strict', () =>
    matches(
      event({
        measure: { kind: 'count', range: { eq: '1' } },
        before: absolute('2026-06-01T06:00:00'),
        after: absolute('2026-05-02T05:59:59'),
      }),
      undefined,
      ['ann', 'cat'],
    ));
  it('an event with a date counts on its day and not before', () =>
    matches({ kind: 'event', table: TICKETS, measure: { kind: 'never' }, within: days(30) }, undefined, ['ann', 'cat', 'dan']));
});

describe('references', () => {
  const gold = audience('gold', is('tier', { op: 'eq', value: text('gold') }), { exclude: ['nobody'] });
  const written = audience('written', {
    sql: `SELECT customer_id FROM order_completed WHERE occurred_at > now() -- later than now\nAND category <> ';now()';`,
  });
  const both = audience('both', any({ kind: 'audience', name: 'gold' }, not({ kind: 'audience', name: 'written' })));

  it('an audience stands for its rule, and is known of everybody', async () => {
    const query = audienceQuery(both, workspace(TABLES, [gold, written, both]), TICK);
    expect(query.sql).toBe(`WITH sluice_audience_0 AS (
  SELECT DISTINCT CAST(x.customer_id AS varchar) AS customer_id
  FROM (
SELECT customer_id FROM order_completed WHERE occurred_at > CAST('2026-06-01 06:00:00.000 UTC' AS timestamp with time zone)  
AND category <> ';now()'
  ) x (customer_id)
)
SELECT CAST(c."customer_id" AS varchar) AS customer_id
FROM "customers" c
  LEFT JOIN sluice_audience_0 ON sluice_audience_0.customer_id = CAST(c."customer_id" AS varchar)
WHERE coalesce((coalesce(c."tier" = 'gold', FALSE) OR NOT (sluice_audience_0.customer_id IS NOT NULL)), FALSE)`);
    const rows = await world.rows(query);
    expect(rows.map((row) => String(row['customer_id'])).toSorted((a, b) => a.localeCompare(b))).toEqual([
      'ann',
      'bob',
      'cat',
      'dan',
    ]);
  });

  it('hand-written SQL has the run\'s tick for "now"', async () => {
    const query = audienceQuery(written, workspace(TABLES, [written]), TICK);
    expect((await world.rows(query)).map((row) => row['customer_id'])).toEqual(['ann']);
    const later = audienceQuery(written, workspace(TABLES, [written]), TICK + 10_000);
    expect(await world.rows(later)).toEqual([]);
  });

  it('reads the zone of the audience that is referred to', async () => {
    const today = audience('today', is('seen_at', { op: 'on', at: { kind: 'today' } }), { timeZone: 'Europe/Berlin' });
    const outer = audience('outer', { kind: 'audience', name: 'today' });
    const rows = await world.rows(audienceQuery(outer, workspace(TABLES, [today, outer]), TICK));
    expect(rows).toEqual([{ customer_id: 'ann' }]);
  });

  it('refuses an audience that is made of itself', () => {
    const one = audience('one', { kind: 'audience', name: 'two' });
    const two = audience('two', { kind: 'audience', name: 'one' });
    expect(() => audienceQuery(one, workspace(TABLES, [one, two]), TICK)).toThrow('made of itself');
  });
});
