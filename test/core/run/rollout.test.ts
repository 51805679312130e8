import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { approve, plan, sync } from '../../../core/run/operations.ts';
import { type Day, makeWorld, type World } from './world.ts';

const T = Date.parse('2026-06-01T06:00:00Z');
const IDS = Array.from({ length: 60 }, (_, i) => `p${i}`);
/** The documented bucket of a person: of 10,000, by the name of the audience. */
const bucket = (id: string): number =>
  Number.parseInt(createHash('sha256').update(`rollout:gold/${id}`).digest('hex').slice(0, 12), 16) % 10_000;
const inside = (percent: number, ids: readonly string[] = IDS): string[] => ids.filter((id) => bucket(id) < percent * 100);
const held = (world: World): string[] => [...world.held('webhook')].toSorted((a, b) => IDS.indexOf(a) - IDS.indexOf(b));

const audience = (more: string, rule = '{ tier: gold }', syncs = '[{ to: hook, mode: mirror, traits: [spent] }]'): string =>
  `where: ${rule}\n${more}\nguardrails: { max_removed: { percent: 100, floor: 1000 }, min_size: 0 }\nsyncs: ${syncs}\n`;

const rows = (of: (id: string, i: number) => Partial<Day['customers'][number]> = () => ({})): Day => ({
  customers: IDS.map((id, i) => ({ id, tier: 'gold', country: 'DE', ...of(id, i) })),
  consents: IDS.flatMap((id) =>
    ['mail', 'ads'].map((purpose) => ({ id, purpose, status: 'granted', from: '2026-01-01T00:00:00' })),
  ),
});

let world: World;
afterEach(() => world.close());

const open = (text: string): Promise<World> =>
  makeWorld({
    syncs: '',
    destinations: {
      hook: 'connector: webhook\npurpose: mail\nsecret: hook\n',
      other: 'connector: webhook\npurpose: ads\nsecret: hook\n',
    },
    audience: text,
  });
const run = (tick = T) => world.open((ops) => sync(ops, 'gold', { tick }));

