import { z } from 'zod';
import { checkShape } from './shape.ts';
import type { Source } from './source.ts';

/** policies/retention.yaml, as far as it is settled: periods of datasets and of fields. */
export const retentionSchema = z.strictObject({
  datasets: z.record(z.string(), z.string()).optional(),
  fields: z.record(z.string(), z.string()).optional(),
});

/** Checks the shape, and says that nothing acts on the file yet: a rule about people that is silently not followed would be worse than none. */
export function readOtherPolicy(source: Source): void {
  checkShape<unknown>(source, retentionSchema, { nouns: { '': 'the retention policy' } });
  source.report(source.root.items[0]?.key ?? source.root, {
    rule: 'not-in-effect',
    severity: 'warning',
    message: 'Nothing acts on policies/retention.yaml in this version.',
    hint: 'Do not rely on it.',
  });
}
