import { spawn } from 'node:child_process';
import { CommandFailed, UsageError } from './command.ts';
import { FOLDERS, isWorkspaceFile, type WorkspaceFiles } from './workspace-files.ts';

/** The files of a workspace as they are in one commit. */
export interface Revision {
  /** As it was asked for. */
  readonly ref: string;
  /** Full id of the commit. */
  readonly commit: string;
  readonly files: WorkspaceFiles;
}

/**
 * Reads the files of the workspace in `dir` as of a branch, tag or commit, with the git of this machine and no checkout. What the person
 * wrote reaches git as one argument that can be no option, and never a shell; after that only the commit's id is used.
 *
 * @throws UsageError when it is no revision; CommandFailed when there is no git, no repository, or no workspace at that revision
 */
export async function readRevision(dir: string, ref: string): Promise<Revision> {
  const git = (args: readonly string[], input = ''): Promise<Answer> => runGit(dir, args, input);
  const inside = await git(['rev-parse', '--is-inside-work-tree']);
  if (inside.code !== 0 || inside.out.toString().trim() !== 'true') {
    const why = /dubious ownership/.test(inside.err)
      ? `git does not trust the repository of ${dir}, because somebody else owns it. If you do: git config --global --add safe.directory <folder>`
      : `${dir} is in no git repository, so there is no other revision to compare with.`;
    throw new CommandFailed(why);
  }
  if (/^-|[\0-\x20\x7f]/.test(ref) || ref === '') throw unknown(ref);
  const found = await git(['rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`]);
  const commit = found.out.toString().trim();
  if (found.code !== 0 || !/^[0-9a-f]{40,64}$/.test(commit)) throw unknown(ref);

  const listed = await git(['ls-tree', '-z', commit, '--', ...FOLDERS.map((folder) => `${folder}/`)]);
  if (listed.code !== 0) throw new CommandFailed(`git cannot list the files of ${ref}: ${listed.err.trim()}`);
  const entries = listed.out
    .toString()
    .split('\0')
    .flatMap((line) => {
      // A regular file; what is a link or a module is none of the workspace's.
      const match = /^100\d{3} blob ([0-9a-f]+)\t(.+)$/s.exec(line);
      return match?.[1] !== undefined && match[2] !== undefined && isWorkspaceFile(match[2])
        ? [{ id: match[1], path: match[2] }]
        : [];
    });
  if (entries.length === 0)
    throw new CommandFailed(
      `There is no workspace at ${ref}: none of ${FOLDERS.join(', ')} holds a file there, seen from ${dir}.`,
    );
  const contents = await git(['cat-file', '--batch'], entries.map(({ id }) => `${id}\n`).join(''));
  if (contents.code !== 0) throw new CommandFailed(`git cannot read the files of ${ref}: ${contents.err.trim()}`);
  const texts = blobsOf(contents.out, entries.length);
  const files = new Map(entries.map(({ path }, i) => [path, texts[i] ?? ''] as const).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return { ref, commit, files };
}

const unknown = (ref: string): UsageError =>
  new UsageError(
    `${JSON.stringify(ref)} is no branch, tag or commit of this repository. In a CI job fetch it first: git fetch origin <branch>, then --compare origin/<branch>.`,
  );

/** The texts of `cat-file --batch`: for each a line `<id> blob <bytes>`, the bytes, a line break. */
function blobsOf(out: Buffer, count: number): readonly string[] {
  const texts: string[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const end = out.indexOf(0x0a, at);
    const size = / blob (\d+)$/.exec(out.subarray(at, end).toString())?.[1];
    if (end === -1 || size === undefined)
      throw new CommandFailed('git answered with something else than the files it was asked for.');
    texts.push(out.subarray(end + 1, end + 1 + Number(size)).toString('utf8'));
    at = end + 1 + Number(size) + 1;
  }
  return texts;
}

interface Answer {
  readonly code: number | null;
  readonly out: Buffer;
  readonly err: string;
}

function runGit(dir: string, args: readonly string[], input: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const child = spawn('git', [...args], { cwd: dir, env: { ...process.env, LC_ALL: 'C', GIT_OPTIONAL_LOCKS: '0' } });
    const [out, err]: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.on('error', (cause: NodeJS.ErrnoException) =>
      reject(
        cause.code === 'ENOENT'
          ? new CommandFailed('"--compare" needs git, and there is none on the PATH.', undefined, { cause })
          : cause,
      ),
    );
    child.on('close', (code) => resolve({ code, out: Buffer.concat(out), err: Buffer.concat(err).toString() }));
    // git may end before it has read everything.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}
