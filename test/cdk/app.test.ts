import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { ENTRIES } from '../../functions/bundling.ts';
import { ROOT } from '../project-files.ts';

vi.setConfig({ testTimeout: 180_000 });

const scratch = mkdtempSync(join(tmpdir(), 'sluice-cdk-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const { context } = JSON.parse(readFileSync(`${ROOT}cdk.json`, 'utf8')) as { context: Record<string, unknown> };

/** What `cdk synth` runs, without the CLI around it: no account, no credentials, no Docker. */
function synth(out: string, own: Readonly<Record<string, unknown>> = {}, env: Readonly<Record<string, string>> = {}) {
  const { status, stderr } = spawnSync(process.execPath, ['cdk/app.ts'], {
    cwd: ROOT,
    encoding: 'utf8',
    env: {
      PATH: process.env.PATH,
      CDK_OUTDIR: join(scratch, out),
      CDK_CONTEXT_JSON: JSON.stringify({ ...context, ...own }),
      ...env,
    },
  });
  return { status, stderr };
}

describe('the app', () => {
  it('makes the same cloud assembly from the same files: template and assets', () => {
    const [first, second] = ['first', 'second'].map((out) => {
      expect(synth(out).status).toBe(0);
      return [
        readFileSync(join(scratch, out, 'Sluice.template.json'), 'utf8'),
        readFileSync(join(scratch, out, 'Sluice.assets.json'), 'utf8'),
      ];
    });
    expect(first).toEqual(second);
    const assets = JSON.parse(first?.[1] ?? '') as { files: Record<string, { source: { path: string; packaging: string } }> };
    const zipped = Object.values(assets.files).filter(({ source }) => source.packaging === 'zip');
    expect(zipped).toHaveLength(ENTRIES.length);
  });

  it('stops where `sluice check` does, with its words and its exit code', () => {
    const workspace = join(scratch, 'workspace');
    for (const folder of ['audiences', 'contracts', 'destinations', 'policies'])
      cpSync(join(ROOT, folder), join(workspace, folder), { recursive: true });
    const file = join(workspace, 'audiences/lapsed-vips.yaml');
    writeFileSync(file, readFileSync(file, 'utf8').replace('schedule: ', 'shedule: '));
    const { status, stderr } = synth('bad', { sluice: { dev: { workspace } } });
    expect(status).toBe(2);
    expect(stderr).toContain('Unknown key "shedule" in an audience. [unknown-key]');
    expect(stderr).toContain('Did you mean "schedule"?');
    expect(stderr.trimEnd().split('\n').at(-1)).toBe('Nothing was deployed: the files need a change.');
  });

  it('refuses a stage that cdk.json does not have, and a region that is not known to have durable functions', () => {
    expect(synth('stage', { stage: 'prd' })).toEqual({
      status: 2,
      stderr: 'cdk.json: context.sluice has no stage "prd"; it has dev. Choose one: -c stage=dev\n',
    });
    const { status, stderr } = synth('region', {}, { CDK_DEFAULT_REGION: 'eu-south-2', CDK_DEFAULT_ACCOUNT: '111122223333' });
    expect(status).toBe(2);
    expect(stderr).toContain('eu-south-2 is not known to have them. Nothing was deployed.');
  });
});
