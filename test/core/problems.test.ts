import { describe, expect, test } from 'vitest';
import { inOrder, nearest, renderProblem } from '../../core/problems.ts';
import type { Problem } from '../../core/problems.ts';

const problem: Problem = {
  rule: 'unknown-key',
  severity: 'error',
  file: 'audiences/lapsed-vips.yaml',
  line: 4,
  column: 1,
  endColumn: 13,
  message: 'Unknown key "removal_limt" in an audience.',
  hint: 'Did you mean "max_removed" (under guardrails)?',
};
const text = 'description: x\nowner: y\nwhere: {}\nremoval_limt: 20%\n';

describe('a rendered problem', () => {
  test('shows place, message, rule, the line with the place marked, and the way out', () => {
    expect(renderProblem(problem, text)).toBe(
      [
        'audiences/lapsed-vips.yaml:4:1  Unknown key "removal_limt" in an audience. [unknown-key]',
        '  4 | removal_limt: 20%',
        '    | ^^^^^^^^^^^^',
        '  Did you mean "max_removed" (under guardrails)?',
      ].join('\n'),
    );
  });

  test('says when it is only a warning, and leaves out a hint that is not there', () => {
    expect(renderProblem({ ...problem, severity: 'warning', hint: undefined }, text)).toBe(
      [
        'audiences/lapsed-vips.yaml:4:1  Warning: Unknown key "removal_limt" in an audience. [unknown-key]',
        '  4 | removal_limt: 20%',
        '    | ^^^^^^^^^^^^',
      ].join('\n'),
    );
  });

  test('has no frame for a file that is not there, a line past its end, or an empty line', () => {
    const bare = renderProblem(problem, undefined);
    expect(bare.split('\n')).toHaveLength(2);
    expect(renderProblem({ ...problem, line: 99 }, text)).toBe(bare.replace(':4:', ':99:'));
    expect(renderProblem(problem, 'a\nb\nc\n   \n')).toBe(bare);
  });

  test('has no frame for a secret that stands in a file', () => {
    expect(renderProblem({ ...problem, rule: 'secret-in-file' }, 'a\nb\nc\nsecret: EAAB\n')).not.toContain('EAAB');
  });

  test('cuts a long line around the place and keeps the mark under it', () => {
    const long = `key: ${'a'.repeat(300)}BAD${'b'.repeat(300)}`;
    const [, source, mark] = renderProblem({ ...problem, line: 1, column: 306, endColumn: 309 }, long).split('\n');
    expect(source).toBe(`  1 | …${'a'.repeat(20)}BAD${'b'.repeat(97)}…`);
    expect(mark).toBe(`    | ${' '.repeat(21)}^^^`);
  });

  test('keeps the mark under the place after tabs, Windows line ends and characters of two code units', () => {
    const [, source, mark] = renderProblem({ ...problem, line: 2, column: 7, endColumn: 10 }, 'x\r\n\t😀 ab:BAD\r\n').split('\n');
    expect(source).toBe('  2 |  😀 ab:BAD');
    expect(mark).toBe('    |      ^^^');
  });
});

test('problems come by file, then line, then column', () => {
  const at = (file: string, line: number, column: number): Problem => ({ ...problem, file, line, column });
  const shuffled = [at('b', 1, 1), at('a', 10, 1), at('a', 2, 9), at('a', 2, 1)];
  expect(inOrder(shuffled).map(({ file, line, column }) => `${file}:${line}:${column}`)).toEqual([
    'a:2:1',
    'a:2:9',
    'a:10:1',
    'b:1:1',
  ]);
});

describe('the nearest name', () => {
  const columns = ['lifetime_value', 'last_order_at', 'loyalty_tier', 'country', 'state'];
  test.each([
    ['lifetime_vale', 'lifetime_value'],
    ['lifteime_value', 'lifetime_value'],
    ['LifetimeValue', 'lifetime_value'],
    ['loyalty', 'loyalty_tier'],
    ['contry', 'country'],
    ['order_at', 'last_order_at'],
  ])('of %s is %s', (name, meant) => {
    expect(nearest(name, columns)).toBe(meant);
  });

  test.each(['x', 'amount', 'zzzzzzzz', '', '___', 'last'.repeat(1000)])('of %s is none', (name) => {
    expect(nearest(name, columns)).toBeUndefined();
  });

  test('is the one with fewest mistakes, and the first of equals', () => {
    expect(nearest('meta-e', ['meta-us', 'meta-eu', 'meta-ed'])).toBe('meta-eu');
  });
});
