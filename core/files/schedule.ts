import type { Duration, Schedule } from '../model.ts';
import { didYouMean } from '../problems.ts';
import { isTimeZone } from '../time.ts';

/**
 * `every day at 06:00 Europe/Berlin`, `every monday and thursday at 08:00`, `every weekday at 07:30`, `every 15 minutes`,
 * `cron(0 6 * * ? *) Europe/Berlin`, `manual`. Cron is EventBridge's: six fields, minutes to years; a zone is UTC when none is named.
 * https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html, read 2026-11-23.
 */

export const SCHEDULE_FORM =
  'Write "every day at 06:00 Europe/Berlin", "every monday at 08:00", "every 15 minutes", "cron(0 6 * * ? *)" or "manual".';

const DAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];
const CODES = ['MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT', 'SUN'];

export type ScheduleAnswer = Schedule | { readonly kind: 'wrong'; readonly message: string; readonly hint?: string };

const wrong = (message: string, hint: string = SCHEDULE_FORM): ScheduleAnswer => ({ kind: 'wrong', message, hint });

/** A schedule as written, or what is wrong with it. */
export function parseSchedule(text: string): ScheduleAnswer {
  const words = text.trim().replace(/\s+/g, ' ');
  if (words.toLowerCase() === 'manual') return { kind: 'manual' };
  const cron = /^cron\((.*)\)(?: (\S+))?$/i.exec(words);
  if (cron) return withZone(cron[2], (timeZone) => checkCron(cron[1] ?? '', timeZone));
  const rate = /^every (?:(\d+) )?(second|minute|hour|day|week|month)s?$/i.exec(words);
  if (rate) return parseRate(Number(rate[1] ?? 1), (rate[2] ?? '').toLowerCase());
  const at = /^every (.+) at (\S+)(?: (\S+))?$/i.exec(words);
  if (at) return withZone(at[3], (timeZone) => parseDays(at[1] ?? '', at[2] ?? '', timeZone));
  return wrong(`"${text}" is not a schedule.`);
}

function withZone(zone: string | undefined, then: (zone: string) => ScheduleAnswer): ScheduleAnswer {
  if (zone === undefined || isTimeZone(zone)) return then(zone ?? 'UTC');
  return wrong(`"${zone}" is not a time zone.`, zoneHint(zone));
}

/** What to write in place of a zone that does not exist. */
export function zoneHint(zone: string): string {
  return didYouMean(zone, Intl.supportedValuesOf('timeZone')) ?? 'Write the name of an IANA zone, such as Europe/Berlin, or UTC.';
}

function parseRate(amount: number, unit: string): ScheduleAnswer {
  if (unit !== 'minute' && unit !== 'hour' && unit !== 'day') {
    return wrong(
      `A schedule cannot repeat every ${unit}.`,
      'Write minutes, hours or days, or the days of the week: "every monday at 08:00".',
    );
  }
  const minutes = amount * { minute: 1, hour: 60, day: 1440 }[unit];
  if (minutes < 1 || minutes > 366 * 1440) return wrong('A schedule repeats between every minute and every 366 days.');
  const every: Duration = { amount, unit };
  return { kind: 'rate', every };
}

function parseDays(days: string, time: string, timeZone: string): ScheduleAnswer {
  const clock = /^(\d{1,2}):(\d{2})$/.exec(time);
  if (!clock || Number(clock[1]) > 23 || Number(clock[2]) > 59) {
    return wrong(`"${time}" is not a time of day.`, 'Write hours and minutes of 24 hours, such as 06:00 or 18:30.');
  }
  const start = `${Number(clock[2])} ${Number(clock[1])}`;
  const named = days.toLowerCase();
  if (named === 'day') return { kind: 'cron', expression: `${start} * * ? *`, timeZone };
  if (named === 'weekday') return { kind: 'cron', expression: `${start} ? * MON-FRI *`, timeZone };
  const codes: string[] = [];
  for (const day of named.split(/(?:\s*,\s*|\s+)(?:and\s+)?/)) {
    const index = DAYS.indexOf(day);
    if (index < 0) return wrong(`"${day}" is not a day.`, didYouMean(day, [...DAYS, 'day', 'weekday']) ?? SCHEDULE_FORM);
    codes.push(CODES[index] ?? '');
  }
  return { kind: 'cron', expression: `${start} ? * ${[...new Set(codes)].join(',')} *`, timeZone };
}

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
  /** Forms beyond numbers, names, lists, ranges and steps. */
  readonly extra?: RegExp;
}

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];

const FIELDS: readonly Field[] = [
  { name: 'minutes', min: 0, max: 59 },
  { name: 'hours', min: 0, max: 23 },
  { name: 'day of month', min: 1, max: 31, extra: /^(\?|L|LW|([1-9]|[12]\d|3[01])W)$/ },
  { name: 'month', min: 1, max: 12, names: MONTHS },
  {
    name: 'day of week',
    min: 1,
    max: 7,
    names: ['SUN', ...CODES.slice(0, 6)],
    extra: /^(\?|L|[1-7]L|([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)#[1-5])$/,
  },
  { name: 'year', min: 1970, max: 2199 },
];

function checkCron(expression: string, timeZone: string): ScheduleAnswer {
  const fields = expression.trim().toUpperCase().split(/\s+/);
  const form = 'Its fields are minutes, hours, day of month, month, day of week and year: cron(0 6 * * ? *).';
  if (fields.length !== FIELDS.length)
    return wrong(`A cron expression has six fields, and this has ${fields[0] === '' ? 0 : fields.length}.`, form);
  for (const [index, field] of FIELDS.entries()) {
    const given = fields[index] ?? '';
    if (!(field.extra?.test(given) ?? false) && !given.split(',').every((part) => isPart(part, field))) {
      return wrong(
        `"${given}" does not fit the field "${field.name}" of a cron expression.`,
        `It goes from ${field.min} to ${field.max}. ${form}`,
      );
    }
  }
  if ((fields[2] === '?') === (fields[4] === '?')) {
    return wrong('Exactly one of day of month and day of week must be "?" in a cron expression.', form);
  }
  return { kind: 'cron', expression: fields.join(' '), timeZone };
}

function isPart(part: string, field: Field): boolean {
  const match = /^(?:(\*)|([0-9A-Z]+)(?:-([0-9A-Z]+))?)(?:\/(\d{1,4}))?$/.exec(part);
  if (!match) return false;
  const number = (text: string | undefined): number | undefined => {
    if (text === undefined) return undefined;
    const named = field.names?.indexOf(text) ?? -1;
    const value = named >= 0 ? named + field.min : /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
    return value >= field.min && value <= field.max ? value : Number.NaN;
  };
  const [low, high] = [number(match[2]), number(match[3])];
  if (Number.isNaN(low) || Number.isNaN(high)) return false;
  if (low !== undefined && high !== undefined && low > high) return false;
  return match[4] === undefined || Number(match[4]) >= 1;
}
