import { AthenaClient } from '@aws-sdk/client-athena';
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { GetDurableExecutionCommand, InvokeCommand, LambdaClient, type LambdaClientConfig } from '@aws-sdk/client-lambda';
import type { Clock, Warehouse } from '../core/ports.ts';
import type { RunPorts } from '../core/run/ports.ts';
import { StoreUnavailable } from '../core/store-errors.ts';
import { ulid } from '../core/ulid.ts';
import { deployedStore, s3Client } from '../functions/adapters.ts';
import type { AwsTasks } from '../functions/durable.ts';
import type { Variable } from '../functions/environment.ts';
import { memberKeyIn } from '../functions/keys.ts';
import type { Outcome } from '../functions/outcome.ts';
import { partName, type RunEvent } from '../functions/run-event.ts';
import type { Answered, Asked } from '../functions/worker.ts';
import { toldByAws } from '../stores/aws-errors.ts';
import { thisProcess } from '../stores/holder.ts';
import { openAthena } from '../warehouses/athena.ts';
import { CommandFailed, EXIT } from './command.ts';

/** What the outputs of a stack say (cdk/sluice-stack.ts). */
export type Outputs = Readonly<Record<Variable | 'SLUICE_DIGEST', string>>;

/** Functions that a person may ask for something, and what each does for them. */
const ASKED = {
  forget: 'SLUICE_FORGET',
  commit: 'SLUICE_COMMIT',
} as const;

/** A worker may take its fifteen minutes; an answer that takes longer is not coming. */
const PATIENCE_MS = 16 * 60_000;
/** Between two looks at a run, milliseconds: soon at first, for runs in which nothing changed. */
const LOOKS = [250, 500, 1_000, 2_000, 3_000];

/** A stack in the account and region of the credentials of this process, and what is asked of it. */
export interface Deployment {
  readonly stage: string;
  readonly outputs: Outputs;
  /** Runs over the stack's own stores and tables, with the credentials of this process: for reading. */
  readonly ports: Pick<RunPorts, 'store' | 'warehouse' | 'clock' | 'holder'>;
  memberKey(): Promise<string>;
  /** A step of a worker, waited for. Throws `CommandFailed` with the words of a failure that was foreseen. */
  ask<T extends keyof AwsTasks>(
    worker: keyof typeof ASKED,
    task: T,
    input: Parameters<AwsTasks[T]>[0],
  ): Promise<Awaited<ReturnType<AwsTasks[T]>>>;
  /**
   * Starts a run and waits for its end, over all its parts. `stopped`: whether a person asked to wait no more.
   * Throws `CommandFailed` when it cannot be known how it ended.
   */
  run(event: RunEvent, onLook: (ms: number) => Promise<void>): Promise<Exclude<Outcome, { readonly ended: 'continued' }>>;
  close(): Promise<void>;
}

/**
 * Finds the stack of a stage by its outputs. Throws `CommandFailed` where there is none, where it is older than this command, and where the
 * credentials do not do.
 */
export async function openDeployment(
  stage: string,
  { clock, stopped = () => false }: { readonly clock: Clock; readonly stopped?: () => boolean },
): Promise<Deployment> {
  const patient = { maxAttempts: 5 };
  const cloudFormation = new CloudFormationClient(patient);
  const outputs = await outputsOf(cloudFormation, stage).finally(() => cloudFormation.destroy());
  const lambda = new LambdaClient({
    ...patient,
    // A worker is asked once: a second asking while it works would do nothing good.
    requestHandler: { requestTimeout: PATIENCE_MS, socketTimeout: PATIENCE_MS } as LambdaClientConfig['requestHandler'] & object,
  });
  const athena = new AthenaClient(patient);
  const s3 = s3Client();
  const store = deployedStore(outputs, s3);
  const warehouse: Warehouse = openAthena({
    athena,
    s3,
    clock,
    workGroup: outputs.SLUICE_WORKGROUP,
    environment: outputs.SLUICE_ENVIRONMENT,
    lake: {
      catalog: outputs.SLUICE_CATALOG,
      database: outputs.SLUICE_DATABASE,
      bucket: outputs.SLUICE_STATE_BUCKET,
      receipts: outputs.SLUICE_RECEIPTS_BUCKET,
    },
  });
  const holder = thisProcess();
  return {
    stage,
    outputs,
    ports: { store, warehouse, clock, holder },
    memberKey: () => memberKeyIn(outputs.SLUICE_MEMBER_KEY),
    async ask(worker, task, input) {
      const asked: Asked = { task, input: input as Asked['input'], holder, attempt: ulid(clock.now(), clock.random) };
      const { FunctionError, Payload } = await lambda
        .send(new InvokeCommand({ FunctionName: outputs[ASKED[worker]], Payload: JSON.stringify(asked) }))
        .catch((error: unknown) => {
          throw told(error, `Lambda (${worker})`);
        });
      const text = Buffer.from(Payload ?? []).toString();
      if (FunctionError !== undefined)
        throw new CommandFailed(
          `The function ${worker} of ${stackOf(stage)} ended without an answer. What it had done stands; its log says why. Ask again: what is done is not done twice.`,
        );
      const answered = JSON.parse(text) as Answered;
      if (!('failed' in answered)) return answered.result as never;
      throw new CommandFailed(answered.failed.message);
    },
    async run(first, onLook) {
      const began = clock.now();
      for (let event = first; ; event = { ...event, part: event.part + 1 }) {
        const arn = await started(lambda, outputs.SLUICE_RUN, event);
        const outcome = await ended(lambda, arn, async (look) => {
          if (stopped())
            throw new CommandFailed(
              `Run ${event.run} of "${event.audience}" goes on without you. Look: sluice history ${event.audience}`,
            );
          await onLook(clock.now() - began);
          await clock.sleep(LOOKS[Math.min(look, LOOKS.length - 1)] ?? 0);
        });
        if (outcome.ended !== 'continued') return outcome;
      }
    },
    async close() {
      await warehouse.close();
      for (const client of [lambda, athena, s3]) client.destroy();
    },
  };
}

