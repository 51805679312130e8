import { sep } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { PointerDamaged } from '../core/pointer-damaged.ts';
import { type Pointer, PointerConflict, type Pointers } from '../core/ports.ts';
import { decodePointer, encodePointer, generationIn, pointerChecksum, sameFrame } from './pointer-record.ts';
import type { Database } from './sqlite.ts';

/** `current` says which row of `pointers` holds; both carry the checksum, so that neither can be altered alone. */
export const POINTER_TABLES = `
  CREATE TABLE IF NOT EXISTS pointers (sync TEXT, version INTEGER, body TEXT NOT NULL, checksum TEXT NOT NULL, PRIMARY KEY (sync, version)) STRICT;
  CREATE TABLE IF NOT EXISTS current (sync TEXT PRIMARY KEY, version INTEGER NOT NULL, checksum TEXT NOT NULL) STRICT;
`;

type Stored = { readonly version: number; readonly body: string; readonly checksum: string };

/**
 * Pointers in SQLite. `get` throws `PointerDamaged` when the row is not as it was written; `history` leaves such rows out, because it
 * is what a person looks at to find a generation to go back to, and `move` to its successor makes the sync whole again.
 */
export function localPointers(db: Database, root: string): Pointers {
  const decode = (body: string): Pointer => decodePointer(body, root + sep);

  return {
    async get(sync) {
      return db.read((sql) => {
        const { version, current, row } = headOf(sql, sync);
        if (version === 0) return null;
        if (current === undefined || row === undefined || row.checksum !== current.checksum || !isWhole(sync, row)) {
          throw new PointerDamaged(sync, generationIn(row?.body), version);
        }
        return decode(row.body);
      });
    },
    async move(sync, expected, next) {
      if (next.version !== expected + 1) {
        throw new RangeError(`A pointer moves from version ${expected} to ${expected + 1}, not to ${next.version}.`);
      }
      db.transaction((sql) => {
        const { version, row } = headOf(sql, sync);
        if (version !== expected) {
          throw new PointerConflict(
            `The ledger of ${sync} is at version ${version}, not ${expected}: another run has committed. Nothing was written.`,
          );
        }
        const leased =
          (sql.prepare('SELECT fence FROM leases WHERE sync = ?').get(sync) as { fence: number } | undefined)?.fence ?? 0;
        // The fence of an altered row proves nothing, and must not bar the way back.
        const fence = Math.max(leased, row !== undefined && isWhole(sync, row) ? decode(row.body).fence : 0);
        if (fence > next.fence) {
          throw new PointerConflict(
            `Somebody holds the lease of ${sync} under fence ${fence}; this run had ${next.fence} and comes too late. Nothing was written.`,
          );
        }
        const body = encodePointer(next, root + sep);
        const checksum = pointerChecksum(sync, next.version, body);
        sql.prepare('INSERT INTO pointers VALUES (?, ?, ?, ?)').run(sync, next.version, body, checksum);
        sql
          .prepare(
            'INSERT INTO current VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version, checksum = excluded.checksum',
          )
          .run(sync, next.version, checksum);
      });
    },
    async history(sync) {
      const rows = db.read((sql) =>
        sql.prepare('SELECT version, body, checksum FROM pointers WHERE sync = ? ORDER BY version DESC').all(sync),
      ) as Stored[];
      return rows.filter((row) => isWhole(sync, row)).map((row) => decode(row.body));
    },
    async syncs() {
      const rows = db.read((sql) => sql.prepare('SELECT DISTINCT sync FROM pointers ORDER BY sync').all());
      return rows.map((row) => String(row['sync']));
    },
    async forget(sync, versions) {
      db.transaction((sql) => {
        const { version } = headOf(sql, sync);
        if (versions.includes(version)) throw new RangeError(`Version ${version} of ${sync} is the current one, and is kept.`);
        for (const one of versions) sql.prepare('DELETE FROM pointers WHERE sync = ? AND version = ?').run(sync, one);
      });
    },
    async rewrite(sync, next) {
      const body = encodePointer(next, root + sep);
      const checksum = pointerChecksum(sync, next.version, body);
      db.transaction((sql) => {
        const row = sql
          .prepare('SELECT version, body, checksum FROM pointers WHERE sync = ? AND version = ?')
          .get(sync, next.version) as Stored | undefined;
        if (row === undefined || !isWhole(sync, row))
          throw new PointerConflict(`The ledger of ${sync} has no sound version ${next.version}. Nothing was written.`);
        if (!sameFrame(decode(row.body), next))
          throw new RangeError(`Version ${next.version} of ${sync} may only be rewritten with other files.`);
        sql
          .prepare('UPDATE pointers SET body = ?, checksum = ? WHERE sync = ? AND version = ?')
          .run(body, checksum, sync, next.version);
        sql.prepare('UPDATE current SET checksum = ? WHERE sync = ? AND version = ?').run(checksum, sync, next.version);
      });
    },
  };
}

const isWhole = (sync: string, row: Stored): boolean => pointerChecksum(sync, row.version, row.body) === row.checksum;

/** The newest version that any row speaks of, 0 for none; the mark of it, and its row, where they are there. */
function headOf(sql: DatabaseSync, sync: string): { version: number; current?: Omit<Stored, 'body'>; row?: Stored } {
  const current = sql.prepare('SELECT version, checksum FROM current WHERE sync = ?').get(sync) as
    | Omit<Stored, 'body'>
    | undefined;
  const newest = sql
    .prepare('SELECT version, body, checksum FROM pointers WHERE sync = ? ORDER BY version DESC LIMIT 1')
    .get(sync) as Stored | undefined;
  const version = Math.max(current?.version ?? 0, newest?.version ?? 0);
  return { version, ...(current?.version === version && { current }), ...(newest?.version === version && { row: newest }) };
}
