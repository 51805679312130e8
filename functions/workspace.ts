import { readFileSync } from 'node:fs';
import { connectors } from '../connectors/index.ts';
import { digestOf } from '../core/files/digest.ts';
import { loadWorkspace } from '../core/files/workspace.ts';
import type { Workspace } from '../core/model.ts';

/**
 * The workspace this function was deployed with, from the file beside its bundle: code and files of one version are one thing, so a run
 * that began under them ends under them, whatever is deployed meanwhile. Files with errors stop a deploy; here they stop the function.
 */
export function deployedWorkspace(environment: string): { readonly workspace: Workspace; readonly digest: string } {
  const texts = readFileSync(new URL('./workspace.json', import.meta.url), 'utf8');
  const files = new Map(JSON.parse(texts) as [string, string][]);
  const { workspace, problems } = loadWorkspace(files, { connectors, environment });
  const errors = problems.filter(({ severity }) => severity === 'error');
  const [first] = errors;
  if (workspace === null || first !== undefined)
    throw new Error(
      `The deployed files have ${errors.length} errors, the first in ${first?.file}:${first?.line}. Run: sluice check`,
    );
  return { workspace, digest: digestOf(files) };
}
