import { readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { parseSync } from 'oxc-parser';
import { describe, expect, it } from 'vitest';
import { brokenLayers, importsOf } from './layers.ts';
import { projectFiles, ROOT } from './project-files.ts';

const sources = projectFiles()
  .filter((file) => /\.[cm]?[jt]s$/.test(file))
  .map((file) => ({ file, source: readFileSync(ROOT + file, 'utf8') }));
const imports = new Map(
  sources.map(({ file, source }) => [
    file,
    importsOf(parseSync(file, source))
      .filter(({ specifier }) => specifier.startsWith('.'))
      .map(({ specifier }) => posix.normalize(posix.join(posix.dirname(file), specifier))),
  ]),
);

describe('the layers of this project', () => {
  it('every file imports only what its folder may, and core/ reads no clock, chance, environment, console or network', () => {
    expect(sources.length).toBeGreaterThan(4);
    const findings = sources.flatMap(({ file, source }) => brokenLayers(file, source));
    expect(findings.map(({ file, line, message }) => `${file}:${line} ${message}`)).toEqual([]);
  });

  it('a connector imports no other connector: only connectors/index.ts, the list, names them', () => {
    const listed = (imports.get('connectors/index.ts') ?? []).filter((file) => file.startsWith('connectors/'));
    const broken = [...imports]
      .filter(([file]) => file.startsWith('connectors/') && file !== 'connectors/index.ts')
      .flatMap(([file, targets]) =>
        targets.filter((target) => listed.includes(target)).map((target) => `${file} imports ${target}`),
      );
    expect(broken).toEqual([]);
  });

  it('every import of ours names a file that exists', () => {
    const known = new Set(projectFiles());
    const broken = [...imports].flatMap(([file, targets]) =>
      targets.filter((target) => !known.has(target)).map((target) => `${file} imports ${target}, which is not there`),
    );
    expect(broken).toEqual([]);
  });
});

describe('the layer rules catch', () => {
  const messages = (file: string, source: string): string =>
    brokenLayers(file, source)
      .map(({ line, message }) => `${line} ${message}`)
      .join('\n');

  const caught: readonly [title: string, file: string, source: string, message: string][] = [
    [
      'an adapter inside core/',
      'core/run/run.ts',
      "import { x } from '../../stores/local.ts';",
      'imports stores/local.ts, but core/ may import only core/',
    ],
    ['a type-only import across', 'core/a.ts', "import type { x } from '../cli/main.ts';", 'imports cli/main.ts, but core/'],
    ['an inline import type', 'core/a.ts', "let x: import('../cli/main.ts').X;", 'imports cli/main.ts, but core/'],
    ['a re-export across', 'warehouses/duckdb.ts', "export * from '../stores/local.ts';", 'may import only warehouses/, core/'],
    ['a dynamic import across', 'stores/local.ts', "await import('../connectors/http.ts');", 'may import only stores/, core/'],
    [
      'the sandbox that leans on a connector',
      'sandbox/meta.ts',
      "import '../connectors/meta.ts';",
      'may import only sandbox/, core/',
    ],
    [
      'the deploy that reaches the engine',
      'cdk/app.ts',
      "import { r } from '../core/run/run.ts';",
      'cdk/ may import only cdk/, core/files/',
    ],
    ['a function that starts the sandbox', 'functions/run.ts', "import '../sandbox/server.ts';", 'functions/ may import only'],
    ['a product file that imports a test', 'cli/main.ts', "import '../test/layers.ts';", 'nothing but a test imports a test'],
    ['the deploy library at run time', 'functions/run.ts', "import { App } from 'aws-cdk-lib/core';", 'only cdk/ may'],
    [
      'a library that core/ may not use',
      'core/a.ts',
      "import { request } from 'undici';",
      'imports undici, but core/ may use only zod',
    ],
    ['the file system in core/', 'core/a.ts', "import { readFileSync } from 'node:fs';", 'imports node:fs, but core/'],
    [
      'randomness from node:crypto in core/',
      'core/a.ts',
      "import { createHash, randomUUID } from 'node:crypto';",
      'uses randomUUID of node:crypto',
    ],
    ['a native module in a Lambda', 'functions/run.ts', "import '@duckdb/node-api';", 'no native or laptop-only module'],
    ['an import without its extension', 'cli/main.ts', "import './run';", 'without its extension'],
    ['the clock', 'core/a.ts', 'export const f = () => Date.now();', 'uses Date.now, and core/ is pure'],
    ['the clock by another name', 'core/a.ts', 'new Date(); DateTime.utc(); performance.now();', 'uses DateTime.now'],
    ['chance', 'core/a.ts', 'const r = Math.random;', 'take randomness from the port Clock'],
    ['the environment', 'core/a.ts', "const { X } = process.env; globalThis['x'];", 'uses process.env'],
    ['timers and the network', 'core/a.ts', 'setTimeout(() => {}, 1); fetch("x"); globalThis.fetch("x");', 'uses fetch'],
    ['output', 'core/a.ts', 'console.log(1);', 'uses console.log'],
    ['a file that does not parse', 'core/a.ts', 'const = 1', 'cannot be parsed'],
  ];
  it.each(caught)('%s', (_title, file, source, message) => {
    expect(messages(file, source)).toContain(message);
  });

  it('nothing that is allowed: dates of given instants, hashes, its own folder, and words in comments and strings', () => {
    const source = `
      import { createHash } from 'node:crypto';
      import { z } from 'zod';
      import type { Row } from './ports.ts';
      // Date.now() and import '../cli/main.ts' are only words here.
      export const text = 'process.env and Math.random()';
      export const day = (ms: number): Date => new Date(ms);
      export const clock = (clock: { now(): number }) => clock.now();
      export const value = (cell: { valueOf(): number }) => valueOf() + cell.valueOf();
    `;
    expect(messages('core/a.ts', source)).toBe('');
  });

  it('every place, with its line', () => {
    expect(messages('core/a.ts', "import '../cli/a.ts';\n\nconst a = Date.now();\nconst b = Math.random();").split('\n')).toEqual(
      [
        expect.stringMatching(/^1 imports cli\/a\.ts/),
        expect.stringMatching(/^3 uses Date\.now/),
        expect.stringMatching(/^4 uses Math\.random/),
      ],
    );
  });
});
