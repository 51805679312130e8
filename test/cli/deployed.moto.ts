import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { sha256Hex } from '../../core/identifiers.ts';
import { sluice as commandLine } from '../conformance/story.ts';
import { people } from '../functions/days.ts';
import { type Deployed, deploy } from '../functions/deployed.ts';

/**
 * The command line against a deployed stack: outputs, table and secrets by moto, S3 and Athena on this machine, the deployed functions as
 * bundles in processes of their own, the sandbox behind them.
 */
let world: Deployed;
let dir: string;
beforeAll(async () => {
  world = await deploy();
  dir = mkdtempSync(join(tmpdir(), 'sluice-deployed-cli-'));
  for (const [name, text] of world.files) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  }
}, 120_000);
beforeEach(async () => {
  await world.fresh();
  await world.lambda();
  await world.stack('dev');
  vi.stubEnv('SLUICE_ENVIRONMENT', 'local');
  for (const [name, value] of Object.entries(world.env)) vi.stubEnv(name, value);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await world.close();
  rmSync(dir, { recursive: true, force: true });
});

const sluice = (...args: readonly string[]) => commandLine(dir, ...args);
const onAws = (...args: readonly string[]) => sluice(...args, '--env', 'aws');

const send = async (tier: string, ...ids: string[]) => {
  world.rows(people(tier, ...ids));
  return onAws('sync', tier);
};
/** What differs from run to run: ids of runs, instants, durations, hashes of receipts. */
const still = (text: string): string =>
  text
    .replaceAll(' --env aws', '')
    .replaceAll(/\b[0-9A-HJKMNP-TV-Z]{26}\b/g, '<run>')
    .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ/g, '<instant>')
    .replaceAll(/\b[0-9a-f]{64}\b/g, '<hash>')
    .replaceAll(/\d+\.\d s\b/g, '<time>');

