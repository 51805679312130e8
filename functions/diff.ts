import { connectors } from '../connectors/index.ts';
import { diffTask } from '../core/run/diff.ts';
import { metered } from '../core/run/usage.ts';
import { deployedPorts, deployedStore, s3Client } from './adapters.ts';
import { environmentOf } from './environment.ts';
import { lakeSteps } from './lake.ts';
import { worker } from './worker.ts';

const env = environmentOf('diff', process.env);
const s3 = s3Client();

/** What compares, and writes identifiers as platforms want them: it reads and writes our own files, and none of the company's tables. */
export const handler = worker(
  async () => deployedPorts(deployedStore(env, s3), { connectors }),
  lakeSteps(env, s3, (ports) => ({ diff: metered(ports.warehouse)(diffTask(ports)) })),
);
