import { SecretUnusable } from '../core/store-errors.ts';

/** A secret from one text: a JSON object of strings; any other text that does not begin with `{` is `{ value: <text> }`. */
export function secretFromText(where: string, text: string): Record<string, string> {
  if (!text.startsWith('{')) return { value: text };
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Without the cause: its message would quote the secret.
    throw new SecretUnusable(
      `${where} begins like a JSON object and is none. Write it as '{"access_token":"..."}', in single quotes for the shell.`,
    );
  }
  return secretStrings(parsed, where);
}

/** A map of strings, or one string as `{ value }`. Throws `SecretUnusable`; no message holds a value. */
export function secretStrings(value: unknown, where: string): Record<string, string> {
  if (typeof value === 'string') return { value };
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new SecretUnusable(`${where} must be a map of strings, or one string.`);
  for (const [key, one] of Object.entries(value)) {
    // Not turned into text: of a long number digits are lost already.
    if (typeof one !== 'string') throw new SecretUnusable(`${where}: "${key}" is not a string. Put its value in quotes.`);
  }
  return Object.fromEntries(Object.entries(value)) as Record<string, string>;
}
