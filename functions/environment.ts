/** Everything a function reads of its environment, and what stands there. cdk/ sets these and nothing else. */
export const VARIABLES = {
  SLUICE_ENVIRONMENT: "which of the contracts' servers is read",
  SLUICE_STATE_BUCKET: 'name of the bucket of files: snapshots, deltas, ledgers',
  SLUICE_RECEIPTS_BUCKET: 'name of the bucket of receipts',
  SLUICE_TABLE: 'name of the DynamoDB table, keys pk and sk',
  SLUICE_MEMBER_KEY: 'name or ARN of the secret whose whole text is the key of the member hashes, 64 hex digits',
  SLUICE_SIGNING_KEY: 'name or ARN of the secret whose whole text is the key that signs receipts of erasures, 64 hex digits',
  SLUICE_WORKGROUP: 'name of the Athena workgroup',
  SLUICE_CATALOG: 'Glue catalog of our own tables, usually AwsDataCatalog',
  SLUICE_DATABASE: 'Glue database of our own tables',
  SLUICE_RUN: 'ARN of the alias of the function run: a durable function is never invoked without a qualifier',
  SLUICE_MATERIALIZE: 'ARN of the function materialize',
  SLUICE_DIFF: 'ARN of the function diff',
  SLUICE_DELIVER: 'ARN of the function deliver',
  SLUICE_COMMIT: 'ARN of the function commit',
  SLUICE_FORGET: 'ARN of the function forget',
  SLUICE_PUBLISH: 'ARN of the function publish',
  SLUICE_STAGE: 'name of the stage, the dimension of its metrics',
  SLUICE_TOPIC: 'ARN of the topic that tells the outcome of runs',
} as const;
export type Variable = keyof typeof VARIABLES;

const STORE = ['SLUICE_STATE_BUCKET', 'SLUICE_RECEIPTS_BUCKET', 'SLUICE_TABLE'] as const;
const LAKE = ['SLUICE_ENVIRONMENT', 'SLUICE_STAGE', 'SLUICE_WORKGROUP', 'SLUICE_CATALOG', 'SLUICE_DATABASE'] as const;

/** What each function needs. A variable that is not listed is not to be set: it would say more than the function may do. */
export const NEEDS = {
  dispatch: ['SLUICE_RUN'],
  run: [
    ...STORE,
    'SLUICE_RUN',
    'SLUICE_MATERIALIZE',
    'SLUICE_DIFF',
    'SLUICE_DELIVER',
    'SLUICE_COMMIT',
    'SLUICE_FORGET',
    'SLUICE_PUBLISH',
  ],
  materialize: [...STORE, ...LAKE, 'SLUICE_MEMBER_KEY'],
  diff: [...STORE, ...LAKE],
  deliver: [...STORE, 'SLUICE_STAGE'],
  commit: [...STORE, ...LAKE],
  forget: [...STORE, ...LAKE, 'SLUICE_MEMBER_KEY', 'SLUICE_SIGNING_KEY'],
  publish: ['SLUICE_TOPIC', 'SLUICE_STAGE'],
} as const satisfies Readonly<Record<string, readonly Variable[]>>;
export type FunctionName = keyof typeof NEEDS;

/** The environment of a function; throws with the names of all that are missing, never a value. */
export function environmentOf<F extends FunctionName>(
  name: F,
  env: Readonly<Record<string, string | undefined>>,
): Readonly<Record<(typeof NEEDS)[F][number], string>> {
  const needs: readonly Variable[] = NEEDS[name];
  const missing = needs.filter((variable) => !env[variable]);
  if (missing.length === 0)
    return Object.fromEntries(needs.map((variable) => [variable, env[variable]])) as Record<(typeof NEEDS)[F][number], string>;
  throw new Error(`The function ${name} was deployed without ${missing.join(', ')}. Deploy the stack again.`);
}
