import { isScalar } from 'yaml';
import type { Node } from 'yaml';
import type { Audience, Schedule } from '../model.ts';
import { isTimeZone } from '../time.ts';
import { audienceShape } from './audience-schema.ts';
import type { AudienceFile } from './audience-schema.ts';
import type { ContractTable } from './contract.ts';
import { readGuardrails, readPercent } from './guardrails.ts';
import { readRule } from './rule.ts';
import { parseSchedule, SCHEDULE_FORM, zoneHint } from './schedule.ts';
import { checkShape } from './shape.ts';
import type { Words } from './shape.ts';
import { keyOf, kindOf, nodeAt, positionOf, valueOf } from './source.ts';
import type { Source } from './source.ts';
import { readSyncs } from './syncs.ts';
import type { Destinations } from './syncs.ts';

const WORDS: Words = {
  nouns: {
    '': 'an audience',
    syncs: 'a sync',
    guardrails: 'the guardrails',
    traits: 'the traits',
    identifiers: 'the identifiers',
  },
  otherNames: {
    removal_limit: 'guardrails.max_removed',
    max_removals: 'guardrails.max_removed',
    addition_limit: 'guardrails.max_added',
    min_members: 'guardrails.min_size',
    minimum_size: 'guardrails.min_size',
    destinations: 'syncs',
    sync: 'syncs',
    targets: 'syncs',
    destination: 'syncs.to',
    rule: 'where',
    rules: 'where',
    filter: 'where',
    conditions: 'where',
    query: 'sql',
    suppress: 'exclude',
    exclusions: 'exclude',
    control_group: 'holdout',
    percentage: 'rollout',
    canary: 'rollout',
    ramp: 'rollout',
    cron: 'schedule',
    timezone: 'time_zone',
    fields: 'syncs.traits',
    attributes: 'syncs.traits',
  },
};

/** An audience file as far as it can be read alone: names of other audiences are checked when all are known. */
export interface AudienceDraft {
  readonly name: string;
  readonly source: Source;
  /** Undefined when the file has errors. */
  readonly audience: Audience | undefined;
  /** Every audience it names, under `where` and `exclude`. */
  readonly references: readonly { readonly name: string; readonly node: Node }[];
}

export interface Known extends Destinations {
  readonly events: ReadonlyMap<string, readonly ContractTable[]>;
  readonly brokenContracts: ReadonlyMap<string, string>;
}

export function readAudience(source: Source, name: string, known: Known): AudienceDraft {
  const references: { name: string; node: Node }[] = [];
  const file = checkShape(source, audienceShape, WORDS);
  const at = (key: string) => valueOf(source.root, key);
  // The rule is read even when another part of the file is wrong: every problem at once.
  const where =
    at('where') === undefined
      ? undefined
      : readRule(
          { source, table: known.customers, events: known.events, brokenContracts: known.brokenContracts, references },
          at('where'),
        );
  const guardrails = readGuardrails(source, at('guardrails'), file?.guardrails?.min_size);
  const holdout = at('holdout') === undefined ? 0 : readHoldout(source, at('holdout') ?? keyOf(source.root, 'holdout') ?? null);
  const rollout =
    at('rollout') === undefined
      ? 100
      : readPercent(source, 'rollout', at('rollout') ?? keyOf(source.root, 'rollout') ?? null, 100);
  checkRuleOrSql(source);
  if (!file) return { name, source, audience: undefined, references };

  const exclude = readExclude(source, file, references);
  const schedule = readSchedule(source, file);
  const timeZone = readTimeZone(source, file, schedule);
  const syncs = readSyncs(source, file.syncs ?? [], known, rollout ?? 100);
  const broken = source.problems.some((problem) => problem.severity === 'error') || !known.customers;
  if (broken || !guardrails || !schedule || holdout === undefined || rollout === undefined || timeZone === undefined) {
    return { name, source, audience: undefined, references };
  }
  const audience: Audience = {
    name,
    file: source.file,
    description: file.description ?? '',
    owner: file.owner ?? '',
    timeZone,
    where,
    sql: file.sql === undefined ? undefined : { text: file.sql, ...positionOf(source, nodeAt(source.root, ['sql'])) },
    exclude,
    holdout,
    schedule,
    guardrails,
    syncs,
  };
  return { name, source, audience, references };
}

function checkRuleOrSql(source: Source): void {
  const where = keyOf(source.root, 'where');
  const sql = keyOf(source.root, 'sql');
  if (where && sql) {
    source.report(sql, {
      rule: 'rule-and-sql',
      message: 'An audience has either "where" or "sql", and this has both.',
      hint: 'Move one into an audience of its own.',
    });
  } else if (!where && !sql) {
    source.report(source.root.items[0]?.key ?? source.root, {
      rule: 'no-rule',
      message: 'The audience does not say who is in: "where" is missing.',
      hint: 'Add "where" with a condition, such as "where: { country: DE }".',
    });
  }
}

function readHoldout(source: Source, node: Node | null): number | undefined {
  const percent = readPercent(source, 'holdout', node, 100);
  if (percent !== 100) return percent;
  source.report(node, { rule: 'out-of-range', message: 'A holdout of 100% would send nobody.' });
  return undefined;
}

function readExclude(source: Source, file: AudienceFile, references: { name: string; node: Node }[]): readonly string[] {
  const names = file.exclude === undefined ? [] : typeof file.exclude === 'string' ? [file.exclude] : file.exclude;
  const node = nodeAt(source.root, ['exclude']);
  for (const [index, name] of names.entries()) references.push({ name, node: isScalar(node) ? node : nodeAt(node, [index]) });
  return [...new Set(names)];
}

function readSchedule(source: Source, file: AudienceFile): Schedule | undefined {
  if (file.schedule === undefined) return { kind: 'manual' };
  const node = nodeAt(source.root, ['schedule']);
  if (typeof file.schedule !== 'string') {
    source.report(node, {
      rule: 'invalid-schedule',
      message: `"schedule" must be a text, not ${kindOf(valueOf(source.root, 'schedule'))}.`,
      hint: SCHEDULE_FORM,
    });
    return undefined;
  }
  const schedule = parseSchedule(file.schedule);
  if (schedule.kind !== 'wrong') return schedule;
  source.report(node, { rule: 'invalid-schedule', message: schedule.message, hint: schedule.hint });
  return undefined;
}

/** The file's own zone, else the schedule's: who writes "06:00 Europe/Berlin" means days of Berlin. */
function readTimeZone(source: Source, file: AudienceFile, schedule: Schedule | undefined): string | undefined {
  if (file.time_zone === undefined) return schedule?.kind === 'cron' ? schedule.timeZone : 'UTC';
  if (isTimeZone(file.time_zone)) return file.time_zone;
  source.report(nodeAt(source.root, ['time_zone']), {
    rule: 'unknown-time-zone',
    message: `"${file.time_zone}" is not a time zone.`,
    hint: zoneHint(file.time_zone),
  });
  return undefined;
}
