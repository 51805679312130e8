import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateSecretCommand, PutSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import { CreateTopicCommand, SNSClient } from '@aws-sdk/client-sns';
import { digestOf } from '../../core/files/digest.ts';
import type { Store } from '../../core/ports.ts';
import { ENTRIES, workspaceFile } from '../../functions/bundling.ts';
import { type FunctionName, NEEDS, type Variable } from '../../functions/environment.ts';
import { standIns, startSandbox } from '../../sandbox/index.ts';
import type { Sandbox } from '../../sandbox/server.ts';
import { openAwsStore } from '../../stores/aws.ts';
import { systemClock } from '../../stores/system-clock.ts';
import { type AthenaWorld, BUCKET, DATABASE, openAthenaWorld } from '../support/athena.ts';
import { makeBundles } from '../support/bundles.ts';
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
  /** What the outputs of a stack would say, and what a process needs in its environment to reach this one. */
  readonly outputs: Readonly<Record<Variable | 'SLUICE_DIGEST', string>>;
  readonly env: Readonly<Record<string, string>>;
  rows(rows: Rows): void;
  secret(name: string, value: Readonly<Record<string, string>>): Promise<void>;
  /** Functions that have not run yet; those before are ended. `only`: other settings for some. */
  lambda(
    options?: Omit<LambdaOptions, 'functions'>,
    only?: Partial<Record<FunctionName, { readonly timeoutMs: number }>>,
  ): Promise<LambdaService>;
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

/** Whoever has a gold card goes to meta, whoever has a silver one to braze, and there is a card that goes to both. */
export async function deploy(): Promise<Deployed> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-deployed-'));
  const sandbox = await startSandbox(Object.values(standIns));
  const views = Object.entries(COLUMNS).map(([name, columns]) => {
    const types = Object.entries(columns).map(([column, type]) => `"${column}": '${type}'`);
    // A view is only made over a file that is there.
    return `COPY (SELECT 1 AS one WHERE false) TO '{root}/lake/${name}.json'; CREATE VIEW awsdatacatalog.gold.${name} AS SELECT * FROM read_json('{root}/lake/${name}.json', format = 'newline_delimited', columns = {${types.join(', ')}})`;
  });
  const [moto, athena] = await Promise.all([
    startMoto(),
    openAthenaWorld({
      setup: ['CREATE SCHEMA awsdatacatalog.gold', ...views],
      tables: Object.fromEntries(
        Object.entries(COLUMNS).map(([name, columns]) => [
          `awsdatacatalog.gold.${name}`,
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
  mkdirSync(join(athena.root, 'receipts'));
  await moto.table('sluice');
  const sns = new SNSClient({
    endpoint: moto.endpoint,
    region: moto.region,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  const { TopicArn = '' } = await sns.send(new CreateTopicCommand({ Name: 'sluice' }));
  sns.destroy();
  await moto.secrets.send(new CreateSecretCommand({ Name: 'sluice/member-key', SecretString: MEMBER_KEY }));
  await moto.secrets.send(new CreateSecretCommand({ Name: 'sluice/signing-key', SecretString: 'cd'.repeat(32) }));

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
  const files = new Map<string, string>([
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
    ['policies/consent.yaml', 'purposes:\n  ads: { basis: opt-in }\njurisdiction: { column: country }\n'],
  ]);
  const bundles = await makeBundles(ENTRIES, join(folder, 'bundles'), workspaceFile(files, 'aws'));
  let lambda: LambdaService | undefined;
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
    SLUICE_TOPIC: TopicArn,
  };
  const endpoints: Record<string, string> = {
    ...moto.env,
    AWS_ENDPOINT_URL_S3: athena.s3.endpoint,
    AWS_ENDPOINT_URL_ATHENA: athena.endpoint.endpoint,
  };
  return {
    files,
    outputs: { ...variables, SLUICE_DIGEST: digestOf(files) },
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
    async secret(name, value) {
      const SecretString = JSON.stringify(value);
      await moto.secrets
        .send(new CreateSecretCommand({ Name: name, SecretString }))
        .catch(() => moto.secrets.send(new PutSecretValueCommand({ SecretId: name, SecretString })));
    },
    async lambda(options = {}, only = {}) {
      await lambda?.close();
      lambda = await startLambda({
        ...options,
        functions: Object.fromEntries(
          bundles.map(({ name, path }) => [
            name,
            {
              bundle: path,
              durable: name === 'run',
              // A function has the variables that are listed for it, and no other.
              env: { ...endpoints, ...Object.fromEntries(NEEDS[name].map((one) => [one, variables[one]])) },
              ...only[name],
            },
          ]),
        ),
      });
      return lambda;
    },
    held: (platform) => new Set([...sandbox.platform(platform).held().values()].flatMap((one) => [...one])),
    async close() {
      await lambda?.close();
      await athena.close();
      await moto.close();
      await sandbox.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
