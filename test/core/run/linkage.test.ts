import { afterEach, describe, expect, it } from 'vitest';
import { approve, history, plan, sync } from '../../../core/run/operations.ts';
import { type Day, makeWorld, type World } from './world.ts';

const WEBHOOK = 'connector: webhook\npurpose: ads\nsecret: hook\nbudget: { requests: 100000, per: second, concurrency: 4 }\n';
const NOON = Date.parse('2026-05-01T12:00:00Z');
const DAY = 86_400_000;

let world: World;
afterEach(() => world.close());

const ids = ['a', 'b', 'c', 'd'];
const mail = (id: string, value: string) => ({ id, namespace: 'email', value: `${value}@x.example` });
const usual: Day = {
  customers: ids.map((id) => ({ id, tier: 'gold', country: 'DE' })),
  consents: ids.map((id) => ({ id, purpose: 'ads', status: 'granted', from: '2026-01-01T00:00:00' })),
  identifiers: [
    ...ids.map((id) => mail(id, id)),
    mail('a', 'a2'),
    mail('gone', 'gone'),
    { id: 'a', namespace: 'other', value: 'x' },
  ],
};
const merges = (count: number): NonNullable<Day['changes']> =>
  Array.from({ length: count }, (_, i) => ({ from: `old ${i}`, to: 'a', kind: 'merge', at: '2026-04-01T00:00:00' }));
const open = () =>
  makeWorld({ merges: true, syncs: '  - { to: hook, mode: mirror, identifiers: [email] }', destinations: { hook: WEBHOOK } });
const run = (day: number, work = sync) => world.open((ops) => work(ops, 'gold', { tick: NOON + day * DAY }));

describe('the linkage of identifiers and customers', () => {
  it('is in the run’s record: how many a customer has, how many belong to nobody, how many ids are merged away', async () => {
    world = await open();
    world.write({ ...usual, identifiers: [...(usual.identifiers ?? []), mail('old 0', 'old')], changes: merges(2) });
    const { linkage } = await run(0);
    // Of five who have any, one is gone; what is filed under a merged id is the survivor's.
    const email = { customers: 5, identifiers: 7, average: 1.4, p99: 3, most: 3, orphans: 1 };
    expect(linkage).toEqual({ namespaces: { email }, merged: 2 });
    const [entry] = await world.open((ops) => history(ops));
    expect(entry?.report?.linkage).toEqual(linkage);
  });

  it('holds a run in which it is suddenly otherwise, until a person approves; and then no other run for it', async () => {
    world = await open();
    world.file('policies/identity.yaml', 'linkage: { merges: { floor: 2 }, most: { floor: 3 } }\n');
    world.write({ ...usual, changes: merges(1) });
    for (const day of [0, 1, 2, 3]) expect(await run(day)).toMatchObject({ code: 0 });
    world.write({
      ...usual,
      identifiers: [...(usual.identifiers ?? []), ...Array.from({ length: 9 }, (_, i) => mail('b', `b${i}`))],
      changes: merges(7),
    });
    const held = await run(4);
    expect(held).toMatchObject({ code: 3, state: 'held' });
    expect(held.held).toBe(
      [
        '6 ids were merged away since 2026-05-04T12:00Z; usual are 0 a day. The limit is 5 times that (never less than 2).',
        'One customer has 10 identifiers of email; usual is 2 at most. The limit is 3 times that (never less than 3).',
        'These limits are set under "linkage" in policies/identity.yaml.',
        `Nothing was sent. If this is right: sluice approve ${held.run}. If not: sluice reject ${held.run}.`,
      ].join('\n'),
    );
    expect(await run(4, plan)).toMatchObject({ code: 3 });
    expect(await world.open((ops) => approve(ops, held.run))).toMatchObject({ code: 0, state: 'done' });
    expect(await run(4, plan)).toMatchObject({ code: 0, state: 'planned' });
    expect(await run(5)).toMatchObject({ code: 0 });
  });

  it('is not asked for where there is nothing to link', async () => {
    world = await makeWorld({
      syncs: '  - { to: hook, mode: mirror, identifiers: [external_id] }',
      destinations: { hook: WEBHOOK },
    });
    world.write(usual);
    expect((await run(0)).linkage).toBeUndefined();
  });
});
