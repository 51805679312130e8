import type { Clock, Leases } from '../core/ports.ts';
import type { Database } from './sqlite.ts';

/** `holder` is empty once the lease was given back; the row stays, because its fence must not start again. */
export const LEASE_TABLE = `
  CREATE TABLE IF NOT EXISTS leases (
    sync TEXT PRIMARY KEY, holder TEXT NOT NULL, fence INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL
  ) STRICT;
`;

type Stored = { readonly holder: string; readonly fence: number; readonly since: number; readonly until: number };

/** Leases in SQLite. One whose holder is known to be dead is free at once; of others only when its time is up. */
export function localLeases(db: Database, clock: Clock, alive: (holder: string) => boolean): Leases {
  return {
    async acquire(sync, holder, ttlMs) {
      if (holder === '') throw new RangeError('A lease needs the name of its holder.');
      return db.transaction((sql) => {
        const now = Math.floor(clock.now());
        const held = sql.prepare('SELECT holder, fence, since, until FROM leases WHERE sync = ?').get(sync) as Stored | undefined;
        if (held?.holder === holder) {
          sql.prepare('UPDATE leases SET until = max(until, ?) WHERE sync = ?').run(now + ttlMs, sync);
          return { sync, holder, fence: held.fence };
        }
        if (held !== undefined && held.holder !== '' && held.until > now && alive(held.holder))
          return { heldBy: held.holder, since: held.since };
        const fence = (held?.fence ?? 0) + 1;
        sql
          .prepare(
            `INSERT INTO leases VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
             SET holder = excluded.holder, fence = excluded.fence, since = excluded.since, until = excluded.until`,
          )
          .run(sync, holder, fence, now, now + ttlMs);
        return { sync, holder, fence };
      });
    },
    // Never shortened: another worker of the same run may have asked for longer. Past its time and not yet taken, it is still ours: nobody can have worked in between.
    async renew(lease, ttlMs) {
      const until = Math.floor(clock.now()) + ttlMs;
      return db.transaction((sql) => {
        const { changes } = sql
          .prepare('UPDATE leases SET until = max(until, ?) WHERE sync = ? AND holder = ? AND fence = ?')
          .run(until, lease.sync, lease.holder, lease.fence);
        return Number(changes) === 1;
      });
    },
    async release(lease) {
      db.transaction((sql) => {
        sql
          .prepare("UPDATE leases SET holder = '' WHERE sync = ? AND holder = ? AND fence = ?")
          .run(lease.sync, lease.holder, lease.fence);
      });
    },
  };
}
