import type { Connector } from '../connector.ts';
import { email, emailForGoogle, ENTRY_SEPARATOR, HASHED_SUFFIX, phone, sha256Hex, trimmed } from '../identifiers.ts';
import type { Documents } from '../ports.ts';

/** A tombstone of an identifier, document of this kind under its mark: who held the identifier at the time of the request keeps it. */
export const TOMBSTONE = 'tombstone';
export interface Tombstone {
  /** Epoch ms of the first erasure. */
  readonly at: number;
  /** Member keys. */
  readonly keepers: readonly string[];
}

const HEX_64 = /^[0-9a-f]{64}$/;

/**
 * Namespaces that identify a person alone: some connector takes them, and none calls them weak. A first name or a postal code has no
 * tombstone, or everybody of that name would be withheld. The customer id has one of its own, in the stop list.
 */
export function strongNamespaces(connectors: Readonly<Record<string, Connector>>): ReadonlySet<string> {
  const all = Object.values(connectors).flatMap((connector) => Object.entries(connector.namespaces));
  const weak = new Set(all.flatMap(([name, namespace]) => (namespace.weak === true ? [name] : [])));
  return new Set(all.map(([name]) => name).filter((name) => name !== 'external_id' && !weak.has(name)));
}

/** `email_sha256` is an email. */
export const namespaceOf = (name: string): string => (name.endsWith(HASHED_SUFFIX) ? name.slice(0, -HASHED_SUFFIX.length) : name);

/**
 * Hex SHA-256 of the canonical forms of a raw identifier, of all that any platform or a request may have hashed: e-mail trimmed and lower
 * case (and as Google writes it), phone in E.164 with and without `+`, any other as lower-case text. What cannot be read stands as its text.
 */
export function hashesOf(name: string, raw: string, country: string | null): readonly string[] {
  const namespace = namespaceOf(name);
  const text = trimmed(raw).normalize('NFC').toLowerCase();
  if (namespace !== name) return HEX_64.test(text) ? [text] : [];
  return [...new Set(canonicalOf(namespace, raw, text, country).map(sha256Hex))];
}

function canonicalOf(namespace: string, raw: string, text: string, country: string | null): readonly string[] {
  if (namespace === 'email') {
    const read = [email(raw), emailForGoogle(raw)].filter((one) => one !== undefined);
    return [text, ...read];
  }
  if (namespace === 'phone') {
    const read = phone(raw, { country });
    return read === undefined ? [text] : [read, read.slice(1)];
  }
  return [text];
}

/** The same of an identifier as it was sent, `namespace:value`. */
export function hashesOfSent(sent: string): { readonly namespace: string; readonly hashes: readonly string[] } {
  const colon = sent.indexOf(':');
  const [namespace, value] = [sent.slice(0, colon), sent.slice(colon + 1)];
  return { namespace, hashes: HEX_64.test(value) ? [value] : hashesOf(namespace, value, null) };
}

/** The name of an identifier in the tombstones, 32 hex: keyed, so that nobody without the key can ask for an address. */
export const markOf = (secret: string, namespace: string, hash: string): string =>
  sha256Hex(`${secret}\n${namespace}\n${hash}`).slice(0, 32);

/** Whether somebody came back: one of their identifiers belonged to an erased person, and they did not hold it then. */
export type Returned = (member: string, raw: readonly string[], country: string | null) => boolean;

/**
 * Reads the tombstones, once a diff; undefined when there are none, so that nothing is hashed for them.
 * @param survivorsOf who some members were merged into since: who kept an identifier keeps it as the survivor
 */
export async function returnedFor(
  documents: Documents,
  connectors: Readonly<Record<string, Connector>>,
  secret: string,
  survivorsOf: (members: readonly string[]) => Promise<ReadonlyMap<string, string>>,
): Promise<Returned | undefined> {
  const stones = await documents.list<Tombstone>(TOMBSTONE);
  if (stones.length === 0) return undefined;
  const survivors = await survivorsOf([...new Set(stones.flatMap(({ document }) => document.keepers))]);
  const known = new Map(
    stones.map(({ id, document: { keepers } }) => [
      id,
      new Set([...keepers, ...keepers.flatMap((keeper) => survivors.get(keeper) ?? [])]),
    ]),
  );
  const strong = strongNamespaces(connectors);
  return (member, raw, country) =>
    raw.some((entry) => {
      const cut = entry.indexOf(ENTRY_SEPARATOR);
      const namespace = namespaceOf(entry.slice(0, cut));
      if (!strong.has(namespace)) return false;
      return hashesOf(entry.slice(0, cut), entry.slice(cut + 1), country).some((hash) => {
        const keepers = known.get(markOf(secret, namespace, hash));
        return keepers !== undefined && !keepers.has(member);
      });
    });
}

/** Puts tombstones up. One that stands keeps only keepers that it had: who came since has come back. */
export async function putTombstones(
  documents: Documents,
  stones: readonly { readonly mark: string; readonly keepers: readonly string[] }[],
  erased: ReadonlySet<string>,
  at: number,
): Promise<void> {
  for (const { mark, keepers } of stones) {
    const known = await documents.get<Tombstone>(TOMBSTONE, mark);
    const kept = (known?.keepers ?? keepers).filter((member) => !erased.has(member));
    await documents.put(TOMBSTONE, mark, { at: known?.at ?? at, keepers: kept } satisfies Tombstone);
  }
}
