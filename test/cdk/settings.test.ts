import { describe, expect, it } from 'vitest';
import { withoutDurableFunctions } from '../../cdk/durable-regions.ts';
import { readSettings, SettingsWrong } from '../../cdk/settings.ts';

const problems = (stage: unknown, stages: unknown): string[] => {
  try {
    readSettings(stage, stages);
    return [];
  } catch (error) {
    if (!(error instanceof SettingsWrong)) throw error;
    return error.message.split('\n');
  }
};

describe('the settings of a stage', () => {
  it('are all defaults where cdk.json says nothing: a stage dev that reads the servers of that name and keeps its state', () => {
    expect(readSettings(undefined, undefined)).toEqual({
      stage: 'dev',
      environment: 'dev',
      workspace: '.',
      sources: { buckets: [], keys: [] },
      secret_keys: [],
      drop_keys: [],
      scan_limit_gb: 1_000,
      start_within_minutes: 10,
      late_after_hours: 26,
      log_days: 90,
      receipts_days: 1_095,
      notify_owners: false,
      on_removal: 'keep',
    });
  });

  it('are those of the stage that was named', () => {
    const stages = { dev: { on_removal: 'delete' }, prod: { environment: 'production', sources: { buckets: ['lake-prod'] } } };
    expect(readSettings('prod', stages)).toMatchObject({
      stage: 'prod',
      environment: 'production',
      on_removal: 'keep',
      sources: { buckets: ['lake-prod'], keys: [] },
    });
  });

  it('that are wrong are all told at once, each with its place', () => {
    expect(
      problems('prod', {
        prod: {
          acount: '1',
          key: 'alias/mine',
          sources: { buckets: ['s3://lake/tables'], regions: [] },
          network: { subnets: [], security_groups: ['default'] },
          log_days: 0.5,
        },
      }),
    ).toEqual([
      'cdk.json: context.sluice.prod.sources.buckets.0: is the name of a bucket, no address.',
      'cdk.json: context.sluice.prod.sources has no key "regions".',
      'cdk.json: context.sluice.prod.key: is an ARN: arn:aws:kms:....',
      'cdk.json: context.sluice.prod.network.subnets: Too small: expected array to have >=1 items.',
      'cdk.json: context.sluice.prod.network.security_groups.0: begins with sg-.',
      'cdk.json: context.sluice.prod.log_days: Invalid input: expected int, received number.',
      expect.stringMatching(/^cdk\.json: context\.sluice\.prod has no key "acount"\. Its keys are environment, workspace, /),
    ]);
  });

  it('of a stage that is not there, or cannot be one, name the stages there are', () => {
    expect(problems('prd', { dev: {}, prod: {} })).toEqual([
      'cdk.json: context.sluice has no stage "prd"; it has dev, prod. Choose one: -c stage=dev',
    ]);
    expect(problems('Prod!', {})).toEqual([
      'The stage is named "Prod!"; a name has lower-case letters, digits and -, begins with a letter and has 16 at most: -c stage=prod',
    ]);
    expect(problems('dev', 'prod')).toEqual(['cdk.json: context.sluice is to be an object of stages: { "prod": { ... } }']);
  });
});

describe('a region without durable functions', () => {
  it('is refused with where to go and how to insist', () => {
    expect(withoutDurableFunctions('eu-south-2', false, 'prod')).toBe(
      'A run is a Lambda durable function, and eu-south-2 is not known to have them. Nothing was deployed.\n' +
        'Deploy to one of us-east-1, us-east-2, us-west-2, eu-west-1, eu-central-1, ap-southeast-1; or, when the Lambda console of eu-south-2 ' +
        'offers durable functions, set "durable_functions": true in cdk.json under context.sluice.prod.',
    );
  });

  it('is taken when a person looked, and is not asked about before it is known', () => {
    expect(withoutDurableFunctions('eu-south-2', true, 'prod')).toBeUndefined();
    expect(withoutDurableFunctions(undefined, false, 'prod')).toBeUndefined();
    expect(withoutDurableFunctions('eu-central-1', false, 'prod')).toBeUndefined();
  });
});
