import { parseArgs } from 'node:util';
import { nearest } from '../core/problems.ts';
import { type Command, type Option, UsageError } from './command.ts';

/** Options that every command has. */
export const COMMON: Readonly<Record<string, Option>> = {
  dir: { value: 'folder', help: 'the workspace; default: the current folder' },
  json: { help: 'data as JSON on stdout' },
  help: { help: 'this text' },
};

export interface Parsed {
  readonly arguments: readonly string[];
  readonly values: Readonly<Record<string, string>>;
  readonly switches: ReadonlySet<string>;
}

/**
 * The command line after the command's name. Refuses (`UsageError`) an option the command does not have, with the nearest one,
 * an option without its value, a switch with one, an option given twice, and too few or too many arguments.
 */
export function parseCommandLine(command: Command, args: readonly string[]): Parsed {
  const options = { ...command.options, ...COMMON };
  const config = Object.fromEntries(
    Object.entries(options).map(([name, option]) => [name, { type: option.value === undefined ? 'boolean' : 'string' } as const]),
  );
  const { tokens } = parseArgs({
    args: args.map((arg) => (arg === '-h' ? '--help' : arg)),
    options: config,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });

  const values: Record<string, string> = {};
  const switches = new Set<string>();
  const rest: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') rest.push(token.value);
    if (token.kind !== 'option') continue;
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
    if (option === undefined) {
      throw new UsageError(
        `"sluice ${command.name}" has no option "${token.rawName}".${didYouMean(token.name, Object.keys(options), '--')}`,
      );
    }
    if (option.value === undefined) {
      if (token.value !== undefined) throw new UsageError(`"--${token.name}" takes no value.`);
      switches.add(token.name);
    } else {
      if (token.value === undefined || token.value === '' || (!token.inlineValue && token.value.startsWith('--'))) {
        throw new UsageError(`"--${token.name}" needs a value: --${token.name} <${option.value}>`);
      }
      if (values[token.name] !== undefined) throw new UsageError(`"--${token.name}" is given twice.`);
      values[token.name] = token.value;
    }
  }
  const [fewest, most] = command.takes;
  if (!switches.has('help') && (rest.length < fewest || rest.length > most)) {
    const wanted = command.arguments === '' ? 'takes no arguments' : `takes ${command.arguments}`;
    throw new UsageError(`"sluice ${command.name}" ${wanted}; got ${rest.length === 0 ? 'none' : rest.join(' ')}.`);
  }
  return { arguments: rest, values, switches };
}

/** ` Did you mean "--tick"?` with the nearest of the names, or nothing. */
export function didYouMean(name: string, names: readonly string[], prefix = ''): string {
  const near = nearest(name, names);
  return near === undefined ? '' : ` Did you mean "${prefix}${near}"?`;
}
