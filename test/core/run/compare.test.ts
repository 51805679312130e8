import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { checkFiles } from '../../../cli/wiring.ts';
import { readWorkspaceFiles } from '../../../cli/workspace-files.ts';
import type { Workspace } from '../../../core/model.ts';
import { compare, type Move } from '../../../core/run/compare.ts';
import { plan, sync } from '../../../core/run/operations.ts';
import { type Day, makeWorld, type World } from './world.ts';

const T = Date.parse('2026-06-01T06:00:00Z');
const META = 'connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n';
const HOOK = 'connector: webhook\npurpose: mail\nsecret: hook\n';
const audience = (rule: string, more = '', syncs = '[{ to: ads, identifiers: [email] }, { to: hook }]'): string =>
  `where: ${rule}\n${more}\nguardrails: { max_removed: { percent: 100, floor: 1000 }, min_size: 0 }\nsyncs: ${syncs}\n`;

let world: World;
afterEach(() => world.close());

const open = (text: string) => makeWorld({ syncs: '', destinations: { ads: META, hook: HOOK }, audience: text });

/** The workspace as its files are now: what another revision was. */
async function revision(): Promise<Workspace> {
  const { workspace, problems } = await checkFiles(world.dir, await readWorkspaceFiles(world.dir));
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  if (workspace === null) throw new Error('no workspace');
  return workspace;
}

/** p0 to p29: spent is their number; every third has an unusable address, p5, p15 and p25 may not be sent ads. */
const DAY: Day = {
  customers: Array.from({ length: 30 }, (_, i) => ({ id: `p${i}`, tier: 'gold', country: 'DE', spent: i })),
  identifiers: Array.from({ length: 30 }, (_, i) => ({
    id: `p${i}`,
    namespace: 'email',
    value: i % 3 === 0 ? 'no address' : `p${i}@example.com`,
  })),
  consents: Array.from({ length: 30 }, (_, i) => i).flatMap((i) => [
    ...(i % 10 === 5 ? [] : [{ id: `p${i}`, purpose: 'ads', status: 'granted', from: '2026-01-01T00:00:00' }]),
    { id: `p${i}`, purpose: 'mail', status: 'granted', from: '2026-01-01T00:00:00' },
  ]),
};

describe('another revision beside the files of now', () => {
  it('says who would enter and leave each destination, exactly as the plans of both say it, and by their member keys', async () => {
    world = await open(audience('{ spent: { lt: 20 } }'));
    world.write(DAY);
    const before = await world.open((ops) => plan(ops, 'gold', { tick: T }));
    const then = await revision();
    world.file('audiences/gold.yaml', audience('{ spent: { gte: 10 } }', 'holdout: 30%'));
    const after = await world.open((ops) => plan(ops, 'gold', { tick: T }));
    const moves: Move[] = [];
    const found = await world.open((ops) =>
      compare(ops.ports, then, 'gold', {
        tick: T,
        onMove: (move) => {
          moves.push(move);
          return Promise.resolve();
        },
      }),
    );
    expect(found.kind).toBe('compared');
    expect(found.syncs.map(({ destination, before: was, now }) => [destination, was, now])).toEqual(
      before.syncs.map(({ destination, add }, i) => [destination, add, after.syncs[i]?.add]),
    );
    for (const one of found.syncs) {
      expect([one.enter + one.both, one.leave + one.both]).toEqual([one.now, one.before]);
      const own = moves.filter(({ destination }) => destination === one.destination);
      expect(new Set(own.map(({ member }) => member)).size).toBe(own.length);
      expect(own.every(({ member }) => /^[0-9a-f]{32}$/.test(member))).toBe(true);
      const pairs = Map.groupBy(own, (move) => `${move.before} ${move.now}`);
      expect(Object.fromEntries(one.moves.map((move) => [`${move.before} ${move.now}`, move.count]))).toEqual(
        Object.fromEntries([...pairs].map(([pair, all]) => [pair, all.length])),
      );
    }
    // Without being asked for the moves it counts the same.
    const quiet = await world.open((ops) => compare(ops.ports, then, 'gold', { tick: T }));
    expect(quiet.syncs).toEqual(found.syncs);
  });

  it('leaves nothing behind: no plan, no file, no request', async () => {
    world = await open(audience('{ spent: { lt: 20 } }'));
    world.write(DAY);
    const then = await revision();
    world.file('audiences/gold.yaml', audience('{ spent: { gte: 10 } }'));
    await world.open(async (ops) => {
      await compare(ops.ports, then, 'gold', { tick: T });
      expect(await ops.ports.store.documents.list('run')).toEqual([]);
      expect(await ops.ports.store.files.list('runs/')).toEqual([]);
    });
    expect(readdirSync(join(world.dir, '.sluice', 'runs'))).toEqual([]);
    expect([...world.sandbox.platform('meta').requests(), ...world.sandbox.platform('webhook').requests()]).toEqual([]);
  });

  it('keeps who is held and outside a rollout where they are, and changes the rest', async () => {
    world = await open(audience('{ spent: { lt: 20 } }', '', '[{ to: hook }]'));
    world.write(DAY);
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    const then = await revision();
    world.file('audiences/gold.yaml', audience('{ spent: { gte: 10 } }', 'rollout: 40%', '[{ to: hook }]'));
    const planned = await world.open((ops) => plan(ops, 'gold', { tick: T }));
    const [found] = (await world.open((ops) => compare(ops.ports, then, 'gold', { tick: T }))).syncs;
    expect(found).toMatchObject({
      before: 20,
      enter: planned.syncs[0]?.add,
      leave: planned.syncs[0]?.remove,
      now: 20 + (planned.syncs[0]?.add ?? 0) - (planned.syncs[0]?.remove ?? 0),
    });
  });

  it('compares consent policies and contracts too, and a table that lacks what a revision needs stops it', async () => {
    world = await open(audience('{ tier: gold }', '', '[{ to: ads, identifiers: [email] }]'));
    world.write(DAY);
    const then = await revision();
    world.file('policies/consent.yaml', 'purposes: { ads: { basis: opt-out }, mail: { basis: opt-in } }\n');
    const policy = await world.open((ops) => compare(ops.ports, then, 'gold', { tick: T }));
    // p15 has no usable address.
    expect(policy.syncs[0]).toMatchObject({
      enter: 2,
      leave: 0,
      moves: [
        { before: 'no-consent', now: 'in', count: 2 },
        { before: 'no-consent', now: 'no-identifier', count: 1 },
      ],
    });
    world.file('policies/identity.yaml', 'unverified: ignore\n');
    const identity = await world.open((ops) => compare(ops.ports, then, 'gold', { tick: T }));
    expect(identity.syncs[0]).toMatchObject({ before: 18, now: 0, leave: 18, enter: 0 });
    expect((await world.open((ops) => compare(ops.ports, then, 'nobody', { tick: T }))).kind).toBe('same');

    const customers = then.tables.find(({ role }) => role === 'customers');
    const renamed = {
      ...then,
      tables: then.tables.map((table) =>
        table === customers
          ? { ...table, columns: [...table.columns, { ...table.columns[3]!, name: 'renamed_since', required: true }] }
          : table,
      ),
    };
    const stopped = await world.open((ops) => compare(ops.ports, renamed, 'gold', { tick: T }));
    expect(stopped.syncs).toEqual([]);
    expect(stopped.findings?.map(({ side, kind }) => [side, kind])).toEqual([['before', 'schema']]);
    expect(stopped.findings?.[0]?.message).toContain('renamed_since');
  });
});
