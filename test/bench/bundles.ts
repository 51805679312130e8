/**
 * Sizes of the functions' bundles and the time Node needs to import each, in processes of their own: `npm run bench:bundles`.
 * Goals: each under 1 MB, imported in under 250 ms. Times are this machine's, the median of several.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { ENTRIES, workspaceFile } from '../../functions/bundling.ts';
import { NEEDS } from '../../functions/environment.ts';
import { readWorkspaceFiles } from '../../cli/workspace-files.ts';
import { ROOT } from '../project-files.ts';
import { makeBundles } from '../support/bundles.ts';

const TRIES = 11;

/**
 * Milliseconds that a Node process of its own takes, once it runs, to import what it is given, and what of processors it uses meanwhile,
 * which says more where others work too: medians of several.
 */
function importTime(path: string, env: Readonly<Record<string, string>>): readonly [took: number, used: number] {
  const script = `const c=process.cpuUsage(),t=performance.now();await import(${JSON.stringify(path)});const took=performance.now()-t,{user,system}=process.cpuUsage(c);console.log(took,(user+system)/1000);process.exit()`;
  const times = Array.from({ length: TRIES }, () =>
    execFileSync(process.execPath, ['--input-type=module', '-e', script], { env, encoding: 'utf8' }).split(' ').map(Number),
  );
  const median = (i: number): number => times.map((one) => one[i] ?? 0).toSorted((a, b) => a - b)[Math.floor(TRIES / 2)] ?? 0;
  return [median(0), median(1)];
}

const folder = mkdtempSync(join(tmpdir(), 'sluice-bundles-'));
try {
  const bundles = await makeBundles(ENTRIES, folder, workspaceFile(await readWorkspaceFiles(ROOT), 'local'));
  // What the import of nothing takes is the machine's.
  const empty = join(folder, 'empty.mjs');
  writeFileSync(empty, '');
  const [took0, used0] = importTime(empty, {});
  console.log(
    `Node ${process.version}, load ${loadavg()[0]?.toFixed(1)} on ${cpus().length} processors; importing nothing takes ${took0.toFixed(0)} ms`,
  );
  console.log('bundle        KB   import ms   of processors   largest parts (KB)');
  for (const { name, path, bytes, parts } of bundles) {
    const env = Object.fromEntries(NEEDS[name].map((variable) => [variable, 'x']));
    const [took, used] = importTime(path, { ...env, AWS_REGION: 'eu-central-1' });
    const largest = parts.slice(0, 20).map(([part, size]) => `${part} ${Math.round(size / 1000)}`);
    console.log(
      `${name.padEnd(11)} ${String(Math.round(bytes / 1000)).padStart(5)} ${(took - took0).toFixed(0).padStart(11)} ${(used - used0).toFixed(0).padStart(15)}   ${largest.join(', ')}`,
    );
  }
} finally {
  rmSync(folder, { recursive: true });
}
