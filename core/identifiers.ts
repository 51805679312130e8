import { hash } from 'node:crypto';
import type { Identifier, Namespace } from './connector.ts';
import { trimmed } from './identifiers/text.ts';

export { birthDay, birthMonth, birthYear, gender } from './identifiers/birth.ts';
export { maid } from './identifiers/device.ts';
export { email, emailForGoogle } from './identifiers/email.ts';
export { phone, phoneDigits } from './identifiers/phone.ts';
export { cityLetters, countryCode, countryCodeLower, postalCode, postalCodeShort, region } from './identifiers/place.ts';
export { familyName, givenName, personName, plainText, trimmed } from './identifiers/text.ts';

/** Between the namespace and the value of a raw entry, as SQL writes it: no namespace and no usable value holds it. */
export const ENTRY_SEPARATOR = '\u001f';

/** Ends the name of a namespace whose values are hashes already: `email_sha256`. Declared by a contract, never detected. */
export const HASHED_SUFFIX = '_sha256';

/** Lower-case hex SHA-256 of the UTF-8 text. */
export const sha256Hex = (text: string): string => hash('sha256', text, 'hex');

const HEX_64 = /^[0-9a-f]{64}$/;

/**
 * What a destination is sent of a customer's identifiers: normalised and hashed as its connector's namespaces say, without doubles,
 * at most `max` a namespace, weak ones only beside a strong one. Values that cannot be used are left out, never guessed;
 * an empty answer means the customer is withheld (`no-identifier`).
 *
 * @param namespaces of the connector, narrowed by the caller to those the sync sends
 * @param entries `namespace\u001fvalue`, best first
 * @param country ISO alpha-2 of the customer, or null
 */
export function prepareIdentifiers(
  namespaces: Readonly<Record<string, Namespace>>,
  entries: readonly string[],
  country: string | null,
): Identifier[] {
  const hints = { country };
  const taken: Identifier[] = [];
  let strong = false;
  for (const entry of entries) {
    const cut = entry.indexOf(ENTRY_SEPARATOR);
    if (cut < 1) continue;
    let name = entry.slice(0, cut);
    let namespace = own(namespaces, name);
    let hashed = false;
    if (namespace === undefined && name.endsWith(HASHED_SUFFIX)) {
      name = name.slice(0, -HASHED_SUFFIX.length);
      namespace = own(namespaces, name);
      hashed = true;
    }
    if (namespace === undefined) continue;
    const raw = entry.slice(cut + 1);
    const value = hashed ? declaredHash(namespace, raw) : asSent(namespace, raw, hints);
    if (value === undefined || isTaken(taken, name, value, namespace.max)) continue;
    taken.push({ namespace: name, value });
    if (namespace.weak !== true) strong = true;
  }
  return strong ? taken : [];
}

const own = (namespaces: Readonly<Record<string, Namespace>>, name: string): Namespace | undefined =>
  Object.hasOwn(namespaces, name) ? namespaces[name] : undefined;

function asSent(namespace: Namespace, raw: string, hints: { readonly country: string | null }): string | undefined {
  const value = namespace.normalise(raw, hints);
  return value === undefined || namespace.hash === 'none' ? value : sha256Hex(value);
}

function declaredHash(namespace: Namespace, raw: string): string | undefined {
  if (namespace.hash === 'none') return undefined;
  const value = trimmed(raw).toLowerCase();
  return HEX_64.test(value) ? value : undefined;
}

/** Whether the value is there already, or its namespace is full. A person has a handful: a loop beats a set. */
function isTaken(taken: readonly Identifier[], namespace: string, value: string, max = Number.POSITIVE_INFINITY): boolean {
  let count = 0;
  for (const other of taken) {
    if (other.namespace !== namespace) continue;
    if (other.value === value) return true;
    count += 1;
  }
  return count >= max;
}
