import { posix } from 'node:path';
import { parseSync, Visitor } from 'oxc-parser';

/** Who imports whom (docs/lifecycle.md, "The house"): a folder -> what its files may import of ours. A folder may always import itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  connectors: ['core/'],
  warehouses: ['core/'],
  stores: ['core/'],
  sandbox: ['core/'],
  functions: ['core/', 'connectors/', 'warehouses/', 'stores/', 'package.json'],
  // Lists that both sides must agree on, and the parsing of the files (docs/adr/0060-stack.md): no code that runs.
  cdk: [
    'core/files/',
    'core/model.ts',
    'core/metrics.ts',
    'core/sql/lake-tables.ts',
    'connectors/index.ts',
    'functions/environment.ts',
    'functions/bundling.ts',
    'cli/workspace-files.ts',
  ],
  // Of functions/, what is asked of deployed ones and how (docs/adr/0062). Of the top of the project, only the version.
  cli: ['core/', 'connectors/', 'warehouses/', 'stores/', 'sandbox/', 'functions/', 'package.json'],
};

const WHY: Readonly<Record<string, string>> = {
  core: 'core/ decides and knows no edge: take what you need as a port (core/ports.ts) or an argument',
  connectors:
    'an adapter knows core/ and its own outside thing: move what is shared into core/, or let cli/ or functions/ wire the two',
  cdk: 'cdk/ may read the files (core/files/, with the list of connectors) and the lists it shares with what runs: metrics, tables, names of the environment',
  cli: 'cli/ and functions/ wire what runs: move the code to the folder that owns the decision',
};

/** Libraries of core/: pure ones. `node:crypto` is for hashes only. */
const CORE_LIBRARIES = [
  'zod',
  'yaml',
  'luxon',
  'libphonenumber-js',
  'p-limit',
  '@iabtechlabtcf/core',
  '@iabgpp/cmpapi',
  'node:crypto',
];
const DEPLOY_LIBRARIES = ['aws-cdk-lib', 'constructs', 'cdk-nag', 'aws-cdk'];
/** A native module has no place in a Lambda bundle. */
const LAPTOP_LIBRARIES = ['@duckdb/node-api', 'node:sqlite'];

/** What core/ may not call, and where the value comes from instead. */
const IMPURE: ReadonlyMap<string, string> = new Map(
  Object.entries({
    'Date.now': 'take the time as an argument (the run has one tick) or from the port Clock',
    'new Date': 'take the time as an argument (the run has one tick) or from the port Clock',
    'performance.now': 'take the time from the port Clock',
    'DateTime.now': 'take the time as an argument',
    'Math.random': 'take randomness from the port Clock',
    'crypto.': 'import hashing from node:crypto; take randomness from the port Clock',
    'process.': 'take settings and secrets as arguments or ports; only the edges read the environment',
    'console.': 'return what there is to say; cli/ prints and functions/ logs',
    'import.meta.': 'a decision does not depend on where its file lies',
    setTimeout: 'wait with the port Clock',
    setInterval: 'wait with the port Clock',
    setImmediate: 'wait with the port Clock',
    fetch: 'send through the context of the connector',
  }),
);
/** Of node:crypto, what needs no randomness and no key store. */
const HASHING = new Set(['createHash', 'createHmac', 'hash', 'timingSafeEqual', 'Hash', 'Hmac', 'BinaryLike']);

