/**
 * Sizes of the functions' bundles and the time Node needs to import each, in processes of their own: `npm run bench:bundles`.
 * Goals: each under 1 MB, imported in under 250 ms. Times are this machine's, the best of several.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ENTRIES } from '../../functions/bundling.ts';
import { NEEDS } from '../../functions/environment.ts';
import { readWorkspaceFiles } from '../../cli/workspace-files.ts';
import { ROOT } from '../project-files.ts';
import { makeBundles } from '../support/bundles.ts';

const TRIES = 7;
const folder = mkdtempSync(join(tmpdir(), 'sluice-bundles-'));
try {
  const bundles = await makeBundles(ENTRIES, folder, await readWorkspaceFiles(ROOT));
  console.log('bundle        KB   import ms   largest parts (KB)');
  for (const { name, path, bytes, parts } of bundles) {
    const env = Object.fromEntries(NEEDS[name].map((variable) => [variable, 'x']));
    const script = `const t=performance.now();await import(${JSON.stringify(path)});console.log(performance.now()-t);process.exit()`;
    const times = Array.from({ length: TRIES }, () =>
      Number(
        execFileSync(process.execPath, ['--input-type=module', '-e', script], {
          env: { ...env, SLUICE_ENVIRONMENT: 'local', AWS_REGION: 'eu-central-1' },
          encoding: 'utf8',
        }),
      ),
    );
    const largest = parts.slice(0, 20).map(([part, size]) => `${part} ${Math.round(size / 1000)}`);
    console.log(
      `${name.padEnd(11)} ${String(Math.round(bytes / 1000)).padStart(5)} ${Math.min(...times)
        .toFixed(0)
        .padStart(11)}   ${largest.join(', ')}`,
    );
  }
} finally {
  rmSync(folder, { recursive: true });
}
