import { type Problem, renderProblem } from '../../core/problems.ts';
import { plural } from './table.ts';

/** What was found in the files of a workspace, and the texts to show it in: path -> text. */
export interface Found {
  readonly problems: readonly Problem[];
  readonly texts: ReadonlyMap<string, string>;
}

/** Every problem with its code frame, then how many there are (HOUSE: place, what is wrong, the way out). */
export function problemsText({ problems, texts }: Found): string {
  const errors = problems.filter((problem) => problem.severity === 'error').length;
  const warnings = problems.length - errors;
  const counts = [errors > 0 ? plural(errors, 'problem') : '', warnings > 0 ? plural(warnings, 'warning') : '']
    .filter(Boolean)
    .join(' and ');
  return [...problems.map((problem) => renderProblem(problem, texts.get(problem.file))), `${counts}.`].join('\n\n');
}

/** One array, an object a problem. */
export const problemsJson = ({ problems }: Found): string => JSON.stringify(problems, null, 2);

/**
 * Workflow commands, a line a problem, that GitHub shows beside the changed lines.
 * https://docs.github.com/actions/reference/workflow-commands-for-github-actions, read 2026-11-23.
 */
export const problemsGithub = ({ problems }: Found): string =>
  problems
    .map(({ severity, file, line, column, endColumn, rule, message, hint }) => {
      const place = { file, line, col: column, ...(endColumn !== undefined && { endColumn }), title: `sluice ${rule}` };
      const properties = Object.entries(place).map(([name, value]) => `${name}=${property(String(value))}`);
      return `::${severity} ${properties.join(',')}::${data(hint === undefined ? message : `${message} ${hint}`)}`;
    })
    .join('\n');

const data = (text: string): string => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
const property = (text: string): string => data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