describe('--env aws', () => {
  it('says of a plan, a run, where it stands, a person and the receipts what the same commands say here', async () => {
    const story = async (run: typeof sluice) => {
      world.rows(people('gold', 'a', 'b', 'c'));
      const said = [await run('plan', 'gold')];
      const [plan = ''] = /\b[0-9A-HJKMNP-TV-Z]{26}\b/.exec(said[0]?.out ?? '') ?? [];
      said.push(await run('sync', '--plan', plan));
      world.rows({ ...people('gold', 'a', 'b', 'd'), consents: people('gold', 'a', 'd').consents });
      said.push(
        await run('sync', 'gold'),
        await run('status', 'gold'),
        await run('history', 'gold'),
        await run('explain', 'a', '--audience', 'gold'),
        await run('explain', 'b', '--audience', 'gold'),
        await run('audit', 'b'),
        await run('audit', '--run', plan),
        await run('audit', '--verify'),
      );
      return said.map(({ exit, out, err }) => `${exit}\n${still(out)}\n${still(err)}`);
    };
    const there = await story(onAws);
    world.sandbox.platform('meta').reset();
    vi.stubEnv('SLUICE_SECRET_META', JSON.stringify(world.sandbox.platform('meta').secret));
    mkdirSync(join(dir, '.sluice'));
    writeFileSync(join(dir, '.sluice/member.key'), 'ab'.repeat(32));
    const steps = /^gold: (gate|materialize|diff|guard|deliver|commit|record|begin|finish|plan|meta).*\n?/gm;
    const here = (await story(sluice)).map((text) => text.replaceAll(steps, ''));
    // Only there a run has a price.
    const price = /^ +[\d.]+ KB read in \d+ queries, \$0\.00\d+\n/m;
    expect(there.map((text) => price.test(text))).toEqual([true, true, true, ...Array.from({ length: 7 }, () => false)]);
    expect(there.map((text) => text.replace(price, '').trimEnd())).toEqual(here.map((text) => text.trimEnd()));
    expect(there[2]).toContain('removed because: left 1, no-consent 1');
  });

  it('holds, refuses, approves and rejects, each with its exit code, and names commands that work there', async () => {
    await send('bronze', 'm', 'n', 'o', 'p');
    const held = await send('bronze', 'm');
    expect(held).toMatchObject({ exit: 3 });
    const [plan = ''] = /\b[0-9A-HJKMNP-TV-Z]{26}\b/.exec(held.out.slice(held.out.indexOf('approve'))) ?? [];
    expect(held.out).toContain(`sluice approve --env aws ${plan}`);
    expect(await onAws('status', 'bronze')).toMatchObject({ exit: 3 });
    expect(await onAws('sync', '--plan', plan)).toMatchObject({ exit: 3, err: expect.stringContaining(`Plan ${plan} is held`) });
    expect(await onAws('approve', plan)).toMatchObject({ exit: 0, out: expect.stringMatching(/braze +mirror +0 +0 +3 /) });
    expect(world.held('braze')).toEqual(new Set(['m']));
    expect(await onAws('approve', plan)).toMatchObject({ exit: 1, err: expect.stringContaining(`Plan ${plan} is done.`) });

    world.rows(people('bronze', 'm', 'q'));
    const planned = await onAws('plan', 'bronze');
    const [other = ''] = /\b[0-9A-HJKMNP-TV-Z]{26}\b/.exec(planned.out) ?? [];
    expect(await onAws('reject', other)).toEqual({
      exit: 0,
      out: '',
      err: `Plan ${other} of "bronze" is dropped. Nothing was sent.`,
    });
    expect(await onAws('sync', '--plan', other)).toMatchObject({ exit: 1, err: expect.stringContaining('is rejected') });
    expect(await onAws('sync', '--plan', '01JD0V3Z5Q4X8R2N6M9K7H1GTB')).toEqual({
      exit: 1,
      out: '',
      err: 'There is no plan 01JD0V3Z5Q4X8R2N6M9K7H1GTB. Plans are listed by: sluice history --env aws',
    });
  });

  it('rolls back, and lets rejected rows be sent again', async () => {
    await send('silver', 'r', 's');
    await send('silver', 'r', 's', 't');
    const runs = JSON.parse((await onAws('history', 'silver', '--json')).out) as { run: string }[];
    const [, first] = runs.map(({ run }) => run);
    expect(await onAws('rollback', 'silver', 'braze', first ?? '')).toMatchObject({ exit: 0 });
    expect((await onAws('plan', 'silver')).out).toMatch(/braze +mirror +1 +0 +0 +2 /);
    expect(await onAws('retry', 'silver')).toMatchObject({
      exit: 0,
      err: expect.stringContaining('sluice sync --env aws silver'),
    });
    expect(await onAws('rollback', 'silver', 'braze', 'nothing')).toMatchObject({
      exit: 1,
      err: expect.stringContaining('has no generation nothing'),
    });
    expect(await onAws('retire', 'silver', 'braze')).toMatchObject({
      exit: 1,
      err: expect.stringContaining('No ledger of "silver" at braze is left over.'),
    });
  });

  it('stops, lifts and forgets a person, and proves it by a receipt that the deployment signed', async () => {
    await send('both', 'u', 'v', 'w');
    expect(await onAws('withdraw', 'v')).toMatchObject({
      exit: 0,
      err: expect.stringContaining('1 person will not be sent any more'),
    });
    expect((await onAws('plan', 'both')).out).toMatch(/meta +mirror +0 +0 +1 /);
    expect(await onAws('withdraw', 'v', '--lift')).toMatchObject({
      exit: 0,
      err: expect.stringContaining('1 entry of 1 person lifted'),
    });
    expect((await onAws('plan', 'both')).out).toMatch(/meta +mirror +0 +0 +0 /);

    const request = join(dir, 'request.json');
    const identity = { identity_type: 'controller_customer_id', identity_value: 'w', identity_format: 'raw' };
    writeFileSync(
      request,
      JSON.stringify({
        subject_request_id: 'a7551968-d5d6-44b2-9831-815ac9017798',
        subject_request_type: 'erasure',
        submitted_time: '2026-11-20T10:00:00Z',
        subject_identities: [identity],
      }),
    );
    expect(await onAws('forget', request)).toMatchObject({ exit: 0 });
    expect(world.held('meta')).not.toContain(`email:${sha256Hex('w@x.example')}`);
    const receipt = await onAws('forget', '--receipt', 'a7551968-d5d6-44b2-9831-815ac9017798');
    const file = join(dir, 'receipt.json');
    writeFileSync(file, receipt.out);
    expect(await onAws('forget', '--verify', file)).toMatchObject({ exit: 0, err: `${file} is as it was signed.` });
    writeFileSync(file, receipt.out.replace('completed', 'cancelled'));
    expect(await onAws('forget', '--verify', file)).toMatchObject({ exit: 1, err: `${file} was altered after it was signed.` });
    expect((await onAws('plan', 'both')).out).toMatch(/meta +mirror +0 +0 +0 +2 +1 /);
    expect(await onAws('forget', '--status', 'all')).toMatchObject({ exit: 0, out: expect.stringContaining('a7551968') });
    expect(await onAws('forget', '--continue')).toEqual({ exit: 0, out: '', err: 'Nothing is left to forget.' });
    expect(await onAws('forget', '--cancel', 'none')).toMatchObject({
      exit: 1,
      err: expect.stringContaining('There is no erasure none.'),
    });
  });

  it('compares with another revision of the files, over the tables there', async () => {
    await send('gold', 'a', 'b');
    const git = (...args: readonly string[]) =>
      promisify(execFile)('git', ['-C', dir, '-c', 'user.name=x', '-c', 'user.email=x@x.example', ...args]);
    await git('init', '-q');
    await git('add', 'audiences', 'contracts', 'destinations', 'policies');
    await git('commit', '-qm', 'as deployed');
    const file = join(dir, 'audiences/gold.yaml');
    const before = readFileSync(file, 'utf8');
    writeFileSync(file, before.replace('where: { tier: gold }', 'where: { id: a }'));
    const said = await onAws('plan', 'gold', '--compare', 'HEAD');
    writeFileSync(file, before);
    expect(said).toMatchObject({ exit: 0, out: expect.stringMatching(/meta +mirror +2 +1 +0 +1 +1\n/) });
    expect(await world.store.documents.list('scratch')).toEqual([]);
    expect((await world.store.files.list('runs/')).filter((key) => /comparison|compare/.test(key))).toEqual([]);
  });

  it('plans nothing new under other files than those that are deployed, and says which read and which act', async () => {
    const file = join(dir, 'audiences/gold.yaml');
    const before = readFileSync(file, 'utf8');
    writeFileSync(file, before.replace('everybody', 'everyone'));
    const differ =
      'The files here are not those that are deployed as dev: what is read is read by these, what is done is done by those.';
    const refused =
      'Nothing of "gold" was planned or sent. Deploy these files first (npx cdk deploy -c stage=dev), or check out what is deployed.';
    for (const command of ['plan', 'sync'])
      expect(await onAws(command, 'gold')).toEqual({ exit: 1, out: '', err: `${differ}\n${refused}` });
    expect(await onAws('status', 'gold')).toMatchObject({ exit: 0, err: differ });
    writeFileSync(file, before);
  });

  it('says why a run failed, where a table is not there', async () => {
    world.athena.endpoint.refuseNext('GetTableMetadata', 'InvalidRequestException', 40);
    const failed = await onAws('plan', 'gold');
    world.athena.endpoint.refuseNext('GetTableMetadata', 'InvalidRequestException', 0);
    expect(failed).toMatchObject({ exit: 1, out: '' });
    expect(failed.err).not.toContain('nobody foresaw');
  });

  it.each([
    [
      ['--stage', 'none'],
      'There is no stack sluice-none in eu-central-1 of this account. Name another stage (--stage <name>), another account or region (AWS_PROFILE, AWS_REGION), or deploy it: npx cdk deploy -c stage=none',
    ],
    [
      ['--stage', 'old'],
      expect.stringMatching(
        /^The stack sluice-old is CREATE_COMPLETE and does not say SLUICE_DIGEST, .* Deploy it: npx cdk deploy -c stage=old$/,
      ),
    ],
    [['--stage', 'NO'], '"NO" is no name of a stage.'],
  ])('finds the stack of %j, or says what to do', async (args, err) => {
    await world.stack('old', { SLUICE_TABLE: 'sluice' });
    expect(await onAws('status', ...args)).toEqual({ exit: 1, out: '', err });
  });

  it('names the way out where there are no credentials or no region', async () => {
    const without = async (...names: string[]) => {
      const env = { PATH: process.env.PATH, HOME: dir, AWS_EC2_METADATA_DISABLED: 'true', ...world.env } as Record<
        string,
        string
      >;
      for (const name of names) delete env[name];
      const { stderr } = await promisify(execFile)(process.execPath, ['cli/sluice.js', 'status', '--env', 'aws', '--dir', dir], {
        env,
      }).catch((error: unknown) => error as { stderr: string });
      return stderr.trim();
    };
    expect(await without('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY')).toBe(
      'There are no AWS credentials here, or they have expired. Name a profile (AWS_PROFILE), or log in: aws sso login',
    );
    expect(await without('AWS_REGION')).toBe(
      'No region is set, so nobody knows where the stack is. Name it: AWS_REGION=eu-central-1',
    );
  });
});
