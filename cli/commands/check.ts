import { type Command, CommandFailed, EXIT, UsageError } from '../command.ts';
import { problemsGithub, problemsJson, problemsText } from '../render/problems.ts';
import { plural } from '../render/table.ts';
import { noWorkspace } from '../session.ts';
import { checkWorkspace } from '../wiring.ts';

const FORMATS = { text: problemsText, json: problemsJson, github: problemsGithub };

export const check: Command = {
  name: 'check',
  summary: 'find every problem in the files at once',
  arguments: '',
  takes: [0, 0],
  options: { format: { value: 'text|json|github', help: 'how problems are written on stdout; default: text' } },
  details: `Reads audiences/, contracts/, destinations/ and policies/ and no data. Exit code 2 when there is an error; warnings alone do not fail.

  sluice check
  sluice check --format github        in a workflow: problems beside the changed lines`,
  async run({ dir, json, values, terminal }) {
    const format = values.format ?? (json ? 'json' : 'text');
    if (!Object.hasOwn(FORMATS, format)) throw new UsageError(`"--format" is text, json or github; got "${format}".`);
    const found = await checkWorkspace(dir);
    if (found.texts.size === 0) throw new CommandFailed(noWorkspace(dir), EXIT.files);
    if (found.problems.length > 0 || format === 'json') terminal.print(FORMATS[format as keyof typeof FORMATS](found));
    const failed = found.problems.some(({ severity }) => severity === 'error');
    if (!failed && format === 'text') terminal.say(`${plural(found.texts.size, 'file')} checked, no problem.`);
    return failed ? EXIT.files : EXIT.done;
  },
};
