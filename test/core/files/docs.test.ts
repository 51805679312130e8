import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TESTS } from '../../../core/files/column-test.ts';
import { EVENT_KEYS } from '../../../core/files/event-condition.ts';
import { ROLE_FIELDS } from '../../../core/files/role-fields.ts';
import { seen } from './shop.ts';

const text = readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', 'files.md'), 'utf8');
const blocks = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');

describe('docs/files.md', () => {
  test('shows files that are read without a problem', () => {
    const answers = blocks.map((block) => {
      if (block.startsWith('purposes:')) {
        const others = '  email_marketing: { basis: opt-in }\n  partner_offers: { basis: opt-in }\n';
        return seen({ 'policies/consent.yaml': block.replace('jurisdiction:', `${others}jurisdiction:`) });
      }
      if (block.startsWith('datasets:')) return seen({ 'policies/retention.yaml': block });
      if (block.startsWith('trust_levels:')) return seen({ 'policies/identity.yaml': block });
      return seen({ 'audiences/lapsed-vips.yaml': block.startsWith('where:') ? block : `where:\n${block}` });
    });
    expect(answers).toEqual(['', '', '', '', '']);
  });

  test('names every test of the rule language and every key of an event condition', () => {
    const named = new Set([...text.matchAll(/`([a-z_]+)(?:: [^`]*)?`/g)].map((match) => match[1]));
    expect([...Object.keys(TESTS), ...EVENT_KEYS].filter((word) => !named.has(word))).toEqual([]);
  });

  test('lists what every role needs and may have', () => {
    const roles = text.slice(text.indexOf('| role |'));
    for (const [role, fields] of Object.entries(ROLE_FIELDS)) {
      const [, , needs = '', may = ''] = (roles.split('\n').find((line) => line.startsWith(`| \`${role}\``)) ?? '').split('|');
      const listed = (cell: string) => [...cell.matchAll(/`([a-z_]+)`/g)].map((match) => match[1]);
      expect([role, listed(needs), listed(may)]).toEqual([
        role,
        fields.filter(({ needed }) => needed).map(({ field }) => field),
        fields.filter(({ needed }) => !needed).map(({ field }) => field),
      ]);
    }
  });
});
