import { commitTask } from '../core/run/commit.ts';
import { reject, retryRejected, rollback } from '../core/run/operations.ts';
import { sweep } from '../core/run/sweep.ts';
import { deployedPorts, deployedStore, s3Client } from './adapters.ts';
import { environmentOf } from './environment.ts';
import { lakeSteps } from './lake.ts';
import { worker } from './worker.ts';

const env = environmentOf('commit', process.env);
const s3 = s3Client();

/** What writes the ledger and its receipts, moves the pointer, and deletes what is past its period: it reads none of the company's tables and no secret. */
export const handler = worker(
  async () => deployedPorts(deployedStore(env, s3), {}),
  lakeSteps(env, s3, (ports) => ({
    commit: commitTask(ports),
    sweep: async () => {
      await sweep(ports);
      return null;
    },
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
