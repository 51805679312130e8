import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { main } from '../../../cli/main.ts';
import type { Terminal } from '../../../cli/terminal.ts';
import { sha256Hex } from '../../../core/identifiers.ts';
import type { Fault } from '../../../sandbox/faults.ts';
import { type Day, fastClock, makeWorld, type World } from './world.ts';

const TICK = '2026-06-01T06:00:00Z';
const BUDGET = 'budget: { requests: 100000, per: second, concurrency: 4 }\n';

/** Values nobody else has, so that a find is a leak: addresses, a phone and a name, as the tables have them. */
const MAILS = ['Canary.Alpha@leak-watch.example', 'canary.beta@leak-watch.example', 'canary.gamma@leak-watch.example'];
const PHONE = '+4915199887766';
const NAMES = ['Kanarievogelaer', 'Canarysdottir'];
const RAW = [...MAILS, PHONE, ...NAMES];
const base64 = (value: string): string => Buffer.from(value).toString('base64').replace(/=+$/, '');
/** Every dress in which a value may slip out. */
const MARKS = [
  ...new Set(
    RAW.flatMap((value) => [value, value.toLowerCase()]).flatMap((value) => [
      value,
      encodeURIComponent(value),
      base64(value),
      base64(value).replaceAll('+', '-').replaceAll('/', '_'),
      Buffer.from(value).toString('hex'),
    ]),
  ),
];
/** A plain hash of an address can be undone by whoever has a list of addresses: only what was sent is kept so, in ledgers (law 4). */
const HASHES = [...new Set([...RAW, PHONE.slice(1)].flatMap((value) => [value, value.toLowerCase()]).map(sha256Hex))];

const granted = (id: string, purpose: string) => ({ id, purpose, status: 'granted', from: '2026-05-01T00:00:00' });
const IDS = ['a', 'b', 'c'];
const DAY: Day = {
  customers: IDS.map((id) => ({ id, tier: 'gold', country: 'DE' })),
  consents: IDS.flatMap((id) => [granted(id, 'mail'), granted(id, 'ads')]),
  identifiers: [
    ...IDS.map((id, i) => ({ id, namespace: 'email', value: MAILS[i] ?? '' })),
    { id: 'b', namespace: 'phone', value: PHONE },
    { id: 'a', namespace: 'last_name', value: NAMES[0] ?? '' },
    { id: 'b', namespace: 'last_name', value: NAMES[1] ?? '' },
  ],
};
const audience = (more: string): string => `description: everybody with a gold card
owner: crm@example.com
where: { tier: gold }
schedule: manual
${more}
syncs:
  - { to: hook, mode: mirror, identifiers: [external_id, email, phone] }
  - { to: meta, mode: mirror, identifiers: [email, phone, last_name] }
`;
const CALM = 'guardrails: { max_added: { percent: 100, floor: 1000 }, max_removed: { percent: 100, floor: 1000 }, min_size: 0 }';

/** Files that hold what must be sent or who is to be forgotten, for days (law 9 says so): snapshots, deltas, open requests. */
const HOLDS_WHAT_IS_SENT = /^(runs\/[^/]+\/(snapshot|hook|meta|recheck)\/|forget\/)/;
/** Outcome logs lie beside their shards and are looked at all the same. */
const isLog = (path: string): boolean => path.endsWith('.log');

let world: World;
afterEach(async () => {
  vi.unstubAllEnvs();
  await world.close();
});

const filesBelow = (dir: string): string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true }).flatMap((one) =>
    one.isFile() ? [join(one.parentPath, one.name)] : [],
  );

/** Everything that was said, command by command, with what each was asked. */
const said: { readonly path: string; readonly text: string; readonly exit: number }[] = [];

