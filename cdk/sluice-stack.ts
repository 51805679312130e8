import { ArnFormat, CfnOutput, Duration, RemovalPolicy, Stack, type StackProps } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Alias, type Code } from 'aws-cdk-lib/aws-lambda';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { lifecycleOf } from '../core/files/retention-policy.ts';
import type { Workspace } from '../core/model.ts';
import { type FunctionName, NEEDS, type Variable } from '../functions/environment.ts';
import { meant } from './acknowledged.ts';
import { letDrop } from './drops.ts';
import { Worker } from './function.ts';
import { Lake, RESULTS } from './lake.ts';
import { Notifications } from './notifications.ts';
import { People } from './people.ts';
import { Schedules } from './schedules.ts';
import { letReadSecrets } from './secrets.ts';
import type { Settings } from './settings.ts';
import { State } from './state.ts';
import { Watch } from './watch.ts';

export interface SluiceProps extends StackProps {
  readonly settings: Settings;
  readonly workspace: Workspace;
  /** Of the files of the workspace: whoever has others is told. */
  readonly digest: string;
  readonly codeOf: (name: FunctionName) => Code;
}

/** A heap that fits what a delivery holds (docs/delivery.md): without it Node grows to the size of the function before it collects. */
const SMALL_HEAP = '--max-old-space-size=128 --max-semi-space-size=8';
/** Alias of `run`: a durable function is only called by a version or an alias. */
const LIVE = 'live';

/** Memory in MB and minutes of each function. What reads and writes shards has the fifteen minutes there are. */
const SIZES: Readonly<Record<FunctionName, { readonly memory: number; readonly minutes: number; readonly what: string }>> = {
  dispatch: { memory: 256, minutes: 1, what: 'A schedule in, one execution of run a tick' },
  run: { memory: 512, minutes: 15, what: 'The order of the steps of a run; suspended while they work' },
  materialize: { memory: 512, minutes: 15, what: 'Reads the activation tables: gate and snapshot' },
  diff: { memory: 1_024, minutes: 15, what: 'Snapshot against ledger: the delta' },
  deliver: { memory: 1_024, minutes: 15, what: 'Sends a shard of a delta to its destination' },
  commit: { memory: 512, minutes: 15, what: 'Receipts, and the next generation of the ledger' },
  forget: { memory: 1_024, minutes: 15, what: 'What a person demands: withdrawals under a hold, and erasures' },
  publish: { memory: 256, minutes: 1, what: 'Tells the outcome of a run' },
};

