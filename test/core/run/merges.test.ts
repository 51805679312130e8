import { afterEach, describe, expect, it } from 'vitest';
import { sha256Hex } from '../../../core/identifiers.ts';
import { plan, PlanRefused, status, sync, syncPlan } from '../../../core/run/operations.ts';
import { type Day, makeWorld, type World } from './world.ts';

const BUDGET = 'budget: { requests: 100000, per: second, concurrency: 4 }\n';
const META = `connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n${BUDGET}`;
const WEBHOOK = `connector: webhook\npurpose: ads\nsecret: hook\n${BUDGET}`;
const T = Date.parse('2026-06-01T06:00:00Z');

let world: World;
afterEach(() => world.close());

const people = (...ids: string[]): Day['customers'] => ids.map((id) => ({ id, tier: 'gold', country: 'DE' }));
const granted = (...ids: string[]): NonNullable<Day['consents']> =>
  ids.map((id) => ({ id, purpose: 'ads', status: 'granted', from: '2026-01-01T00:00:00' }));
const merge = (from: string, to: string, at = '2026-05-01T00:00:00') => ({ from, to, kind: 'merge', at });
const split = (from: string, to: string, at = '2026-05-02T00:00:00') => ({ from, to, kind: 'split', at });
const mail = (id: string, value: string) => ({ id, namespace: 'email', value: `${value}@x.example` });
const hashes = (...names: string[]): Set<string> => new Set(names.map((name) => `email:${sha256Hex(`${name}@x.example`)}`));
const run = () => world.open((ops) => sync(ops, 'gold', { tick: T }));

/** What came to a stand-in since the last time it was asked, as `operation: ids`. */
const mirror = (of: 'meta' | 'webhook', mode = 'mirror') =>
  makeWorld({
    merges: true,
    syncs: of === 'meta' ? `  - { to: ads, mode: ${mode}, identifiers: [email] }` : `  - { to: ads, mode: ${mode} }`,
    destinations: { ads: of === 'meta' ? META : WEBHOOK },
  });

describe('a merge at a platform whose list is a set of identifiers', () => {
  const before: Day = {
    customers: people('a', 'b'),
    consents: granted('a', 'b'),
    identifiers: [mail('a', 'a'), mail('a', 'shared'), mail('b', 'b'), mail('b', 'shared')],
  };

  it('is one update: what the two shared is neither removed nor missing, and the ledger has one person', async () => {
    world = await mirror('meta');
    world.write(before);
    await run();
    world.write({
      customers: people('b'),
      consents: granted('b'),
      identifiers: [mail('b', 'b'), mail('b', 'shared')],
      changes: [merge('a', 'b')],
    });
    const report = await run();
    expect(report.syncs[0]).toMatchObject({ add: 0, update: 1, remove: 0, unchanged: 0, members: 1 });
    expect(world.held('meta')).toEqual(hashes('b', 'shared'));
    expect((await run()).syncs[0]).toMatchObject({ add: 0, update: 0, remove: 0, unchanged: 1, requests: 0 });
  });

  it('takes nothing away where nothing is lost: no removal is sent at all', async () => {
    world = await mirror('meta');
    world.write(before);
    await run();
    const requests = world.sandbox.platform('meta').requests().length;
    world.write({ ...before, customers: people('b'), changes: [merge('a', 'b')] });
    const report = await run();
    expect(report.syncs[0]).toMatchObject({ update: 1, remove: 0, members: 1 });
    expect(
      world.sandbox
        .platform('meta')
        .requests()
        .slice(requests)
        .map(({ method }) => method),
    ).not.toContain('DELETE');
    expect(world.held('meta')).toEqual(hashes('a', 'b', 'shared'));
  });

  it('into somebody who was not held yet moves the row: an update, not an add', async () => {
    world = await mirror('meta');
    world.write({ customers: people('a'), consents: granted('a'), identifiers: [mail('a', 'a')] });
    await run();
    world.write({
      customers: people('new'),
      consents: granted('a'),
      identifiers: [mail('new', 'a')],
      changes: [merge('a', 'new')],
    });
    expect((await run()).syncs[0]).toMatchObject({ add: 0, update: 1, remove: 0, members: 1 });
    expect(world.held('meta')).toEqual(hashes('a'));
  });

  it('is a removal where the survivor may not be sent, of everything any of them had there', async () => {
    world = await mirror('meta');
    world.write(before);
    await run();
    world.write({
      ...before,
      customers: people('b'),
      consents: [...granted('a', 'b'), { id: 'a', purpose: 'ads', status: 'withdrawn', from: '2026-04-01T00:00:00' }],
      changes: [merge('a', 'b')],
    });
    expect((await run()).syncs[0]).toMatchObject({ remove: 1, removeReasons: { 'no-consent': 1 }, members: 0 });
    expect(world.held('meta')).toEqual(new Set());
  });

  it('of a chain ends at its end, whatever was held of it', async () => {
    world = await mirror('meta');
    world.write({ customers: people('a', 'b'), consents: granted('a', 'b'), identifiers: [mail('a', 'a'), mail('b', 'b')] });
    await run();
    world.write({
      customers: people('c'),
      consents: granted('b'),
      identifiers: [mail('a', 'a'), mail('b', 'b')],
      changes: [merge('a', 'b', '2026-04-01T00:00:00'), merge('b', 'c', '2026-05-01T00:00:00')],
    });
    expect((await run()).syncs[0]).toMatchObject({ add: 0, update: 1, remove: 0, members: 1 });
    expect(world.held('meta')).toEqual(hashes('a', 'b'));
  });

  it('undone by a split gives each half its own again: only what its consent allows', async () => {
    world = await mirror('meta');
    world.write(before);
    await run();
    world.write({ ...before, customers: people('b'), changes: [merge('a', 'b')] });
    await run();
    const changes = [merge('a', 'b'), split('b', 'a')];
    world.write({ ...before, consents: granted('b'), changes });
    expect((await run()).syncs[0]).toMatchObject({ update: 1, withheld: { 'no-consent': 1 }, members: 1 });
    expect(world.held('meta')).toEqual(hashes('b', 'shared'));
    world.write({ ...before, changes });
    expect((await run()).syncs[0]).toMatchObject({ add: 1, members: 2 });
    expect(world.held('meta')).toEqual(hashes('a', 'b', 'shared'));
  });
});

