import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Period, Table } from '../../../core/model.ts';
import { audienceQuery } from '../../../core/sql/audience.ts';
import { usableRows, usableSql } from '../../../core/sql/retention.ts';
import { snapshotQuery } from '../../../core/sql/snapshot.ts';
import {
  audience,
  columnOf,
  CONSENTS,
  CUSTOMERS,
  days,
  EVENTS,
  IDENTIFIERS,
  is,
  openSqlWorld,
  type SqlWorld,
  TICK,
  TICKETS,
  workspace,
} from './world.ts';

const period = (of: Table, by: string, amount: number): Period => ({ by: columnOf(of, by), period: days(amount) });
const kept = (of: Table, by: string, amount: number, fields: Readonly<Record<string, Period>> = {}): Table => ({
  ...of,
  retention: { rows: period(of, by, amount), fields },
});
const ago = (amount: number, ms = 0): string => new Date(TICK - amount * 86_400_000 + ms).toISOString().slice(0, 23);
const ids = (rows: readonly { readonly customer_id?: unknown }[]): string[] => rows.map((row) => String(row.customer_id)).sort();

let world: SqlWorld;
beforeAll(async () => {
  world = await openSqlWorld();
});
afterAll(() => world.close());

const everybody = audience('everybody', { kind: 'all', rules: [] });

describe('rows past their period', () => {
  it('are not read, one exactly as old as the period is past it, and so is one of unknown age; a date counts from its midnight', async () => {
    world.write(CUSTOMERS, [
      { customer_id: 'young', last_order_at: ago(29), joined: ago(29).slice(0, 10) },
      { customer_id: 'just', last_order_at: ago(30, 1), joined: '2026-05-03' },
      { customer_id: 'exactly', last_order_at: ago(30), joined: '2026-05-02' },
      { customer_id: 'old', last_order_at: ago(31), joined: ago(31).slice(0, 10) },
      { customer_id: 'unknown' },
    ]);
    for (const by of ['last_order_at', 'joined']) {
      const customers = kept(CUSTOMERS, by, 30);
      const rows = await world.rows(audienceQuery(everybody, workspace([customers], [everybody]), TICK));
      expect([by, ids(rows)]).toEqual([by, ['just', 'young']]);
      const [row] = await world.rows({
        sql: `SELECT count(*) AS n FROM ${usableRows(customers, TICK, 'all rows')} c WHERE ${usableSql(customers, TICK, 'c')} IS NULL`,
        tables: [customers],
      });
      expect(Number(row?.['n'])).toBe(0);
    }
  });

  it('of events are in no count and no sum, and do not make "never" false', async () => {
    world.write(CUSTOMERS, [{ customer_id: 'a' }, { customer_id: 'b' }]);
    world.write(EVENTS, [
      { customer_id: 'a', occurred_at: ago(5), event_version: '1' },
      { customer_id: 'b', occurred_at: ago(50), event_version: '1' },
    ]);
    const events = kept(EVENTS, 'occurred_at', 30);
    const bought = audience('bought', { kind: 'event', table: events, measure: { kind: 'count', range: { gte: '1' } } });
    const never = audience('never', { kind: 'event', table: events, measure: { kind: 'never' } });
    const of = workspace([CUSTOMERS, events], [bought, never]);
    expect(ids(await world.rows(audienceQuery(bought, of, TICK)))).toEqual(['a']);
    expect(ids(await world.rows(audienceQuery(never, of, TICK)))).toEqual(['b']);
  });

  it('are hidden from hand-written SQL too, in any spelling, and the table itself is what it was', async () => {
    world.write(CUSTOMERS, [
      { customer_id: 'a', last_order_at: ago(5) },
      { customer_id: 'b', last_order_at: ago(5) },
    ]);
    world.write(EVENTS, [
      { customer_id: 'a', occurred_at: ago(5), event_version: '1' },
      { customer_id: 'b', occurred_at: ago(50), event_version: '1' },
    ]);
    world.write(TICKETS, [{ customer_id: 'b', occurred_at: '2026-01-01' }]);
    const events = kept(EVENTS, 'occurred_at', 30);
    for (const sql of [
      'SELECT customer_id FROM order_completed',
      'SELECT o.customer_id FROM ORDER_COMPLETED o',
      'SELECT "order_completed".customer_id FROM "order_completed"',
      'WITH x AS (SELECT * FROM order_completed) SELECT customer_id FROM x',
      'SELECT customer_id FROM customers WHERE customer_id IN (SELECT customer_id FROM order_completed)',
      'SELECT customer_id FROM order_completed UNION SELECT customer_id FROM order_completed',
    ]) {
      const of = audience('written', { sql });
      const query = audienceQuery(of, workspace([CUSTOMERS, events, TICKETS], [of]), TICK);
      expect([sql, ids(await world.rows(query))]).toEqual([sql, ['a']]);
    }
    // Who is past the period of the customers is nobody, whatever the SQL asks.
    const customers = kept(CUSTOMERS, 'last_order_at', 1);
    const of = audience('written', { sql: 'SELECT customer_id FROM ticket_opened' });
    expect(await world.rows(audienceQuery(of, workspace([customers, TICKETS], [of]), TICK))).toEqual([]);
  });
});