/** One command line in this process, as the launcher would run it. */
async function sluice(...args: string[]): Promise<{ out: string; err: string; exit: number }> {
  const [out, err]: [string[], string[]] = [[], []];
  const terminal: Terminal = {
    print: (text) => out.push(text),
    say: (text) => err.push(text),
    style: (_style, text) => text,
    live: { draw: (lines) => void err.push(...lines), done: () => undefined },
    errIsTty: true,
  };
  const exit = await main([...args, '--dir', world.dir], { terminal, clock: fastClock(50) });
  const [printed, told] = [out.join('\n'), err.join('\n')];
  said.push({ path: `sluice ${args.join(' ')}`, text: `${printed}\n${told}`, exit });
  return { out: printed, err: told, exit };
}
const bothWays = async (...args: string[]): Promise<void> => {
  await sluice(...args);
  await sluice(...args, '--json');
};
const planOf = ({ out }: { out: string }): string => (JSON.parse(out) as { plan?: string; run?: string }[])[0]?.plan ?? '';
const faults = (...some: readonly Fault[]): void => {
  for (const name of ['braze', 'meta']) world.sandbox.platform(name).faults(...some);
};
/** Another payload every time, so that there is something to send. */
let turn = 0;
const changed = (day: Day = DAY): void => {
  turn += 1;
  world.write({
    ...day,
    identifiers: (day.identifiers ?? []).filter(({ namespace }) => namespace !== 'last_name' || turn % 2 === 0),
    customers: day.customers.map((one) => ({ ...one, country: turn % 2 === 0 ? 'DE' : 'AT' })),
  });
};
const request = (name: string, content: unknown): string => {
  const file = join(world.dir, `${name}.json`);
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
};
const openDsr = (id: string, mail: string, more: object = {}): object => ({
  subject_request_id: id,
  subject_request_type: 'erasure',
  submitted_time: '2026-06-01T06:00:00Z',
  api_version: '1.0',
  subject_identities: [
    { identity_type: 'email', identity_value: mail, identity_format: 'raw' },
    { identity_type: 'phone', identity_value: PHONE, identity_format: 'raw' },
  ],
  extensions: { sluice: { all_holders: true } },
  ...more,
});

/** What lies under `.sluice`, Parquet as its rows; `exempt`: what may hold people there. */
async function kept(): Promise<readonly { readonly path: string; readonly text: string }[]> {
  const state = join(world.dir, '.sluice');
  const files = filesBelow(state)
    .map((path) => ({ path: relative(state, path), text: readFileSync(path).toString('latin1') }))
    .filter(({ path }) => isLog(path) || !HOLDS_WHAT_IS_SENT.test(path));
  for (const { path } of files.filter((one) => one.path.endsWith('.parquet'))) {
    const relation = { files: { format: 'parquet' as const, locations: [join(state, path)], rows: 0, bytes: 0 }, columns: {} };
    const rows = await world.open(({ ports }) =>
      ports.warehouse.rows({ sql: 'SELECT * FROM one', relations: { one: relation } }),
    );
    files.push({
      path: `${path} (rows)`,
      text: JSON.stringify(rows, (_key, value: unknown) => (typeof value === 'bigint' ? Number(value) : value)),
    });
  }
  return files;
}

const leaksIn = (all: readonly { readonly path: string; readonly text: string }[]): string[] =>
  all.flatMap(({ path, text }) =>
    [...MARKS, ...(path.startsWith('ledger/') ? [] : HASHES)]
      .filter((mark) => text.includes(mark))
      .map((mark) => `${path}: ${mark} in ${text.slice(Math.max(0, text.indexOf(mark) - 80), text.indexOf(mark) + 80)}`),
  );

