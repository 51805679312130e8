import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Warehouse } from '../../core/ports.ts';
import { openDuckDb } from '../../warehouses/duckdb.ts';
import { column, table } from './tables.ts';

const TABLES = [
  table('customers', 'customers', [
    column('customer_id', 'string'),
    column('email', 'string'),
    column('spent', 'number'),
    column('joined', 'date'),
  ]),
  table('order_completed', 'events', [
    column('customer_id', 'string'),
    column('occurred_at', 'timestamp'),
    column('category', 'string'),
  ]),
  table('segments', 'customers', [column('customer_id', 'string')], { physicalName: 'crm.segments' }),
];

let warehouse: Warehouse;
beforeAll(async () => {
  warehouse = await openDuckDb({ dir: '.' });
});
afterAll(() => warehouse.close());

const validate = (sql: string) => warehouse.validate(sql, TABLES);

describe('hand-written SQL that is accepted', () => {
  it.each([
    'SELECT customer_id FROM customers',
    'SELECT customer_id FROM customers;',
    `SELECT customer_id FROM "crm"."segments"`,
    `SELECT c.customer_id FROM customers c JOIN order_completed o ON o.customer_id = c.customer_id WHERE o.occurred_at >= current_timestamp - INTERVAL '180' DAY GROUP BY 1 HAVING count(DISTINCT o.category) >= 3`,
    `WITH recent AS (SELECT customer_id, max(occurred_at) AS last FROM order_completed GROUP BY customer_id) SELECT customer_id FROM recent WHERE last < date_add('day', -30, now())`,
    `SELECT customer_id FROM customers WHERE email LIKE '%@example.com' AND coalesce(spent, 0) > 10.5 AND joined BETWEEN DATE '2026-01-01' AND current_date`,
    `SELECT customer_id FROM (SELECT customer_id, row_number() OVER (PARTITION BY email ORDER BY spent DESC) AS n FROM customers) x WHERE n = 1`,
    `SELECT customer_id FROM customers WHERE customer_id IN (SELECT customer_id FROM order_completed WHERE category IN ('shoes', 'bags')) AND NOT EXISTS (SELECT 1 FROM order_completed o WHERE o.customer_id = customers.customer_id AND extract(year FROM o.occurred_at) = 2020)`,
    `SELECT customer_id FROM customers UNION SELECT customer_id FROM order_completed`,
    `SELECT customer_id FROM customers WHERE contains(ARRAY['a', 'b'], email) OR CASE WHEN spent > 1 THEN TRUE ELSE FALSE END`,
    `SELECT customer_id FROM customers WHERE date_diff('day', joined, current_date) > 3 -- ten :: days`,
  ])('%s', async (sql) => {
    expect(await validate(sql)).toEqual({ ok: true, columns: [{ name: 'customer_id', type: 'varchar' }] });
  });

  it('says what the columns are', async () => {
    expect(await validate('SELECT customer_id, spent FROM customers')).toEqual({
      ok: true,
      columns: [
        { name: 'customer_id', type: 'varchar' },
        { name: 'spent', type: 'decimal(38,2)' },
      ],
    });
  });
});

