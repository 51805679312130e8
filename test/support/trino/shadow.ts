import { tmpdir } from 'node:os';
import { afterAll, inject, vi } from 'vitest';
import type * as DuckDb from '../../../warehouses/duckdb.ts';
import { type AthenaWorld, BUCKET, openAthenaWorld } from '../athena.ts';
import { trinoEngine } from './engine.ts';
import { compared, twin } from './twin.ts';

/**
 * Setup of the files that are run a second time: wherever they open DuckDB they get it with Trino as its shadow (twin.ts). Their folders lie in the
 * bucket, so that both see the same files. Nothing is played: both engines are real.
 */
const root = inject('root');
process.env.TMPDIR = `${root}/${BUCKET}`;
if (tmpdir() !== process.env.TMPDIR) throw new Error('the folder of temporary files could not be set');

let world: Promise<AthenaWorld> | undefined;
const opened = (): Promise<AthenaWorld> =>
  (world ??= openAthenaWorld({ root, s3: inject('s3'), engine: trinoEngine(inject('trino'), root) }));

vi.mock('../../../warehouses/duckdb.ts', async (original) => {
  const real = await original<typeof DuckDb>();
  return {
    ...real,
    async openDuckDb(options: DuckDb.DuckDbOptions) {
      const shadow = await opened();
      return twin(await real.openDuckDb(options), shadow.open(), shadow, inject('trino'));
    },
  };
});

afterAll(async () => {
  process.stdout.write(`${compared.statements} statements, ${compared.texts.size} different, the same on DuckDB and Trino\n`);
  await (await world)?.close();
});
