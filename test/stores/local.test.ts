import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { openLocalStore } from '../../stores/local.ts';
import { storeContract } from '../contracts/store.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-store-'));
let count = 0;
afterAll(() => rmSync(folder, { recursive: true }));

storeContract('the local store', {
  open: (clock) => openLocalStore({ root: join(folder, `${++count}`), clock }),
  openAgain: (clock) => openLocalStore({ root: join(folder, `${count}`), clock }),
});
