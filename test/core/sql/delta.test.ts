import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cell, Relation, Row, Warehouse } from '../../../core/ports.ts';
import {
  CANDIDATE_COLUMNS,
  candidatesQuery,
  LEDGER_COLUMNS,
  LOG_COLUMNS,
  PARK_AFTER,
  payloadQuery,
  REJECTION_COLUMNS,
  REMOVE_LINE_COLUMNS,
  removesQuery,
  resendQuery,
  UPSERT_LINE_COLUMNS,
} from '../../../core/sql/delta.ts';
import { generationQuery, rejectionsQuery } from '../../../core/sql/ledger.ts';
import { NO_TEXTS } from '../../../core/sql/literal.ts';
import {
  NEAR_COLUMNS,
  nearQuery,
  TOUCHED_COLUMNS,
  touchedCountQuery,
  touchedQuery,
  touchedSeedQuery,
} from '../../../core/sql/near.ts';
import { openDuckDb } from '../../../warehouses/duckdb.ts';

let dir: string;
let warehouse: Warehouse;
let made = 0;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-delta-'));
  warehouse = await openDuckDb({ dir, temporary: join(dir, 'spill') });
});
afterAll(async () => {
  await warehouse.close();
  rmSync(dir, { recursive: true, force: true });
});

const ids = (list: readonly string[]): string =>
  list.length === 0 ? NO_TEXTS : `ARRAY[${list.map((id) => `'${id}'`).join(', ')}]`;

/** A relation of literal rows, as Parquet. */
async function rows(
  columns: Readonly<Record<string, string>>,
  values: readonly (readonly (Cell | readonly string[])[])[],
): Promise<Relation> {
  const names = Object.keys(columns);
  const literal = (value: Cell | readonly string[], i: number): string => {
    const type = Object.values(columns)[i] ?? 'varchar';
    if (Array.isArray(value)) return ids(value as string[]);
    if (type.startsWith('array')) return `CASE WHEN 1 = 0 THEN ${NO_TEXTS} END`;
    return `CAST(${value === null ? 'NULL' : typeof value === 'string' ? `'${value}'` : JSON.stringify(value)} AS ${type})`;
  };
  if (values.length === 0) return { files: { format: 'parquet', locations: [], rows: 0, bytes: 0 }, columns };
  const list = values.map((row) => `(${names.map((_, i) => literal(row[i] ?? null, i)).join(', ')})`).join(', ');
  const sql = `SELECT * FROM (VALUES ${list}) AS v (${names.join(', ')})`;
  return { files: await warehouse.materialize({ sql }, join(dir, `rows-${made++}`)), columns };
}

const SNAPSHOT = {
  member: 'varchar',
  matched: 'boolean',
  holdout: 'boolean',
  country: 'varchar',
  withheld_0: 'varchar',
  hash_0: 'varchar',
  identifiers_0: 'array(varchar)',
  traits_0: 'array(varchar)',
  consent_0: 'varchar',
  evidence_0: 'varchar',
};
const snapshotOf = (
  all: readonly { m: string; h?: string; matched?: boolean; withheld?: string; holdout?: boolean }[],
): Promise<Relation> =>
  rows(
    SNAPSHOT,
    all.map((one) => [
      one.m,
      one.matched ?? true,
      one.holdout ?? false,
      null,
      one.withheld ?? null,
      one.h ?? 'h1',
      [],
      [],
      'opt-in|DE|granted',
      `granted of ${one.m}`,
    ]),
  );
const ledgerOf = (all: readonly { m: string; h?: string; ids?: string[]; outcome?: string }[]): Promise<Relation> =>
  rows(
    LEDGER_COLUMNS,
    all.map((one) => [one.m, one.h ?? 'h1', one.ids ?? [], 1, one.outcome ?? 'delivered']),
  );
const removesOf = (all: readonly (readonly [string, string[], string])[]): Promise<Relation> =>
  rows(
    REMOVE_LINE_COLUMNS,
    all.map((line) => [...line, null]),
  );
