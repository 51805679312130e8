import { isScalar } from 'yaml';
import type { Node } from 'yaml';
import type { Column, Duration, Instant, Literal } from '../model.ts';
import type { IntegerRange } from './physical-type.ts';
import { kindOf, writtenOf } from './source.ts';
import type { Source } from './source.ts';
import { DURATION_FORM, INSTANT_FORM, isDay, parseDuration, parseInstant } from './words-of-time.ts';

const BIGINT: IntegerRange = { min: -(2n ** 63n), max: 2n ** 63n - 1n };

/** Digits Trino and DuckDB keep exactly in a decimal. */
const EXACT_DIGITS = 38;

/** A value of a rule, typed by the column it is compared with. Problems are reported at the node; undefined when there was one. */
export function readLiteral(source: Source, column: Column, node: Node | null, integers?: IntegerRange): Literal | undefined {
  if (!isScalar(node) || node.value === null) {
    const found = kindOf(node);
    source.report(node, {
      rule: 'wrong-type',
      message: `"${column.name}" is compared with ${found}; it needs ${needed(column)}.`,
      hint: found === 'nothing' ? 'To ask for a missing value write { is: unknown }.' : undefined,
    });
    return undefined;
  }
  const { value } = node;
  switch (column.type) {
    case 'string':
      if (typeof value === 'string') return usableText(source, node, value) ? { type: 'string', value } : undefined;
      mismatch(source, column, node, `Put it in quotes: "${writtenOf(node)}".`);
      return undefined;
    case 'boolean':
      if (typeof value === 'boolean') return { type: 'boolean', value };
      mismatch(source, column, node, 'Write true or false, without quotes.');
      return undefined;
    case 'integer':
    case 'number': {
      const text = readNumber(source, node, column.type === 'integer', `"${column.name}" is of type ${column.type}`, integers);
      return text === undefined ? undefined : { type: column.type, value: text };
    }
    case 'date':
    case 'timestamp': {
      const instant = readInstant(source, node, `"${column.name}" is of type ${column.type}`);
      if (!instant) return undefined;
      if (column.type === 'date' && instant.kind === 'absolute' && !isDay(instant)) {
        source.report(node, {
          rule: 'wrong-type',
          message: `"${column.name}" is a date; "${writtenOf(node)}" has a time of day.`,
          hint: `Write "${instant.iso.slice(0, 10)}".`,
        });
        return undefined;
      }
      return { type: column.type, value: instant };
    }
  }
}

function needed(column: Column): string {
  const words = {
    string: 'a text',
    integer: 'a whole number',
    number: 'a number',
    boolean: 'true or false',
    date: 'a date',
    timestamp: 'a time',
  };
  return words[column.type];
}

function mismatch(source: Source, column: Column, node: Node, hint: string): void {
  source.report(node, {
    rule: 'wrong-type',
    message: `"${column.name}" is of type ${column.type}, and this is ${kindOf(node)}.`,
    hint,
  });
}

/** Texts that no engine would take: they would fail in the middle of a run. */
function usableText(source: Source, node: Node, value: string): boolean {
  if (!value.includes('\0') && value.isWellFormed()) return true;
  source.report(node, {
    rule: 'invalid-value',
    message: 'The text holds a character that is not allowed (NUL or half of a surrogate pair).',
  });
  return false;
}

/** A text for `contains`, `starts_with` and `ends_with`: not empty, because everything contains nothing. */
export function readText(source: Source, key: string, node: Node | null): string | undefined {
  if (!isScalar(node) || typeof node.value !== 'string') {
    const quoted = isScalar(node) && node.value !== null ? `Put it in quotes: "${writtenOf(node)}".` : undefined;
    source.report(node, { rule: 'wrong-type', message: `"${key}" must be a text, not ${kindOf(node)}.`, hint: quoted });
    return undefined;
  }
  if (node.value === '') {
    source.report(node, { rule: 'invalid-value', message: `"${key}" must not be empty: every text would match.` });
    return undefined;
  }
  return usableText(source, node, node.value) ? node.value : undefined;
}

