import { isMap, isScalar } from 'yaml';
import type { Node } from 'yaml';
import type * as z from 'zod';
import { nearest } from '../problems.ts';
import { keyOf, kindOf, nodeAt, valueOf, writtenOf } from './source.ts';
import type { Reported, Source } from './source.ts';

/** How a file's parts are called in messages: the nouns for a path's last key, `''` for the file itself. */
export interface Words {
  readonly nouns: Readonly<Record<string, string>>;
  /** Names people use for a key that has another: name -> path of the key it is here, `guardrails.max_removed`. */
  readonly otherNames?: Readonly<Record<string, string>>;
}

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/**
 * Checks a file, or the part of it at `at`, against a zod schema. Every issue becomes a problem at its node. The answer is the parsed
 * value; when there were issues, what is left without the wrong parts, so that the rest can be checked too, or undefined when nothing is.
 * Unknown keys get the nearest known one, also from elsewhere in the same file.
 */
export function checkShape<T>(source: Source, schema: z.ZodType<T>, words: Words, at: Path = []): T | undefined {
  const start = at.length === 0 ? source.root : nodeAt(source.root, at);
  const value: unknown = start.toJS(source.document);
  let result = schema.safeParse(value);
  if (result.success) return result.data;
  const checked: Checked = { source, schema, words, at, start };
  const { issues } = result.error;
  for (const issue of issues) if (!isMisspelt(issues, issue, start)) reportIssue(checked, issue, []);
  // Taking one part out may leave what holds it incomplete: then that goes, and so on.
  for (let outward = 0; outward < 5; outward += 1) {
    for (const issue of result.error?.issues ?? []) takeOut(value, issue, outward);
    result = schema.safeParse(value);
    if (result.success) return result.data;
  }
  return undefined;
}

/** Deletes what an issue is about; never an item of a list alone, because the others must keep their index. */
function takeOut(value: unknown, issue: Issue, outward: number): void {
  const paths: Path[] = issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
  for (const path of paths) {
    const steps = path.slice(0, Math.max(1, path.length - outward));
    while (typeof steps.at(-1) === 'number') steps.pop();
    const last = steps.at(-1);
    let holder = value;
    for (const step of steps.slice(0, -1)) holder = (holder as Record<PropertyKey, unknown> | undefined)?.[step];
    if (last !== undefined && typeof holder === 'object' && holder !== null)
      delete (holder as Record<PropertyKey, unknown>)[last];
  }
}

/** A key that is missing because it stands there misspelt: the unknown key says so already. */
function isMisspelt(issues: readonly Issue[], missing: Issue, start: Node): boolean {
  const key = missing.path.at(-1);
  if (typeof key !== 'string' || absenceAt(start, missing.path) !== 'missing') return false;
  const place = JSON.stringify(missing.path.slice(0, -1));
  return issues.some(
    (issue) =>
      issue.code === 'unrecognized_keys' &&
      JSON.stringify(issue.path) === place &&
      issue.keys.some((unknown) => nearest(unknown, [key]) === key),
  );
}

interface Checked {
  readonly source: Source;
  readonly schema: z.ZodType;
  readonly words: Words;
  readonly at: Path;
  readonly start: Node;
}

function reportIssue(checked: Checked, issue: Issue, outer: Path): void {
  const { source, start } = checked;
  const path = [...outer, ...issue.path];
  const node = nodeAt(start, path);
  const key = nameOf([...checked.at, ...path]);
  if (issue.code === 'unrecognized_keys') {
    for (const unknown of issue.keys) reportUnknownKey(checked, path, unknown);
    return;
  }
  const absence = absenceAt(start, path);
  if (absence === 'missing' && issue.code !== 'custom') {
    const noun = nounOf(checked, path.slice(0, -1));
    // At the key that holds the incomplete mapping, or at the mapping's own first key: underlining all of it says nothing.
    source.report(holderOf(checked, path), { rule: 'missing-key', message: `"${key}" is missing in ${noun}.` });
    return;
  }
  if (issue.code === 'invalid_union') {
    const branch = likeliest(issue.errors);
    if (branch) {
      for (const inner of branch) reportIssue(checked, inner, path);
      return;
    }
  }
  if (absence === 'empty' && issue.code !== 'custom') {
    source.report(node, { rule: 'missing-value', message: `"${key}" has no value.` });
    return;
  }
  source.report(node, explain(issue, key, node));
}

