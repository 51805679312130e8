import type { TraitValue } from '../connector.ts';
import type { Column } from '../model.ts';
import { millisecondsOf } from './literal.ts';

/**
 * One text per value, the same from every engine: what goes into row hashes and, as traits, to the diff. Never a plain cast of a
 * number or time to text, because engines print those differently.
 */

/** SQL text expression of a column's canonical text; NULL stays NULL. A number that is no number (NaN, infinite) is NULL. */
export function canonicalText(expression: string, column: Pick<Column, 'type' | 'scale' | 'zoned'>): string {
  switch (column.type) {
    case 'string':
    case 'integer':
      return `CAST(${expression} AS varchar)`;
    case 'number':
      return `CAST(TRY_CAST(${expression} AS decimal(38,${column.scale})) AS varchar)`;
    case 'boolean':
      return `CASE WHEN ${expression} THEN '1' WHEN NOT ${expression} THEN '0' END`;
    case 'date':
      return `CAST(${expression} AS varchar)`;
    case 'timestamp':
      return `CAST(${millisecondsOf(expression, column)} AS varchar)`;
  }
}

/** A field of a hash: its length in characters, a colon, the text; `-` for NULL. No two lists of fields read the same. */
export const field = (text: string): string => `coalesce(CAST(length(${text}) AS varchar) || ':' || ${text}, '-')`;

/** First 16 hex characters of the SHA-256 of a text, lower case. */
export const hash16 = (text: string): string => hashHex(text, 16);

/** First `length` hex characters of the SHA-256 of a text, lower case. */
export const hashHex = (text: string, length: number): string => `lower(substr(to_hex(sha256(to_utf8(${text}))), 1, ${length}))`;

/**
 * The value of a canonical text, as a destination gets it: numbers as numbers, times as ISO 8601 in UTC. Integers and decimals that a
 * JSON number can't hold stay texts. @param text canonical text of the column, or null
 */
export function valueOf(text: string | null, column: Pick<Column, 'type'>): TraitValue {
  if (text === null) return null;
  switch (column.type) {
    case 'string':
    case 'date':
      return text;
    case 'boolean':
      return text === '1';
    case 'integer': {
      const value = Number(text);
      return Number.isSafeInteger(value) ? value : text;
    }
    case 'number': {
      const plain = text.includes('.') ? text.replace(/\.?0+$/, '') : text;
      // More digits than a double keeps: the text is the value, the number would be another one.
      return plain.replace(/^-?0*\.?0*/, '').replace('.', '').length <= 15 ? Number(plain) : plain;
    }
    case 'timestamp':
      return new Date(Number(text)).toISOString();
  }
}
