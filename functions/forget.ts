import { connectors } from '../connectors/index.ts';
import type { Erasure } from '../core/forget/erasure.ts';
import { continueForget, forget } from '../core/forget/forget.ts';
import { parseOpenDsr } from '../core/forget/request.ts';
import { removeDemanded, tendLedgers } from '../core/run/demanded.ts';
import { syncKey } from '../core/run/ports.ts';
import { sweep } from '../core/run/sweep.ts';
import { deployedPorts, deployedStore, s3Client } from './adapters.ts';
import { deployedDestinations } from './destinations.ts';
import { environmentOf } from './environment.ts';
import { memberKeyIn, signerIn } from './keys.ts';
import { lakeSteps } from './lake.ts';
import { putMetrics } from './metrics.ts';
import { worker } from './worker.ts';

const env = environmentOf('forget', process.env);
const s3 = s3Client();

/**
 * What a person demands (law 8): withdrawals that a held run must not hold up, and erasures; and, every hour, what is past its period is
 * deleted. The one function that reads tables and has secrets of destinations, because it has to find somebody and take them out, and
 * the one that may delete; it never adds anybody anywhere.
 */
export const handler = worker(
  async () => {
    const store = deployedStore(env, s3);
    const [memberKey, signer] = await Promise.all([memberKeyIn(env.SLUICE_MEMBER_KEY), signerIn(env.SLUICE_SIGNING_KEY)]);
    return { ...deployedPorts(store, { connectors, contextFor: deployedDestinations(store), memberKey }), signer };
  },
  lakeSteps(env, s3, (ports) => ({
    async demanded({ audience, destination, tick }) {
      const removed = await removeDemanded(ports, { sync: syncKey(audience, destination), audience, destination }, tick);
      return { removed: removed !== undefined };
    },
    forget: async ({ request }) => told([await forget(ports, parseOpenDsr(request))]),
    async continue() {
      const erasures = await continueForget(ports);
      putMetrics({ erasuresOpen: erasures.filter(({ status }) => status === 'in_progress').length }, env.SLUICE_STAGE);
      const { failed } = await tendLedgers(ports, ports.clock.now());
      // One ledger that cannot be tended keeps none of the others; the alarm of failed runs rings for it.
      if (failed.length > 0) putMetrics({ failed: failed.length }, env.SLUICE_STAGE);
      // Last, and here: what is kept too long for an hour more hurts nobody, and no other function may delete what a ledger was.
      await sweep(ports);
      return told(erasures);
    },
  })),
);

/** Of an erasure only its name and where it stands. */
const told = (erasures: readonly Erasure[]): { readonly erasures: readonly { id: string; status: string }[] } => ({
  erasures: erasures.map(({ id, status }) => ({ id, status })),
});
