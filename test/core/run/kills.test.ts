import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256Hex } from '../../../core/identifiers.ts';
import { status, sync } from '../../../core/run/operations.ts';
import { type Day, makeWorld, type World } from './world.ts';
import { oneFile } from '../../support/one-file.ts';

const T = Date.parse('2026-06-01T06:00:00Z');
const SCRIPT = await oneFile(join(import.meta.dirname, 'one-run.ts'));
const META =
  'connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\nbudget: { requests: 100000, per: second, concurrency: 4 }\n';

/** Two days: on the second one leaves a shared address, one changes hers, one joins, one withdraws. */
const consents = (...refused: string[]): NonNullable<Day['consents']> =>
  ['a', 'b', 'c', 'd', 'e'].map((id) => ({
    id,
    purpose: 'ads',
    status: refused.includes(id) ? 'withdrawn' : 'granted',
    from: '2026-01-01T00:00:00',
  }));
const people = (...ids: string[]): Day['customers'] => ids.map((id) => ({ id, tier: 'gold', country: 'DE' }));
const mails = (of: Record<string, string>): NonNullable<Day['identifiers']> =>
  Object.entries(of).map(([id, value]) => ({ id, namespace: 'email', value }));
const DAY_ONE: Day = {
  customers: people('a', 'b', 'c', 'd'),
  consents: consents(),
  identifiers: mails({ a: 'home@x.example', b: 'home@x.example', c: 'c@x.example', d: 'd@x.example' }),
};
const DAY_TWO: Day = {
  customers: people('b', 'c', 'd', 'e'),
  consents: consents('d'),
  identifiers: mails({ a: 'home@x.example', b: 'home@x.example', c: 'new@x.example', d: 'd@x.example', e: 'e@x.example' }),
};
const TWO = ['home@x.example', 'new@x.example', 'e@x.example'];
const hashes = (addresses: readonly string[]): Set<string> => new Set(addresses.map((address) => `email:${sha256Hex(address)}`));

function child(world: World, when: string): Promise<{ signal: NodeJS.Signals | null; output: string; errors: string }> {
  const { endpoint, secret } = world.sandbox.platform('meta');
  const run = spawn(process.execPath, [SCRIPT, world.dir, JSON.stringify({ meta: { endpoint, secret } }), String(T), when]);
  let output = '';
  let errors = '';
  run.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  run.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  return new Promise((resolve) => run.on('close', (_code, signal) => resolve({ signal, output, errors })));
}

const meta = () => makeWorld({ syncs: '  - { to: meta, mode: mirror, identifiers: [email] }', destinations: { meta: META } });

/** Runs day one, dies on day two, runs again; then day one's people come back, so that whatever the ledger forgot would show. */
async function dieAndRunAgain(when: string): Promise<{ continued: boolean }> {
  const world = await meta();
  try {
    world.write(DAY_ONE);
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    world.write(DAY_TWO);
    const died = await child(world, when);
    expect(died.signal, `${when}: ${died.errors}`).toBe('SIGKILL');
    const again = await child(world, 'never');
    expect(again.errors).toBe('');
    expect(JSON.parse(again.output)).toMatchObject({ code: 0 });
    expect(world.held('meta'), 'after the second run').toEqual(hashes(TWO));
    const [after] = await world.open((ops) => status(ops));
    expect(after).toMatchObject({ members: 3, uncertain: 0 });
    world.write({ customers: people('a'), consents: consents(), identifiers: mails({ a: 'a@x.example' }) });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(world.held('meta'), 'after a third day').toEqual(hashes(['a@x.example']));
    return JSON.parse(again.output) as { continued: boolean };
  } finally {
    await world.close();
  }
}

describe('law 3: crash anywhere, run again, converge', () => {
  let tasks = 0;
  let requests = 0;
  beforeAll(async () => {
    const world = await meta();
    world.write(DAY_ONE);
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    world.write(DAY_TWO);
    const whole = await child(world, 'never');
    if (whole.errors !== '') throw new Error(whole.errors);
    ({ tasks, requests } = JSON.parse(whole.output) as { tasks: number; requests: number });
    await world.close();
  });
  const inPairs = async (moments: readonly string[]): Promise<Map<string, boolean>> => {
    const ends = new Map<string, boolean>();
    const next = [...moments];
    const worker = async (): Promise<void> => {
      for (let when = next.shift(); when !== undefined; when = next.shift())
        ends.set(when, (await dieAndRunAgain(when)).continued);
    };
    await Promise.all([worker(), worker()]);
    return ends;
  };

  it('killed after the effect of any step, before the journal knows of it', { timeout: 300_000 }, async () => {
    expect(tasks).toBeGreaterThanOrEqual(10);
    const ends = await inPairs(Array.from({ length: tasks }, (_, i) => `after:${i + 1}`));
    // Before anything was announced there is nothing to carry on; from the first step of the delivery on there is.
    expect([...ends.values()].filter(Boolean).length).toBeGreaterThanOrEqual(5);
  });

  it('killed in the middle of the delivery: before any request, and after its answer', { timeout: 300_000 }, async () => {
    expect(requests).toBeGreaterThanOrEqual(2);
    const moments = Array.from({ length: requests }, (_, i) => [`before:${i + 1}`, `request:${i + 1}`]).flat();
    const ends = await inPairs(moments);
    expect([...ends.values()].every(Boolean)).toBe(true);
  });

  let last: World | undefined;
  afterAll(() => last?.close());
  it('two runs at once: one sends, the other refuses and sends nothing', { timeout: 120_000 }, async () => {
    last = await meta();
    last.write(DAY_ONE);
    last.sandbox.platform('meta').faults({ kind: 'slow', ms: 1500 });
    const both = await Promise.all([child(last, 'never'), child(last, 'never')]);
    const failed = both.filter((one) => one.errors !== '');
    expect(failed).toHaveLength(1);
    expect(failed[0]?.errors).toMatch(/"gold" is being sent to meta by another run/);
    expect(last.held('meta')).toEqual(hashes(['home@x.example', 'c@x.example', 'd@x.example']));
  });
});
