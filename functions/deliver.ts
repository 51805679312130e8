import { beginTask, deliverTask, finishTask } from '../core/run/deliver.ts';
import { deployedPorts, deployedStore, s3Client } from './adapters.ts';
import { deployedDestinations } from './destinations.ts';
import { environmentOf } from './environment.ts';
import { worker } from './worker.ts';

/** What sends: it reads deltas and the destinations' secrets, and no table. */
export const handler = worker(
  async () => {
    const env = environmentOf('deliver', process.env);
    const store = deployedStore(env, s3Client());
    return deployedPorts(env, store, { contextFor: deployedDestinations(store) });
  },
  (ports) => ({ steps: { begin: beginTask(ports), deliver: deliverTask(ports), finish: finishTask(ports) } }),
);
