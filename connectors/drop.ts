import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DestinationBroken, TryAgain } from '../core/connector.ts';

/**
 * Where the connector `files` puts what it writes: a folder of this machine, or a prefix of a bucket (drop-s3.ts). Names have their parts
 * separated by `/`. Throws `DestinationBroken` and `TryAgain`, whose texts hold no path and no address: those are the company's own.
 */
export interface Drop {
  /** Makes the place where the files of a run go, where a place must be made. */
  prepare(folder: string): Promise<void>;
  /** All or nothing, and kept when it resolves. `once`: what stands there already may only be the same. */
  write(name: string, content: Buffer, once: boolean): Promise<void>;
  /** Undefined when nothing is there. */
  read(name: string): Promise<Buffer | undefined>;
  /** Names of the files in a folder, without it, sorted. */
  list(folder: string): Promise<readonly string[]>;
  /** Bytes of a file that was listed, and their SHA-256 in lower-case hex, by what is there and not by what was meant to be. */
  sum(name: string): Promise<{ readonly bytes: number; readonly sha256: string }>;
  remove(name: string): Promise<void>;
}

/** @param root an absolute path, or one relative to where the process runs */
export function folderDrop(root: string): Drop {
  const pathOf = (name: string): string => join(resolve(root), name);
  return {
    prepare: (folder) => touching(async () => void (await mkdir(pathOf(folder), { recursive: true, mode: 0o700 }))),
    // What is there may be replaced: a batch has one name and one content, and whoever else writes into the folder is its owner.
    write: (name, content) => touching(() => writeWhole(pathOf(name), content)),
    read: (name) =>
      touching(async () => {
        try {
          return await readFile(pathOf(name));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
          throw error;
        }
      }),
    list: (folder) => touching(async () => (await readdir(pathOf(folder))).toSorted()),
    sum: (name) => touching(async () => sumOf(await readFile(pathOf(name)))),
    remove: (name) => touching(() => rm(pathOf(name), { force: true })),
  };
}

export const sumOf = (content: Uint8Array): { bytes: number; sha256: string } => ({
  bytes: content.length,
  sha256: createHash('sha256').update(content).digest('hex'),
});

/** All or nothing, and on the disk when it resolves: readers see whole files only. For the owner's eyes: the rows are people. */
async function writeWhole(path: string, content: Buffer): Promise<void> {
  const handle = await open(`${path}.new`, 'w', 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${path}.new`, path);
}

const WAYS_OUT: Readonly<Record<string, string>> = {
  ENOSPC: 'Make room on the disk, or set another `folder`.',
  EDQUOT: 'Make room in the quota, or set another `folder`.',
  EACCES: 'Let the user that runs Sluice write there, or set another `folder`.',
  EPERM: 'Let the user that runs Sluice write there, or set another `folder`.',
  EROFS:
    'The disk is read-only, as all of a Lambda function is: set another `folder`, on AWS an address such as s3://bucket/prefix.',
  ENOTDIR: 'A part of the path is a file: set another `folder`.',
  ENAMETOOLONG: 'Set a shorter `folder`.',
  ENOENT: 'The folder of this run was taken away while it was being written: leave it until its manifest is there.',
};

/** What goes wrong with files, in the kinds of a connector. */
async function touching<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const wayOut = WAYS_OUT[code];
    if (wayOut !== undefined) throw new DestinationBroken(`The folder cannot be written (${code}).`, wayOut);
    throw new TryAgain(`The folder cannot be written now (${/^[A-Z]+$/.test(code) ? code : 'unknown'}).`, { ambiguous: true });
  }
}