function explain(issue: Issue, key: string, node: Node): Reported {
  switch (issue.code) {
    case 'invalid_type':
      return wrongType(key, EXPECTED[issue.expected] ?? issue.expected, node);
    case 'invalid_union': {
      const expected = issue.errors.flatMap((branch) =>
        branch.map((inner) => (inner.code === 'invalid_type' ? (EXPECTED[inner.expected] ?? inner.expected) : '')),
      );
      return wrongType(key, [...new Set(expected)].filter(Boolean).join(' or '), node);
    }
    case 'invalid_value': {
      const known = issue.values.map(String);
      const given = isScalar(node) ? writtenOf(node) : kindOf(node);
      const near = nearest(given, known);
      const list = known.length === 1 ? `must be ${known[0]}` : `must be one of ${known.join(', ')}`;
      return { rule: 'invalid-value', message: `"${key}" ${list}, not "${given}".`, hint: near && `Did you mean "${near}"?` };
    }
    case 'invalid_key':
      return {
        rule: 'invalid-value',
        message: `"${key}" is not a usable key: ${issue.issues.map((inner) => inner.message).join(' ')}`,
      };
    case 'too_small':
      return { rule: 'invalid-value', message: `"${key}" must ${bound(issue.origin, 'at least', issue.minimum, issue.message)}` };
    case 'too_big':
      return { rule: 'invalid-value', message: `"${key}" must ${bound(issue.origin, 'at most', issue.maximum, issue.message)}` };
    default: {
      const message = sentence(issue.message);
      return {
        rule: 'invalid-value',
        message: /^(must|needs?|may) /.test(message) ? `"${key}" ${message}` : `"${key}": ${message}`,
      };
    }
  }
}

/** `be at least 1.`, or the schema's own words where it has any. */
function bound(origin: string, which: string, limit: number | bigint, message: string): string {
  if (!/^Too (small|big)/.test(message)) return sentence(message.replace(/^must /, ''));
  const unit = { string: 'character', array: 'item' }[origin];
  return unit === undefined ? `be ${which} ${limit}.` : `have ${which} ${limit} ${unit}${Number(limit) === 1 ? '' : 's'}.`;
}

function wrongType(key: string, expected: string, node: Node): Reported {
  const found = expected === 'a whole number' && kindOf(node) === 'a number' ? writtenOf(node) : kindOf(node);
  const subject = key === '' ? 'The file' : `"${key}"`;
  const quote =
    expected.startsWith('a text') && isScalar(node) && typeof node.value !== 'string' && node.value !== null
      ? `Put it in quotes: "${writtenOf(node)}".`
      : undefined;
  return { rule: 'wrong-type', message: `${subject} must be ${expected}, not ${found}.`, hint: quote };
}

const EXPECTED: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
};

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

function reportUnknownKey(checked: Checked, path: Path, key: string): void {
  const { source, schema, words, start } = checked;
  const map = path.length === 0 ? start : nodeAt(start, path);
  const here = new Set(shapesAt(schema, path).flatMap((shape) => Object.keys(shape)));
  source.report(keyOf(map, key) ?? map, {
    rule: 'unknown-key',
    message: `Unknown key "${key}" in ${nounOf(checked, path)}.`,
    hint: suggestKey(key, here, schema, words),
  });
}

function suggestKey(key: string, here: ReadonlySet<string>, schema: z.ZodType, words: Words): string | undefined {
  const near = nearest(key, here);
  if (near !== undefined) return `Did you mean "${near}"?`;
  const other = words.otherNames ?? {};
  const called = nearest(key, Object.keys(other));
  const target = called === undefined ? undefined : other[called]?.split('.');
  if (target !== undefined) return meant(target, here);
  const elsewhere = keysUnder(schema);
  const found = nearest(key, elsewhere.keys());
  return found === undefined ? undefined : meant([...(elsewhere.get(found) ?? []), found], here);
}

function meant(path: readonly string[], here: ReadonlySet<string>): string {
  const key = path.at(-1) ?? '';
  const parent = path.at(-2);
  if (here.has(key)) return `Did you mean "${key}"?`;
  return parent === undefined ? `Did you mean "${key}" (at the top of the file)?` : `Did you mean "${key}" (under ${parent})?`;
}

