/**
 * `node .ci/complete-lock.ts` after `npm install <package>`: adds to package-lock.json the platform packages (`@x/y-darwin-arm64`)
 * that npm left out because the registry it asked does not carry them. `npm ci` refuses a lock file without them.
 */
import { readFileSync, writeFileSync } from 'node:fs';

interface Entry {
  version?: string;
  dev?: boolean;
  optional?: boolean;
  cpu?: string[];
  os?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}
interface Lock {
  packages: Record<string, Entry>;
}

const OS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const CPU = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64'];
const LIBC: Record<string, string> = { gnu: 'glibc', gnueabihf: 'glibc', musl: 'musl', musleabihf: 'musl' };

/** Optional dependencies without an entry, as node would look them up from the package that names them. */
export function missingFrom(lock: Lock): { readonly by: string; readonly name: string; readonly version: string }[] {
  const found = (from: string, name: string): boolean => {
    for (let at = from; ; at = at.includes('/node_modules/') ? at.slice(0, at.lastIndexOf('/node_modules/')) : '') {
      if (lock.packages[`${at === '' ? '' : `${at}/`}node_modules/${name}`]) return true;
      if (at === '') return false;
    }
  };
  return Object.entries(lock.packages).flatMap(([by, entry]) =>
    Object.entries(entry.optionalDependencies ?? {})
      .filter(([name]) => !found(by, name))
      .map(([name, version]) => ({ by, name, version })),
  );
}

if (import.meta.main) {
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as Lock;
  const missing = missingFrom(lock);
  for (const { by, name, version } of missing) {
    const words = name.split('/').at(-1)?.split('-') ?? [];
    const libc = words.flatMap((word) => LIBC[word] ?? []);
    lock.packages[`node_modules/${name}`] = {
      version,
      cpu: CPU.filter((cpu) => words.includes(cpu)),
      ...(lock.packages[by]?.dev ? { dev: true } : {}),
      ...(libc.length > 0 ? { libc } : {}),
      optional: true,
      os: OS.filter((os) => words.includes(os)),
    };
  }
  lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => a.localeCompare(b, 'en')));
  writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`);
  process.stdout.write(`Added ${missing.length} platform packages to package-lock.json.\n`);
}
