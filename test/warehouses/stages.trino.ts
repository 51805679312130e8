import { expect, inject, it } from 'vitest';
import type { Table } from '../../core/model.ts';
import type { Query, Relation } from '../../core/ports.ts';
import { idsQuery } from '../../core/receipts/audit.ts';
import { LEDGER_COLUMNS } from '../../core/sql/delta.ts';
import { quoteName } from '../../core/sql/literal.ts';
import { MOVED_COLUMNS, movedQuery } from '../../core/sql/merges.ts';
import { samePersonQuery, WANTED_COLUMNS } from '../../core/sql/person.ts';
import { type SnapshotSpec, snapshotQuery } from '../../core/sql/snapshot.ts';
import { STOP_COLUMNS } from '../../core/sql/stops.ts';
import { boundText } from '../../warehouses/athena-text.ts';
import {
  audience,
  BOUND_CONSENTS,
  CHANGES,
  CONSENTS,
  CUSTOMERS,
  ERASURES,
  IDENTIFIERS,
  is,
  purpose,
  TICK,
  workspace,
} from '../core/sql/world.ts';
import { BUCKET, DATABASE } from '../support/athena.ts';
import { trino } from '../support/trino/engine.ts';

/** What Trino takes at most (query.max-stage-count); Athena is Trino with limits it does not tell. */
const MOST = 150;
const STORED: Readonly<Record<string, string>> = {
  string: 'varchar',
  number: 'double',
  integer: 'bigint',
  timestamp: 'timestamp(3)',
};
const LAKE = { catalog: 'awsdatacatalog', database: DATABASE, bucket: BUCKET };
const SOURCE = { catalog: 'awsdatacatalog', database: 'stages' };

const made = (async () => {
  await trino(inject('trino'), `CREATE SCHEMA ${SOURCE.database}`);
})();
const known = new Map<string, Promise<unknown>>();

const makeTable = ({ physicalName, columns }: Table): Promise<unknown> => {
  const list = columns.map(({ name, type }) => `${quoteName(name)} ${STORED[type] ?? type}`).join(', ');
  return trino(
    inject('trino'),
    `CREATE TABLE ${SOURCE.database}.${quoteName(physicalName)} (${list}) WITH (format = 'PARQUET', external_location = 's3://${BUCKET}/stages/${physicalName}/')`,
  );
};

/** How many stages Trino makes of a query as Athena is sent it. */
async function stages({ sql, tables = [], relations = {} }: Query): Promise<number> {
  await made;
  for (const one of tables) {
    const ready = known.get(one.physicalName) ?? makeTable(one);
    known.set(one.physicalName, ready);
    await ready;
  }
  const sources = tables.map(({ physicalName, columns }) => ({
    ...SOURCE,
    physicalName,
    columns: columns.map(({ name }) => name),
  }));
  const text = boundText(sql, sources, relations, LAKE);
  const { rows } = await trino(inject('trino'), `EXPLAIN (TYPE DISTRIBUTED) ${text}`, { query_max_stage_count: '5000' });
  return (
    rows
      .flat()
      .join('\n')
      .match(/^Fragment \d+/gm)?.length ?? 0
  );
}

const kept = (name: string, columns: Relation['columns'], format: 'parquet' | 'jsonl' = 'parquet'): Relation => ({
  files: { format, locations: [`s3://${BUCKET}/runs/${name}/0.${format}`], rows: 1, bytes: 1 },
  columns,
});
const moved = kept('moved', MOVED_COLUMNS);
/** In a table of its own: both are named alike. */
const BOUND: Table = { ...BOUND_CONSENTS, physicalName: 'bound_consents' };
const gold = audience('gold', is('tier', { op: 'known' }));
const namespaces = ['external_id', 'email', 'phone'];

/** A snapshot with every role of table, ledgers, a rollout and the stop list. */
function spec(
  consents: Table,
  syncs: number,
  { ledgers = true, ...more }: Partial<SnapshotSpec> & { ledgers?: boolean } = {},
): SnapshotSpec {
  const purposes = Array.from({ length: syncs }, (_, i) =>
    purpose(`purpose${i}`, { doubleOptIn: true, sharedIdentifiers: 'refuse' }),
  );
  return {
    audience: gold,
    workspace: workspace([CUSTOMERS, IDENTIFIERS, consents, ERASURES, CHANGES], [gold], purposes),
    tick: TICK,
    memberKeySecret: 'pepper',
    moved,
    stops: kept('stops', STOP_COLUMNS, 'jsonl'),
    syncs: Array.from({ length: syncs }, (_, index) => ({
      index,
      purpose: purposes[index]?.name ?? '',
      namespaces,
      traits: [],
      salt: 's',
      ...(ledgers && { rollout: 50, ledger: kept(`ledger${index}`, LEDGER_COLUMNS) }),
    })),
    ...more,
  };
}

it('no query that reads merges has more stages than Trino takes', { timeout: 300_000 }, async () => {
  const whole = spec(CONSENTS, 2).workspace;
  const source = { tables: whole.tables, consent: whole.consent, tick: TICK };
  const queries: Readonly<Record<string, Query | null>> = {
    'who was merged': movedQuery(whole, TICK, 'pepper'),
    'a snapshot': snapshotQuery(spec(CONSENTS, 2)),
    'a snapshot whose consents speak of identifiers': snapshotQuery(spec(BOUND, 2)),
    'a snapshot of five purposes': snapshotQuery(spec(BOUND, 5)),
    'a snapshot that looks at no ledger': snapshotQuery(spec(BOUND, 2, { ledgers: false })),
    'a snapshot of one person': snapshotQuery(spec(BOUND, 2, { only: 'a' })),
    'whom to forget': samePersonQuery(source, kept('wanted', WANTED_COLUMNS, 'jsonl')),
    'whose receipts': idsQuery([CHANGES], 'a', TICK),
  };
  const counted: [string, number][] = [];
  for (const [name, query] of Object.entries(queries)) if (query !== null) counted.push([name, await stages(query)]);
  expect(counted.filter(([, n]) => n > MOST)).toEqual([]);
});
