import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Fault } from '../../sandbox/faults.ts';
import { standIns } from '../../sandbox/index.ts';
import { type Sandbox, startSandbox } from '../../sandbox/server.ts';
import { openLocalStore } from '../../stores/local.ts';
import { systemClock } from '../../stores/system-clock.ts';
import { CommandLine, type Ended, type Started } from './command-line.ts';

const BASE = fileURLToPath(new URL('workspace/', import.meta.url));
/** The only destination that speaks HTTP. It is of the connector that its file names: a webhook, where a scenario says nothing else. */
const DESTINATION = 'loyalty';

/** What can happen to the world between two commands, as a scenario says it. */
const CHANGES: readonly (readonly [RegExp, (world: World, ...parts: string[]) => void | Promise<unknown>])[] = [
  [/^the (next day|day after)$/, (world, day) => world.overlay(day.replace(' ', '-'))],
  [/^loyalty answers 401$/, (world) => world.fault({ kind: 'unauthorised' })],
  [
    /^loyalty answers 429 (\w+)$/,
    (world, times) => world.fault({ kind: 'throttle', ms: 1000, ...(times === 'once' && { times: 1 }) }),
  ],
  [
    /^loyalty answers 500 (\w+)$/,
    (world, times) => world.fault({ kind: 'error', status: 500, ...(times === 'once' && { times: 1 }) }),
  ],
  [/^loyalty answers with an HTML page$/, (world) => world.fault({ kind: 'html' })],
  [/^loyalty sends half of its answers$/, (world) => world.fault({ kind: 'cut' })],
  [/^loyalty says nothing$/, (world) => world.fault({ kind: 'hang' })],
  [/^loyalty refuses every row$/, (world) => world.fault({ kind: 'refuse-rows', rows: 1 })],
  [/^loyalty refuses every (\d+)(?:nd|rd|th) row$/, (world, rows) => world.fault({ kind: 'refuse-rows', rows: Number(rows) })],
  [/^loyalty is well again$/, (world) => world.fault()],
  [/^loyalty is down$/, (world) => world.stopSandbox()],
  [/^loyalty is up again$/, (world) => world.startSandbox()],
  [/^the secret of loyalty is not set$/, (world) => void (world.line.secret = undefined)],
  [/^the secret of loyalty is (.+)$/, (world, text) => void (world.line.secret = text)],
  [/^(\S+) is gone$/, (world, file) => rmSync(join(world.dir, file))],
  [/^minutes pass in seconds$/, (world) => void (world.line.faster = 20)],
  [/^time passes as usual$/, (world) => void (world.line.faster = 1)],
  [/^the disk is full$/, (world) => void (world.line.full = true)],
  [/^there is room again$/, (world) => void (world.line.full = false)],
  [/^the ledger file is cut short$/, (world) => world.cutLedger()],
  [/^one byte of the ledger file is altered$/, (world) => world.alterLedger()],
  [/^one byte of the first receipts is altered$/, (world) => flipByte(world.receiptsFile())],
  [/^the first receipts are gone$/, (world) => rmSync(world.receiptsFile())],
  [/^another sync begins and waits for loyalty$/, (world) => world.beginSync({ kind: 'hang' })],
  [/^another sync begins, and loyalty takes its time$/, (world) => world.beginSync({ kind: 'slow', ms: 2000 })],
  [/^it is killed$/, (world) => world.endSync('SIGKILL')],
  [/^it gets Ctrl-C$/, (world) => world.endSync('SIGINT')],
  [/^it gets Ctrl-C twice$/, (world) => world.endSync('SIGINT', 'SIGINT')],
  [/^the files are committed as (\S+)$/, (world, branch) => world.commit(branch)],
  [/^(\S+) says: (.*)$/, (world, file, text) => writeFileSync(join(world.dir, file), text.replaceAll('\\n', '\n'))],
];

/**
 * A workspace of its own in a temporary folder, the stand-ins of the destinations, and the real command line against both.
 * A scenario is a transcript: lines that begin with `$` are commands, with `>` changes of the world; the rest is what they gave.
 */
