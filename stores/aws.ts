import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { S3Client } from '@aws-sdk/client-s3';
import type { Clock, Store } from '../core/ports.ts';
import { dynamoBudgets } from './budgets-dynamo.ts';
import { dynamoDocuments } from './documents-dynamo.ts';
import { Table } from './dynamo-table.ts';
import { s3Files } from './files-s3.ts';
import { dynamoLeases } from './leases-dynamo.ts';
import { dynamoPointers } from './pointers-dynamo.ts';
import { dynamoStopList } from './stops-dynamo.ts';
import { dynamoTokens } from './tokens-dynamo.ts';

export interface AwsStoreOptions {
  readonly s3: S3Client;
  readonly dynamo: DynamoDBClient;
  /** The bucket of files, and the one of receipts. */
  readonly state: string;
  readonly receipts: string;
  /** Keys `pk` and `sk`, both strings. */
  readonly table: string;
  /** Where in the buckets. With a slash at its end, or empty. */
  readonly prefix?: string;
  readonly clock: Clock;
}

/**
 * The store of a deployment: files in S3, everything that moves in one DynamoDB table. The clients are the caller's, and closed by them.
 * Throws `StoreUnavailable` and `StoreRefused`, and what the ports say.
 */
export function openAwsStore({ s3, dynamo, state, receipts, table, prefix = '', clock }: AwsStoreOptions): Store {
  const items = new Table(dynamo, table, clock);
  return {
    files: s3Files({ client: s3, bucket: state, prefix }),
    receipts: s3Files({ client: s3, bucket: receipts, prefix }),
    pointers: dynamoPointers(items, `s3://${state}/${prefix}`),
    leases: dynamoLeases(items, clock),
    budgets: dynamoBudgets(items, clock),
    tokens: dynamoTokens(items, clock),
    stops: dynamoStopList(items),
    documents: dynamoDocuments(items),
    close: async () => undefined,
  };
}
