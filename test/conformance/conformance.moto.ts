import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  HeadBucketCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectLockConfigurationCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { standIns } from '../../sandbox/index.ts';
import { type Deployed, deploy, type Rows } from '../functions/deployed.ts';
import { startMoto } from '../support/moto.ts';
import { cdk, writeWorkspace } from './account.ts';
import { emptied } from './emptied.ts';
import { DATABASE, PLATFORMS, STAGE, secretOf, workspaceFiles } from './files.ts';
import { handler } from './sandbox-function.ts';
import { story } from './story.ts';

/** Of `npm run conformance:aws` everything that needs no account: its stacks as templates, its story over the stand-ins, its platforms, its end. */
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-conformance-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('npm run conformance:aws', () => {
  it('makes templates of the company and of Sluice for it, without an account', async () => {
    writeWorkspace(folder, 'https://sandbox.example', 'company-tables');
    await cdk(folder, 'synth', 'company');
    await cdk(folder, 'synth', 'sluice');
    const template = (app: string, stack: string) =>
      JSON.parse(readFileSync(join(folder, `cdk.out-${app}`, `${stack}.template.json`), 'utf8')) as {
        Resources: Record<string, { Type: string; Properties: Record<string, unknown> }>;
        Outputs: Record<string, unknown>;
      };
    const company = template('company', 'Company');
    const types = Object.values(company.Resources).map(({ Type }) => Type);
    expect(types.filter((type) => type === 'AWS::Glue::Table')).toHaveLength(3);
    expect(types.filter((type) => type === 'AWS::SecretsManager::Secret')).toHaveLength(2);
    expect(Object.keys(company.Outputs)).toEqual(expect.arrayContaining(['Tables', 'Sandbox']));
    const sluice = template('sluice', 'Sluice');
    expect(Object.keys(sluice.Outputs)).toEqual(expect.arrayContaining(['SLUICEDIGEST', 'SLUICERUN', 'SLUICETABLE']));
    expect(JSON.stringify(sluice.Resources)).toContain('company-tables');
  });

  it('tells a story that comes out over the stand-ins of AWS', async () => {
    const world: Deployed = await deploy({ files: workspaceFiles, database: DATABASE });
    try {
      await world.fresh();
      for (const platform of PLATFORMS) await world.secret(secretOf(platform), world.sandbox.platform(platform).secret);
      await world.lambda();
      await world.stack(STAGE);
      for (const [name, value] of Object.entries(world.env)) vi.stubEnv(name, value);
      const told = story({
        dir: writeWorkspace(join(folder, 'story'), world.sandbox.url, 'lake'),
        stage: STAGE,
        rows: async (rows) => world.rows(rows as unknown as Rows),
        held: async (platform) => world.held(platform).size,
        requests: async (platform) => world.sandbox.platform(platform).requests().length,
      });
      await expect(told).resolves.toBeUndefined();
    } finally {
      vi.unstubAllEnvs();
      await world.close();
    }
  });

  it('has platforms behind the events of a function URL', async () => {
    const call = async (method: string, rawPath: string, rawQueryString = '', headers = {}, body?: string) => {
      const answer = await handler({
        rawPath,
        rawQueryString,
        headers: { host: 'abc.lambda-url.eu-central-1.on.aws', ...headers },
        requestContext: { http: { method } },
        ...(body !== undefined && { body: Buffer.from(body).toString('base64') }),
        isBase64Encoded: body !== undefined,
      });
      return { status: answer.statusCode, json: JSON.parse(Buffer.from(answer.body, 'base64').toString()) as unknown };
    };
    const key = standIns['braze']?.secret['api_key'] ?? '';
    const track = JSON.stringify({ attributes: [{ external_id: 'a', sluice: ['x'] }] });
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    expect(await call('POST', '/braze/users/track', '', headers, track)).toMatchObject({ status: 201 });
    expect(await call('POST', '/braze/users/track', '', { 'content-type': 'application/json' }, track)).toMatchObject({
      status: 401,
    });
    expect(await call('GET', '/_sandbox/braze', 'entries=1')).toMatchObject({ status: 200, json: { name: 'braze' } });
  });

  it('takes a bucket away with all versions of all objects, locked ones too; one that is gone is no mistake', async () => {
    const moto = await startMoto();
    try {
      const { s3 } = moto;
      const Bucket = 'receipts';
      const CreateBucketConfiguration = { LocationConstraint: 'eu-central-1' } as const;
      await s3.send(new CreateBucketCommand({ Bucket, CreateBucketConfiguration, ObjectLockEnabledForBucket: true }));
      await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } }));
      await s3.send(
        new PutObjectLockConfigurationCommand({
          Bucket,
          ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled', Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 1 } } },
        }),
      );
      for (const Body of ['one', 'two', 'three']) await s3.send(new PutObjectCommand({ Bucket, Key: 'a', Body }));
      expect((await s3.send(new ListObjectVersionsCommand({ Bucket }))).Versions).toHaveLength(3);
      await emptied(s3, Bucket, true);
      await expect(s3.send(new HeadBucketCommand({ Bucket }))).rejects.toMatchObject({ name: 'NotFound' });
      await expect(emptied(s3, 'never-made', true)).resolves.toBeUndefined();
    } finally {
      await moto.close();
    }
  });
});
