import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { S3Client } from '@aws-sdk/client-s3';
import type { Destination } from '../core/model.ts';
import type { Store, Warehouse } from '../core/ports.ts';
import type { RunPorts } from '../core/run/ports.ts';
import { openAwsStore } from '../stores/aws.ts';
import { systemClock } from '../stores/system-clock.ts';
import { withoutSending } from './platforms.ts';
import { refuse } from './refusal.ts';
import { deployed } from './workspace.ts';
import type { PerCall } from './worker.ts';

/** Tries of one request, waits growing with jitter: S3 and DynamoDB ask for less for seconds at a time, not for minutes. */
const PATIENT = { maxAttempts: 8, retryMode: 'standard' } as const;

export interface StoreEnvironment {
  readonly SLUICE_STATE_BUCKET: string;
  readonly SLUICE_RECEIPTS_BUCKET: string;
  readonly SLUICE_TABLE: string;
}

/** An S3 client as every function uses it. Where an endpoint is set, buckets are named in the path: a stand-in has no names of its own. */
export const s3Client = (): S3Client => new S3Client({ ...PATIENT, forcePathStyle: process.env.AWS_ENDPOINT_URL !== undefined });

export function deployedStore(env: StoreEnvironment, s3: S3Client): Store {
  return openAwsStore({
    s3,
    dynamo: new DynamoDBClient(PATIENT),
    state: env.SLUICE_STATE_BUCKET,
    receipts: env.SLUICE_RECEIPTS_BUCKET,
    table: env.SLUICE_TABLE,
    clock: systemClock,
  });
}

/**
 * What steps run over. A function is given what its privileges allow, and for the rest something that refuses by name: what sends has no
 * warehouse, what reads tables has no secrets of a destination, and what neither writes identifiers nor sends has no connectors.
 */
export function deployedPorts(
  store: Store,
  given: Partial<Pick<RunPorts, 'warehouse' | 'connectors' | 'contextFor' | 'memberKey'>>,
): Omit<RunPorts, keyof PerCall> {
  const { workspace, digest, platforms } = deployed();
  return {
    workspace,
    digest,
    store,
    connectors: given.connectors ?? withoutSending(platforms),
    clock: systemClock,
    warehouse: given.warehouse ?? NO_WAREHOUSE,
    contextFor: given.contextFor ?? noDestinations,
    // Where there is none, there is no step that makes a hash.
    memberKey: given.memberKey ?? '',
  };
}

const NO_WAREHOUSE: Warehouse = {
  name: 'athena',
  describe: async () => refuse('tables'),
  rows: async () => refuse('tables'),
  materialize: async () => refuse('tables'),
  unload: async () => refuse('tables'),
  validate: async () => refuse('tables'),
  close: async () => undefined,
};

const noDestinations = async ({ name }: Destination): Promise<never> => refuse(`the secret of ${name}`);
