import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { createHttp } from '../../../connectors/http.ts';
import type { Connector, Http } from '../../../core/connector.ts';
import { deliverShard, type ShardInput, type ShardResult } from '../../../core/delivery/deliver-shard.ts';
import type { LogLine, RemoveLine, UpsertLine } from '../../../core/delta.ts';
import type { BudgetWindow } from '../../../core/model.ts';
import type { Store } from '../../../core/ports.ts';
import { openLocalStore } from '../../../stores/local.ts';
import { bulk, type Call, type Platform, type Reply, startPlatform } from './platform.ts';
import { VirtualClock } from './virtual-clock.ts';

const endings: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end();
});

/** The key of the nth member of a test. */
export const keyOf = (n: number): string => createHash('sha256').update(`member ${n}`).digest('hex').slice(0, 32);
export const addressOf = (n: number): string => `somebody.${n}@example.com`;

export const upsertLine = (n: number): UpsertLine => ({
  k: keyOf(n),
  op: 'add',
  h: '0123456789abcdef',
  ids: [`email:${addressOf(n)}`],
  t: { tier: 'gold' },
  c: ['ads', 'opt-in', 'DE'],
});

const removeLine = (n: number): RemoveLine => ({ k: keyOf(n), ids: [`email:${addressOf(n)}`], why: 'left' });

export interface World {
  readonly platform: Platform;
  readonly store: Store;
  readonly clock: VirtualClock;
  deliver(change?: Partial<ShardInput>): Promise<ShardResult>;
  /** The log as it lies on disk. */
  log(): Promise<readonly LogLine[]>;
  /** Line number -> outcome, with its reason after a colon. Fails when a line was answered twice. */
  outcomes(): Promise<ReadonlyMap<number, string>>;
}

export interface WorldOptions {
  readonly members: number;
  readonly reply?: (call: Call, n: number, path: string) => Reply | 'take' | Promise<Reply | 'take'>;
  readonly op?: 'upsert' | 'remove';
  readonly connector?: Connector;
  readonly concurrency?: number;
  readonly windows?: readonly BudgetWindow[];
}

/** A shard in a real store, a real server, and time that passes at once. */
export async function makeWorld(options: WorldOptions): Promise<World> {
  const { members, op = 'upsert' } = options;
  const root = mkdtempSync(join(tmpdir(), 'sluice-delivery-'));
  endings.push(() => rmSync(root, { recursive: true, force: true }));
  const clock = new VirtualClock();
  const store = await openLocalStore({ root, clock });
  endings.push(() => store.close());
  const platform = await startPlatform(options.reply);
  endings.push(() => platform.close());
  const { endpoint } = platform;
  const real = createHttp({ endpoint, timeoutMs: 5_000, connections: 16 });
  endings.push(() => real.close());
  const http: Http = (request) => clock.during(() => real(request));
  const files: ShardInput['files'] = {
    exists: (key) => store.files.exists(key),
    append: (key, lines) => clock.during(() => store.files.append(key, lines)),
    async *lines(key, from) {
      const lines = store.files.lines(key, from)[Symbol.asyncIterator]();
      for (;;) {
        const next = await clock.during(() => lines.next());
        if (next.done === true) return;
        yield next.value;
      }
    },
  };
  const shard = { key: `delta/${op}.jsonl`, log: `log/${op}.jsonl` };
  await store.files.write(
    shard.key,
    Array.from({ length: members }, (_, n) => JSON.stringify(op === 'upsert' ? upsertLine(n) : removeLine(n))),
  );
  const base: ShardInput = {
    connector: options.connector ?? bulk(),
    context: { settings: {}, secret: {}, endpoint, http, now: () => clock.now() },
    list: { id: 'list' },
    op,
    shard,
    destination: { name: 'bulk-eu', budget: { windows: options.windows ?? [], concurrency: options.concurrency ?? 1 } },
    run: '01JDRUN',
    files,
    budgets: store.budgets,
    clock,
  };
  const log = async (): Promise<readonly LogLine[]> => {
    if (!(await store.files.exists(shard.log))) return [];
    const lines: LogLine[] = [];
    for await (const line of store.files.lines(shard.log)) lines.push(JSON.parse(line) as LogLine);
    return lines;
  };
  return {
    platform,
    store,
    clock,
    deliver: (change = {}) => deliverShard({ ...base, ...change }),
    log,
    async outcomes() {
      const found = new Map<number, string>();
      for (const line of await log()) {
        if (!('n' in line)) continue;
        if (found.has(line.n)) throw new Error(`Line ${line.n} was answered twice.`);
        if (line.k !== keyOf(line.n)) throw new Error(`Line ${line.n} has the key of another member.`);
        found.set(line.n, line.r === undefined ? line.o : `${line.o}: ${line.r}`);
      }
      return found;
    },
  };
}

export const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
export const all = (members: number, outcome: string, except: Readonly<Record<number, string>> = {}): Map<number, string> =>
  new Map(range(0, members).map((n) => [n, except[n] ?? outcome]));
/** Outcomes in the order of lines, to compare with `all`. */
export const inOrder = (outcomes: ReadonlyMap<number, string>): Map<number, string> =>
  new Map([...outcomes].toSorted(([a], [b]) => a - b));
