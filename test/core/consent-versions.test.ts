import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { decideUnder, policyVersion } from '../../core/consent-versions.ts';
import type { RunDocument } from '../../core/run/ports.ts';
import { plan } from '../../core/run/operations.ts';
import { type Day, makeWorld, type World } from './run/world.ts';

const T = Date.parse('2026-06-01T06:00:00Z');
const DAY = 86_400_000;
let world: World;
afterEach(() => world.close());

it('a decision of the past is made again as it was: by the policy of then, and the words of then', async () => {
  const consents: Day['consents'] = [{ id: 'a', purpose: 'mail', status: 'granted', from: '2026-05-01T00:00:00' }];
  const hook = 'connector: webhook\npurpose: mail\nsecret: hook\n';
  world = await makeWorld({ syncs: '  - { to: hook, mode: mirror }', destinations: { hook } });
  world.write({ customers: [{ id: 'a', tier: 'gold', country: 'DE' }], consents });
  const versionOf = (tick: number): Promise<string> =>
    world.open(async (ops) => {
      const { run } = await plan(ops, 'gold', { tick });
      return (await ops.ports.store.documents.get<RunDocument>('run', run))?.plans[0]?.policy ?? '';
    });
  const change = (path: string, from: string, to: string): void =>
    world.file(path, readFileSync(join(world.dir, path), 'utf8').replaceAll(from, to));
  const before = await versionOf(T);
  change('policies/consent.yaml', 'opt-in', 'opt-in, expires_after: 10 days');
  const after = await versionOf(T + DAY);
  change(
    'contracts/consents.yaml',
    'value: consents }',
    'value: consents }, { property: sluice.statuses, value: { yes: granted } }',
  );
  const renamed = await versionOf(T + 2 * DAY);

  const rows = [{ status: 'granted', from: Date.parse('2026-05-01T00:00:00Z'), to: null, source: 'shop', id: '7' }];
  const decisions = await world.open(async (ops) => {
    const { documents } = ops.ports.store;
    const made = [];
    for (const version of [before, after, renamed]) {
      const kept = await policyVersion(documents, version);
      if (kept === null) throw new Error(`version ${version} is not kept`);
      const decision = (purpose: string) => decideUnder(kept, purpose, rows, { country: 'DE', region: null }, T);
      made.push([decision('mail').reason, decision('mail').evidence.record, decision('nothing').reason]);
    }
    return [...made, await policyVersion(documents, 'never-seen')];
  });
  expect(new Set([before, after, renamed]).size).toBe(3);
  expect(decisions).toEqual([
    ['granted', '7', 'no-policy'],
    ['expired', '7', 'no-policy'],
    ['unknown-status', '7', 'no-policy'],
    null,
  ]);
});
