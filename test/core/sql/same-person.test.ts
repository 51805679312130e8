import { afterAll, expect, it } from 'vitest';
import { idsQuery } from '../../../core/receipts/audit.ts';
import { samePersonQuery, WANTED_COLUMNS } from '../../../core/sql/person.ts';
import { CHANGES, openSqlWorld, TICK, workspace } from './world.ts';

const world = await openSqlWorld();
afterAll(() => world.close());

it('of any id of a person all others are found, over chains and circles, and nobody else', async () => {
  const merges = [
    ['a', 'b'],
    ['b', 'c'],
    ['d', 'c'],
    ['x', 'y'],
    ['o', 'p'],
    ['p', 'q'],
    ['q', 'o'],
  ];
  world.write(
    CHANGES,
    merges.map(([from_id, to_id]) => ({ from_id, to_id, kind: 'merge', changed_at: '2026-01-01T00:00:00' })),
  );
  const { tables, consent } = workspace([CHANGES], []);
  const forgotten = async (...ids: string[]): Promise<readonly string[]> => {
    const sql = ids.map((id) => `SELECT 'id' AS kind, '${id}' AS value`).join(' UNION ALL ');
    const files = await world.warehouse.materialize({ sql }, `${world.dir}/wanted-${ids.join('')}`);
    const rows = await world.rows(samePersonQuery({ tables, consent, tick: TICK }, { files, columns: WANTED_COLUMNS }));
    return rows.map((row) => String(row['customer_id'])).toSorted((a, b) => a.localeCompare(b));
  };
  for (const id of ['a', 'b', 'c', 'd']) expect(await forgotten(id)).toEqual(['a', 'b', 'c', 'd']);
  expect(await forgotten('y', 'x', 'a')).toEqual(['a', 'b', 'c', 'd', 'x', 'y']);
  expect(await forgotten('nobody else')).toEqual(['nobody else']);
  expect(await forgotten('o')).toEqual(['o', 'p', 'q']);

  const audited = async (id: string): Promise<readonly unknown[]> =>
    (await world.rows(idsQuery([CHANGES], id, TICK)))
      .map((row) => `${String(row['from_id'])}>${String(row['to_id'])}`)
      .toSorted();
  for (const id of ['a', 'b', 'c', 'd']) expect(await audited(id)).toEqual(['a>c', 'b>c', 'd>c']);
  expect(await audited('nobody else')).toEqual([]);
});
