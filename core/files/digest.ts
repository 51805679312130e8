import { createHash } from 'node:crypto';

/** Hex SHA-256 over the paths and texts of a workspace's files, in the order given: the same files, the same digest. */
export function digestOf(files: ReadonlyMap<string, string>): string {
  const hash = createHash('sha256');
  for (const [path, text] of files) hash.update(`${path.length}:${path}${text.length}:${text}`);
  return hash.digest('hex');
}
