import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type BuildOptions, type Metafile, type Plugin } from 'esbuild';
import { connectors } from '../connectors/index.ts';
import { digestOf } from '../core/files/digest.ts';
import { loadWorkspace } from '../core/files/workspace.ts';
import type { FunctionName } from './environment.ts';
import { platformOf } from './platforms.ts';
import { type Deployed, WORKSPACE } from './workspace.ts';

/** One bundle a function: `functions/<name>.ts`, its export `handler`. */
export const ENTRIES: readonly FunctionName[] = [
  'dispatch',
  'run',
  'materialize',
  'diff',
  'deliver',
  'commit',
  'forget',
  'publish',
];

/** The name of the bundle in its folder, and what Lambda calls. */
export const BUNDLE = 'index.mjs';
export const HANDLER = 'index.handler';
/** What stands for a library of which a function needs next to nothing. */
const SMALLER: readonly (readonly [RegExp, string])[] = [
  // In a Lambda credentials are in the environment: no profiles, no single sign-on, no metadata service.
  [
    /^@aws-sdk\/credential-provider-node$/,
    `import { fromEnv } from '@aws-sdk/credential-provider-env';
export const defaultProvider = () => fromEnv();`,
  ],
];

const smaller: Plugin = {
  name: 'smaller',
  setup({ onResolve, onLoad }) {
    for (const [i, [filter]] of SMALLER.entries())
      onResolve({ filter }, () => ({ path: `${i}`, namespace: 'smaller', sideEffects: false }));
    onLoad({ filter: /.*/, namespace: 'smaller' }, ({ path }) => ({
      contents: SMALLER[Number(path)]?.[1] ?? '',
      resolveDir: ROOT,
    }));
  },
};

const ROOT = fileURLToPath(new URL('../', import.meta.url));

/** How a bundle is made. CDK and the tests use the same, so that what is tried is what is deployed. */
const OPTIONS = {
  absWorkingDir: ROOT,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  minify: true,
  // Beside the bundle, for whoever wants to read a stack; Lambda is not given it.
  sourcemap: 'external',
  mainFields: ['module', 'main'],
  conditions: ['module'],
  legalComments: 'none',
  logLevel: 'warning',
  plugins: [smaller],
  // What is CommonJS in a bundle asks for Node's own modules with `require`.
  banner: { js: "import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);" },
} satisfies BuildOptions;

/** The file beside every bundle (functions/workspace.ts). Throws when the files have errors, which `sluice check` tells better. */
export function workspaceFile(files: ReadonlyMap<string, string>, environment: string): string {
  const { workspace, problems } = loadWorkspace(files, { connectors, environment });
  const [first] = problems.filter(({ severity }) => severity === 'error');
  if (workspace === null || first !== undefined)
    throw new Error(`The files have errors, the first in ${first?.file}:${first?.line}. Run: sluice check`);
  const platforms = Object.fromEntries(Object.entries(connectors).map(([name, one]) => [name, platformOf(one)]));
  return JSON.stringify({ digest: digestOf(files), workspace, platforms } satisfies Deployed);
}

/** Writes the bundle of a function into a folder, and what it knows of the workspace beside it: what a Lambda is made of. */
export async function bundle(name: FunctionName, folder: string, workspace: string): Promise<Metafile> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, WORKSPACE), workspace);
  const { metafile } = await build({
    ...OPTIONS,
    entryPoints: [`functions/${name}.ts`],
    outfile: join(folder, BUNDLE),
    metafile: true,
  });
  return metafile;
}
