import { execFile, execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const launcher = join(ROOT, 'cli', 'sluice.js');
const run = promisify(execFile);

/** A Node on the PATH that is too old for the sources, if there is one. */
const older = (process.env.PATH ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'node'))
  .filter((file) => existsSync(file))
  .find((file) => Number(execFileSync(file, ['-p', 'parseInt(process.versions.node)'], { encoding: 'utf8' })) < 24);

const folders: string[] = [];
const temporary = () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-cli-'));
  folders.push(folder);
  return folder;
};
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

describe('the launcher in a clone', () => {
  it('runs the sources under the Node that started it', async () => {
    const { stdout, stderr } = await run(process.execPath, [launcher, '--help']);
    expect(stdout).toMatch(/^Sluice keeps audiences true/);
    expect(stderr).toBe('');
  });

  it.skipIf(older === undefined)(
    'starts itself again under the package `node`; left out because no older Node is on the PATH, where none is',
    async () => {
      const { stdout } = await run(older ?? '', [launcher, '--version']);
      expect(stdout.trim()).toMatch(/^\d+\.\d+\.\d+$/);
      await expect(run(older ?? '', [launcher, 'nonsense'])).rejects.toMatchObject({ code: 1 });
    },
  );

  it.skipIf(older === undefined)(
    'says what is missing where there is no newer Node; left out because no older Node is on the PATH, where none is',
    async () => {
      const folder = temporary();
      cpSync(launcher, join(folder, 'sluice.mjs'));
      await expect(run(older ?? '', [join(folder, 'sluice.mjs')], { cwd: folder })).rejects.toMatchObject({
        code: 1,
        stderr: expect.stringMatching(
          /^Sluice needs Node 24 or newer; this is v\d+\.\d+\.\d+\.\n.*npm install --save-dev node@24\n$/,
        ),
      });
    },
  );
});

describe('the package', () => {
  const folder = temporary();
  const npm = {
    cwd: folder,
    env: {
      ...process.env,
      PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}`,
      npm_config_prefer_offline: 'true',
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      npm_config_update_notifier: 'false',
    },
  };

  beforeAll(async () => {
    await run('npm', ['pack', '--silent', '--pack-destination', folder], { ...npm, cwd: ROOT });
    const [tarball = ''] = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
    await run('npm', ['init', '--yes'], npm);
    await run('npm', ['install', '--omit=dev', `./${tarball}`], npm);
  }, 180_000);

  it('brings the bundle and the schemas, and no source', () => {
    const brought = readdirSync(join(folder, 'node_modules', 'sluice'), { recursive: true, encoding: 'utf8' });
    expect(brought.filter((name) => name.endsWith('.ts'))).toEqual([]);
    expect(brought).toEqual(
      expect.arrayContaining(
        ['cli/sluice.js', 'dist/main.js', 'schemas/audience.json', 'LICENSE', 'README.md'].map((name) => join(name)),
      ),
    );
  });

  it('gives npx sluice: a workspace is started, checked and planned', async () => {
    const { stdout } = await run('npx', ['sluice', '--help'], npm);
    expect(stdout).toMatch(/^Sluice keeps audiences true/);
    await run('npx', ['sluice', 'init', 'shop'], npm);
    const checked = await run('npx', ['sluice', 'check', '--dir', 'shop'], npm);
    expect(checked.stderr).toMatch(/^\d+ files checked, no problem\.$/m);
    const planned = await run('npx', ['sluice', 'plan', '--json', '--dir', 'shop'], npm);
    const [plan] = JSON.parse(planned.stdout);
    expect(plan).toMatchObject({ audience: 'lapsed-buyers', syncs: [{ destination: 'outbox', mode: 'mirror', remove: 0 }] });
    expect(plan.syncs[0].add).toBeGreaterThan(0);
  }, 60_000);
});
