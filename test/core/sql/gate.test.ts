import { afterAll, expect, it } from 'vitest';
import type { Table } from '../../../core/model.ts';
import { gateFindings, gateQueries, gateQuery, qualityFinding, unknownStatusQuery } from '../../../core/sql/gate.ts';
import { column, table } from '../../warehouses/tables.ts';
import { CONSENTS, openSqlWorld, type SqlWorld, TICK } from './world.ts';

const world: SqlWorld = await openSqlWorld();
afterAll(() => world.close());

const customers = (more: Partial<Table> = {}): Table =>
  table(
    'customers',
    'customers',
    [
      column('customer_id', 'string', { required: true, unique: true, primaryKey: true }),
      column('country', 'string'),
      column('spent', 'number', { required: true }),
      column('updated_at', 'timestamp'),
    ],
    more,
  );

/** Messages of the gate for a table with these rows, as a run asks for them. */
async function gate(
  of: Table,
  rows: readonly Readonly<Record<string, unknown>>[] | undefined,
  declared: Table = of,
): Promise<readonly string[]> {
  if (rows !== undefined) world.write(of, rows);
  const described = await world.warehouse.describe(declared);
  const [one] = gateQueries([declared], TICK);
  const found = gateFindings(declared, described, [], TICK);
  if (found.some(({ kind }) => kind === 'schema')) return found.map(({ kind, message }) => `${kind}: ${message}`);
  return gateFindings(declared, described, await world.rows(one!.query), TICK).map(({ kind, message }) => `${kind}: ${message}`);
}
const person = (customer_id: string | null, more: object = {}) => ({
  customer_id,
  country: 'DE',
  spent: 1,
  updated_at: '2026-06-01T00:00:00',
  ...more,
});

it('finds nothing in a table that keeps its contract', async () => {
  expect(
    await gate(
      customers({
        quality: [
          { kind: 'row-count', min: 2 },
          { kind: 'unique', column: 'updated_at' },
        ],
      }),
      [person('a'), person('b', { updated_at: null })],
    ),
  ).toEqual([]);
});

it('names a table that is not there', async () => {
  expect(
    await gate(customers({ servers: { local: { type: 'local', path: 'nobody.parquet', format: 'parquet' } } }), undefined),
  ).toEqual(['schema: The table "customers" is not there. contracts/customers.yaml says where it should be.']);
});

it('names a missing column with the nearest one, and both types of a retyped one', async () => {
  const now = table('customers', 'customers', [
    column('customer_id', 'string'),
    column('county', 'string'),
    column('spent', 'string'),
    column('updated_at', 'timestamp'),
  ]);
  world.write(now, [{ customer_id: 'a', county: 'x', spent: 'a lot', updated_at: '2026-06-01T00:00:00' }]);
  expect(await gate(now, undefined, customers())).toEqual([
    'schema: "customers" has no column "country", which contracts/customers.yaml declares. It has "county". A renamed column is a new major version of the contract.',
    'schema: "customers.spent" is of type varchar; contracts/customers.yaml declares number. A retyped column is a new major version of the contract.',
  ]);
});

it.each([
  ['varchar', 'string', true],
  ['uuid', 'string', true],
  ['bigint', 'string', false],
  ['integer', 'integer', true],
  ['hugeint', 'integer', true],
  ['decimal(12,2)', 'integer', false],
  ['decimal(12,2)', 'number', true],
  ['double', 'number', true],
  ['real', 'number', true],
  ['bigint', 'number', true],
  ['varchar', 'number', false],
  ['boolean', 'boolean', true],
  ['date', 'date', true],
  ['timestamp(3)', 'date', false],
  ['timestamp', 'timestamp', true],
  ['timestamp(3)', 'timestamp', true],
  ['timestamp(3) with time zone', 'timestamp', false],
  ['date', 'timestamp', false],
] as const)('takes the type %s for a declared %s: %s', (type, declared, fits) => {
  const of = table('t', 'events', [column('x', declared)]);
  expect(gateFindings(of, [{ name: 'X', type }], [{ n: 1n }], TICK).filter(({ kind }) => kind === 'schema')).toHaveLength(
    fits ? 0 : 1,
  );
});

