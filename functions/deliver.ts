import { connectors } from '../connectors/index.ts';
import { beginTask, deliverTask, finishTask } from '../core/run/deliver.ts';
import { deployedPorts, deployedStore, s3Client } from './adapters.ts';
import { deployedDestinations } from './destinations.ts';
import { environmentOf } from './environment.ts';
import { putMetrics } from './metrics.ts';
import { worker } from './worker.ts';

const env = environmentOf('deliver', process.env);

/** A delivery that comes back later than this waits for a budget or a quota, not for a next worker. Milliseconds. */
const WAITS_MS = 60_000;

/** What sends: it reads deltas and the destinations' secrets, and no table. */
export const handler = worker(
  async () => {
    const store = deployedStore(env, s3Client());
    return deployedPorts(store, { connectors, contextFor: deployedDestinations(store) });
  },
  (ports) => ({
    steps: {
      begin: beginTask(ports),
      async deliver(input) {
        const result = await deliverTask(ports)(input);
        if ((result.resumeAt ?? 0) - ports.clock.now() > WAITS_MS)
          putMetrics({ budgetWaits: 1 }, env.SLUICE_STAGE, input.audience);
        return result;
      },
      finish: finishTask(ports),
    },
  }),
);
