import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import type { Connector } from '../../core/connector.ts';
import { vectorContract } from '../contracts/vectors.ts';

/**
 * docs/connectors/README.md promises that a platform whose files are copied from it passes. So they are copied, into a project whose other
 * files are links to ours, and the test among them is run here.
 */
const root = resolve(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/connectors/README.md'), 'utf8');
const blocks = [...page.matchAll(/```(?:ts|yaml)\n(?:\/\/|#) (\S+\/\S+)\n([\s\S]*?)```/g)].map(([, path = '', text = '']) => ({
  path,
  text,
}));

const project = mkdtempSync(join(tmpdir(), 'sluice-readme-'));
afterAll(() => rmSync(project, { recursive: true, force: true }));
for (const folder of ['connectors', 'sandbox', 'test']) {
  mkdirSync(join(project, folder), { recursive: true });
  for (const name of readdirSync(join(root, folder))) {
    if (name !== 'connectors') symlinkSync(join(root, folder, name), join(project, folder, name));
  }
}
for (const name of ['core', 'node_modules', 'package.json']) symlinkSync(join(root, name), join(project, name));
for (const { path, text } of blocks) {
  mkdirSync(dirname(join(project, path)), { recursive: true });
  writeFileSync(join(project, path), text);
}

describe('adding a platform, as docs/connectors/README.md teaches it', () => {
  test('is a connector, a stand-in, a test and vectors, complete', () => {
    expect(blocks.map(({ path }) => path)).toEqual([
      'connectors/acme.ts',
      'sandbox/acme.ts',
      'test/connectors/acme.test.ts',
      'test/connectors/vectors/acme.yaml',
    ]);
  });
});

await import(pathToFileURL(join(project, 'test/connectors/acme.test.ts')).href);
const { acme } = (await import(pathToFileURL(join(project, 'connectors/acme.ts')).href)) as { acme: Connector };
vectorContract(acme, join(project, 'test/connectors/vectors'));