const rejectionsOf = (all: readonly { m: string; h: string; times: number }[]): Promise<Relation> =>
  rows(
    REJECTION_COLUMNS,
    all.map((one) => [one.m, one.h, one.times, 'bad']),
  );
const sorted = (all: readonly Row[], by: string): Row[] => [...all].sort((a, b) => String(a[by]).localeCompare(String(b[by])));

describe('what is not as the ledger says', () => {
  const snapshot = () =>
    snapshotOf([
      { m: 'same' },
      { m: 'new' },
      { m: 'other', h: 'h2' },
      { m: 'refused', withheld: 'no-consent' },
      { m: 'refused-there', withheld: 'no-consent' },
      { m: 'control', holdout: true },
      { m: 'parked', h: 'h9' },
      { m: 'tried', h: 'h9' },
      { m: 'unsure' },
      { m: 'gone-from-rule', matched: false, withheld: 'erased' },
    ]);
  const ledger = () =>
    ledgerOf([
      { m: 'same' },
      { m: 'other' },
      { m: 'refused-there' },
      { m: 'left' },
      { m: 'unsure', h: '' },
      { m: 'gone-from-rule' },
    ]);
  const rejections = () =>
    rejectionsOf([
      { m: 'parked', h: 'h9', times: PARK_AFTER },
      { m: 'tried', h: 'h9', times: PARK_AFTER - 1 },
    ]);
  const found = async (mode: 'mirror' | 'upsert' | 'add-only') => {
    const query = candidatesQuery(0, mode, {
      snapshot: await snapshot(),
      ledger: await ledger(),
      rejections: await rejections(),
    });
    return sorted(await warehouse.rows(query), 'member').map((row) =>
      [row['member'], row['op'], row['reason'], row['held']].join(' '),
    );
  };
  const common = [
    'control holdout  false',
    'gone-from-rule remove erased true',
    'new add  false',
    'parked parked  false',
    'refused withhold no-consent false',
    'refused-there remove no-consent true',
    'tried add  false',
    'unsure update  true',
  ];

  it('mirror: adds, updates, removes who left or is withheld, and parks what was rejected three times', async () => {
    expect(await found('mirror')).toEqual(
      [...common, 'left remove left true', 'other update  true'].sort((a, b) => a.localeCompare(b)),
    );
  });
  it('upsert: keeps who left the rule', async () => {
    expect(await found('upsert')).toEqual([...common, 'other update  true'].sort((a, b) => a.localeCompare(b)));
  });
  it('add-only: changes nobody who is there for certain', async () => {
    expect(await found('add-only')).toEqual(common);
  });

  it('fetches of who is removed what the decision rests on, and nothing of the person', async () => {
    const base = {
      snapshot: await snapshotOf([{ m: 'aaa' }, { m: 'bbb', withheld: 'no-consent' }]),
      ledger: await ledgerOf([{ m: 'bbb' }, { m: 'ccc' }]),
      rejections: await rejectionsOf([]),
    };
    const files = await warehouse.materialize(candidatesQuery(0, 'mirror', base), join(dir, 'c-evidence'));
    const query = payloadQuery(0, 1, { ...base, candidates: { files, columns: CANDIDATE_COLUMNS } });
    const found = sorted(await warehouse.rows(query), 'k').map((row) => ['k', 'op', 'raw', 't', 'e'].map((name) => row[name]));
    expect(found).toEqual([
      ['aaa', 'add', [], [], 'granted of aaa'],
      ['bbb', 'remove', null, null, 'granted of bbb'],
      ['ccc', 'remove', null, null, null],
    ]);
  });

  it('spreads the payload over its shards and loses nobody', async () => {
    const base = { snapshot: await snapshot(), ledger: await ledger(), rejections: await rejections() };
    // Keys are hex in life; the shard is made of their first digits.
    const hex = await snapshotOf(
      Array.from({ length: 500 }, (_, i) => ({ m: (i * 7919).toString(16).padStart(32, '0').split('').reverse().join('') })),
    );
    const none = await ledgerOf([]);
    const candidates = {
      files: await warehouse.materialize(
        candidatesQuery(0, 'mirror', { ...base, snapshot: hex, ledger: none }),
        join(dir, 'c500'),
      ),
      columns: CANDIDATE_COLUMNS,
    };
    const sets = await warehouse.unload(
      payloadQuery(0, 4, { ...base, snapshot: hex, ledger: none, candidates }),
      join(dir, 'p500'),
      4,
    );
    expect(sets.map((set) => set.rows).reduce((a, b) => a + b, 0)).toBe(500);
    expect(Math.min(...sets.map((set) => set.rows))).toBeGreaterThan(50);
  });
});

