import type { Clock, Tokens } from '../core/ports.ts';
import type { Database } from './sqlite.ts';

/** `sealed` is empty while there is no token; `turn` grows with every maker, so that a late one is known. */
export const TOKEN_TABLE = `
  CREATE TABLE IF NOT EXISTS tokens (
    grant_name TEXT PRIMARY KEY, sealed TEXT NOT NULL, until INTEGER NOT NULL, turn INTEGER NOT NULL, turn_until INTEGER NOT NULL
  ) STRICT;
`;

type Stored = { readonly sealed: string; readonly until: number; readonly turn: number; readonly turn_until: number };

/** Access tokens in SQLite, sealed by who made them: a copy of the file opens nothing. */
export function localTokens(db: Database, clock: Clock): Tokens {
  return {
    async take(grant, leaseMs) {
      return db.transaction((sql) => {
        const now = Math.floor(clock.now());
        const held = sql.prepare('SELECT sealed, until, turn, turn_until FROM tokens WHERE grant_name = ?').get(grant) as
          | Stored
          | undefined;
        if (held !== undefined && held.sealed !== '' && held.until > now)
          return { kind: 'token', token: { sealed: held.sealed, until: held.until } };
        if (held !== undefined && held.turn_until > now) return { kind: 'wait' };
        const turn = (held?.turn ?? 0) + 1;
        sql
          .prepare(
            `INSERT INTO tokens VALUES (?, '', 0, ?, ?) ON CONFLICT DO UPDATE
             SET sealed = '', until = 0, turn = excluded.turn, turn_until = excluded.turn_until`,
          )
          .run(grant, turn, now + leaseMs);
        return { kind: 'make', turn };
      });
    },
    async put(grant, turn, { sealed, until }) {
      db.transaction((sql) => {
        sql
          .prepare('UPDATE tokens SET sealed = ?, until = ?, turn_until = 0 WHERE grant_name = ? AND turn = ?')
          .run(sealed, Math.floor(until), grant, turn);
      });
    },
    async release(grant, turn) {
      db.transaction((sql) => {
        sql.prepare('UPDATE tokens SET turn_until = 0 WHERE grant_name = ? AND turn = ?').run(grant, turn);
      });
    },
    async drop(grant, sealed) {
      db.transaction((sql) => {
        sql.prepare("UPDATE tokens SET sealed = '', until = 0 WHERE grant_name = ? AND sealed = ?").run(grant, sealed);
      });
    },
  };
}
