import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { AthenaClient } from '@aws-sdk/client-athena';
import { S3Client } from '@aws-sdk/client-s3';
import type { Warehouse, WarehouseUsage } from '../../core/ports.ts';
import { LAKE_COLUMNS } from '../../core/sql/lake-tables.ts';
import { type AthenaOptions, openAthena } from '../../warehouses/athena.ts';
import { systemClock } from '../../stores/system-clock.ts';
import { type DuckDbEngineOptions, duckDbEngine } from './athena-duckdb.ts';
import { type AthenaEndpoint, type AthenaEngine, type EndpointOptions, startAthena } from './athena-endpoint.ts';
import { type S3Server, startS3 } from './s3-server.ts';

export const BUCKET = 'state';
export const DATABASE = 'sluice';
const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };

/** Athena's and S3's APIs on this machine, over a folder, and the adapter speaking to them through the real SDK clients. */
export interface AthenaWorld {
  readonly root: string;
  readonly endpoint: AthenaEndpoint;
  readonly s3: S3Server;
  readonly clients: { readonly athena: AthenaClient; readonly s3: S3Client };
  /** An adapter; closed with the world. */
  open(options?: Partial<AthenaOptions>): Warehouse & { usage(): WarehouseUsage };
  /** `s3://state/<name>` of a folder nothing was written to yet. */
  prefix(): string;
  /** Text of a file, unpacked. */
  read(location: string): string;
  close(): Promise<void>;
}

export type AthenaWorldOptions = Partial<Omit<EndpointOptions, 'engine' | 'root'>> &
  Partial<Pick<DuckDbEngineOptions, 'columns' | 'setup' | 'versions'>> & {
    /** Default: DuckDB over a folder and an S3 of this world's own. */
    readonly engine?: AthenaEngine;
    /** Folder of the buckets, and the endpoint of an S3 over it. */
    readonly root?: string;
    readonly s3?: string;
  };

export async function openAthenaWorld(options: AthenaWorldOptions = {}): Promise<AthenaWorld> {
  const { columns = LAKE_COLUMNS, setup, versions, engine: given, root: shared, s3: there, ...rest } = options;
  const root = shared ?? mkdtempSync(join(tmpdir(), 'sluice-athena-'));
  for (const bucket of [BUCKET, 'results', 'lake']) mkdirSync(join(root, bucket), { recursive: true });
  const s3 = there === undefined ? await startS3(root) : elsewhere(there);
  const engine =
    given ??
    (await duckDbEngine({
      root,
      bucket: BUCKET,
      database: DATABASE,
      columns,
      ...(setup && { setup: setup.map((statement) => statement.replaceAll('{root}', root)) }),
      ...(versions && { versions }),
    }));
  const endpoint = await startAthena({ workGroup: 'sluice', ...rest, engine, root });
  const clients = {
    athena: new AthenaClient({ endpoint: endpoint.endpoint, region: 'eu-central-1', credentials, maxAttempts: 1 }),
    s3: new S3Client({ endpoint: s3.endpoint, region: 'eu-central-1', forcePathStyle: true, credentials }),
  };
  const opened: Warehouse[] = [];
  let prefixes = 0;
  const run = randomUUID();
  return {
    root,
    endpoint,
    s3,
    clients,
    open(more = {}) {
      const warehouse = openAthena({
        ...clients,
        // Waits are short here; what they are on Athena is in the adapter.
        clock: { ...systemClock, sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 2), signal) },
        workGroup: 'sluice',
        environment: 'aws',
        lake: { catalog: 'awsdatacatalog', database: DATABASE, bucket: BUCKET },
        ...more,
      });
      opened.push(warehouse);
      return warehouse;
    },
    prefix: () => `s3://${BUCKET}/out/${run}/${prefixes++}`,
    read(location) {
      const content = readFileSync(join(root, location.slice('s3://'.length)));
      return (location.endsWith('.gz') ? gunzipSync(content) : content).toString();
    },
    async close() {
      for (const warehouse of opened) await warehouse.close();
      await endpoint.close();
      clients.athena.destroy();
      clients.s3.destroy();
      await s3.close();
      if (shared === undefined) rmSync(root, { recursive: true });
    },
  };
}

/** An S3 of another process, which cannot be told to fail. */
const elsewhere = (endpoint: string): S3Server => ({
  endpoint,
  requests: [],
  fail() {
    throw new Error('this S3 runs in another process');
  },
  heal: () => undefined,
  before() {
    throw new Error('this S3 runs in another process');
  },
  close: () => Promise.resolve(),
});
