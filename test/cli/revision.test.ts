import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandFailed, UsageError } from '../../cli/command.ts';
import { readRevision } from '../../cli/revision.ts';
import { readWorkspaceFiles } from '../../cli/workspace-files.ts';

let top: string;
let dir: string;
let first: string;
const git = (...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=crm', '-c', 'user.email=crm@example.com', ...args], { cwd: top, stdio: 'pipe' })
    .toString()
    .trim();

beforeAll(() => {
  top = mkdtempSync(join(tmpdir(), 'sluice-revision-'));
  // A workspace in a folder of a larger repository, with names that a shell would read.
  dir = join(top, 'marketing $(touch pwned) é');
  mkdirSync(join(dir, 'audiences', 'deeper'), { recursive: true });
  mkdirSync(join(dir, 'policies'));
  mkdirSync(join(top, 'audiences'));
  writeFileSync(join(top, 'audiences', 'not-ours.yaml'), 'where: { country: DE }\n');
  writeFileSync(join(dir, 'audiences', 'one.yaml'), 'description: größer\nwhere: { country: DE }\n');
  writeFileSync(join(dir, 'audiences', 'empty.yaml'), '');
  writeFileSync(join(dir, 'audiences', 'notes.txt'), 'no file of ours');
  writeFileSync(join(dir, 'audiences', 'deeper', 'two.yaml'), 'no file of ours');
  writeFileSync(join(dir, 'policies', 'consent.yaml'), 'purposes: {}\n');
  symlinkSync('/etc/passwd', join(dir, 'audiences', 'link.yaml'));
  git('init', '-q', '-b', 'main');
  git('add', '-A');
  git('commit', '-q', '-m', 'first');
  git('tag', 'v1');
  first = git('rev-parse', 'HEAD');
  writeFileSync(join(dir, 'audiences', 'one.yaml'), 'where: { country: FR }\n');
  rmSync(join(dir, 'policies', 'consent.yaml'));
  git('commit', '-q', '-a', '-m', 'second');
});
afterAll(() => rmSync(top, { recursive: true, force: true }));

describe('the files of another revision', () => {
  it('are those that lay in the folder then, byte for byte, by branch, tag, commit or a step back', async () => {
    const then = new Map([
      ['audiences/empty.yaml', ''],
      ['audiences/one.yaml', 'description: größer\nwhere: { country: DE }\n'],
      ['policies/consent.yaml', 'purposes: {}\n'],
    ]);
    for (const ref of ['v1', first, first.slice(0, 8), 'main~1', 'HEAD^'])
      expect(await readRevision(dir, ref)).toEqual({ ref, commit: first, files: then });
    const now = await readRevision(dir, 'main');
    expect([...now.files]).toEqual([...(await readWorkspaceFiles(dir))]);
  });

  it('cannot be asked for with anything that git or a shell would act on', async () => {
    const hostile = fc.oneof(
      fc.constantFrom(
        '--upload-pack=touch pwned',
        '-c core.pager=touch',
        '--output=pwned',
        '$(touch pwned)',
        '`touch pwned`',
        'main; touch pwned',
        'main && touch pwned',
        'main\ntouch pwned',
        'main\0',
        '../../etc/passwd',
        'main:audiences/one.yaml',
        '',
      ),
      fc.string({ minLength: 1, unit: 'binary' }).map((text) => `-${text}`),
      fc.string({ minLength: 1 }).map((text) => `$(touch pwned)${text}`),
    );
    await fc.assert(
      fc.asyncProperty(hostile, async (ref) => {
        await expect(readRevision(dir, ref)).rejects.toBeInstanceOf(UsageError);
        expect(existsSync(join(dir, 'pwned')) || existsSync(join(top, 'pwned'))).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  it('is refused with the reason where there is no repository, and where the revision has no workspace', async () => {
    const bare = mkdtempSync(join(tmpdir(), 'sluice-no-repository-'));
    try {
      await expect(readRevision(bare, 'main')).rejects.toThrow(
        new CommandFailed(`${bare} is in no git repository, so there is no other revision to compare with.`),
      );
    } finally {
      rmSync(bare, { recursive: true });
    }
    mkdirSync(join(top, 'elsewhere'));
    await expect(readRevision(join(top, 'elsewhere'), 'main')).rejects.toThrow('There is no workspace at main');
  });
});
