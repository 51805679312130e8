import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StoreFull } from '../core/store-errors.ts';

/** No room: on the device, in a quota, or past the size this process may write (errno(3)). */
const NO_ROOM = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

export const errno = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | null)?.code;

/** The error as the store tells it: `StoreFull` where there was no room, else itself. */
export function told(error: unknown, what: string, where: string): unknown {
  return NO_ROOM.has(errno(error) ?? '') ? new StoreFull(what, where, { cause: error }) : error;
}

/** A new or renamed file survives a power cut only when its folder has been written too. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r').catch(() => undefined);
  // Where folders cannot be opened or synced (Windows), the file system does it by itself.
  await folder?.sync().catch(() => undefined);
  await folder?.close();
}

export async function withFile<T>(path: string, flags: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, flags);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}
