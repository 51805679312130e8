import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { customerAuditText } from '../../../cli/render/audit.ts';
import { explanationText } from '../../../cli/render/explain.ts';
import { explain } from '../../../core/explain/explain.ts';
import { auditCustomer } from '../../../core/receipts/audit.ts';
import { verifyReceipts } from '../../../core/receipts/verify.ts';
import { history, plan, status, sync } from '../../../core/run/operations.ts';
import { type Day, makeWorld, type World } from './world.ts';

const T = Date.parse('2026-06-01T06:00:00Z');
const HOOK = 'connector: webhook\npurpose: mail\nsecret: hook\n';
const META = 'connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n';

/** Values nobody else has, so that a find is a leak. */
const MAILS = ['Canary.Alpha@leak-watch.example', 'canary.beta@leak-watch.example'];
const PHONE = '+4915199887766';
const variants = (value: string): string[] => [
  value,
  value.toLowerCase(),
  encodeURIComponent(value),
  Buffer.from(value).toString('base64').replace(/=+$/, ''),
];
const MARKS = [...MAILS, PHONE].flatMap(variants);

const DAY: Day = {
  customers: ['a', 'b'].map((id) => ({ id, tier: 'gold', country: 'DE' })),
  consents: ['a', 'b'].flatMap((id) =>
    ['mail', 'ads'].map((purpose) => ({ id, purpose, status: 'granted', from: '2026-01-01T00:00:00' })),
  ),
  identifiers: [
    { id: 'a', namespace: 'email', value: MAILS[0] ?? '' },
    { id: 'b', namespace: 'email', value: MAILS[1] ?? '' },
    { id: 'b', namespace: 'phone', value: PHONE },
  ],
};

/** Files that hold what must be sent, for days (law 9 says so): the snapshot and the delta of a run. */
const HOLDS_WHAT_IS_SENT = /^runs\/[^/]+\/(snapshot|hook|meta|recheck)\//;
/** Outcome logs lie beside their shards and are looked at all the same. */
const isLog = (path: string): boolean => path.endsWith('.log');

const PLAIN = (_style: unknown, text: string): string => text;

let world: World;
afterEach(() => world.close());

const filesBelow = (dir: string): string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true }).flatMap((one) =>
    one.isFile() ? [join(one.parentPath, one.name)] : [],
  );

describe('law 9: no personal data in anything that is kept, said or reported', () => {
  it('through success, rejected rows, refused credentials, cut answers and a plan', async () => {
    world = await makeWorld({
      syncs:
        '  - { to: hook, mode: mirror, identifiers: [email, phone] }\n  - { to: meta, mode: mirror, identifiers: [email, phone] }',
      destinations: { hook: HOOK, meta: META },
      speed: 50,
    });
    world.write(DAY);
    const said: unknown[] = [];
    const days = [
      [],
      [{ kind: 'refuse-rows', rows: 1 }],
      [{ kind: 'cut', times: 3 }],
      [{ kind: 'html', times: 2 }],
      [{ kind: 'unauthorised' }],
      [{ kind: 'error', status: 500 }],
    ] as const;
    for (const [i, faults] of days.entries()) {
      for (const name of ['webhook', 'meta']) world.sandbox.platform(name).faults(...faults);
      // Another payload every day, so that there is something to send.
      world.write({ ...DAY, customers: DAY.customers.map((one) => ({ ...one, country: i % 2 === 0 ? 'DE' : 'AT' })) });
      said.push(await world.open((ops) => plan(ops, 'gold', { tick: T + i })));
      said.push(
        await world
          .open((ops) => sync(ops, 'gold', { tick: T + i }))
          .catch((error: unknown) => String(error) + String((error as Error).stack)),
      );
    }
    said.push(await world.open((ops) => status(ops)), await world.open((ops) => history(ops)));
    for (const { id } of DAY.customers) {
      const [explained, audited, verdict] = await world.open(async ({ ports }) => [
        await explain(ports, id, { tick: T + days.length }),
        await auditCustomer(ports, id, T + days.length),
        await verifyReceipts(ports, { now: ports.clock.now() }),
      ]);
      expect(audited.receipts.length).toBeGreaterThan(2);
      said.push(explained, explanationText(explained, PLAIN), audited, customerAuditText(audited), verdict);
    }
    for (const name of ['webhook', 'meta']) said.push(world.sandbox.platform(name).requests());

    const kept = filesBelow(join(world.dir, '.sluice'))
      .map((path) => ({ path: relative(join(world.dir, '.sluice'), path), text: readFileSync(path).toString('latin1') }))
      .filter(({ path }) => isLog(path) || !HOLDS_WHAT_IS_SENT.test(path));
    // Parquet is compressed: its rows are read, not its bytes.
    for (const { path } of kept.filter((one) => one.path.endsWith('.parquet'))) {
      const files = { format: 'parquet' as const, locations: [join(world.dir, '.sluice', path)], rows: 0, bytes: 0 };
      const rows = await world.open(({ ports }) =>
        ports.warehouse.rows({ sql: 'SELECT * FROM one', relations: { one: { files, columns: {} } } }),
      );
      kept.push({
        path: `${path} (rows)`,
        text: JSON.stringify(rows, (_key, value: unknown) => (typeof value === 'bigint' ? Number(value) : value)),
      });
    }
    // Receipts, ledgers, the database, journals and outcome logs are all there to be looked at.
    expect(
      ['receipts/dt=', 'receipts/chain/', '(rows)', 'store.db', 'journal.jsonl', '.log'].filter(
        (part) => !kept.some(({ path }) => path.includes(part)),
      ),
    ).toEqual([]);
    const leaks = [
      ...kept,
      {
        path: 'what was said',
        text: JSON.stringify(said, (_key, value: unknown) => (typeof value === 'bigint' ? Number(value) : value)),
      },
    ].flatMap(({ path, text }) => MARKS.filter((mark) => text.includes(mark)).map((mark) => `${path}: ${mark}`));
    expect(leaks).toEqual([]);
  });
});
