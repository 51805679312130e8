import { isMap, isScalar, isSeq } from 'yaml';
import type { Node } from 'yaml';
import type { Column, Literal, Rule, Test } from '../model.ts';
import { nearest } from '../problems.ts';
import type { ContractTable } from './contract.ts';
import { readDuration, readInstant, readLiteral, readText } from './literal.ts';
import { entries, kindOf, writtenOf } from './source.ts';
import type { Source } from './source.ts';
import { isDay } from './words-of-time.ts';

/** The tests of the rule language, and the types of column each can be made on. */
export const TESTS = {
  eq: ['string', 'integer', 'number', 'boolean', 'date', 'timestamp'],
  ne: ['string', 'integer', 'number', 'boolean', 'date', 'timestamp'],
  gt: ['string', 'integer', 'number', 'date', 'timestamp'],
  gte: ['string', 'integer', 'number', 'date', 'timestamp'],
  lt: ['string', 'integer', 'number', 'date', 'timestamp'],
  lte: ['string', 'integer', 'number', 'date', 'timestamp'],
  between: ['string', 'integer', 'number', 'date', 'timestamp'],
  in: ['string', 'integer', 'number', 'boolean', 'date', 'timestamp'],
  not_in: ['string', 'integer', 'number', 'boolean', 'date', 'timestamp'],
  is: ['string', 'integer', 'number', 'boolean', 'date', 'timestamp'],
  contains: ['string'],
  starts_with: ['string'],
  ends_with: ['string'],
  before: ['date', 'timestamp'],
  after: ['date', 'timestamp'],
  on: ['date', 'timestamp'],
  within: ['date', 'timestamp'],
  within_next: ['date', 'timestamp'],
} as const satisfies Readonly<Record<string, readonly Column['type'][]>>;

type TestName = keyof typeof TESTS;

/** Names from other rule languages and what they are here. */
export const OTHER_TEST_NAMES: Readonly<Record<string, TestName>> = {
  '=': 'eq',
  '==': 'eq',
  '!=': 'ne',
  '<>': 'ne',
  '>': 'gt',
  '>=': 'gte',
  '<': 'lt',
  '<=': 'lte',
  equals: 'eq',
  not_equals: 'ne',
  not: 'ne',
  greater_than: 'gt',
  more_than: 'gt',
  at_least: 'gte',
  at_most: 'lte',
  less_than: 'lt',
  min: 'gte',
  max: 'lte',
  one_of: 'in',
  none_of: 'not_in',
  exists: 'is',
  null: 'is',
  like: 'contains',
  includes: 'contains',
  prefix: 'starts_with',
  suffix: 'ends_with',
  older_than: 'before',
  since: 'after',
  from: 'after',
  until: 'before',
  in_last: 'within',
  within_last: 'within',
};

/** The test that a name of another rule language means. */
export const otherName = (name: string): TestName | undefined => {
  const key =
    nearest(
      name,
      Object.keys(OTHER_TEST_NAMES).filter((known) => /^\w/.test(known)),
    ) ?? name;
  return Object.hasOwn(OTHER_TEST_NAMES, key) ? OTHER_TEST_NAMES[key] : undefined;
};

interface Tested {
  readonly source: Source;
  readonly table: ContractTable;
  readonly column: Column;
}

/**
 * What is asked of a column: a value alone is equality, a list is `in`, a mapping is one test a key, all of which must hold.
 * Undefined when anything is wrong.
 */
export function readTest(
  source: Source,
  table: ContractTable,
  column: Column,
  keyNode: Node,
  value: Node | null,
): Rule | undefined {
  const tested: Tested = { source, table, column };
  const rule = (test: Test): Rule => ({ kind: 'test', column, test });
  if (isSeq(value)) {
    const test = readMany(tested, 'in', value);
    return test && rule(test);
  }
  if (!isMap(value)) {
    const literal = readLiteral(source, column, value ?? keyNode, table.integers.get(column.name));
    if (!literal || !usableEquality(tested, literal, value)) return undefined;
    return rule({ op: 'eq', value: literal });
  }
  if (value.items.length === 0) {
    source.report(value, {
      rule: 'empty-rule',
      message: `"${column.name}" has no test.`,
      hint: 'Write one, such as { gte: 1 }.',
    });
    return undefined;
  }
  const found = entries(value).map(([name, nameNode, node]) => readOne(tested, name, nameNode, node));
  if (found.includes(undefined)) return undefined;
  const tests = found.flatMap((one) => one ?? []);
  if (isImpossible(tests)) {
    source.report(value, { rule: 'empty-range', message: `No value of "${column.name}" can meet these bounds together.` });
    return undefined;
  }
  const rules = tests.map(rule);
  return rules.length === 1 ? rules[0] : { kind: 'all', rules };
}

