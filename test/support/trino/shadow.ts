import { appendFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import type * as FastCheck from 'fast-check';
import { afterAll, inject, vi } from 'vitest';
import type * as DuckDb from '../../../warehouses/duckdb.ts';
import { ROOT } from '../../project-files.ts';
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

/** Trino takes a second for a snapshot: so many random cases at most, as DuckDB alone is asked hundreds of. */
const CASES = 2;

vi.mock('fast-check', async (original) => {
  const real = await original<typeof FastCheck>();
  const assert: typeof FastCheck.assert = (property, { numRuns = CASES, ...rest } = {}) =>
    real.assert(property, { ...rest, numRuns: Math.min(numRuns, CASES) }) as never;
  return { ...real, assert, default: { ...real.default, assert } };
});

/** Which functions of core/ were called while Trino was the shadow: every-text.trino.ts holds that none that writes SQL is missing. */
const session = new Session();
session.connect();
await session.post('Profiler.enable');
await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });

async function noteCalled(): Promise<void> {
  const { result } = await session.post('Profiler.takePreciseCoverage');
  const called = result.flatMap(({ url, functions }) => {
    const path = url.startsWith('file:') ? fileURLToPath(url) : url;
    if (!path.startsWith(`${ROOT}core/`)) return [];
    const file = path.slice(ROOT.length).replace(/\?.*/, '');
    return functions.flatMap(({ functionName, ranges }) =>
      functionName !== '' && (ranges[0]?.count ?? 0) > 0 ? [`${file} ${functionName}\n`] : [],
    );
  });
  appendFileSync(`${root}/called`, called.join(''));
}

afterAll(async () => {
  await noteCalled();
  process.stdout.write(`${compared.statements} statements, ${compared.texts.size} different, the same on DuckDB and Trino\n`);
  await (await world)?.close();
});
