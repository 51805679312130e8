import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Store } from '../../../core/ports.ts';
import { interruptedRun } from '../../../core/run/interrupted.ts';
import type { RunDocument, RunPorts } from '../../../core/run/ports.ts';
import { dropRun, putRun } from '../../../core/run/run-documents.ts';
import { ulid } from '../../../core/ulid.ts';
import { openLocalStore } from '../../../stores/local.ts';
import { systemClock } from '../../../stores/system-clock.ts';

const T = Date.parse('2026-06-01T06:00:00Z');
const runAt = (minutes: number): string => ulid(T + minutes * 60_000, () => 0.5);
const document = (run: string, audience: string, state: RunDocument['state']): RunDocument => ({
  of: { run, audience, tick: T },
  digest: 'd',
  state,
  snapshot: { files: { format: 'parquet', locations: [], rows: 0, bytes: 0 }, matched: 0 },
  plans: [],
});

let root: string;
let store: Store;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'sluice-books-'));
  store = await openLocalStore({ root, clock: systemClock });
});
afterEach(async () => {
  await store.close();
  rmSync(root, { recursive: true });
});
const found = async (audience: string): Promise<string | undefined> =>
  (
    await interruptedRun(
      { store, digest: 'd', clock: { ...systemClock, now: () => T + 3_600_000 } } as unknown as RunPorts,
      audience,
    )
  )?.id;

describe('law 3: a delivery that died', () => {
  it('is found by the next run of its audience, however many runs of others came after it', async () => {
    const died = runAt(0);
    await putRun(store.documents, document(died, 'gold', 'planned'));
    await putRun(store.documents, document(died, 'gold', 'delivering'));
    for (let i = 1; i <= 250; i++) {
      await putRun(store.documents, document(runAt(i), 'silver', 'delivering'));
      await putRun(store.documents, document(runAt(i), 'silver', 'done'));
    }
    expect(await found('gold')).toBe(died);
    expect(await found('silver')).toBeUndefined();
    await putRun(store.documents, document(died, 'gold', 'interrupted'));
    expect(await found('gold')).toBeUndefined();
    expect(await store.documents.list('delivering')).toEqual([]);
  });

  it('that ended, or did nothing, just before its process died is not taken for one that died', async () => {
    await putRun(store.documents, document(runAt(0), 'gold', 'delivering'));
    // The process died after the first of the two things that its end is written with.
    await store.documents.put('run', runAt(0), document(runAt(0), 'gold', 'done'));
    await putRun(store.documents, document(runAt(1), 'gold', 'delivering'));
    await dropRun(store.documents, runAt(1));
    expect(await found('gold')).toBeUndefined();
    expect(await store.documents.list('delivering')).toEqual([]);
  });
});
