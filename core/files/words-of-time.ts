import { DateTime } from 'luxon';
import type { Duration, Instant } from '../model.ts';

const UNITS: Readonly<Record<string, Duration['unit']>> = {
  second: 'second',
  minute: 'minute',
  hour: 'hour',
  day: 'day',
  week: 'week',
  month: 'month',
  year: 'year',
};

/** Days in a unit, rounded up: to bound what may be written, and how long it is kept. */
const DAYS: Readonly<Record<Duration['unit'], number>> = {
  second: 1 / 86_400,
  minute: 1 / 1440,
  hour: 1 / 24,
  day: 1,
  week: 7,
  month: 31,
  year: 366,
};
const LONGEST_DAYS = 366 * 200;

/** Days that a length of time takes at most; a fraction for what is shorter than one. */
export const daysIn = ({ amount, unit }: Duration): number => amount * DAYS[unit];

export const DURATION_FORM = 'Write a whole number and a unit, such as "90 days", "12 hours" or "1 year".';
export const INSTANT_FORM =
  'Write a date ("2026-01-31"), a time ("2026-01-31T08:00"), "90 days ago", "in 7 days", "now", "today", "yesterday" or "tomorrow".';

/** `90 days`, `1 hour`, `a week` -> duration; undefined when it is none, is zero, or is longer than 200 years. */
export function parseDuration(text: string): Duration | undefined {
  const match = /^(\d{1,9}|an?) (second|minute|hour|day|week|month|year)s?$/.exec(text.trim().replace(/\s+/g, ' ').toLowerCase());
  const unit = UNITS[match?.[2] ?? ''];
  if (!match || unit === undefined) return undefined;
  const amount = /^an?$/.test(match[1] ?? '') ? 1 : Number(match[1]);
  return amount >= 1 && daysIn({ amount, unit }) <= LONGEST_DAYS ? { amount, unit } : undefined;
}

/** What a text says of time: an instant, or why it is none (a sentence, for a message). */
export function parseInstant(text: string): Instant | string {
  const words = text.trim().replace(/\s+/g, ' ');
  const lower = words.toLowerCase();
  if (lower === 'now' || lower === 'today' || lower === 'yesterday' || lower === 'tomorrow') return { kind: lower };
  const ago = /^(.+) ago$/.exec(lower);
  const ahead = /^in (.+)$/.exec(lower) ?? /^(.+) from now$/.exec(lower);
  const relative = ago ?? ahead;
  if (relative) {
    const duration = parseDuration(relative[1] ?? '');
    return duration ? { kind: ago ? 'ago' : 'ahead', duration } : `"${text}" is not a point in time.`;
  }
  return parseIso(words) ?? `"${text}" is not a point in time.`;
}

const ISO = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:?\d{2})?)?$/i;

/** A date or time in the ISO form, checked against the calendar; a sentence when the form is right and the date is not. */
function parseIso(text: string): Instant | string | undefined {
  const match = ISO.exec(text);
  if (!match) return undefined;
  const [, year, month, day] = match;
  if (year === '0000' || !DateTime.fromISO(`${year}-${month}-${day}`, { zone: 'utc' }).isValid) {
    return `"${text}" is not a point in time: there is no ${year}-${month}-${day} in the calendar.`;
  }
  const iso = text.replace(' ', 'T').replace(/z$/i, 'Z').replace('t', 'T');
  return DateTime.fromISO(iso, { zone: 'utc' }).isValid && !/T24/.test(iso)
    ? { kind: 'absolute', iso }
    : `"${text}" is not a point in time: there is no such time of day.`;
}

/** Whether an absolute instant names a day and no time of it. */
export const isDay = (instant: Instant): boolean =>
  instant.kind === 'absolute'
    ? instant.iso.length === 10
    : instant.kind === 'today' || instant.kind === 'yesterday' || instant.kind === 'tomorrow';
