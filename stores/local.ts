import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Clock, Store } from '../core/ports.ts';
import { errno, told } from './disk.ts';
import { BUDGET_TABLE, localBudgets } from './budgets-local.ts';
import { DOCUMENT_TABLE, localDocuments } from './documents-local.ts';
import { localFiles } from './files-local.ts';
import { isAlive } from './holder.ts';
import { LEASE_TABLE, localLeases } from './leases-local.ts';
import { localPointers, POINTER_TABLES } from './pointers-local.ts';
import { openDatabase } from './sqlite.ts';
import { localStopList, STOP_TABLE } from './stops-local.ts';
import { localTokens, TOKEN_TABLE } from './tokens-local.ts';

export interface LocalStoreOptions {
  /** The folder, usually `.sluice`. Made when it is not there, readable by its owner alone: it holds what is sent. */
  readonly root: string;
  readonly clock: Clock;
  /** Whether a lease's holder lives; by default processes of this machine are looked at (`thisProcess` of stores/holder.ts). */
  readonly alive?: (holder: string) => boolean;
}

/**
 * The store of one machine: plain files, and two SQLite databases that any number of processes use at once.
 * Throws `StoreFull`, `StoreBusy` or `StoreDamaged`.
 */
export async function openLocalStore({ root, clock, alive = isAlive }: LocalStoreOptions): Promise<Store> {
  const folder = resolve(root);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    if (errno(error) === 'EEXIST')
      throw new Error(`${folder} is a file; the store needs a folder of that name.`, { cause: error });
    throw told(error, 'the folder', folder);
  }
  const state = openDatabase(join(folder, 'store.db'), POINTER_TABLES + LEASE_TABLE + DOCUMENT_TABLE + STOP_TABLE, true);
  // Apart: reservations are many, and like tokens lose nothing that matters in a power cut, and commits should not wait for them.
  const budgets = openDatabase(join(folder, 'budgets.db'), BUDGET_TABLE + TOKEN_TABLE, false);
  return {
    files: localFiles(folder),
    receipts: localFiles(join(folder, 'receipts')),
    pointers: localPointers(state, folder),
    leases: localLeases(state, clock, alive),
    budgets: localBudgets(budgets, clock),
    tokens: localTokens(budgets, clock),
    documents: localDocuments(state),
    stops: localStopList(state),
    async close() {
      state.close();
      budgets.close();
    },
  };
}
