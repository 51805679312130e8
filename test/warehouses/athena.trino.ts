import { inject } from 'vitest';
import { warehouseContract } from '../contracts/warehouse.ts';
import { openAthenaWorld } from '../support/athena.ts';
import { trinoEngine } from '../support/trino/engine.ts';

warehouseContract('Athena, its API over a real Trino,', async () => {
  const root = inject('root');
  const world = await openAthenaWorld({ root, s3: inject('s3'), engine: trinoEngine(inject('trino'), root) });
  return { ...world, warehouse: world.open() };
});
