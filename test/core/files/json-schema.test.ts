import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { audienceSchema } from '../../../core/files/audience-schema.ts';
import { jsonSchemas } from '../../../core/files/json-schema.ts';
import { audienceOf, shopWith } from './shop.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');

test('schemas/ holds what the zod schemas say, and nothing else', () => {
  const schemas = jsonSchemas();
  expect(readdirSync(join(ROOT, 'schemas')).toSorted()).toEqual([...schemas.keys()].toSorted());
  for (const [file, text] of schemas) expect(readFileSync(join(ROOT, 'schemas', file), 'utf8')).toBe(text);
});

test('every example names the schema of its kind', () => {
  const kinds: Readonly<Record<string, string>> = {
    audiences: 'audience',
    contracts: 'contract',
    destinations: 'destination',
    policies: 'consent',
  };
  for (const [path, text] of shopWith()) {
    expect(text.split('\n')[0]).toBe(`# yaml-language-server: $schema=../schemas/${kinds[path.split('/')[0] ?? '']}.json`);
  }
});

describe('the schema that editors get', () => {
  const sound = [
    'where: { country: DE, loyalty_tier: [gold, silver] }',
    'where: { any: [ { orders_count: { gte: 1, lt: 5 } }, { not: { country: { is: unknown } } } ] }',
    'where: [ { event: order_completed, count: { gte: 3 }, within: 365 days }, { is_staff: true } ]',
    'where: { event: order_completed, where: { category: { in: [shoes] } }, sum: { property: amount, between: [1, 5] } }',
    'where: { event: support_ticket_opened, never: true }',
    'where: { last_order_at: { before: 90 days ago } }\nholdout: 5 %\nguardrails: { max_added: { percent: 5%, floor: 2 }, max_removed: 3.5% }',
    'sql: SELECT customer_id FROM customers\nschedule: every 15 minutes\nexclude: []',
    'where: { country: DE }\nsyncs: [ { to: braze-eu, traits: [country] }, { to: meta-eu, mode: mirror, identifiers: [email] } ]',
  ];

  test.each(sound)('takes what `check` takes: %s', (text) => {
    audienceOf(text);
    expect(audienceSchema.safeParse(parse(text)).error).toBeUndefined();
  });

  test('takes every example', () => {
    const audiences = [...shopWith()].filter(([path]) => path.startsWith('audiences/'));
    expect(audiences.map(([path, text]) => [path, audienceSchema.safeParse(parse(text)).error])).toEqual(
      audiences.map(([path]) => [path, undefined]),
    );
  });

  test.each([
    'where: { country: { startswith: D } }',
    'where: { event: order_completed, atleast: 3 }',
    'where: { any: [] }',
    'where: { country: null }',
    'where: { country: DE }\nholdout: 5',
    'where: { country: DE }\nsyncs: [ { mode: mirror } ]',
    'where: { country: DE }\nremoval_limit: 5%',
  ])('refuses: %s', (text) => {
    expect(audienceSchema.safeParse(parse(text)).success).toBe(false);
  });
});
