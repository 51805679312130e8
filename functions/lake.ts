import { AthenaClient } from '@aws-sdk/client-athena';
import type { S3Client } from '@aws-sdk/client-s3';
import type { RunPorts } from '../core/run/ports.ts';
import { systemClock } from '../stores/system-clock.ts';
import { openAthena } from '../warehouses/athena.ts';
import type { AwsTasks } from './durable.ts';
import { putMetrics } from './metrics.ts';
import type { AskedInput, Chosen } from './worker.ts';

export interface LakeEnvironment {
  readonly SLUICE_ENVIRONMENT: string;
  readonly SLUICE_STATE_BUCKET: string;
  readonly SLUICE_STAGE: string;
  readonly SLUICE_WORKGROUP: string;
  readonly SLUICE_CATALOG: string;
  readonly SLUICE_DATABASE: string;
}

/**
 * Steps with a warehouse of their own for each call: it knows the run, so that a query that outlives this worker is found by the next
 * and not started again, and the instant that Iceberg tables are read at.
 */
export function lakeSteps(
  env: LakeEnvironment,
  s3: S3Client,
  stepsOf: (ports: RunPorts) => Partial<AwsTasks>,
): (ports: RunPorts, input: AskedInput) => Chosen {
  const athena = new AthenaClient({ maxAttempts: 5 });
  const lake = { catalog: env.SLUICE_CATALOG, database: env.SLUICE_DATABASE, bucket: env.SLUICE_STATE_BUCKET };
  return (ports, { run, tick }) => {
    const warehouse = openAthena({
      athena,
      s3,
      clock: systemClock,
      workGroup: env.SLUICE_WORKGROUP,
      environment: env.SLUICE_ENVIRONMENT,
      lake,
      ...(run !== undefined && { scope: run }),
      ...(tick !== undefined && { asOf: tick }),
      ...(ports.deadline !== undefined && { deadline: ports.deadline }),
    });
    return {
      steps: stepsOf({ ...ports, warehouse }),
      async close() {
        putMetrics({ bytesScanned: warehouse.usage().scannedBytes }, env.SLUICE_STAGE);
        await warehouse.close();
      },
    };
  };
}
