import { BadKey } from '../core/store-errors.ts';

/** The parts of a key. One slash at its end is allowed, for a folder. Throws `BadKey`. */
export function segmentsOfKey(key: string): readonly string[] {
  const segments = key.replace(/\/$/, '').split('/');
  // An absolute path has an empty first part, or a drive.
  if (segments.includes('') || /^[A-Za-z]:/.test(key)) throw new BadKey(key, 'it is empty, absolute, or has an empty part');
  if (segments.some((part) => part === '.' || part === '..'))
    throw new BadKey(key, 'it has a part . or .., which could lead out of the store');
  if (/[\\\0\n]/.test(key)) throw new BadKey(key, 'it holds a backslash or a control character');
  return segments;
}
