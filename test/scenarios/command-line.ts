import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { main } from '../../cli/main.ts';
import type { Terminal } from '../../cli/terminal.ts';
import { fastClock } from './fast-clock.ts';

const SLUICE = fileURLToPath(new URL('fast-sluice.ts', import.meta.url));
/** "Now" of every plan and sync that does not say its own. */
const TICK = '2026-03-01T06:00:00Z';
/** A destination that says nothing is given up after this long, milliseconds. */
const HTTP_TIMEOUT = '300';

export interface Ended {
  readonly end: number | NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  readonly saidSoFar: () => string;
}

/** `sluice` in one workspace: in this process where that is the same, as a process of its own where it is killed, interrupted or limited. */
export class CommandLine {
  readonly #dir: string;
  /** How fast time runs for commands, and how far it is ahead of the machine's (milliseconds): it never goes back. */
  faster = 1;
  #ahead = 0;
  /** No file may grow past a few blocks. Every machine can do this, where only root may mount a small disk. */
  full = false;
  secret: string | undefined;

  constructor(dir: string, secret: string) {
    this.#dir = dir;
    this.secret = secret;
  }

  async run(args: readonly string[]): Promise<Ended> {
    const begun = Date.now();
    const ended = this.full ? await this.start(args).ended : await this.#inProcess(withTick(args));
    this.#ahead += (Date.now() - begun) * (this.faster - 1);
    return ended;
  }

  async #inProcess(args: readonly string[]): Promise<Ended> {
    const [out, err]: [string[], string[]] = [[], []];
    const terminal: Terminal = {
      print: (text) => out.push(`${text}\n`),
      say: (text) => err.push(`${text}\n`),
      style: (_style, text) => text,
      live: { draw: () => undefined, done: () => undefined },
      errIsTty: false,
    };
    const [cwd, before] = [process.cwd(), { ...process.env }];
    process.chdir(this.#dir);
    delete process.env.SLUICE_SECRET_LOYALTY;
    Object.assign(process.env, this.#variables());
    try {
      const end = await main(args, { terminal, clock: fastClock(this.#ahead, this.faster) });
      return { end, out: out.join(''), err: err.join('') };
    } finally {
      process.chdir(cwd);
      // The environment itself, not a copy: other tests of this process have it after us.
      for (const name of Object.keys(process.env)) if (!Object.hasOwn(before, name)) delete process.env[name];
      Object.assign(process.env, before);
    }
  }

  start(args: readonly string[], variables: Readonly<Record<string, string>> = {}): Started {
    const env = {
      PATH: process.env.PATH,
      NO_COLOR: '1',
      SLUICE_TEST_AHEAD: String(this.#ahead),
      SLUICE_TEST_FASTER: String(this.faster),
      ...this.#variables(),
      ...variables,
    };
    const line = [process.execPath, SLUICE, ...withTick(args)];
    const [file = '', ...rest] = this.full ? ['sh', '-c', 'trap "" XFSZ; ulimit -f 8; exec "$0" "$@"', ...line] : line;
    const child = spawn(file, rest, { cwd: this.#dir, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const [out, err]: [string[], string[]] = [[], []];
    child.stdout.setEncoding('utf8').on('data', (text: string) => out.push(text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => err.push(text));
    const ended = once(child, 'close').then((how: unknown[]): Ended => {
      const [code, signal] = how as [number | null, NodeJS.Signals | null];
      return { end: code ?? signal, out: out.join(''), err: err.join('') };
    });
    return { child, ended, saidSoFar: () => err.join('') };
  }

  #variables(): Record<string, string> {
    return { SLUICE_HTTP_TIMEOUT_MS: HTTP_TIMEOUT, ...(this.secret !== undefined && { SLUICE_SECRET_LOYALTY: this.secret }) };
  }
}

function withTick(args: readonly string[]): readonly string[] {
  const fixed = ['--plan', '--tick', '--help'].some((option) => args.includes(option));
  return ['plan', 'sync', 'explain'].includes(args[0] ?? '') && !fixed ? [...args, '--tick', TICK] : args;
}
