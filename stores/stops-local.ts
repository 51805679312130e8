import type { StopEntry, StopList } from '../core/ports.ts';
import type { Database } from './sqlite.ts';

/** `purpose` is empty for all: a purpose has a name. `seq` counts changes, so that a reader asks for what is new. */
export const STOP_TABLE = `
  CREATE TABLE IF NOT EXISTS stops (
    member TEXT, purpose TEXT, why TEXT NOT NULL, at INTEGER NOT NULL, seq INTEGER NOT NULL UNIQUE, PRIMARY KEY (member, purpose)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS stop_seq (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL) STRICT;
  INSERT OR IGNORE INTO stop_seq VALUES (1, 0);
`;

type Stored = Omit<StopEntry, 'purpose'> & { readonly purpose: string; readonly seq: number };

/** The stop list in SQLite. The transaction that numbers an entry makes it visible: no reader passes a number that comes later. */
export function localStopList(db: Database): StopList {
  return {
    async add(entries) {
      if (entries.length === 0) return;
      db.transaction((sql) => {
        const known = sql.prepare('SELECT why, at FROM stops WHERE member = ? AND purpose = ?');
        const next = sql.prepare('UPDATE stop_seq SET seq = seq + 1 RETURNING seq');
        const put = sql.prepare(
          `INSERT INTO stops VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
           SET why = excluded.why, at = excluded.at, seq = excluded.seq`,
        );
        for (const { member, purpose, why, at } of entries) {
          const old = known.get(member, purpose ?? '') as Pick<Stored, 'why' | 'at'> | undefined;
          const changed = {
            why: old?.why === 'erased' ? old.why : why,
            at: Math.trunc(Math.min(at, old?.at ?? at)),
          };
          if (old?.why === changed.why && old.at === changed.at) continue;
          const { seq } = next.get() as { seq: number };
          put.run(member, purpose ?? '', changed.why, changed.at, seq);
        }
      });
    },
    async since(cursor) {
      return db.read((sql) => {
        const rows = sql
          .prepare('SELECT member, purpose, why, at, seq FROM stops WHERE seq > ? ORDER BY seq')
          .all(Number(cursor ?? 0)) as unknown as Stored[];
        return {
          entries: rows.map(({ member, purpose, why, at }) => ({ member, purpose: purpose === '' ? null : purpose, why, at })),
          cursor: String(rows.at(-1)?.seq ?? cursor ?? 0),
        };
      });
    },
    async lift(entries) {
      db.transaction((sql) => {
        const remove = sql.prepare("DELETE FROM stops WHERE member = ? AND purpose = ? AND why = 'no-consent'");
        for (const { member, purpose } of entries) remove.run(member, purpose ?? '');
      });
    },
  };
}
