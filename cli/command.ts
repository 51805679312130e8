import type { Clock } from '../core/ports.ts';
import type { Terminal } from './terminal.ts';

/** What a shell, a CI job or an orchestrator learns from the end of a command. */
export const EXIT = {
  done: 0,
  failed: 1,
  /** The files of the workspace need a change. */
  files: 2,
  /** A run waits for a person. */
  held: 3,
} as const;
export type Exit = (typeof EXIT)[keyof typeof EXIT];

/** One option of a command line. `value` names what follows it; without, the option is a switch. */
export interface Option {
  readonly value?: string;
  readonly help: string;
}

/** Options of the commands that work on a deployed stack as they do here. */
export const WHERE: Readonly<Record<string, Option>> = {
  env: { value: 'local|aws', help: 'aws: on the deployed stack, with the AWS credentials of this shell; default: local' },
  stage: { value: 'name', help: 'with --env aws: the stack sluice-<name>; default: dev' },
};

/** One command: a file in cli/commands, a line in cli/commands/index.ts. */
export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What may stand between the name and the options: `[audience...]`. */
  readonly arguments: string;
  /** Fewest and most arguments. */
  readonly takes: readonly [number, number];
  readonly options: Readonly<Record<string, Option>>;
  /** Paragraphs and examples under the options of `--help`. */
  readonly details: string;
  run(call: Call): Promise<Exit>;
}

/** A command line that was understood. */
export interface Call {
  readonly arguments: readonly string[];
  /** Name -> value; only options that were given. */
  readonly values: Readonly<Record<string, string>>;
  readonly switches: ReadonlySet<string>;
  /** Absolute path of the workspace. */
  readonly dir: string;
  readonly json: boolean;
  readonly terminal: Terminal;
  readonly clock: Clock;
}

/** The command line cannot be understood, or names something that is not there. Nothing was done. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** The command can't go on, and says why and what to do; printed as it is, without a stack. */
export class CommandFailed extends Error {
  readonly exit: Exit;
  constructor(message: string, exit: Exit = EXIT.failed, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = 'CommandFailed';
    this.exit = exit;
  }
}
