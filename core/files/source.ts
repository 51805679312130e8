import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml';
import type { Document, Node, Pair, ParsedNode, YAMLError, YAMLMap } from 'yaml';
import type { Problem } from '../problems.ts';

/** One file: its text, its YAML with positions, and the problems found in it so far. */
export interface Source {
  readonly file: string;
  readonly text: string;
  /** Top-level mapping. */
  readonly root: YAMLMap.Parsed;
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
  readonly problems: Problem[];
  /** Reports at a node (or at an offset pair). A missing node means the start of the file. */
  readonly report: (
    place: Place,
    problem: Omit<Problem, 'file' | 'line' | 'column' | 'endColumn' | 'severity'> & { severity?: Problem['severity'] },
  ) => void;
}

export type Place = Node | null | undefined | readonly [start: number, end: number];
export type Reported = Parameters<Source['report']>[1];

/** Mappings deeper than this are nobody's file; the YAML library would run out of stack. */
const MAX_DEPTH = 200;

/**
 * Parses one YAML file and keeps every position. Problems go to `problems`; null when nothing of the file can be used.
 * Never throws. Refused, because a position or a meaning would be lost: several documents, anchors, aliases, tags, keys that are no text.
 */
export function parseSource(file: string, text: string, problems: Problem[]): Source | null {
  const lines = new LineCounter();
  const place = (start: number, end: number) => spanOf(text, lines, start, end);
  const add = (start: number, end: number, problem: Reported) => {
    problems.push({ severity: 'error', ...problem, file, ...place(start, end) });
  };
  let document: Document.Parsed;
  try {
    document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      schema: 'core',
      version: '1.2',
      logLevel: 'error',
    });
    if (tooDeep(document.contents)) throw new RangeError('depth');
  } catch {
    // The parser recurses: only nesting without end makes it fail rather than answer with errors.
    problems.push({
      rule: 'yaml-syntax',
      severity: 'error',
      file,
      line: 1,
      column: 1,
      message: 'The file is nested too deeply to be read.',
    });
    return null;
  }
  const fatal = document.errors.filter((error) => error.code !== 'DUPLICATE_KEY');
  // After a mistake of form the parser guesses, so only the first is certain; every key given twice is.
  for (const error of fatal.length > 0 ? fatal.slice(0, 1) : document.errors) {
    const key = error.code === 'DUPLICATE_KEY' ? keyAt(text, error.pos[0]) : undefined;
    add(error.pos[0], key === undefined ? error.pos[1] : error.pos[0] + key.length, syntaxProblem(error, text, lines));
  }
  if (fatal.length > 0) return null;
  const root = document.contents;
  if (root === null || (isScalar(root) && root.value === null)) {
    add(0, 0, { rule: 'empty-file', message: 'The file is empty.' });
    return null;
  }
  if (!isMap(root)) {
    add(root.range[0], root.range[1], {
      rule: 'wrong-type',
      message: `The file must be a mapping of keys to values, not ${kindOf(root)}.`,
    });
    return null;
  }
  if (!plainYaml(document, add)) return null;
  const report: Source['report'] = (where, problem) => {
    const [start, end] = rangeOf(where);
    add(start, end, problem);
  };
  return { file, text, root: root as YAMLMap.Parsed, document, lines, problems, report };
}

/** Start and end of a place in the text, `[0, 0]` when there is none. */
export function rangeOf(place: Place): readonly [number, number] {
  if (place === null || place === undefined) return [0, 0];
  if (Array.isArray(place)) return [place[0] as number, place[1] as number];
  const range = (place as Node).range;
  return range ? [range[0], range[1]] : [0, 0];
}

/** Line and column of a place, counting from 1. */
export function positionOf(source: Source, place: Place): { readonly line: number; readonly column: number } {
  const { line, column } = spanOf(source.text, source.lines, ...rangeOf(place));
  return { line, column };
}

function spanOf(
  text: string,
  lines: LineCounter,
  start: number,
  end: number,
): { line: number; column: number; endColumn: number } {
  const from = Math.min(start, text.length);
  const { line, col } = lines.linePos(from);
  const lineEnd = text.indexOf('\n', from);
  const last = Math.max(from + 1, Math.min(end, lineEnd === -1 ? text.length : lineEnd));
  const length = Math.max(1, text.slice(from, last).trimEnd().length);
  // An empty file has no line for the counter to know.
  return { line: Math.max(1, line), column: Math.max(1, col), endColumn: Math.max(1, col) + length };
}

