import type { Store } from '../core/ports.ts';
import { gateTask } from '../core/run/gate.ts';
import { materializeTask } from '../core/run/materialize.ts';
import { refuseWithdrawn } from '../core/run/operations.ts';
import type { RunDocument, RunPorts } from '../core/run/ports.ts';
import { recheckTask } from '../core/run/recheck.ts';
import { metered } from '../core/run/usage.ts';
import { deployedPorts, deployedStore, s3Client } from './adapters.ts';
import type { AwsTasks } from './durable.ts';
import { environmentOf } from './environment.ts';
import { memberKeyIn } from './keys.ts';
import { lakeSteps } from './lake.ts';
import { worker } from './worker.ts';

const env = environmentOf('materialize', process.env);
const s3 = s3Client();

/** What reads the company's tables: it has the key that turns customer ids into hashes, and no secret of a destination. */
export const handler = worker(
  async () => deployedPorts(deployedStore(env, s3), { memberKey: await memberKeyIn(env.SLUICE_MEMBER_KEY) }),
  lakeSteps(env, s3, (ports) => {
    const billed = metered(ports.warehouse);
    return {
      gate: billed(gateTask(ports)),
      materialize: billed(materializeTask(ports)),
      recheck: billed(recheckTask(ports)),
      withdrawn: billed(withdrawnTask(ports, ports.store)),
    };
  }),
);

const withdrawnTask =
  (ports: RunPorts, { documents }: Store): AwsTasks['withdrawn'] =>
  async ({ run, now }) => {
    const document = await documents.get<RunDocument>('run', run);
    if (document !== null) await refuseWithdrawn(ports, document, now);
    return {};
  };
