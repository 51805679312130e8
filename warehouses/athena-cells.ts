import type { Cell } from '../core/ports.ts';

/** A value of GetQueryResults as a cell: Athena gives every value as a text and says its type once a column. */
export function cellOf(text: string | undefined, type: string): Cell {
  if (text === undefined) return null;
  switch (type) {
    case 'tinyint':
    case 'smallint':
    case 'integer':
      return Number(text);
    case 'bigint': {
      const value = BigInt(text);
      return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
    }
    case 'float':
    case 'real':
    case 'double':
      return Number(text);
    case 'boolean':
      return text === 'true';
    case 'timestamp':
      return new Date(`${text.replace(' ', 'T')}Z`).toISOString();
    case 'timestamp with time zone':
      return new Date(`${text.slice(0, 10)}T${text.slice(11).replace(/\s*UTC$/, 'Z')}`).toISOString();
    default:
      return text;
  }
}

/** Types whose text nobody can take apart again: `[a, b]` may be one value or two. */
export const isNested = (type: string): boolean => ['array', 'map', 'row'].includes(type);

/** A text of JSON as a cell, and as Athena prints the same array: to find a row again. */
export function nestedCell(json: string | undefined): { readonly cell: Cell; readonly printed: string | undefined } {
  if (json === undefined) return { cell: null, printed: undefined };
  const cell = JSON.parse(json) as Cell;
  return { cell, printed: printedAs(cell) };
}

const printedAs = (cell: Cell): string => (Array.isArray(cell) ? `[${cell.map(printedAs).join(', ')}]` : String(cell));
