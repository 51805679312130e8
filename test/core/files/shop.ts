import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectors } from '../../../connectors/index.ts';
import { loadWorkspace } from '../../../core/files/workspace.ts';
import type { Loaded } from '../../../core/files/workspace.ts';
import type { Audience, Rule } from '../../../core/model.ts';
import { renderProblem } from '../../../core/problems.ts';

/** The example workspace at the top of the repository, as the tests change it. */
const ROOT = join(import.meta.dirname, '..', '..', '..');
const SHOP: ReadonlyMap<string, string> = new Map(
  ['audiences', 'contracts', 'destinations', 'policies'].flatMap((folder) =>
    readdirSync(join(ROOT, folder))
      .filter((name) => name.endsWith('.yaml'))
      .map((name) => [`${folder}/${name}`, readFileSync(join(ROOT, folder, name), 'utf8')] as const),
  ),
);

/** Changed files by path; null takes one away, a function changes its text. */
export type Changes = Readonly<Record<string, string | null | ((text: string) => string)>>;

export function shopWith(changes: Changes = {}): Map<string, string> {
  const files = new Map(SHOP);
  for (const [path, change] of Object.entries(changes)) {
    const before = files.get(path);
    if (change === null) files.delete(path);
    else if (typeof change === 'string') files.set(path, change);
    else {
      const after = change(before ?? '');
      if (after === before) throw new Error(`The change to ${path} changes nothing.`);
      files.set(path, after);
    }
  }
  return files;
}

export const load = (files: ReadonlyMap<string, string>, environment = 'local'): Loaded =>
  loadWorkspace(files, { connectors, environment });

/** What a person sees: every problem rendered, a blank line between. */
export function seen(changes: Changes): string {
  const files = shopWith(changes);
  return load(files)
    .problems.map((problem) => renderProblem(problem, files.get(problem.file)))
    .join('\n\n');
}

/** The problems of one audience file that takes the place of all the shop's, rendered. */
export const seenIn = (audience: string): string => seen({ ...NO_AUDIENCES, 'audiences/a.yaml': audience });

const NO_AUDIENCES: Changes = Object.fromEntries(
  [...SHOP.keys()].filter((path) => path.startsWith('audiences/')).map((path) => [path, null]),
);

/** The audience a text reads as; a problem is a failure. */
export function audienceOf(text: string): Audience {
  const files = shopWith({ ...NO_AUDIENCES, 'audiences/a.yaml': text });
  const { workspace, problems } = load(files);
  const audience = workspace?.audiences['a'];
  if (problems.length > 0 || !audience)
    throw new Error(problems.map((problem) => renderProblem(problem, files.get(problem.file))).join('\n'));
  return audience;
}

/** The rule a text under `where:` reads as, the text indented or on the line itself. */
export function ruleOf(where: string): Rule {
  const rule = audienceOf(`where:${where.includes('\n') ? where : ` ${where}`}\n`).where;
  if (!rule) throw new Error('There is no rule.');
  return rule;
}
