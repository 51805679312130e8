import { createHash } from 'node:crypto';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { evidenceOf } from '../../../core/evidence.ts';
import type { PurposePolicy, Table } from '../../../core/model.ts';
import { DECISION_COLUMNS } from '../../../core/sql/decisions.ts';
import { LEDGER_COLUMNS } from '../../../core/sql/delta.ts';
import { NO_TEXTS } from '../../../core/sql/literal.ts';
import { goneQuery } from '../../../core/sql/refusals.ts';
import { decisionsQuery } from '../../../core/sql/snapshot.ts';
import { column, table } from '../../warehouses/tables.ts';
import { audience, CHANGES, CONSENTS, CUSTOMERS, is, openSqlWorld, purpose, TICK, workspace } from './world.ts';

const world = await openSqlWorld();
afterAll(() => world.close());

const NAMED = table('consents', 'consents', [
  ...CONSENTS.columns,
  ...['namespace', 'value', 'source', 'record_id'].map((name) => column(name, 'string')),
]);
const secret = 'pepper';
const member = (id: string): string => createHash('sha256').update(`${secret}${id}`).digest('hex').slice(0, 32);
const nobody = audience('gold', is('tier', { op: 'eq', value: { type: 'string', value: 'none' } }));
const says = (customer_id: string, status: string, day: number, more: object = {}) => ({
  customer_id,
  purpose: 'ads',
  status,
  effective_from: `2026-01-0${day}T00:00:00`,
  ...more,
});
let made = 0;

/** Who of a ledger of everybody is gone and refused, by the ids asked for, with the name of the record. */
async function gone(ids: readonly string[], consents: Table, policy: PurposePolicy): Promise<Record<string, string | null>> {
  const whole = workspace([CUSTOMERS, consents, CHANGES], [nobody], [policy]);
  const moved = await world.moved(whole, TICK, secret);
  const held = ids.map(
    (id) =>
      `SELECT '${member(id)}' AS member, 'h' AS hash, ${NO_TEXTS} AS identifiers, CAST(1 AS bigint) AS since, 'delivered' AS outcome`,
  );
  const ledger = {
    files: await world.warehouse.materialize({ sql: held.join(' UNION ALL ') }, `${world.dir}/ledger-${made++}`),
    columns: LEDGER_COLUMNS,
  };
  const sync = { index: 0, purpose: 'ads', namespaces: ['email'], traits: [], salt: 's', ledger };
  const query = decisionsQuery(
    { audience: nobody, workspace: whole, tick: TICK, memberKeySecret: secret, moved, syncs: [sync] },
    'always',
  );
  if (query === null) throw new Error('nothing decides');
  const decisions = {
    files: await world.warehouse.materialize(query, `${world.dir}/gone-${made++}`),
    columns: DECISION_COLUMNS,
  };
  const rows = await world.rows(goneQuery({ ledger, decisions, moved }, CUSTOMERS, { policy, tick: TICK, secret }));
  const named = new Map(ids.map((id) => [member(id), id]));
  return Object.fromEntries(
    rows.map((row) => [named.get(String(row['member'])) ?? '?', evidenceOf(String(row['e']))?.record ?? null]),
  );
}

beforeEach(() => {
  for (const of of [CUSTOMERS, CONSENTS, NAMED, CHANGES]) world.write(of, []);
});

it('who is gone and refused must go, and nobody who has a row, has granted since, or said nothing', async () => {
  world.write(CUSTOMERS, [{ customer_id: 'here', tier: 'gold', country: 'DE' }]);
  world.write(CONSENTS, [
    says('here', 'withdrawn', 1),
    says('refused', 'denied', 1),
    says('again', 'withdrawn', 1),
    says('again', 'granted', 2),
    // What was granted has ended: the refusal before it counts again.
    says('ended', 'withdrawn', 1),
    says('ended', 'granted', 2, { effective_to: '2026-01-03T00:00:00' }),
    // A word that no contract lists refuses, and demands nothing.
    says('odd', 'what', 1),
  ]);
  expect(await gone(['here', 'refused', 'again', 'ended', 'odd', 'silent'], CONSENTS, purpose('ads'))).toEqual({
    refused: null,
    ended: null,
  });
});

it('by the policy’s order of sources, by name, and not for what was said of one identifier', async () => {
  const of = (source: string) => ({ source, record_id: source });
  world.write(NAMED, [
    says('a', 'withdrawn', 1, of('centre')),
    says('a', 'granted', 2, of('shop')),
    says('b', 'withdrawn', 1, { ...of('centre'), namespace: 'email', value: 'b@example.com' }),
  ]);
  expect(await gone(['a', 'b'], NAMED, purpose('ads', { sources: ['centre', 'shop'] }))).toEqual({ a: 'centre' });
  expect(await gone(['a', 'b'], NAMED, purpose('ads'))).toEqual({});
});

it('a merged id is who it was merged into: what either said counts for both, and who has a row is not gone', async () => {
  world.write(CUSTOMERS, [
    { customer_id: 'kept', tier: 'gold', country: 'DE' },
    { customer_id: 'stand', tier: 'gold', country: 'DE' },
  ]);
  const merge = (from_id: string, to_id: string) => ({ from_id, to_id, kind: 'merge', changed_at: '2026-02-01T00:00:00' });
  world.write(CHANGES, [merge('old', 'new'), merge('was', 'kept'), merge('stand', 'later')]);
  world.write(CONSENTS, [says('old', 'withdrawn', 1), says('was', 'withdrawn', 1), says('stand', 'withdrawn', 1)]);
  expect(await gone(['old', 'new', 'was', 'kept', 'stand', 'later'], CONSENTS, purpose('ads'))).toEqual({ old: null, new: null });
});
