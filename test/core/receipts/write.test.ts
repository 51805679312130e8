import { afterEach, describe, expect, it } from 'vitest';
import { sync } from '../../../core/run/operations.ts';
import { makeWorld, type World } from '../run/world.ts';
import { consents, DAY, HOOK, mails, memberOf, META, people, receiptsIn, T } from './world.ts';

let world: World;
afterEach(() => world.close());

const ALL = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const DAY_ONE = {
  customers: people('a', 'b', 'c', 'd', 'f', 'g'),
  consents: consents(ALL),
  identifiers: [
    ...mails({
      a: 'home@x.example',
      b: 'home@x.example',
      c: 'c@x.example',
      d: 'd@x.example',
      f: 'f@x.example',
      g: 'home@x.example',
    }),
    ...mails({ a: 'a@x.example' }),
  ],
};

describe('receipts', () => {
  it('say of every member sent or removed: when, what, under which terms, and what became of it', async () => {
    world = await makeWorld({
      syncs: '  - { to: meta, mode: mirror, identifiers: [email] }',
      destinations: { meta: META },
    });
    world.write(DAY_ONE);
    const first = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    // a and g leave, whose shared address b still has; c has another one; d withdraws; e joins; f, who shares nothing, stays as she is.
    world.write({
      customers: people('b', 'c', 'd', 'e', 'f'),
      consents: consents(ALL, ['d']),
      identifiers: mails({
        b: 'home@x.example',
        c: 'new@x.example',
        d: 'd@x.example',
        e: 'e@x.example',
        f: 'f@x.example',
      }),
    });
    const second = await world.open((ops) => sync(ops, 'gold', { tick: T + DAY }));
    const key = await world.open((ops) => Promise.resolve((id: string) => memberOf(ops, id)));
    const version = await world.open((ops) => Promise.resolve(ops.ports.workspace.consent.version));
    const names = Object.fromEntries(ALL.map((id) => [key(id), id]));

    const found = await receiptsIn(world);
    expect(
      found
        .filter((row) => row['run'] === second.run)
        .map(({ member, operation, why, identifiers, basis, jurisdiction, outcome, reason }) => ({
          who: names[String(member)],
          operation,
          why,
          identifiers,
          basis,
          jurisdiction,
          outcome,
          reason,
        }))
        .toSorted((x, y) => `${x.who}${String(x.operation)}`.localeCompare(`${y.who}${String(y.operation)}`)),
    ).toEqual([
      { who: 'a', operation: 'remove', why: 'left', ...REMOVAL },
      { who: 'b', operation: 'resend', why: null, ...SENT },
      { who: 'c', operation: 'remove', why: 'changed', ...REMOVAL },
      { who: 'c', operation: 'update', why: null, ...SENT },
      { who: 'd', operation: 'remove', why: 'no-consent', ...REMOVAL },
      { who: 'e', operation: 'add', why: null, ...SENT },
      { who: 'g', operation: 'remove', why: 'left', ...NOTHING_SENT, outcome: 'not-needed', reason: 'shared-identifier' },
    ]);
    const evidence = found
      .filter((row) => row['run'] === second.run)
      .map((row) => [names[String(row['member'])], row['consent_reason'], row['consent_status'], row['consent_began']]);
    const began = '2026-01-01T00:00:00.000Z';
    expect(evidence.toSorted((x, y) => String(x[0]).localeCompare(String(y[0])))).toEqual([
      ['a', null, null, null],
      ['b', 'granted', 'granted', began],
      ['c', 'granted', 'granted', began],
      ['c', 'granted', 'granted', began],
      ['d', 'withdrawn', 'withdrawn', began],
      ['e', 'granted', 'granted', began],
      ['g', null, null, null],
    ]);
    expect(found.filter((row) => row['run'] === first.run)).toHaveLength(6);
    expect(found.find((row) => row['run'] === first.run)).toMatchObject({
      tick: '2026-06-01T06:00:00.000Z',
      audience: 'gold',
      destination: 'meta',
      connector: 'meta',
      operation: 'add',
      identifiers: ['email'],
      traits: [],
      purpose: 'ads',
      basis: 'opt-in',
      jurisdiction: 'DE',
      policy_version: version,
    });
    expect(Number.isFinite(Date.parse(String(found[0]?.['committed_at'])))).toBe(true);
    expect(first.syncs[0]?.receipts).toMatchObject({ link: 1, run: first.run, rows: 6 });
    expect(second.syncs[0]?.receipts).toMatchObject({ link: 2, run: second.run, rows: 7 });
  });

  it('name traits and namespaces, and never a value, whatever an identifier looks like', async () => {
    world = await makeWorld({
      syncs: '  - { to: hook, mode: mirror, identifiers: [email, phone], traits: [tier, spent] }',
      destinations: { hook: HOOK },
    });
    // An id that would break out of a list of names that is cut at separators.
    const odd = 'x\u001eemail:stolen\u001ephone:1';
    world.write({
      customers: [{ id: odd, tier: 'gold', country: 'DE', spent: 12.5 }],
      consents: consents([odd]),
      identifiers: mails({ [odd]: 'marked@x.example' }),
    });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    const rows = await receiptsIn(world);
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ operation: 'add', traits: ['tier', 'spent'] });
    const names = rows[0]?.['identifiers'] as string[];
    expect(names.filter((name) => !['email', 'external_id', 'phone'].includes(name))).toEqual([]);
    expect(JSON.stringify(rows)).not.toMatch(/stolen|marked|x\.example|12\.5|"gold"(?!,"destination)/);
  });

  it('are not written for a run that sends nothing', async () => {
    world = await makeWorld({
      syncs: '  - { to: meta, mode: mirror, identifiers: [email] }',
      destinations: { meta: META },
    });
    world.write(DAY_ONE);
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    const again = await world.open((ops) => sync(ops, 'gold', { tick: T + DAY }));
    expect(again.syncs[0]?.receipts).toBeUndefined();
    expect(await receiptsIn(world)).toHaveLength(6);
  });

  it('tell of what was sent and not taken, with the reason of the destination', async () => {
    world = await makeWorld({
      syncs: '  - { to: hook, mode: mirror, identifiers: [email] }',
      destinations: { hook: HOOK },
    });
    world.write(DAY_ONE);
    world.sandbox.platform('webhook').faults({ kind: 'refuse-rows', rows: 1 });
    const report = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    const rows = await receiptsIn(world);
    expect(rows.map(({ operation, outcome, reason }) => [operation, outcome, reason])).toEqual(
      Array.from({ length: 6 }, () => ['add', 'rejected', report.syncs[0]?.rejections?.[0]?.reason]),
    );
  });
});

const SENT = { identifiers: ['email'], basis: 'opt-in', jurisdiction: 'DE', outcome: 'accepted', reason: null };
const REMOVAL = { identifiers: ['email'], basis: null, jurisdiction: null, outcome: 'accepted', reason: null };
const NOTHING_SENT = { identifiers: [], basis: null, jurisdiction: null };
