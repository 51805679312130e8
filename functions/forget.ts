import { connectors } from '../connectors/index.ts';
import { deployedPorts, deployedStore, s3Client } from './adapters.ts';
import { demandsOf } from './demands.ts';
import { deployedDestinations } from './destinations.ts';
import { environmentOf } from './environment.ts';
import { memberKeyIn, signerIn } from './keys.ts';
import { lakeSteps } from './lake.ts';
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
  lakeSteps(env, s3, (ports) => demandsOf(ports, env.SLUICE_STAGE)),
);
