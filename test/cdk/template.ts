import { readFileSync } from 'node:fs';
import { App, type Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { readSettings } from '../../cdk/settings.ts';
import { SluiceStack } from '../../cdk/sluice-stack.ts';
import { readWorkspaceFiles } from '../../cli/workspace-files.ts';
import { connectors } from '../../connectors/index.ts';
import { loadWorkspace } from '../../core/files/workspace.ts';
import { ROOT } from '../project-files.ts';

/** Of the project's cdk.json. */
export const { context } = JSON.parse(readFileSync(`${ROOT}cdk.json`, 'utf8')) as { context: Record<string, unknown> };
/** The project's own example files. */
export const files: ReadonlyMap<string, string> = await readWorkspaceFiles(ROOT);

export interface Resource {
  readonly Type: string;
  readonly Properties: Readonly<Record<string, unknown>>;
  readonly DeletionPolicy?: string;
}

/** The template of the example files, with code that does nothing. */
export const templateOf = (
  stage: Readonly<Record<string, unknown>> = {},
  change: (files: Map<string, string>) => void = () => undefined,
  name = 'dev',
): Template => Template.fromStack(stackOf(stage, change, name));

/** The stack itself, of a stage with these settings. */
export function stackOf(
  stage: Readonly<Record<string, unknown>>,
  change: (files: Map<string, string>) => void,
  name = 'dev',
): Stack {
  const own = new Map(files);
  change(own);
  const { workspace } = loadWorkspace(own, { connectors, environment: 'dev' });
  if (workspace === null) throw new Error('The example files have problems.');
  const app = new App({ context });
  const settings = readSettings(name, { [name]: { environment: 'dev', ...stage } });
  const code = Code.fromInline('export const handler = () => undefined');
  return new SluiceStack(app, 'Sluice', { stackName: `sluice-${name}`, settings, workspace, digest: 'd1', codeOf: () => code });
}

/** Logical id -> resource of a type. */
export const resources = (template: Template, type: string): Readonly<Record<string, Resource>> =>
  template.findResources(type) as Readonly<Record<string, Resource>>;
