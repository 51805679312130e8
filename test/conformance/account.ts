import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { CloudFormationClient, DescribeStackResourcesCommand, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { S3Client } from '@aws-sdk/client-s3';
import type { TestProject } from 'vitest/node';
import { ROOT } from '../project-files.ts';
import { emptied } from './emptied.ts';
import { COMPANY, STAGE, workspaceFiles } from './files.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Folder of the workspace that is deployed. */
    workspace: string;
    /** Where the sandbox answers, without a slash at its end. */
    sandbox: string;
    /** Bucket of the company's tables. */
    tables: string;
  }
}

const APPS = { company: 'test/conformance/company.ts', sluice: 'cdk/app.ts' } as const;

let takenAway = (): Promise<void> => Promise.resolve();
export const teardown = (): Promise<void> => takenAway();

/** Deploys a company and Sluice for it; `teardown` takes both away, receipts included. With SLUICE_CONFORMANCE_KEEP=1 they stay. */
export async function setup(project: TestProject): Promise<void> {
  if (process.env.AWS_REGION === undefined) throw new Error('Name the region to deploy to: AWS_REGION=eu-central-1');
  const folder = mkdtempSync(join(tmpdir(), 'sluice-conformance-'));
  const cloudFormation = new CloudFormationClient({ maxAttempts: 5 });
  await cloudFormation.send(new DescribeStacksCommand({})).catch((error: unknown) => {
    const { name, message } = error as Error;
    throw new Error(
      `AWS could not be asked, so nothing was made (${name}: ${message}). Log in: aws sso login, or AWS_PROFILE=...`,
    );
  });
  takenAway = async () => {
    takenAway = () => Promise.resolve();
    if (process.env.SLUICE_CONFORMANCE_KEEP === '1') console.log(`Kept: the stacks sluice-${STAGE} and ${COMPANY}.`);
    else await takeAway(folder, cloudFormation);
    cloudFormation.destroy();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await cdk(folder, 'deploy', 'company');
    const { Sandbox = '', Tables = '' } = await outputs(cloudFormation, COMPANY);
    const sandbox = Sandbox.replace(/\/$/, '');
    const workspace = writeWorkspace(folder, sandbox, Tables);
    await cdk(folder, 'deploy', 'sluice');
    project.provide('workspace', workspace);
    project.provide('sandbox', sandbox);
    project.provide('tables', Tables);
  } catch (error) {
    await takenAway();
    throw error;
  }
}

/** The files of the company, and a cdk.json like the project's with the stage as a company would write it. @returns folder of the files */
export function writeWorkspace(folder: string, sandbox: string, tables: string): string {
  const workspace = join(folder, 'workspace');
  for (const [name, text] of workspaceFiles((platform) => `${sandbox}/${platform}`)) {
    mkdirSync(dirname(join(workspace, name)), { recursive: true });
    writeFileSync(join(workspace, name), text);
  }
  const { context } = JSON.parse(readFileSync(join(ROOT, 'cdk.json'), 'utf8')) as { context: object };
  const stage = {
    workspace,
    environment: 'aws',
    sources: { buckets: [tables] },
    on_removal: 'delete',
    receipts_days: 1,
    log_days: 1,
  };
  writeFileSync(join(folder, 'cdk.json'), JSON.stringify({ context: { ...context, stage: STAGE, sluice: { [STAGE]: stage } } }));
  return workspace;
}

/** The CDK's command line over one of the two apps; `synth` needs no account. */
export async function cdk(folder: string, command: 'deploy' | 'destroy' | 'synth', app: keyof typeof APPS): Promise<void> {
  const how = { deploy: ['--all', '--require-approval', 'never'], destroy: ['--all', '--force'], synth: ['--quiet'] }[command];
  const what = ['--app', `${process.execPath} ${join(ROOT, APPS[app])}`, '--output', join(folder, `cdk.out-${app}`)];
  const begun = Date.now();
  await promisify(execFile)(process.execPath, [join(ROOT, 'node_modules/aws-cdk/bin/cdk'), command, ...how, ...what], {
    cwd: folder,
    maxBuffer: 64 * 1024 * 1024,
  });
  console.log(`cdk ${command} ${app}: ${Math.round((Date.now() - begun) / 1_000)} s`);
}

async function outputs(client: CloudFormationClient, stack: string): Promise<Readonly<Record<string, string>>> {
  const { Stacks = [] } = await client.send(new DescribeStacksCommand({ StackName: stack }));
  return Object.fromEntries((Stacks[0]?.Outputs ?? []).map(({ OutputKey = '', OutputValue = '' }) => [OutputKey, OutputValue]));
}

/** Buckets first: CloudFormation deletes only empty ones. That of the receipts outlives its stack on purpose, and goes last. */
async function takeAway(folder: string, cloudFormation: CloudFormationClient): Promise<void> {
  const s3 = new S3Client({ maxAttempts: 5 });
  const bucketsOf = async (stack: string): Promise<readonly string[]> => {
    const { StackResources = [] } = await cloudFormation
      .send(new DescribeStackResourcesCommand({ StackName: stack }))
      .catch(() => ({ StackResources: [] }));
    return StackResources.filter(({ ResourceType }) => ResourceType === 'AWS::S3::Bucket').map(
      ({ PhysicalResourceId = '' }) => PhysicalResourceId,
    );
  };
  const own = await bucketsOf(`sluice-${STAGE}`);
  for (const bucket of [...own, ...(await bucketsOf(COMPANY))]) await emptied(s3, bucket);
  if (own.length > 0) await cdk(folder, 'destroy', 'sluice');
  await cdk(folder, 'destroy', 'company');
  for (const bucket of own) await emptied(s3, bucket, true);
  s3.destroy();
}