function syntaxProblem(error: YAMLError, text: string, lines: LineCounter): Reported {
  switch (error.code) {
    case 'DUPLICATE_KEY': {
      const key = keyAt(text, error.pos[0]).replace(/^(["'])(.*)\1$/, '$2');
      return { rule: 'duplicate-key', message: `Key "${key}" is given twice in the same place.`, hint: 'Keep one of them.' };
    }
    case 'MULTIPLE_DOCS':
      return { rule: 'several-documents', message: 'The file holds several YAML documents.', hint: 'Give each its own file.' };
    case 'TAB_AS_INDENT':
      return { rule: 'tab-indent', message: 'A tab cannot indent YAML.', hint: 'Indent with spaces.' };
    case 'BLOCK_AS_IMPLICIT_KEY':
      return {
        rule: 'yaml-syntax',
        message: 'Not valid YAML: a second ":" on the line, or a value that does not belong to its key.',
        hint: 'Begin a mapping on its own line, indented, or write it in { }; put a text with a ":" in quotes.',
      };
    case 'MISSING_CHAR': {
      const missing = /(?:with an?|Missing closing|Missing) (\S+?)(?: quote)?\.?$/.exec(
        error.message.split('\n')[0]?.replace(/ at line.*$/, '') ?? '',
      )?.[1];
      return {
        rule: 'yaml-syntax',
        message: missing === undefined ? NOT_YAML : `Not valid YAML: ${missing} is missing before this.`,
      };
    }
    default: {
      const { line } = lines.linePos(error.pos[0]);
      if (/^[ ]*\t/.test(text.split('\n')[line - 1] ?? ''))
        return syntaxProblem(Object.assign(error, { code: 'TAB_AS_INDENT' as const }), text, lines);
      return {
        rule: 'yaml-syntax',
        message: `Not valid YAML: ${lowerFirst(error.message.split('\n')[0] ?? '').replace(/[.:]?$/, '.')}`,
      };
    }
  }
}

const NOT_YAML = 'Not valid YAML: something is missing before this.';

/** What stands at an offset as a key, with its quotes. */
const keyAt = (text: string, offset: number): string =>
  /^("[^"\n]*"|'[^'\n]*'|[^\s:,}]+)/.exec(text.slice(offset, offset + 300))?.[0] ?? '';

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

function tooDeep(node: unknown, depth = 0): boolean {
  if (depth > MAX_DEPTH) return true;
  if (isMap(node)) return node.items.some((pair) => tooDeep(pair.key, depth + 1) || tooDeep(pair.value, depth + 1));
  return isSeq(node) && node.items.some((item) => tooDeep(item, depth + 1));
}

function plainYaml(document: Document.Parsed, add: (start: number, end: number, problem: Reported) => void): boolean {
  let plain = true;
  const refuse = (node: Node, rule: string, message: string, hint: string) => {
    const [start, end] = rangeOf(node);
    add(start, end, { rule, message, hint });
    plain = false;
  };
  visit(document, {
    Node(_, node) {
      if (isAlias(node))
        refuse(
          node,
          'yaml-anchor',
          'Aliases are not allowed: a problem in the copied text would have no one place.',
          'Write the text out.',
        );
      else if ('anchor' in node && node.anchor !== undefined) {
        refuse(node, 'yaml-anchor', `Anchors are not allowed ("&${node.anchor}").`, 'Write the text out where it is used.');
      } else if (node.tag !== undefined && !CORE_TAG.test(node.tag)) {
        refuse(node, 'yaml-tag', `The tag "${node.tag}" is not allowed.`, 'Leave the tag out.');
      }
    },
    Pair(_, pair) {
      if (!isScalar(pair.key)) {
        const node = (pair.key ?? pair.value) as Node | null;
        if (node) refuse(node, 'yaml-key', 'A key must be a text.', 'Did you mean to quote it, or is a value missing?');
      }
    },
  });
  return plain;
}

const CORE_TAG = /^tag:yaml\.org,2002:(str|int|float|bool|null|map|seq)$/;

/** What a node is, in words a file's author knows: `a text`, `a number`, `a list`. */
export function kindOf(node: unknown): string {
  if (node === null || node === undefined) return 'nothing';
  if (isMap(node)) return 'a mapping';
  if (isSeq(node)) return 'a list';
  if (!isScalar(node)) return 'an alias';
  switch (typeof node.value) {
    case 'string':
      return 'a text';
    case 'number':
    case 'bigint':
      return 'a number';
    case 'boolean':
      return node.value ? 'true' : 'false';
    default:
      return 'nothing';
  }
}

/** The text of a key. Keys are scalars once a file has parsed. */
export const keyText = (pair: Pair): string => writtenOf(pair.key);

/** A scalar as the file has it, without quotes; nothing of anything else. */
export function writtenOf(node: unknown): string {
  if (!isScalar(node)) return '';
  const { value, source } = node;
  if (typeof value === 'string') return value;
  return source ?? (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean' ? String(value) : '');
}

/** Pairs of a mapping as `[key, key node, value node]`. A value left out is null. */
export function entries(map: YAMLMap): (readonly [key: string, keyNode: Node, value: ParsedNode | null])[] {
  return map.items.map((pair) => [keyText(pair), pair.key as Node, pair.value as ParsedNode | null]);
}

/** The value under a key of a mapping: undefined when the key is absent, null when its value is left out. */
export function valueOf(node: unknown, key: string): ParsedNode | null | undefined {
  if (!isMap(node)) return undefined;
  const pair = node.items.find((item) => keyText(item) === key);
  return pair === undefined ? undefined : (pair.value as ParsedNode | null);
}

/** The node of a key itself, for problems that are about the key. */
export function keyOf(node: unknown, key: string): Node | undefined {
  if (!isMap(node)) return undefined;
  return node.items.find((item) => keyText(item) === key)?.key as Node | undefined;
}

/**
 * The nearest existing node on a path of keys and indexes, as zod reports them: the value itself, else what holds it.
 */
export function nodeAt(root: Node, path: readonly PropertyKey[]): Node {
  let node: Node = root;
  for (const step of path) {
    const next: unknown = isSeq(node) && typeof step === 'number' ? node.items[step] : valueOf(node, String(step));
    if (next === undefined || next === null) return keyOf(node, String(step)) ?? node;
    node = next as Node;
  }
  return node;
}
