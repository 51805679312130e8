import * as z from 'zod';
import { audienceSchema } from './audience-schema.ts';
import { consentSchema } from './consent-policy.ts';
import { contractSchema } from './contract-schema.ts';
import { destinationSchema } from './destination.ts';
import { identitySchema } from './identity-policy.ts';
import { retentionSchema } from './retention-policy.ts';

const SCHEMAS: Readonly<Record<string, { readonly title: string; readonly schema: z.ZodType }>> = {
  'audience.json': { title: 'A Sluice audience', schema: audienceSchema },
  'consent.json': { title: 'The consent policy of a Sluice workspace', schema: consentSchema },
  'contract.json': { title: 'A contract of activation tables (ODCS 3.1) as Sluice reads it', schema: contractSchema },
  'destination.json': { title: 'A Sluice destination', schema: destinationSchema },
  'identity.json': { title: 'The identity policy of a Sluice workspace', schema: identitySchema },
  'retention.json': { title: 'The retention policy of a Sluice workspace', schema: retentionSchema },
};

/** File name under `schemas/` -> its text. Draft 7, which the YAML language server knows best. */
export function jsonSchemas(): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(SCHEMAS).map(([file, { title, schema }]) => {
      const { $schema, ...rest } = z.toJSONSchema(schema, {
        target: 'draft-7',
        io: 'input',
        unrepresentable: 'any',
        reused: 'ref',
      });
      return [file, `${JSON.stringify({ $schema, title, ...rest }, null, 2)}\n`];
    }),
  );
}
