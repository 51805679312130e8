import { createReadStream } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { MissingFile, StoreDamaged } from '../core/store-errors.ts';
import { errno } from './disk.ts';

/** Lines go through in pieces of about this size: an await a piece costs nothing, an await a line would be most of the time. */
const PIECE = 256 * 1024;

/**
 * Lines as bytes, each with its end, in pieces. `count` is called with the number of lines of every piece. Throws `TypeError` for a
 * line with an end of line in it.
 */
export async function* joinLines(
  lines: AsyncIterable<string> | Iterable<string>,
  count: (lines: number) => void,
): AsyncGenerator<Buffer> {
  let text = '';
  let n = 0;
  const piece = (): Buffer => {
    const bytes = Buffer.from(text);
    count(n);
    text = '';
    n = 0;
    return bytes;
  };
  const add = (line: string): boolean => {
    if (line.includes('\n')) throw new TypeError('A line contains the end of a line.');
    text += line;
    text += '\n';
    n += 1;
    return text.length >= PIECE;
  };
  if (Symbol.asyncIterator in lines) {
    for await (const line of lines) if (add(line)) yield piece();
  } else {
    for (const line of lines) if (add(line)) yield piece();
  }
  if (n > 0) yield piece();
}

/**
 * The lines of a file without their ends, from line `from` on; a `.gz` is gunzipped. Memory does not grow with the file.
 * A last line without its end is left out where it may be torn (an append log), and kept in a `.gz`, whose trailer proves it whole.
 * Throws `MissingFile`, and `StoreDamaged` when a `.gz` is cut short or altered.
 */
export const readLines = (path: string, key: string, from = 0): AsyncGenerator<string> =>
  splitLines(readBytes(path, key), key.endsWith('.gz'), from);

/** The same of bytes that are unpacked already; `whole` keeps a last line without its end. */
export async function* splitLines(bytes: AsyncIterable<Buffer>, whole: boolean, from = 0): AsyncGenerator<string> {
  let skip = from;
  for await (const text of readText(bytes, whole)) {
    const lines = text.split('\n');
    lines.pop();
    if (skip >= lines.length) {
      skip -= lines.length;
      continue;
    }
    if (skip === 0) yield* lines;
    else yield* lines.slice(skip);
    skip = 0;
  }
}

/** Text in pieces, each of whole lines with their ends. */
async function* readText(bytes: AsyncIterable<Buffer>, whole: boolean): AsyncGenerator<string> {
  let rest: Buffer[] = [];
  for await (const chunk of bytes) {
    const end = chunk.lastIndexOf(10) + 1;
    if (end === 0) {
      rest.push(chunk);
      continue;
    }
    const head = chunk.subarray(0, end);
    yield (rest.length === 0 ? head : Buffer.concat([...rest, head])).toString('utf8');
    rest = end < chunk.length ? [chunk.subarray(end)] : [];
  }
  if (whole && rest.length > 0) yield `${Buffer.concat(rest).toString('utf8')}\n`;
}

/** What is in a file, gunzipped when its key ends in `.gz`. */
export const readBytes = (path: string, key: string): AsyncGenerator<Buffer> =>
  unpacked(createReadStream(path, { highWaterMark: PIECE }), key);

/** The bytes of a stream, gunzipped when the key ends in `.gz`; ends the stream when its reader stops. */
export async function* unpacked(file: Readable, key: string): AsyncGenerator<Buffer> {
  // The error of either is thrown by reading the last of them, so the callback has nothing to do.
  const bytes = key.endsWith('.gz') ? pipeline(file, createGunzip({ chunkSize: PIECE }), () => undefined) : file;
  try {
    for await (const chunk of bytes as AsyncIterable<Buffer>) yield chunk;
  } catch (error) {
    if (errno(error) === 'ENOENT') throw new MissingFile(key, { cause: error });
    if (errno(error)?.startsWith('Z_')) {
      throw new StoreDamaged(
        `${key} is cut short or altered.`,
        `Put it back from a backup, or make a new plan; nothing of it is used.`,
        { cause: error },
      );
    }
    throw error;
  } finally {
    file.destroy();
  }
}
