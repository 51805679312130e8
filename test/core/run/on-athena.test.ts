import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Column, Table } from '../../../core/model.ts';
import type { Operations } from '../../../core/run/operations.ts';
import { sync } from '../../../core/run/operations.ts';
import { quoteText } from '../../../core/sql/literal.ts';
import { s3Files } from '../../../stores/files-s3.ts';
import { typedSelect } from '../../../warehouses/duckdb-sources.ts';
import { type AthenaWorld, BUCKET, openAthenaWorld } from '../../support/athena.ts';
import { type Day, makeWorld, type World } from './world.ts';

const T = Date.parse('2026-06-01T06:00:00Z');
const DAY = 86_400_000;
const META = 'connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n';
const WEBHOOK = 'connector: webhook\npurpose: mail\nsecret: hook\n';
const SYNCS = '  - { to: meta, mode: mirror, identifiers: [email] }\n  - { to: hook, mode: mirror, traits: { spent: spent } }';

const START = '2026-01-01T00:00:00';
const person = (id: string, email: string, more: object = {}) => ({
  id,
  email,
  tier: 'gold',
  country: 'DE',
  spent: 12.5,
  ...more,
});
const day = (
  all: readonly ReturnType<typeof person>[],
  refused: readonly string[] = [],
  erased: readonly string[] = [],
): Day => ({
  customers: all.map(({ id, tier, country, spent }) => ({ id, tier, country, spent })),
  identifiers: all.map(({ id, email }) => ({ id, namespace: 'email', value: email })),
  consents: [
    ...all.flatMap(({ id }) => ['ads', 'mail'].map((purpose) => ({ id, purpose, status: 'granted', from: START }))),
    ...refused.map((id) => ({ id, purpose: 'ads', status: 'withdrawn', from: '2026-05-01T00:00:00' })),
  ],
  erasures: erased.map((id) => ({ id, at: '2026-05-01T00:00:00' })),
});

/** Someone new, a changed address, a shared address, a withdrawal, an erasure, somebody who left. */
const DAYS: readonly Day[] = [
  day([
    person('a', 'a@x.com'),
    person('b', 'home@x.com'),
    person('c', 'home@x.com'),
    person('d', 'd@x.com'),
    person('e', 'e@x.com'),
  ]),
  day(
    [
      person('a', 'new@x.com', { spent: 99 }),
      person('b', 'home@x.com'),
      person('d', 'd@x.com'),
      person('e', 'e@x.com'),
      person('f', 'f@x.com'),
    ],
    ['d'],
    ['e'],
  ),
];

const HIVE: Readonly<Record<Column['type'], string>> = {
  string: 'string',
  integer: 'bigint',
  number: 'decimal(38,6)',
  boolean: 'boolean',
  date: 'date',
  timestamp: 'timestamp',
};

describe('law 10: the same rows give the same delta', () => {
  const worlds: (World | AthenaWorld)[] = [];
  afterEach(async () => {
    for (const world of worlds.splice(0)) await world.close();
  });

  /** Both days, one run after the other, and what they did. */
  async function history(
    around: (operations: Operations, tick: number) => Promise<Operations>,
    world: World,
  ): Promise<unknown[]> {
    const told: unknown[] = [];
    for (const [i, rows] of [...DAYS, DAYS[1] as Day].entries()) {
      world.write(rows);
      const tick = T + i * DAY;
      const report = await world.open(async (operations) => sync(await around(operations, tick), 'gold', { tick }));
      const held = ['meta', 'webhook'].map((platform) => [...world.held(platform)].toSorted());
      told.push({
        state: report.state,
        // How long it took is the machine's; whom it is about is not.
        syncs: report.syncs.map((one) => ({
          ...one,
          seconds: 0,
          receipts: one.receipts?.rows,
          demanded: one.demanded?.removed,
        })),
        held,
      });
    }
    return told;
  }

  const made = async (): Promise<World> => {
    const world = await makeWorld({ syncs: SYNCS, destinations: { meta: META, hook: WEBHOOK } });
    worlds.push(world);
    return world;
  };

  it('on DuckDB over files, and on Athena over S3, through whole runs', async () => {
    const first = await made();
    const onDuckDb = await history((operations) => Promise.resolve(operations), first);

    const second = await made();
    second.write(DAYS[0] as Day);
    const tables = await second.open((operations) => Promise.resolve(operations.ports.workspace.tables));
    const lake = await openAthenaWorld({
      setup: [
        'CREATE SCHEMA awsdatacatalog.gold',
        ...tables.map((table) => {
          const names = table.columns.map(({ name }) => `${quoteText(name)}: 'VARCHAR'`).join(', ');
          const path = quoteText(join(second.dir, 'rows', `${table.name}.json`));
          return `CREATE VIEW awsdatacatalog.gold."${table.physicalName}" AS ${typedSelect(`SELECT * FROM read_json(${path}, columns = {${names}})`, table.columns)}`;
        }),
      ],
      tables: Object.fromEntries(
        tables.map((table) => [
          `awsdatacatalog.gold.${table.physicalName}`,
          { columns: table.columns.map(({ name, type }) => ({ name, type: HIVE[type] })) },
        ]),
      ),
    });
    worlds.push(lake);
    const inGold = (table: Table): Table => ({
      ...table,
      servers: { aws: { type: 'athena', catalog: 'awsdatacatalog', database: 'gold' } },
    });
    const onAthena = await history((operations, tick) => {
      const { ports } = operations;
      return Promise.resolve({
        ...operations,
        ports: {
          ...ports,
          workspace: { ...ports.workspace, tables: ports.workspace.tables.map(inGold) },
          warehouse: lake.open({ asOf: tick }),
          store: {
            ...ports.store,
            files: s3Files({ client: lake.clients.s3, bucket: BUCKET, prefix: 'sluice/' }),
            receipts: s3Files({ client: lake.clients.s3, bucket: BUCKET, prefix: 'receipts/' }),
          },
        },
      });
    }, second);
    expect(onAthena).toEqual(onDuckDb);
    expect(lake.endpoint.started.some((sql) => sql.startsWith('UNLOAD'))).toBe(true);
    expect(lake.endpoint.failures).toEqual([]);
  });
});
