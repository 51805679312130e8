import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CloudFormationClient, CreateStackCommand } from '@aws-sdk/client-cloudformation';
import { CreateSecretCommand, PutSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import { CreateTopicCommand, SNSClient } from '@aws-sdk/client-sns';
import { inject } from 'vitest';
import { digestOf } from '../../core/files/digest.ts';
import type { Store } from '../../core/ports.ts';
import { BUNDLE, ENTRIES, workspaceFile } from '../../functions/bundling.ts';
import { type FunctionName, NEEDS, type Variable } from '../../functions/environment.ts';
import { WORKSPACE } from '../../functions/workspace.ts';
import { standIns, startSandbox } from '../../sandbox/index.ts';
import type { Sandbox } from '../../sandbox/server.ts';
import { openAwsStore } from '../../stores/aws.ts';
import { systemClock } from '../../stores/system-clock.ts';
import { type AthenaWorld, BUCKET, DATABASE, openAthenaWorld } from '../support/athena.ts';
import { type LambdaOptions, type LambdaService, startLambda } from '../support/lambda.ts';
import { type Moto, startMoto } from '../support/moto.ts';

export interface Rows {
  readonly customers: readonly { id: string; country?: string; tier?: string }[];
  readonly identifiers: readonly { id: string; namespace: string; value: string }[];
  readonly consents: readonly { id: string; purpose: string; status: string; from: string }[];
}

const COLUMNS = {
  customers: { id: 'varchar', country: 'varchar', tier: 'varchar' },
  identifiers: { id: 'varchar', namespace: 'varchar', value: 'varchar' },
  consents: { id: 'varchar', purpose: 'varchar', status: 'varchar', from: 'timestamp' },
} as const;

const MEMBER_KEY = 'ab'.repeat(32);

/** The bundles of a deployment in processes of their own, over moto, an S3 and an Athena on this machine, and the sandbox. */
export interface Deployed {
  readonly sandbox: Sandbox;
  readonly athena: AthenaWorld;
  readonly moto: Moto;
  readonly store: Store;
  /** The files of the workspace, as they are deployed; their contracts have a local server over the same rows. */
  readonly files: ReadonlyMap<string, string>;
  /** What a process needs in its environment to reach this deployment. */
  readonly env: Readonly<Record<string, string>>;
  /** Makes a stack that says its outputs, for whoever looks for one of this stage. */
  stack(stage: string, outputs?: Readonly<Record<string, string>>): Promise<void>;
  /** The day after the deployment: no function has run, nothing is stored, no destination holds anybody. */
  fresh(): Promise<void>;
  rows(rows: Rows): void;
  secret(name: string, value: Readonly<Record<string, string>>): Promise<void>;
  /** Functions that have not run yet; those before are ended. `only`: other settings for some. */
  lambda(
    options?: Omit<LambdaOptions, 'functions'>,
    only?: Partial<Record<FunctionName, { readonly timeoutMs: number }>>,
  ): Promise<LambdaService>;
  /** What a function is as it is deployed: its bundle, and the variables it has and no other. */
  bundleOf(name: FunctionName): { readonly path: string; readonly env: Readonly<Record<string, string>> };
  held(platform: string): ReadonlySet<string>;
  close(): Promise<void>;
}

const contract = (
  root: string,
  role: keyof typeof COLUMNS,
  fields: Readonly<Record<string, string>>,
): string => `apiVersion: v3.1.0
kind: DataContract
id: shop-${role}
name: ${role}
version: 1.0.0
status: active
servers:
  - { server: aws, type: athena, schema: gold }
  - { server: local, type: local, path: ${root}/lake/${role}.json, format: json }
schema:
  - name: ${role}
    customProperties: [{ property: sluice.role, value: ${role} }]
    properties:
${Object.entries(COLUMNS[role])
  .map(
    ([name, type]) => `      - { name: ${name}, logicalType: ${type === 'timestamp' ? type : 'string'}${fields[name] ?? ''} }\n`,
  )
  .join('')}`;
const field = (name: string): string => `, customProperties: [{ property: sluice.field, value: ${name} }]`;

export interface DeployOptions {
  /** Another workspace over tables of the same columns. @param endpointOf where a platform is */
  readonly files?: (endpointOf: (platform: string) => string) => ReadonlyMap<string, string>;
  /** Glue database of its tables. */
  readonly database?: string;
}

/** Whoever has a gold card goes to meta, whoever has a silver one to braze, and there is a card that goes to both. */
export async function deploy({ files: given, database = 'gold' }: DeployOptions = {}): Promise<Deployed> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-deployed-'));
  const sandbox = await startSandbox(Object.values(standIns));
  const views = Object.entries(COLUMNS).map(([name, columns]) => {
    const types = Object.entries(columns).map(([column, type]) => `"${column}": '${type}'`);
    // A view is only made over a file that is there.
    return `COPY (SELECT 1 AS one WHERE false) TO '{root}/lake/${name}.json'; CREATE VIEW awsdatacatalog.${database}.${name} AS SELECT * FROM read_json('{root}/lake/${name}.json', format = 'newline_delimited', columns = {${types.join(', ')}})`;
  });
  const [moto, athena] = await Promise.all([
    startMoto(),
    openAthenaWorld({
      prompt: true,
      setup: [`CREATE SCHEMA awsdatacatalog.${database}`, ...views],
      tables: Object.fromEntries(
        Object.entries(COLUMNS).map(([name, columns]) => [
          `awsdatacatalog.${database}.${name}`,
          {
            columns: Object.entries(columns).map(([column, type]) => ({
              name: column,
              type: type === 'varchar' ? 'string' : type,
            })),
          },
        ]),
      ),
    }),
  ]);
  const sns = new SNSClient({
    endpoint: moto.endpoint,
    region: moto.region,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  const secret = async (name: string, SecretString: string): Promise<void> => {
    await moto.secrets
      .send(new CreateSecretCommand({ Name: name, SecretString }))
      .catch(() => moto.secrets.send(new PutSecretValueCommand({ SecretId: name, SecretString })));
  };

  const audience = (tier: string, to: string, removed = 1000): string => `description: everybody with a ${tier} card
owner: crm@example.com
where: { tier: ${tier} }
schedule: every day at 06:00 UTC
guardrails: { max_removed: { percent: 10, floor: ${removed} }, min_size: 0 }
syncs:
  - ${to}
`;
  const destination = (connector: string, settings: string): string => `connector: ${connector}
purpose: ads
settings: ${settings}
secret: sluice/${connector}
endpoint: ${sandbox.platform(connector).endpoint}
budget: { requests: 1000, per: second, concurrency: 4 }
`;
  const files =
    given?.((platform) => sandbox.platform(platform).endpoint) ??
    new Map<string, string>([
      [
        'audiences/both.yaml',
        audience('both', '{ to: meta, mode: mirror, identifiers: [email] }\n  - { to: braze, mode: mirror }'),
      ],
      ['audiences/bronze.yaml', audience('bronze', '{ to: braze, mode: mirror }', 1)],
      ['audiences/gold.yaml', audience('gold', '{ to: meta, mode: mirror, identifiers: [email] }')],
      ['audiences/silver.yaml', audience('silver', '{ to: braze, mode: mirror }')],
      [
        'contracts/consents.yaml',
        contract(athena.root, 'consents', { id: `, required: true${field('customer_id')}`, from: field('effective_from') }),
      ],
      [
        'contracts/customers.yaml',
        contract(athena.root, 'customers', { id: `, required: true, unique: true, primaryKey: true${field('customer_id')}` }),
      ],
      ['contracts/identifiers.yaml', contract(athena.root, 'identifiers', { id: `, required: true${field('customer_id')}` })],
      ['destinations/braze.yaml', destination('braze', '{}')],
      ['destinations/meta.yaml', destination('meta', '{ ad_account_id: "1234567890" }')],
      ['policies/retention.yaml', 'storage: { generations: 30 days, runs: 10 years }\n'],
      ['policies/consent.yaml', 'purposes:\n  ads: { basis: opt-in }\njurisdiction: { column: country }\n'],
    ]);
  const workspace = workspaceFile(files, 'aws');
  for (const name of ENTRIES) {
    cpSync(join(inject('bundles'), name), join(folder, name), { recursive: true });
    writeFileSync(join(folder, name, WORKSPACE), workspace);
  }
  const variables: Record<Variable, string> = {
    SLUICE_ENVIRONMENT: 'aws',
    SLUICE_STAGE: 'test',
    SLUICE_STATE_BUCKET: BUCKET,
    SLUICE_RECEIPTS_BUCKET: 'receipts',
    SLUICE_TABLE: 'sluice',
    SLUICE_MEMBER_KEY: 'sluice/member-key',
    SLUICE_WORKGROUP: 'sluice',
    SLUICE_CATALOG: 'awsdatacatalog',
    SLUICE_DATABASE: DATABASE,
    SLUICE_RUN: 'arn:aws:lambda:eu-central-1:123456789012:function:run:live',
    SLUICE_MATERIALIZE: 'materialize',
    SLUICE_DIFF: 'diff',
    SLUICE_DELIVER: 'deliver',
    SLUICE_COMMIT: 'commit',
    SLUICE_FORGET: 'forget',
    SLUICE_SIGNING_KEY: 'sluice/signing-key',
    SLUICE_PUBLISH: 'publish',
    SLUICE_TOPIC: `arn:aws:sns:${moto.region}:123456789012:sluice`,
  };
  const endpoints: Record<string, string> = {
    ...moto.env,
    AWS_ENDPOINT_URL_S3: athena.s3.endpoint,
    AWS_ENDPOINT_URL_ATHENA: athena.endpoint.endpoint,
  };
  const bundleOf = (name: FunctionName): ReturnType<Deployed['bundleOf']> => {
    // A function has the variables that are listed for it, and no other.
    return {
      path: join(folder, name, BUNDLE),
      env: { ...endpoints, ...Object.fromEntries(NEEDS[name].map((one) => [one, variables[one]])) },
    };
  };
  let lambda: LambdaService | undefined;
  return {
    files,
    get env() {
      return { ...endpoints, ...(lambda && { AWS_ENDPOINT_URL_LAMBDA: lambda.endpoint }) };
    },
    sandbox,
    athena,
    moto,
    store: openAwsStore({
      s3: athena.clients.s3,
      dynamo: moto.dynamo,
      state: BUCKET,
      receipts: 'receipts',
      table: 'sluice',
      clock: systemClock,
    }),
    rows(rows) {
      for (const [name, all] of Object.entries(rows))
        writeFileSync(
          join(athena.root, 'lake', `${name}.json`),
          (all as readonly object[]).map((row) => `${JSON.stringify(row)}\n`).join(''),
        );
    },
    async stack(stage, outputs = { ...variables, SLUICE_DIGEST: digestOf(files) }) {
      const client = new CloudFormationClient({
        endpoint: moto.endpoint,
        region: moto.region,
        credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      });
      await client.send(
        new CreateStackCommand({
          StackName: `sluice-${stage}`,
          TemplateBody: JSON.stringify({
            Resources: { Handle: { Type: 'AWS::CloudFormation::WaitConditionHandle' } },
            Outputs: Object.fromEntries(Object.entries(outputs).map(([name, Value]) => [name.replaceAll('_', ''), { Value }])),
          }),
        }),
      );
      client.destroy();
    },
    async fresh() {
      await lambda?.close();
      lambda = undefined;
      await moto.reset();
      await moto.table('sluice');
      await sns.send(new CreateTopicCommand({ Name: 'sluice' }));
      await secret('sluice/member-key', MEMBER_KEY);
      await secret('sluice/signing-key', 'cd'.repeat(32));
      for (const one of sandbox.platforms) {
        one.reset();
        await secret(`sluice/${one.name}`, JSON.stringify(one.secret));
      }
      for (const bucket of [BUCKET, 'receipts', 'results']) {
        rmSync(join(athena.root, bucket), { recursive: true, force: true });
        mkdirSync(join(athena.root, bucket));
      }
      athena.s3.heal();
    },
    secret: (name, value) => secret(name, JSON.stringify(value)),
    async lambda(options = {}, only = {}) {
      await lambda?.close();
      lambda = await startLambda({
        ...options,
        functions: Object.fromEntries(
          ENTRIES.map((name) => {
            const { path, env } = bundleOf(name);
            return [name, { bundle: path, env, durable: name === 'run', ...only[name] }];
          }),
        ),
      });
      return lambda;
    },
    bundleOf,
    held: (platform) => new Set([...sandbox.platform(platform).held().values()].flatMap((one) => [...one])),
    async close() {
      await lambda?.close();
      sns.destroy();
      await athena.close();
      await moto.close();
      await sandbox.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
