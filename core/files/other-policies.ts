import { z } from 'zod';
import { checkShape } from './shape.ts';
import type { Source } from './source.ts';

/** policies/identity.yaml, as far as it is settled: which identifiers are taken, and in what order. */
export const identitySchema = z.strictObject({
  namespaces: z
    .record(
      z.string(),
      z.strictObject({
        max: z.int().min(1).optional(),
        unverified: z.enum(['use', 'ignore']).optional(),
        min_trust: z.number().optional(),
      }),
    )
    .optional(),
  precedence: z.array(z.enum(['verified', 'trust', 'last_seen', 'first_seen'])).optional(),
});

/** policies/retention.yaml, as far as it is settled: periods of datasets and of fields. */
export const retentionSchema = z.strictObject({
  datasets: z.record(z.string(), z.string()).optional(),
  fields: z.record(z.string(), z.string()).optional(),
});

/** Checks the shape, and says that nothing acts on the file yet: a rule about people that is silently not followed would be worse than none. */
export function readOtherPolicy(source: Source, name: 'identity' | 'retention'): void {
  const schema = name === 'identity' ? identitySchema : retentionSchema;
  checkShape<unknown>(source, schema, { nouns: { '': `the ${name} policy`, namespaces: 'a namespace' } });
  source.report(source.root.items[0]?.key ?? source.root, {
    rule: 'not-in-effect',
    severity: 'warning',
    message: `Nothing acts on policies/${name}.yaml in this version.`,
    hint: 'Do not rely on it.',
  });
}
