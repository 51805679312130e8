import type { Duration, Instant, Literal, NumberRange, Rule, Test } from '../model.ts';

type Condition = Exclude<Rule, { kind: 'all' | 'any' | 'not' }>;

/** A condition as an audience file says it, on one line: `lifetime_value: { gte: 500 }`. Reads back as the same condition. */
export function conditionText(rule: Condition): string {
  switch (rule.kind) {
    case 'audience':
      return `audience: ${scalar(rule.name)}`;
    case 'test':
      return `${scalar(rule.column.name)}: ${testText(rule.test)}`;
    case 'event':
      return entries(eventEntries(rule));
  }
}

/** A whole rule on one line, in braces. */
export function ruleText(rule: Rule): string {
  switch (rule.kind) {
    case 'all':
    case 'any':
      return `{ ${rule.kind}: [${rule.rules.map(ruleText).join(', ')}] }`;
    case 'not':
      return `{ not: ${ruleText(rule.rule)} }`;
    default:
      return `{ ${conditionText(rule)} }`;
  }
}

type Entries = readonly (readonly [string, string])[];
const entries = (all: Entries): string => all.map(([key, text]) => `${key}: ${text}`).join(', ');
const mapping = (all: Entries): string => `{ ${entries(all)} }`;

function eventEntries({ table, measure, where, within, before, after }: Extract<Rule, { kind: 'event' }>): Entries {
  const optional = <T>(key: string, value: T | undefined, text: (value: T) => string): Entries =>
    value === undefined ? [] : [[key, text(value)]];
  return [
    ['event', scalar(table.name)],
    ...optional('where', where, ruleText),
    measure.kind === 'never'
      ? (['never', 'true'] as const)
      : measure.kind === 'count'
        ? (['count', mapping(bounds(measure.range))] as const)
        : (['sum', mapping([['property', scalar(measure.column.name)], ...bounds(measure.range)])] as const),
    ...optional('within', within, durationText),
    ...optional('before', before, instantText),
    ...optional('after', after, instantText),
  ];
}

const bounds = (range: NumberRange): Entries =>
  (['eq', 'ne', 'gt', 'gte', 'lt', 'lte'] as const).flatMap((op) => {
    const bound = range[op];
    return bound === undefined ? [] : [[op, bound] as const];
  });

function testText(test: Test): string {
  switch (test.op) {
    case 'eq':
      return literalText(test.value);
    case 'ne':
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte':
      return mapping([[test.op, literalText(test.value)]]);
    case 'in':
      return list(test.values);
    case 'not_in':
      return mapping([['not_in', list(test.values)]]);
    case 'known':
    case 'unknown':
      return mapping([['is', test.op]]);
    case 'contains':
    case 'starts_with':
    case 'ends_with':
      return mapping([[test.op, scalar(test.text)]]);
    case 'before':
    case 'after':
    case 'on':
      return mapping([[test.op, instantText(test.at)]]);
    case 'within':
    case 'within_next':
      return mapping([[test.op, durationText(test.duration)]]);
  }
}

const list = (values: readonly Literal[]): string => `[${values.map(literalText).join(', ')}]`;

function literalText(literal: Literal): string {
  switch (literal.type) {
    case 'string':
      return scalar(literal.value);
    case 'boolean':
      return String(literal.value);
    case 'date':
    case 'timestamp':
      return instantText(literal.value);
    default:
      return literal.value;
  }
}

export const durationText = ({ amount, unit }: Duration): string => `${amount} ${unit}${amount === 1 ? '' : 's'}`;

function instantText(instant: Instant): string {
  switch (instant.kind) {
    case 'absolute':
      return instant.iso;
    case 'ago':
      return `${durationText(instant.duration)} ago`;
    case 'ahead':
      return `in ${durationText(instant.duration)}`;
    default:
      return instant.kind;
  }
}

/** Words that YAML readers take for something else than a text. */
const NO_TEXT = /^(?:true|false|null|yes|no|on|off|y|n|~)$/i;

/** A text as YAML, in quotes only where it needs them. A text in JSON is one in YAML too. */
const scalar = (text: string): string =>
  /^[A-Za-z][\w -]*$/.test(text) && !/\s$/.test(text) && !NO_TEXT.test(text) ? text : JSON.stringify(text);
