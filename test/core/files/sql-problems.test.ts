import { describe, expect, test } from 'vitest';
import { sqlProblems } from '../../../core/files/sql-problems.ts';
import { renderProblem } from '../../../core/problems.ts';
import { openDuckDb } from '../../../warehouses/duckdb.ts';
import { load, shopWith } from './shop.ts';

/** Problems of one audience in SQL, found by DuckDB itself, rendered. */
async function seenOf(text: string): Promise<string> {
  const files = shopWith({ 'audiences/basket-builders.yaml': null, 'audiences/a.yaml': text });
  const { workspace, problems } = load(files);
  expect(problems).toEqual([]);
  if (!workspace) throw new Error('There is no workspace.');
  const warehouse = await openDuckDb({ dir: import.meta.dirname, environment: 'local' });
  try {
    const found = await sqlProblems(workspace, files, (sql, tables) => warehouse.validate(sql, tables));
    return found.map((problem) => renderProblem(problem, files.get(problem.file))).join('\n\n');
  } finally {
    await warehouse.close();
  }
}

describe('hand-written SQL', () => {
  test('that selects the customer id and nothing else is fine', async () => {
    expect(await seenOf('sql: |\n  SELECT customer_id FROM customers WHERE lifetime_value > 5\n')).toBe('');
  });

  test.each([
    ['a block', 'sql: |\n    SELECT customer_id\n    FROM customers\n    WHERE contry = 1\n', '4:11'],
    ['a block with its own indent and end', 'sql: |2-\n   SELECT customer_id\n   FROM customers\n   WHERE contry = 1\n', '4:10'],
    ['a folded block', 'sql: >\n  SELECT customer_id\n  FROM customers\n\n  WHERE contry = 1\n', '5:9'],
    ['a line', 'sql: SELECT customer_id FROM customers WHERE contry = 1\n', '1:46'],
    ['a text over two lines', 'sql: SELECT customer_id FROM\n  customers WHERE contry = 1\n', '2:19'],
    ['single quotes', "sql: 'SELECT customer_id FROM customers WHERE country = ''DE'' AND contry = 1'\n", '1:68'],
    ['double quotes', 'sql: "SELECT customer_id FROM customers WHERE contry = 1"\n', '1:47'],
    ['Windows line ends', 'sql: |\r\n  SELECT customer_id\r\n  FROM customers\r\n  WHERE contry = 1\r\n', '4:9'],
  ])('in %s has its mistakes shown where they stand', async (_, text, place) => {
    const [first = '', , mark = '', hint = ''] = (await seenOf(text)).split('\n');
    expect(first).toMatch(new RegExp(`^audiences/a\\.yaml:${place}  .*"contry".* \\[invalid-sql\\]$`));
    expect(mark).toMatch(/\| +\^{6}$/);
    expect(hint).toBe('  Did you mean "country"?');
  });

  test('in double quotes with escapes points at its beginning', async () => {
    expect((await seenOf('sql: "SELECT customer_id\\nFROM customers\\nWHERE contry = 1"\n')).split('  ')[0]).toBe(
      'audiences/a.yaml:1:7',
    );
  });

  test('must be one SELECT of one column, the customer id, of its type', async () => {
    const answers = [];
    for (const sql of [
      'DELETE FROM customers',
      'SELECT customer_id, country FROM customers',
      'SELECT country FROM customers',
      'SELECT orders_count AS customer_id FROM customers',
      'SELECT customer_id FROM custmers',
      'SELEC customer_id',
    ]) {
      answers.push(await seenOf(`sql: ${sql}\n`));
    }
    expect(answers.join('\n\n')).toMatchInlineSnapshot(`
      "audiences/a.yaml:1:6  Only one SELECT may stand here; it must not change anything. [invalid-sql]
        1 | sql: DELETE FROM customers
          |      ^^^^^^

      audiences/a.yaml:1:6  The SQL must have one column, customer_id; it has 2: customer_id, country. [sql-columns]
        1 | sql: SELECT customer_id, country FROM customers
          |      ^^^^^^
        Select the customer id alone: SELECT customer_id FROM ...

      audiences/a.yaml:1:6  The column of the SQL must be called customer_id, not country. [sql-columns]
        1 | sql: SELECT country FROM customers
          |      ^^^^^^
        Write country AS customer_id.

      audiences/a.yaml:1:6  customer_id of the SQL is of type bigint, and in contracts/customers.yaml it is of type string. [sql-columns]
        1 | sql: SELECT orders_count AS customer_id FROM customers
          |      ^^^^^^
        Select the id as the activation tables hold it.

      audiences/a.yaml:1:30  No contract describes a table "custmers". [invalid-sql]
        1 | sql: SELECT customer_id FROM custmers
          |                              ^^^^^^^^
        Did you mean "customers"?

      audiences/a.yaml:1:6  Syntax error at or near "SELEC". [invalid-sql]
        1 | sql: SELEC customer_id
          |      ^^^^^"
    `);
  });
});
