/**
 * `npm run pre-test:trino`: puts a Trino server together from Maven Central, in .cache/trino. Needs Maven and Java 17.
 * 435 is the newest Trino that Java 17 runs.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../project-files.ts';
import { TRINO, VERSION } from './server.ts';

function maven(...args: readonly string[]): void {
  const { status, error } = spawnSync('mvn', ['-B', '-q', '-f', `${ROOT}test/support/trino/pom.xml`, ...args], {
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error(`Maven could not do it: ${error?.message ?? `mvn ${args[0]} ended with ${status}`}`);
}

const plugin = join(TRINO, 'plugin', 'hive');
if (!existsSync(plugin)) {
  rmSync(TRINO, { recursive: true, force: true });
  mkdirSync(join(TRINO, 'plugin'), { recursive: true });
  maven('dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${join(TRINO, 'lib')}`);
  // Not in the pom: it is a folder of a plugin, and must not be on the engine's own class path.
  maven('dependency:get', `-Dartifact=io.trino:trino-hive:${VERSION}:zip`, '-Dtransitive=false');
  maven(
    'dependency:unpack',
    `-Dartifact=io.trino:trino-hive:${VERSION}:zip`,
    `-DoutputDirectory=${join(TRINO, 'unpacked')}`,
    '-Dmdep.unpack.includes=**',
  );
  renameSync(join(TRINO, 'unpacked', `trino-hive-${VERSION}`), plugin);
  rmSync(join(TRINO, 'unpacked'), { recursive: true });
}
process.stdout.write(`Trino ${VERSION} is ready.\n`);
