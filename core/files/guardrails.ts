import { isMap, isScalar } from 'yaml';
import type { Node } from 'yaml';
import type { Guardrails, Share } from '../model.ts';
import { didYouMean } from '../problems.ts';
import { entries, kindOf, valueOf } from './source.ts';
import type { Source } from './source.ts';

/** A change of at most this many members never holds, unless the file gives a floor of its own: shares of small audiences say nothing. */
export const DEFAULT_FLOOR = 100;

/** Every audience is guarded against collapse, also one whose file does not say so. */
export const DEFAULT_MAX_REMOVED: Share = { percent: 20, floor: DEFAULT_FLOOR };

/** Reads `guardrails`; `node` is the mapping, or nothing. Undefined when anything is wrong. */
export function readGuardrails(
  source: Source,
  node: Node | null | undefined,
  minSize: number | undefined,
): Guardrails | undefined {
  const before = source.problems.length;
  const added = valueOf(node, 'max_added');
  const removed = valueOf(node, 'max_removed');
  // An audience may grow many times over; it cannot lose more than it has.
  const maxAdded = added === undefined ? undefined : readShare(source, 'max_added', added, 100_000);
  const maxRemoved = removed === undefined ? DEFAULT_MAX_REMOVED : readShare(source, 'max_removed', removed, 100);
  if (source.problems.length > before || !maxRemoved) return undefined;
  return { maxAdded, maxRemoved, minSize };
}

function readShare(source: Source, key: string, node: Node | null, most: number): Share | undefined {
  if (!isMap(node)) {
    const percent = readPercent(source, key, node, most);
    return percent === undefined ? undefined : { percent, floor: DEFAULT_FLOOR };
  }
  let percent: number | undefined;
  let floor: number | undefined = DEFAULT_FLOOR;
  for (const [name, nameNode, value] of entries(node)) {
    if (name === 'percent') percent = readPercent(source, 'percent', value ?? nameNode, most, true);
    else if (name === 'floor') floor = readFloor(source, value ?? nameNode);
    else {
      source.report(nameNode, {
        rule: 'unknown-key',
        message: `Unknown key "${name}" in ${key}.`,
        hint: didYouMean(name, ['percent', 'floor']) ?? 'It takes percent and floor.',
      });
    }
  }
  if (valueOf(node, 'percent') === undefined)
    source.report(node, { rule: 'missing-key', message: `"percent" is missing in ${key}.` });
  return percent === undefined || floor === undefined ? undefined : { percent, floor };
}

function readFloor(source: Source, node: Node): number | undefined {
  const value = isScalar(node) ? node.value : undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  source.report(node, { rule: 'invalid-value', message: '"floor" must be a whole number of members, 0 or more.' });
  return undefined;
}

/** `20%` -> 20. A number without its sign is refused, unless `bare`: 20 members and 20 % are too far apart to guess. */
export function readPercent(source: Source, key: string, node: Node | null, most: number, bare = false): number | undefined {
  const value = isScalar(node) ? node.value : undefined;
  const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?)\s*%$/.exec(value.trim()) : null;
  const percent = match ? Number(match[1]) : bare && typeof value === 'number' ? value : undefined;
  if (percent === undefined) {
    const digits = typeof value === 'number' && value >= 0;
    source.report(node, {
      rule: 'invalid-value',
      message: digits
        ? `"${key}" is a percentage, and ${value} has no sign.`
        : `"${key}" must be a percentage such as 20%, not ${describe(node)}.`,
      hint: digits
        ? key === 'holdout' || key === 'rollout'
          ? `Write ${value}%.`
          : `Write ${value}%, or { percent: 0, floor: ${value} } for that many members.`
        : undefined,
    });
    return undefined;
  }
  if (percent >= 0 && percent <= most) return percent;
  source.report(node, { rule: 'out-of-range', message: `"${key}" must be between 0% and ${most}%.` });
  return undefined;
}

const describe = (node: Node | null): string =>
  isScalar(node) && typeof node.value === 'string' ? `"${node.value}"` : kindOf(node);
