import { existsSync, readFileSync } from 'node:fs';
import { App, Stack, Validations } from 'aws-cdk-lib';
import { Annotations, Match, type Template } from 'aws-cdk-lib/assertions';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { AwsSolutionsChecks } from 'cdk-nag';
import { describe, expect, it, vi } from 'vitest';
import { readSettings } from '../../cdk/settings.ts';
import { SluiceStack } from '../../cdk/sluice-stack.ts';
import { connectors } from '../../connectors/index.ts';
import { loadWorkspace } from '../../core/files/workspace.ts';
import { NEEDS } from '../../functions/environment.ts';
import { ROOT } from '../project-files.ts';
import { context, files, type Resource, resources, stackOf, templateOf } from './template.ts';

// Every synth is checked by CloudFormation's own schemas: a second alone, more beside others.
vi.setConfig({ testTimeout: 180_000 });

interface Statement {
  readonly Action: string | readonly string[];
  readonly Resource: unknown;
}
let plain: Template | undefined;
/** The template of a stage without settings, made once. */
const theTemplate = (): Template => (plain ??= templateOf());

const KEY = 'arn:aws:kms:eu-west-1:111122223333:key/12345678-1234-1234-1234-123456789012';
const drop = (folder: string): string => `connector: files\npurpose: partner_offers\nsettings: { folder: "${folder}" }\n`;
/** Two destinations in one bucket, one at the top of another. */
function withDrops(own: Map<string, string>): void {
  own.set('destinations/partner-drop.yaml', drop('s3://company-drops/partner/daily/'));
  own.set('destinations/agency.yaml', drop('s3://company-drops/partner/daily'));
  own.set('destinations/top.yaml', drop('s3://agency-inbox'));
}

/** What the role of a function may do: `action` -> resources, logical ids in angle brackets. */
function permissionsOf(template: Template, name: string): ReadonlyMap<string, readonly string[]> {
  const allowed = new Map<string, string[]>();
  for (const [id, { Properties }] of Object.entries(resources(template, 'AWS::IAM::Policy'))) {
    if (!id.startsWith(name)) continue;
    for (const statement of (Properties.PolicyDocument as { Statement: readonly Statement[] }).Statement) {
      for (const action of [statement.Action].flat()) {
        allowed.set(action, [...(allowed.get(action) ?? []), ...[statement.Resource].flat().map(written)]);
      }
    }
  }
  return allowed;
}

function written(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  if ('Ref' in value) return `<${String(value.Ref)}>`;
  if ('Fn::GetAtt' in value) return `<${(value['Fn::GetAtt'] as string[])[0]}>`;
  if ('Fn::Join' in value) return (value['Fn::Join'] as [string, unknown[]])[1].map(written).join('');
  return JSON.stringify(value);
}