describe('a rollout', () => {
  it('law 14: sends its share, counts the rest as withheld, and raising it keeps who is in', async () => {
    world = await open(audience('rollout: 20%'));
    world.write(rows());
    const first = await run();
    expect(first.syncs[0]).toMatchObject({
      rollout: 20,
      add: inside(20).length,
      withheld: { rollout: 60 - inside(20).length },
      unchanged: 0,
    });
    expect(held(world)).toEqual(inside(20));

    world.file('audiences/gold.yaml', audience('rollout: 55%'));
    const second = await run();
    expect(second.syncs[0]).toMatchObject({
      add: inside(55).length - inside(20).length,
      update: 0,
      remove: 0,
      unchanged: inside(20).length,
      withheld: { rollout: 60 - inside(55).length },
    });
    world.file('audiences/gold.yaml', audience(''));
    const all = await run();
    expect(all.syncs[0]).toMatchObject({ add: 60 - inside(55).length, unchanged: inside(55).length, withheld: { rollout: 0 } });
    expect(all.syncs[0]?.rollout).toBeUndefined();
    expect(held(world)).toEqual(IDS);
  });

  it('of a changed rule changes nothing for members outside it, matched or not, and law 13: then sends nothing', async () => {
    world = await open(audience('', '{ spent: { lt: 30 } }'));
    const before = IDS.slice(0, 30);
    world.write(rows((_, i) => ({ spent: i })));
    await run();
    expect(held(world)).toEqual(before);

    // The new rule wants others: of p15 to p29 those who were there, of p30 to p44 new ones.
    const wanted = IDS.slice(15, 45);
    world.file('audiences/gold.yaml', audience('rollout: 40%', '{ spent: { gte: 15.5, lt: 45.5 } }'));
    world.write(rows((_, i) => ({ spent: i + 0.5 })));
    const report = await run();
    const gone = inside(40, IDS.slice(0, 15));
    expect(report.syncs[0]).toMatchObject({
      add: inside(40, IDS.slice(30, 45)).length,
      update: inside(40, IDS.slice(15, 30)).length,
      unchanged: 15 - inside(40, IDS.slice(15, 30)).length,
      remove: gone.length,
      removeReasons: { left: gone.length },
      withheld: { rollout: 15 - inside(40, IDS.slice(30, 45)).length },
    });
    const now = IDS.filter((id) => (bucket(id) < 4000 ? wanted.includes(id) : before.includes(id)));
    expect(held(world)).toEqual(now);

    const requests = world.sandbox.platform('webhook').requests().length;
    await run(T + 1000);
    expect(world.sandbox.platform('webhook').requests().length).toBe(requests);

    world.file('audiences/gold.yaml', audience('', '{ spent: { gte: 15.5, lt: 45.5 } }'));
    await run(T + 2000);
    expect(held(world)).toEqual(wanted);
  });

  it('law 8 holds outside it too: who withdrew or was erased is removed, and so is who is gone from the customers', async () => {
    world = await open(audience(''));
    const day = rows();
    world.write(day);
    await run();
    const [withdrew = '', erased = '', gone = '', left = ''] = IDS.filter((id) => bucket(id) >= 3000);
    world.file('audiences/gold.yaml', audience('rollout: 30%'));
    world.write({
      customers: day.customers.filter(({ id }) => id !== gone).map((one) => (one.id === left ? { ...one, tier: 'silver' } : one)),
      consents: [...(day.consents ?? []), { id: withdrew, purpose: 'mail', status: 'withdrawn', from: '2026-05-01T00:00:00' }],
      erasures: [{ id: erased, at: '2026-05-01T00:00:00' }],
    });
    const report = await run();
    expect(report).toMatchObject({ matched: 58 });
    expect(report.syncs[0]).toMatchObject({
      remove: 3,
      removeReasons: { 'no-consent': 1, erased: 1, left: 1 },
      unchanged: 56,
      withheld: { 'no-consent': 1, erased: 1, rollout: 0 },
    });
    expect(held(world)).toEqual(IDS.filter((id) => ![withdrew, erased, gone].includes(id)));
  });

  it('only grows: a smaller share holds the run and says why; from everybody to a share is a new cut-over', async () => {
    world = await open(audience('rollout: 40%'));
    world.write(rows());
    await run();
    world.file('audiences/gold.yaml', audience('rollout: 10%'));
    const lower = await world.open((ops) => plan(ops, 'gold', { tick: T }));
    expect(lower.code).toBe(3);
    expect(lower.held).toBe(
      `"gold" is rolled out to 40 % in hook, and its file now says 10 %. A rollout only grows: who was sent stays, and nothing more changes ` +
        `for them. Write rollout: 40% or more; to take people out, change the rule.\n` +
        `Nothing was sent. If this is right: sluice approve ${lower.run}. If not: sluice reject ${lower.run}.`,
    );
    const approved = await world.open((ops) => approve(ops, lower.run));
    expect(approved.syncs[0]).toMatchObject({ add: 0, remove: 0, unchanged: inside(40).length });
    expect(held(world)).toEqual(inside(40));

    world.file('audiences/gold.yaml', audience(''));
    await run();
    world.file('audiences/gold.yaml', audience('rollout: 10%', '{ tier: silver }'));
    world.write(rows(() => ({ tier: 'silver' })));
    const anew = await world.open((ops) => plan(ops, 'gold', { tick: T }));
    expect(anew).toMatchObject({ code: 0, matched: 60 });
  });

  it('of one sync leaves the others alone, and is the same people in each that has one', async () => {
    const syncs = '[{ to: hook, mode: mirror, rollout: 30% }, { to: other, mode: upsert, rollout: 60% }]';
    world = await open(audience('rollout: 5%', '{ tier: gold }', syncs));
    world.write(rows());
    const report = await run();
    expect(report.syncs.map(({ rollout, add, withheld }) => [rollout, add, withheld.rollout])).toEqual([
      [30, inside(30).length, 60 - inside(30).length],
      [60, inside(60).length, 60 - inside(60).length],
    ]);
  });
});

it('law 14: a mirror removes who left, also when another sync of the audience keeps who left and withholds them', async () => {
  world = await open(audience('', '{ tier: gold }', '[{ to: other, mode: upsert }, { to: hook, mode: mirror }]'));
  const day = rows();
  world.write(day);
  await run();
  world.write({
    customers: day.customers.map((one) => (one.id === 'p0' ? { ...one, tier: 'silver' } : one)),
    consents: [...(day.consents ?? []), { id: 'p0', purpose: 'ads', status: 'withdrawn', from: '2026-05-01T00:00:00' }],
  });
  const report = await run();
  expect(report.syncs.map(({ remove, removeReasons, unchanged }) => ({ remove, removeReasons, unchanged }))).toEqual([
    { remove: 1, removeReasons: { 'no-consent': 1 }, unchanged: 59 },
    { remove: 1, removeReasons: { left: 1 }, unchanged: 59 },
  ]);
});
