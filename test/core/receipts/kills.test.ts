import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sync } from '../../../core/run/operations.ts';
import { makeWorld, type World } from '../run/world.ts';
import { consents, DAY, mails, memberOf, META, people, receiptsIn, T } from './world.ts';
import { oneFile } from '../../support/one-file.ts';

const SCRIPT = await oneFile(join(import.meta.dirname, '../run/one-run.ts'));
const ALL = ['a', 'b', 'c', 'd'];

function child(world: World, when: string): Promise<{ signal: NodeJS.Signals | null; output: string; errors: string }> {
  const { endpoint, secret } = world.sandbox.platform('meta');
  const run = spawn(process.execPath, [SCRIPT, world.dir, JSON.stringify({ meta: { endpoint, secret } }), String(T + DAY), when]);
  let output = '';
  let errors = '';
  run.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  run.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  return new Promise((resolve) => run.on('close', (_code, signal) => resolve({ signal, output, errors })));
}

describe('law 3: receipts of a commit that died', () => {
  it('are there once after the next run, wherever the process was killed', { timeout: 300_000 }, async () => {
    let moments = 1;
    for (let n = 1; n <= moments; n++) {
      const world = await makeWorld({
        syncs: '  - { to: meta, mode: mirror, identifiers: [email] }',
        destinations: { meta: META },
      });
      try {
        const all = mails({ a: 'a@x.example', b: 'b@x.example', c: 'c@x.example', d: 'd@x.example' });
        world.write({ customers: people('a', 'b', 'c'), consents: consents(ALL), identifiers: all });
        await world.open((ops) => sync(ops, 'gold', { tick: T }));
        world.write({ customers: people('b', 'c', 'd'), consents: consents(ALL, ['c']), identifiers: all });
        if (n === 1) {
          const whole = await makeWorld({
            syncs: '  - { to: meta, mode: mirror, identifiers: [email] }',
            destinations: { meta: META },
          });
          whole.write({ customers: people('a'), consents: consents(ALL), identifiers: all });
          const done = await child(whole, 'never');
          expect(done.errors).toBe('');
          moments = (JSON.parse(done.output) as { commits: number }).commits;
          await whole.close();
        }
        const died = await child(world, `commit:${n}`);
        expect(died.signal, `${n}: ${died.errors}`).toBe('SIGKILL');
        const again = await child(world, 'never');
        expect(again.errors, `${n}`).toBe('');
        const names = await world.open((ops) => Promise.resolve(Object.fromEntries(ALL.map((id) => [memberOf(ops, id), id]))));
        const rows = (await receiptsIn(world)).map(
          (row) =>
            `${String(row['tick']).slice(0, 10)} ${names[String(row['member'])]} ${String(row['operation'])} ${String(row['outcome'])}`,
        );
        expect([n, rows.toSorted()]).toEqual([
          n,
          [
            '2026-06-01 a add accepted',
            '2026-06-01 b add accepted',
            '2026-06-01 c add accepted',
            '2026-06-02 a remove accepted',
            '2026-06-02 c remove accepted',
            '2026-06-02 d add accepted',
          ],
        ]);
        const chain = await world.open(({ ports }) => ports.store.receipts.list('chain/'));
        expect(chain).toEqual(['chain/gold/meta/00000001.json', 'chain/gold/meta/00000002.json']);
      } finally {
        await world.close();
      }
    }
    expect(moments).toBe(12);
  });
});
