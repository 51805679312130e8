import { COMMON } from './arguments.ts';
import type { Command } from './command.ts';

/** What `sluice` and `sluice --help` print. */
export function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map((command) => command.name.length));
  return [
    'Sluice keeps audiences true in every channel, from the customer tables you already have.',
    '',
    'Usage: sluice <command> [options]',
    '',
    ...commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`),
    '',
    'Start with "sluice init" in an empty folder. "sluice <command> --help" tells more.',
    'Exit codes: 0 done, 1 failed, 2 your files need a change, 3 held for a person.',
  ].join('\n');
}

/** What `sluice <command> --help` prints. */
export function usage(command: Command): string {
  const options = Object.entries({ ...command.options, ...COMMON }).map(
    ([name, option]) => [`--${name}${option.value === undefined ? '' : ` <${option.value}>`}`, option.help] as const,
  );
  const width = Math.max(...options.map(([name]) => name.length));
  return [
    `${command.summary.charAt(0).toUpperCase()}${command.summary.slice(1)}.`,
    '',
    `Usage: sluice ${command.name}${command.arguments === '' ? '' : ` ${command.arguments}`} [options]`,
    '',
    ...options.map(([name, help]) => `  ${name.padEnd(width)}  ${help}`),
    '',
    command.details.trim(),
  ].join('\n');
}
