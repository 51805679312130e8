import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Literal, Rule, Test } from '../../../core/model.ts';
import { audienceQuery } from '../../../core/sql/audience.ts';
import { quoteName, quoteTable, quoteText } from '../../../core/sql/literal.ts';
import { snapshotQuery } from '../../../core/sql/snapshot.ts';
import { hostile } from '../../hostile.ts';
import { column, table } from '../../warehouses/tables.ts';
import {
  audience,
  columnOf,
  CONSENTS,
  CUSTOMERS,
  IDENTIFIERS,
  is,
  openSqlWorld,
  purpose,
  type SqlWorld,
  TICK,
  workspace,
} from './world.ts';

let world: SqlWorld;
beforeAll(async () => {
  world = await openSqlWorld();
});
afterAll(() => world.close());

/** As it is read back: the driver takes a byte order mark for one, at the start of a text; the engine has it. */
const read = (value: string): string => value.replace(/^\ufeff/, '');
const text = (value: string): Literal => ({ type: 'string', value });

describe('nothing that a file or a row says becomes SQL: DuckDB gives it back as it was', () => {
  it('texts and names', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(hostile, { minLength: 1, maxLength: 20 }), async (values) => {
        // Names differ for an engine only by their letters' case.
        const sql = `SELECT ${values.map((value, i) => `${quoteText(value)} AS ${quoteName(`${i} ${value}`)}`).join(', ')}`;
        const [row] = await world.rows({ sql });
        expect(Object.entries(row ?? {})).toEqual(values.map((value, i) => [`${i} ${value}`, read(value)]));
      }),
      { numRuns: 100 },
    );
    expect(() => quoteName('a\0b')).toThrow(RangeError);
    expect(() => quoteTable('a.b\0')).toThrow(RangeError);
  });

  it('values of every test of a rule, which finds exactly whom it would find in memory', async () => {
    const tests: Readonly<Record<string, (value: string) => readonly [Test, (tier: string) => boolean]>> = {
      eq: (value) => [{ op: 'eq', value: text(value) }, (tier) => tier === value],
      ne: (value) => [{ op: 'ne', value: text(value) }, (tier) => tier !== value],
      in: (value) => [{ op: 'in', values: [text(value), text('x')] }, (tier) => tier === value || tier === 'x'],
      not_in: (value) => [{ op: 'not_in', values: [text(value)] }, (tier) => tier !== value],
      contains: (value) => [{ op: 'contains', text: value }, (tier) => tier.includes(value)],
      starts_with: (value) => [{ op: 'starts_with', text: value }, (tier) => tier.startsWith(value)],
      ends_with: (value) => [{ op: 'ends_with', text: value }, (tier) => tier.endsWith(value)],
    };
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(hostile, { minLength: 2, maxLength: 8 }), async (values) => {
        const tiers = [...values, ...values.map((value) => `a${value}b`), 'x'];
        world.write(
          CUSTOMERS,
          tiers.map((tier, i) => ({ customer_id: `c${i}`, tier })),
        );
        const sides = Object.entries(tests).flatMap(([name, make]) => {
          const [test, oracle] = make(values[0] ?? '');
          return [{ name, rule: is('tier', test), oracle }];
        });
        // One query for all: an audience a test, each by its own name.
        for (const { name, rule, oracle } of sides) {
          const of = audience('hostile', rule);
          const found = await world.rows(audienceQuery(of, workspace([CUSTOMERS], [of]), TICK));
          expect([name, found.map((row) => String(row['customer_id'])).sort()]).toEqual([
            name,
            tiers.flatMap((tier, i) => (oracle(tier) ? [`c${i}`] : [])).sort(),
          ]);
        }
      }),
      { numRuns: 25 },
    );
  });

  it('names of tables and columns, purposes, words of consent, customer ids, identifiers and the key of the members', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(hostile, { minLength: 6, maxLength: 6, selector: (one) => one.toLowerCase() }),
        async (all) => {
          const [a = '', b = '', c = '', d = '', e = '', f = ''] = all;
          const customers = table(
            `customers ${a.replaceAll('.', '')}`,
            'customers',
            [
              column(`id ${b}`, 'string', { field: 'customer_id' }),
              column('country', 'string'),
              column('state', 'string'),
              column(`tier ${c}`, 'string'),
            ],
            { server: { type: 'local', path: 'hostile.json', format: 'json' } },
          );
          const consents = { ...CONSENTS, statuses: { [d]: 'granted' as const } };
          const rule: Rule = { kind: 'test', column: customers.columns[3]!, test: { op: 'eq', value: text(e) } };
          const of = audience('hostile', rule);
          world.write(customers, [
            { [`id ${b}`]: a, [`tier ${c}`]: e },
            { [`id ${b}`]: `${a}x`, [`tier ${c}`]: e },
            { [`id ${b}`]: 'other', [`tier ${c}`]: `${e}x` },
          ]);
          world.write(consents, [{ customer_id: a, purpose: f, status: d, effective_from: '2026-01-01T00:00:00' }]);
          world.write(IDENTIFIERS, [{ customer_id: a, namespace: 'email', value: c }]);
          const rows = await world.rows(
            snapshotQuery({
              audience: of,
              workspace: workspace([customers, consents, IDENTIFIERS], [of], [purpose(f)]),
              tick: TICK,
              memberKeySecret: d,
              moved: null,
              decisions: null,
              syncs: [
                {
                  index: 0,
                  purpose: f,
                  namespaces: ['external_id', 'email'],
                  traits: [columnOf(customers, `tier ${c}`)],
                  salt: b,
                },
              ],
            }),
          );
          const seen = rows.map((row) => [row['withheld_0'], row['traits_0'], row['identifiers_0']]);
          const blank = /^\s*$/u.test(c) || !/[^\s\u0085]/u.test(c);
          expect(seen).toHaveLength(2);
          expect(seen).toContainEqual(['no-consent', [read(e)], [`external_id\u001f${a}x`]]);
          if (!blank) expect(seen).toContainEqual([null, [read(e)], [`external_id\u001f${a}`, `email\u001f${c}`]]);
        },
      ),
      { numRuns: 60 },
    );
  });
});
