import { isMap, isScalar } from 'yaml';
import type { Node, YAMLMap } from 'yaml';
import type { NumberRange, Rule } from '../model.ts';
import { didYouMean, nearest } from '../problems.ts';
import { otherName } from './column-test.ts';
import type { ContractTable } from './contract.ts';
import { readDuration, readInstant, readNumber } from './literal.ts';
import { ANY_NAME, namedColumn } from './scope.ts';
import type { Scope } from './scope.ts';
import { entries, kindOf, keyOf, valueOf } from './source.ts';
import type { Source } from './source.ts';

export const EVENT_KEYS = ['event', 'version', 'where', 'count', 'sum', 'never', 'within', 'before', 'after'] as const;

const RANGE_KEYS = ['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'between'] as const;

const OTHER_NAMES: Readonly<Record<string, string>> = {
  times: 'count',
  at_least: 'count',
  since: 'after',
  until: 'before',
  in_last: 'within',
  filter: 'where',
};

/**
 * A condition on events: how many, how much of a property, or never. Without any of these: at least one.
 * `readRule` reads its `where`.
 */
export function readEvent(
  scope: Scope,
  map: YAMLMap,
  readRule: (scope: Scope, node: Node | null | undefined) => Rule | undefined,
): Rule | undefined {
  const { source } = scope;
  const before = source.problems.length;
  for (const [key, keyNode] of entries(map)) {
    if ((EVENT_KEYS as readonly string[]).includes(key)) continue;
    source.report(keyNode, {
      rule: 'unknown-key',
      message: `Unknown key "${key}" in an event condition.`,
      hint: suggestKey(scope, key),
    });
  }
  const event = eventTable(scope, map);
  const measure = readMeasure(scope, map, event);
  const where = optional(map, 'where', (node) => readRule({ ...scope, table: event, event: event?.table.name ?? '' }, node));
  const within = optional(map, 'within', (node) => readDuration(source, 'within', node));
  const at = (key: 'before' | 'after') =>
    optional(map, key, (node) => readInstant(source, node, `"${key}" needs a point in time`));
  const beforeAt = at('before');
  const afterAt = at('after');
  if (!event || !measure || source.problems.slice(before).some((problem) => problem.severity === 'error')) return undefined;
  return { kind: 'event', table: event.table, where, within, before: beforeAt, after: afterAt, measure };
}

function suggestKey({ table }: Scope, key: string): string {
  if (table?.columns.has(key)) return `"${key}" is a column of ${table.table.name}: give it a condition of its own, under "all".`;
  const meant = (Object.hasOwn(OTHER_NAMES, key) ? OTHER_NAMES[key] : undefined) ?? nearest(key, EVENT_KEYS);
  return meant === undefined ? `It takes ${EVENT_KEYS.join(', ')}.` : `Did you mean "${meant}"?`;
}

function optional<T>(map: YAMLMap, key: string, read: (node: Node | null) => T): T | undefined {
  const value = valueOf(map, key);
  if (value === undefined) return undefined;
  return read(value ?? keyOf(map, key) ?? null);
}

function eventTable(scope: Scope, map: YAMLMap): ContractTable | undefined {
  const { source, events } = scope;
  const node = valueOf(map, 'event');
  const name = isScalar(node) && typeof node.value === 'string' ? node.value : undefined;
  if (name === undefined) {
    source.report(node ?? keyOf(map, 'event'), {
      rule: 'wrong-type',
      message: `"event" must be the name of an event, not ${kindOf(node)}.`,
    });
    return undefined;
  }
  const versions = events.get(name);
  const broken = scope.brokenContracts.get(name) ?? scope.brokenContracts.get(ANY_NAME);
  if (!versions && broken !== undefined) {
    source.report(node, {
      rule: 'broken-contract',
      message: `The event "${name}" is not known, because ${broken} has errors of its own.`,
      hint: 'Correct that file first.',
    });
    return undefined;
  }
  if (!versions) {
    const known = [...events.keys()];
    source.report(node, {
      rule: 'unknown-event',
      message: `No contract has an event "${name}".`,
      hint: didYouMean(name, known) ?? (known.length === 0 ? 'No contract has the role events.' : `There are ${listed(known)}.`),
    });
    return undefined;
  }
  const found = pickVersion(source, map, versions);
  if (found?.table.status === 'deprecated') {
    const newer = versions.find((version) => version.table.status === 'active');
    source.report(node, {
      rule: 'deprecated-event',
      severity: 'warning',
      message: `The event "${name}" is deprecated (${found.table.file}, version ${found.table.version}).`,
      hint: newer ? `Version ${newer.table.version} is active.` : undefined,
    });
  }
  return found;
}

const majorOf = (version: string): number => Number(version.split('.')[0]);

function pickVersion(source: Source, map: YAMLMap, versions: readonly ContractTable[]): ContractTable | undefined {
  const wanted = valueOf(map, 'version');
  if (wanted === undefined) return versions[0];
  const major = isScalar(wanted) && typeof wanted.value === 'number' ? wanted.value : undefined;
  const found = versions.find((version) => majorOf(version.table.version) === major);
  if (!found) {
    source.report(wanted ?? keyOf(map, 'version'), {
      rule: 'unknown-event',
      message: 'No contract has this version of the event.',
      hint: `There is ${listed(versions.map((version) => String(majorOf(version.table.version))))}.`,
    });
  }
  return found;
}

const listed = (names: readonly string[]): string =>
  names.length <= 6 ? names.join(', ') : `${names.slice(0, 6).join(', ')} and ${names.length - 6} more`;

type Measure = Extract<Rule, { kind: 'event' }>['measure'];

function readMeasure(scope: Scope, map: YAMLMap, event: ContractTable | undefined): Measure | undefined {
  const { source } = scope;
  const given = (['count', 'sum', 'never'] as const).filter((key) => valueOf(map, key) !== undefined);
  if (given.length > 1) {
    source.report(keyOf(map, given[1] ?? 'sum'), {
      rule: 'several-measures',
      message: `An event condition has one of count, sum and never; this has ${given.join(' and ')}.`,
      hint: 'Write two conditions under "all".',
    });
    return undefined;
  }
  switch (given[0]) {
    case 'count': {
      const range = readRange(source, 'count', valueOf(map, 'count') ?? keyOf(map, 'count') ?? null, true);
      return range && { kind: 'count', range };
    }
    case 'sum':
      return readSum(source, valueOf(map, 'sum') ?? keyOf(map, 'sum') ?? null, event);
    case 'never': {
      const node = valueOf(map, 'never');
      if (isScalar(node) && node.value === true) return { kind: 'never' };
      source.report(node ?? keyOf(map, 'never'), {
        rule: 'invalid-value',
        message: '"never" can only be true.',
        hint: 'For at least one, leave it out.',
      });
      return undefined;
    }
    default:
      return { kind: 'count', range: { gte: '1' } };
  }
}

function readSum(source: Source, node: Node | null, event: ContractTable | undefined): Measure | undefined {
  const property = valueOf(node, 'property');
  if (!isMap(node) || property === undefined) {
    source.report(node, {
      rule: 'wrong-type',
      message: '"sum" needs the property to add up and a bound.',
      hint: 'Write sum: { property: amount, gte: 200 }.',
    });
    return undefined;
  }
  const name = isScalar(property) && typeof property.value === 'string' ? property.value : undefined;
  const range = readRange(source, 'sum', node, false, ['property']);
  if (name === undefined) {
    source.report(property ?? keyOf(node, 'property'), {
      rule: 'wrong-type',
      message: `"property" must be the name of a property, not ${kindOf(property)}.`,
    });
    return undefined;
  }
  const column = event && namedColumn(source, event, name, property as Node);
  if (column && column.type !== 'integer' && column.type !== 'number') {
    const numbers = [...(event?.columns.values() ?? [])].filter((other) => other.type === 'integer' || other.type === 'number');
    source.report(property, {
      rule: 'wrong-test',
      message: `"${name}" is of type ${column.type} and cannot be added up.`,
      hint: numbers.length > 0 ? `Numbers of this event are ${listed(numbers.map((other) => other.name))}.` : undefined,
    });
    return undefined;
  }
  return column && range && { kind: 'sum', column, range };
}

/** Bounds of a count or sum; a number alone is equality. `beside` are keys of the same mapping that are no bounds. */
function readRange(
  source: Source,
  what: 'count' | 'sum',
  node: Node | null,
  whole: boolean,
  beside: readonly string[] = [],
): NumberRange | undefined {
  const bound = (key: string, value: Node | null) => {
    const text = readNumber(source, value, whole, `"${key}" of ${what} must be ${whole ? 'a whole number' : 'a number'}`);
    if (text === undefined || !whole || !text.startsWith('-')) return text;
    source.report(value, { rule: 'out-of-range', message: 'A count is never negative.' });
    return undefined;
  };
  if (!isMap(node)) {
    const eq = bound('eq', node);
    return eq === undefined ? undefined : { eq };
  }
  const range: Record<string, string> = {};
  let sound = true;
  for (const [key, keyNode, value] of entries(node)) {
    if (beside.includes(key)) continue;
    if (!(RANGE_KEYS as readonly string[]).includes(key)) {
      const known = [...RANGE_KEYS, ...beside];
      source.report(keyNode, {
        rule: 'unknown-key',
        message: `Unknown key "${key}" in ${what}.`,
        hint: boundMeant(key, known) ?? `It takes ${known.join(', ')}.`,
      });
      sound = false;
      continue;
    }
    const items = key === 'between' ? twoItems(source, value ?? keyNode) : [[key, value ?? keyNode] as const];
    for (const [name, item] of items ?? []) {
      const text = bound(name, item);
      if (text === undefined) sound = false;
      else range[name] = text;
    }
    sound &&= items !== undefined;
  }
  if (!sound) return undefined;
  const low = Number(range['gt'] ?? range['gte'] ?? range['eq'] ?? Number.NaN);
  const high = Number(range['lt'] ?? range['lte'] ?? range['eq'] ?? Number.NaN);
  if (Object.keys(range).length === 0) {
    source.report(node, { rule: 'empty-rule', message: `"${what}" has no bound.`, hint: 'Add one, such as gte: 1.' });
    return undefined;
  }
  if (low > high || (low === high && (range['gt'] !== undefined || range['lt'] !== undefined))) {
    source.report(node, { rule: 'empty-range', message: `No ${what} can meet these bounds together.` });
    return undefined;
  }
  return range;
}

function boundMeant(key: string, known: readonly string[]): string | undefined {
  const meant = otherName(key);
  return meant !== undefined && known.includes(meant) ? `Did you mean "${meant}"?` : didYouMean(key, known);
}

function twoItems(source: Source, node: Node): (readonly [string, Node])[] | undefined {
  const items = 'items' in node ? (node.items as Node[]) : [];
  if (!isMap(node) && items.length === 2 && items[0] && items[1])
    return [
      ['gte', items[0]],
      ['lte', items[1]],
    ];
  source.report(node, {
    rule: 'wrong-type',
    message: '"between" must be a list of two values, the smaller first.',
    hint: 'Write [1, 5].',
  });
  return undefined;
}
