import { expect, inject, it } from 'vitest';
import { TICK } from '../core/sql/world.ts';
import { boundText } from '../../warehouses/athena-text.ts';
import { instantOf } from '../../warehouses/athena.ts';
import { BUCKET, DATABASE } from '../support/athena.ts';
import { trino } from '../support/trino/engine.ts';

/** Trino's Iceberg connector is not among what `npm run pre-test:trino` can fetch: the engine reads the text, and the Hive connector declines it. */
it('Trino understands the text that pins an Iceberg table to the tick: only the connector can not answer it', async () => {
  await trino(inject('trino'), 'CREATE SCHEMA IF NOT EXISTS pinned');
  await trino(inject('trino'), `CREATE TABLE pinned.orders WITH (format = 'PARQUET') AS SELECT 'c1' AS customer_id`);
  const source = { catalog: 'awsdatacatalog', database: 'pinned', physicalName: 'orders', columns: ['customer_id'] };
  const lake = { catalog: 'awsdatacatalog', database: DATABASE, bucket: BUCKET };
  const text = (asOf?: string) => boundText('SELECT customer_id FROM "orders"', [{ ...source, ...(asOf && { asOf }) }], {}, lake);
  expect((await trino(inject('trino'), text())).rows).toEqual([['c1']]);
  await expect(trino(inject('trino'), text(instantOf(TICK)))).rejects.toThrow(/^NOT_SUPPORTED: .*versioned/);
  await expect(trino(inject('trino'), text('TODAY'))).rejects.toThrow(/^(SYNTAX_ERROR|COLUMN_NOT_FOUND)/);
});
