import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/**
 * Writes dist/main.js, what an installed package runs: Node strips no types under node_modules.
 * Libraries stay outside the bundle; npm installs them, DuckDB with the binary of the machine. Called by `prepack`.
 */
const root = fileURLToPath(new URL('../', import.meta.url));
await rm(`${root}dist`, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: ['cli/main.ts'],
  outdir: 'dist',
  bundle: true,
  // What is imported later is loaded later: the clients of AWS.
  splitting: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node24',
  legalComments: 'none',
  logLevel: 'warning',
});
