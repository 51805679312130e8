import type { Budgets, Clock } from '../core/ports.ts';
import { NO_RESERVATIONS, pause, type Reservations, reserve } from '../core/reservation.ts';
import type { Database } from './sqlite.ts';

export const BUDGET_TABLE =
  'CREATE TABLE IF NOT EXISTS budgets (destination TEXT PRIMARY KEY, reservations TEXT NOT NULL) STRICT;';

/** Budgets in SQLite: core/reservation.ts decides, one transaction a grant makes it hold for every process. */
export function localBudgets(db: Database, clock: Clock): Budgets {
  const change = <T>(
    destination: string,
    decide: (state: Reservations) => { readonly next: Reservations; readonly result: T },
  ): T =>
    db.transaction((sql) => {
      const row = sql.prepare('SELECT reservations FROM budgets WHERE destination = ?').get(destination) as
        | { reservations: string }
        | undefined;
      const { next, result } = decide(row === undefined ? NO_RESERVATIONS : (JSON.parse(row.reservations) as Reservations));
      sql
        .prepare('INSERT INTO budgets VALUES (?, ?) ON CONFLICT DO UPDATE SET reservations = excluded.reservations')
        .run(destination, JSON.stringify(next));
      return result;
    });

  return {
    async reserve(destination, windows, permits) {
      return change(destination, (state) => {
        // Read inside: a process that waited for its turn would ask for a time that is past.
        const { grant, next } = reserve(state, windows, permits, clock.now());
        return { next, result: grant };
      });
    },
    async pause(destination, until) {
      change(destination, (state) => ({ next: pause(state, until), result: undefined }));
    },
    async pausedUntil(destination) {
      const row = db.read((sql) => sql.prepare('SELECT reservations FROM budgets WHERE destination = ?').get(destination));
      return row === undefined ? 0 : (JSON.parse(String(row['reservations'])) as Reservations).pausedUntil;
    },
  };
}
