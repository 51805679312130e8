import { commitTask } from '../core/run/commit.ts';
import { reject, retryRejected, rollback } from '../core/run/operations.ts';
import { metered } from '../core/run/usage.ts';
import { deployedPorts, deployedStore, s3Client } from './adapters.ts';
import { environmentOf } from './environment.ts';
import { lakeSteps } from './lake.ts';
import { worker } from './worker.ts';

const env = environmentOf('commit', process.env);
const s3 = s3Client();

/** What writes the ledger and its receipts and moves the pointer: it reads none of the company's tables and no secret, and deletes nothing but the delta of a plan that was rejected. */
export const handler = worker(
  async () => deployedPorts(deployedStore(env, s3), {}),
  lakeSteps(env, s3, (ports) => ({
    commit: metered(ports.warehouse)(commitTask(ports)),
    async reject({ run }) {
      await reject({ ports }, run);
      return null;
    },
    async rollback({ audience, destination, generation }) {
      await rollback({ ports }, audience, destination, generation);
      return null;
    },
    async retry({ audience, destination }) {
      await retryRejected({ ports }, audience, destination);
      return null;
    },
  })),
);
