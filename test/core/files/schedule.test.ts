import { describe, expect, test } from 'vitest';
import { parseSchedule } from '../../../core/files/schedule.ts';

const cron = (expression: string, timeZone = 'UTC') => ({ kind: 'cron', expression, timeZone });

describe('a schedule', () => {
  test.each([
    ['manual', { kind: 'manual' }],
    ['every 15 minutes', { kind: 'rate', every: { amount: 15, unit: 'minute' } }],
    ['every hour', { kind: 'rate', every: { amount: 1, unit: 'hour' } }],
    ['Every  2 Days', { kind: 'rate', every: { amount: 2, unit: 'day' } }],
    ['every day at 06:00 Europe/Berlin', cron('0 6 * * ? *', 'Europe/Berlin')],
    ['every day at 6:30', cron('30 6 * * ? *')],
    ['every weekday at 07:30 UTC', cron('30 7 ? * MON-FRI *')],
    ['every monday at 08:00', cron('0 8 ? * MON *')],
    ['every tuesday, thursday and sunday at 23:59', cron('59 23 ? * TUE,THU,SUN *')],
    ['cron(0 6 * * ? *)', cron('0 6 * * ? *')],
    ['cron(0/15 8-17 ? * mon-fri 2026-2030) America/New_York', cron('0/15 8-17 ? * MON-FRI 2026-2030', 'America/New_York')],
    ['cron(0 6 L * ? *)', cron('0 6 L * ? *')],
    ['cron(0 6 15W 1,7 ? *)', cron('0 6 15W 1,7 ? *')],
    ['cron(0 6 ? * 2#1 *)', cron('0 6 ? * 2#1 *')],
  ])('%s', (text, expected) => {
    expect(parseSchedule(text)).toEqual(expected);
  });

  test.each([
    ['', '"" is not a schedule.'],
    ['daily', '"daily" is not a schedule.'],
    ['every 0 hours', 'A schedule repeats between every minute and every 366 days.'],
    ['every 400 days', 'A schedule repeats between every minute and every 366 days.'],
    ['every 10 seconds', 'A schedule cannot repeat every second.'],
    ['every day at 24:00', '"24:00" is not a time of day.'],
    ['every day at 06:60', '"06:60" is not a time of day.'],
    ['every funday at 06:00', '"funday" is not a day.'],
    ['every day at 06:00 Mars/Olympus', '"Mars/Olympus" is not a time zone.'],
    ['cron(0 6 * * ?)', 'A cron expression has six fields, and this has 5.'],
    ['cron()', 'A cron expression has six fields, and this has 0.'],
    ['cron(60 6 * * ? *)', '"60" does not fit the field "minutes" of a cron expression.'],
    ['cron(0 6 32 * ? *)', '"32" does not fit the field "day of month" of a cron expression.'],
    ['cron(0 6 ? * 8 *)', '"8" does not fit the field "day of week" of a cron expression.'],
    ['cron(0 6 ? FOO MON *)', '"FOO" does not fit the field "month" of a cron expression.'],
    ['cron(0 9-6 * * ? *)', '"9-6" does not fit the field "hours" of a cron expression.'],
    ['cron(0/0 6 * * ? *)', '"0/0" does not fit the field "minutes" of a cron expression.'],
    ['cron(0 6 * * * *)', 'Exactly one of day of month and day of week must be "?" in a cron expression.'],
    ['cron(0 6 ? * ? *)', 'Exactly one of day of month and day of week must be "?" in a cron expression.'],
  ])('"%s" is refused: %s', (text, message) => {
    expect(parseSchedule(text)).toMatchObject({ kind: 'wrong', message });
  });
});
