/**
 * `npm run bench:delivery [-- members]`: what a delivery costs, next to what its parts cost bare, in one run, over loopback.
 *
 * 1. Members a second through `deliverShard` with real connectors, next to the sum of the bare costs on the same machine: reading the
 *    lines and parsing them, hashing (one SHA-256 a member), making the bodies, sending them.
 * 2. Use of a budget with 1 and with 8 workers (processes), against a server that enforces it and counts.
 * 3. Peak memory at 100 thousand members and at fifty times as many.
 * 4. Time lost to one slow answer in ten.
 *
 * The server and every measurement are processes of their own, so that the time and the memory of one are not another's. The fastest
 * of three counts for time; nothing is compared with another machine or another day.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createHttp } from '../../connectors/http.ts';
import { connectors } from '../../connectors/index.ts';
import type { Connector, RemoteList } from '../../core/connector.ts';
import { deliverShard, type ShardResult } from '../../core/delivery/deliver-shard.ts';
import type { UpsertLine } from '../../core/delta.ts';
import { openLocalStore } from '../../stores/local.ts';
import { systemClock } from '../../stores/system-clock.ts';

const ROUNDS = 3;
/** As docs/delivery.md says a worker of 256 MiB is started. */
const WORKER_HEAP = ['--max-old-space-size=128', '--max-semi-space-size=8'];
const GOAL = 200_000;