/** The words for the mapping at a path: by its key, or by the list that holds it. */
function nounOf(checked: Checked, path: Path): string {
  const { nouns } = checked.words;
  const key = [...checked.at, ...path].findLast((step) => typeof step === 'string');
  if (key === undefined) return nouns[''] ?? 'the file';
  return nouns[String(key)] ?? `"${String(key)}"`;
}

const nameOf = (path: Path): string => {
  const key = path.findLast((step) => typeof step === 'string');
  return key === undefined ? '' : String(key);
};

function absenceAt(start: Node, path: Path): 'missing' | 'empty' | undefined {
  const last = path.at(-1);
  if (last === undefined || typeof last === 'number') return undefined;
  const parent = path.length === 1 ? start : nodeAt(start, path.slice(0, -1));
  if (!isMap(parent)) return undefined;
  const value = valueOf(parent, String(last));
  if (value === undefined) return 'missing';
  return value === null || (isScalar(value) && value.value === null) ? 'empty' : undefined;
}

function holderOf(checked: Checked, path: Path): Node {
  const parentPath = [...checked.at, ...path.slice(0, -1)];
  const parent = nodeAt(checked.source.root, parentPath);
  const last = parentPath.at(-1);
  const key = typeof last === 'string' ? keyOf(nodeAt(checked.source.root, parentPath.slice(0, -1)), last) : undefined;
  if (key) return key;
  return isMap(parent) && parent.items.length > 0 ? (parent.items[0]?.key as Node) : parent;
}

/** Of a union's branches the one the author meant: whose problems lie deepest, and is not simply of another type. */
function likeliest(branches: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
  const real = branches.filter((issues) => !issues.some((issue) => issue.path.length === 0 && issue.code === 'invalid_type'));
  const depth = (issues: readonly Issue[]) =>
    Math.max(0, ...issues.map((issue) => issue.path.length + (issue.code === 'unrecognized_keys' ? 0.5 : 0)));
  const strange = (issues: readonly Issue[]) => issues.filter((issue) => issue.code === 'unrecognized_keys').length;
  return real.toSorted((a, b) => strange(a) - strange(b) || a.length - b.length || depth(b) - depth(a))[0];
}

interface Definition {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly innerType?: z.ZodType;
  readonly element?: z.ZodType;
  readonly valueType?: z.ZodType;
  readonly options?: readonly z.ZodType[];
  readonly in?: z.ZodType;
  readonly getter?: () => z.ZodType;
}

const definition = (schema: z.ZodType): Definition => schema.def as unknown as Definition;

/** Schemas with their optionals, defaults, unions and the like taken off. */
function bare(schema: z.ZodType): z.ZodType[] {
  const def = definition(schema);
  if (def.innerType) return bare(def.innerType);
  if (def.in) return bare(def.in);
  if (def.getter) return bare(def.getter());
  if (def.options) return def.options.flatMap(bare);
  return [schema];
}

function shapesAt(schema: z.ZodType, path: Path): Readonly<Record<string, z.ZodType>>[] {
  let level = bare(schema);
  for (const step of path) {
    level = level.flatMap((current) => {
      const def = definition(current);
      if (def.shape) return def.shape[String(step)] ? bare(def.shape[String(step)] as z.ZodType) : [];
      const inner = def.element ?? def.valueType;
      return inner ? bare(inner) : [];
    });
  }
  return level.map((current) => definition(current).shape ?? {});
}

/** Every key of a schema with the keys above it, the nearest to the top first. */
function keysUnder(schema: z.ZodType): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  const seen = new Set<z.ZodType>();
  const queue: { schema: z.ZodType; above: readonly string[] }[] = [{ schema, above: [] }];
  for (let next = queue.shift(); next; next = queue.shift()) {
    for (const current of bare(next.schema)) {
      if (seen.has(current)) continue;
      seen.add(current);
      const def = definition(current);
      const inner = def.element ?? def.valueType;
      if (inner) queue.push({ schema: inner, above: next.above });
      for (const [key, value] of Object.entries(def.shape ?? {})) {
        if (!found.has(key)) found.set(key, next.above);
        queue.push({ schema: value, above: [...next.above, key] });
      }
    }
  }
  return found;
}