describe('a merge at a platform that holds a record a person', () => {
  const before: Day = { customers: people('a', 'b', 'c'), consents: granted('a', 'b', 'c') };

  it('removes the record of the merged id and keeps the survivor untouched', async () => {
    world = await mirror('webhook');
    world.write(before);
    await run();
    world.write({ ...before, customers: people('b', 'c'), changes: [merge('a', 'b')] });
    const report = await run();
    expect(report.syncs[0]).toMatchObject({ add: 0, update: 0, remove: 1, unchanged: 2, removeReasons: { merged: 1 } });
    expect(world.held('webhook')).toEqual(new Set(['b', 'c']));
  });

  it('nobody is there twice while both rows are still in the tables', async () => {
    world = await mirror('webhook');
    world.write({ ...before, changes: [merge('a', 'b')] });
    expect(await run()).toMatchObject({ matched: 2 });
    expect(world.held('webhook')).toEqual(new Set(['b', 'c']));
  });

  it('that comes before the row of the survivor keeps the person, under the id of the survivor', async () => {
    world = await mirror('webhook');
    world.write({ customers: people('a'), consents: granted('a') });
    await run();
    world.write({ customers: people('a'), consents: granted('a'), changes: [merge('a', 'new')] });
    expect((await run()).syncs[0]).toMatchObject({ add: 1, remove: 1, removeReasons: { merged: 1 } });
    expect(world.held('webhook')).toEqual(new Set(['new']));
    world.write({ customers: people('new'), consents: granted('a'), changes: [merge('a', 'new')] });
    expect((await run()).syncs[0]).toMatchObject({ add: 0, update: 0, remove: 0, unchanged: 1, requests: 0 });
  });

  it.each(['upsert', 'add-only'])('in mode %s removes the old record too, and nobody who merely left', async (mode) => {
    world = await mirror('webhook', mode);
    world.write(before);
    await run();
    world.write({ ...before, customers: people('b'), changes: [merge('a', 'b')] });
    expect((await run()).syncs[0]).toMatchObject({ remove: 1, removeReasons: { merged: 1 }, members: 2 });
    expect(world.held('webhook')).toEqual(new Set(['b', 'c']));
  });

  it('in mode upsert a withdrawal of the survivor removes the record of the merged id, though the rule matches neither', async () => {
    world = await mirror('webhook', 'upsert');
    world.write({ customers: people('a'), consents: granted('a') });
    await run();
    const silver: Day = {
      customers: [{ id: 'b', tier: 'silver', country: 'DE' }],
      consents: granted('a'),
      changes: [merge('a', 'b')],
    };
    world.write(silver);
    expect((await run()).syncs[0]).toMatchObject({ remove: 0, members: 1 });
    world.write({
      ...silver,
      consents: [...granted('a'), { id: 'b', purpose: 'ads', status: 'withdrawn', from: '2026-05-03T00:00:00' }],
    });
    expect((await run()).syncs[0]).toMatchObject({ remove: 1, removeReasons: { 'no-consent': 1 }, members: 0 });
    expect(world.held('webhook')).toEqual(new Set());
  });

  it.each(['hubspot', 'klaviyo'])(
    'keeps the one record of an address at %s, which has none twice: it becomes the survivor’s',
    async (crm) => {
      world = await makeWorld({
        merges: true,
        syncs: '  - { to: crm, mode: mirror, identifiers: [email] }',
        destinations: { crm: `connector: ${crm}\npurpose: ads\nsettings: {}\nsecret: crm\n${BUDGET}` },
        speed: 10,
      });
      world.write({ customers: people('a'), consents: granted('a'), identifiers: [mail('a', 'a')] });
      await run();
      expect(world.held(crm)).toEqual(new Set(['a']));
      world.write({ customers: people('b'), consents: granted('a'), identifiers: [mail('b', 'a')], changes: [merge('a', 'b')] });
      expect((await run()).syncs[0]).toMatchObject({ add: 1, remove: 1, outcomes: { delivered: 2, rejected: 0 } });
      expect(world.held(crm)).toEqual(new Set(['b']));
      expect((await run()).syncs[0]).toMatchObject({ unchanged: 1, requests: 0 });
    },
  );

  it('back and forth ends at the last word', async () => {
    world = await mirror('webhook');
    world.write({ ...before, changes: [merge('a', 'b', '2026-04-01T00:00:00'), merge('b', 'a', '2026-05-01T00:00:00')] });
    await run();
    expect(world.held('webhook')).toEqual(new Set(['a', 'c']));
  });

  it('the bucket of the survivor decides about the control group', async () => {
    const audience = (holdout: string) =>
      `where: { tier: gold }\nholdout: ${holdout}\nguardrails: { max_removed: { percent: 100, floor: 1000 }, min_size: 0 }\nsyncs:\n  - { to: ads, mode: mirror }\n`;
    world = await makeWorld({ merges: true, syncs: '', audience: audience('50%'), destinations: { ads: WEBHOOK } });
    const ids = Array.from({ length: 12 }, (_, i) => `s${i}`);
    world.write({ customers: people(...ids), consents: granted(...ids) });
    await run();
    const sent = world.held('webhook');
    world.write({
      customers: people(...ids),
      consents: granted(...ids),
      changes: ids.map((id) => merge(`old ${id}`, id)),
    });
    await run();
    expect(world.held('webhook')).toEqual(sent);
    world.write({
      customers: people(...ids.map((id) => `old ${id}`)),
      consents: granted(...ids),
      changes: ids.map((id) => merge(`old ${id}`, id)),
    });
    await run();
    expect(world.held('webhook')).toEqual(sent);
  });

  it('outside a rollout changes nothing until the rollout gets there', async () => {
    const audience = (rollout: string) =>
      `where: { tier: gold }\n${rollout}guardrails: { max_removed: { percent: 100, floor: 1000 }, min_size: 0 }\nsyncs:\n  - { to: ads, mode: mirror }\n`;
    world = await makeWorld({ merges: true, syncs: '', audience: audience(''), destinations: { ads: WEBHOOK } });
    const ids = Array.from({ length: 12 }, (_, i) => `s${i}`);
    world.write({ customers: people(...ids), consents: granted(...ids) });
    await run();
    const survivors = ids.map((id) => `new ${id}`);
    const merged: Day = {
      customers: people(...survivors),
      consents: granted(...ids),
      changes: ids.map((id) => merge(id, `new ${id}`)),
    };
    world.write(merged);
    world.file('audiences/gold.yaml', audience('rollout: 50%\n'));
    const part = await run();
    const inside = part.syncs[0]?.add ?? 0;
    expect([inside > 0, inside < 12]).toEqual([true, true]);
    expect(part.syncs[0]).toMatchObject({ remove: inside, withheld: { rollout: 12 - inside }, members: 12 });
    const held = [...world.held('webhook')];
    expect(ids.map((id) => held.filter((one) => one === id || one === `new ${id}`).length)).toEqual(ids.map(() => 1));
    world.file('audiences/gold.yaml', audience(''));
    await run();
    expect(world.held('webhook')).toEqual(new Set(survivors));
  });

  it('a split into a new id sends the new half nothing that was given to the old one', async () => {
    world = await mirror('webhook');
    world.write(before);
    await run();
    const halves: Day = { ...before, customers: people('a', 'a2', 'b', 'c'), changes: [split('a', 'a2')] };
    world.write(halves);
    expect((await run()).syncs[0]).toMatchObject({ add: 0, remove: 0, unchanged: 3, withheld: { 'no-consent': 1 } });
    world.write({ ...halves, consents: granted('a', 'a2', 'b', 'c') });
    expect((await run()).syncs[0]).toMatchObject({ add: 1, remove: 0 });
    expect(world.held('webhook')).toEqual(new Set(['a', 'a2', 'b', 'c']));
  });

  it('between a plan and its sending makes the plan say something else: it is not sent', async () => {
    world = await mirror('webhook');
    world.write(before);
    const planned = await world.open((ops) => plan(ops, 'gold', { tick: T }));
    world.write({ ...before, changes: [merge('a', 'b')] });
    await expect(world.open((ops) => syncPlan(ops, planned.run))).rejects.toThrow(PlanRefused);
    expect(world.held('webhook')).toEqual(new Set());
    expect(await world.open((ops) => status(ops))).toMatchObject([{ members: 0 }]);
  });
});
