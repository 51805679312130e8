import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { AttributeType, BillingMode, Table, TableEncryption } from 'aws-cdk-lib/aws-dynamodb';
import { type IGrantable, PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
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
import type { LifecycleRule as ByAge } from '../core/files/retention-policy.ts';
import { meant, meantWildcard } from './acknowledged.ts';
import type { Settings } from './settings.ts';

/** What remembers: the bucket of ledgers, snapshots and deltas; the bucket of receipts; the table of pointers, leases, budgets and stops. */
export class State extends Construct {
  readonly bucket: IBucket;
  readonly receipts: IBucket;
  readonly table: Table;
  readonly key: IKey;

  constructor(scope: Construct, id: string, settings: Settings, lifecycle: readonly ByAge[]) {
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
    // A key that was brought along has its own policy: docs/deploy.md says what it must allow.
    this.#letServicesUseKey();
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
    // Who read what is asked about receipts and ledgers. S3 writes its access logs with its own key only.
    const access = new Bucket(this, 'Access', {
      ...common,
      encryption: BucketEncryption.S3_MANAGED,
      encryptionKey: undefined,
      bucketKeyEnabled: false,
      lifecycleRules: [
        UNFINISHED,
        { id: 'access-logs', expiration: Duration.days(400), noncurrentVersionExpiration: Duration.days(1) },
      ],
    });
    meant(access, 'S1', 'It holds the access logs of the others; logging its own reads into itself would never end.');
    const byAge = (store: ByAge['store'], locked = 0): readonly LifecycleRule[] =>
      lifecycle
        .filter((rule) => rule.store === store)
        .map(({ prefix, days, deletedDays, what }) => ({
          id: what.replaceAll(/\W+/g, '-'),
          ...(prefix !== '' && { prefix }),
          // What is locked cannot go earlier; asking for it would only hide the object.
          ...(days !== undefined && { expiration: Duration.days(Math.max(days, locked)) }),
          noncurrentVersionExpiration: Duration.days(deletedDays),
        }));
    const logged = (prefix: string) => ({ serverAccessLogsBucket: access, serverAccessLogsPrefix: prefix });
    this.bucket =
      settings.state_bucket === undefined
        ? new Bucket(this, 'Bucket', { ...common, ...logged('state/'), lifecycleRules: [...byAge('state'), UNFINISHED] })
        : Bucket.fromBucketName(this, 'Bucket', settings.state_bucket);
    // Athena writes what it unloads with attempts of its own; a default retention would lock its leftovers too. Receipts have a bucket apart.
    this.receipts =
      settings.receipts_bucket === undefined
        ? new Bucket(this, 'Receipts', {
            ...common,
            ...logged('receipts/'),
            objectLockEnabled: true,
            objectLockDefaultRetention: ObjectLockRetention.governance(Duration.days(settings.receipts_days)),
            lifecycleRules: [...byAge('receipts', settings.receipts_days), UNFINISHED],
            // A locked bucket cannot be emptied: whoever wants it gone does that by hand, when the law lets them.
            removalPolicy: RemovalPolicy.RETAIN,
          })
        : Bucket.fromBucketName(this, 'Receipts', settings.receipts_bucket);
    // Not TableV2: a global table with a key of ours cannot be written into a template before its region is known.
    this.table = new Table(this, 'Table', {
      partitionKey: { name: 'pk', type: AttributeType.STRING },
      sortKey: { name: 'sk', type: AttributeType.STRING },
      billingMode: BillingMode.PAY_PER_REQUEST,
      encryption: TableEncryption.CUSTOMER_MANAGED,
      encryptionKey: this.key,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      timeToLiveAttribute: 'ttl',
      deletionProtection: keep,
      removalPolicy,
    });
  }

  /**
   * https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html and
   * https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html, read 2026-11-25.
   */
  #letServicesUseKey(): void {
    const { account, region, partition } = Stack.of(this);
    const use = (principal: string, conditions: Record<string, Record<string, string>>): void => {
      this.key.addToResourcePolicy(
        new PolicyStatement({
          principals: [new ServicePrincipal(principal)],
          actions: ['kms:Encrypt', 'kms:Decrypt', 'kms:ReEncrypt*', 'kms:GenerateDataKey*', 'kms:DescribeKey'],
          resources: ['*'],
          conditions,
        }),
      );
    };
    use(`logs.${region}.amazonaws.com`, {
      ArnLike: { 'kms:EncryptionContext:aws:logs:arn': `arn:${partition}:logs:${region}:${account}:*` },
    });
    use('cloudwatch.amazonaws.com', { StringEquals: { 'aws:SourceAccount': account } });
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

  /** Receipts: read. */
  letReadReceipts(to: IGrantable): void {
    this.#allow(to, ['s3:GetObject'], this.receipts, ['']);
    this.#allowList(to, this.receipts);
    this.#allowKey(to, ['kms:Decrypt']);
  }

  /** Items of the table: read. */
  letReadItems(to: IGrantable): void {
    to.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({
        actions: ['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:Query'],
        resources: [this.table.tableArn],
      }),
    );
    this.#allowKey(to, ['kms:Decrypt']);
  }

  /** The notes of runs that are in no books (core/run/sweep.ts), so that the files of a comparison that died are found: no other item. */
  letNoteScratch(to: IGrantable): void {
    to.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({
        actions: ['dynamodb:PutItem', 'dynamodb:DeleteItem'],
        resources: [this.table.tableArn],
        conditions: { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': ['document#scratch'] } },
      }),
    );
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
    for (const resource of resources)
      meantWildcard(Stack.of(this), resource, 'Objects have names that a run makes; what is under this prefix is its own.');
    to.grantPrincipal.addToPrincipalPolicy(new PolicyStatement({ actions: [...actions], resources }));
  }

  #allowList(to: IGrantable, bucket: IBucket): void {
    to.grantPrincipal.addToPrincipalPolicy(
      new PolicyStatement({ actions: ['s3:ListBucket', 's3:GetBucketLocation'], resources: [bucket.bucketArn] }),
    );
  }

  #allowKey(to: IGrantable, actions: readonly string[]): void {
    to.grantPrincipal.addToPrincipalPolicy(new PolicyStatement({ actions: [...actions], resources: [this.key.keyArn] }));
  }
}

/** Parts of uploads that never ended are paid for and seen by nobody. */
const UNFINISHED: LifecycleRule = { id: 'unfinished-uploads', abortIncompleteMultipartUploadAfter: Duration.days(2) };
