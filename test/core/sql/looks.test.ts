import { afterAll, expect, it } from 'vitest';
import { shapeOf } from '../../../core/run/linkage.ts';
import type { RunPorts } from '../../../core/run/ports.ts';
import { type SnapshotSpec, snapshotQuery } from '../../../core/sql/snapshot.ts';
import { audience, CONSENTS, CUSTOMERS, IDENTIFIERS, is, openSqlWorld, TICK, workspace } from './world.ts';

const world = await openSqlWorld();
afterAll(() => world.close());

const gold = audience('gold', is('tier', { op: 'eq', value: { type: 'string', value: 'gold' } }));
const whole = workspace([CUSTOMERS, IDENTIFIERS, CONSENTS], [gold]);
const spec: Omit<SnapshotSpec, 'decisions'> = {
  audience: gold,
  workspace: whole,
  moved: null,
  tick: TICK,
  memberKeySecret: 'pepper',
  syncs: [{ index: 0, purpose: 'ads', namespaces: ['email', 'phone'], traits: [], salt: 'salt' }],
};
/** How often Trino, which computes a `WITH` expression wherever it is named, looks at each table. */
const looks = (more: Partial<SnapshotSpec>) => {
  const { sql } = snapshotQuery({ ...spec, decisions: null, ...more });
  const named = (text: string) => sql.split(text).length - 1;
  const [customers = 0, identifiers, consents] = [CUSTOMERS, IDENTIFIERS, CONSENTS].map((one) =>
    named(`FROM "${one.physicalName}"`),
  );
  const wanted = named('sluice_wanted AS (');
  return [customers - wanted + named('FROM sluice_wanted'), identifiers, consents];
};

it('looks at every table once where nobody has more identifiers than a row has room for and most customers are in the audience', async () => {
  expect(looks({})).toEqual([4, 3, 1]);
  expect(looks({ few: true })).toEqual([3, 1, 1]);
  expect(looks({ few: true, broad: true })).toEqual([1, 1, 1]);
});

it('finds the same either way', async () => {
  world.write(CUSTOMERS, [
    ...['a', 'b', 'c'].map((customer_id) => ({ customer_id, tier: 'gold', country: 'DE' })),
    { customer_id: 'd', tier: 'silver', country: 'DE' },
  ]);
  world.write(IDENTIFIERS, [
    ...[1, 2, 3, 4, 5, 6].map((i) => ({ customer_id: 'a', namespace: i % 2 === 0 ? 'email' : 'phone', value: `value ${i}` })),
    { customer_id: 'b', namespace: 'email', value: 'b@x.example' },
    { customer_id: 'd', namespace: 'email', value: 'd@x.example' },
  ]);
  world.write(
    CONSENTS,
    ['a', 'b', 'd'].map((customer_id) => ({
      customer_id,
      purpose: 'ads',
      status: 'granted',
      effective_from: '2026-01-01T00:00:00',
    })),
  );
  const sorted = async (more: Partial<SnapshotSpec>) =>
    (await world.snapshot({ ...spec, ...more })).toSorted((x, y) => (String(x['member']) < String(y['member']) ? -1 : 1));
  const usual = await sorted({});
  expect(usual).toHaveLength(3);
  expect(Math.max(...usual.map((row) => (row['identifiers_0'] as readonly unknown[]).length))).toBe(6);
  for (const more of [{ few: true }, { broad: true }, { few: true, broad: true }]) expect(await sorted(more)).toEqual(usual);
});

it('goes by the counts of the run, and is on the safe side where there are none', async () => {
  const shape = (most: readonly number[], { customers = 100, members = 0, moved = false, columns = false } = {}) => {
    const own = columns
      ? [{ ...CUSTOMERS, columns: [...CUSTOMERS.columns, { ...CUSTOMERS.columns[0]!, name: 'mail', namespace: 'email' }] }]
      : [CUSTOMERS];
    const ports = {
      workspace: {
        ...workspace(
          [...own, IDENTIFIERS, CONSENTS],
          [{ ...gold, syncs: [{ to: 'hook', identifiers: ['email'], traits: [] } as never] }],
        ),
        destinations: { hook: { connector: 'webhook' } as never },
      },
      connectors: { webhook: { membership: 'identifier', namespaces: {}, defaultIdentifiers: [] } as never },
      store: { pointers: { get: () => Promise.resolve({ members: { files: { rows: members } } }) } } as never,
    } as unknown as RunPorts;
    const namespaces = Object.fromEntries(
      most.map((one, i) => [`n${i}`, { customers, identifiers: 0, average: 0, p99: 0, most: one, orphans: 0 }]),
    );
    const relation = { files: { format: 'parquet', locations: [], rows: 1, bytes: 1 }, columns: {} } as const;
    return shapeOf(
      ports,
      { audience: 'gold', destinations: ['hook'] },
      most.length === 0 ? undefined : { namespaces, merged: null },
      moved ? relation : null,
    );
  };
  expect(await shape([4, 2])).toEqual({ few: true, broad: false });
  expect(await shape([4, 3])).toEqual({ few: false, broad: false });
  expect(await shape([4, 2], { columns: true })).toEqual({ few: false, broad: false });
  expect(await shape([1], { columns: true, moved: true })).toEqual({ few: false, broad: false });
  expect(await shape([4, 2], { moved: true, members: 50 })).toEqual({ few: true, broad: true });
  expect(await shape([4], { members: 49 })).toEqual({ few: true, broad: false });
  expect(await shape([], { members: 49 })).toEqual({ few: true, broad: false });
});
