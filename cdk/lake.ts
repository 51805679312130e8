import { Arn, ArnFormat, Stack } from 'aws-cdk-lib';
import { CfnWorkGroup } from 'aws-cdk-lib/aws-athena';
import { CfnDatabase, CfnTable } from 'aws-cdk-lib/aws-glue';
import type { IGrantable } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { IBucket } from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import type { Table } from '../core/model.ts';
import { LAKE_TABLE, lakeTables, receiptsTable } from '../core/sql/lake-tables.ts';
import { meantWildcard } from './acknowledged.ts';
import { allow } from './allow.ts';
import type { Settings } from './settings.ts';

/** Where results of queries go; what SQL leaves behind is deleted by the bucket's lifecycle. */
export const RESULTS = 'athena/';

export interface LakeProps {
  readonly settings: Settings;
  readonly bucket: IBucket;
  readonly receipts: IBucket;
  readonly key: IKey;
  readonly tables: readonly Table[];
}

/** What queries: a workgroup with a bytes cutoff, and the catalog's three tables over our own files. The company's tables stay where they are. */
export class Lake extends Construct {
  readonly workgroup: string;
  readonly database: string;
  readonly #props: LakeProps;

  constructor(scope: Construct, id: string, props: LakeProps) {
    super(scope, id);
    this.#props = props;
    const { settings, bucket, receipts, key } = props;
    const stack = Stack.of(this);
    this.workgroup = settings.workgroup ?? stack.stackName;
    if (settings.workgroup === undefined) {
      new CfnWorkGroup(this, 'Workgroup', {
        name: this.workgroup,
        description: `Sluice, ${settings.stage}`,
        recursiveDeleteOption: true,
        workGroupConfiguration: {
          bytesScannedCutoffPerQuery: Math.round(settings.scan_limit_gb * 1_000_000_000),
          enforceWorkGroupConfiguration: true,
          engineVersion: { selectedEngineVersion: 'Athena engine version 3' },
          publishCloudWatchMetricsEnabled: true,
          resultConfiguration: {
            outputLocation: `s3://${bucket.bucketName}/${RESULTS}`,
            encryptionConfiguration: { encryptionOption: 'SSE_KMS', kmsKey: key.keyArn },
          },
        },
      });
    }
    this.database = stack.stackName.toLowerCase().replaceAll('-', '_');
    const database = new CfnDatabase(this, 'Database', {
      catalogId: stack.account,
      databaseInput: {
        name: this.database,
        description: 'Files of Sluice: ledgers, snapshots, deltas. Read by partition projection.',
      },
    });
    for (const table of [...lakeTables(bucket.bucketName), receiptsTable(receipts.bucketName)]) {
      const columns = (of: Readonly<Record<string, string>>) => Object.entries(of).map(([name, type]) => ({ name, type }));
      new CfnTable(this, table.format, {
        catalogId: stack.account,
        databaseName: this.database,
        tableInput: {
          name: table.name,
          tableType: 'EXTERNAL_TABLE',
          parameters: table.parameters,
          partitionKeys: columns(table.partitionKeys),
          storageDescriptor: {
            location: table.location,
            inputFormat: table.inputFormat,
            outputFormat: table.outputFormat,
            serdeInfo: { serializationLibrary: table.serde, parameters: table.serdeParameters },
            columns: columns(table.columns),
          },
        },
      }).addResourceDependency(database);
    }
  }

  /** Queries over our own files. Results need the bucket as well: `state.letReadAndWrite(fn, RESULTS)`. */
  letQuery(to: IGrantable): void {
    allow(
      to,
      [
        'athena:StartQueryExecution',
        'athena:GetQueryExecution',
        'athena:GetQueryResults',
        'athena:StopQueryExecution',
        'athena:GetWorkGroup',
      ],
      [this.#arn('athena', 'workgroup', this.workgroup)],
    );
    this.#letReadCatalog(to, this.database, [LAKE_TABLE.parquet, LAKE_TABLE.jsonl]);
  }

  /** The table over the receipts. Their files need the bucket as well. */
  letReadReceipts(to: IGrantable): void {
    this.#letReadCatalog(to, this.database, [LAKE_TABLE.receipts]);
  }

  /** The activation tables: their entries in the catalog, their files, the keys of those. */
  letReadTables(to: IGrantable): void {
    const { settings, tables } = this.#props;
    const databases = new Map<string, Set<string>>();
    const catalogs = new Set<string>();
    for (const table of tables) {
      const server = table.servers[settings.environment];
      if (server?.type !== 'athena') continue;
      const name = table.physicalName.split('.').at(-1) ?? table.physicalName;
      catalogs.add(server.catalog);
      databases.set(server.database, (databases.get(server.database) ?? new Set()).add(name));
    }
    for (const [database, names] of databases) this.#letReadCatalog(to, database, [...names].toSorted());
    if (catalogs.size > 0) {
      const names = [...catalogs].toSorted();
      allow(
        to,
        ['athena:GetTableMetadata', 'athena:GetDataCatalog'],
        names.map((name) => this.#arn('athena', 'datacatalog', name)),
      );
    }
    allow(to, ['lakeformation:GetDataAccess'], ['*']);
    meantWildcard(
      Stack.of(this),
      '*',
      'Lake Formation, and the network interfaces of a function, know no resource in a policy; Lake Formation decides itself.',
    );
    const { buckets, keys } = settings.sources;
    const { partition } = Stack.of(this);
    if (buckets.length > 0) {
      const objects = buckets.map((name) => `arn:${partition}:s3:::${name}/*`);
      allow(to, ['s3:GetObject'], objects);
      for (const resource of objects)
        meantWildcard(Stack.of(this), resource, 'The files of a table have names that its writer makes.');
      allow(
        to,
        ['s3:ListBucket', 's3:GetBucketLocation'],
        buckets.map((name) => `arn:${partition}:s3:::${name}`),
      );
    }
    if (keys.length > 0) allow(to, ['kms:Decrypt'], keys);
  }

  #letReadCatalog(to: IGrantable, database: string, tables: readonly string[]): void {
    allow(
      to,
      [
        'glue:GetDatabase',
        'glue:GetTable',
        'glue:GetTables',
        'glue:GetPartition',
        'glue:GetPartitions',
        'glue:BatchGetPartition',
      ],
      [
        this.#arn('glue', 'catalog'),
        this.#arn('glue', 'database', database),
        ...tables.map((table) => this.#arn('glue', 'table', `${database}/${table}`)),
      ],
    );
  }

  #arn(service: string, resource: string, resourceName?: string): string {
    return Arn.format(
      {
        service,
        resource,
        ...(resourceName === undefined
          ? { arnFormat: ArnFormat.NO_RESOURCE_NAME }
          : { resourceName, arnFormat: ArnFormat.SLASH_RESOURCE_NAME }),
      },
      Stack.of(this),
    );
  }
}