describe('law 6: a shared identifier stays while anyone entitled still holds it', () => {
  const household = () =>
    ledgerOf([
      { m: 'a', ids: ['email:home', 'phone:1'] },
      { m: 'b', ids: ['email:home', 'phone:3'] },
      { m: 'c', ids: ['phone:3'] },
      { m: 'd', ids: ['email:d'] },
    ]);
  /** What the queries of a delta are told of a ledger, when those members are in it. */
  const nearOf = async (ledger: Relation, going: readonly string[]): Promise<Relation> => ({
    files: await warehouse.materialize(
      nearQuery({
        ledger,
        going: await rows(
          { member: 'varchar' },
          going.map((member) => [member]),
        ),
      }),
      join(dir, `near-${made++}`),
    ),
    columns: NEAR_COLUMNS,
  });
  const removed = async (lines: readonly [string, string[], string][]) => {
    const near = await nearOf(
      await household(),
      lines.map(([member]) => member),
    );
    return sorted(await warehouse.rows(removesQuery({ raw_removes: await removesOf(lines), near })), 'k').map((row) => [
      row['k'],
      row['ids'],
      row['why'],
    ]);
  };

  it('finds in the ledger all of who is in the delta, and of the others only what somebody else holds too', async () => {
    const near = await nearOf(await household(), ['a', 'd', 'not in the ledger']);
    const found = await warehouse.rows({
      sql: 'SELECT member, value, holders, cardinality(identifiers) AS n FROM near ORDER BY member, value',
      relations: { near },
    });
    expect(found.map((row) => [row['member'], row['value'], Number(row['holders']), Number(row['n'])])).toEqual([
      ['a', 'email:home', 2, 2],
      ['a', 'phone:1', 1, 2],
      ['b', 'email:home', 2, 2],
      ['b', 'phone:3', 2, 2],
      ['c', 'phone:3', 2, 1],
      ['d', 'email:d', 1, 1],
    ]);
  });

  it('keeps the address that the other still holds', async () => {
    expect(await removed([['a', ['email:home', 'phone:1'], 'left']])).toEqual([['a', ['phone:1'], 'left']]);
  });
  it('removes it when both leave', async () => {
    expect(
      await removed([
        ['a', ['email:home', 'phone:1'], 'left'],
        ['b', ['email:home', 'phone:3'], 'left'],
      ]),
    ).toEqual([
      ['a', ['email:home', 'phone:1'], 'left'],
      ['b', ['email:home'], 'left'],
    ]);
  });
  it('leaves a remove with nothing to send in the list, so that the ledger forgets the member', async () => {
    expect(await removed([['c', ['phone:3'], 'left']])).toEqual([['c', [], 'left']]);
  });
  /** Members touched by a removal, query by query, each with how many were found last. */
  const touchedBy = async (ledger: Relation, member: string, value: string, queries: number) => {
    const near = await nearOf(ledger, [member]);
    let query = touchedSeedQuery(await removesOf([[member, [value], 'left']]));
    const told: unknown[] = [];
    for (let i = 0; i < queries; i++) {
      const touched = { files: await warehouse.materialize(query, join(dir, `touched-${made++}`)), columns: TOUCHED_COLUMNS };
      query = touchedQuery({ touched, near });
      const files = await warehouse.materialize(query, join(dir, `touched-${made++}`));
      const [counted] = await warehouse.rows(touchedCountQuery({ files, columns: TOUCHED_COLUMNS }));
      const found = await warehouse.rows({
        sql: 'SELECT member FROM touched ORDER BY member',
        relations: { touched: { files, columns: TOUCHED_COLUMNS } },
      });
      told.push([found.map((row) => row['member']).join(''), Number(counted?.['n']), Number(counted?.['late'])]);
      query = { sql: 'SELECT member, late FROM found', relations: { found: { files, columns: TOUCHED_COLUMNS } } };
    }
    return told;
  };

  it('reaches everybody whose match may have hung on a removed value, over more than one corner, and nobody else', async () => {
    expect(await touchedBy(await household(), 'a', 'phone:1', 2)).toEqual([
      ['abc', 3, 1],
      ['abc', 3, 0],
    ]);
  });

  it('goes on for as long as somebody new is found, and ends where a household does', async () => {
    const chain = await ledgerOf(['a', 'b', 'c', 'd', 'e', 'f'].map((m, i) => ({ m, ids: [`email:${i}`, `email:${i + 1}`] })));
    expect(await touchedBy(chain, 'a', 'email:0', 3)).toEqual([
      ['abc', 3, 1],
      ['abcde', 5, 1],
      ['abcdef', 6, 0],
    ]);
    const pair = await ledgerOf([
      { m: 'a', ids: ['email:home'] },
      { m: 'b', ids: ['email:b', 'email:home'] },
    ]);
    expect(await touchedBy(pair, 'a', 'email:home', 1)).toEqual([['ab', 2, 0]]);
  });

  it('sends again what the ledger says of them, though the value they share is not their first', async () => {
    const near = await nearOf(
      await ledgerOf([
        { m: 'aaaa', ids: ['email:home'] },
        { m: 'bbbb', h: 'h7', ids: ['email:b', 'email:home'] },
      ]),
      ['aaaa'],
    );
    const query = resendQuery(0, 1, {
      near,
      touched: await rows(TOUCHED_COLUMNS, [
        ['aaaa', 0],
        ['bbbb', 0],
      ]),
      candidates: await rows(CANDIDATE_COLUMNS, [['aaaa', 'remove', 'left', true, false, null, false]]),
      snapshot: await snapshotOf([{ m: 'bbbb', h: 'h8' }]),
    });
    expect((await warehouse.rows(query)).map((row) => [row['k'], row['h'], row['ids']])).toEqual([
      ['bbbb', 'h7', ['email:b', 'email:home']],
    ]);
  });
});

