import { constants, mkdirSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errno, syncFolder, told } from './disk.ts';

const NEWLINE = 10;
const BACKWARDS = 64 * 1024;

/** Appends of this process to one log go one after the other, so that none takes another's half-written line for a torn one. */
const queues = new Map<string, Promise<void>>();

/**
 * Adds whole lines to a log, durable when it resolves. What is not a whole line at the end of the log (its writer was killed, or the
 * disk was full) is cut off first; so an append of no lines only repairs. One process at a time writes a log: the run holds a lease.
 * Throws `StoreFull`; the log then ends where it ended before.
 *
 * @param where what a message calls the place; `name` what it calls the log
 */
export function appendLines(path: string, lines: readonly string[], name: string, where: string): Promise<void> {
  const before = queues.get(path) ?? Promise.resolve();
  const turn = before.catch(() => undefined).then(() => append(path, lines, name, where));
  queues.set(path, turn);
  return turn.finally(() => {
    if (queues.get(path) === turn) queues.delete(path);
  });
}

async function append(path: string, lines: readonly string[], name: string, where: string): Promise<void> {
  const bad = lines.find((line) => line.includes('\n'));
  if (bad !== undefined) throw new TypeError(`A line of ${name} contains the end of a line.`);
  const { file, isNew } = await openLog(path, lines.length > 0);
  if (file === undefined) return;
  try {
    const size = await wholeLength(file);
    if (size < (await file.stat()).size) await file.truncate(size);
    if (lines.length === 0) return await file.datasync();
    try {
      await writeAll(file, Buffer.from(`${lines.join('\n')}\n`), size);
      await file.datasync();
    } catch (error) {
      await file.truncate(size).catch(() => undefined);
      throw told(error, name, where);
    }
  } finally {
    await file.close();
  }
  if (isNew) await syncFolder(path);
}

async function openLog(path: string, create: boolean): Promise<{ file?: FileHandle; isNew: boolean }> {
  try {
    return { file: await open(path, constants.O_RDWR), isNew: false };
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error;
    if (!create) return { isNew: false };
    mkdirSync(dirname(path), { recursive: true });
    return { file: await open(path, constants.O_RDWR | constants.O_CREAT), isNew: true };
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; )
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
}

/** Where the last whole line ends. */
async function wholeLength(file: FileHandle): Promise<number> {
  for (let end = (await file.stat()).size, step = 1; end > 0; end -= step, step = BACKWARDS) {
    step = Math.min(step, end);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(step), 0, step, end - step);
    const newline = buffer.subarray(0, bytesRead).lastIndexOf(NEWLINE);
    if (newline >= 0) return end - step + newline + 1;
  }
  return 0;
}
