import type { Seal } from '../core/ports.ts';

/** How the content of a file is other than its seal says; undefined when it is not. A seal without a sum of the content is no seal here. */
export function differenceOf(found: { readonly sha256: string; readonly bytes: number }, seal: Seal): string | undefined {
  if (found.bytes !== seal.bytes) return sizes(found.bytes, seal.bytes);
  return found.sha256 === seal.sha256 ? undefined : 'was altered';
}

export const sizes = (found: number, written: number): string => `has ${found} bytes, ${written} were written`;
