import { describe, expect, it } from 'vitest';
import { ulidTime } from '../../core/ulid.ts';
import { executionName, partName, runEventOf, scheduledRun } from '../../functions/run-event.ts';

describe('a tick of a schedule', () => {
  it('is the same run and the same execution however often it fires, and another for another tick or audience', () => {
    const one = scheduledRun('lapsed-vips', '2026-11-22T06:00:00Z');
    expect(one).toEqual({
      run: one.run,
      audience: 'lapsed-vips',
      tick: Date.parse('2026-11-22T06:00:00Z'),
      until: 'record',
      name: 'lapsed-vips-20261122T060000000Z',
      part: 1,
    });
    expect(ulidTime(one.run)).toBe(one.tick);
    expect(runEventOf(JSON.parse(JSON.stringify(one)))).toEqual(one);
    expect(scheduledRun('lapsed-vips', '2026-11-22T06:00:00.000Z')).toEqual(one);
    expect(scheduledRun('lapsed-vips', '2026-11-22T06:15:00Z').run).not.toBe(one.run);
    expect(scheduledRun('churned', '2026-11-22T06:00:00Z').run).not.toBe(one.run);
  });

  it.each(['', 'now', '2026-11-22', '2026-11-22T06:00:00', '<aws.scheduler.scheduled-time>'])(
    'that fired at %j is refused, because nobody could tell which tick it is',
    (scheduled) => {
      expect(() => scheduledRun('lapsed-vips', scheduled)).toThrow(RangeError);
    },
  );
});

describe('the name of an execution', () => {
  it('is taken by Lambda whatever the audience is called, and tells long names with the same beginning apart', () => {
    const long = 'a'.repeat(64);
    const which = '20261122T060000000Z';
    const names = ['vips', long, `${long.slice(0, 63)}b`, 'with.dots', 'with dots'].map((audience) =>
      executionName(audience, which),
    );
    for (const name of names) expect(partName(name, 999)).toMatch(/^[a-zA-Z0-9-_]{1,64}$/);
    expect(new Set(names).size).toBe(names.length);
    expect(names[0]).toBe('vips-20261122T060000000Z');
    expect([partName('vips-1', 1), partName('vips-1', 2)]).toEqual(['vips-1', 'vips-1-2']);
  });
});

describe('an event of a run', () => {
  it('that is none is refused by the names of what is wrong, without what it holds', () => {
    const event = scheduledRun('vips', '2026-11-22T06:00:00Z');
    expect(() => runEventOf({ ...event, tick: 'person@example.com', until: 'ever' })).toThrow(
      new Error('This is no event of a run: look at tick, until.'),
    );
  });
});
