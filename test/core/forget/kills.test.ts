import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { continueForget, erasures } from '../../../core/forget/forget.ts';
import type { ForgetRequest } from '../../../core/forget/request.ts';
import { sha256Hex } from '../../../core/identifiers.ts';
import { sync } from '../../../core/run/operations.ts';
import { memberOf } from '../../../core/run/withdraw.ts';
import { type Day, makeWorld, type World } from '../run/world.ts';
import { oneFile } from '../../support/one-file.ts';

const SCRIPT = await oneFile(join(import.meta.dirname, 'one-forget.ts'));
const BUDGET = 'budget: { requests: 100000, per: second, concurrency: 2 }\n';
const DESTINATIONS = {
  hook: `connector: webhook\npurpose: mail\nsecret: hook\n${BUDGET}`,
  meta: `connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n${BUDGET}`,
};
const PLATFORMS = { hook: 'webhook', meta: 'meta' } as const;
const T = Date.parse('2026-06-01T06:00:00Z');
const IDS = ['a', 'b', 'c'];
const DAY: Day = {
  customers: IDS.map((id) => ({ id, tier: 'gold', country: 'DE' })),
  consents: IDS.flatMap((id) =>
    ['mail', 'ads'].map((purpose) => ({ id, purpose, status: 'granted', from: '2026-01-01T00:00:00' })),
  ),
  identifiers: Object.entries({ a: 'home@x.example', b: 'home@x.example', c: 'c@x.example' }).map(([id, value]) => ({
    id,
    namespace: 'email',
    value,
  })),
};
const LATER: Day = {
  ...DAY,
  identifiers: (DAY.identifiers ?? []).map((one) => (one.id === 'a' ? { ...one, value: 'new@x.example' } : one)),
};
const REQUEST: ForgetRequest = {
  id: 'r1',
  source: 'by-hand',
  submittedAt: T,
  customerIds: ['a'],
  identities: [{ namespace: 'email', value: 'old@x.example', format: 'raw' }],
  allHolders: false,
};
/** Traces of the person: none of them may be anywhere when the erasure is done. */
const TRACES = ['home@x.example', 'new@x.example', 'old@x.example', sha256Hex('new@x.example'), sha256Hex('old@x.example')];

function child(world: World, when: string): Promise<{ signal: NodeJS.Signals | null; output: string; errors: string }> {
  const known = Object.fromEntries(
    Object.entries(PLATFORMS).map(([name, platform]) => {
      const { endpoint, secret } = world.sandbox.platform(platform);
      return [name, { endpoint, secret }];
    }),
  );
  const run = spawn(process.execPath, [SCRIPT, world.dir, JSON.stringify(known), JSON.stringify(REQUEST), when]);
  let output = '';
  let errors = '';
  run.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  run.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  return new Promise((resolve) => run.on('close', (_code, signal) => resolve({ signal, output, errors })));
}

async function twoDays(): Promise<World> {
  const world = await makeWorld({
    syncs: '  - { to: hook, mode: upsert }\n  - { to: meta, mode: mirror, identifiers: [email] }',
    destinations: DESTINATIONS,
  });
  for (const [i, day] of [DAY, LATER].entries()) {
    world.write(day);
    await world.open((ops) => sync(ops, 'gold', { tick: T + i }));
  }
  return world;
}

/** Nothing of the person is held or kept; everybody else is. */
async function expectForgotten(world: World, when: string): Promise<void> {
  expect([when, world.held('webhook')]).toEqual([when, new Set(['b', 'c'])]);
  const others = new Set(['home@x.example', 'c@x.example'].map((mail) => `email:${sha256Hex(mail)}`));
  expect([when, world.held('meta')]).toEqual([when, others]);
  const kept = await world.open(async ({ ports }) => {
    const rows: string[] = [memberOf(ports.memberKey, 'a')];
    for (const name of await ports.store.pointers.syncs())
      for (const { members } of await ports.store.pointers.history(name))
        for (const row of await ports.warehouse.rows({
          sql: 'SELECT member FROM ledger',
          relations: { ledger: { files: members.files, columns: {} } },
        }))
          rows.push(String(row['member']));
    return rows;
  });
  expect([when, kept.slice(1).includes(kept[0] ?? '')]).toEqual([when, false]);
  const files = readdirSync(join(world.dir, '.sluice'), { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
  const texts = files
    .filter(({ name }) => !name.endsWith('.gz'))
    .map((one) => ({ path: join(one.parentPath, one.name), text: readFileSync(join(one.parentPath, one.name), 'latin1') }));
  const found = texts.flatMap(({ path, text }) =>
    TRACES.filter((trace) => text.includes(trace)).map((trace) => `${path}: ${trace}`),
  );
  expect([when, found]).toEqual([when, []]);
  expect([when, files.filter(({ parentPath }) => /\/(forget|demanded)\//.test(parentPath))]).toEqual([when, []]);
}

describe('law 3: an erasure that is killed', () => {
  it('converges, wherever it dies: gone on with, nothing of the person is held or kept', { timeout: 900_000 }, async () => {
    const whole = await twoDays();
    const { output, errors } = await child(whole, 'never');
    expect(errors).toBe('');
    const { effects, status } = JSON.parse(output) as { effects: number; status: string };
    expect(status).toBe('completed');
    await expectForgotten(whole, 'never');
    await whole.close();
    expect(effects).toBeGreaterThanOrEqual(30);
    // Every ninth by default; all with SLUICE_KILLS=all.
    const step = process.env.SLUICE_KILLS === 'all' ? 1 : 9;
    const next = Array.from({ length: Math.ceil(effects / step) }, (_, i) => i * step + 1);
    const worker = async (): Promise<void> => {
      for (let n = next.shift(); n !== undefined; n = next.shift()) {
        const when = `after:${n}`;
        const world = await twoDays();
        try {
          const died = await child(world, when);
          expect([when, died.signal, died.errors]).toEqual([when, 'SIGKILL', '']);
          // The request itself may not have been registered: then whoever asked asks again.
          const known = await world.open(({ ports }) => erasures(ports));
          if (known.length === 0) expect([when, (await child(world, 'never')).errors]).toEqual([when, '']);
          for (const erasure of await world.open(({ ports }) => continueForget(ports)))
            expect([when, erasure.status, erasure.destinations]).toMatchObject([when, 'completed', {}]);
          // The sweep of what a dead process left counts by age; what was registered is gone at once.
          await world.open(({ ports }) =>
            continueForget({ ...ports, clock: { ...ports.clock, now: () => Date.now() + 2 * 3_600_000 } }),
          );
          await expectForgotten(world, when);
          const after = await world.open((ops) => sync(ops, 'gold', { tick: T + 5 }));
          expect([when, after.code, after.syncs.map(({ withheld }) => withheld.erased)]).toEqual([when, 0, [1, 1]]);
          await expectHeld(world, when);
        } finally {
          await world.close();
        }
      }
    };
    await Promise.all([worker(), worker()]);
  });
});

async function expectHeld(world: World, when: string): Promise<void> {
  expect([when, world.held('webhook')]).toEqual([when, new Set(['b', 'c'])]);
  expect([when, world.held('meta').size]).toEqual([when, 2]);
}