interface Case {
  readonly connector: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly secret: Readonly<Record<string, string>>;
  readonly list: RemoteList;
  /** Of a member's line. */
  readonly ids: (n: number) => readonly string[];
  /** Rows are hashed before they are sent: the goal is for these. */
  readonly hashed: boolean;
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const CASES: readonly Case[] = [
  {
    connector: 'meta',
    settings: { ad_account_id: '1234567890', audience_prefix: '', api_version: 'v25.0', limited_data_use: false },
    secret: { access_token: 'token' },
    list: { id: '1', columns: 'email' },
    ids: (n) => [`email:${sha256(`somebody.${n}@example.com`)}`],
    hashed: true,
  },
  {
    connector: 'google',
    settings: { operating_account_id: '1234567890', customer_match_terms: 'accepted', consent_covers: ['ad_user_data'] },
    secret: { client_id: 'id', client_secret: 'secret', refresh_token: 'token' },
    list: { id: '1', contact: '1' },
    ids: (n) => [`email:${sha256(`somebody.${n}@example.com`)}`],
    hashed: true,
  },
  {
    connector: 'braze',
    settings: { attribute: 'sluice_{audience}', removed: 'null', create_profiles: true },
    secret: { api_key: 'key' },
    list: { id: 'sluice_bench', group: '' },
    ids: (n) => [`external_id:customer-${n}`, `email:somebody.${n}@example.com`],
    hashed: false,
  },
];

interface Measured {
  readonly ms: number;
  readonly peakMiB: number;
  readonly requests: number;
}

/* The measurements, each in a process of its own. */

const SHARD = { key: 'delta/bench.jsonl', log: '' };

async function make(root: string, name: string, members: number): Promise<void> {
  const store = await openLocalStore({ root, clock: systemClock });
  await store.files.write(SHARD.key, lines(caseOf(name), members));
  await store.close();
}

function* lines({ ids }: Case, members: number): Generator<string> {
  for (let n = 0; n < members; n++) {
    const k = createHash('md5').update(String(n)).digest('hex');
    yield JSON.stringify({ k, op: 'add', h: '0123456789abcdef', ids: ids(n), c: ['ads', 'opt-in', 'DE'] } satisfies UpsertLine);
  }
}

async function deliver(root: string, name: string, endpoint: string, options: Options): Promise<ShardResult & { ms: number }> {
  const { settings, secret, list } = caseOf(name);
  const connector = connectorOf(name);
  const store = await openLocalStore({ root, clock: systemClock });
  const http = createHttp({ endpoint, connections: 8 });
  const started = performance.now();
  const result = await deliverShard({
    connector: options.rows === undefined ? connector : { ...connector, limits: { ...connector.limits, rows: options.rows } },
    context: { settings: connector.settings.parse(settings), secret, endpoint, http, now: () => Date.now() },
    list,
    op: 'upsert',
    shard: { ...SHARD, log: `log/${options.log}.jsonl` },
    destination: {
      name: 'bench',
      budget: {
        windows: options.perSecond === undefined ? [] : [{ requests: options.perSecond, seconds: 1 }],
        concurrency: options.concurrency ?? 4,
      },
    },
    run: 'bench',
    files: store.files,
    budgets: store.budgets,
    clock: systemClock,
    ...(options.ms !== undefined && { deadline: Date.now() + options.ms }),
  });
  const ms = performance.now() - started;
  await http.close();
  await store.close();
  if (result.broken !== undefined) throw new Error(result.broken.message);
  if (options.ms === undefined && !result.done) throw new Error(`Not done: ${JSON.stringify(result)}`);
  return { ...result, ms };
}

interface Options {
  readonly log: string;
  readonly rows?: number;
  readonly perSecond?: number;
  readonly concurrency?: number;
  /** Stops after this long. */
  readonly ms?: number;
}

/** The parts of the work with nothing around them. Milliseconds each. */
async function bare(root: string, name: string, endpoint: string): Promise<Record<string, number>> {
  const store = await openLocalStore({ root, clock: systemClock });
  const connector = connectorOf(name);
  const size = connector.limits.rows;
  const times: Record<string, number> = {};
  const timed = async <T>(what: string, work: () => Promise<T> | T): Promise<T> => {
    const started = performance.now();
    const result = await work();
    times[what] = performance.now() - started;
    return result;
  };
  const parsed: UpsertLine[] = [];
  await timed('read and parse', async () => {
    for await (const line of store.files.lines(SHARD.key)) parsed.push(JSON.parse(line) as UpsertLine);
  });
  let hashes = 0;
  await timed('hash', () => {
    for (const { k } of parsed) hashes += sha256(k).length;
  });
  const bodies = await timed('stringify', () => {
    const made: string[] = [];
    for (let i = 0; i < parsed.length; i += size) {
      made.push(
        JSON.stringify({
          payload: {
            schema: ['EMAIL'],
            data: parsed.slice(i, i + size).map(({ ids }) => ids.map((id) => id.slice(id.indexOf(':') + 1))),
          },
        }),
      );
    }
    return made;
  });
  const http = createHttp({ endpoint, connections: 8 });
  await timed('send', async () => {
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let i = next++; i < bodies.length; i = next++)
        await http({ method: 'POST', url: `${endpoint}/1/users`, body: bodies[i] });
    };
    await Promise.all([lane(), lane(), lane(), lane()]);
  });
  await http.close();
  await store.close();
  if (hashes === 0) throw new Error('Nothing was hashed.');
  return times;
}

/* The report. */

const SELF = fileURLToPath(import.meta.url);

const child = <T>(role: string, ...args: readonly unknown[]): Promise<T> => childOf<T>([SELF], role, ...args);

