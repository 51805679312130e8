import * as z from 'zod';

/**
 * The Open Data Contract Standard 3.1 as a schema: every key the standard has, and no other.
 * https://github.com/bitol-io/open-data-contract-standard/blob/main/schema/odcs-json-schema-v3.1.0.json, read 2026-11-23.
 * Sluice reads servers, schema, quality, slaProperties, classification and the customProperties that begin with `sluice.`; the rest it only accepts.
 */

const text = z.string();
const customProperties = z.array(
  z.strictObject({ id: text.optional(), property: text, value: z.unknown(), description: text.optional() }),
);
const tags = z.array(text);
const definitions = z.array(z.strictObject({ id: text.optional(), url: text, type: text, description: text.optional() }));

const role = z.strictObject({
  id: text.optional(),
  role: text,
  description: text.optional(),
  access: text.optional(),
  firstLevelApprovers: text.optional(),
  secondLevelApprovers: text.optional(),
  customProperties: customProperties.optional(),
});

const server = z.strictObject({
  id: text.optional(),
  server: text.describe('The name of this server; the environment of a run picks the server of its name.'),
  type: text.describe('Sluice reads local, duckdb and athena.'),
  description: text.optional(),
  environment: text.optional(),
  roles: z.array(role).optional(),
  customProperties: customProperties.optional(),
  path: text
    .optional()
    .describe('local: the file, relative to the workspace; `*` for many, `{table}` for the name of the table.'),
  format: text.optional().describe('local: parquet, csv or json.'),
  database: text.optional(),
  schema: text.optional(),
  catalog: text.optional(),
  stagingDir: text.optional(),
  regionName: text.optional(),
  account: text.optional(),
  dataset: text.optional(),
  delimiter: text.optional(),
  endpointUrl: text.optional(),
  host: text.optional(),
  location: text.optional(),
  port: z.number().optional(),
  project: text.optional(),
  region: text.optional(),
  serviceName: text.optional(),
  stream: text.optional(),
  warehouse: text.optional(),
});

const pair = z.tuple([z.number(), z.number()]);

const quality = z.strictObject({
  id: text.optional(),
  name: text.optional(),
  description: text.optional(),
  type: z.enum(['text', 'library', 'sql', 'custom']).optional(),
  metric: z.enum(['nullValues', 'missingValues', 'invalidValues', 'duplicateValues', 'rowCount']).optional(),
  rule: text.optional(),
  arguments: z.record(text, z.unknown()).optional(),
  mustBe: z.unknown().optional(),
  mustNotBe: z.unknown().optional(),
  mustBeGreaterThan: z.number().optional(),
  mustBeGreaterOrEqualTo: z.number().optional(),
  mustBeLessThan: z.number().optional(),
  mustBeLessOrEqualTo: z.number().optional(),
  mustBeBetween: pair.optional(),
  mustNotBeBetween: pair.optional(),
  unit: text.optional(),
  query: text.optional(),
  engine: text.optional(),
  implementation: z.union([text, z.record(text, z.unknown())]).optional(),
  dimension: z.enum(['accuracy', 'completeness', 'conformity', 'consistency', 'coverage', 'timeliness', 'uniqueness']).optional(),
  method: text.optional(),
  severity: text.optional(),
  businessImpact: text.optional(),
  schedule: text.optional(),
  scheduler: text.optional(),
  tags: tags.optional(),
  authoritativeDefinitions: definitions.optional(),
  customProperties: customProperties.optional(),
});

const reference = z.union([text, z.array(text)]);
const relationship = z.strictObject({
  type: text.optional(),
  from: reference.optional(),
  to: reference,
  customProperties: customProperties.optional(),
});

const element = {
  id: text.optional(),
  physicalType: text.optional(),
  physicalName: text.optional(),
  description: text.optional(),
  businessName: text.optional(),
  authoritativeDefinitions: definitions.optional(),
  tags: tags.optional(),
  customProperties: customProperties.optional(),
  relationships: z.array(relationship).optional(),
  quality: z.array(quality).optional(),
};

const LOGICAL_TYPES = ['string', 'date', 'timestamp', 'time', 'number', 'integer', 'object', 'array', 'boolean'] as const;

