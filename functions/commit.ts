import { commitTask } from '../core/run/commit.ts';
import { metered } from '../core/run/usage.ts';
import { deployedPorts, deployedStore, s3Client } from './adapters.ts';
import { environmentOf } from './environment.ts';
import { lakeSteps } from './lake.ts';
import { worker } from './worker.ts';

const env = environmentOf('commit', process.env);
const s3 = s3Client();

/** What writes the ledger and its receipts and moves the pointer: it reads none of the company's tables and no secret, and deletes nothing. */
export const handler = worker(
  async () => deployedPorts(deployedStore(env, s3), {}),
  lakeSteps(env, s3, (ports) => ({ commit: metered(ports.warehouse)(commitTask(ports)) })),
);
