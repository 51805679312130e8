import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memberOf } from '../../../core/delivery/load.ts';
import { estimate } from '../../../core/delivery/estimate.ts';
import { LineSet } from '../../../core/delivery/line-set.ts';
import { runsOf } from '../../../core/delivery/outcome-log.ts';
import { Reasons } from '../../../core/delivery/reason.ts';
import { bulk } from './platform.ts';

describe('a reason', () => {
  const reasons = new Reasons();
  const item = (identifiers: readonly string[], traits: Record<string, string> = {}) => ({
    text: '',
    rows: 1,
    member: {
      key: '0'.repeat(32),
      identifiers: identifiers.map((value) => ({ namespace: 'external_id', value })),
      traits,
      consent: null,
    },
  });

  it.each([
    ['EXTERNAL_USER_ID_TOO_LARGE', 'EXTERNAL_USER_ID_TOO_LARGE'],
    ['100/1713230', '100/1713230'],
    ['http-422', 'http-422'],
    ['bad address ada@example.com', 'bad address [e-mail]'],
    ['phone +49 (170) 123-4567 invalid', 'phone [number] invalid'],
    [`hash ${'ab'.repeat(32)} unknown`, 'hash [hash] unknown'],
    ['two\nlines', 'two lines'],
    ['', 'no-reason'],
    ['x'.repeat(500), 'x'.repeat(200)],
  ])('%j is written as %j', (given, written) => {
    expect(reasons.clean(given)).toBe(written);
  });

  it('never holds a value of the member it is about', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 4, maxLength: 40 }), fc.string(), fc.string(), (value, before, after) => {
        fc.pre(!'[value]'.includes(value) && !'no-reason'.includes(value));
        expect(reasons.clean(`${before}${value}${after}`, [item([value])])).not.toContain(value);
      }),
    );
    expect(reasons.clean('tier of Ada Lovelace', [item([], { name: 'Ada Lovelace' })])).toBe('tier of [value]');
    const merged = item(['c-9']);
    const formerly = { ...merged, member: { ...merged.member, formerly: ['old-c-1'] } };
    expect(reasons.clean('taken by old-c-1', [formerly])).toBe('taken by [value]');
  });
});

it('a set of lines holds what was added and not what was taken out', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ n: fc.nat(50_000), add: fc.boolean() })), (steps) => {
      const [lines, model] = [new LineSet(), new Set<number>()];
      for (const { n, add } of steps) {
        for (const set of [lines, model]) {
          if (add) set.add(n);
          else set.delete(n);
        }
      }
      expect(steps.every(({ n }) => lines.has(n) === model.has(n))).toBe(true);
      let first = 0;
      while (model.has(first)) first += 1;
      expect(lines.firstMissing()).toBe(first);
    }),
  );
});

it('lines become runs and back, in their order', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(200)), (lines) => {
      expect(runsOf(lines).flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i))).toEqual(lines);
    }),
  );
  expect(runsOf([0, 1, 2, 5, 6])).toEqual([
    [0, 3],
    [5, 7],
  ]);
});

describe('an estimate', () => {
  const budget = (...windows: { requests: number; seconds: number }[]) => ({ windows });
  it('of nothing is no request and no time', () => {
    expect(estimate(bulk(), { upsert: 0, remove: 0 }, budget({ requests: 1, seconds: 1 }))).toEqual({ requests: 0, seconds: 0 });
  });
  it('rounds up by operation, and takes the limits each has', () => {
    const connector = bulk({ rows: 100, perOp: { remove: { rows: 10 } } });
    expect(estimate(connector, { upsert: 101, remove: 11 }, budget({ requests: 1, seconds: 10 }))).toEqual({
      requests: 4,
      seconds: 30,
    });
  });
  it('is bound by the slowest window', () => {
    const windows = budget({ requests: 10, seconds: 1 }, { requests: 100, seconds: 60 });
    expect(estimate(bulk({ rows: 1 }), { upsert: 1_001, remove: 0 }, windows)).toEqual({ requests: 1_001, seconds: 600 });
  });
});

describe('the member of a line', () => {
  const k = '0123456789abcdef'.repeat(2);
  const of = (op: 'upsert' | 'remove', line: object) =>
    memberOf(JSON.stringify({ k, ids: ['email:x'], ...line }), op, 'shard', 1);

  it('carries the decision and the grant it rests on, and of a removal whether the person withdrew', () => {
    const base = { key: k, identifiers: [{ namespace: 'email', value: 'x' }], traits: {} };
    const consent = { purpose: 'ads', basis: 'opt-in', jurisdiction: 'DE' };
    expect(of('upsert', { op: 'add', h: 'h', c: ['ads', 'opt-in', 'DE', 'confirmed'] })).toEqual({
      ...base,
      consent: { ...consent, grant: 'confirmed' },
    });
    const e = ['granted', 'granted', '1700000000000', '', ''].join('\u001f');
    expect(of('upsert', { op: 'add', h: 'h', c: ['ads', 'opt-in', 'DE', 'granted'], e })).toEqual({
      ...base,
      consent: { ...consent, grant: 'granted' },
      granted: 1_700_000_000_000,
    });
    expect(of('upsert', { op: 'add', h: 'h', c: ['ads', 'opt-in', 'DE'], e })).toEqual({ ...base, consent });
    expect(of('remove', { why: 'no-consent' })).toEqual({ ...base, consent: null, withdrawn: true });
    expect(of('remove', { why: 'left' })).toEqual({ ...base, consent: null });
  });
});
