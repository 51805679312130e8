import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { ROOT } from '../project-files.ts';

/** Where `npm run pre-test:moto` puts it. */
const SERVER = `${ROOT}.cache/moto/bin/moto_server`;
const REGION = 'eu-central-1';
const CREDENTIALS = { accessKeyId: 'test', secretAccessKey: 'test' };

/** AWS as far as moto plays it: one process on loopback, its state in memory. */
export interface Moto {
  readonly endpoint: string;
  readonly region: string;
  readonly s3: S3Client;
  readonly dynamo: DynamoDBClient;
  readonly secrets: SecretsManagerClient;
  /** What a process needs in its environment to speak to it through an SDK client of its own. */
  readonly env: Readonly<Record<string, string>>;
  bucket(name: string): Promise<string>;
  /** A table as the stack makes it. */
  table(name: string): Promise<string>;
  /** Everything that was made is gone. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

export async function startMoto(): Promise<Moto> {
  if (!existsSync(SERVER)) throw new Error('moto is not installed: npm run pre-test:moto');
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const server = spawn(SERVER, ['-H', '127.0.0.1', '-p', `${port}`], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  server.stderr.on('data', (data: Buffer) => {
    said = (said + data.toString()).slice(-2_000);
  });
  const end = once(server, 'exit');
  for (let tries = 0; ; tries++) {
    if (
      await fetch(`${endpoint}/moto-api/`).then(
        (answer) => answer.ok,
        () => false,
      )
    )
      break;
    if (server.exitCode !== null || tries > 300) throw new Error(`moto did not start: ${said}`);
    await wait(100);
  }
  const options = { endpoint, region: REGION, credentials: CREDENTIALS };
  const s3 = new S3Client({ ...options, forcePathStyle: true });
  const dynamo = new DynamoDBClient(options);
  const secrets = new SecretsManagerClient(options);
  return {
    endpoint,
    region: REGION,
    s3,
    dynamo,
    secrets,
    env: {
      AWS_ENDPOINT_URL: endpoint,
      AWS_REGION: REGION,
      AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    },
    async bucket(name) {
      await s3.send(new CreateBucketCommand({ Bucket: name, CreateBucketConfiguration: { LocationConstraint: REGION } }));
      return name;
    },
    async table(name) {
      await dynamo.send(
        new CreateTableCommand({
          TableName: name,
          BillingMode: 'PAY_PER_REQUEST',
          AttributeDefinitions: [
            { AttributeName: 'pk', AttributeType: 'S' },
            { AttributeName: 'sk', AttributeType: 'S' },
          ],
          KeySchema: [
            { AttributeName: 'pk', KeyType: 'HASH' },
            { AttributeName: 'sk', KeyType: 'RANGE' },
          ],
        }),
      );
      return name;
    },
    async reset() {
      const { ok, status } = await fetch(`${endpoint}/moto-api/reset`, { method: 'POST' });
      if (!ok) throw new Error(`moto was not reset: ${status}`);
    },
    async close() {
      s3.destroy();
      dynamo.destroy();
      secrets.destroy();
      server.kill('SIGKILL');
      await end;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