async function childOf<T>(program: readonly string[], role: string, ...args: readonly unknown[]): Promise<T> {
  return new Promise((resolve, reject) => {
    const one = spawn(process.execPath, [...program, role, ...args.map((arg) => JSON.stringify(arg))], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let out = '';
    one.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    one.on('close', (code) => (code === 0 ? resolve(JSON.parse(out) as T) : reject(new Error(`${role} ended with ${code}.`))));
  });
}

async function withServer<T>(args: readonly string[], work: (endpoint: string) => Promise<T>): Promise<T> {
  const server = spawn(process.execPath, [fileURLToPath(new URL('./delivery-server.ts', import.meta.url)), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const endpoint = await new Promise<string>((resolve) => {
    server.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()));
  });
  try {
    return await work(endpoint);
  } finally {
    server.kill();
  }
}

async function report(members: number): Promise<void> {
  if (!Number.isSafeInteger(members) || members < 1_000) {
    process.stderr.write('How many members? A whole number from 1,000: npm run bench:delivery -- 1000000\n');
    process.exit(2);
  }
  const root = mkdtempSync(join(tmpdir(), 'sluice-delivery-bench-'));
  const folder = (name: string): string => join(root, name);
  try {
    for (const one of CASES) {
      if (connectors[one.connector] === undefined) say(`${one.connector}: there is no such connector here`);
      else await throughput(one, folder(one.connector), members);
    }
    mkdirSync(folder('memory'));
    await memory(folder('memory'));
    for (const workers of [1, 8]) await budget(folder('braze'), workers);
    await slowAnswers(folder('braze'));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

async function throughput({ connector: name, hashed }: Case, root: string, members: number): Promise<void> {
  await child('make', root, name, members);
  await withServer([], async (endpoint) => {
    let best: Measured | undefined;
    let parts: Record<string, number> | undefined;
    for (let round = 0; round < ROUNDS; round++) {
      const measured = await child<Measured>('deliver', root, name, endpoint, { log: `${name}-${round}` } satisfies Options);
      if (best === undefined || measured.ms < best.ms) best = measured;
      const now = await child<Record<string, number>>('bare', root, name, endpoint);
      if (parts === undefined || sum(now) < sum(parts)) parts = now;
    }
    if (best === undefined || parts === undefined) return;
    const perSecond = (members / best.ms) * 1_000;
    const list = Object.entries(parts).map(([part, ms]) => `${part} ${ms.toFixed(0)} ms`);
    say(
      `${name}: ${n(perSecond)} members a second${hashed ? ` (goal ${n(GOAL)})` : ''}, ${n(members)} in ${best.requests} requests and ${best.ms.toFixed(0)} ms; ` +
        `${(best.ms / sum(parts)).toFixed(2)}x the bare sum of ${sum(parts).toFixed(0)} ms (${list.join(', ')}); ${best.peakMiB} MiB`,
    );
  });
}

/**
 * As it is deployed: one bundled file. Node lets its heap grow while the machine has memory, so the peak is measured with the heap that
 * it takes by itself, and with one that suits a worker of 256 MiB.
 */
async function memory(root: string): Promise<void> {
  // Not at the top: the bundle it makes is this file.
  const { build } = await import('esbuild');
  const bundle = join(root, 'delivery.mjs');
  const banner = { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" };
  await build({
    entryPoints: [SELF],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: bundle,
    banner,
    external: ['esbuild'],
    logLevel: 'error',
  });
  await withServer([], async (endpoint) => {
    const peaks: string[] = [];
    for (const members of [100_000, 5_000_000]) {
      const at = join(root, String(members));
      await child('make', at, 'meta', members);
      for (const flags of [[], WORKER_HEAP]) {
        const log = `memory-${flags.length}`;
        const { peakMiB, ms } = await childOf<Measured>([...flags, bundle], 'deliver', at, 'meta', endpoint, {
          log,
        } satisfies Options);
        const speed = `${n((members / ms) * 1_000)} members a second`;
        peaks.push(`${n(members)} members ${peakMiB} MiB${flags.length > 0 ? ' with a heap of 128 MiB' : ''} (${speed})`);
      }
      rmSync(at, { recursive: true, force: true });
    }
    say(`memory, peak of the process: ${peaks.join(', ')} (goal: flat, under 256 MiB)`);
  });
}

/** Every worker is a process with a log of its own over the same shard: what counts here is requests. */
async function budget(root: string, workers: number): Promise<void> {
  const [perSecond, seconds] = [100, 10];
  await withServer(['--limit', String(perSecond), '--ms', '5'], async (endpoint) => {
    const options = (worker: number): Options => ({
      log: `budget-${workers}-${worker}`,
      rows: 10,
      perSecond,
      ms: seconds * 1_000,
    });
    await Promise.all(Array.from({ length: workers }, (_, worker) => child('deliver', root, 'braze', endpoint, options(worker))));
    const { taken, throttled } = (await (await fetch(`${endpoint}/stats`)).json()) as { taken: number[]; throttled: number };
    // The last seconds, in which all workers run: not the start of the first, nor the burst that an idle window allows.
    const end = Math.max(...taken) - 500;
    const steady = taken.filter((at) => at > end - 6_000 && at <= end).length;
    const densest = Math.max(
      ...taken.map((from, i) => taken.slice(i, i + perSecond * 2).filter((at) => at < from + 1_000).length),
    );
    say(
      `budget of ${perSecond} a second, ${workers} worker${workers > 1 ? 's' : ''}: ${((steady / (6 * perSecond)) * 100).toFixed(1)} % used (goal 95 %), ` +
        `at most ${densest} in any second, ${throttled} answers of 429`,
    );
  });
}

async function slowAnswers(root: string): Promise<void> {
  const [every, slow, ms, concurrency] = [10, 500, 50, 8];
  const options = (log: string): Options => ({ log, rows: 250, concurrency });
  const measure = (args: readonly string[], log: string): Promise<Measured> =>
    withServer(args, (endpoint) => child<Measured>('deliver', root, 'braze', endpoint, options(log)));
  const plain = await measure(['--ms', String(ms)], 'plain');
  const mixed = await measure(['--ms', String(ms), '--slow-every', String(every), '--slow-ms', String(slow)], 'slow');
  // A slow answer occupies its own place and no other: that is the least that can be lost.
  const own = (Math.floor(mixed.requests / every) * (slow - ms)) / concurrency;
  say(
    `one answer in ${every} takes ${slow} ms: ${mixed.ms.toFixed(0)} ms instead of ${plain.ms.toFixed(0)} ms for ${mixed.requests} requests at ${concurrency} at once; ` +
      `the slow answers' own places account for ${own.toFixed(0)} ms, so ${(mixed.ms - plain.ms - own).toFixed(0)} ms were lost to others (at most one slow answer at the end, ${slow} ms)`,
  );
}

const sum = (parts: Readonly<Record<string, number>>): number => Object.values(parts).reduce((total, one) => total + one, 0);
const n = (count: number): string => Math.round(count).toLocaleString('en-US');
const say = (text: string): void => void process.stdout.write(`${text}\n`);

function caseOf(name: string): Case {
  const found = CASES.find((one) => one.connector === name);
  if (found === undefined) throw new Error(`There is no case ${name}.`);
  return found;
}

function connectorOf(name: string): Connector {
  const found = connectors[name];
  if (found === undefined) throw new Error(`There is no connector ${name}.`);
  // The server's jobs are done at once; the waiting that suits a real platform would be all that is measured.
  const now = async (answer: ReturnType<Connector['send']>): ReturnType<Connector['send']> => {
    const one = await answer;
    return 'kind' in one ? { ...one, afterMs: 0 } : one;
  };
  const { poll } = found;
  return {
    ...found,
    send: (...args) => now(found.send(...args)),
    ...(poll !== undefined && { poll: (...args: Parameters<typeof poll>) => now(poll.call(found, ...args)) }),
  };
}

const [role = 'all', ...rest] = process.argv.slice(2);
const args = role === 'make' || role === 'deliver' || role === 'bare' ? rest.map((arg) => JSON.parse(arg) as never) : [];
const peakMiB = (): number => Math.round(process.resourceUsage().maxRSS / 1024);
if (role === 'make') {
  await make(...(args as unknown as Parameters<typeof make>));
  process.stdout.write('null');
} else if (role === 'deliver') {
  const { ms, requests } = await deliver(...(args as unknown as Parameters<typeof deliver>));
  process.stdout.write(JSON.stringify({ ms, requests, peakMiB: peakMiB() } satisfies Measured));
} else if (role === 'bare') {
  process.stdout.write(JSON.stringify(await bare(...(args as unknown as Parameters<typeof bare>))));
} else await report(Number(role === 'all' ? 1_000_000 : role));
