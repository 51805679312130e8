import { DateTime, IANAZone } from 'luxon';
import type { Duration, Instant } from './model.ts';

/**
 * Time as rules speak of it. Pure: "now" is the run's tick, in epoch milliseconds, and the zone is the audience's.
 * Days and longer follow the calendar of the zone (a day may have 23 or 25 hours); hours and shorter are exact.
 */

/** Whether the IANA zone exists (`Europe/Berlin`, `UTC`). Offsets such as `+02:00` are no zones: they know no summer time. */
export function isTimeZone(zone: string): boolean {
  if (!/^(UTC|[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+)+)$/.test(zone)) return false;
  // Asking Intl takes milliseconds, and five hundred audiences name the same zone.
  const known = KNOWN_ZONES.get(zone) ?? IANAZone.isValidZone(zone);
  if (KNOWN_ZONES.size < 1000) KNOWN_ZONES.set(zone, known);
  return known;
}

const KNOWN_ZONES = new Map<string, boolean>();

/**
 * Epoch milliseconds of an instant. A date without a time, `today` and the like are the start of that day in the zone; a time without
 * an offset is read in the zone (in an hour that summer time skips: the hour after; in one it repeats: the first).
 */
export function resolveInstant(instant: Instant, tick: number, zone: string): number {
  switch (instant.kind) {
    case 'absolute':
      return checked(fromIso(instant.iso, zone), instant.iso);
    case 'ago':
      return minus(tick, instant.duration, zone);
    case 'ahead':
      return plus(tick, instant.duration, zone);
    case 'now':
      return tick;
    case 'today':
      return startOfDay(tick, zone, 0);
    case 'yesterday':
      return startOfDay(tick, zone, -1);
    case 'tomorrow':
      return startOfDay(tick, zone, 1);
  }
}

const DAY_MS = 86_400_000;

/**
 * Not `DateTime.fromISO(iso, { zone })`: for a time that comes twice or never it starts from the offset of the clock's now, so the same
 * file would mean another time in winter.
 */
function fromIso(iso: string, zone: string): number {
  const local = DateTime.fromISO(iso, { zone: 'utc' }).toMillis();
  if (/T.*(Z|[+-]\d{2}:?\d{2})$/.test(iso) || !Number.isFinite(local)) return local;
  const offsets = IANAZone.create(zone);
  const offsetAt = (ms: number): number => offsets.offset(ms) * 60_000;
  const before = local - offsetAt(local - DAY_MS);
  const after = local - offsetAt(local + DAY_MS);
  const sound = [before, after].filter((ms) => ms + offsetAt(ms) === local);
  return sound.length > 0 ? Math.min(...sound) : before;
}

/** The calendar day of an epoch time in a zone, `YYYY-MM-DD`. */
export function dateIn(zone: string, ms: number): string {
  return DateTime.fromMillis(ms, { zone }).toISODate() ?? outOfRange(String(ms));
}

/** The calendar day an instant falls on, for columns of type date. */
export function resolveDate(instant: Instant, tick: number, zone: string): string {
  return dateIn(zone, resolveInstant(instant, tick, zone));
}

/** First and last millisecond (exclusive) of the calendar day of an epoch time. */
export function dayOf(ms: number, zone: string): { readonly start: number; readonly end: number } {
  return { start: startOfDay(ms, zone, 0), end: startOfDay(ms, zone, 1) };
}

/** `ms` less a duration, by the calendar of the zone. 31 March less a month is the last of February. */
export function minus(ms: number, duration: Duration, zone: string): number {
  return checked(DateTime.fromMillis(ms, { zone }).minus(lengthOf(duration)).toMillis(), durationText(duration));
}

/** `ms` and a duration, by the calendar of the zone. */
export function plus(ms: number, duration: Duration, zone: string): number {
  return checked(DateTime.fromMillis(ms, { zone }).plus(lengthOf(duration)).toMillis(), durationText(duration));
}

/** `90 days`, `1 hour`. */
export const durationText = ({ amount, unit }: Duration): string => `${amount} ${unit}${amount === 1 ? '' : 's'}`;

const lengthOf = (duration: Duration) => ({ [`${duration.unit}s`]: duration.amount });

const startOfDay = (ms: number, zone: string, days: number): number =>
  checked(DateTime.fromMillis(ms, { zone }).startOf('day').plus({ days }).startOf('day').toMillis(), String(ms));

function checked(ms: number, what: string): number {
  return Number.isFinite(ms) ? ms : outOfRange(what);
}

/** Files are checked before they get here, so this is a mistake of ours and not of theirs. */
function outOfRange(what: string): never {
  throw new RangeError(`"${what}" is not a point in time`);
}