describe('law 9: no personal data in anything that is kept, said or reported', () => {
  it('through every command and every failure: good days, bad platforms, held plans, erasures, broken tables and files', {
    timeout: 300_000,
  }, async () => {
    world = await makeWorld({
      syncs: '',
      audience: audience(CALM),
      destinations: {
        hook: `connector: braze\npurpose: mail\nsettings: { instance: EU-01 }\nsecret: hook\n${BUDGET}`,
        meta: `connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n${BUDGET}`,
      },
    });
    for (const [name, platform] of [
      ['hook', 'braze'],
      ['meta', 'meta'],
    ] as const) {
      const { endpoint, secret } = world.sandbox.platform(platform);
      const file = readFileSync(join(world.dir, 'destinations', `${name}.yaml`), 'utf8');
      world.file(`destinations/${name}.yaml`, `${file}endpoint: ${endpoint}\n`);
      vi.stubEnv(`SLUICE_SECRET_${name.toUpperCase()}`, JSON.stringify(secret));
    }
    world.file(
      'audiences/odd.yaml',
      `description: by hand\nowner: crm@example.com\nsql: SELECT id AS customer_id FROM customers\n`,
    );
    const git = (...args: string[]): void =>
      void execFileSync('git', ['-C', world.dir, '-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args]);
    world.file('.gitignore', '.sluice/\nrows/\n');
    git('init', '-q');
    git('add', '.');
    git('commit', '-q', '-m', 'one');
    const lookedAt = async (): Promise<void> => {
      await bothWays('status');
      await bothWays('history');
      await bothWays('explain', 'b', '--tick', TICK);
      await bothWays('audit', 'a');
      await bothWays('audit', '--verify');
    };

    // Good days and bad platforms.
    const days: readonly (readonly Fault[])[] = [
      [],
      [{ kind: 'refuse-rows', rows: 1 }],
      [{ kind: 'cut', times: 3 }],
      [{ kind: 'html', times: 2 }],
      [{ kind: 'unauthorised' }],
      [{ kind: 'forbidden' }],
      [{ kind: 'terms' }],
      [{ kind: 'false-success' }],
      [{ kind: 'throttle', times: 2, ms: 100 }],
      [{ kind: 'list-deleted' }],
      [{ kind: 'error', status: 500 }],
      [{ kind: 'error', status: 400 }],
      [],
    ];
    await bothWays('check');
    let run = '';
    for (const some of days) {
      changed();
      faults(...some);
      const { out } = await sluice('sync', 'gold', '--tick', TICK, '--json');
      faults();
      run = planOf({ out }) || run;
    }
    await bothWays('audit', '--run', run);
    await sluice('retry', 'gold');
    await sluice('sync', 'gold', '--tick', TICK);
    await lookedAt();
    expect(world.held('meta').size).toBeGreaterThan(3);

    // Plans that wait: reviewed, rejected, held, approved; another revision; an earlier generation.
    changed();
    await sluice('reject', planOf(await sluice('plan', 'gold', '--tick', TICK, '--json')));
    changed();
    const reviewed = planOf(await sluice('plan', 'gold', '--tick', TICK, '--json'));
    await sluice('sync', '--plan', reviewed);
    await sluice('sync', '--plan', reviewed);
    world.file('audiences/gold.yaml', audience('guardrails: { min_size: 1000 }'));
    changed();
    const held = await sluice('sync', 'gold', '--tick', TICK, '--json');
    expect(held.exit).toBe(3);
    await sluice('approve', planOf(held));
    await sluice('approve', 'nothing');
    world.file('audiences/gold.yaml', audience(`exclude: [odd]\n${CALM}`));
    await bothWays('plan', '--compare', 'HEAD', '--tick', TICK, '--list', 'moves.jsonl');
    const moves = readFileSync(join(world.dir, 'moves.jsonl'), 'utf8');
    world.file('audiences/gold.yaml', audience(CALM));
    const generation = await world.open(
      async ({ ports }) => (await ports.store.pointers.history('gold/meta')).at(-1)?.generation,
    );
    await sluice('rollback', 'gold', 'meta', generation ?? '');
    await sluice('sync', 'gold', '--tick', TICK);

    // Withdrawals and erasures, with a platform that is down on the way, and requests that are wrong.
    await sluice('withdraw', 'c', '--purpose', 'mail');
    await sluice('sync', 'gold');
    await sluice('withdraw', 'c', '--lift');
    await bothWays('forget', request('later', openDsr('r0', MAILS[0] ?? '')), '--later');
    await bothWays('forget', '--status', 'r0');
    const pending = filesBelow(join(world.dir, '.sluice')).filter((path) => /[\\/]forget[\\/]/.test(path));
    expect(pending).toHaveLength(1);
    await sluice('forget', '--cancel', 'r0');
    for (const [name, content] of Object.entries({
      json: `{"subject_request_id": "${MAILS[0] ?? ''}`,
      format: openDsr('r1', MAILS[0] ?? '', {
        subject_identities: [{ identity_type: PHONE, identity_value: MAILS[1], identity_format: NAMES[0] }],
      }),
      time: openDsr('r1', MAILS[0] ?? '', { submitted_time: MAILS[0], subject_request_type: NAMES[0], [MAILS[1] ?? '']: PHONE }),
      shared: openDsr('r2', MAILS[0] ?? '', { extensions: {} }),
    }))
      await bothWays('forget', request(name, content));
    faults({ kind: 'unauthorised' });
    await bothWays('forget', request('first', openDsr('r3', MAILS[0] ?? '')));
    faults({ kind: 'error', status: 500 });
    await sluice('forget', '--continue');
    faults();
    await bothWays('forget', '--status', 'all');
    await sluice('sync', 'gold', '--tick', TICK);
    await sluice('forget', '--continue');
    await bothWays('forget', '--status', 'r3');
    const { out: receipt } = await sluice('forget', '--receipt', 'r3');
    const sound = await sluice('forget', '--verify', request('receipt', receipt));
    const altered = await sluice('forget', '--verify', request('altered', receipt.replace('completed', 'cancelled')));
    expect([sound.exit, altered.exit]).toEqual([0, 1]);
    await sluice('forget', '--cancel', 'r2');
    // Back under a new id, with the same address.
    changed({
      ...DAY,
      customers: [...DAY.customers, { id: 'd', tier: 'gold', country: 'DE' }],
      identifiers: [...(DAY.identifiers ?? []), { id: 'd', namespace: 'email', value: MAILS[0] ?? '' }],
    });
    await sluice('sync', 'gold', '--tick', TICK);
    await lookedAt();
    await bothWays('explain', 'd');
    expect(world.held('meta').has(`email:${sha256Hex((MAILS[0] ?? '').toLowerCase())}`)).toBe(false);

    // Tables that are broken where a person stands.
    const line = (row: object): string => `${JSON.stringify(row)}\n`;
    const tables: Readonly<Record<string, readonly string[]>> = {
      consents: [
        `{"id": "a", "purpose": "ads", "status": "${MAILS[0] ?? ''}`,
        line({ id: 'a', purpose: NAMES[0], status: PHONE, from: MAILS[0], to: null }),
        line({ id: MAILS[0], purpose: MAILS[1], status: NAMES[0], from: '2026-05-01T00:00:00', to: null }),
      ],
      customers: [
        line({ id: 'a', country: NAMES[0], tier: MAILS[0], spent: PHONE, joined: MAILS[1] }),
        [MAILS[0], MAILS[0]].map((id) => line({ id, country: NAMES[0], tier: 'gold', spent: 1, joined: null })).join(''),
        line({ [MAILS[0] ?? '']: 1, [NAMES[0] ?? '']: PHONE }),
      ],
      identifiers: [`[{"id": "${MAILS[0] ?? ''}"`, line({ id: 'a', namespace: MAILS[1], value: PHONE, verified: NAMES[0] })],
      erasures: [line({ id: MAILS[0], at: MAILS[1] }), `${MAILS[0] ?? ''},${PHONE}\n`],
    };
    for (const [table, contents] of Object.entries(tables)) {
      for (const content of contents) {
        changed();
        world.file(`rows/${table}.json`, content);
        await sluice('sync', 'gold', '--tick', TICK);
        await sluice('explain', 'b', '--tick', TICK);
      }
    }
    changed();
    const values = join(world.dir, 'rows', 'identifiers.json');
    world.file(
      'audiences/odd.yaml',
      `description: by hand\nowner: crm@example.com\nsql: SELECT id AS customer_id FROM identifiers WHERE CAST(value AS integer) = 1\nsyncs: [{ to: hook, mode: upsert }]\n`,
    );
    await sluice('check');
    await sluice('plan', 'odd', '--tick', TICK);
    await sluice('sync', 'odd', '--tick', TICK);
    rmSync(values);
    await sluice('sync', 'gold', '--tick', TICK);
    changed();
    // Gone for good: a destination that nobody feeds any more.
    world.file(
      'audiences/odd.yaml',
      'description: by hand\nowner: crm@example.com\nsql: SELECT id AS customer_id FROM customers\n',
    );
    world.file('audiences/gold.yaml', audience(CALM).replace(/ {2}- \{ to: hook.*\n/, ''));
    await bothWays('status');
    faults({ kind: 'error', status: 500 });
    await sluice('retire', 'gold', 'hook');
    faults();
    await sluice('retire', 'gold', 'hook');
    await sluice('retire', 'gold', 'nowhere');
    for (const command of ['frobnicate', 'forget', 'explain']) await sluice(command);

    const files = await kept();
    // Receipts, ledgers, the database, journals and outcome logs are all there to be looked at; nothing of a request is.
    expect(
      ['receipts/dt=', 'receipts/chain/', 'ledger/gold', '(rows)', 'store.db', 'journal.jsonl'].filter(
        (part) => !files.some(({ path }) => path.includes(part)),
      ),
    ).toEqual([]);
    expect(said.filter(({ exit }) => exit !== 0).length).toBeGreaterThan(15);
    expect(said.map(({ text }) => text).filter((text) => text.includes('in a way nobody foresaw'))).toEqual([]);
    expect(leaksIn([...said, ...files, { path: 'moves.jsonl', text: moves }])).toEqual([]);
  });
});