const propertyKeys = {
  ...element,
  logicalType: z.enum(LOGICAL_TYPES).optional(),
  logicalTypeOptions: z.record(text, z.unknown()).optional(),
  primaryKey: z.boolean().optional(),
  primaryKeyPosition: z.int().optional(),
  required: z.boolean().optional(),
  unique: z.boolean().optional(),
  partitioned: z.boolean().optional(),
  partitionKeyPosition: z.int().optional(),
  classification: text.optional(),
  encryptedName: text.optional(),
  transformSourceObjects: z.array(text).optional(),
  transformLogic: text.optional(),
  transformDescription: text.optional(),
  examples: z.array(z.unknown()).optional(),
  criticalDataElement: z.boolean().optional(),
};

/** Properties nest; Sluice reads only the outermost, so the inner ones need no type here. */
const nested = {
  properties: z.array(z.lazy((): z.ZodType<unknown> => property)).optional(),
  items: z.lazy((): z.ZodType<unknown> => item).optional(),
};

const property = z.strictObject({ ...propertyKeys, ...nested, name: text }).meta({ id: 'Property' });
const item = z.strictObject({ ...propertyKeys, ...nested, name: text.optional() }).meta({ id: 'Item' });

const schemaObject = z.strictObject({
  ...element,
  name: text,
  logicalType: z.literal('object').optional(),
  dataGranularityDescription: text.optional(),
  properties: z.array(property).optional(),
});

const teamMember = z.strictObject({
  id: text.optional(),
  username: text,
  name: text.optional(),
  description: text.optional(),
  role: text.optional(),
  dateIn: text.optional(),
  dateOut: text.optional(),
  replacedByUsername: text.optional(),
  tags: tags.optional(),
  customProperties: customProperties.optional(),
  authoritativeDefinitions: definitions.optional(),
});

const plainValue = z.union([text, z.number(), z.boolean(), z.null()]);

export const contractSchema = z.strictObject({
  apiVersion: z.enum(['v3.1.0', 'v3.0.2', 'v3.0.1', 'v3.0.0']),
  kind: z.literal('DataContract'),
  id: text,
  name: text.optional(),
  version: z
    .string()
    .regex(/^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$/, 'must be a version of three numbers, such as 1.0.0')
    .describe('A renamed or retyped column is a new major version.'),
  status: text.describe('proposed, draft, active, deprecated or retired; Sluice reads active and deprecated contracts.'),
  tenant: text.optional(),
  tags: tags.optional(),
  dataProduct: text.optional(),
  domain: text.optional(),
  description: z
    .strictObject({
      usage: text.optional(),
      purpose: text.optional(),
      limitations: text.optional(),
      authoritativeDefinitions: definitions.optional(),
      customProperties: customProperties.optional(),
    })
    .optional(),
  servers: z.array(server).optional(),
  schema: z.array(schemaObject).optional(),
  support: z
    .array(
      z.strictObject({
        id: text.optional(),
        channel: text,
        url: text.optional(),
        description: text.optional(),
        tool: text.optional(),
        scope: text.optional(),
        invitationUrl: text.optional(),
        customProperties: customProperties.optional(),
      }),
    )
    .optional(),
  price: z
    .strictObject({
      id: text.optional(),
      priceAmount: z.number().optional(),
      priceCurrency: text.optional(),
      priceUnit: text.optional(),
    })
    .optional(),
  team: z
    .union([
      z.strictObject({
        id: text.optional(),
        name: text.optional(),
        description: text.optional(),
        members: z.array(teamMember).optional(),
        tags: tags.optional(),
        customProperties: customProperties.optional(),
        authoritativeDefinitions: definitions.optional(),
      }),
      z.array(teamMember),
    ])
    .optional(),
  roles: z.array(role).optional(),
  slaDefaultElement: text.optional(),
  slaProperties: z
    .array(
      z.strictObject({
        id: text.optional(),
        property: text,
        value: plainValue,
        valueExt: plainValue.optional(),
        unit: text.optional(),
        element: text.optional(),
        driver: text.optional(),
        description: text.optional(),
        scheduler: text.optional(),
        schedule: text.optional(),
      }),
    )
    .optional(),
  authoritativeDefinitions: definitions.optional(),
  customProperties: customProperties.optional(),
  contractCreatedTs: text.optional(),
});

export type ContractFile = z.infer<typeof contractSchema>;
export type SchemaObject = NonNullable<ContractFile['schema']>[number];
export type Property = NonNullable<SchemaObject['properties']>[number];
export type QualityCheck = NonNullable<SchemaObject['quality']>[number];
