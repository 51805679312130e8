import { isMap, isScalar, isSeq } from 'yaml';
import type { Node, YAMLMap } from 'yaml';
import type { Rule } from '../model.ts';
import { nearest } from '../problems.ts';
import { readTest } from './column-test.ts';
import type { ContractTable } from './contract.ts';
import { readEvent } from './event-condition.ts';
import { placeOf } from './scope.ts';
import type { Scope } from './scope.ts';
import { entries, kindOf, valueOf } from './source.ts';

const WORDS = ['all', 'any', 'not', 'event', 'audience'] as const;

/** Keys that stand beside `event`; alone they are a condition whose event was forgotten. */
const EVENT_KEYS = ['count', 'sum', 'never', 'within', 'before', 'after', 'where', 'version'];

/** Names from other rule languages and what they are here. */
const OTHER_WORDS: Readonly<Record<string, string>> = {
  and: 'all',
  or: 'any',
  none: 'not',
  every: 'all',
  some: 'any',
  segment: 'audience',
};

/**
 * A rule as written under `where`: a mapping of conditions (all must hold), or a list of them. Undefined when anything in it is wrong;
 * every problem is reported, not only the first.
 */
export function readRule(scope: Scope, node: Node | null | undefined): Rule | undefined {
  if (isSeq(node)) return readRules(scope, 'all', node);
  if (!isMap(node)) {
    scope.source.report(node, {
      rule: 'wrong-type',
      message: `A condition must be a mapping such as "country: DE", not ${kindOf(node)}.`,
    });
    return undefined;
  }
  if (valueOf(node, 'event') !== undefined && scope.event === undefined) return readEvent(scope, node, readRule);
  if (node.items.length === 0) {
    scope.source.report(node, {
      rule: 'empty-rule',
      message: 'A condition is empty.',
      hint: 'Write a column and its value, or remove it.',
    });
    return undefined;
  }
  return together(entries(node).map(([key, keyNode, value]) => readCondition(scope, node, key, keyNode, value)));
}

/** One rule for all, several as `all`; undefined when one of them is wrong. */
export function together(rules: readonly (Rule | undefined)[]): Rule | undefined {
  const whole = rules.filter((rule) => rule !== undefined);
  if (whole.length < rules.length) return undefined;
  return whole.length === 1 ? whole[0] : { kind: 'all', rules: whole };
}

function readRules(scope: Scope, kind: 'all' | 'any', node: Node | null): Rule | undefined {
  if (!isSeq(node)) {
    scope.source.report(node, {
      rule: 'wrong-type',
      message: `"${kind}" must be a list of conditions, not ${kindOf(node)}.`,
      hint: 'Begin each condition with "- ".',
    });
    return undefined;
  }
  if (node.items.length === 0) {
    scope.source.report(node, { rule: 'empty-rule', message: `"${kind}" has no condition.` });
    return undefined;
  }
  const rules = node.items.map((item) => readRule(scope, item as Node | null));
  const whole = rules.filter((rule) => rule !== undefined);
  return whole.length === rules.length ? { kind, rules: whole } : undefined;
}

function readCondition(scope: Scope, map: YAMLMap, key: string, keyNode: Node, value: Node | null): Rule | undefined {
  switch (key) {
    case 'all':
    case 'any':
      return readRules(scope, key, value);
    case 'not': {
      if (isSeq(value)) {
        scope.source.report(keyNode, {
          rule: 'wrong-type',
          message: '"not" takes one condition, not a list: a list could mean "not all" or "not any".',
          hint: 'Write not: { all: [...] } or not: { any: [...] }.',
        });
        return undefined;
      }
      const rule = readRule(scope, value);
      return rule && { kind: 'not', rule };
    }
    case 'event':
      scope.source.report(keyNode, {
        rule: 'nested-event',
        message: 'An event condition cannot stand inside the "where" of another.',
      });
      return undefined;
    case 'audience':
      return readReference(scope, keyNode, value);
    default:
      return readColumn(scope, map, key, keyNode, value);
  }
}

function readReference(scope: Scope, keyNode: Node, value: Node | null): Rule | undefined {
  if (scope.event !== undefined) {
    scope.source.report(keyNode, { rule: 'nested-event', message: 'An audience cannot stand inside the "where" of an event.' });
    return undefined;
  }
  if (!isScalar(value) || typeof value.value !== 'string') {
    scope.source.report(value ?? keyNode, {
      rule: 'wrong-type',
      message: `"audience" must be the name of one audience, not ${kindOf(value)}.`,
      hint: isSeq(value) ? 'Write any: with one "audience" condition each.' : undefined,
    });
    return undefined;
  }
  scope.references.push({ name: value.value, node: value });
  return { kind: 'audience', name: value.value };
}

function readColumn(scope: Scope, map: YAMLMap, key: string, keyNode: Node, value: Node | null): Rule | undefined {
  const { source, table } = scope;
  if (!table) return undefined;
  const column = table.columns.get(key);
  if (!column) {
    reportUnknownColumn(scope, table, map, key, keyNode);
    return undefined;
  }
  return readTest(source, table, column, keyNode, value);
}

function reportUnknownColumn(scope: Scope, table: ContractTable, map: YAMLMap, key: string, keyNode: Node): void {
  const { source } = scope;
  const other = table.otherTypes.get(key);
  if (other !== undefined) {
    source.report(keyNode, {
      rule: 'unusable-column',
      message: `"${key}" is of type ${other} in ${placeOf(table)}; a rule cannot test it.`,
      hint: 'Add a column of a plain type to the activation table.',
    });
    return;
  }
  source.report(keyNode, {
    rule: 'unknown-column',
    message: `"${key}" is not a column of ${placeOf(table)}.`,
    hint: suggestColumn(scope, table, map, key),
  });
}

function suggestColumn(scope: Scope, table: ContractTable, map: YAMLMap, key: string): string | undefined {
  if (scope.event === undefined && EVENT_KEYS.includes(key)) return `"${key}" needs "event: <name>" beside it.`;
  const near = nearest(key, table.columns.keys());
  if (near !== undefined) return `Did you mean "${near}"?`;
  const word = OTHER_WORDS[key.toLowerCase()] ?? (map.items.length === 1 ? nearest(key, WORDS) : undefined);
  if (word !== undefined && Object.hasOwn(OTHER_WORDS, key.toLowerCase())) return `Did you mean "${word}"?`;
  for (const [name, [event]] of scope.events) {
    if (event?.columns.has(key) && event !== table)
      return `"${key}" is a property of the event ${name}: ask for it under "event: ${name}", "where".`;
  }
  return word === undefined ? undefined : `Did you mean "${word}"?`;
}