const stackOf = (stage: string): string => `sluice-${stage}`;

async function outputsOf(client: CloudFormationClient, stage: string): Promise<Outputs> {
  const name = stackOf(stage);
  const { Stacks = [] } = await client.send(new DescribeStacksCommand({ StackName: name })).catch(async (error: unknown) => {
    const { name: kind, message } = error as Error;
    if (kind === 'ValidationError' && /does not exist/.test(message))
      throw new CommandFailed(
        `There is no stack ${name} in ${String(await client.config.region())} of this account. Name another stage (--stage <name>), another ` +
          `account or region (AWS_PROFILE, AWS_REGION), or deploy it: npx cdk deploy -c stage=${stage}`,
      );
    throw told(error, `CloudFormation (${name})`);
  });
  const found = new Map((Stacks[0]?.Outputs ?? []).map(({ OutputKey = '', OutputValue = '' }) => [OutputKey, OutputValue]));
  const outputs = Object.fromEntries(READ.map((variable) => [variable, found.get(variable.replaceAll('_', ''))]));
  const missing = READ.filter((variable) => outputs[variable] === undefined);
  if (missing.length > 0)
    throw new CommandFailed(
      `The stack ${name} is ${Stacks[0]?.StackStatus ?? 'not there'} and does not say ${missing.join(', ')}: it was deployed by another version ` +
        `of Sluice, or not to its end. Deploy it: npx cdk deploy -c stage=${stage}`,
    );
  return outputs as Outputs;
}

/** What is read of the outputs; others are for people. */
const READ = [
  'SLUICE_DIGEST',
  'SLUICE_ENVIRONMENT',
  'SLUICE_STATE_BUCKET',
  'SLUICE_RECEIPTS_BUCKET',
  'SLUICE_TABLE',
  'SLUICE_MEMBER_KEY',
  'SLUICE_WORKGROUP',
  'SLUICE_CATALOG',
  'SLUICE_DATABASE',
  'SLUICE_RUN',
  'SLUICE_FORGET',
  'SLUICE_COMMIT',
] as const satisfies readonly (keyof Outputs)[];

/** Starts the execution of an event, or finds it: the same event under the same name is the same execution. */
async function started(lambda: LambdaClient, run: string, event: RunEvent): Promise<string> {
  const { DurableExecutionArn } = await lambda
    .send(
      new InvokeCommand({
        FunctionName: run,
        InvocationType: 'Event',
        DurableExecutionName: partName(event.name, event.part),
        Payload: JSON.stringify(event),
      }),
    )
    .catch((error: unknown) => {
      throw told(error, 'Lambda (run)');
    });
  if (DurableExecutionArn !== undefined) return DurableExecutionArn;
  throw new CommandFailed(
    `Run ${event.run} was started, and Lambda did not say under which name. Look: sluice history ${event.audience}`,
  );
}

async function ended(lambda: LambdaClient, arn: string, wait: (look: number) => Promise<void>): Promise<Outcome> {
  for (let look = 0; ; look++) {
    const {
      Status,
      Result,
      Error: failed,
    } = await lambda.send(new GetDurableExecutionCommand({ DurableExecutionArn: arn })).catch((error: unknown) => {
      throw told(error, 'Lambda (run)');
    });
    if (Status === 'SUCCEEDED' && Result !== undefined) return JSON.parse(Result) as Outcome;
    if (Status !== 'RUNNING')
      throw new CommandFailed(
        `The execution of the run ended as ${Status ?? 'unknown'}${failed?.ErrorType === undefined ? '' : ` (${failed.ErrorType})`}. What was acknowledged is safe, and the next run carries it on. ` +
          `Its log says more; the execution is ${arn}`,
        EXIT.failed,
      );
    await wait(look);
  }
}

/** What keeps this process from reaching the deployment, with the way out. */
function told(error: unknown, where: string): unknown {
  const { name, message } = error as Error;
  if (name === 'CredentialsProviderError' || /Could not load credentials|Token is expired|SSO session/i.test(message))
    return new CommandFailed(
      'There are no AWS credentials here, or they have expired. Name a profile (AWS_PROFILE), or log in: aws sso login',
    );
  if (/Region is missing/.test(message))
    return new CommandFailed('No region is set, so nobody knows where the stack is. Name it: AWS_REGION=eu-central-1');
  if (['ExpiredToken', 'ExpiredTokenException', 'UnrecognizedClientException', 'InvalidClientTokenId'].includes(name))
    return new CommandFailed(`AWS does not take these credentials (${name}). Log in again: aws sso login`);
  if (name === 'TimeoutError') return new StoreUnavailable(where, 'no answer in sixteen minutes', { cause: error });
  return toldByAws(error, where);
}
