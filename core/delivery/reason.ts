import type { Item } from '../connector.ts';

const LONGEST = 200;
/** A reason is looked through once; there are few different ones. */
const KEPT = 1_000;
const EMAIL = /[^\s"'<>()[\],:;]+@[^\s"'<>()[\],:;]+/g;
/** Hashes and ids of 128 bits or more. */
const HEX = /\b[0-9a-f]{32,}\b/gi;
/** Nine digits or more, however they are grouped: phone numbers, customer numbers. Codes of platforms are shorter. */
const NUMBER = /\+?\d(?:[ ().-]{0,3}\d){8,}/g;
/** Shorter values stand in reasons by chance. */
const SHORTEST_VALUE = 4;

/**
 * Law 9 behind the connectors: a reason or a message is a platform's code or our own words. Should one repeat a person's data all the
 * same, it is cut out before anything is written. `items` are the members it could be about: their very values are looked for.
 */
export class Reasons {
  readonly #seen = new Map<string, string>();

  clean(reason: unknown, items: readonly Item[] = []): string {
    let text = typeof reason === 'string' ? reason : '';
    for (const item of items) text = withoutMember(text, item);
    return this.#generic(text);
  }

  #generic(text: string): string {
    const known = this.#seen.get(text);
    if (known !== undefined) return known;
    const line = text.replace(EMAIL, '[e-mail]').replace(HEX, '[hash]').replace(NUMBER, '[number]').replace(/\s+/g, ' ').trim();
    const clean = line === '' ? 'no-reason' : line.slice(0, LONGEST);
    if (this.#seen.size < KEPT) this.#seen.set(text, clean);
    return clean;
  }
}

function withoutMember(text: string, { member }: Item): string {
  let clean = text;
  const cut = (value: string): void => {
    if (value.length >= SHORTEST_VALUE && clean.includes(value)) clean = clean.replaceAll(value, '[value]');
  };
  for (const identifier of member.identifiers) cut(identifier.value);
  for (const value of Object.values(member.traits)) if (typeof value === 'string') cut(value);
  for (const id of member.formerly ?? []) cut(id);
  return clean;
}