export interface Finding {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

const folderOf = (file: string): string => file.slice(0, Math.max(file.indexOf('/'), 0));
const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

/** Everything one TypeScript file breaks of the layers, in the order of its lines. */
export function brokenLayers(file: string, source: string): readonly Finding[] {
  const findings: Finding[] = [];
  const say = (at: number, message: string): void => {
    findings.push({ file, line: source.slice(0, at).split('\n').length, message });
  };
  const parsed = parseSync(file, source);
  for (const error of parsed.errors) say(error.labels[0]?.start ?? 0, `cannot be parsed: ${error.message}`);
  for (const { specifier, at } of importsOf(parsed)) {
    const broken = specifier.startsWith('.') ? brokenOwn(file, specifier) : brokenLibrary(file, specifier);
    if (broken !== undefined) say(at, `imports ${broken}`);
  }
  if (folderOf(file) === 'core') for (const { at, message } of impurities(parsed)) say(at, message);
  return findings.toSorted((a, b) => a.line - b.line);
}

/** Every import and re-export: static, dynamic, of types only, and by `require`. A computed name is `<computed>`. */
export function importsOf(parsed: ReturnType<typeof parseSync>): readonly { readonly specifier: string; readonly at: number }[] {
  const found: { specifier: string; at: number }[] = [];
  const keep = (value: unknown, at: number): void => {
    found.push({ specifier: typeof value === 'string' ? value : '<computed>', at });
  };
  new Visitor({
    ImportDeclaration: (node) => keep(node.source.value, node.start),
    ExportNamedDeclaration: (node) => node.source && keep(node.source.value, node.start),
    ExportAllDeclaration: (node) => keep(node.source.value, node.start),
    ImportExpression: (node) => keep(node.source.type === 'Literal' ? node.source.value : undefined, node.start),
    TSImportType: (node) => keep(node.source.value, node.start),
    CallExpression: (node) => {
      const [argument] = node.arguments;
      if (node.callee.type === 'Identifier' && node.callee.name === 'require')
        keep(argument?.type === 'Literal' ? argument.value : undefined, node.start);
    },
  }).visit(parsed.program);
  return found;
}

function brokenOwn(file: string, specifier: string): string | undefined {
  const target = posix.normalize(posix.join(posix.dirname(file), specifier));
  const [from, to] = [folderOf(file), folderOf(target)];
  if (!/\.(ts|js|json)$/.test(target)) return `${target} without its extension: write the file's name as it is`;
  if (to === 'test' && from !== 'test') return `${target}: nothing but a test imports a test`;
  const allowed = MAY_IMPORT[from];
  // Tests, benchmarks and the tools at the top see everything.
  if (allowed === undefined || from === to || allowed.some((prefix) => target.startsWith(prefix))) return undefined;
  const list = [`${from}/`, ...allowed].join(', ');
  const why = WHY[from] ?? WHY[from === 'functions' ? 'cli' : 'connectors'];
  return `${target}, but ${from}/ may import only ${list}: ${why}`;
}

function brokenLibrary(file: string, specifier: string): string | undefined {
  const [from, library] = [folderOf(file), packageOf(specifier)];
  if (MAY_IMPORT[from] === undefined) return undefined;
  if (specifier === '<computed>')
    return from === 'core' ? 'by a computed name, which nobody can follow: write the import out' : undefined;
  if (from !== 'cdk' && DEPLOY_LIBRARIES.includes(library))
    return `${specifier}: what runs must not carry what deploys; only cdk/ may`;
  if (from === 'functions' && LAPTOP_LIBRARIES.includes(library))
    return `${specifier}: a Lambda carries no native or laptop-only module`;
  if (from === 'core' && !CORE_LIBRARIES.includes(library))
    return `${specifier}, but core/ may use only ${CORE_LIBRARIES.join(', ')}: put the adapter in its own folder behind a port of core/ports.ts`;
  return undefined;
}

function impurities(parsed: ReturnType<typeof parseSync>): readonly { readonly at: number; readonly message: string }[] {
  const found: { at: number; message: string }[] = [];
  const refuse = (what: string, at: number): void => {
    const reason = IMPURE.get(what) ?? IMPURE.get(what.slice(0, what.indexOf('.') + 1));
    if (reason !== undefined) found.push({ at, message: `uses ${what}, and core/ is pure: ${reason}` });
  };
  new Visitor({
    ImportDeclaration: (node) => {
      if (node.source.value !== 'node:crypto') return;
      for (const one of node.specifiers) {
        const name = one.type === 'ImportSpecifier' && one.imported.type === 'Identifier' ? one.imported.name : '*';
        if (!HASHING.has(name))
          found.push({
            at: one.start,
            message: `uses ${name} of node:crypto, and core/ is pure: only ${[...HASHING].join(', ')}`,
          });
      }
    },
    MemberExpression: (node) => {
      if (node.object.type === 'MetaProperty') refuse('import.meta.', node.start);
      const of = node.object.type === 'Identifier' ? node.object.name : '';
      const name = !node.computed && node.property.type === 'Identifier' ? node.property.name : '[]';
      if (of === 'globalThis') refuse(IMPURE.has(`${name}.`) ? `${name}.` : name, node.start);
      else if (of !== '') refuse(`${of}.${name}`, node.start);
    },
    NewExpression: (node) => {
      if (node.callee.type === 'Identifier' && node.callee.name === 'Date' && node.arguments.length === 0)
        refuse('new Date', node.start);
    },
    CallExpression: (node) => {
      if (node.callee.type !== 'Identifier') {
        // luxon: `DateTime.local()` and `DateTime.utc()` without arguments are the clock.
        if (node.callee.type !== 'MemberExpression' || node.arguments.length > 0 || node.callee.object.type !== 'Identifier')
          return;
        const name = node.callee.property.type === 'Identifier' ? node.callee.property.name : '';
        if (node.callee.object.name === 'DateTime' && (name === 'local' || name === 'utc')) refuse('DateTime.now', node.start);
      } else if (node.callee.name === 'Date') refuse('new Date', node.start);
      else refuse(node.callee.name, node.start);
    },
  }).visit(parsed.program);
  return found;
}