describe('generation n+1 = generation n (+) outcomes', () => {
  const log = (lines: readonly [string, string][]) =>
    rows(
      LOG_COLUMNS,
      lines.map(([k, o], n) => [n, k, o, o === 'rejected' ? 'bad' : null]),
    );
  const next = async (parts: {
    ledger: { m: string; h?: string; ids?: string[]; outcome?: string }[];
    removes?: [string, string[], string][];
    removed?: [string, string][];
    upserts?: [string, string, string[]][];
    answers?: [string, string][];
    rejections?: { m: string; h: string; times: number }[];
    snapshot?: { m: string; h?: string }[];
  }) => {
    const relations = {
      ledger: await ledgerOf(parts.ledger),
      rejections: await rejectionsOf(parts.rejections ?? []),
      snapshot: await snapshotOf(parts.snapshot ?? []),
      removes: await removesOf(parts.removes ?? []),
      upserts: await rows(
        { ...UPSERT_LINE_COLUMNS },
        (parts.upserts ?? []).map(([k, h, list]) => [k, 'update', h, list, null, null]),
      ),
      remove_log: await log(parts.removed ?? []),
      upsert_log: await log(parts.answers ?? []),
    };
    const members = await warehouse.rows(generationQuery(relations, 5));
    const rejections = await warehouse.rows(rejectionsQuery(0, relations));
    return {
      members: sorted(members, 'member').map(
        (row) =>
          `${String(row['member'])} ${String(row['hash'])} [${[...(row['identifiers'] as string[])].sort().join(' ')}] ${String(row['outcome'])}`,
      ),
      rejections: sorted(rejections, 'member').map(
        (row) => `${String(row['member'])} ${String(row['hash'])} ${String(row['times'])}`,
      ),
    };
  };

  it('keeps who was not touched, and adds what was taken', async () => {
    expect(
      await next({
        ledger: [{ m: 'a', ids: ['e:a'] }],
        upserts: [
          ['b', 'h2', ['e:b']],
          ['c', 'h3', ['e:c']],
        ],
        answers: [
          ['b', 'accepted'],
          ['c', 'retry'],
        ],
      }),
    ).toEqual({
      members: ['a h1 [e:a] delivered', 'b h2 [e:b] accepted'],
      rejections: [],
    });
  });
  it('forgets who was removed, and keeps for the next diff who was not', async () => {
    const { members } = await next({
      ledger: [
        { m: 'a', ids: ['e:a'] },
        { m: 'b', ids: ['e:b'] },
        { m: 'c', ids: ['e:c'] },
      ],
      removes: [
        ['a', ['e:a'], 'left'],
        ['b', ['e:b'], 'left'],
        ['c', [], 'left'],
      ],
      removed: [
        ['a', 'delivered'],
        ['b', 'retry'],
      ],
    });
    expect(members).toEqual(['b  [e:b] unknown']);
  });
  it('keeps a removed-for-change identifier when its removal was not confirmed', async () => {
    const parts = {
      ledger: [{ m: 'a', ids: ['e:old', 'p:1'] }],
      removes: [['a', ['e:old'], 'changed']] as [string, string[], string][],
      upserts: [['a', 'h2', ['e:new', 'p:1']]] as [string, string, string[]][],
    };
    expect((await next({ ...parts, removed: [['a', 'accepted']], answers: [['a', 'accepted']] })).members).toEqual([
      'a h2 [e:new p:1] accepted',
    ]);
    expect((await next({ ...parts, removed: [['a', 'retry']], answers: [['a', 'accepted']] })).members).toEqual([
      'a  [e:new e:old p:1] accepted',
    ]);
    expect((await next({ ...parts, removed: [['a', 'accepted']], answers: [['a', 'retry']] })).members).toEqual([
      'a  [p:1] delivered',
    ]);
    expect((await next({ ...parts, removed: [['a', 'accepted']], answers: [['a', 'unknown']] })).members).toEqual([
      'a  [e:new p:1] unknown',
    ]);
  });
  it('keeps who may have been taken, so that a later run removes or confirms them', async () => {
    expect((await next({ ledger: [], upserts: [['a', 'h2', ['e:a']]], answers: [['a', 'unknown']] })).members).toEqual([
      'a  [e:a] unknown',
    ]);
  });
  it('counts rejections of the same payload up, starts anew for another one, and forgets them when taken', async () => {
    const { rejections } = await next({
      ledger: [],
      upserts: [
        ['a', 'h2', []],
        ['b', 'h2', []],
        ['c', 'h2', []],
      ],
      answers: [
        ['a', 'rejected'],
        ['b', 'rejected'],
        ['c', 'delivered'],
      ],
      rejections: [
        { m: 'a', h: 'h2', times: 1 },
        { m: 'b', h: 'h0', times: 2 },
        { m: 'c', h: 'h2', times: 2 },
        { m: 'p', h: 'h1', times: 3 },
        { m: 'x', h: 'h1', times: 3 },
      ],
      snapshot: [
        { m: 'p', h: 'h1' },
        { m: 'x', h: 'h8' },
      ],
    });
    expect(rejections).toEqual(['a h2 2', 'b h2 1', 'p h1 3']);
  });
});