it('takes a timestamp with a zone only where the contract says so', () => {
  const of = table('t', 'events', [column('x', 'timestamp', { zoned: true })]);
  expect(gateFindings(of, [{ name: 'x', type: 'timestamp with time zone' }], [{ n: 1n }], TICK)).toEqual([]);
  expect(gateFindings(of, [{ name: 'x', type: 'timestamp' }], [{ n: 1n }], TICK)[0]?.message).toContain(
    'declares timestamp with time zone',
  );
});

it('counts customers without an id, ids that are there more than once, and missing values the contract requires', async () => {
  expect(
    await gate(customers(), [
      person('a'),
      person('a'),
      person('b'),
      person('b'),
      person('b'),
      person(null),
      person(''),
      person('c', { spent: null }),
    ]),
  ).toEqual([
    'data: 2 rows of "customers" have no customer_id.',
    'data: 2 values of "customers.customer_id" are there more than once.',
    'data: 1 row of "customers" has no spent, which the contract requires.',
  ]);
});

it('holds an empty customers table, because everybody would be removed', async () => {
  expect(await gate(customers(), [])).toEqual(['data: "customers" is empty: everybody would be removed.']);
});

it('takes an empty table of another role as it is', async () => {
  expect(await gate(CONSENTS, [])).toEqual([]);
});

it('says how old the newest row is when it is older than the contract allows, the edge included', async () => {
  const fresh = (days: number) => customers({ freshness: { column: 'updated_at', maxAge: { amount: days, unit: 'day' } } });
  const rows = [person('a', { updated_at: '2026-05-29T06:00:00' }), person('b', { updated_at: '2026-01-01T00:00:00' })];
  expect(await gate(fresh(3), rows)).toEqual([]);
  expect(await gate(fresh(2), rows)).toEqual([
    'data: "customers" is stale: the newest updated_at is 3 days old; the contract allows 2 days.',
  ]);
  expect(await gate(fresh(2), [person('a', { updated_at: null })])).toEqual([
    'data: "customers.updated_at" has no value to tell its age by; the contract allows 2 days.',
  ]);
});

it('runs the quality rules of the contract', async () => {
  const quality = [
    { kind: 'row-count', min: 5 },
    { kind: 'row-count', max: 3 },
    { kind: 'null-values', column: 'country', maxPercent: 25 },
    { kind: 'unique', column: 'country' },
  ] as const;
  expect(
    await gate(customers({ quality }), [
      person('a'),
      person('b'),
      person('c', { country: null }),
      person('d', { country: null }),
    ]),
  ).toEqual([
    'data: "customers" has 4 rows; the contract asks for at least 5.',
    'data: "customers" has 4 rows; the contract allows at most 3.',
    'data: 50.0 % of "customers.country" is unknown; the contract allows 25 %.',
    'data: 1 value of "customers.country" is there more than once.',
  ]);
});

it('asks one query a table, which looks at it once', () => {
  expect(
    gateQuery(customers({ quality: [{ kind: 'null-values', column: 'country', maxPercent: 1 }] }), TICK).sql,
  ).toBe(`SELECT sum(g.n) AS n,
  sum(g.c0) AS c0,
  count(CASE WHEN g.id IS NOT NULL AND g.n > 1 THEN 1 END) AS c1,
  sum(g.c2) AS c2,
  sum(g.c3) AS c3
FROM (
  SELECT t."customer_id" AS id,
    count(*) AS n,
    count(CASE WHEN CAST(t."customer_id" AS varchar) IS NULL OR CAST(t."customer_id" AS varchar) = '' THEN 1 END) AS c0,
    count(CASE WHEN t."spent" IS NULL THEN 1 END) AS c2,
    count(CASE WHEN t."country" IS NULL THEN 1 END) AS c3
  FROM "customers" t GROUP BY t."customer_id"
) g`);
});

it('counts consent records whose status the contract does not list', async () => {
  world.write(
    CONSENTS,
    ['granted', 'yes', null, 'withdrawn'].map((status) => ({
      customer_id: 'a',
      purpose: 'ads',
      status,
      effective_from: '2026-01-01T00:00:00',
    })),
  );
  const [row] = await world.rows(unknownStatusQuery(CONSENTS));
  expect(row).toEqual({ n: 2n });
  expect(qualityFinding(CONSENTS, row)).toEqual({
    table: 'consents',
    rows: 2,
    message: `2 rows of "consents" have statuses that ${CONSENTS.file} does not list, so they refuse. List the words under sluice.statuses.`,
  });
  expect(qualityFinding(CONSENTS, { n: 0 })).toBeUndefined();
});