/** Tests of one key: several for `between`. */
function readOne(tested: Tested, name: string, nameNode: Node, node: Node | null): readonly Test[] | undefined {
  const { source, column } = tested;
  if (!Object.hasOwn(TESTS, name)) {
    const known = usableTests(column);
    const meant = otherName(name) ?? nearest(name, known);
    source.report(nameNode, {
      rule: 'unknown-test',
      message: `"${name}" is not a test.`,
      hint: meant === undefined ? `A ${column.type} is tested with ${known.join(', ')}.` : `Did you mean "${meant}"?`,
    });
    return undefined;
  }
  const op = name as TestName;
  if (!(TESTS[op] as readonly Column['type'][]).includes(column.type)) {
    source.report(nameNode, {
      rule: 'wrong-test',
      message: `"${op}" cannot test "${column.name}", which is of type ${column.type}.`,
      hint: `A ${column.type} is tested with ${usableTests(column).join(', ')}.`,
    });
    return undefined;
  }
  const one = (test: Test | undefined): readonly Test[] | undefined => test && [test];
  switch (op) {
    case 'eq':
    case 'ne':
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte': {
      const value = literal(tested, node ?? nameNode);
      if (!value || ((op === 'eq' || op === 'ne') && !usableEquality(tested, value, node))) return undefined;
      return one({ op, value });
    }
    case 'between':
      return readBetween(tested, node ?? nameNode);
    case 'in':
    case 'not_in':
      return one(readMany(tested, op, node ?? nameNode));
    case 'is':
      return one(readKnown(source, node ?? nameNode));
    case 'contains':
    case 'starts_with':
    case 'ends_with': {
      const text = readText(source, op, node ?? nameNode);
      return one(text === undefined ? undefined : { op, text });
    }
    case 'before':
    case 'after':
    case 'on': {
      const at = readInstant(source, node ?? nameNode, `"${op}" needs a point in time`);
      if (op === 'on' && at?.kind === 'absolute' && !isDay(at)) {
        source.report(node, {
          rule: 'invalid-time',
          message: '"on" needs a day, and this has a time of day.',
          hint: `Write "${at.iso.slice(0, 10)}".`,
        });
        return undefined;
      }
      return one(at && { op, at });
    }
    case 'within':
    case 'within_next': {
      const duration = readDuration(source, op, node ?? nameNode);
      return one(duration && { op, duration });
    }
  }
}

const usableTests = (column: Column): TestName[] =>
  (Object.keys(TESTS) as TestName[]).filter((name) => (TESTS[name] as readonly Column['type'][]).includes(column.type));

const literal = ({ source, table, column }: Tested, node: Node | null): Literal | undefined =>
  readLiteral(source, column, node, table.integers.get(column.name));

/** A timestamp is never equal to a day: it would only match midnight, which nobody means. */
function usableEquality({ source, column }: Tested, value: Literal, node: Node | null): boolean {
  if (value.type !== 'timestamp' || !isDay(value.value)) return true;
  const written = writtenOf(node);
  source.report(node, {
    rule: 'day-for-time',
    message: `"${column.name}" is a point in time; equal to "${written}" would mean midnight exactly.`,
    hint: `Write { on: ${written} }.`,
  });
  return false;
}

function readMany(tested: Tested, op: 'in' | 'not_in', node: Node): Test | undefined {
  if (!isSeq(node)) {
    tested.source.report(node, {
      rule: 'wrong-type',
      message: `"${op}" must be a list, not ${kindOf(node)}.`,
      hint: 'Write [a, b].',
    });
    return undefined;
  }
  if (node.items.length === 0) {
    tested.source.report(node, {
      rule: 'empty-rule',
      message:
        op === 'in' ? `"${tested.column.name}" is compared with an empty list, which nobody can meet.` : 'The list is empty.',
    });
    return undefined;
  }
  const values = node.items.map((item) => {
    const value = literal(tested, item as Node | null);
    return value && usableEquality(tested, value, item as Node | null) ? value : undefined;
  });
  const whole = values.filter((value) => value !== undefined);
  return whole.length === values.length ? { op, values: whole } : undefined;
}

/** `between: [a, b]` includes both ends. */
function readBetween(tested: Tested, node: Node): readonly Test[] | undefined {
  if (!isSeq(node) || node.items.length !== 2) {
    tested.source.report(node, {
      rule: 'wrong-type',
      message: '"between" must be a list of two values, the smaller first.',
      hint: 'Write [1, 5].',
    });
    return undefined;
  }
  const [low, high] = node.items.map((item) => literal(tested, item as Node | null));
  return low && high
    ? [
        { op: 'gte', value: low },
        { op: 'lte', value: high },
      ]
    : undefined;
}

function readKnown(source: Source, node: Node): Test | undefined {
  const value = isScalar(node) ? node.value : undefined;
  if (value === 'known' || value === 'unknown') return { op: value };
  const hint = value === 'null' || value === null ? 'Did you mean "unknown"?' : undefined;
  source.report(node, { rule: 'invalid-value', message: '"is" must be known or unknown.', hint });
  return undefined;
}

/** Whether bounds in one mapping exclude each other. Only what is certain: numbers, and days written out. */
function isImpossible(tests: readonly Test[]): boolean {
  const bounds = (ops: readonly string[]) =>
    tests.flatMap((test) => ('value' in test && ops.includes(test.op) ? [{ op: test.op, value: comparable(test.value) }] : []));
  return bounds(['gt', 'gte', 'eq']).some((low) =>
    bounds(['lt', 'lte', 'eq']).some((high) => {
      if (low.value === undefined || high.value === undefined || low === high) return false;
      const strict = low.op === 'gt' || high.op === 'lt';
      return low.value > high.value || (strict && low.value === high.value);
    }),
  );
}

function comparable(value: Literal): number | string | undefined {
  // Beyond 2^53 two numbers may look alike and not be.
  if (value.type === 'integer' || value.type === 'number')
    return Math.abs(Number(value.value)) < 2 ** 53 ? Number(value.value) : undefined;
  if (value.type === 'string') return undefined;
  return (value.type === 'date' || value.type === 'timestamp') && value.value.kind === 'absolute' && isDay(value.value)
    ? value.value.iso
    : undefined;
}
