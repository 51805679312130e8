import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync } from 'node:fs';
import { link, readdir, rename, rm, stat, unlink } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Files, Written } from '../core/ports.ts';
import { BadKey, FileExists, MissingFile } from '../core/store-errors.ts';
import { appendLines } from './append-log.ts';
import { errno, syncFolder, told } from './disk.ts';
import { segmentsOfKey } from './keys.ts';
import { differenceOf } from './seal.ts';
import { joinLines, readBytes, readLines } from './line-stream.ts';

/** What else lies in the folder: our databases, and the secrets a person put there. No key may name them. */
const OURS = /^(store\.db|budgets\.db)(-wal|-shm|-journal)?$|^secrets\.yaml$/;
/** While it is written, a file has a name that no key can have. */
const TEMPORARY = /^\.[0-9a-f]+\.tmp$/;

/**
 * Files in a folder. A file appears whole or not at all: it is written beside its place, brought to the disk, and then linked to its
 * name, which fails when the name is taken. Throws `MissingFile`, `FileExists`, `BadKey`, `StoreFull`, `StoreDamaged`.
 *
 * @param root an absolute path
 */
export function localFiles(root: string): Files {
  const pathOf = (key: string): string => join(root, ...segmentsOf(key));

  return {
    location(key) {
      const path = pathOf(key);
      mkdirSync(dirname(path), { recursive: true });
      return path;
    },
    keyOf(location) {
      const key = relative(root, location).split(sep).join('/');
      if (isAbsolute(key) || key === '..' || key.startsWith('../')) throw new BadKey(location, `it is not in ${root}`);
      segmentsOf(key);
      return key;
    },
    write: (key, lines) => writeOnce(pathOf(key), key, lines, root),
    adopt: (key, location) => adoptFile(pathOf(key), key, location, root),
    lines: (key, from) => readLines(pathOf(key), key, from),
    append(key, lines) {
      if (key.endsWith('.gz')) throw new BadKey(key, 'a log is not compressed, so that a line can be added to it');
      return appendLines(pathOf(key), lines, key, root);
    },
    exists: async (key) => (await sizeOf(pathOf(key))) !== undefined,
    async list(prefix) {
      const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
      const found: string[] = [];
      await walk(folder === '' ? root : pathOf(folder), folder, found);
      return found.filter((key) => key.startsWith(prefix)).toSorted((a, b) => (a < b ? -1 : 1));
    },
    async remove(prefix) {
      await rm(pathOf(prefix), { recursive: true, force: true });
    },
    checksum: checksumOf,
    seal: checksumOf,
    broken: async (location, seal) => differenceOf(await checksumOf(location), seal),
  };
}

function segmentsOf(key: string): readonly string[] {
  const segments = segmentsOfKey(key);
  if (OURS.test(segments[0] ?? '') || segments.some((part) => TEMPORARY.test(part)))
    throw new BadKey(key, 'the store keeps its own file there');
  return segments;
}

async function writeOnce(
  path: string,
  key: string,
  lines: AsyncIterable<string> | Iterable<string>,
  root: string,
): Promise<Written> {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = join(dirname(path), `.${randomBytes(8).toString('hex')}.tmp`);
  let count = 0;
  try {
    const source = joinLines(lines, (n) => {
      count += n;
    });
    // `flush`: on the disk before it gets its name, so that a power cut leaves no empty file under it.
    const file = createWriteStream(temporary, { flags: 'wx', flush: true });
    if (key.endsWith('.gz')) await pipeline(source, createGzip({ level: 1, chunkSize: 64 * 1024 }), file);
    else await pipeline(source, file);
    await publish(temporary, path, key);
    await syncFolder(path);
    return { key, location: path, lines: count, bytes: (await stat(path)).size };
  } catch (error) {
    throw told(error, key, root);
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
}

async function checksumOf(location: string): Promise<{ readonly sha256: string; readonly bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const chunk of createReadStream(location, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.length;
    }
  } catch (error) {
    throw errno(error) === 'ENOENT' ? new MissingFile(location, { cause: error }) : error;
  }
  return { sha256: hash.digest('hex'), bytes };
}

/** A copy, not a second name: what is done to the original must not be done to it. */
async function adoptFile(path: string, key: string, location: string, root: string): ReturnType<Files['adopt']> {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = join(dirname(path), `.${randomBytes(8).toString('hex')}.tmp`);
  try {
    await pipeline(createReadStream(location), createWriteStream(temporary, { flags: 'wx', flush: true }));
    await publish(temporary, path, key);
    await syncFolder(path);
    return await checksumOf(path);
  } catch (error) {
    throw errno(error) === 'ENOENT' ? new MissingFile(location, { cause: error }) : told(error, key, root);
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
}

/** Gives a whole file its name, unless another has it. The same content under the name is what was wanted. */
async function publish(temporary: string, path: string, key: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    if (errno(error) === 'EEXIST') {
      // By content, not by stored bytes: another version of zlib packs the same lines otherwise.
      if ((await contentOf(temporary, key)) !== (await contentOf(path, key))) throw new FileExists(key);
    } else if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK', 'ENOSYS'].includes(errno(error) ?? '')) throw error;
    // A file system without links (exFAT): a look, then a rename. Only one run writes a key, so nobody comes between.
    else if ((await sizeOf(path)) === undefined) await rename(temporary, path);
    else if ((await contentOf(temporary, key)) !== (await contentOf(path, key))) throw new FileExists(key, { cause: error });
  }
}

async function contentOf(path: string, key: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of readBytes(path, key)) hash.update(chunk);
  return hash.digest('hex');
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : undefined;
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

async function walk(folder: string, prefix: string, found: string[]): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return [];
    throw error;
  });
  for (const entry of entries) {
    if (TEMPORARY.test(entry.name) || (prefix === '' && OURS.test(entry.name))) continue;
    if (entry.isDirectory()) await walk(join(folder, entry.name), `${prefix}${entry.name}/`, found);
    else found.push(`${prefix}${entry.name}`);
  }
}
