import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RULE_IDS } from '../../../core/files/rule-ids.ts';
import { inOrder, renderProblem } from '../../../core/problems.ts';
import { load, shopWith } from './shop.ts';

const SHOP = shopWith();
const PATHS = [...SHOP.keys()];

/** What breaks parsers: YAML's own characters, other types, names objects are born with, and text that is none. */
const PIECES = [
  ':',
  '- ',
  '{',
  '}',
  '[',
  ']',
  '"',
  "'",
  '|',
  '>',
  '&a ',
  '*a',
  '!t ',
  '# ',
  '\t',
  '\n',
  '\r\n',
  '? ',
  '%',
  '---\n',
  '...\n',
  '<<: ',
  ',',
  'null',
  '~',
  'true',
  '-1',
  '1e400',
  '.nan',
  '0x1F',
  '99999999999999999999999',
  '2026-02-30',
  '20%',
  '__proto__',
  'constructor',
  'toString',
  '\u0000',
  '\ud800',
  '\ufeff',
  '😀',
  '  ',
  'where',
  'event',
  'count',
  'sum',
  'audience',
  'lapsed-vips',
  'in: []',
  'cron(',
  'every',
  'days ago',
];

type Edit = {
  readonly kind: 'insert' | 'cut' | 'line' | 'swap';
  readonly at: number;
  readonly to: number;
  readonly piece: string;
};

const edit: fc.Arbitrary<Edit> = fc.record({
  kind: fc.constantFrom('insert', 'cut', 'line', 'swap'),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  to: fc.double({ min: 0, max: 1, noNaN: true }),
  piece: fc.oneof(fc.constantFrom(...PIECES), fc.string({ maxLength: 8 }), fc.string({ unit: 'binary', maxLength: 4 })),
});

function edited(text: string, { kind, at, to, piece }: Edit): string {
  const place = Math.floor(at * text.length);
  const lines = text.split('\n');
  const line = Math.floor(at * lines.length);
  const other = Math.floor(to * lines.length);
  switch (kind) {
    case 'insert':
      return text.slice(0, place) + piece + text.slice(place);
    case 'cut':
      return text.slice(0, place) + text.slice(place + Math.ceil(to * 12));
    case 'line':
      return lines.toSpliced(line, 1, `${/^\s*(- )?/.exec(lines[line] ?? '')?.[0] ?? ''}${piece}`).join('\n');
    case 'swap':
      return lines.with(Math.min(line, lines.length - 1), lines[Math.min(other, lines.length - 1)] ?? '').join('\n');
  }
}

/** What is wrong with the answer itself: every problem must have a known rule, a sentence, a place in its file, and come in order. */
function flaws(files: ReadonlyMap<string, string>): string[] {
  const { problems } = load(files);
  const found: string[] = [];
  for (const problem of problems) {
    const { file, line, column, message, rule } = problem;
    const text = files.get(file)?.split('\n')[line - 1];
    if (!(RULE_IDS as readonly string[]).includes(rule)) found.push(`unknown rule ${rule}`);
    if (!/[.!?]$/.test(message)) found.push(`no sentence: ${message}`);
    if (text === undefined ? line !== 1 || column !== 1 : column < 1 || column > text.length + 1)
      found.push(`${file}:${line}:${column} is no place`);
    if (!renderProblem(problem, files.get(file)).includes(`[${rule}]`)) found.push(`${rule} is not shown`);
  }
  return isDeepStrictEqual(problems, inOrder(problems)) ? found : [...found, 'not in order'];
}

test('a workspace whose files are damaged anywhere is answered with problems, never with an exception', () => {
  const changes = fc.array(fc.tuple(fc.constantFrom(...PATHS), fc.array(edit, { minLength: 1, maxLength: 4 })), {
    minLength: 1,
    maxLength: 3,
  });
  fc.assert(
    fc.property(changes, (damaged) => {
      const files = new Map(SHOP);
      for (const [path, edits] of damaged) files.set(path, edits.reduce(edited, files.get(path) ?? ''));
      expect(flaws(files)).toEqual([]);
    }),
    { numRuns: 100 },
  );
});

test('any text at all may stand in any file', () => {
  fc.assert(
    fc.property(fc.constantFrom(...PATHS), fc.string({ unit: 'binary', maxLength: 200 }), (path, text) => {
      expect(flaws(new Map(SHOP).set(path, text))).toEqual([]);
    }),
    { numRuns: 100 },
  );
});

test('any value at all may stand at any key', () => {
  const value = fc.json({ maxDepth: 3 });
  const places = PATHS.flatMap((path) =>
    [...(SHOP.get(path) ?? '').matchAll(/^([ ]*(?:- )?[\w.]+): \S.*$/gm)].map((match) => ({
      path,
      line: match[0],
      key: match[1] ?? '',
    })),
  );
  fc.assert(
    fc.property(fc.constantFrom(...places), value, ({ path, line, key }, json) => {
      const text = (SHOP.get(path) ?? '').replace(line, () => `${key}: ${json}`);
      expect(flaws(new Map(SHOP).set(path, text))).toEqual([]);
    }),
    { numRuns: 100 },
  );
});