/**
 * A number as exact decimal text (`-12.5`), read from what is written and not through floating point. `subject` begins the message,
 * `"age" is of type integer`.
 */
export function readNumber(
  source: Source,
  node: Node | null,
  whole: boolean,
  subject: string,
  range: IntegerRange = BIGINT,
): string | undefined {
  if (!isScalar(node) || (typeof node.value !== 'number' && typeof node.value !== 'bigint')) {
    const digits = isScalar(node) && typeof node.value === 'string' && DECIMAL.test(node.value.trim());
    source.report(node, {
      rule: 'wrong-type',
      message: `${subject}, and this is ${kindOf(node)}.`,
      hint: digits ? `Write it without quotes: ${String(node.value).trim()}.` : undefined,
    });
    return undefined;
  }
  const written = node.source ?? String(node.value);
  const match = DECIMAL.exec(written);
  if (!match) {
    source.report(node, {
      rule: 'invalid-value',
      message: `"${written}" is not written as a plain decimal number.`,
      hint: 'Write digits, such as 1500 or 0.25.',
    });
    return undefined;
  }
  const sign = match[1] === '-' ? '-' : '';
  const integer = (match[2] ?? '').replace(/^0+(?=\d)/, '') || '0';
  const fraction = (match[3] ?? '').replace(/0+$/, '');
  if (whole) {
    if (fraction !== '') {
      source.report(node, { rule: 'wrong-type', message: `${subject}, and ${written} is not a whole number.` });
      return undefined;
    }
    const exact = BigInt(`${sign}${integer}`);
    if (exact < range.min || exact > range.max) {
      source.report(node, {
        rule: 'out-of-range',
        message: `${written} is out of range: the column holds ${range.min} to ${range.max}.`,
      });
      return undefined;
    }
    return String(exact);
  }
  if (integer.length + fraction.length > EXACT_DIGITS) {
    source.report(node, {
      rule: 'out-of-range',
      message: `${written} has more than ${EXACT_DIGITS} digits, which no engine keeps exactly.`,
    });
    return undefined;
  }
  const text = fraction === '' ? integer : `${integer}.${fraction}`;
  return text === '0' ? text : `${sign}${text}`;
}

const DECIMAL = /^([+-]?)(\d+)(?:\.(\d+))?$/;

/** A point in time. `subject` begins the message. */
export function readInstant(source: Source, node: Node | null, subject: string): Instant | undefined {
  const text = isScalar(node) && typeof node.value === 'string' ? node.value : undefined;
  if (text === undefined) {
    source.report(node, { rule: 'wrong-type', message: `${subject}, and this is ${kindOf(node)}.`, hint: INSTANT_FORM });
    return undefined;
  }
  const instant = parseInstant(text);
  if (typeof instant !== 'string') return instant;
  const hint = parseDuration(text) ? `Did you mean "${text.trim()} ago"?` : INSTANT_FORM;
  source.report(node, { rule: 'invalid-time', message: instant, hint });
  return undefined;
}

/** A length of time under a key. */
export function readDuration(source: Source, key: string, node: Node | null): Duration | undefined {
  const text = isScalar(node) && typeof node.value === 'string' ? node.value : undefined;
  const duration = text === undefined ? undefined : parseDuration(text);
  if (duration) return duration;
  const ago = text !== undefined && text.trim().endsWith(' ago');
  source.report(node, {
    rule: 'invalid-time',
    message:
      text === undefined ? `"${key}" must be a length of time, not ${kindOf(node)}.` : `"${text}" is not a length of time.`,
    hint:
      ago && parseDuration(text.trim().slice(0, -4))
        ? `Write "${text.trim().slice(0, -4)}"; ${key} counts from now.`
        : DURATION_FORM,
  });
  return undefined;
}
