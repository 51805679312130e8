import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ulid, ulidTime } from '../../core/ulid.ts';

const time = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const fraction = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('a ULID', () => {
  it('is the example of its specification for that time', () => {
    // https://github.com/ulid/spec: 1469918176385 is 01ARYZ6S41.
    expect(ulid(1469918176385, () => 0)).toBe('01ARYZ6S410000000000000000');
    expect(ulid(2 ** 48 - 1, () => 1 - Number.EPSILON)).toBe('7ZZZZZZZZZZZZZZZZZZZZZZZZZ');
  });

  it('has 26 characters, gives its time back, and sorts by time', () => {
    fc.assert(
      fc.property(time, time, fraction, (a, b, r) => {
        const [one, two] = [ulid(a, () => r), ulid(b, () => 1 - Number.EPSILON - r / 2)];
        expect(one).toMatch(/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
        expect(ulidTime(one)).toBe(a);
        if (a < b) expect(one < two).toBe(true);
      }),
    );
  });

  it('is greater than the one it is to come after, in the same millisecond and when the clock went back', () => {
    fc.assert(
      fc.property(time, fc.integer({ min: 0, max: 10_000 }), fraction, (a, back, r) => {
        const first = ulid(a, () => r);
        expect(ulid(Math.max(0, a - back), () => 0, first) > first).toBe(true);
      }),
    );
    expect(
      ulid(
        1,
        () => 0,
        ulid(1, () => 1 - Number.EPSILON),
      ),
    ).toBe('00000000020000000000000000');
  });

  it('refuses a time that does not fit, and a text that is no ULID', () => {
    for (const bad of [-1, 2 ** 48, Number.NaN, Number.POSITIVE_INFINITY]) expect(() => ulid(bad, () => 0)).toThrow(RangeError);
    for (const bad of ['', '01ARYZ6S41', '01ARYZ6S41000000000000000U', '81ARYZ6S410000000000000000'])
      expect(() => ulidTime(bad)).toThrow(RangeError);
  });
});
