import { WarehouseError } from '../core/ports.ts';

/** What DuckDB says of an error when `errors_as_json` is set, as far as we use it. */
export interface DuckDbError {
  /** `Binder`, `Catalog`, `Parser`, `Conversion`, `IO`, `Out of Memory`, ... */
  readonly type: string;
  /** Its first line. May quote a value of the data: never shown as it is. */
  readonly message: string;
  /** In the SQL text, counted in UTF-8 bytes from 0. */
  readonly position?: number;
  /** The nearest name. */
  readonly candidate?: string;
  readonly subtype?: string;
}

export function readError(error: unknown): DuckDbError {
  const text = error instanceof Error ? error.message : String(error);
  const start = text.indexOf('{"exception_type"');
  const fields = start === -1 ? null : parsed(text.slice(start));
  if (fields === null) {
    const [, type, message] = /^([A-Za-z ]+) Error: ([^\n]*)/.exec(text) ?? [];
    return { type: type ?? 'unknown', message: message ?? text.split('\n')[0] ?? '' };
  }
  const position = Number(fields['position']);
  const candidate = fields['candidates']?.split(',')[0]?.trim();
  return {
    type: fields['exception_type'] ?? 'unknown',
    message: fields['exception_message']?.split('\n')[0] ?? '',
    ...(fields['position'] !== undefined && Number.isInteger(position) && { position }),
    ...(candidate && { candidate }),
    ...(fields['error_subtype'] && { subtype: fields['error_subtype'] }),
  };
}

function parsed(json: string): Readonly<Record<string, string>> | null {
  try {
    return JSON.parse(json) as Record<string, string>;
  } catch {
    return null;
  }
}

const FULL = /no space left|disk quota exceeded|max_temp_directory_size|failed to offload/i;

/**
 * DuckDB's error as ours. Names of tables, columns and functions are kept; SQL text and values of the data, which a conversion error
 * quotes, are not, and neither is the cause that holds them (law 9).
 */
export function warehouseError(error: unknown): WarehouseError {
  if (error instanceof WarehouseError) return error;
  const { type, message } = readError(error);
  if (FULL.test(message)) {
    return new WarehouseError(
      'The disk is full: DuckDB has no room to write. Make room where the workspace keeps its state (.sluice), then run it again.',
      'capacity',
    );
  }
  switch (type) {
    case 'Out of Memory':
      return new WarehouseError(
        'DuckDB ran out of the memory it may use and could not spill the rest to disk. Give it more memory, or fewer threads.',
        'capacity',
      );
    case 'Conversion':
    case 'Invalid Input':
    case 'Invalid':
    case 'Out of Range': {
      const column = /source column (\w+)/.exec(message)?.[1];
      return new WarehouseError(
        column === undefined
          ? 'A value of a table can not be read as the type its contract declares.'
          : `A value of the column "${column}" can not be read as the type its contract declares.`,
        'user',
      );
    }
    case 'Binder':
    case 'Catalog':
    case 'Parser':
    case 'Not implemented':
      return new WarehouseError(`DuckDB refuses the query: ${message.replace(/!$/, '.')}`, 'user');
    case 'IO':
      if (/no files found/i.test(message)) return new WarehouseError(`A file is not there: ${message}.`, 'user');
      return new WarehouseError(
        `DuckDB could not read or write a file: ${message}`,
        /lock/i.test(message) ? 'retryable' : 'user',
      );
    default:
      return new WarehouseError(
        `DuckDB failed (${type} error).`,
        type === 'Interrupt' || type === 'Connection' ? 'retryable' : 'user',
      );
  }
}