/** 'matches', or what the CDK's assertion says. */
function verdict(assertion: () => void): string {
  try {
    assertion();
    return 'matches';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const FUNCTIONS = Object.keys(NEEDS);
const services = (allowed: ReadonlyMap<string, readonly string[]>): readonly string[] =>
  [...new Set([...allowed.keys()].map((action) => action.split(':')[0] ?? ''))].toSorted();

describe('privileges', () => {
  it('part reading tables from sending: who has a way to tables has no secret of a destination, and the other way round', () => {
    const template = theTemplate();
    const found = FUNCTIONS.map((name) => {
      const allowed = permissionsOf(template, name);
      const secrets = allowed.get('secretsmanager:GetSecretValue') ?? [];
      return {
        name,
        tables: (allowed.get('glue:GetTable') ?? []).some((arn) => arn.includes(':table/shop/')),
        athena: allowed.has('athena:StartQueryExecution'),
        destinations: secrets.some((arn) => arn.includes(':secret:')),
      };
    });
    expect(found.filter(({ tables }) => tables).map(({ name }) => name)).toEqual(['materialize', 'forget']);
    expect(found.filter(({ destinations }) => destinations).map(({ name }) => name)).toEqual(['deliver', 'forget']);
    // It has to find whoever asks to be forgotten, and to take them out everywhere.
    expect(found.filter(({ athena, destinations }) => athena && destinations).map(({ name }) => name)).toEqual(['forget']);
  });

  it('of what sends: its deltas, the table of state, the secrets that destinations name, its log', () => {
    const allowed = permissionsOf(theTemplate(), 'deliver');
    expect(services(allowed)).toEqual(['dynamodb', 'kms', 'logs', 's3', 'secretsmanager']);
    expect(allowed.get('secretsmanager:GetSecretValue')?.map((arn) => arn.split(':secret:')[1])).toEqual([
      'sluice/braze-eu-??????',
      'sluice/meta-eu-??????',
    ]);
    expect(allowed.get('s3:PutObject')).toEqual([expect.stringMatching(/^<StateBucket\w+>\/runs\/\*$/)]);
  });

  it('of what sends, over files in buckets: to write below the names of its destinations, and to delete nothing but a marker', () => {
    const before = permissionsOf(theTemplate(), 'deliver');
    const template = templateOf({ drop_keys: [KEY] }, withDrops);
    const allowed = permissionsOf(template, 'deliver');
    const more = (action: string): readonly string[] =>
      (allowed.get(action) ?? []).filter((resource) => before.get(action)?.includes(resource) !== true);
    const arn = 'arn:<AWS::Partition>:s3:::';
    const objects = [
      `${arn}agency-inbox/top/*`,
      `${arn}company-drops/partner/daily/agency/*`,
      `${arn}company-drops/partner/daily/partner-drop/*`,
    ];
    expect(more('s3:PutObject')).toEqual(objects);
    expect(more('s3:GetObject')).toEqual(objects);
    expect(more('s3:DeleteObject')).toEqual(objects.map((one) => `${one}/.open`));
    expect(more('s3:ListBucket')).toEqual([`${arn}agency-inbox`, `${arn}company-drops`]);
    expect(more('kms:GenerateDataKey')).toEqual([KEY]);
    expect(more('kms:Decrypt')).toEqual([KEY]);
    expect([...allowed.keys()].filter((action) => !before.has(action))).toEqual(['s3:DeleteObject']);
    const statements = Object.values(resources(template, 'AWS::IAM::Policy')).flatMap(
      ({ Properties }) =>
        (Properties.PolicyDocument as { Statement: readonly (Statement & { Condition?: unknown })[] }).Statement,
    );
    expect(
      statements
        .filter(
          ({ Action, Resource }) => Action === 's3:ListBucket' && /agency-inbox|company-drops/.test(JSON.stringify(Resource)),
        )
        .map(({ Condition }) => Condition),
    ).toEqual([
      { StringLike: { 's3:prefix': ['top/*'] } },
      { StringLike: { 's3:prefix': ['partner/daily/agency/*', 'partner/daily/partner-drop/*'] } },
    ]);
  });

  it('of what is called by schedules: run, by its alias, and the queue of what could not be done', () => {
    const allowed = permissionsOf(theTemplate(), 'dispatch');
    expect([...allowed.keys()].toSorted()).toEqual([
      'kms:Decrypt',
      'kms:GenerateDataKey',
      'lambda:InvokeFunction',
      'logs:CreateLogStream',
      'logs:PutLogEvents',
      'sqs:SendMessage',
    ]);
    expect(allowed.get('lambda:InvokeFunction')).toEqual([expect.stringMatching(/:function:sluice-dev-run:live$/)]);
  });

  it('never let anybody delete or unlock a receipt', () => {
    const template = theTemplate();
    const all = FUNCTIONS.flatMap((name) => [...permissionsOf(template, name)].map(([action, on]) => ({ name, action, on })));
    const changing = all.filter(({ action }) =>
      /^s3:(\*|Delete|Bypass|PutObjectRetention|PutObjectLegalHold|PutBucket)|^\*/.test(action),
    );
    // Whom it forgets is taken out of ledgers and runs, and what is past its period goes; nobody else deletes, and nothing at all is deleted among the receipts.
    expect(changing.map(({ name, action }) => `${name} ${action}`)).toEqual([
      'commit s3:DeleteObject',
      'commit s3:DeleteObjectVersion',
      'forget s3:DeleteObject',
      'forget s3:DeleteObjectVersion',
    ]);
    expect(changing.flatMap(({ on }) => on).filter((resource) => !resource.startsWith('<StateBucket'))).toEqual([]);
  });

  it('of people: to read and to ask, not to write to the books, the ledgers or the receipts, and no secret of a destination', () => {
    const template = theTemplate();
    const policies = Object.entries(resources(template, 'AWS::IAM::ManagedPolicy'));
    const allowed = (name: string): ReadonlyMap<string, readonly string[]> => {
      const [, found] = policies.find(([id]) => id.startsWith(`People${name}`)) ?? [];
      expect([name, found?.Properties.Roles, found?.Properties.Users, found?.Properties.Groups]).toEqual([
        name,
        undefined,
        undefined,
        undefined,
      ]);
      const by = new Map<string, string[]>();
      const { Statement: all } = (found?.Properties.PolicyDocument ?? { Statement: [] }) as { Statement: readonly Statement[] };
      for (const { Action, Resource } of all)
        for (const action of [Action].flat()) by.set(action, [...(by.get(action) ?? []), ...[Resource].flat().map(written)]);
      return by;
    };
    const [operate, privacy] = [allowed('Operate'), allowed('Privacy')];
    expect(services(operate)).toEqual(['athena', 'cloudformation', 'dynamodb', 'glue', 'kms', 'lambda', 's3']);
    expect([...operate.keys()].filter((action) => /^(dynamodb|lambda):/.test(action)).toSorted()).toEqual([
      'dynamodb:BatchGetItem',
      'dynamodb:GetItem',
      'dynamodb:Query',
      'lambda:GetDurableExecution',
      'lambda:InvokeFunction',
    ]);
    expect(operate.get('lambda:InvokeFunction')).toEqual([
      expect.stringMatching(/^<commitFunction\w+>:\*$/),
      expect.stringMatching(/^<runFunction\w+>:\*$/),
    ]);
    expect(operate.get('s3:PutObject')).toEqual([expect.stringMatching(/^<StateBucket\w+>\/athena\/\*$/)]);
    expect(operate.get('glue:GetTable')?.some((arn) => /:table\/shop\/|sluice_receipts/.test(arn))).toBe(false);
    expect(privacy.get('lambda:InvokeFunction')).toEqual([expect.stringMatching(/^<forgetFunction\w+>:\*$/)]);
    expect(privacy.get('secretsmanager:GetSecretValue')).toEqual([expect.stringMatching(/^<MemberKey\w+>$/)]);
    expect(privacy.get('s3:PutObject')).toEqual([expect.stringMatching(/^<StateBucket\w+>\/runs\/\*$/)]);
    expect(privacy.get('s3:DeleteObject')).toEqual([expect.stringMatching(/^<StateBucket\w+>\/runs\/\*$/)]);
    const changing = Object.values(resources(template, 'AWS::IAM::ManagedPolicy')).flatMap(({ Properties }) =>
      (Properties.PolicyDocument as { Statement: readonly (Statement & { Condition?: unknown })[] }).Statement.filter(
        ({ Action }) => [Action].flat().some((action) => /^dynamodb:(Put|Update|Delete|BatchWrite)/.test(action)),
      ),
    );
    expect(changing.map(({ Condition }) => Condition)).toEqual([
      { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': ['document#scratch'] } },
    ]);
  });

  it('reach the tables of the contracts by name, and the buckets that the stage names', () => {
    const allowed = permissionsOf(
      templateOf({
        sources: { buckets: ['lake'], keys: ['arn:aws:kms:eu-west-1:111122223333:key/12345678-1234-1234-1234-123456789012'] },
      }),
      'materialize',
    );
    expect(
      allowed
        .get('glue:GetTable')
        ?.filter((arn) => arn.includes(':table/shop'))
        .map((arn) => arn.split(':table/')[1]),
    ).toEqual([
      'shop/consents',
      'shop/customers',
      'shop/erasures',
      'shop/identifiers',
      'shop/order_completed',
      'shop/support_ticket_opened',
    ]);
    expect(allowed.get('s3:GetObject')).toContain('arn:<AWS::Partition>:s3:::lake/*');
    expect(allowed.get('kms:Decrypt')).toContain('arn:aws:kms:eu-west-1:111122223333:key/12345678-1234-1234-1234-123456789012');
  });
});

describe('functions', () => {
  it('have the environment that they need, and no variable more', () => {
    const template = theTemplate();
    const functions = Object.entries(resources(template, 'AWS::Lambda::Function'));
    const heap = (name: string): string[] => (name === 'deliver' ? ['NODE_OPTIONS'] : []);
    for (const [name, needs] of Object.entries(NEEDS)) {
      const [, fn] = functions.find(([id]) => id.startsWith(`${name}Function`)) ?? [];
      const { Variables: variables = {} } = (fn?.Properties.Environment ?? {}) as { Variables?: Record<string, unknown> };
      expect({ name, variables: Object.keys(variables).toSorted() }).toEqual({
        name,
        variables: [...needs, ...heap(name)].toSorted(),
      });
    }
    expect(functions).toHaveLength(FUNCTIONS.length);
  });

  it('are Node 24 on arm64 with an encrypted log that ends', () => {
    const template = templateOf({ log_days: 30 });
    expect(
      verdict(() =>
        template.allResourcesProperties('AWS::Lambda::Function', {
          Runtime: 'nodejs24.x',
          Architectures: ['arm64'],
          Handler: 'index.handler',
          LoggingConfig: { LogFormat: 'JSON', LogGroup: Match.anyValue() },
        }),
      ),
    ).toBe('matches');
    expect(
      verdict(() => template.allResourcesProperties('AWS::Logs::LogGroup', { RetentionInDays: 30, KmsKeyId: Match.anyValue() })),
    ).toBe('matches');
  });

  it('of a run are durable from their creation, remember with our key, and call the versions deployed with them', () => {
    const template = theTemplate();
    expect(
      verdict(() =>
        template.hasResourceProperties('AWS::Lambda::Function', {
          FunctionName: 'sluice-dev-run',
          DurableConfig: { ExecutionTimeout: 259_200, RetentionPeriodInDays: 30, KMSKeyArn: Match.anyValue() },
          Environment: { Variables: { SLUICE_DELIVER: { Ref: Match.stringLikeRegexp('^deliverFunctionCurrentVersion') } } },
        }),
      ),
    ).toBe('matches');
    expect(verdict(() => template.allResources('AWS::Lambda::Version', { DeletionPolicy: 'Retain' }))).toBe('matches');
  });
});

describe('schedules', () => {
  it('are those of the audiences, in their zones, spread over some minutes', () => {
    const schedules = ofAudiences(theTemplate()).map(({ Properties: p }) => [
      p.Name,
      p.ScheduleExpression,
      p.ScheduleExpressionTimezone,
      (p.FlexibleTimeWindow as { MaximumWindowInMinutes?: number }).MaximumWindowInMinutes,
      (p.Target as { Input: string }).Input,
    ]);
    expect(schedules).toEqual([
      ['basket-builders', 'cron(0 7 * * ? *)', 'Europe/Berlin', 10, input('basket-builders')],
      ['churned', 'cron(0 8 ? * MON *)', 'Europe/Berlin', 10, input('churned')],
      ['lapsed-vips', 'cron(0 6 * * ? *)', 'Europe/Berlin', 10, input('lapsed-vips')],
    ]);
  });

  it('of every few minutes are on the minute, and an audience that is gone has none', () => {
    const template = templateOf({}, (own) => {
      own.set(
        'audiences/lapsed-vips.yaml',
        (own.get('audiences/lapsed-vips.yaml') ?? '').replace(/^schedule: .*$/m, 'schedule: every 4 minutes'),
      );
      own.delete('audiences/basket-builders.yaml');
    });
    const schedules = ofAudiences(template).map(({ Properties: p }) => [
      p.Name,
      p.ScheduleExpression,
      (p.FlexibleTimeWindow as { Mode: string }).Mode,
    ]);
    expect(schedules).toEqual([
      ['churned', 'cron(0 8 ? * MON *)', 'FLEXIBLE'],
      ['lapsed-vips', 'rate(4 minutes)', 'OFF'],
    ]);
    expect(Object.keys(resources(template, 'AWS::CloudWatch::Alarm')).filter((id) => id.includes('Late'))).toHaveLength(2);
  });

  it('keep what a function took and could not do, beside what was not taken', () => {
    const kept = Object.values(resources(theTemplate(), 'AWS::Lambda::EventInvokeConfig')).map(({ Properties: p }) => [
      written(p.FunctionName),
      written((p.DestinationConfig as { OnFailure: { Destination: unknown } }).OnFailure.Destination),
      p.MaximumRetryAttempts,
    ]);
    expect(kept).toEqual([
      [expect.stringMatching(/^<dispatchFunction/), expect.stringMatching(/^<SchedulesDead/), 2],
      [expect.stringMatching(/^<forgetFunction/), expect.stringMatching(/^<SchedulesDead/), 2],
    ]);
    expect(permissionsOf(theTemplate(), 'dispatch').get('sqs:SendMessage')).toEqual([expect.stringMatching(/^<SchedulesDead/)]);
  });

  it('go on every hour with what people asked for', () => {
    const tend = Object.values(resources(theTemplate(), 'AWS::Scheduler::Schedule')).find(
      ({ Properties: p }) => p.Name === '_tend',
    );
    expect([tend?.Properties.ScheduleExpression, (tend?.Properties.Target as { Input: string } | undefined)?.Input]).toEqual([
      'rate(1 hour)',
      '{"task":"continue","input":{},"holder":"_tend","attempt":"<aws.scheduler.execution-id>"}',
    ]);
    const deleted = permissionsOf(theTemplate(), 'forget').get('s3:DeleteObject') ?? [];
    expect(deleted.map((arn) => arn.slice(arn.indexOf('/')))).toEqual(['/demanded/*', '/forget/*', '/ledger/*', '/runs/*']);
  });

  const ofAudiences = (template: Template): readonly Resource[] =>
    Object.values(resources(template, 'AWS::Scheduler::Schedule')).filter(({ Properties: p }) => p.Name !== '_tend');
  const input = (audience: string): string => `{"audience":"${audience}","tick":"<aws.scheduler.scheduled-time>"}`;
});

describe('alarms', () => {
  it('each name a runbook that is there, and tell the topic', () => {
    const alarms = Object.values(resources(theTemplate(), 'AWS::CloudWatch::Alarm'));
    const pages = alarms.map(
      ({ Properties }) => /What to do: (docs\/runbooks\/[\w-]+\.md)$/.exec(String(Properties.AlarmDescription))?.[1] ?? '',
    );
    expect([...new Set(pages)].filter((page) => page === '' || !existsSync(ROOT + page))).toEqual([]);
    expect(alarms.filter(({ Properties }) => (Properties.AlarmActions as unknown[]).length !== 1)).toEqual([]);
    expect(alarms.length).toBeGreaterThan(20);
  });

  it('ring for an audience without a good run, also when no number comes at all', () => {
    expect(
      verdict(() =>
        templateOf({ late_after_hours: 30 }).hasResourceProperties('AWS::CloudWatch::Alarm', {
          AlarmDescription: Match.stringLikeRegexp('^The audience lapsed-vips of .* had no good run for 72 hours'),
          MetricName: 'RunsDone',
          Dimensions: Match.arrayWith([{ Name: 'audience', Value: 'lapsed-vips' }]),
          ComparisonOperator: 'LessThanThreshold',
          EvaluationPeriods: 72,
          TreatMissingData: 'breaching',
        }),
      ),
    ).toBe('matches');
  });

  it('reach an owner about their own audiences, where the stage says so', () => {
    const subscriptions = Object.values(resources(templateOf({ notify_owners: true }), 'AWS::SNS::Subscription'));
    const told = subscriptions.map(({ Properties: p }) => [p.Protocol, p.Endpoint, p.FilterPolicy]);
    expect(told.length).toBeGreaterThan(0);
    expect(
      told.filter(
        ([protocol, owner, filter]) => protocol !== 'email' || JSON.stringify(filter) !== JSON.stringify({ owner: [owner] }),
      ),
    ).toEqual([]);
    expect(resources(theTemplate(), 'AWS::SNS::Subscription')).toEqual({});
  });
});

describe('state', () => {
  it('stays when the stack goes, unless the stage says otherwise; receipts stay locked either way', () => {
    const policies = (template: Template): readonly (readonly [string, string | undefined])[] =>
      ['AWS::S3::Bucket', 'AWS::DynamoDB::Table', 'AWS::KMS::Key', 'AWS::SecretsManager::Secret'].flatMap((type) =>
        Object.entries(resources(template, type)).map(
          ([id, { DeletionPolicy }]) => [id.replace(/[0-9A-F]{8}$/, ''), DeletionPolicy] as const,
        ),
      );
    expect(policies(theTemplate()).filter(([, policy]) => policy !== 'Retain')).toEqual([]);
    expect(policies(templateOf({ on_removal: 'delete' })).filter(([, policy]) => policy === 'Retain')).toEqual([
      ['StateReceipts', 'Retain'],
    ]);
    expect(
      verdict(() =>
        templateOf({ receipts_days: 400 }).hasResourceProperties('AWS::S3::Bucket', {
          ObjectLockEnabled: true,
          ObjectLockConfiguration: { Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 400 } } },
        }),
      ),
    ).toBe('matches');
  });

  it('goes by the retention policy: deltas by age, ledgers when they were deleted, nothing of either as an old version', () => {
    const rules = Object.values(resources(theTemplate(), 'AWS::S3::Bucket')).flatMap(
      ({ Properties }) =>
        (Properties as { LifecycleConfiguration?: { Rules: readonly Record<string, unknown>[] } }).LifecycleConfiguration
          ?.Rules ?? [],
    );
    expect(rules.filter(({ Prefix }) => Prefix !== undefined)).toEqual([
      expect.objectContaining({ Prefix: 'runs/', ExpirationInDays: 7, NoncurrentVersionExpiration: { NoncurrentDays: 1 } }),
      {
        Id: 'deleted-generations-of-ledgers',
        Prefix: 'ledger/',
        Status: 'Enabled',
        NoncurrentVersionExpiration: { NoncurrentDays: 7 },
      },
    ]);
  });

  it('is encrypted with the key, closed to the public, and only reached by TLS', () => {
    const template = theTemplate();
    const buckets = Object.entries(resources(template, 'AWS::S3::Bucket'));
    expect(buckets).toHaveLength(3);
    expect(
      verdict(() =>
        template.allResourcesProperties('AWS::S3::Bucket', {
          PublicAccessBlockConfiguration: {
            BlockPublicAcls: true,
            BlockPublicPolicy: true,
            IgnorePublicAcls: true,
            RestrictPublicBuckets: true,
          },
          VersioningConfiguration: { Status: 'Enabled' },
          BucketEncryption: Match.anyValue(),
        }),
      ),
    ).toBe('matches');
    expect(
      verdict(() =>
        template.hasResourceProperties('AWS::DynamoDB::Table', {
          SSESpecification: { SSEEnabled: true, SSEType: 'KMS', KMSMasterKeyId: Match.anyValue() },
          PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
          DeletionProtectionEnabled: true,
        }),
      ),
    ).toBe('matches');
    expect(Object.keys(resources(template, 'AWS::S3::BucketPolicy'))).toHaveLength(3);
  });
});

describe('what a company brings along', () => {
  it('is used and not made again: buckets, key, workgroup', () => {
    const template = templateOf({
      state_bucket: 'our-state',
      receipts_bucket: 'our-receipts',
      key: 'arn:aws:kms:eu-west-1:111122223333:key/12345678-1234-1234-1234-123456789012',
      workgroup: 'marketing',
    });
    expect(Object.keys(resources(template, 'AWS::KMS::Key'))).toEqual([]);
    expect(Object.keys(resources(template, 'AWS::Athena::WorkGroup'))).toEqual([]);
    const allowed = permissionsOf(template, 'commit');
    expect(allowed.get('s3:PutObject')).toContain('arn:<AWS::Partition>:s3:::our-receipts/*');
    expect(allowed.get('athena:StartQueryExecution')).toEqual([expect.stringMatching(/:workgroup\/marketing$/)]);
  });

  it('of a network holds every function', () => {
    const network = {
      subnets: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
      security_groups: ['sg-0123456789abcdef0'],
    };
    expect(
      verdict(() =>
        templateOf({ network }).allResourcesProperties('AWS::Lambda::Function', {
          VpcConfig: {
            SubnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
            SecurityGroupIds: ['sg-0123456789abcdef0'],
          },
        }),
      ),
    ).toBe('matches');
  });
});

describe('the template', () => {
  it('is warned about for a destination that writes into a folder of a machine, and says the way out', () => {
    const warned = (change: (files: Map<string, string>) => void): readonly unknown[] =>
      Annotations.fromStack(stackOf({}, change))
        .findWarning('*', Match.anyValue())
        .map(({ entry }) => entry.data);
    expect(warned(() => undefined)).toEqual([
      expect.stringMatching(
        /^destinations\/partner-drop\.yaml writes into \.sluice\/partner-drop, a folder of the machine, .* Let `folder` be an address such as s3:\/\/bucket\/prefix\./,
      ),
    ]);
    expect(warned(withDrops)).toEqual([]);
  });

  it('has the resources it had: one under another id would be made anew, with what it holds', async () => {
    const { Resources } = theTemplate().toJSON() as { Resources: Record<string, Resource> };
    // A version is made anew with every change of its function.
    const kept = Object.entries(Resources).filter(([, { Type }]) => Type !== 'AWS::Lambda::Version');
    const lines = kept.map(
      ([id, { Type, DeletionPolicy }]) => `${Type} ${id}${DeletionPolicy === undefined ? '' : ` (${DeletionPolicy})`}`,
    );
    await expect(`${lines.toSorted().join('\n')}\n`).toMatchFileSnapshot('resources.txt');
  });

  it('has no name that the stack of another stage in the same account has', () => {
    // What is named within another thing of the stack: schedules in their group, tables in their database, policies in their role.
    const within = ['AWS::Scheduler::Schedule', 'AWS::Glue::Table', 'AWS::Lambda::Alias', 'AWS::IAM::Policy'];
    const noNames = ['MetricName', 'DisplayName'];
    const namesOf = (template: Template): readonly string[] =>
      Object.values((template.toJSON() as { Resources: Record<string, Resource> }).Resources).flatMap(({ Type, Properties }) => {
        const { DatabaseInput } = Properties as { DatabaseInput?: { Name?: unknown } };
        const named = [...Object.entries(Properties ?? {}), ['DatabaseName', DatabaseInput?.Name] as const].filter(
          ([key, value]) => key.endsWith('Name') && !noNames.includes(key) && typeof value === 'string' && !within.includes(Type),
        );
        return named.map(([key, value]) => `${Type} ${key} ${String(value)}`);
      });
    const [dev, prod] = [namesOf(theTemplate()), namesOf(templateOf({}, () => undefined, 'prod'))];
    expect(dev).toContain('AWS::Lambda::Function FunctionName sluice-dev-run');
    expect(prod).toContain('AWS::Lambda::Function FunctionName sluice-prod-run');
    expect(dev.filter((name) => prod.includes(name))).toEqual([]);
  });

  it('is the same for the same files, so that a deploy without a change changes nothing', () => {
    expect(templateOf().toJSON()).toEqual(theTemplate().toJSON());
  });

  it('has no finding of cdk-nag that is not meant', () => {
    const own = new Map(files);
    withDrops(own);
    const { workspace } = loadWorkspace(own, { connectors, environment: 'dev' });
    if (workspace === null) throw new Error('The example files have problems.');
    const app = new App({ context });
    const stage = {
      sources: { buckets: ['lake'], keys: ['arn:aws:kms:eu-west-1:111122223333:key/12345678-1234-1234-1234-123456789012'] },
      network: { subnets: ['subnet-0123456789abcdef0'], security_groups: ['sg-0123456789abcdef0'] },
    };
    const settings = readSettings('dev', { dev: stage });
    new SluiceStack(app, 'Sluice', {
      settings,
      workspace,
      digest: 'd1',
      codeOf: () => Code.fromInline('export const handler = () => undefined'),
    });
    Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
    const { directory } = app.synth();
    const { pluginReports } = JSON.parse(readFileSync(`${directory}/validation-report.json`, 'utf8')) as {
      pluginReports: unknown;
    };
    expect(pluginReports).toEqual([]);
    const open = new App({ context });
    new Bucket(new Stack(open, 'Open'), 'Bucket');
    Validations.of(open).addPlugins(new AwsSolutionsChecks(open));
    expect(() => open.synth()).toThrow(/AwsSolutions-S1/);
  });
});
