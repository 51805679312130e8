import { diffTask } from '../core/run/diff.ts';
import { deployedPorts, deployedStore, s3Client } from './adapters.ts';
import { environmentOf } from './environment.ts';
import { lakeSteps } from './lake.ts';
import { worker } from './worker.ts';

const env = environmentOf('diff', process.env);
const s3 = s3Client();

/** What compares: it reads and writes our own files, and none of the company's tables. */
export const handler = worker(
  async () => deployedPorts(env, deployedStore(env, s3), {}),
  lakeSteps(env, s3, (ports) => ({ diff: diffTask(ports) })),
);