export class World implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'sluice-scenario-'));
  readonly #scenario: string;
  #sandbox: Sandbox | undefined;
  #port = 0;
  readonly #platform: string;
  readonly line: CommandLine;
  /** Ids of runs in the order in which they were seen: `<run 1>` is the first. */
  readonly #runs: string[] = [];
  #background: Started | undefined;

  constructor(scenario: string) {
    this.#scenario = scenario;
    const file = ['destinations', `${DESTINATION}.yaml`];
    const own = join(scenario, ...file);
    const text = readFileSync(existsSync(own) ? own : join(BASE, ...file), 'utf8');
    this.#platform = /^connector: (\w+)$/m.exec(text)?.[1] ?? '';
    this.line = new CommandLine(this.dir, JSON.stringify(standIns[this.#platform]?.secret));
  }

  /** Lays the base workspace out, the scenario's own files over it, and starts the stand-ins. */
  async start(): Promise<void> {
    await this.startSandbox();
    this.#copy(BASE);
    this.#copy(this.#scenario, ['expected.txt', 'next-day', 'day-after']);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#background?.child.exitCode === null) await this.endSync('SIGKILL');
    await this.stopSandbox();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Plays the lines that begin with `$` or `>` of a transcript and gives the transcript as it went. */
  async play(transcript: string): Promise<string> {
    const parts: string[] = [];
    for (const line of transcript.split('\n')) {
      if (line.startsWith('# ')) parts.push(line);
      else if (line.startsWith('$ ')) parts.push(`${line}\n${await this.#command(line.slice(2))}`);
      else if (line.startsWith('> ')) {
        const said = await this.#change(line.slice(2));
        parts.push(`${line}\n${typeof said === 'string' ? said : ''}`);
      }
    }
    return `${parts.join('\n').trimEnd()}\n`;
  }

  async #change(sentence: string): Promise<unknown> {
    for (const [pattern, change] of CHANGES) {
      const found = pattern.exec(sentence);
      if (found !== null) return change(this, ...found.slice(1));
    }
    throw new Error(`nothing in this world can "${sentence}"`);
  }

  async #command(line: string): Promise<string> {
    const [name, ...args] = line.replace(/<run (\d+)>/g, (_all, n: string) => this.#runs[Number(n) - 1] ?? '').split(' ');
    if (name !== 'sluice') throw new Error(`only sluice is run here, not ${name}`);
    return this.#told(await this.line.run(args));
  }

  /** What a command wrote, how it ended, and what is acknowledged then. */
  async #told({ end, out, err }: Ended): Promise<string> {
    const said = err.split('\n').filter((text) => text !== '' && !PROGRESS.test(text));
    const text = [out.trimEnd(), ...said.map((one) => `! ${one}`)].filter((one) => one !== '').join('\n');
    return `${this.#masked(text)}${text === '' ? '' : '\n'}= exit ${end}; ${await this.#held()}\n`;
  }

  /** What is acknowledged: generation and members of every ledger, and what the stand-in holds. */
  async #held(): Promise<string> {
    const holds = this.#sandbox === undefined ? 'out of reach' : `holds ${this.#holds()}`;
    if (!existsSync(join(this.dir, '.sluice', 'store.db'))) return `${DESTINATION}: no ledger, ${holds}`;
    const store = await openLocalStore({ root: join(this.dir, '.sluice'), clock: systemClock });
    const history = await store.pointers.history(`big-spenders/${DESTINATION}`);
    await store.close();
    const [pointer] = history;
    return `${DESTINATION}: ${pointer === undefined ? 'no ledger' : `ledger ${pointer.version} of ${pointer.members.files.rows}`}, ${holds}`;
  }

  #holds(): number {
    return [...(this.#sandbox?.platform(this.#platform).held().values() ?? [])].reduce((sum, list) => sum + list.size, 0);
  }

  #masked(text: string): string {
    return text
      .replaceAll(this.dir, '<workspace>')
      .replace(/\b([0-9A-HJKMNP-TV-Z]{26})\b(?:@[\w:-]+)?/g, (_all, run: string) => this.#numbered(run))
      .replace(/\d{4}-\d\d-\d\dT[\d:]+\.\d+Z/g, '<now>')
      .replace(/\bfor \d+ seconds/g, 'for <n> seconds')
      .replace(/\b\d+ bytes\b/g, '<n> bytes')
      .replace(/\([0-9a-f]{12}\)/g, '(<commit>)')
      .replace(/"commit": "[0-9a-f]{40}"/g, '"commit": "<commit>"')
      .replace(/"member": ?"[0-9a-f]{32}"/g, '"member": "<member>"')
      .replace(/\b\d+ were written/g, '<n> were written')
      .replace(/\b(?!2025-|2026-0[1-3]-)20\d\d-\d\d-\d\d \d\d:\d\d:\d\dZ/g, '<when committed    >')
      .replace(/"bytes": \d+/g, '"bytes": <n>')
      .replace(/\b(policy |version |policyVersion": "|policy_version": ")[0-9a-f]{12}\b/g, '$1<policy>')
      .replace(/\b[0-9a-f]{64}\b/g, '<hash>')
      .replace(/\b[0-9a-f]{32}\b/g, '<key>')
      .replace(/\/a[0-9a-z]{10,14}\//g, '/<attempt>/')
      .replaceAll(`127.0.0.1:${this.#port}`, '127.0.0.1:<port>');
  }

  #numbered(run: string): string {
    if (!this.#runs.includes(run)) this.#runs.push(run);
    return `<run ${this.#runs.indexOf(run) + 1}>`;
  }

  #copy(folder: string, without: readonly string[] = []): void {
    for (const name of readdirSync(folder)) {
      if (!without.includes(name)) cpSync(join(folder, name), join(this.dir, name), { recursive: true });
    }
    const file = join(this.dir, 'destinations', `${DESTINATION}.yaml`);
    if (existsSync(file))
      writeFileSync(file, readFileSync(file, 'utf8').replaceAll('${sandbox}', `http://127.0.0.1:${this.#port}`));
  }

  /** In a real repository, made by the first commit; the branch is made, or moved on, and stays checked out. */
  commit(branch: string): void {
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=crm', '-c', 'user.email=crm@example.com', ...args], { cwd: this.dir, stdio: 'pipe' });
    if (!existsSync(join(this.dir, '.git'))) git('init', '-q', '-b', branch);
    git('checkout', '-q', '-B', branch);
    git('add', 'audiences', 'contracts', 'destinations', 'policies');
    git('commit', '-q', '--allow-empty', '-m', branch);
  }

  overlay(name: string): void {
    this.#copy(join(this.#scenario, name));
  }

  fault(...faults: readonly Fault[]): void {
    this.#sandbox?.platform(this.#platform).faults(...faults);
  }

  async startSandbox(): Promise<void> {
    const file = join(this.dir, 'stand-ins');
    this.#sandbox = await startSandbox(Object.values(standIns), { port: this.#port, file });
    this.#port = Number(new URL(this.#sandbox.url).port);
  }

  async stopSandbox(): Promise<void> {
    await this.#sandbox?.close();
    this.#sandbox = undefined;
  }

  cutLedger(): void {
    const file = this.#ledgerFile();
    truncateSync(file, Math.floor(statSync(file).size / 2));
  }

  alterLedger(): void {
    flipByte(this.#ledgerFile());
  }

  /** The receipts of the first run. */
  receiptsFile(): string {
    const root = join(this.dir, '.sluice', 'receipts');
    const [first] = readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.parquet'))
      .toSorted();
    if (first === undefined) throw new Error('there are no receipts');
    return join(root, first);
  }

  /** The newest file of members in the ledger. */
  #ledgerFile(): string {
    const root = join(this.dir, '.sluice', 'ledger');
    const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
      (name) => name.includes('members') && name.endsWith('.parquet'),
    );
    const [newest] = files.toSorted((a, b) => statSync(join(root, b)).mtimeMs - statSync(join(root, a)).mtimeMs);
    if (newest === undefined) throw new Error('there is no ledger file');
    return join(root, newest);
  }

  /** Starts a sync and comes back when it is delivering and its first request has met the fault. */
  async beginSync(fault: Fault): Promise<void> {
    this.fault({ ...fault, times: 1 });
    this.#background = this.line.start(['sync'], { SLUICE_HTTP_TIMEOUT_MS: '60000' });
    const { child, saidSoFar } = this.#background;
    while (!saidSoFar().includes(': deliver ') && child.exitCode === null) await sleep(20);
    await sleep(500);
  }

  /** Sends the signals to the other sync and gives what it said and its exit, as a command's. */
  async endSync(...signals: readonly NodeJS.Signals[]): Promise<string> {
    if (this.#background === undefined) throw new Error('no other sync was begun');
    const { child, ended } = this.#background;
    for (const signal of signals) {
      child.kill(signal);
      await sleep(100);
    }
    return this.#told(await ended);
  }
}

function flipByte(file: string): void {
  const bytes = readFileSync(file);
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = (bytes[middle] ?? 0) ^ 0xff;
  writeFileSync(file, bytes);
}

/** Lines that say what a run is at; when they come depends on the machine. */
const PROGRESS = /^[\w-]+: (?:gate|materialize|diff|guard|plan|begin|deliver|commit|record|[\w-]+ [\d,]+ of [\d,]+)/;
