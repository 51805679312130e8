import { resolve } from 'node:path';
import { didYouMean, parseCommandLine } from './arguments.ts';
import { type Command, EXIT, type Exit, UsageError } from './command.ts';
import type { Clock } from '../core/ports.ts';
import { pointed } from '../functions/where.ts';
import { systemClock } from '../stores/system-clock.ts';
import { COMMANDS } from './commands/index.ts';
import { overview, usage } from './help.ts';
import { failureOf } from './session.ts';
import { type Terminal, processTerminal } from './terminal.ts';
import { version } from './version.ts';

/** What a command line runs on. */
export interface Machine {
  readonly terminal: Terminal;
  readonly clock: Clock;
}

/**
 * Runs one command line (without `node` and the script) and answers with its exit code.
 * Data goes to stdout, everything else to stderr.
 */
export async function main(args: readonly string[], machine: Partial<Machine> = {}): Promise<Exit> {
  const { terminal = processTerminal(), clock = systemClock } = machine;
  return guarded(terminal, () => dispatch(args, { terminal, clock }));
}

async function guarded(terminal: Terminal, work: () => Promise<Exit>): Promise<Exit> {
  try {
    return await work();
  } catch (error) {
    terminal.live.done();
    const failure = failureOf(error);
    terminal.say(failure?.message ?? unexpected(error));
    return failure?.exit ?? EXIT.failed;
  }
}

async function dispatch(args: readonly string[], { terminal, clock }: Machine): Promise<Exit> {
  // `sluice help plan` is `sluice plan --help`.
  const [name, ...rest] = args[0] === 'help' && args.length > 1 ? [...args.slice(1, 2), '--help'] : args;
  if (name === undefined || ['help', '--help', '-h'].includes(name)) {
    terminal.print(overview(COMMANDS));
    return EXIT.done;
  }
  if (name === '--version' || name === '-v') {
    terminal.print(version());
    return EXIT.done;
  }
  const command = commandOf(name);
  const parsed = parseCommandLine(command, rest);
  if (parsed.switches.has('help')) {
    terminal.print(usage(command));
    return EXIT.done;
  }
  const shown = parsed.values.env === 'aws' ? pointing(terminal, parsed.values.stage) : terminal;
  return guarded(shown, () =>
    command.run({
      ...parsed,
      dir: resolve(parsed.values.dir ?? '.'),
      json: parsed.switches.has('json'),
      terminal: shown,
      clock,
    }),
  );
}

/** Ways out name commands; who works on a deployment is told them for it. */
const pointing = (terminal: Terminal, stage = 'dev'): Terminal => ({
  ...terminal,
  print: (text) => terminal.print(pointed(text, stage)),
  say: (text) => terminal.say(pointed(text, stage)),
});

function commandOf(name: string): Command {
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command !== undefined) return command;
  const what = name.startsWith('-')
    ? `Sluice has no option "${name}"; a command comes first.`
    : `Sluice has no command "${name}".`;
  const meant = didYouMean(
    name.replace(/^-+/, ''),
    COMMANDS.map((candidate) => candidate.name),
  );
  throw new UsageError(`${what}${meant} "sluice --help" lists them.`);
}

/** A defect of ours: the stack helps whoever mends it, and holds no data. */
function unexpected(error: unknown): string {
  const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `Sluice failed in a way nobody foresaw. What was acknowledged is safe. Please report this:\n${what}`;
}
