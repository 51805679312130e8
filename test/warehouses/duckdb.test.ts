import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDuckDb } from '../../warehouses/duckdb.ts';
import { readLocal, warehouseContract } from '../contracts/warehouse.ts';

warehouseContract('DuckDB', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-duckdb-'));
  const warehouse = await openDuckDb({ dir, temporary: join(dir, 'spill') });
  let prefixes = 0;
  return {
    warehouse,
    prefix: () => join(dir, 'out', String(prefixes++)),
    read: readLocal,
    async close() {
      await warehouse.close();
      rmSync(dir, { recursive: true });
    },
  };
});
