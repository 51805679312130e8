import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ruleText } from '../../../core/files/rule-text.ts';
import { ruleOf } from './shop.ts';

describe('a rule as text', () => {
  it.each([
    ['{ loyalty_tier: gold }', '{ loyalty_tier: gold }'],
    ['{ country: [DE, NO] }', '{ country: [DE, "NO"] }'],
    ['{ country: { ne: "yes" } }', '{ country: { ne: "yes" } }'],
    ['{ country: { not_in: [DE] } }', '{ country: { not_in: [DE] } }'],
    ['{ orders_count: { gte: 1, lt: 5 } }', '{ all: [{ orders_count: { gte: 1 } }, { orders_count: { lt: 5 } }] }'],
    ['{ lifetime_value: { gt: -0.5 } }', '{ lifetime_value: { gt: -0.5 } }'],
    ['{ is_staff: true }', '{ is_staff: true }'],
    ['{ country: { is: unknown } }', '{ country: { is: unknown } }'],
    ['{ country: { starts_with: "a, b: {c}" } }', '{ country: { starts_with: "a, b: {c}" } }'],
    ['{ last_order_at: { before: a week ago } }', '{ last_order_at: { before: 1 week ago } }'],
    ['{ last_order_at: { after: 2026-01-31T08:00 } }', '{ last_order_at: { after: 2026-01-31T08:00 } }'],
    ['{ last_order_at: { on: yesterday } }', '{ last_order_at: { on: yesterday } }'],
    ['{ last_order_at: { within: 30 days } }', '{ last_order_at: { within: 30 days } }'],
    ['{ not: { any: [ { country: DE }, { country: FR } ] } }', '{ not: { any: [{ country: DE }, { country: FR }] } }'],
    ['{ event: order_completed }', '{ event: order_completed, count: { gte: 1 } }'],
    [
      '{ event: order_completed, where: { category: [shoes] }, sum: { property: amount, gte: 200 }, within: 1 year }',
      '{ event: order_completed, where: { category: [shoes] }, sum: { property: amount, gte: 200 }, within: 1 year }',
    ],
    ['{ event: order_completed, never: true, before: in 2 days }', '{ event: order_completed, never: true, before: in 2 days }'],
  ])('%s reads back as the same rule', (written, text) => {
    const rule = ruleOf(written);
    expect(ruleText(rule)).toBe(text);
    expect(ruleOf(text)).toEqual(rule);
  });

  it('keeps every text as it is: quotes, line breaks, colons, words that YAML takes for something else', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ minLength: 1 }), fc.constantFrom('no', 'null', '1', '~', 'a: b', "'", '"', '#x', '- a')),
        (value) => {
          const rule = ruleOf(`{ country: ${JSON.stringify(value)} }`);
          expect(ruleOf(ruleText(rule))).toEqual(rule);
        },
      ),
      { numRuns: 50 },
    );
  });
});
