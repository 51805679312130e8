import { renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import { ROOT } from '../project-files.ts';

/**
 * A script that a test starts many times, as one file: a process of it starts in half the time of one that finds and strips a thousand
 * modules. What runs is the same; DuckDB stays outside, because it is native.
 *
 * @param script absolute path of a TypeScript file
 * @returns absolute path of the file to start with Node
 */
export async function oneFile(script: string): Promise<string> {
  const path = join(ROOT, '.cache', 'scripts', basename(script, '.ts'));
  const own = `${path}-${process.pid}.mjs`;
  await build({
    entryPoints: [script],
    outfile: own,
    bundle: true,
    external: ['@duckdb/node-api'],
    platform: 'node',
    format: 'esm',
    target: 'node24',
    mainFields: ['module', 'main'],
    logLevel: 'warning',
    banner: { js: "import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);" },
  });
  // Two tests may make the same at once: each sees a whole file.
  renameSync(own, `${path}.mjs`);
  return `${path}.mjs`;
}
