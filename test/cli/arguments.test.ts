import { describe, expect, it } from 'vitest';
import { parseCommandLine } from '../../cli/arguments.ts';
import { type Command, EXIT } from '../../cli/command.ts';

const command: Command = {
  name: 'plan',
  summary: '',
  arguments: '[audience...]',
  takes: [0, 2],
  options: { tick: { value: 'instant', help: '' }, all: { help: '' } },
  details: '',
  run: async () => EXIT.done,
};
const parse = (...args: string[]) => parseCommandLine(command, args);

describe('a command line', () => {
  it('is names, values and switches in any order', () => {
    expect(parse('a', '--tick', '2026-01-01T00:00:00Z', 'b', '--all', '--dir=x', '--json')).toEqual({
      arguments: ['a', 'b'],
      values: { tick: '2026-01-01T00:00:00Z', dir: 'x' },
      switches: new Set(['all', 'json']),
    });
  });

  it('takes everything after -- as names', () => {
    expect(parse('--', '--all').arguments).toEqual(['--all']);
  });

  it.each([
    [
      'an option it does not have, with the nearest one',
      ['--tock', 'x'],
      '"sluice plan" has no option "--tock". Did you mean "--tick"?',
    ],
    ['the name of something every object has', ['--constructor'], '"sluice plan" has no option "--constructor".'],
    ['an option without its value', ['--tick'], '"--tick" needs a value: --tick <instant>'],
    ['an option whose value is the next option', ['--tick', '--all'], '"--tick" needs a value'],
    ['an option with an empty value', ['--tick='], '"--tick" needs a value'],
    ['an option given twice', ['--tick', 'a', '--tick', 'b'], '"--tick" is given twice.'],
    ['a switch with a value', ['--all=yes'], '"--all" takes no value.'],
    ['too many names', ['a', 'b', 'c'], '"sluice plan" takes [audience...]; got a b c.'],
  ])('is refused for %s', (_title, args, message) => {
    expect(() => parse(...args)).toThrow(message);
  });

  it('may ask for help without the arguments that are needed', () => {
    const needy = { ...command, takes: [1, 1] as const };
    expect(parseCommandLine(needy, ['-h']).switches).toEqual(new Set(['help']));
    expect(() => parseCommandLine(needy, [])).toThrow('takes [audience...]; got none.');
  });
});
