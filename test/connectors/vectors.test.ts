import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connectors } from '../../connectors/index.ts';
import { vectorContract } from '../contracts/vectors.ts';

const FOLDER = join(import.meta.dirname, 'vectors');

test('there is a file of vectors for every connector, and no other', () => {
  const files = Object.keys(connectors).map((name) => `${name}.yaml`);
  expect(readdirSync(FOLDER).sort()).toEqual(files.sort());
});

for (const connector of Object.values(connectors)) vectorContract(connector, FOLDER);
