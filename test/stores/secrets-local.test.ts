import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SecretUnusable } from '../../core/store-errors.ts';
import { localSecrets } from '../../stores/secrets-local.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-secrets-'));
  file = join(folder, 'secrets.yaml');
});
afterEach(() => rmSync(folder, { recursive: true }));

const write = (text: string, mode = 0o600): void => {
  writeFileSync(file, text);
  chmodSync(file, mode);
};
const refusal = async (promise: Promise<unknown>): Promise<string> => {
  const error = await promise.then(
    () => undefined,
    (one: unknown) => one,
  );
  expect(error).toBeInstanceOf(SecretUnusable);
  expect((error as Error).cause).toBeUndefined();
  return (error as Error).message;
};

describe('a local secret', () => {
  it('comes from the variable of its name, as a JSON object or as one value', async () => {
    const env = {
      SLUICE_SECRET_META_EU: ' {"access_token":"t","n":"9007199254740993"} ',
      SLUICE_SECRET_WEB_HOOK_2: 'whsec_abc',
      SLUICE_SECRET_EMPTY: ' ',
    };
    const secrets = localSecrets(env, file);
    expect(await secrets.get('sluice/meta-eu')).toEqual({ access_token: 't', n: '9007199254740993' });
    expect(await secrets.get('meta-eu')).toEqual({ access_token: 't', n: '9007199254740993' });
    expect(await secrets.get('sluice/web.hook/2')).toEqual({ value: 'whsec_abc' });
    expect(await secrets.get('sluice/empty')).toBeNull();
    expect(await secrets.get('sluice/none')).toBeNull();
  });

  it('comes from the file when there is no variable, under its name with or without sluice/', async () => {
    write('meta-eu: { access_token: from-file }\nsluice/braze-eu:\n  api_key: k\nhook: "whsec_1"\n');
    const secrets = localSecrets({ SLUICE_SECRET_HOOK: 'from-variable' }, file);
    expect(await secrets.get('sluice/meta-eu')).toEqual({ access_token: 'from-file' });
    expect(await secrets.get('sluice/braze-eu')).toEqual({ api_key: 'k' });
    expect(await secrets.get('braze-eu')).toEqual({ api_key: 'k' });
    expect(await secrets.get('hook')).toEqual({ value: 'from-variable' });
    expect(await secrets.get('constructor')).toBeNull();
    write('');
    expect(await secrets.get('sluice/meta-eu')).toBeNull();
  });

  it.skipIf(process.platform === 'win32').each([0o644, 0o640, 0o604, 0o660])(
    'is not read from a file with mode %o, which others can read',
    async (mode) => {
      write('meta-eu: { access_token: hunter2 }', mode);
      expect(await refusal(localSecrets({}, file).get('sluice/meta-eu'))).toBe(
        `${file} can be read by others on this machine, so it is not used. Make it yours alone: chmod 600 ${file}`,
      );
    },
  );

  it.each([
    ['broken YAML', 'a: b\nmeta-eu: { access_token: "hunter2\n', ':3 is not YAML'],
    ['a number', 'meta-eu: { access_token: 12345678901234567890 }', '"access_token" is not a string. Put its value in quotes.'],
    ['a list', 'meta-eu: [hunter2]', 'the secret sluice/meta-eu must be a map of strings, or one string.'],
    ['no map at all', '- hunter2', 'must be a map'],
  ])('that is %s is refused without a word of it in the message', async (_, text, says) => {
    write(text);
    const message = await refusal(localSecrets({}, file).get('sluice/meta-eu'));
    expect(message).toContain(says);
    expect(message).not.toMatch(/hunter2|1234567/);
  });

  it.each(['{"access_token":"hunter2"', '{"access_token":12345678901234567890}', '{hunter2}'])(
    '%# in a variable is refused without a word of it',
    async (text) => {
      const message = await refusal(localSecrets({ SLUICE_SECRET_META_EU: text }, file).get('sluice/meta-eu'));
      expect(message).toMatch(/^SLUICE_SECRET_META_EU/);
      expect(message).not.toMatch(/hunter2|1234567/);
    },
  );

  it('says how it is set', () => {
    expect(localSecrets({}, '.sluice/secrets.yaml').wayToSet('sluice/meta-eu')).toBe(
      'set SLUICE_SECRET_META_EU or add "meta-eu:" to .sluice/secrets.yaml (chmod 600)',
    );
  });
});
