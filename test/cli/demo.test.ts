import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { barredIn } from '../../cli/demo/proof.ts';
import { inDatabase, nextDay, openShop } from '../../cli/demo/shop.ts';
import { startOver } from '../../cli/demo/state.ts';
import { runDemo } from '../../cli/demo/story.ts';
import type { Terminal } from '../../cli/terminal.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const NOW = Date.UTC(2026, 10, 23, 9);
const folder = mkdtempSync(join(tmpdir(), 'sluice-demo-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const recorder = () => {
  const lines: string[] = [];
  const terminal: Terminal = {
    print: (text) => lines.push(...text.split('\n')),
    say: (text) => lines.push(...text.split('\n')),
    style: (_style, text) => text,
    live: { draw: () => undefined, done: () => undefined },
    errIsTty: false,
  };
  return { lines, terminal };
};

describe('npm start', () => {
  const workspace = join(folder, 'workspace');
  let lines: readonly string[] = [];
  let code: number | undefined;

  beforeAll(async () => {
    for (const name of ['audiences', 'contracts', 'destinations', 'policies'])
      cpSync(join(ROOT, name), join(workspace, name), { recursive: true });
    const recorded = recorder();
    code = await runDemo(workspace, recorded.terminal, NOW);
    lines = recorded.lines;
  }, 240_000);

  it('ends well, and says it in about 40 lines', () => {
    expect({ code, lines: lines.length }).toEqual({ code: 0, lines: expect.any(Number) });
    expect(lines.length).toBeLessThan(50);
  });

  it('sends everybody on day one, and on day two only the difference', () => {
    const adds = lines
      .filter((line) => /^ {2}meta-eu/.test(line))
      .map((line) =>
        line
          .trim()
          .split(/\s+/)
          .slice(2, 6)
          .map((cell) => Number(cell.replaceAll(',', ''))),
      );
    const [[first = 0, ...none] = [], [joined = 0, changed = 0, left = 0, stayed = 0] = []] = adds;
    expect(none).toEqual([0, 0, 0]);
    expect(first).toBe(changed + left + stayed);
    for (const number of [joined, changed, left]) expect(number).toBeGreaterThan(0);
    expect(joined + changed + left).toBeLessThan(stayed);
  });

  it('proves that people who may not be sent were held before and are not now, and that nothing changed sends nothing', () => {
    const text = lines.join('\n');
    for (const who of ['Meta', 'Braze'])
      expect(text).toMatch(
        new RegExp(`^${who}: [\\d,]+ customers .* It held [1-9][\\d,]* of them yesterday, and holds 0 now\\.$`, 'm'),
      );
    expect(text).toContain('3 audiences compared, 0 requests made.');
  });

  it('leaves the files as they are, and state that only a demo may throw away', async () => {
    for (const name of readdirSync(join(ROOT, 'destinations'))) {
      expect(readFileSync(join(workspace, 'destinations', name), 'utf8')).toBe(
        readFileSync(join(ROOT, 'destinations', name), 'utf8'),
      );
    }
    const state = join(workspace, '.sluice');
    writeFileSync(join(state, 'secrets.yaml'), 'meta-eu: {}\n');
    await startOver(state);
    expect(readdirSync(state).sort()).toEqual(['made-by-npm-start', 'secrets.yaml']);
  });
});

describe('the state of the demo', () => {
  it('is never taken from real runs', async () => {
    const state = join(folder, 'real', '.sluice');
    mkdirSync(join(state, 'ledger'), { recursive: true });
    await expect(startOver(state)).rejects.toThrow(
      /holds the state of real runs, and the demo starts from nothing\. Nothing was done\./,
    );
    expect(existsSync(join(state, 'ledger'))).toBe(true);
  });
});

describe('the shop of the demo', () => {
  const [one, other] = [join(folder, 'one'), join(folder, 'other')];
  const customers = (at: string) =>
    inDatabase((run) =>
      run(
        `SELECT count(*)::INTEGER AS people, sum(hash(COLUMNS(* EXCLUDE (signed_up_on, last_order_at)))::HUGEINT)::VARCHAR FROM '${at}/customers.parquet'`,
      ),
    );

  beforeAll(async () => {
    await openShop(one, NOW);
    await openShop(other, NOW + 1_000 * 86_400_000);
  }, 60_000);

  it('is the same whatever the day, but for the dates', async () => {
    const [made] = await customers(one);
    expect(made).toMatchObject({ people: 20_000 });
    expect(await customers(other)).toEqual([made]);
  });

  it('lets the proof fail: somebody barred who is held is found by id and by address', async () => {
    const withdrew = await nextDay(one, NOW + 86_400_000);
    expect(withdrew).toEqual({
      ordered: expect.any(Number),
      changedAddress: expect.any(Number),
      consented: expect.any(Number),
      withdrew: expect.any(Number),
      erased: expect.any(Number),
    });
    const [erased] = await inDatabase((run) =>
      run(`
        SELECT e.customer_id AS id, sha256(lower(trim(i.value))) AS hash
        FROM '${one}/erasures.parquet' AS e JOIN '${one}/identifiers.parquet' AS i USING (customer_id)
        WHERE i.namespace = 'email' AND i.value LIKE '%customer.%' ORDER BY ALL LIMIT 1`),
    );
    const held = {
      nobody: new Set<string>(),
      byId: new Set([String(erased?.id)]),
      byAddress: new Set([`email:${String(erased?.hash)}`]),
    };
    const barred = (before: ReadonlySet<string>, after: ReadonlySet<string>) =>
      barredIn(one, NOW + 86_400_000, { who: '', purpose: 'email_marketing', before, after });
    expect(await barred(held.nobody, held.byId)).toMatchObject({ before: 0, after: 1 });
    expect(await barred(held.byAddress, held.nobody)).toMatchObject({ before: 1, after: 0 });
  }, 60_000);
});
