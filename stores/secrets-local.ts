import { readFileSync, statSync } from 'node:fs';
import { parseDocument } from 'yaml';
import type { Secrets } from '../core/ports.ts';
import { SecretUnusable } from '../core/store-errors.ts';
import { errno } from './disk.ts';
import { secretFromText, secretStrings } from './secret-text.ts';

/**
 * Secrets of a laptop: first the environment, then a YAML file.
 *
 * `sluice/meta-eu` is the variable `SLUICE_SECRET_META_EU`. Its value is a JSON object of strings; any other text that does not begin
 * with `{` is the secret `{ value: <text> }`, which is what a platform with a single key asks for. In the file a secret stands under its
 * name, with or without `sluice/`, as a map of strings or one string. Throws `SecretUnusable`; the file must be its owner's alone.
 *
 * @param env usually `process.env`
 * @param file usually `.sluice/secrets.yaml`; need not be there
 */
export function localSecrets(env: Readonly<Record<string, string | undefined>>, file: string): Secrets {
  return {
    async get(name) {
      const variable = variableOf(name);
      const text = env[variable];
      if (text !== undefined && text.trim() !== '') return secretFromText(variable, text.trim());
      const stored = secretsIn(file);
      const found = stored[name] ?? stored[shortName(name)] ?? stored[`sluice/${name}`];
      return found === undefined || found === null ? null : secretStrings(found, `${file}: the secret ${name}`);
    },
    wayToSet: (name) => `set ${variableOf(name)} or add "${shortName(name)}:" to ${file} (chmod 600)`,
  };
}

const shortName = (name: string): string => name.replace(/^sluice\//, '');
const variableOf = (name: string): string =>
  `SLUICE_SECRET_${shortName(name)
    .toUpperCase()
    .replace(/[^A-Z0-9]/g, '_')}`;

function secretsIn(file: string): Readonly<Record<string, unknown>> {
  let text: string;
  try {
    // Windows has no such bits.
    if (process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0) {
      throw new SecretUnusable(
        `${file} can be read by others on this machine, so it is not used. Make it yours alone: chmod 600 ${file}`,
      );
    }
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (errno(error) === 'ENOENT') return {};
    throw error;
  }
  // Without pretty errors: they quote the line.
  const document = parseDocument(text, { prettyErrors: false });
  const [problem] = document.errors;
  if (problem !== undefined)
    throw new SecretUnusable(`${file}:${text.slice(0, problem.pos[0]).split('\n').length} is not YAML (${problem.code}).`);
  const parsed: unknown = document.toJS();
  if (parsed === null || parsed === undefined) return {};
  if (typeof parsed !== 'object' || Array.isArray(parsed))
    throw new SecretUnusable(`${file} must be a map: a secret's name, then its keys.`);
  return Object.assign(Object.create(null) as Record<string, unknown>, parsed);
}
