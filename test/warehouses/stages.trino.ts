import { describe, expect, inject, it } from 'vitest';
import type { PurposePolicy, Table } from '../../core/model.ts';
import type { Query, Relation } from '../../core/ports.ts';
import { idsQuery } from '../../core/receipts/audit.ts';
import { LEDGER_COLUMNS } from '../../core/sql/delta.ts';
import { DECISION_COLUMNS } from '../../core/sql/decisions.ts';
import { quoteName } from '../../core/sql/literal.ts';
import { MOVED_COLUMNS, movedQuery } from '../../core/sql/merges.ts';
import { samePersonQuery, WANTED_COLUMNS } from '../../core/sql/person.ts';
import { SIGNAL_COLUMNS } from '../../core/sql/signals.ts';
import { decisionsQuery, type SnapshotSpec, snapshotQuery } from '../../core/sql/snapshot.ts';
import { STOP_COLUMNS } from '../../core/sql/stops.ts';
import { boundText } from '../../warehouses/athena-text.ts';
import {
  audience,
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
import { column, table } from './tables.ts';

/** What Trino takes at most (query.max-stage-count); Athena is Trino with limits it does not tell. */
const MOST = 150;
/** With room for what comes. */
const ENOUGH = (MOST * 2) / 3;
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
const gold = audience('gold', is('tier', { op: 'known' }));
const namespaces = ['external_id', 'email', 'phone'];

/** What a consents table may have beside the least, in a table of its own: all are named alike. */
const MORE = {
  bound: ['namespace', 'value'],
  named: ['record_id', 'source'],
  strings: ['tcf', 'gpp'],
} as const;
type More = keyof typeof MORE;
const consentsWith = (...more: readonly More[]): Table => {
  const name = ['consents', ...more].join('_');
  const columns = more.flatMap((one) => MORE[one].map((field) => column(field, 'string')));
  return { ...table('consents', 'consents', [...CONSENTS.columns, ...columns]), physicalName: name };
};
/** Every choice of some of them. */
const CHOICES: readonly (readonly More[])[] = (['bound', 'named', 'strings'] as const).reduce<readonly (readonly More[])[]>(
  (all, one) => [...all, ...all.map((some) => [...some, one])],
  [[]],
);

interface Asked {
  readonly consents: readonly Table[];
  readonly purposes: number;
  readonly policy: Partial<PurposePolicy>;
  /** `narrow`: a rule over the customers alone, and no ledger, so that the work is limited to whom it matches. */
  readonly look: 'ledgers' | 'narrow' | 'one person';
}

/** A snapshot with every role of table, ledgers, a rollout and the stop list. */
function spec({ consents, purposes: syncs, policy, look }: Asked): Omit<SnapshotSpec, 'decisions'> {
  const purposes = Array.from({ length: syncs }, (_, i) => purpose(`purpose${i}`, policy));
  return {
    audience: gold,
    workspace: workspace([CUSTOMERS, IDENTIFIERS, ...consents, ERASURES, CHANGES], [gold], purposes),
    tick: TICK,
    memberKeySecret: 'pepper',
    moved,
    stops: kept('stops', STOP_COLUMNS, 'jsonl'),
    signals: kept('signals', SIGNAL_COLUMNS, 'jsonl'),
    ...(look === 'one person' && { only: 'a' }),
    syncs: Array.from({ length: syncs }, (_, index) => ({
      index,
      purpose: purposes[index]?.name ?? '',
      namespaces,
      traits: [],
      salt: 's',
      ...(look !== 'narrow' && { rollout: 50, ledger: kept(`ledger${index}`, LEDGER_COLUMNS) }),
    })),
  };
}

/** What a run asks for a snapshot: the decisions, where they are kept, and the snapshot. */
async function asked(of: Asked): Promise<{ readonly decisions: number; readonly snapshot: number }> {
  const whole = spec(of);
  const query = decisionsQuery(whole);
  return {
    decisions: query === null ? 0 : await stages(query),
    snapshot: await stages(snapshotQuery({ ...whole, decisions: query && kept('decisions', DECISION_COLUMNS) })),
  };
}

const strict = (more: readonly More[]): Partial<PurposePolicy> => ({
  doubleOptIn: true,
  sharedIdentifiers: 'refuse',
  ...(more.includes('named') && { sources: ['centre', 'shop'] }),
  ...(more.includes('strings') && { tcf: { vendor: 755, purposes: [1, 3, 4] }, gpp: { optOuts: ['sale'] } }),
});

it('no query that reads merges has more stages than Trino takes', { timeout: 300_000 }, async () => {
  const whole = spec({ consents: [CONSENTS], purposes: 2, policy: {}, look: 'ledgers' }).workspace;
  const source = { tables: whole.tables, consent: whole.consent, tick: TICK };
  const queries: Readonly<Record<string, Query | null>> = {
    'who was merged': movedQuery(whole, TICK, 'pepper'),
    'whom to forget': samePersonQuery(source, kept('wanted', WANTED_COLUMNS, 'jsonl')),
    'whose receipts': idsQuery([CHANGES], 'a', TICK),
  };
  const counted: [string, number][] = [];
  for (const [name, query] of Object.entries(queries)) if (query !== null) counted.push([name, await stages(query)]);
  expect(counted.filter(([, n]) => n > ENOUGH)).toEqual([]);
});

describe('no snapshot has more stages than two thirds of what Trino takes, whatever its consents are and its policy asks', () => {
  for (const more of CHOICES) {
    const consents = [consentsWith(...more)];
    it(`with ${more.length === 0 ? 'the least of columns' : more.join(', ')}`, { timeout: 300_000 }, async () => {
      const policy = strict(more);
      const counted: [string, number, number][] = [];
      for (const [name, of] of Object.entries<Asked>({
        'lenient, two purposes': { consents, purposes: 2, policy: {}, look: 'ledgers' },
        // Planning five takes Trino seconds, so only the fullest consents have so many.
        [`strict, ${more.length === 3 ? 'five' : 'two'} purposes`]: {
          consents,
          purposes: more.length === 3 ? 5 : 2,
          policy,
          look: 'ledgers',
        },
        'strict, one purpose, narrow': { consents, purposes: 1, policy, look: 'narrow' },
        'lenient, two purposes, narrow': { consents, purposes: 2, policy: {}, look: 'narrow' },
        'strict, two purposes, one person': { consents, purposes: 2, policy, look: 'one person' },
      })) {
        const { decisions, snapshot } = await asked(of);
        counted.push([name, decisions, snapshot]);
      }
      const most = ([1, 2] as const).map((at) => Math.max(...counted.map((one) => one[at])));
      process.stdout.write(`${consents[0]?.physicalName}: decisions ${most[0]}, snapshot ${most[1]} stages\n`);
      expect(counted.filter(([, decisions, snapshot]) => decisions > ENOUGH || snapshot > ENOUGH)).toEqual([]);
    });
  }

  it('nor over two consents tables with everything', { timeout: 300_000 }, async () => {
    const all = consentsWith('bound', 'named', 'strings');
    const consents = [all, { ...all, name: 'older', physicalName: 'consents_older' }];
    const policy = strict(['bound', 'named', 'strings']);
    const { decisions, snapshot } = await asked({ consents, purposes: 2, policy, look: 'ledgers' });
    expect([decisions <= ENOUGH, snapshot <= ENOUGH]).toEqual([true, true]);
  });
});
