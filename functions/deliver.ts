import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { createHttp } from '../connectors/http.ts';
import { connectors } from '../connectors/index.ts';
import { beginTask, deliverTask, finishTask } from '../core/run/deliver.ts';
import { openDestinations } from '../core/run/destinations.ts';
import { awsSecrets } from '../stores/secrets-aws.ts';
import { systemClock } from '../stores/system-clock.ts';
import { deployedPorts, deployedStore, s3Client } from './adapters.ts';
import { environmentOf } from './environment.ts';
import { worker } from './worker.ts';

/** What sends: it reads deltas and the destinations' secrets, and no table. */
export const handler = worker(
  async () => {
    const env = environmentOf('deliver', process.env);
    const store = deployedStore(env, s3Client());
    const { contextFor } = openDestinations({
      connectors,
      secrets: awsSecrets(new SecretsManagerClient({ maxAttempts: 5 }), systemClock),
      createHttp,
      overrideFor: () => undefined,
      timeoutMs: undefined,
      now: () => systemClock.now(),
      tokens: store.tokens,
      resolvePath: (path) => path,
    });
    return deployedPorts(env, store, { contextFor });
  },
  (ports) => ({ steps: { begin: beginTask(ports), deliver: deliverTask(ports), finish: finishTask(ports) } }),
);
