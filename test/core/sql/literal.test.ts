import { expect, it } from 'vitest';
import { valueOf } from '../../../core/sql/canonical.ts';
import { atTick } from '../../../core/sql/hand-written.ts';
import {
  dateLiteral,
  likeText,
  numberText,
  quoteName,
  quoteTable,
  quoteText,
  timestampLiteral,
} from '../../../core/sql/literal.ts';

it('quotes texts and names so that nothing in them is SQL', () => {
  expect(quoteText(`a'); DROP TABLE x; --`)).toBe(`'a''); DROP TABLE x; --'`);
  expect(quoteText('a\\b')).toBe(`'a\\b'`);
  expect(quoteName('a"b')).toBe('"a""b"');
  expect(quoteTable('crm.customers')).toBe('"crm"."customers"');
  expect(() => quoteText('a\0b')).toThrow(RangeError);
});

it('writes numbers as numbers, and nothing else', () => {
  expect(['5', '+5', '-5', '.5', '-.5', '0.10', '1e3'].map(numberText)).toEqual([
    '5',
    '5',
    '(-5)',
    '0.5',
    '(-0.5)',
    '0.10',
    '1e3',
  ]);
  for (const text of ['', '1;', 'NaN', '0x10', '1 OR 1=1', '--1', '1.']) expect(() => numberText(text)).toThrow(RangeError);
});

it('writes times in UTC to the millisecond, with a zone where the column has one', () => {
  const ms = Date.parse('2026-03-29T01:30:00.007Z');
  expect(timestampLiteral(ms)).toBe(`TIMESTAMP '2026-03-29 01:30:00.007'`);
  expect(timestampLiteral(ms, true)).toBe(`CAST('2026-03-29 01:30:00.007 UTC' AS timestamp with time zone)`);
  expect(dateLiteral('2026-03-29')).toBe(`DATE '2026-03-29'`);
  expect(() => dateLiteral(`2026-03-29'`)).toThrow(RangeError);
  expect(() => timestampLiteral(8.64e15)).toThrow(RangeError);
});

it('takes the signs of LIKE as they are', () => {
  expect(likeText('50%_\\')).toBe('50\\%\\_\\\\');
});

it('reads canonical texts back as the values a destination gets', () => {
  const of = (text: string | null, type: 'string' | 'integer' | 'number' | 'boolean' | 'date' | 'timestamp') =>
    valueOf(text, { type });
  expect(of(null, 'number')).toBeNull();
  expect(of('a', 'string')).toBe('a');
  expect([
    of('42', 'integer'),
    of('-42', 'integer'),
    of('9007199254740991', 'integer'),
    of('9007199254740993', 'integer'),
  ]).toEqual([42, -42, 9007199254740991, '9007199254740993']);
  expect([
    of('12.50', 'number'),
    of('0.00', 'number'),
    of('-0.50', 'number'),
    of('100', 'number'),
    of('1200.000000', 'number'),
  ]).toEqual([12.5, 0, -0.5, 100, 1200]);
  expect(of('12345678901234567890.120000', 'number')).toBe('12345678901234567890.12');
  expect([of('1', 'boolean'), of('0', 'boolean')]).toEqual([true, false]);
  expect(of('2026-02-03', 'date')).toBe('2026-02-03');
  expect(of('1770091506789', 'timestamp')).toBe('2026-02-03T04:05:06.789Z');
});

it('gives hand-written SQL the tick for now, and leaves texts, names and columns alone', () => {
  const tick = Date.parse('2026-06-01T06:00:00Z');
  const zoned = `CAST('2026-06-01 06:00:00.000 UTC' AS timestamp with time zone)`;
  expect(atTick('SELECT CURRENT_TIMESTAMP, now ( ), current_timestamp(3)', tick)).toBe(`SELECT ${zoned}, ${zoned}, ${zoned}`);
  expect(atTick('SELECT current_date, localtimestamp', tick)).toBe(
    `SELECT DATE '2026-06-01', TIMESTAMP '2026-06-01 06:00:00.000'`,
  );
  expect(atTick(`SELECT 'now()', "current_date", x.now, t.current_date, now_and_then FROM a /* now() */ ;`, tick)).toBe(
    `SELECT 'now()', "current_date", x.now, t.current_date, now_and_then FROM a`,
  );
  expect(atTick(`SELECT 'it''s -- no comment' -- but this; is`, tick)).toBe(`SELECT 'it''s -- no comment'`);
});
