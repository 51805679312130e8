import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../../core/ports.ts';
import { history, type Operations, plan, rollback, status, sync, syncPlan } from '../../../core/run/operations.ts';
import { systemClock } from '../../../stores/system-clock.ts';
import { type Day, makeWorld, type World } from './world.ts';

const DAY = 86_400_000;
const T = Date.parse('2026-06-01T06:00:00Z');
const HOOK = 'connector: webhook\npurpose: mail\nsecret: hook\n';

let world: World;
afterEach(() => world.close());

const META = 'connector: meta\npurpose: mail\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n';

/** Without a mode: a list of e-mail addresses, whose stand-in does not look at the clock. */
const open = async (mode: string, retention: string): Promise<World> => {
  const made = await makeWorld({
    syncs: mode === '' ? '  - { to: ads, identifiers: [email] }' : `  - { to: hook, mode: ${mode}, traits: [spent] }`,
    destinations: mode === '' ? { ads: META } : { hook: HOOK },
  });
  made.file('policies/retention.yaml', retention);
  return made;
};
const rows = (joined: Readonly<Record<string, string>>, spent = 1): Day => ({
  customers: Object.entries(joined).map(([id, day]) => ({ id, tier: 'gold', country: 'DE', joined: day, spent })),
  identifiers: Object.keys(joined).map((id) => ({ id, namespace: 'email', value: `${id}${spent}@example.com` })),
  consents: Object.keys(joined).map((id) => ({ id, purpose: 'mail', status: 'granted', from: '2026-01-01T00:00:00' })),
});
const at = (now: number): Clock => ({ ...systemClock, now: () => now });

describe('people whose row is past its period', () => {
  const policy = 'datasets: { customers: { period: 90 days, by: joined }, identifiers: keep }\n';

  it('are not matched, so they leave a mirror; law 8: a sync that keeps who left lets them go too, and says why', async () => {
    const ends: unknown[] = [];
    for (const mode of ['mirror', 'upsert', 'add-only']) {
      world = await open(mode, policy);
      world.write(rows({ a: '2026-05-01', b: '2026-03-10', c: '2025-01-01' }));
      const first = await world.open((ops) => sync(ops, 'gold', { tick: T }));
      const later = await world.open((ops) => sync(ops, 'gold', { tick: T + 30 * DAY }));
      const [one, two] = [first.syncs[0], later.syncs[0]];
      ends.push([mode, first.matched, one?.add, later.matched, two?.removeReasons, two?.unchanged, [...world.held('webhook')]]);
      if (mode !== 'add-only') await world.close();
    }
    expect(ends).toEqual([
      ['mirror', 2, 2, 1, { left: 1 }, 1, ['a']],
      ['upsert', 2, 2, 1, { expired: 1 }, 1, ['a']],
      ['add-only', 2, 2, 1, { expired: 1 }, 1, ['a']],
    ]);
  });

  it('a field past its period is sent as unknown, once', async () => {
    world = await open('mirror', 'fields: { customers.spent: { period: 90 days, by: joined } }\n');
    world.write(rows({ a: '2026-05-01', b: '2026-03-10' }, 12.5));
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    const later = await world.open((ops) => sync(ops, 'gold', { tick: T + 30 * DAY }));
    expect(later.syncs[0]).toMatchObject({ update: 1, unchanged: 1, remove: 0 });
    const again = await world.open((ops) => sync(ops, 'gold', { tick: T + 31 * DAY }));
    expect(again.syncs[0]).toMatchObject({ update: 0, unchanged: 2 });
  });
});

