import type { Column, Literal, NumberRange, Rule, Test } from '../model.ts';
import { dayOf, minus, resolveDate, resolveInstant } from '../time.ts';
import { dateLiteral, likeText, numberText, quoteName, quoteText, timestampLiteral } from './literal.ts';

export type EventCondition = Extract<Rule, { kind: 'event' }>;

/** Whether the measured number of events meets the condition. */
export const eventPredicate = (measure: EventCondition['measure'], number: string): string =>
  measure.kind === 'never' ? `${number} = 0` : rangeSql(number, measure.range);

/** What a rule's relative times and references mean. */
export interface RuleScope {
  /** "Now", epoch milliseconds: the run's tick. */
  readonly tick: number;
  /** IANA zone of the audience the rule is of. */
  readonly zone: string;
  /** SQL of the number that an event condition measures, never NULL. Absent where events can't be asked for (event properties). */
  readonly event?: (condition: EventCondition) => string;
  /** SQL of a boolean, never NULL: is the customer in the audience? */
  readonly audience?: (name: string) => string;
}

/**
 * A rule as a boolean expression over the columns of `alias`. Three-valued: a test of an unknown value is NULL, so it is not met, and its
 * negation is not met either. Event conditions and memberships are always known.
 */
export function ruleSql(rule: Rule, scope: RuleScope, alias = 'c'): string {
  switch (rule.kind) {
    case 'all':
      return joined(rule.rules, ' AND ', 'TRUE', scope, alias);
    case 'any':
      return joined(rule.rules, ' OR ', 'FALSE', scope, alias);
    case 'not':
      return `NOT (${ruleSql(rule.rule, scope, alias)})`;
    case 'test':
      return testSql(`${alias}.${quoteName(rule.column.name)}`, rule.column, rule.test, scope);
    case 'event':
      if (scope.event === undefined) throw new RangeError('An event property can not be tested by another event');
      return eventPredicate(rule.measure, scope.event(rule));
    case 'audience':
      if (scope.audience === undefined) throw new RangeError('An event property can not be tested by an audience');
      return scope.audience(rule.name);
  }
}

function joined(rules: readonly Rule[], word: string, empty: string, scope: RuleScope, alias: string): string {
  if (rules.length === 0) return empty;
  const parts = rules.map((rule) => ruleSql(rule, scope, alias));
  return parts.length === 1 ? (parts[0] ?? empty) : `(${parts.join(word)})`;
}

const SIGNS = { eq: '=', ne: '<>', gt: '>', gte: '>=', lt: '<', lte: '<=' } as const;

function testSql(at: string, column: Column, test: Test, scope: RuleScope): string {
  const instant = (ms: number): string => instantSql(ms, column, scope);
  switch (test.op) {
    case 'eq':
    case 'ne':
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte':
      return `${at} ${SIGNS[test.op]} ${literalSql(test.value, column, scope)}`;
    case 'in':
    case 'not_in': {
      // An empty list holds nobody, and without a value nothing can be said: NULL IN () is no SQL.
      if (test.values.length === 0) return `(${at} IS NOT NULL AND ${test.op === 'in' ? 'FALSE' : 'TRUE'})`;
      return `${at} ${test.op === 'in' ? 'IN' : 'NOT IN'} (${test.values.map((value) => literalSql(value, column, scope)).join(', ')})`;
    }
    case 'known':
      return `${at} IS NOT NULL`;
    case 'unknown':
      return `${at} IS NULL`;
    case 'contains':
      return like(at, `%${likeText(test.text)}%`);
    case 'starts_with':
      return like(at, `${likeText(test.text)}%`);
    case 'ends_with':
      return like(at, `%${likeText(test.text)}`);
    case 'before':
      return `${at} < ${instant(resolveInstant(test.at, scope.tick, scope.zone))}`;
    case 'after':
      return `${at} > ${instant(resolveInstant(test.at, scope.tick, scope.zone))}`;
    case 'on': {
      if (column.type === 'date') return `${at} = ${dateLiteral(resolveDate(test.at, scope.tick, scope.zone))}`;
      const day = dayOf(resolveInstant(test.at, scope.tick, scope.zone), scope.zone);
      return `(${at} >= ${instant(day.start)} AND ${at} < ${instant(day.end)})`;
    }
    case 'within':
      return `(${at} >= ${instant(minus(scope.tick, test.duration, scope.zone))} AND ${at} <= ${instant(scope.tick)})`;
    case 'within_next': {
      const end = resolveInstant({ kind: 'ahead', duration: test.duration }, scope.tick, scope.zone);
      return `(${at} >= ${instant(scope.tick)} AND ${at} <= ${instant(end)})`;
    }
  }
}

const like = (at: string, pattern: string): string => `${at} LIKE ${quoteText(pattern)} ESCAPE '\\'`;

function literalSql(literal: Literal, column: Column, scope: RuleScope): string {
  switch (literal.type) {
    case 'string':
      return quoteText(literal.value);
    case 'boolean':
      return literal.value ? 'TRUE' : 'FALSE';
    case 'date':
    case 'timestamp':
      return instantSql(resolveInstant(literal.value, scope.tick, scope.zone), column, scope);
    default:
      return numberText(literal.value);
  }
}

/** An epoch time in the type of the column it is compared with; for a date column the calendar day in the audience's zone. */
export function instantSql(ms: number, column: Pick<Column, 'type' | 'zoned'>, scope: Pick<RuleScope, 'zone' | 'tick'>): string {
  if (column.type !== 'date') return timestampLiteral(ms, column.zoned);
  return dateLiteral(resolveDate({ kind: 'now' }, ms, scope.zone));
}

/** All bounds of a range over a number that is never NULL. */
export function rangeSql(expression: string, range: NumberRange): string {
  const bounds = (['eq', 'ne', 'gt', 'gte', 'lt', 'lte'] as const).flatMap((op) => {
    const bound = range[op];
    return bound === undefined ? [] : [`${expression} ${SIGNS[op]} ${numberText(bound)}`];
  });
  return bounds.length === 1 ? (bounds[0] ?? 'TRUE') : `(${bounds.join(' AND ') || 'TRUE'})`;
}
