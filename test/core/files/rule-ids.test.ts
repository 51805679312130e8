import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RULE_IDS } from '../../../core/files/rule-ids.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const FILES = join(ROOT, 'core', 'files');
const sections = readFileSync(join(ROOT, 'docs', 'errors.md'), 'utf8')
  .split(/^## /m)
  .slice(1);

test('docs/errors.md has a section for every rule id, in order, and for no other', () => {
  expect(sections.map((section) => section.split('\n')[0])).toEqual([...RULE_IDS]);
});

test('every section says what is wrong, why it matters and the way out', () => {
  const incomplete = sections.filter((section) => !/^\S+\n\n\S.*\n\n- Why: \S.*\n- Way out: \S.*\n/.test(section));
  expect(incomplete).toEqual([]);
});

test('every rule id is one that the code reports, and the code reports no other', () => {
  const code = readdirSync(FILES)
    .filter((name) => name !== 'rule-ids.ts')
    .map((name) => readFileSync(join(FILES, name), 'utf8'))
    .join('\n');
  expect(RULE_IDS.filter((rule) => !code.includes(`'${rule}'`))).toEqual([]);
  const reported = [...code.matchAll(/\brule: '([^']+)'/g)].map((match) => match[1] ?? '').filter((rule) => rule !== 'where');
  expect(reported.filter((rule) => !(RULE_IDS as readonly string[]).includes(rule))).toEqual([]);
});
