import { WarehouseError } from '../core/ports.ts';

/**
 * DuckDB's error as ours. Its first line says what is wrong; values of the data, which a conversion error quotes, are left out (law 9).
 */
export function warehouseError(error: unknown): WarehouseError {
  if (error instanceof WarehouseError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const options = { cause: undefined };
  if (/no space left|disk full|max_temp_directory_size/i.test(text)) {
    return new WarehouseError('The disk is full: DuckDB could not write. Nothing was sent; make room where .sluice/ lies, then run it again.', 'capacity', options);
  }
  if (/^out of memory/i.test(text)) {
    return new WarehouseError('DuckDB ran out of the memory it may use, and could not spill to disk. Nothing was sent.', 'capacity', options);
  }
  if (/^conversion error|^invalid input error|^out of range error/i.test(text)) {
    return new WarehouseError(`A value of a table is not of the type its contract declares (${text.split(':')[0]}). Nothing was sent.`, 'user', options);
  }
  const first = (text.split('\n')[0] ?? '').trim();
  if (/^(binder|catalog|parser|syntax|not implemented) error/i.test(first)) return new WarehouseError(`${first} Nothing was sent.`, 'user', options);
  if (/^io error/i.test(first)) return new WarehouseError(`${first} Nothing was sent.`, 'retryable', options);
  return new WarehouseError(`DuckDB refused a query: ${first.split(':')[0]}. Nothing was sent.`, 'user', options);
}