describe('hand-written SQL that is refused', () => {
  const at = (sql: string, word: string): number => sql.lastIndexOf(word);
  it.each([
    [
      'a column that does not exist',
      'SELECT customer_id FROM customers WHERE emial = 1',
      'emial',
      'Referenced column "emial" not found in FROM clause.',
      'email',
    ],
    [
      'a column after characters of several bytes',
      `SELECT customer_id FROM customers WHERE email = 'Zoë 🦊' AND emial = 1`,
      'emial',
      'Referenced column "emial" not found in FROM clause.',
      'email',
    ],
    [
      'a table that no contract describes',
      'SELECT customer_id FROM customer',
      'customer',
      'No contract describes a table "customer".',
      'customers',
    ],
    [
      'a table of another schema',
      'SELECT customer_id FROM crm.segment',
      'crm',
      'No contract describes a table "crm.segment".',
      'crm.segments',
    ],
    [
      "a table of the engine's own",
      'SELECT table_name FROM information_schema.tables',
      'information_schema',
      'No contract describes a table "information_schema.tables".',
      undefined,
    ],
    [
      'a file',
      `SELECT customer_id FROM read_csv('/etc/passwd')`,
      'read_csv',
      'The table function read_csv may not be used here: only tables of the contracts are read.',
      undefined,
    ],
    [
      'a file as a table',
      `SELECT column0 FROM '/etc/passwd'`,
      `'/etc`,
      'No contract describes a table "/etc/passwd".',
      undefined,
    ],
    [
      'a function that reaches out',
      `SELECT getenv('HOME') FROM customers`,
      'getenv',
      'The function getenv may not be used: it is not the same on every engine.',
      undefined,
    ],
    [
      'a function of one engine',
      `SELECT customer_id FROM customers WHERE list_contains(ARRAY['a'], email)`,
      'list_contains',
      'The function list_contains may not be used: it is not the same on every engine.',
      undefined,
    ],
    [
      'a function that is spelled wrong',
      `SELECT customer_id FROM customers WHERE starts_wit(email, 'a')`,
      'starts_wit',
      'The function starts_wit may not be used: it is not the same on every engine.',
      'starts_with',
    ],
    [
      'ILIKE',
      `SELECT customer_id FROM customers WHERE email ILIKE 'a%'`,
      'ILIKE',
      'ILIKE is not known to Athena: write lower(x) LIKE ...',
      undefined,
    ],
    [
      'a cast with colons',
      'SELECT customer_id FROM customers WHERE spent::int > 1',
      '::',
      `Write CAST(x AS type): "::" is DuckDB's alone.`,
      undefined,
    ],
    [
      'a list without ARRAY',
      `SELECT customer_id FROM customers WHERE email IN (['a'])`,
      '[',
      `Write ARRAY[...]: brackets alone are DuckDB's.`,
      undefined,
    ],
    ['a sum of text', 'SELECT customer_id FROM customers GROUP BY 1 HAVING sum(email) > 1', 'sum', undefined, undefined],
  ])('%s', async (_title, sql, word, message, suggestion) => {
    const verdict = await validate(sql);
    expect(verdict).toMatchObject({
      ok: false,
      ...(message !== undefined && { message }),
      ...(suggestion !== undefined && { suggestion }),
    });
    if (verdict.ok || verdict.offset === undefined) expect.fail(`says no place: ${JSON.stringify(verdict)}`);
    // DuckDB points at an operator or at its left side.
    expect(Math.abs(verdict.offset - at(sql, word))).toBeLessThanOrEqual(word === 'ILIKE' ? 6 : 0);
    if (suggestion === undefined) expect(verdict.suggestion ?? '').not.toContain('read_');
  });

  it('a syntax error, with its place', async () => {
    const verdict = await validate('SELECT customer_id FORM customers WHERE');
    expect(verdict).toMatchObject({ ok: false, message: 'Syntax error at or near "customers".', offset: 24 });
  });

  it.each([
    ['two statements', 'SELECT customer_id FROM customers; SELECT 1', 'Write one SELECT; there are 2 statements.'],
    ['nothing', '  -- only a comment', 'Write one SELECT; there are 0 statements.'],
    ['a DELETE', 'DELETE FROM customers', 'Only one SELECT may stand here; it must not change anything.'],
    ['a setting', 'SET threads = 1', 'Only one SELECT may stand here; it must not change anything.'],
    ['a file that is written', `COPY customers TO 'x.csv'`, 'Only one SELECT may stand here; it must not change anything.'],
    ['another database', `ATTACH 'x.duckdb'`, 'Only one SELECT may stand here; it must not change anything.'],
    [
      'a star without a column',
      'SELECT * EXCLUDE (email) FROM customers',
      `A star with EXCLUDE, REPLACE or COLUMNS is DuckDB's alone: name the columns.`,
    ],
    [
      'QUALIFY',
      'SELECT customer_id FROM customers QUALIFY row_number() OVER (ORDER BY spent) = 1',
      'QUALIFY is not known to Athena: filter in an outer SELECT.',
    ],
    ['a sample', 'SELECT customer_id FROM customers USING SAMPLE 10', 'A sample gives other rows every time.'],
    ['GROUP BY ALL', 'SELECT customer_id FROM customers GROUP BY ALL', `GROUP BY ALL is DuckDB's alone: name the columns.`],
    [
      'a lambda',
      `SELECT customer_id FROM customers WHERE array_remove(ARRAY['a'], lambda x: x) IS NULL`,
      'A lambda is not written the same on every engine.',
    ],
  ])('%s', async (_title, sql, message) => {
    expect(await validate(sql)).toMatchObject({ ok: false, message });
  });

  it('checks 500 audiences in the time of a glance, because the empty tables are made once', async () => {
    const verdicts = await Promise.all(
      Array.from({ length: 500 }, (_, i) => validate(`SELECT customer_id FROM customers WHERE spent > ${i}`)),
    );
    expect(verdicts.every(({ ok }) => ok)).toBe(true);
  });
});
