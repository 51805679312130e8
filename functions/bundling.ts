import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type BuildOptions, type Metafile, type Plugin } from 'esbuild';
import type { FunctionName } from './environment.ts';

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
/** The files of the workspace, beside the bundle (functions/workspace.ts). */
export const WORKSPACE = 'workspace.json';

/** What stands for a module of a library, where all of it would come along for a part. By the end of its path in node_modules. */
const SMALLER: readonly (readonly [RegExp, string, string])[] = [
  // The messages of zod in fifty languages. English is all that is shown.
  [/^\.\.\/locales\/index\.js$/, 'zod', "export { default as en } from 'zod/v4/locales/en.js';"],
  // In a Lambda credentials are in the environment: no profiles, no single sign-on, no metadata service.
  [
    /^@aws-sdk\/credential-provider-node$/,
    '',
    `import { fromEnv } from '@aws-sdk/credential-provider-env';
export const defaultProvider = () => fromEnv();`,
  ],
  // Of undici, connections that are kept: no fetch, no web sockets, no caches, no mocks.
  [
    /^undici$/,
    '',
    `import Agent from 'undici/lib/dispatcher/agent.js';
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
import api from 'undici/lib/api/index.js';
Object.assign(Dispatcher.prototype, api);
export { Agent };
export const request = (url, options) => {
  const { origin, pathname, search } = new URL(url);
  return options.dispatcher.request({ method: 'GET', ...options, origin, path: pathname + search });
};`,
  ],
];

const smaller: Plugin = {
  name: 'smaller',
  setup({ onResolve, onLoad }) {
    for (const [i, [filter, within]] of SMALLER.entries()) {
      onResolve({ filter }, ({ importer }) =>
        importer.includes(`node_modules/${within}`) || within === ''
          ? { path: `${i}`, namespace: 'smaller', sideEffects: false }
          : undefined,
      );
    }
    onLoad({ filter: /.*/, namespace: 'smaller' }, ({ path }) => ({
      contents: SMALLER[Number(path)]?.[2] ?? '',
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

/** Writes the bundle of a function into a folder, and the files of the workspace beside it: what a Lambda is made of. */
export async function bundle(name: FunctionName, folder: string, files: ReadonlyMap<string, string>): Promise<Metafile> {
  mkdirSync(folder, { recursive: true });
  // As they are, in their order: a function has the digest that they have everywhere.
  writeFileSync(join(folder, WORKSPACE), JSON.stringify([...files]));
  const { metafile } = await build({
    ...OPTIONS,
    entryPoints: [`functions/${name}.ts`],
    outfile: join(folder, BUNDLE),
    metafile: true,
  });
  return metafile;
}
