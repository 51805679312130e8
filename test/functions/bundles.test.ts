import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ENTRIES } from '../../functions/bundling.ts';
import { makeBundles } from '../support/bundles.ts';

/**
 * Bytes that Lambda has to read for a cold start, unzipped. `forget` may do what the others may do apart, so it has what they have apart
 * (docs/adr/0061-small-bundles.md).
 */
const LIMITS: Readonly<Record<string, number>> = { forget: 1_400_000 };
const LIMIT = 1_000_000;

const folder = mkdtempSync(join(tmpdir(), 'sluice-bundles-'));
afterAll(() => rmSync(folder, { recursive: true }));
const bundles = await makeBundles(ENTRIES, folder, '{}');

/** Functions with anything of a library or folder in their bundle. */
const having = (part: string): readonly string[] =>
  bundles.filter(({ parts }) => parts.some(([name, bytes]) => name === part && bytes > 0)).map(({ name }) => name);

describe('the bundle of every function', () => {
  it.each(bundles)('$name stays under its limit', ({ name, bytes }) => {
    expect(bytes).toBeLessThan(LIMITS[name] ?? LIMIT);
  });

  it('has connectors only where identifiers are written or sent, and reads no file of the workspace', () => {
    expect({
      'connectors/': having('connectors/'),
      'libphonenumber-js': having('libphonenumber-js'),
      '@iabgpp/cmpapi': having('@iabgpp/cmpapi'),
      yaml: having('yaml'),
      'warehouses/': having('warehouses/'),
    }).toEqual({
      'connectors/': ['diff', 'deliver', 'forget'],
      'libphonenumber-js': ['diff', 'deliver', 'forget'],
      '@iabgpp/cmpapi': ['materialize', 'forget'],
      yaml: [],
      'warehouses/': ['materialize', 'diff', 'commit', 'forget'],
    });
  });
});
