import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Instant } from '../../core/model.ts';
import { dateIn, dayOf, isTimeZone, minus, plus, resolveDate, resolveInstant } from '../../core/time.ts';

const BERLIN = 'Europe/Berlin';
const at = (iso: string): number => Date.parse(iso);
const iso = (ms: number): string => new Date(ms).toISOString();
const absolute = (text: string): Instant => ({ kind: 'absolute', iso: text });
/** 2026-03-29, 02:00: clocks in Berlin go forward; 2026-10-25, 03:00: back. */
const TICK = at('2026-03-30T06:00:00Z');

describe('an instant', () => {
  test.each([
    ['2026-01-31', '2026-01-30T23:00:00.000Z', 'a date is its first moment in the zone'],
    ['2026-07-31', '2026-07-30T22:00:00.000Z', 'also in summer'],
    ['2026-01-31T08:00', '2026-01-31T07:00:00.000Z', 'a time without an offset is read in the zone'],
    ['2026-01-31T08:00:00Z', '2026-01-31T08:00:00.000Z', 'UTC is UTC'],
    ['2026-01-31T08:00:00.250+05:30', '2026-01-31T02:30:00.250Z', 'an offset counts'],
    ['2026-03-29T02:30', '2026-03-29T01:30:00.000Z', 'a time that summer time skips is the hour after'],
    ['2026-10-25T02:30', '2026-10-25T00:30:00.000Z', 'a time that comes twice is the first'],
  ])('%s is %s: %s', (text, expected) => {
    expect(iso(resolveInstant(absolute(text), TICK, BERLIN))).toBe(expected);
  });

  test('now is the tick; today, yesterday and tomorrow begin at midnight of the zone, on days of 23 hours too', () => {
    expect(resolveInstant({ kind: 'now' }, TICK, BERLIN)).toBe(TICK);
    expect(iso(resolveInstant({ kind: 'today' }, TICK, BERLIN))).toBe('2026-03-29T22:00:00.000Z');
    expect(iso(resolveInstant({ kind: 'yesterday' }, TICK, BERLIN))).toBe('2026-03-28T23:00:00.000Z');
    expect(iso(resolveInstant({ kind: 'tomorrow' }, TICK, BERLIN))).toBe('2026-03-30T22:00:00.000Z');
  });

  test('days ago keep the time of day across the change of clocks; hours ago are exact', () => {
    const ago = (amount: number, unit: 'day' | 'hour') =>
      iso(resolveInstant({ kind: 'ago', duration: { amount, unit } }, TICK, BERLIN));
    expect(ago(2, 'day')).toBe('2026-03-28T07:00:00.000Z');
    expect(ago(48, 'hour')).toBe('2026-03-28T06:00:00.000Z');
  });

  test('in 2 days is ahead by the calendar', () => {
    const duration = { amount: 2, unit: 'day' } as const;
    expect(iso(resolveInstant({ kind: 'ahead', duration }, at('2026-10-24T10:00:00Z'), BERLIN))).toBe('2026-10-26T11:00:00.000Z');
  });

  test('the day is the one the zone has, not the one of UTC', () => {
    const late = at('2026-06-30T23:30:00Z');
    expect(dateIn('UTC', late)).toBe('2026-06-30');
    expect(dateIn(BERLIN, late)).toBe('2026-07-01');
    expect(dateIn('America/Los_Angeles', late)).toBe('2026-06-30');
    expect(resolveDate({ kind: 'ago', duration: { amount: 1, unit: 'month' } }, late, BERLIN)).toBe('2026-06-01');
  });

  test('what no file may say is an error of ours', () => {
    expect(() => resolveInstant(absolute('2026-02-30'), TICK, BERLIN)).toThrow(
      new RangeError('"2026-02-30" is not a point in time'),
    );
  });
});

test('a month before the 31st is the last day of a shorter month', () => {
  expect(iso(minus(at('2026-03-31T12:00:00Z'), { amount: 1, unit: 'month' }, 'UTC'))).toBe('2026-02-28T12:00:00.000Z');
  expect(iso(plus(at('2024-02-29T12:00:00Z'), { amount: 1, unit: 'year' }, 'UTC'))).toBe('2025-02-28T12:00:00.000Z');
});

test('every instant lies in its own day, and days follow each other without a gap, in every zone', () => {
  const zones = fc.constantFrom('UTC', BERLIN, 'America/New_York', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'Pacific/Apia');
  fc.assert(
    fc.property(fc.integer({ min: at('2000-01-01T00:00:00Z'), max: at('2040-01-01T00:00:00Z') }), zones, (ms, zone) => {
      const { start, end } = dayOf(ms, zone);
      expect(start <= ms && ms < end).toBe(true);
      expect(dateIn(zone, start)).toBe(dateIn(zone, ms));
      expect(dayOf(end, zone).start).toBe(end);
    }),
  );
});

test.each(['Europe/Berlin', 'UTC', 'America/Argentina/Buenos_Aires', 'Etc/GMT+2'])('%s is a time zone', (zone) => {
  expect(isTimeZone(zone)).toBe(true);
});

test.each(['Berlin', 'Europe/Berln', '+02:00', 'UTC+2', 'local', '', 'system'])('"%s" is no time zone', (zone) => {
  expect(isTimeZone(zone)).toBe(false);
});
