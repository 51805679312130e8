import * as z from 'zod';

/**
 * How one stage is deployed: `context.sluice.<stage>` in cdk.json. Everything has a default; what a company already has (buckets, a key,
 * a workgroup, a network) is named here and then used instead of being created.
 */
const stageSchema = z.strictObject({
  environment: z.string().min(1).optional().describe("Which of the contracts' servers is read. Default: the name of the stage."),
  workspace: z.string().min(1).default('.').describe('Folder with audiences/, contracts/, destinations/ and policies/.'),
  account: z
    .string()
    .regex(/^\d{12}$/, 'is the 12 digits of an account')
    .optional()
    .describe('Deploys nowhere else. Default: that of the credentials.'),
  region: z.string().min(1).optional().describe('Deploys nowhere else. Default: that of the credentials.'),
  durable_functions: z
    .literal(true)
    .optional()
    .describe('You looked: Lambda durable functions exist in the region, though Sluice does not know it.'),
  sources: z
    .strictObject({
      buckets: z.array(bucketName()).default([]),
      keys: z.array(arn('kms')).default([]),
    })
    .prefault({})
    .describe('Where the activation tables lie: their buckets, and the KMS keys they are encrypted with.'),
  secret_keys: z
    .array(arn('kms'))
    .default([])
    .describe("KMS keys of the destinations' secrets, where they are not the account's own."),
  drop_keys: z
    .array(arn('kms'))
    .default([])
    .describe('KMS keys of the buckets that destinations of `files` write into, where they have keys of their own.'),
  state_bucket: bucketName().optional(),
  receipts_bucket: bucketName().optional().describe('With Object Lock and versions; Sluice then sets no retention on it.'),
  key: arn('kms').optional(),
  workgroup: z.string().min(1).optional(),
  permissions_boundary: arn('iam').optional(),
  network: z
    .strictObject({
      subnets: z.array(z.string().regex(/^subnet-/, 'begins with subnet-')).min(1),
      security_groups: z.array(z.string().regex(/^sg-/, 'begins with sg-')).min(1),
    })
    .optional()
    .describe('Subnets with a way to the AWS APIs and, for what sends, to the internet.'),
  scan_limit_gb: z.number().min(0.01).default(1_000).describe('Bytes one query may scan, in GB, before Athena cancels it.'),
  start_within_minutes: z
    .int()
    .min(0)
    .max(1_440)
    .default(10)
    .describe('Runs begin at a moment of this many minutes after their time, so that not all start at once. 0: on the minute.'),
  late_after_hours: z
    .number()
    .min(1)
    .default(26)
    .describe('An audience with a schedule and no good run for this long, or three of its intervals, raises an alarm.'),
  log_days: z.int().min(1).default(90),
  receipts_days: z.int().min(1).default(1_095).describe('Object Lock keeps every receipt this long.'),
  notify_owners: z.boolean().default(false).describe("Subscribes every audience's owner by e-mail to their own audiences."),
  on_removal: z.enum(['keep', 'delete']).default('keep').describe('What happens to state when the stack is deleted.'),
});

export type Settings = z.output<typeof stageSchema> & { readonly stage: string; readonly environment: string };

/** The context of cdk.json or of the command line is wrong. The message has every problem: where, what, the way out. */
export class SettingsWrong extends Error {
  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'SettingsWrong';
  }
}

/**
 * @param stage the context value `stage` (`cdk deploy -c stage=prod`), `dev` when left out
 * @param stages the context value `sluice`: an object of stages, or nothing
 * @throws SettingsWrong with all problems at once
 */
export function readSettings(stage: unknown, stages: unknown): Settings {
  const name = stage ?? 'dev';
  if (typeof name !== 'string' || !/^[a-z][a-z0-9-]{0,15}$/.test(name)) {
    throw new SettingsWrong([
      `The stage is named ${JSON.stringify(name)}; a name has lower-case letters, digits and -, begins with a letter and has 16 at most: -c stage=prod`,
    ]);
  }
  const all = z.record(z.string(), z.unknown()).safeParse(stages ?? {});
  if (!all.success) throw new SettingsWrong(['cdk.json: context.sluice is to be an object of stages: { "prod": { ... } }']);
  const known = Object.keys(all.data);
  if (known.length > 0 && !Object.hasOwn(all.data, name)) {
    throw new SettingsWrong([
      `cdk.json: context.sluice has no stage "${name}"; it has ${known.join(', ')}. Choose one: -c stage=${known[0] ?? ''}`,
    ]);
  }
  const read = stageSchema.safeParse(all.data[name] ?? {});
  if (!read.success) throw new SettingsWrong(read.error.issues.flatMap((issue) => told(name, issue)));
  return { ...read.data, stage: name, environment: read.data.environment ?? name };
}

function told(stage: string, issue: z.core.$ZodIssue): string[] {
  const at = ['context.sluice', stage, ...issue.path.map(String)].join('.');
  if (issue.code === 'unrecognized_keys') {
    const known = issue.path.length === 0 ? ` Its keys are ${Object.keys(stageSchema.shape).join(', ')}.` : '';
    return issue.keys.map((key) => `cdk.json: ${at} has no key "${key}".${known}`);
  }
  return [`cdk.json: ${at}: ${issue.message}.`];
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html, read 2026-11-25. */
function bucketName(): z.ZodString {
  return z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'is the name of a bucket, no address');
}

function arn(service: string): z.ZodString {
  return z.string().regex(new RegExp(`^arn:aws[a-z-]*:${service}:`), `is an ARN: arn:aws:${service}:...`);
}
