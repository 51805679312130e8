import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { plan, sync } from '../../../core/run/operations.ts';
import { gppString, tcString } from '../consent-strings.ts';
import { makeWorld, type World } from './world.ts';

const T = Date.parse('2026-06-01T06:00:00Z');
let world: World;
afterEach(() => world.close());

const NOTHING = { purpose: null, status: null, from: '2026-05-01T00:00:00', to: null, tcf: null, gpp: null };
const change = (path: string, from: string, to: string): void => {
  const text = readFileSync(join(world.dir, path), 'utf8');
  if (!text.includes(from)) throw new Error(`${path} has no ${from}`);
  world.file(path, text.replaceAll(from, to));
};

it('consent strings decide for every purpose that reads them, and what is written of them holds none', async () => {
  const destinations = {
    hook: 'connector: webhook\npurpose: mail\nsecret: hook\n',
    other: 'connector: braze\npurpose: ads\nsecret: other\n',
  };
  world = await makeWorld({ syncs: '  - { to: hook }\n  - { to: other }', destinations });
  const strings = ['tcf', 'gpp'].map((name) => `      - { name: ${name}, logicalType: string }\n`).join('');
  change('contracts/consents.yaml', '    properties:\n', `    properties:\n${strings}`);
  change(
    'policies/consent.yaml',
    'ads: { basis: opt-in }',
    'ads: { basis: opt-in, tcf: { purposes: [1, 3] }, gpp: { opt_outs: [sale] } }',
  );
  const ids = ['a', 'b', 'c', 'd', 'e'];
  world.write({ customers: ids.map((id) => ({ id, tier: 'gold', country: 'DE' })) });
  const row = (id: string, more: object) => JSON.stringify({ ...NOTHING, id, ...more });
  const record = tcString([1, 3]);
  world.file(
    'rows/consents.json',
    [
      // A log of a consent tool: a string, and neither a purpose nor a word.
      row('a', { tcf: record }),
      row('b', { tcf: tcString([1]) }),
      row('c', { tcf: record }),
      row('c', { gpp: gppString({ usnat: { SaleOptOut: 1 } }), from: '2026-05-02T00:00:00' }),
      row('d', { purpose: 'ads', status: 'granted', tcf: 'garbage' }),
      row('e', { purpose: 'mail', status: 'granted', tcf: tcString([]) }),
    ].join('\n'),
  );
  const { report, files } = await world.open(async (ops) => {
    const report = await sync(ops, 'gold', { tick: T });
    const { store } = ops.ports;
    // Opened again, a run of so long ago would be swept.
    const keys = (await store.files.list(`runs/${report.run}`)).filter((key) => key.includes('/signals/'));
    const files: string[] = [];
    for (const key of keys) for await (const line of store.files.lines(key)) files.push(line);
    return { report, files };
  });
  expect(report.syncs.map(({ destination, add, withheld }) => [destination, add, withheld['no-consent']])).toEqual([
    ['hook', 1, 4],
    ['other', 1, 4],
  ]);
  expect([world.held('webhook'), world.held('braze')]).toEqual([new Set(['e']), new Set(['a'])]);

  expect(files.every((line) => /^\{"k":"[0-9a-f]{32}","v":"0[0-9]"\}$/.test(line))).toBe(true);
  expect(files.length).toBe(5);

  // The same strings under another mapping: who consented to purpose 1 alone may be sent as well.
  change('policies/consent.yaml', 'purposes: [1, 3]', 'purposes: [1]');
  const next = await world.open((ops) => plan(ops, 'gold', { tick: T + 1 }));
  expect(next.syncs.map(({ add, remove }) => [add, remove])).toEqual([
    [0, 0],
    [1, 0],
  ]);
});

it('a policy that reads strings which no consents table keeps is refused by the files', async () => {
  world = await makeWorld({
    syncs: '  - { to: hook }',
    destinations: { hook: 'connector: webhook\npurpose: mail\nsecret: hook\n' },
  });
  change('policies/consent.yaml', 'ads: { basis: opt-in }', 'ads: { basis: opt-in, tcf: { purposes: [1] } }');
  await expect(world.open(() => Promise.resolve())).rejects.toThrow('"ads" asks what strings say');
});
