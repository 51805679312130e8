import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { AttributeType, Billing, type ITableV2, TableEncryptionV2, TableV2 } from 'aws-cdk-lib/aws-dynamodb';
import { Effect, type IGrantable, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { type IKey, Key } from 'aws-cdk-lib/aws-kms';
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  type IBucket,
  type LifecycleRule,
  ObjectLockRetention,
  ObjectOwnership,
} from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import type { Settings } from './settings.ts';

/** What remembers: the bucket of ledgers, snapshots and deltas; the bucket of receipts; the table of pointers, leases, budgets and stops. */
export class State extends Construct {
  readonly bucket: IBucket;
  readonly receipts: IBucket;
  readonly table: ITableV2;
  readonly key: IKey;

  constructor(scope: Construct, id: string, settings: Settings, lifecycle: readonly LifecycleRule[]) {
    super(scope, id);
    const keep = settings.on_removal === 'keep';
    const removalPolicy = keep ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;
    this.key =
      settings.key === undefined
        ? new Key(this, 'Key', {
            description: `Sluice ${settings.stage}: state and receipts`,
            enableKeyRotation: true,
            removalPolicy,
          })
        : Key.fromKeyArn(this, 'Key', settings.key);
    const common = {
      encryption: BucketEncryption.KMS,
      encryptionKey: this.key,
      bucketKeyEnabled: true,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      versioned: true,
      removalPolicy,
    };
    this.bucket =
      settings.state_bucket === undefined
        ? new Bucket(this, 'Bucket', { ...common, lifecycleRules: [...lifecycle, UNFINISHED] })
        : Bucket.fromBucketName(this, 'Bucket', settings.state_bucket);
    // Athena writes what it unloads with attempts of its own; a default retention would lock its leftovers too. Receipts have a bucket apart.
    this.receipts =
      settings.receipts_bucket === undefined
        ? new Bucket(this, 'Receipts', {
            ...common,
            objectLockEnabled: true,
            objectLockDefaultRetention: ObjectLockRetention.governance(Duration.days(settings.receipts_days)),
            lifecycleRules: [UNFINISHED],
            // A locked bucket cannot be emptied: whoever wants it gone does that by hand, when the law lets them.
            removalPolicy: RemovalPolicy.RETAIN,
          })
        : Bucket.fromBucketName(this, 'Receipts', settings.receipts_bucket);
    this.table = new TableV2(this, 'Table', {
      partitionKey: { name: 'pk', type: AttributeType.STRING },
      sortKey: { name: 'sk', type: AttributeType.STRING },
      billing: Billing.onDemand(),
      encryption: TableEncryptionV2.customerManagedKey(this.key),
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      timeToLiveAttribute: 'ttl',
      deletionProtection: keep,
      removalPolicy,
    });
  }

  /** Objects of the state bucket under these prefixes: read, and list. */
  letRead(to: IGrantable, ...prefixes: readonly string[]): void {
    this.#allow(to, ['s3:GetObject'], this.bucket, prefixes);
    this.#allowList(to, this.bucket);
    this.#allowKey(to, ['kms:Decrypt']);
  }

  /** Objects of the state bucket under these prefixes: read, list, write. */
  letReadAndWrite(to: IGrantable, ...prefixes: readonly string[]): void {
    this.#allow(to, ['s3:GetObject', 's3:PutObject', 's3:AbortMultipartUpload'], this.bucket, prefixes);
    this.#allowList(to, this.bucket);
    this.#allowKey(to, ['kms:Decrypt', 'kms:GenerateDataKey']);
  }

  /** Objects of the state bucket under these prefixes: delete, versions too, so that what was erased is gone. */
  letDelete(to: IGrantable, ...prefixes: readonly string[]): void {
    this.#allow(to, ['s3:DeleteObject', 's3:DeleteObjectVersion'], this.bucket, prefixes);
    to.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({ actions: ['s3:ListBucketVersions'], resources: [this.bucket.bucketArn] }),
    );
  }

  /** Receipts: write and read, never delete or change the lock. */
  letWriteReceipts(to: IGrantable): void {
    this.#allow(to, ['s3:GetObject', 's3:PutObject', 's3:AbortMultipartUpload'], this.receipts, ['']);
    this.#allowList(to, this.receipts);
    this.#allowKey(to, ['kms:Decrypt', 'kms:GenerateDataKey']);
  }

  /** Items of the table: pointers, leases, budgets, documents, stops. */
  letReadAndWriteItems(to: IGrantable): void {
    to.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({
        actions: [
          'dynamodb:GetItem',
          'dynamodb:BatchGetItem',
          'dynamodb:Query',
          'dynamodb:PutItem',
          'dynamodb:UpdateItem',
          'dynamodb:DeleteItem',
          'dynamodb:ConditionCheckItem',
          'dynamodb:BatchWriteItem',
        ],
        resources: [this.table.tableArn],
      }),
    );
    this.#allowKey(to, ['kms:Decrypt', 'kms:GenerateDataKey']);
  }

  #allow(to: IGrantable, actions: readonly string[], bucket: IBucket, prefixes: readonly string[]): void {
    const resources = prefixes.map((prefix) => bucket.arnForObjects(`${prefix}*`));
    to.grantPrincipal.addToPrincipalPolicy(new PolicyStatement({ effect: Effect.ALLOW, actions: [...actions], resources }));
  }

  #allowList(to: IGrantable, bucket: IBucket): void {
    to.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({ actions: ['s3:ListBucket', 's3:GetBucketLocation'], resources: [bucket.bucketArn] }),
    );
  }

  #allowKey(to: IGrantable, actions: readonly string[]): void {
    to.grantPrincipal.addToPrincipalPolicy(new PolicyStatement({ actions: [...actions], resources: [this.key.keyArn] }));
  }

  /** Region and account of this deployment, for policies. */
  get stack(): Stack {
    return Stack.of(this);
  }
}

/** Parts of uploads that never ended are paid for and seen by nobody. */
const UNFINISHED: LifecycleRule = { id: 'unfinished-uploads', abortIncompleteMultipartUploadAfter: Duration.days(2) };
