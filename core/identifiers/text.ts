/** Unicode White_Space (PropList.txt, Unicode 17): all of it is in the BMP. JavaScript's `trim` also takes U+FEFF and leaves U+0085. */
const isWhiteSpace = (code: number): boolean =>
  code === 0x20 ||
  (code >= 0x09 && code <= 0x0d) ||
  code === 0x85 ||
  code === 0xa0 ||
  code === 0x1680 ||
  (code >= 0x2000 && code <= 0x200a) ||
  code === 0x2028 ||
  code === 0x2029 ||
  code === 0x202f ||
  code === 0x205f ||
  code === 0x3000;

/** Without leading and trailing white space, by Unicode's definition. The one place where values are trimmed. */
export function trimmed(raw: string): string {
  let start = 0;
  let end = raw.length;
  while (start < end && isWhiteSpace(raw.charCodeAt(start))) start += 1;
  while (end > start && isWhiteSpace(raw.charCodeAt(end - 1))) end -= 1;
  return start === 0 && end === raw.length ? raw : raw.slice(start, end);
}

/** Control, format (zero-width), private, unassigned and lone surrogate code points: nobody sees them, so nobody meant them. */
const INVISIBLE = /[\p{C}]/u;

/**
 * A normaliser for values that are sent as written (ids of the company): trimmed, nothing else.
 * Refuses the empty, the invisible (control and format characters) and what is longer than `maxBytes` in UTF-8.
 */
export const plainText =
  (maxBytes: number) =>
  (raw: string): string | undefined => {
    const value = trimmed(raw);
    if (value === '' || INVISIBLE.test(value) || Buffer.byteLength(value) > maxBytes) return undefined;
    return value;
  };

const PUNCTUATION = /[\p{P}\p{S}]/gu;
const WHITE_SPACE = /\p{White_Space}+/gu;

/** Lower case, no punctuation, single spaces inside, letters of any script kept, NFC. Meta's names; Google's after titles are dropped. */
export function personName(raw: string): string | undefined {
  const value = trimmed(raw.toLowerCase().normalize('NFC').replace(PUNCTUATION, '').replace(WHITE_SPACE, ' '));
  return value === '' || INVISIBLE.test(value) ? undefined : value;
}

/** Between a title and a name, or a name and a suffix, as Google's reference implementation has them (see `givenName`). */
const TITLE = /^(?:mr|mrs|ms|dr)\.(?:\s|$)/;
const SUFFIX = /(?:,\s*|\s+)(?:jr\.?|sr\.?|2nd|3rd|ii|iii|iv|v|vi|cpa|dc|dds|vm|jd|md|phd)\s?$/;

/**
 * A given name as Google hashes it: lower case, trimmed, no title before it; all else is kept. A title alone is refused.
 * https://developers.google.com/data-manager/api/devguides/concepts/formatting, read 2026-11-22, and its reference implementation,
 * https://github.com/googleads/data-manager-node util/src/formatter.ts, read 2026-11-25.
 */
export const givenName = (raw: string): string | undefined => visible(trimmed(lower(raw).replace(TITLE, '')));

/** A family name as Google hashes it: lower case, trimmed, no suffix behind it (`jr.`, `phd`), however many. Sources as of `givenName`. */
export function familyName(raw: string): string | undefined {
  let name = lower(raw);
  while (SUFFIX.test(name)) name = name.replace(SUFFIX, '');
  return visible(trimmed(name));
}

const lower = (raw: string): string => trimmed(raw.toLowerCase().normalize('NFC').replace(WHITE_SPACE, ' '));
const visible = (name: string): string | undefined => (name === '' || INVISIBLE.test(name) ? undefined : name);
