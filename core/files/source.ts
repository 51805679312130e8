import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Document, Node, Pair, ParsedNode, YAMLError, YAMLMap } from 'yaml';
import type { Problem } from '../problems.ts';
import type { RuleId } from './rule-ids.ts';

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
  readonly report: (place: Place, problem: Reported) => void;
}

export type Place = Node | null | undefined | readonly [start: number, end: number];

/** A problem without its place. An error unless it says otherwise. */
export interface Reported {
  readonly rule: RuleId;
  readonly severity?: Problem['severity'];
  readonly message: string;
  readonly hint?: string;
}

/** Mappings deeper than this are nobody's file; the YAML library would run out of stack. */
const MAX_DEPTH = 200;

/**
 * Parses one YAML file and keeps every position. Problems go to `problems`; null when nothing of the file can be used.
 * Never throws. Refused, because a position or a meaning would be lost: several documents, anchors, aliases, tags, keys that are no text.
 */
export function parseSource(file: string, text: string, problems: Problem[]): Source | null {
  const lines = new LineCounter();
  const place = (start: number, end: number) => spanOf(text, lines, start, end);
  const add: Add = (start, end, problem) => {
    problems.push({ severity: 'error', ...problem, file, ...place(start, end) });
  };
  let document: Document.Parsed;
  let plain: boolean;
  const refused: Parameters<Add>[] = [];
  try {
    document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      schema: 'core',
      version: '1.2',
      logLevel: 'error',
    });
    plain = checkPlain(document.contents, (...found) => refused.push(found));
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
  for (const error of document.errors) {
    const quote = /^Missing closing (["'])quote/.exec(error.message)?.[1];
    // The parser points at the end of the file; the text that swallowed it begins at the last such quote.
    if (quote !== undefined) error.pos = [text.lastIndexOf(quote, error.pos[0]), text.length];
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
  for (const found of refused) add(...found);
  if (!plain) return null;
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
  const [first = ''] = error.message.split('\n');
  if (first.startsWith('Missing closing'))
    return { rule: 'yaml-syntax', message: 'Not valid YAML: this text is not closed with a quote.' };
  const bracket = /end with a ([\]}])/.exec(first)?.[1];
  if (bracket !== undefined) {
    const [what, open] = bracket === ']' ? ['list', '['] : ['mapping', '{'];
    return {
      rule: 'yaml-syntax',
      message: `Not valid YAML: a ${what} that begins with "${open}" is not closed with "${bracket}" before this.`,
    };
  }
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
    default: {
      const { line } = lines.linePos(error.pos[0]);
      if (/^[ ]*\t/.test(text.split('\n')[line - 1] ?? ''))
        return syntaxProblem(Object.assign(error, { code: 'TAB_AS_INDENT' as const }), text, lines);
      return {
        rule: 'yaml-syntax',
        message: `Not valid YAML: ${lowerFirst(first).replace(/[.:]?$/, '.')}`,
      };
    }
  }
}

/** What stands at an offset as a key, with its quotes. */
const keyAt = (text: string, offset: number): string =>
  /^("[^"\n]*"|'[^'\n]*'|[^\s:,}]+)/.exec(text.slice(offset, offset + 300))?.[0] ?? '';

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

type Add = (start: number, end: number, problem: Reported) => void;

/** Reports what is refused of YAML everywhere in the tree. False when there was any; throws when the tree is too deep to walk. */
function checkPlain(node: unknown, add: Add, depth = 0): boolean {
  if (depth > MAX_DEPTH) throw new RangeError('depth');
  if (node === null || node === undefined) return true;
  let plain = true;
  const refuse = (at: Node, rule: RuleId, message: string, hint: string) => {
    add(...rangeOf(at), { rule, message, hint });
    plain = false;
  };
  const { anchor, tag } = node as { anchor?: string; tag?: string };
  if (isAlias(node)) {
    refuse(
      node,
      'yaml-anchor',
      'Aliases are not allowed: a problem in the copied text would have no one place.',
      'Write the text out.',
    );
  } else if (anchor !== undefined) {
    refuse(node as Node, 'yaml-anchor', `Anchors are not allowed ("&${anchor}").`, 'Write the text out where it is used.');
  } else if (tag !== undefined && !CORE_TAG.test(tag)) {
    refuse(node as Node, 'yaml-tag', `The tag "${tag}" is not allowed.`, 'Leave the tag out.');
  }
  if (isMap(node)) {
    for (const { key, value } of node.items) {
      if (isScalar(key)) {
        if (!checkPlain(key, add, depth + 1)) plain = false;
      } else if (key ?? value) {
        refuse((key ?? value) as Node, 'yaml-key', 'A key must be a text.', 'Did you mean to quote it, or is a value missing?');
      }
      if (!checkPlain(value, add, depth + 1)) plain = false;
    }
  } else if (isSeq(node)) {
    for (const item of node.items) if (!checkPlain(item, add, depth + 1)) plain = false;
  }
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