describe('our own storage', () => {
  const run = (day: number, spent: number) => {
    world.write(rows({ a: '2026-05-01' }, spent));
    return world.open((ops) => sync(ops, 'gold', { tick: T + day * DAY }), at(T + day * DAY));
  };
  const look = <R>(day: number, work: (ops: Operations) => Promise<R>) => world.open(work, at(T + day * DAY));
  const folders = (name: string) => {
    const path = join(world.dir, '.sluice', name);
    return existsSync(path) ? readdirSync(path) : [];
  };

  it('drops snapshots, deltas and journals after the period of the file, and keeps the books', async () => {
    world = await open('', 'datasets: { customers: keep, identifiers: keep }\nstorage: { deltas: 3 days }\n');
    const first = await run(0, 1);
    await run(2, 2);
    expect(folders('runs')).toContain(first.run);
    const third = await run(4, 3);
    expect(folders('runs')).not.toContain(first.run);
    expect(folders('runs')).toContain(third.run);
    expect((await look(4, (ops) => history(ops))).map((one) => one.run)).toContain(first.run);
  });

  it('drops what a run left that died before it was in the books', async () => {
    world = await open('', 'datasets: { customers: keep, identifiers: keep }\nstorage: { deltas: 3 days }\n');
    world.write(rows({ a: '2026-05-01' }));
    await look(0, async (ops) => {
      const documents = {
        ...ops.ports.store.documents,
        put: async (kind: string, id: string, document: unknown) => {
          if (kind === 'run') throw new Error('the process died');
          await ops.ports.store.documents.put(kind, id, document);
        },
      };
      const dying = { ...ops, ports: { ...ops.ports, store: { ...ops.ports.store, documents } } };
      await expect(plan(dying, 'gold', { tick: T })).rejects.toThrow('the process died');
    });
    expect(folders('runs').length).toBe(1);
    const [left = ''] = folders('runs');
    const next = await run(4, 1);
    expect(folders('runs')).not.toContain(left);
    expect(folders('runs')).toContain(next.run);
  });

  it('drops generations that ceased to be current before the period, never the current one, however old', async () => {
    world = await open(
      '',
      'datasets: { customers: keep, identifiers: keep }\nstorage: { generations: 30 days, deltas: 9 years }\n',
    );
    const first = await run(0, 1);
    const second = await run(1, 2);
    const third = await run(40, 3);
    // The second was current until today: what a person may want to go back to is kept for as long again.
    expect((await look(40, (ops) => history(ops, 'gold'))).map((one) => [one.run, one.generations])).toEqual([
      [third.run, { ads: true }],
      [second.run, { ads: false }],
      [first.run, {}],
    ]);
    expect(folders('ledger/gold/ads').filter((name) => folders(`ledger/gold/ads/${name}`).length > 0)).toContain(second.run);
    const files = await look(40, (ops) => ops.ports.store.files.list('ledger/gold/ads/'));
    expect(new Set(files.map((key) => key.split('/')[3]))).toEqual(new Set([second.run, third.run]));
    await run(400, 3);
    const kept = await look(400, (ops) => ops.ports.store.files.list('ledger/gold/ads/'));
    expect(new Set(kept.map((key) => key.split('/')[3]))).toEqual(new Set([third.run]));
    expect(await look(401, (ops) => status(ops))).toMatchObject([{ members: 1, generation: third.run }]);
    const unchanged = await run(402, 3);
    expect(unchanged.syncs[0]).toMatchObject({ unchanged: 1, requests: 0 });
  });

  it('keeps the files of a generation that a rollback made current again, and those a plan was made against', async () => {
    world = await open('', 'datasets: { customers: keep, identifiers: keep }\nstorage: { generations: 2 days }\n');
    const first = await run(0, 1);
    await run(1, 2);
    await look(1, (ops) => rollback(ops, 'gold', 'ads', first.run));
    await run(50, 1);
    expect(await look(50, (ops) => status(ops))).toMatchObject([{ generation: first.run, members: 1 }]);

    world.write(rows({ a: '2026-05-01' }, 9));
    const planned = await look(50, (ops) => plan(ops, 'gold', { tick: T + 50 * DAY }));
    const sent = await look(50.5, (ops) => syncPlan(ops, planned.run));
    expect(sent.syncs[0]).toMatchObject({ update: 1, outcomes: { accepted: 2 } });
  });

  it('drops the books of runs after their period', async () => {
    world = await open('', 'datasets: { customers: keep, identifiers: keep }\nstorage: { runs: 30 days }\n');
    const first = await run(0, 1);
    const second = await run(40, 2);
    expect((await look(40, (ops) => history(ops))).map((one) => one.run)).toEqual([second.run]);
    expect(second.syncs[0]).toMatchObject({ update: 1 });
    expect(folders('runs')).not.toContain(first.run);
  });
});
