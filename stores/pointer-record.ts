import { createHash } from 'node:crypto';
import type { Pointer } from '../core/ports.ts';

/** Stands for the store's own place in stored addresses, so that a store can be moved or restored elsewhere. */
const HERE = '{store}';

/** A pointer as text; addresses under `root` (with its separator at the end) are kept relative to it. */
export const encodePointer = (pointer: Pointer, root: string): string =>
  JSON.stringify(mapLocations(pointer, (at) => (at.startsWith(root) ? `${HERE}/${at.slice(root.length)}` : at)));

export const decodePointer = (body: string, root: string): Pointer =>
  mapLocations(JSON.parse(body) as Pointer, (at) => (at.startsWith(`${HERE}/`) ? root + at.slice(HERE.length + 1) : at));

/** Over the sync and the version too, so that no row can be put in another's place. */
export const pointerChecksum = (sync: string, version: number, body: string): string =>
  createHash('sha256')
    .update(JSON.stringify([sync, version, body]))
    .digest('hex');

/** What can still be read of a row that may be damaged, for the message about it. */
export const generationIn = (body: string | undefined): string =>
  /"generation":"([0-9A-Z]{26})"/.exec(body ?? '')?.[1] ?? 'unknown';

/** Whether two pointers differ in nothing but their files. */
export const sameFrame = (one: Pointer, other: Pointer): boolean =>
  JSON.stringify(frameOf(one)) === JSON.stringify(frameOf(other));

const frameOf = ({ members: _members, rejections: _rejections, ...frame }: Pointer): unknown =>
  Object.entries(frame).toSorted(([a], [b]) => (a < b ? -1 : 1));

function mapLocations(pointer: Pointer, change: (location: string) => string): Pointer {
  const changed = (file: Pointer['members']): Pointer['members'] => ({
    ...file,
    files: { ...file.files, locations: file.files.locations.map(change) },
  });
  return { ...pointer, members: changed(pointer.members), rejections: changed(pointer.rejections) };
}
