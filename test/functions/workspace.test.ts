import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readWorkspaceFiles } from '../../cli/workspace-files.ts';
import { connectors } from '../../connectors/index.ts';
import type { Connector } from '../../core/connector.ts';
import { digestOf } from '../../core/files/digest.ts';
import { loadWorkspace } from '../../core/files/workspace.ts';
import { workspaceFile } from '../../functions/bundling.ts';
import { withoutSending } from '../../functions/platforms.ts';
import { readDeployed } from '../../functions/workspace.ts';
import { ROOT } from '../project-files.ts';

/** The examples, with a destination of every connector: the one on its page of the docs. */
const files = new Map(await readWorkspaceFiles(ROOT));
const purposes = new Set<string>();
for (const name of Object.keys(connectors)) {
  const page = readFileSync(`${ROOT}docs/connectors/${name}.md`, 'utf8');
  const [, text = ''] = /```yaml\n# destinations\/[\w-]+\.yaml\n([\s\S]*?)```/.exec(page) ?? [];
  files.set(`destinations/of-the-docs-${name}.yaml`, text.replace('.sluice/outbox', 's3://company-drops/partner'));
  purposes.add(/^purpose: (\w+)/m.exec(text)?.[1] ?? '');
}
const policy = files.get('policies/consent.yaml') ?? '';
const missing = [...purposes].filter((one) => !policy.includes(`${one}:`));
files.set(
  'policies/consent.yaml',
  policy.replace('purposes:\n', `purposes:\n${missing.map((one) => `  ${one}: { basis: opt-in }\n`).join('')}`),
);
const read = readDeployed(workspaceFile(files, 'local'));

describe('the file of the workspace beside a bundle', () => {
  it('holds what the files say, and their digest: what is deployed is what was tried', () => {
    const { workspace } = loadWorkspace(files, { connectors, environment: 'local' });
    expect(new Set(Object.values(read.workspace.destinations).map(({ connector }) => connector))).toEqual(
      new Set(Object.keys(connectors)),
    );
    expect(read.workspace).toEqual(workspace);
    expect(read.digest).toBe(digestOf(files));
  });

  it('has nothing under a name that no file has', () => {
    const { audiences, destinations, consent } = read.workspace;
    expect([audiences, destinations, consent.purposes].map((one) => one['constructor'])).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('is not made of files with errors', () => {
    const broken = new Map([...files, ['audiences/broken.yaml', 'wher: {}\n']]);
    expect(() => workspaceFile(broken, 'local')).toThrow(
      new Error('The files have errors, the first in audiences/broken.yaml:1. Run: sluice check'),
    );
  });
});

describe('platforms without their connectors', () => {
  const platforms = withoutSending(read.platforms);

  it('are all there, and say of themselves what the connectors say', () => {
    const data = (all: Readonly<Record<string, Connector>>): unknown =>
      JSON.parse(
        JSON.stringify(
          Object.values(all).map(
            ({ name, title, namespaces, defaultIdentifiers, membership, removalNeeds, modes, traits, limits }) => ({
              name,
              title,
              namespaces,
              defaultIdentifiers,
              membership,
              removalNeeds,
              modes,
              traits,
              limits,
            }),
          ),
        ),
      );
    expect(data(platforms)).toEqual(data(connectors));
  });

  it('refuse everything else by name', () => {
    const { meta } = platforms;
    const refusal = new Error('This function has no access to what Meta Custom Audiences is sent, on purpose.');
    expect(() => meta?.settings).toThrow(refusal);
    expect(() => meta?.secret).toThrow(refusal);
    expect(() => meta?.endpoint({})).toThrow(refusal);
    expect(() => meta?.namespaces['email']?.normalise('a@example.com', { country: null })).toThrow(refusal);
  });
});
