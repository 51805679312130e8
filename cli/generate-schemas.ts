import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { jsonSchemas } from '../core/files/json-schema.ts';

/** Writes schemas/ from the zod schemas. `--check` writes nothing and fails when a file there is another. */
const folder = join(import.meta.dirname, '..', 'schemas');
const checking = process.argv.includes('--check');
const stale: string[] = [];

await mkdir(folder, { recursive: true });
for (const [file, text] of jsonSchemas()) {
  const path = join(folder, file);
  const now = await readFile(path, 'utf8').catch(() => undefined);
  if (now === text) continue;
  stale.push(`schemas/${file}`);
  if (!checking) await writeFile(path, text);
}

if (checking && stale.length > 0) {
  console.error(`Out of date: ${stale.join(', ')}. Run "npm run schemas" and commit what it writes.`);
  process.exitCode = 1;
}
