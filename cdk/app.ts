import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { App, Tags, Validations } from 'aws-cdk-lib';
import { ManagedPolicy, PermissionsBoundary } from 'aws-cdk-lib/aws-iam';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { AwsSolutionsChecks } from 'cdk-nag';
import { readWorkspaceFiles } from '../cli/workspace-files.ts';
import { connectors } from '../connectors/index.ts';
import { digestOf } from '../core/files/digest.ts';
import { loadWorkspace } from '../core/files/workspace.ts';
import { withoutDurableFunctions } from './durable-regions.ts';
import { readSettings, type Settings, SettingsWrong } from './settings.ts';
import { bundle, ENTRIES, workspaceFile } from '../functions/bundling.ts';
import type { FunctionName } from '../functions/environment.ts';
import { SluiceStack } from './sluice-stack.ts';

const root = join(import.meta.dirname, '..');

/** `cdk deploy -c stage=prod`: the files are checked, then the stack of that stage is made. Exit codes as those of `sluice`: 2, the files need a change. */
const app = new App();
const settings = settingsOf(app);
const dir = resolve(root, settings.workspace);
check(dir, settings.environment);

const files = await readWorkspaceFiles(dir);
const { workspace } = loadWorkspace(files, { connectors, environment: settings.environment });
if (workspace === null) stop(`There is no workspace in ${settings.workspace}. Begin one: npx sluice init`);

const region = settings.region ?? process.env.CDK_DEFAULT_REGION;
const account = settings.account ?? process.env.CDK_DEFAULT_ACCOUNT;
const refused = withoutDurableFunctions(region, settings.durable_functions === true, settings.stage);
if (refused !== undefined) stop(refused);

// Code and files are one asset a function; the same sources and files make the same asset, so a deploy without a change changes nothing.
const assets = new Map<FunctionName, Code>();
const beside = workspaceFile(files, settings.environment);
for (const name of ENTRIES) {
  const folder = join(app.outdir, 'bundles', name);
  await bundle(name, folder, beside);
  assets.set(name, Code.fromAsset(folder, { exclude: ['*.map'] }));
}

const stack = new SluiceStack(app, 'Sluice', {
  stackName: `sluice-${settings.stage}`,
  description: `Sluice, ${settings.stage}: keeps audiences true in every channel`,
  ...(account !== undefined && region !== undefined && { env: { account, region } }),
  settings,
  workspace,
  digest: digestOf(files),
  codeOf: (name) => assets.get(name) ?? stop(`There is no bundle of ${name}.`, 1),
});
Tags.of(stack).add('sluice:stage', settings.stage);
if (settings.permissions_boundary !== undefined) {
  PermissionsBoundary.of(stack).apply(ManagedPolicy.fromManagedPolicyArn(stack, 'Boundary', settings.permissions_boundary));
}
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
app.synth();

function settingsOf(from: App): Settings {
  try {
    return readSettings(from.node.tryGetContext('stage'), from.node.tryGetContext('sluice'));
  } catch (error) {
    if (error instanceof SettingsWrong) stop(error.message);
    throw error;
  }
}

/** `sluice check` itself, so that its words are the same here: hand-written SQL included, which only an engine can check. */
function check(folder: string, environment: string): void {
  const { status } = spawnSync(process.execPath, [join(root, 'cli', 'sluice.js'), 'check', '--dir', folder], {
    env: { ...process.env, SLUICE_ENVIRONMENT: environment },
    // What is printed on stdout is the CDK's.
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) stop('Nothing was deployed: the files need a change.', status ?? 1);
}

function stop(message: string, code = 2): never {
  process.stderr.write(`${message}\n`);
  process.exit(code);
}
