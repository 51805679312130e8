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

const TITLES = new Set(['mr', 'mrs', 'ms', 'miss', 'mx', 'dr', 'prof', 'sir', 'herr', 'frau', 'mme', 'm']);
const SUFFIXES = new Set(['jr', 'sr', 'ii', 'iii', 'iv', 'phd', 'md', 'esq']);

/**
 * Google's names: lower case, trimmed, no title before and no suffix behind; inner hyphens and apostrophes are kept, as Google's own
 * data-manager-util keeps `quinn-alex`. A name that is only a title stays as it is: it may be a name.
 * https://developers.google.com/data-manager/api/devguides/concepts/formatting, read 2026-11-22.
 */
export function nameWithoutTitles(raw: string): string | undefined {
  const text = trimmed(raw.toLowerCase().normalize('NFC'));
  if (text === '' || INVISIBLE.test(text)) return undefined;
  let words = text.split(/[\p{White_Space},]+/u).filter((word) => word !== '');
  const bare = (word: string | undefined): string => (word ?? '').replaceAll('.', '');
  if (words.length > 1 && TITLES.has(bare(words[0]))) words = words.slice(1);
  if (words.length > 1 && SUFFIXES.has(bare(words.at(-1)))) words = words.slice(0, -1);
  return words.join(' ') || undefined;
}
