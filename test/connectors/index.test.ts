import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { connectors } from '../../connectors/index.ts';
import { standIns } from '../../sandbox/index.ts';

const root = new URL('../../', import.meta.url);
/** What the connectors share, and the two places of `files`; everything else in connectors/ is a platform. */
const SHARED = ['drop', 'drop-s3', 'http', 'index', 'oauth', 'private-address'];
/** What the stand-ins share; everything else in sandbox/ is a platform. */
const SANDBOX_SHARED = ['control', 'faults', 'index', 'rate', 'server', 'stand-in'];

const files = (folder: string, ending: string): string[] =>
  readdirSync(new URL(folder, root))
    .filter((name) => name.endsWith(ending))
    .map((name) => name.slice(0, -ending.length));

describe('the list of connectors', () => {
  test('names every platform file of connectors/ and no other, under its own name', () => {
    expect(Object.keys(connectors).sort()).toEqual(
      files('connectors', '.ts')
        .filter((name) => !SHARED.includes(name))
        .sort(),
    );
    for (const [name, connector] of Object.entries(connectors)) expect(connector.name).toBe(name);
  });

  test('names every stand-in of sandbox/ and no other, under its own name', () => {
    expect(Object.keys(standIns).sort()).toEqual(
      files('sandbox', '.ts')
        .filter((name) => !SANDBOX_SHARED.includes(name))
        .sort(),
    );
    for (const [name, standIn] of Object.entries(standIns)) expect(standIn.name).toBe(name);
  });

  test.each(Object.keys(connectors))(
    '%s has a test, and a page in the docs with its limits, its version and what was never tried',
    (name) => {
      expect(existsSync(new URL(`test/connectors/${name}.test.ts`, root))).toBe(true);
      const page = readFileSync(new URL(`docs/connectors/${name}.md`, root), 'utf8');
      for (const promised of ['| limits |', 'erase', '## Version, and what was tried']) expect(page).toContain(promised);
    },
  );

  test.each(Object.values(connectors))('$name keeps what the engine relies on', (connector) => {
    expect(connector.defaultIdentifiers.length).toBeGreaterThan(0);
    for (const name of connector.defaultIdentifiers) expect(connector.namespaces).toHaveProperty(name);
    // Membership by member hangs on the external id; without it a change could not replace the record.
    if (connector.membership === 'member') expect(connector.namespaces.external_id?.hash).toBe('none');
    expect(connector.title).not.toBe('');
  });
});
