import { DatabaseSync } from 'node:sqlite';
import { StoreBusy, StoreDamaged, StoreFull } from '../core/store-errors.ts';

/** How long a process waits for the others' transactions, each of which takes milliseconds. */
const BUSY_SECONDS = 15;

/** Primary result codes: https://www.sqlite.org/rescode.html, read 2026-11-23. */
const [BUSY, LOCKED, CORRUPT, FULL, NOT_A_DATABASE] = [5, 6, 11, 13, 26];
/** SQLITE_IOERR_WRITE and _SHMSIZE: what a write past a size limit or a quota, and opening a database on a full disk, end as. */
const NO_ROOM: readonly (number | undefined)[] = [778, 4874];

export interface Database {
  /** Runs `fn` alone among all processes; what it wrote is kept when it returns and dropped when it throws. Not to be nested. */
  transaction<T>(fn: (db: DatabaseSync) => T): T;
  /** Reads what was committed last. */
  read<T>(fn: (db: DatabaseSync) => T): T;
  close(): void;
}

/**
 * A database file that several processes use at once (WAL). Needs a local disk: a network file system has no shared memory for it.
 * Every error comes as `StoreBusy`, `StoreFull` or `StoreDamaged`, or as SQLite gave it when it is a defect of ours.
 *
 * @param schema statements that do nothing when they were run before
 * @param durable whether a commit waits for the disk. Without it a power cut (not a kill) can lose the last commits, never the order.
 */
export function openDatabase(path: string, schema: string, durable: boolean): Database {
  const guarded = <T>(fn: () => T): T => {
    try {
      return fn();
    } catch (error) {
      throw told(error, path);
    }
  };
  const db = guarded(() => new DatabaseSync(path, { timeout: BUSY_SECONDS * 1_000 }));

  const transaction = <T>(fn: (db: DatabaseSync) => T): T =>
    guarded(() => {
      // IMMEDIATE: a transaction that reads first and writes later would be refused in between, without waiting its turn.
      db.exec('BEGIN IMMEDIATE');
      try {
        const result = fn(db);
        db.exec('COMMIT');
        return result;
      } catch (error) {
        // A full disk has ended the transaction already.
        if (db.isTransaction) db.exec('ROLLBACK');
        throw error;
      }
    });

  try {
    guarded(() => enterWal(db));
    guarded(() => db.exec(`PRAGMA synchronous = ${durable ? 'FULL' : 'NORMAL'}`));
    transaction(() => db.exec(schema));
  } catch (error) {
    db.close();
    throw error;
  }
  return { transaction, read: (fn) => guarded(() => fn(db)), close: () => db.close() };
}

/** Of several processes that open a new database at once, SQLite refuses some at once instead of letting them wait. */
function enterWal(db: DatabaseSync): void {
  for (let attempt = 1; ; attempt++) {
    try {
      db.exec('PRAGMA journal_mode = WAL');
      return;
    } catch (error) {
      if (codeOf(error) !== BUSY || attempt === 100) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
}

/** The primary code is the lower byte of the extended one. */
const codeOf = (error: unknown): number => (extendedOf(error) ?? 0) & 0xff;
const extendedOf = (error: unknown): number | undefined => (error as { errcode?: number } | null)?.errcode;

function told(error: unknown, path: string): unknown {
  if (error instanceof StoreBusy || error instanceof StoreFull || error instanceof StoreDamaged) return error;
  const code = codeOf(error);
  if (code === BUSY || code === LOCKED) return new StoreBusy(path, BUSY_SECONDS, { cause: error });
  if (code === FULL || NO_ROOM.includes(extendedOf(error))) return new StoreFull('the last change', path, { cause: error });
  if (code !== CORRUPT && code !== NOT_A_DATABASE) return error;
  return new StoreDamaged(
    `The database ${path} is damaged.`,
    `It says which ledger files are current, so it cannot be made anew from them. Put it back from a backup (with its -wal file, if there is one).`,
    { cause: error },
  );
}
