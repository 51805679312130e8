/** Crockford's base 32: no I, L, O, U. https://github.com/ulid/spec, read 2026-11-23. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
/** 48 bits of milliseconds: until the year 10889. */
const TIME_LIMIT = 2 ** 48;

/**
 * A ULID: 26 characters that sort by time. `random` gives 0 <= r < 1 (the port Clock).
 *
 * Two ids of one millisecond sort by chance; give the earlier one as `after` where their order matters, and the answer is greater
 * than it, also when the clock went back. Throws `RangeError` for a time that does not fit.
 */
export function ulid(timeMs: number, random: () => number, after?: string): string {
  const time = Math.floor(timeMs);
  if (!(time >= 0 && time < TIME_LIMIT)) throw new RangeError(`A ULID holds 0 to ${TIME_LIMIT - 1} milliseconds, not ${timeMs}.`);
  if (after !== undefined && ulidTime(after) >= time) return successor(after);
  let id = '';
  for (let rest = time, i = 0; i < 10; i++, rest = Math.floor(rest / 32)) id = ALPHABET.charAt(rest % 32) + id;
  for (let i = 0; i < 16; i++) id += ALPHABET.charAt(Math.floor(random() * 32));
  return id;
}

/** Epoch milliseconds in a ULID. Throws `RangeError` when it is none. */
export function ulidTime(id: string): number {
  if (!/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(id)) throw new RangeError(`"${id}" is not a ULID.`);
  let time = 0;
  for (let i = 0; i < 10; i++) time = time * 32 + ALPHABET.indexOf(id.charAt(i));
  return time;
}

/** The next greater id. The last of its millisecond carries over into the next one. */
function successor(id: string): string {
  const next = id.split('');
  for (let i = next.length - 1; i >= 0; i--) {
    const digit = ALPHABET.indexOf(next[i] ?? '') + 1;
    next[i] = ALPHABET.charAt(digit % 32);
    if (digit < 32) break;
  }
  return next.join('');
}