describe('a snapshot under retention', () => {
  const ledger = async (...members: readonly string[]) => ({
    files: await world.warehouse.materialize(
      { sql: members.map((one) => `SELECT '${one}' AS member`).join(' UNION ALL ') },
      `${world.dir}/ledger-${members.join('-').slice(0, 20)}`,
    ),
    columns: { member: 'varchar' },
  });
  const sync = {
    index: 0,
    purpose: 'ads',
    namespaces: ['email'],
    traits: [columnOf(CUSTOMERS, 'tier')],
    salt: 's',
  };
  const granted = (id: string) => ({ customer_id: id, purpose: 'ads', status: 'granted', effective_from: '2026-01-01T00:00:00' });

  it('sends no field past its period and no identifier past theirs', async () => {
    world.write(CUSTOMERS, [
      { customer_id: 'a', tier: 'gold', last_order_at: ago(5) },
      { customer_id: 'b', tier: 'gold', last_order_at: ago(50) },
    ]);
    world.write(CONSENTS, [granted('a'), granted('b')]);
    world.write(IDENTIFIERS, [
      { customer_id: 'a', namespace: 'email', value: 'a@example.com', last_seen: ago(50) },
      { customer_id: 'a', namespace: 'email', value: 'new@example.com', last_seen: ago(1) },
      { customer_id: 'b', namespace: 'email', value: 'b@example.com' },
    ]);
    const customers: Table = { ...CUSTOMERS, retention: { fields: { tier: period(CUSTOMERS, 'last_order_at', 30) } } };
    const tables = [customers, CONSENTS, kept(IDENTIFIERS, 'last_seen', 30)];
    const rows = await world.rows(
      snapshotQuery({
        audience: everybody,
        workspace: workspace(tables, [everybody]),
        tick: TICK,
        memberKeySecret: 'k',
        moved: null,
        decisions: null,
        syncs: [sync],
      }),
    );
    const by = rows.map((row) => [row['traits_0'], row['identifiers_0'], row['withheld_0']]);
    expect(by.toSorted((a, b) => JSON.stringify(b).localeCompare(JSON.stringify(a)))).toEqual([
      [[null], [], null],
      [['gold'], ['email\u001fnew@example.com'], null],
    ]);
    // A rule asks for it in vain as well.
    const gold = audience('gold', is('tier', { op: 'eq', value: { type: 'string', value: 'gold' } }));
    expect(ids(await world.rows(audienceQuery(gold, workspace(tables, [gold]), TICK)))).toEqual(['a']);
  });

  it('withholds a member whose row is past its period from a sync that keeps who left', async () => {
    world.write(CUSTOMERS, [
      { customer_id: 'a', last_order_at: ago(5) },
      { customer_id: 'b', last_order_at: ago(50) },
      { customer_id: 'c', last_order_at: ago(50) },
    ]);
    world.write(CONSENTS, ['a', 'b', 'c'].map(granted));
    world.write(IDENTIFIERS, []);
    const tables = [kept(CUSTOMERS, 'last_order_at', 30), CONSENTS, IDENTIFIERS];
    const spec = {
      audience: everybody,
      workspace: workspace(tables, [everybody]),
      tick: TICK,
      memberKeySecret: 'k',
      moved: null,
      decisions: null,
    };
    const all = await world.rows(
      snapshotQuery({ ...spec, workspace: workspace([CUSTOMERS, CONSENTS, IDENTIFIERS], [everybody]), syncs: [sync] }),
    );
    const held = await ledger(...all.map((row) => String(row['member'])));
    const rows = await world.rows(snapshotQuery({ ...spec, syncs: [{ ...sync, ledger: held }] }));
    expect(
      rows
        .map((row) => [row['matched'], row['withheld_0']])
        .toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))),
    ).toEqual([
      [false, 'expired'],
      [false, 'expired'],
      [true, null],
    ]);
  });
});