/** The whole system. Read from top to bottom: what remembers, what queries, what runs, who may what, when, and who is told. */
export class SluiceStack extends Stack {
  constructor(scope: Construct, id: string, { settings, workspace, digest, codeOf, ...props }: SluiceProps) {
    super(scope, id, props);
    const audiences = Object.values(workspace.audiences);
    const owners = settings.notify_owners ? audiences.map(({ owner }) => owner) : [];

    const state = new State(this, 'State', settings, lifecycleOf(workspace.retention));
    const lake = new Lake(this, 'Lake', {
      settings,
      bucket: state.bucket,
      receipts: state.receipts,
      key: state.key,
      tables: workspace.tables,
    });
    const notifications = new Notifications(this, 'Notifications', { key: state.key, owners });
    // 64 hex digits, made once with the stack and never replaced by a clock.
    const keyOf = (id: string, description: string, whyKept: string): Secret => {
      const secret = new Secret(this, id, {
        description,
        encryptionKey: state.key,
        generateSecretString: {
          passwordLength: 64,
          excludeCharacters: 'ghijklmnopqrstuvwxyz',
          excludeUppercase: true,
          excludePunctuation: true,
        },
        removalPolicy: settings.on_removal === 'keep' ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
      });
      meant(secret, 'SMG4', whyKept);
      return secret;
    };
    const memberKey = keyOf(
      'MemberKey',
      'Key of the member hashes. Lost or changed, every ledger is unreadable: everybody would be sent anew.',
      'Another key would make every ledger unreadable: it is replaced by a migration, never by a clock.',
    );
    const signingKey = keyOf(
      'SigningKey',
      'Key that signs receipts of erasures. Changed, receipts of before are checked with the public half of the old one.',
      'A receipt is checked for years with the key that signed it: it is replaced by a decision, never by a clock.',
    );

    const values: Partial<Record<Variable, string>> = {
      SLUICE_STAGE: settings.stage,
      SLUICE_ENVIRONMENT: settings.environment,
      SLUICE_STATE_BUCKET: state.bucket.bucketName,
      SLUICE_RECEIPTS_BUCKET: state.receipts.bucketName,
      SLUICE_TABLE: state.table.tableName,
      SLUICE_MEMBER_KEY: memberKey.secretArn,
      SLUICE_SIGNING_KEY: signingKey.secretArn,
      SLUICE_WORKGROUP: lake.workgroup,
      SLUICE_CATALOG: 'AwsDataCatalog',
      SLUICE_DATABASE: lake.database,
      SLUICE_TOPIC: notifications.topic.topicArn,
    };
    // A run that grows too long goes on in a new execution of itself: it knows its own name, and the alias that calls it.
    const runName = `${this.stackName}-run`;
    values.SLUICE_RUN = this.formatArn({
      service: 'lambda',
      resource: 'function',
      resourceName: `${runName}:${LIVE}`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    const make = (name: FunctionName): Worker => {
      const { memory, minutes, what } = SIZES[name];
      const environment: Record<string, string> = {};
      for (const variable of NEEDS[name]) {
        const value = values[variable];
        if (value === undefined) throw new Error(`${name} needs ${variable}, which is not known yet: make what it names first.`);
        environment[variable] = value;
      }
      if (name === 'deliver') environment.NODE_OPTIONS = SMALL_HEAP;
      return new Worker(this, name, {
        what,
        code: codeOf(name),
        memory,
        timeout: Duration.minutes(minutes),
        environment,
        key: state.key,
        logDays: settings.log_days,
        network: settings.network,
        ...(name === 'run' && {
          name: runName,
          durable: { executionTimeout: Duration.days(3), retention: Duration.days(30) },
        }),
      });
    };

    // What reads tables has no secret of a destination; what sends has no way to a table.
    const materialize = make('materialize');
    state.letReadAndWrite(materialize, 'runs/', RESULTS);
    state.letRead(materialize, 'ledger/');
    state.letReadAndWriteItems(materialize);
    lake.letQuery(materialize);
    lake.letReadTables(materialize);
    memberKey.grantRead(materialize);

    const diff = make('diff');
    state.letReadAndWrite(diff, 'runs/', RESULTS);
    state.letRead(diff, 'ledger/');
    state.letReadAndWriteItems(diff);
    lake.letQuery(diff);

    const deliver = make('deliver');
    state.letReadAndWrite(deliver, 'runs/');
    state.letReadAndWriteItems(deliver);
    letReadSecrets(deliver, this, settings, workspace);
    letDrop(deliver, this, settings, workspace);

    const commit = make('commit');
    state.letReadAndWrite(commit, 'runs/', 'ledger/', RESULTS);
    state.letDelete(commit, 'runs/');
    state.letWriteReceipts(commit);
    state.letReadAndWriteItems(commit);
    lake.letQuery(commit);

    // The one that does both: it finds whoever withdrew or asks to be forgotten, and takes them out. It adds nobody anywhere.
    const forget = make('forget');
    state.letReadAndWrite(forget, 'runs/', 'ledger/', 'forget/', 'demanded/', RESULTS);
    state.letDelete(forget, 'runs/', 'ledger/', 'forget/', 'demanded/');
    state.letWriteReceipts(forget);
    state.letReadAndWriteItems(forget);
    lake.letQuery(forget);
    lake.letReadTables(forget);
    letReadSecrets(forget, this, settings, workspace);
    memberKey.grantRead(forget);
    signingKey.grantRead(forget);

    const publish = make('publish');
    notifications.letPublish(publish);

    for (const [variable, worker] of [
      ['SLUICE_MATERIALIZE', materialize],
      ['SLUICE_DIFF', diff],
      ['SLUICE_DELIVER', deliver],
      ['SLUICE_COMMIT', commit],
      ['SLUICE_FORGET', forget],
      ['SLUICE_PUBLISH', publish],
    ] as const) {
      values[variable] = worker.version.functionArn;
    }
    const run = make('run');
    state.letReadAndWrite(run, 'runs/');
    state.letReadAndWriteItems(run);
    for (const worker of [materialize, diff, deliver, commit, forget, publish]) letInvoke(run, worker.version.functionArn);
    const live = new Alias(this, 'Live', { aliasName: LIVE, version: run.function.currentVersion });
    letInvoke(run, values.SLUICE_RUN);

    const dispatch = make('dispatch');
    letInvoke(dispatch, values.SLUICE_RUN);
    dispatch.node.addDependency(live);

    const schedules = new Schedules(this, 'Schedules', {
      audiences,
      dispatch: dispatch.function,
      forget: forget.function,
      key: state.key,
      withinMinutes: settings.start_within_minutes,
    });
    new Watch(this, 'Watch', {
      stage: settings.stage,
      audiences,
      functions: Object.fromEntries(
        Object.entries({ dispatch, run, materialize, diff, deliver, commit, forget, publish }).map(([name, worker]) => [
          name,
          worker.function,
        ]),
      ),
      deadLetters: { schedules: schedules.dead },
      scheduleGroup: schedules.group.scheduleGroupName,
      topic: notifications.topic,
      lateAfterHours: settings.late_after_hours,
    });

    new People(this, 'People', { state, lake, run, commit, forget, memberKey });

    // What `sluice --env aws` reads to find the rest (cli/deployment.ts).
    for (const [name, value] of Object.entries({
      ...values,
      SLUICE_DIGEST: digest,
      SLUICE_DISPATCH: dispatch.function.functionArn,
    })) {
      new CfnOutput(this, `Out${name}`, { key: name.replaceAll('_', ''), value });
    }
  }
}

function letInvoke(by: Worker, functionArn: string): void {
  by.grantPrincipal.addToPrincipalPolicy(new PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: [functionArn] }));
}
