import { readFileSync } from 'node:fs';
import { expect, inject, it } from 'vitest';
import { NOT_ASKED, sqlFunctions } from './sql-functions.ts';

it('no function that writes SQL escapes: each was called while Trino answered beside DuckDB', () => {
  const called = new Set(readFileSync(`${inject('root')}/called`, 'utf8').split('\n'));
  const all = sqlFunctions();
  expect(all.filter((one) => !called.has(one) && !Object.hasOwn(NOT_ASKED, one))).toEqual([]);
  expect(Object.keys(NOT_ASKED).filter((one) => called.has(one) || !all.includes(one))).toEqual([]);
});
