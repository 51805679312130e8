import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { BUCKET, DATABASE } from '../athena.ts';
import { startS3 } from '../s3-server.ts';
import { makeLakeTables } from './engine.ts';
import { startTrino } from './server.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    readonly trino: string;
    readonly s3: string;
    /** Folder of the buckets. */
    readonly root: string;
  }
}

let stop = (): Promise<void> => Promise.resolve();

/** One Trino and one S3 for all test files: a server takes ten seconds to start. */
export async function setup(project: TestProject): Promise<void> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'sluice-lake-')));
  for (const bucket of [BUCKET, 'results', 'metastore']) mkdirSync(join(root, bucket));
  const s3 = await startS3(root);
  const trino = await startTrino(s3.endpoint);
  await makeLakeTables(trino.endpoint, { bucket: BUCKET, database: DATABASE });
  project.provide('trino', trino.endpoint);
  project.provide('s3', s3.endpoint);
  project.provide('root', root);
  stop = async () => {
    await trino.close();
    await s3.close();
    rmSync(root, { recursive: true, force: true });
  };
}

export const teardown = (): Promise<void> => stop();
