import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { Store } from '../core/ports.ts';
import { gateTask } from '../core/run/gate.ts';
import { materializeTask } from '../core/run/materialize.ts';
import { refuseWithdrawn } from '../core/run/operations.ts';
import type { RunDocument, RunPorts } from '../core/run/ports.ts';
import { recheckTask } from '../core/run/recheck.ts';
import { awsSecrets } from '../stores/secrets-aws.ts';
import { systemClock } from '../stores/system-clock.ts';
import { deployedPorts, deployedStore, s3Client } from './adapters.ts';
import type { AwsTasks } from './durable.ts';
import { environmentOf } from './environment.ts';
import { lakeSteps } from './lake.ts';
import { worker } from './worker.ts';

const env = environmentOf('materialize', process.env);
const s3 = s3Client();

/** What reads the company's tables: it has the key that turns customer ids into hashes, and no secret of a destination. */
export const handler = worker(
  async () => deployedPorts(env, deployedStore(env, s3), { memberKey: await memberKey() }),
  lakeSteps(env, s3, (ports) => ({
    gate: gateTask(ports),
    materialize: materializeTask(ports),
    recheck: recheckTask(ports),
    withdrawn: withdrawnTask(ports, ports.store),
  })),
);

async function memberKey(): Promise<string> {
  const secret = await awsSecrets(new SecretsManagerClient({ maxAttempts: 5 }), systemClock).get(env.SLUICE_MEMBER_KEY);
  const key = secret?.['value'];
  if (key !== undefined && /^[0-9a-f]{64}$/.test(key)) return key;
  throw new Error(
    'The secret of the member key does not hold 64 hex digits. Put it back: under a new key nobody in the ledgers is known.',
  );
}

const withdrawnTask =
  (ports: RunPorts, { documents }: Store): AwsTasks['withdrawn'] =>
  async ({ run, now }) => {
    const document = await documents.get<RunDocument>('run', run);
    if (document !== null) await refuseWithdrawn(ports, document, now);
    return null;
  };
