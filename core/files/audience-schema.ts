import * as z from 'zod';
import type { EVENT_KEYS } from './event-condition.ts';
import type { TESTS } from './column-test.ts';

/**
 * The shape of an audience file. Names, literals, times and schedules are checked by the readers beside this file, which know the contracts;
 * the rule's schema here is what editors get.
 */

const scalar = z.union([z.string(), z.number(), z.boolean()]);
const number = z.number();

/** One key a test; each test's own value is checked against the column's type. */
const testValues: Readonly<Record<keyof typeof TESTS, z.ZodType>> = {
  eq: scalar.describe('Equal.'),
  ne: scalar.describe('Known, and not equal.'),
  gt: scalar.describe('Greater than.'),
  gte: scalar.describe('Greater than or equal.'),
  lt: scalar.describe('Less than.'),
  lte: scalar.describe('Less than or equal.'),
  between: z.array(scalar).length(2).describe('From the first to the second, both included.'),
  in: z.array(scalar).min(1).describe('One of these.'),
  not_in: z.array(scalar).min(1).describe('Known, and none of these.'),
  is: z.enum(['known', 'unknown']).describe('Whether there is a value.'),
  contains: z.string().min(1),
  starts_with: z.string().min(1),
  ends_with: z.string().min(1),
  before: z.string().describe('Strictly before: 2026-01-31, 90 days ago, today.'),
  after: z.string().describe('Strictly after.'),
  on: z.string().describe('On that day, in the time zone of the audience.'),
  within: z.string().describe('In the last so many days, and not in the future: 30 days.'),
  within_next: z.string().describe('In the next so many days: 30 days.'),
};

const columnTest = z
  .union([scalar, z.array(scalar).min(1), z.strictObject(testValues).partial()])
  .meta({ id: 'Test', description: 'A value is equality, a list is "in", a mapping holds tests that must all hold.' });

const range = { eq: number, ne: number, gt: number, gte: number, lt: number, lte: number, between: z.tuple([number, number]) };
const count = z.union([z.int().min(0), z.strictObject(range).partial()]);
const sum = z.strictObject(range).partial().extend({ property: z.string() });

const ruleOrList: z.ZodType = z.lazy(() => z.union([rule, z.array(rule).min(1)]));

const eventKeys: Readonly<Record<(typeof EVENT_KEYS)[number], z.ZodType>> = {
  event: z.string().describe('The name of an event of the contracts.'),
  version: z.int().describe('The major version of the contract, when several are served; the newest active one otherwise.'),
  where: ruleOrList.describe('Conditions on the properties of the event.'),
  count: count.describe('How many; at least one when neither count, sum nor never is written.'),
  sum: sum.describe('How much of a property.'),
  never: z.literal(true).describe('Not once.'),
  within: z.string().describe('In the last so many days: 365 days.'),
  before: z.string(),
  after: z.string(),
};

const eventCondition = z.strictObject(eventKeys).partial().required({ event: true });

const condition = z
  .object({
    all: z
      .array(z.lazy((): z.ZodType => rule))
      .min(1)
      .optional()
      .describe('Every one of these must hold.'),
    any: z
      .array(z.lazy((): z.ZodType => rule))
      .min(1)
      .optional()
      .describe('At least one of these must hold.'),
    not: z
      .lazy((): z.ZodType => rule)
      .optional()
      .describe('This must not hold.'),
    audience: z.string().optional().describe('Members of another audience.'),
    event: z.never().optional(),
  })
  .catchall(columnTest);

const rule: z.ZodType = z.union([eventCondition, condition]).meta({ id: 'Rule' });

const percent = z.string().regex(/^\d+(\.\d+)?\s*%$/, 'must be a percentage, such as 20%');
const share = z.union([
  percent,
  z.strictObject({
    percent: z.union([z.number().min(0), percent]),
    floor: z.int().min(0).optional().describe('A change of at most this many members never holds.'),
  }),
]);

export const syncSchema = z.strictObject({
  to: z.string().describe('The name of a destination.'),
  mode: z.enum(['mirror', 'upsert', 'add-only']).optional(),
  identifiers: z
    .array(z.string())
    .min(1)
    .optional()
    .describe('Namespaces to send; the usual ones of the platform when left out.'),
  traits: z
    .union([z.record(z.string(), z.string()), z.array(z.string())])
    .optional()
    .describe('Field at the destination -> column of the customers contract; a list when they have the same names.'),
  settings: z.record(z.string(), z.unknown()).optional().describe('What the connector lets a sync set.'),
  rollout: percent.optional().describe('The share of the customers for whom this sync acts; outside it nothing changes.'),
});

/** What the shape check uses: percentages are read apart. */
const syncShape = syncSchema.extend({ rollout: z.unknown().optional() });

/** Most destinations of one audience: each is a delivery of its own in every run. */
export const MAX_SYNCS = 20;

const syncsOf = <T extends z.ZodType>(sync: T) =>
  z.array(sync).max(MAX_SYNCS, `must have at most ${MAX_SYNCS} syncs; write a second audience file`).optional();

const keys = {
  description: z.string().optional(),
  owner: z.string().optional().describe('Who is told when a run is held or fails.'),
  time_zone: z
    .string()
    .optional()
    .describe('IANA zone in which days are read; the zone of the schedule, else UTC, when left out.'),
  where: ruleOrList.optional().describe('Who is in: the rule.'),
  sql: z.string().min(1).optional().describe('One SELECT of the customer id, for what the rule language cannot say.'),
  exclude: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .describe('Audiences whose members are left out.'),
  holdout: percent.optional().describe('A stable share that is never sent, to compare with.'),
  rollout: percent
    .optional()
    .describe('A cut-over: the share of the customers for whom the syncs act; outside it nothing changes. It only grows.'),
  schedule: z.string().optional().describe('every day at 06:00 Europe/Berlin, every 15 minutes, cron(...) or manual.'),
  guardrails: z
    .strictObject({
      max_added: share.optional(),
      max_removed: share.optional(),
      min_size: z.int().min(0).optional(),
    })
    .optional(),
  syncs: syncsOf(syncSchema),
};

/** The whole file, for editors. */
export const audienceSchema = z.strictObject(keys);

/** What the shape check uses: the rule, the schedule and the percentages are read apart, with better messages. */
export const audienceShape = z.strictObject({
  ...keys,
  where: z.unknown().optional(),
  schedule: z.unknown().optional(),
  holdout: z.unknown().optional(),
  rollout: z.unknown().optional(),
  syncs: syncsOf(syncShape),
  guardrails: z
    .strictObject({ max_added: z.unknown().optional(), max_removed: z.unknown().optional(), min_size: z.int().min(0).optional() })
    .optional(),
});

export type AudienceFile = z.infer<typeof audienceShape>;
