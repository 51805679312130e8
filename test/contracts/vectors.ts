// oxlint-disable vitest/valid-title -- a suite: titles are made from the vectors
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import type { Connector } from '../../core/connector.ts';
import { ENTRY_SEPARATOR, HASHED_SUFFIX, prepareIdentifiers } from '../../core/identifiers.ts';

const vector = z
  .strictObject({
    raw: z.string(),
    /** The value is `raw` this many times over, and so is what it is normalised to. */
    times: z.int().positive().optional(),
    /** Of the customer. */
    country: z.string().length(2).optional(),
    normalised: z.string().optional(),
    /** What is sent, where the platform wants a hash. */
    sent: z.string().optional(),
    /** Why it is not sent. */
    refused: z.string().optional(),
    /** The platform's own example. */
    from: z.literal('docs').optional(),
  })
  .refine(({ refused, normalised, sent }) => (refused === undefined) !== (normalised === undefined && sent === undefined), {
    error: 'is either taken (normalised, sent) or refused',
  });
const fileSchema = z
  .object({ documented: z.array(z.strictObject({ text: z.string(), sha256: z.string() })).default([]) })
  .catchall(z.array(vector).min(1));

const sha256 = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

/** What the engine sends of one value, alone but for a strong identifier beside a weak one; undefined when nothing. */
function asSent(connector: Connector, namespace: string, value: string, country: string | null): string | undefined {
  const name = connector.namespaces[namespace] === undefined ? namespace.slice(0, -HASHED_SUFFIX.length) : namespace;
  const strong = connector.namespaces[name]?.weak === true ? [`external_id${ENTRY_SEPARATOR}beside`] : [];
  const sent = prepareIdentifiers(connector.namespaces, [...strong, `${namespace}${ENTRY_SEPARATOR}${value}`], country);
  return sent.find((one) => one.namespace === name)?.value;
}

/**
 * The normalisation table of one platform as data: `<folder>/<name>.yaml` has, for every namespace, what a column holds, what that is
 * normalised to, and what is sent of it, or why it is refused. Hashes are computed by node:crypto alone, and compared with the
 * file and with what the engine sends.
 */
export function vectorContract(connector: Connector, folder: string): void {
  describe(`vectors of ${connector.name}`, () => {
    const path = join(folder, `${connector.name}.yaml`);
    const { documented, ...rest } = fileSchema.parse(existsSync(path) ? parse(readFileSync(path, 'utf8')) : {});
    const namespaces = Object.entries(rest as Record<string, z.infer<typeof vector>[]>);
    const ofHashes = (name: string): boolean => connector.namespaces[name] === undefined;

    test('are there for every namespace, taken and refused ones, and for addresses that are declared as hashes', () => {
      const kinds = new Map(
        namespaces.map(([name, some]) => [
          name,
          new Set(some.map(({ refused }) => (refused === undefined ? 'taken' : 'refused'))),
        ]),
      );
      for (const name of Object.keys(connector.namespaces))
        expect([name, [...(kinds.get(name) ?? [])].sort()]).toEqual([name, ['refused', 'taken']]);
      for (const name of [...kinds.keys()].filter(ofHashes))
        expect(connector.namespaces).toHaveProperty(name.slice(0, -HASHED_SUFFIX.length));
      if (connector.namespaces.email !== undefined) expect([...kinds.keys()]).toContain(`email${HASHED_SUFFIX}`);
    });

    test('that the platform documents are hashes of node:crypto', () => {
      for (const { text, sha256: hash } of documented) expect(hash).toBe(sha256(text));
    });

    for (const [name, vectors] of namespaces) {
      const hashed = ofHashes(name) || connector.namespaces[name]?.hash === 'sha256';
      for (const one of vectors) {
        const { times = 1, country = null, refused } = one;
        const raw = one.raw.repeat(times);
        const end = refused === undefined ? `is ${JSON.stringify(one.normalised ?? one.sent)}` : `is refused: ${refused}`;
        test(`${name} ${JSON.stringify(one.raw)}${times > 1 ? ` x ${times}` : ''} of ${country ?? 'nowhere'} ${end}`, () => {
          const normalised = ofHashes(name) ? undefined : connector.namespaces[name]?.normalise(raw, { country });
          const expected = one.normalised?.repeat(times);
          expect({ normalised, sent: asSent(connector, name, raw, country) }).toEqual({
            normalised: expected,
            sent: hashed ? one.sent : expected,
          });
          if (hashed && expected !== undefined) expect(one.sent).toBe(sha256(expected));
        });
      }
    }
  });
}
