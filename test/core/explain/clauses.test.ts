import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Clause, clauseQuestion } from '../../../core/explain/clauses.ts';
import type { Audience, Rule } from '../../../core/model.ts';
import { all, any, audience, CUSTOMERS, EVENTS, is, not, openSqlWorld, type SqlWorld, TICK, workspace } from '../sql/world.ts';

let world: SqlWorld;
beforeAll(async () => {
  world = await openSqlWorld();
  world.write(CUSTOMERS, [
    { customer_id: 'a', country: 'DE', spent: 12.5, tier: 'gold' },
    { customer_id: "o'b", country: null, spent: 700, tier: null },
  ]);
  world.write(EVENTS, [
    { customer_id: 'a', occurred_at: '2026-05-01 00:00:00', event_version: '1', category: 'shoes', amount: 10 },
    { customer_id: 'a', occurred_at: '2026-05-02 00:00:00', event_version: '2', category: 'bags', amount: 30 },
  ]);
});
afterAll(() => world.close());

const string = (value: string) => ({ type: 'string', value }) as const;
const german = is('country', { op: 'eq', value: string('DE') });
const rich = is('spent', { op: 'gte', value: { type: 'number', value: '500' } });
const bought: Rule = { kind: 'event', table: EVENTS, measure: { kind: 'count', range: { gte: '2' } } };

async function ask(customerId: string, of: Audience, others: readonly Audience[] = [], values = false) {
  const question = clauseQuestion(of, workspace([CUSTOMERS, EVENTS], [of, ...others]), { customerId, tick: TICK, values });
  return question.read((await world.rows(question.query))[0]);
}
/** A clause as `met text (children)`. */
const brief = ({ is: how, text, value, clauses }: Clause): string =>
  `${how} ${text}${value === undefined ? '' : ` = ${String(value)}`}${clauses.length === 0 ? '' : ` (${clauses.map(brief).join('; ')})`}`;
const told = async (...given: Parameters<typeof ask>): Promise<string> => {
  const answer = await ask(...given);
  return answer === null ? 'no row' : answer.clause.clauses.map(brief).join();
};

describe('the clauses of a rule for one customer', () => {
  const rule = all(any(german, rich), not(german), bought);

  it('are each met, not met, or unknown for want of a value, by the SQL of a run', async () => {
    expect(await told('a', audience('x', rule))).toBe(
      'not met all (met any (met country: DE; not met spent: { gte: 500 }); not met not (met country: DE); met event: order_completed, count: { gte: 2 })',
    );
    expect(await told("o'b", audience('x', rule))).toBe(
      'not met all (met any (unknown country: DE; met spent: { gte: 500 }); unknown not (unknown country: DE); not met event: order_completed, count: { gte: 2 })',
    );
    expect(await told('nobody', audience('x', rule))).toBe('no row');
  });

  it('tell values only where they are asked for', async () => {
    expect(await told('a', audience('x', rule), [], true)).toBe(
      'not met all (met any (met country: DE = DE; not met spent: { gte: 500 } = 12.5); not met not (met country: DE = DE); met event: order_completed, count: { gte: 2 } = 2)',
    );
    expect(JSON.stringify(await ask('a', audience('x', rule)))).not.toMatch(/12\.5|"value"/);
  });

  it('open the audiences that a rule names, and name those that keep the customer out', async () => {
    const vips = audience('vips', rich);
    const germans = audience('germans', german);
    const of = audience('x', any({ kind: 'audience', name: 'vips' }, german), { exclude: ['germans', 'vips'] });
    expect(await told('a', of, [vips, germans])).toBe(
      'met any (not met audience: vips (not met spent: { gte: 500 }); met country: DE)',
    );
    expect((await ask('a', of, [vips, germans]))?.excludedBy).toEqual(['germans']);
    expect((await ask("o'b", of, [vips, germans]))?.excludedBy).toEqual(['vips']);
  });

  it('say of hand-written SQL whether it has the customer', async () => {
    const written = audience('x', { sql: 'SELECT customer_id FROM customers WHERE spent > 500' });
    expect((await ask("o'b", written))?.clause).toEqual({ text: 'sql: hand-written', is: 'met', clauses: [] });
    expect((await ask('a', written))?.clause.is).toBe('not met');
  });
});
