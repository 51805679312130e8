import { createHash } from 'node:crypto';

/** Hex SHA-256 over the paths and texts of a workspace's files, whatever order they are given in. */
export function digestOf(files: ReadonlyMap<string, string>): string {
  const hash = createHash('sha256');
  for (const [path, text] of [...files].sort(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(`${path.length}:${path}${text.length}:${text}`);
  return hash.digest('hex');
}
