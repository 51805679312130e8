import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { USUAL_IDENTITY } from '../../../core/identity.ts';
import type { Audience, Column, PurposePolicy, Rule, Table, Test, Workspace } from '../../../core/model.ts';
import type { Query, Relation, Row, Warehouse } from '../../../core/ports.ts';
import { DECISION_COLUMNS } from '../../../core/sql/decisions.ts';
import { MOVED_COLUMNS, movedQuery } from '../../../core/sql/merges.ts';
import { decisionsQuery, type SnapshotSpec, snapshotQuery } from '../../../core/sql/snapshot.ts';
import { openDuckDb } from '../../../warehouses/duckdb.ts';
import { column, table, writeRows } from '../../warehouses/tables.ts';

export const TICK = Date.parse('2026-06-01T06:00:00Z');

export const CUSTOMERS = table('customers', 'customers', [
  column('customer_id', 'string'),
  column('country', 'string'),
  column('state', 'string'),
  column('spent', 'number'),
  column('orders', 'integer'),
  column('staff', 'boolean'),
  column('joined', 'date'),
  column('last_order_at', 'timestamp'),
  column('seen_at', 'timestamp', { zoned: true }),
  column('tier', 'string'),
]);
export const EVENTS = table(
  'order_completed',
  'events',
  [
    column('customer_id', 'string'),
    column('occurred_at', 'timestamp'),
    column('event_version', 'string'),
    column('category', 'string'),
    column('amount', 'number'),
  ],
  { activeVersions: ['1', '2'] },
);
export const TICKETS = table('ticket_opened', 'events', [column('customer_id', 'string'), column('occurred_at', 'date')]);
export const IDENTIFIERS = table('identifiers', 'identifiers', [
  column('customer_id', 'string'),
  column('namespace', 'string'),
  column('value', 'string'),
  column('verified', 'boolean'),
  column('trust', 'integer'),
  column('first_seen', 'timestamp'),
  column('last_seen', 'timestamp'),
]);
export const CONSENTS = table('consents', 'consents', [
  column('customer_id', 'string'),
  column('purpose', 'string'),
  column('status', 'string'),
  column('effective_from', 'timestamp'),
  column('effective_to', 'timestamp'),
]);
/** Consents that may be about one identifier. */
export const BOUND_CONSENTS = table('consents', 'consents', [
  ...CONSENTS.columns,
  column('namespace', 'string'),
  column('value', 'string'),
]);
export const ERASURES = table('erasures', 'erasures', [column('customer_id', 'string'), column('requested_at', 'timestamp')]);
export const CHANGES = table('identity_changes', 'identity-changes', [
  column('from_id', 'string'),
  column('to_id', 'string'),
  column('kind', 'string'),
  column('changed_at', 'timestamp'),
]);

type Rows = readonly Readonly<Record<string, unknown>>[];

/** DuckDB over a folder of rows. */
export interface SqlWorld {
  readonly warehouse: Warehouse;
  readonly dir: string;
  write(of: Table, rows: Rows): void;
  rows(query: Query): Promise<readonly Row[]>;
  /** Who was merged into whom, as a run keeps it beside its snapshot. */
  moved(of: Workspace, tick: number, memberKeySecret: string): Promise<Relation | null>;
  /** The rows of a snapshot, made as a run makes it: consent decisions first, where they are kept. */
  snapshot(spec: Omit<SnapshotSpec, 'decisions'>): Promise<readonly Row[]>;
  close(): Promise<void>;
}

export async function openSqlWorld(): Promise<SqlWorld> {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-sql-'));
  let found = 0;
  const warehouse = await openDuckDb({ dir, temporary: join(dir, 'spill') });
  return {
    warehouse,
    dir,
    write: (of, rows) => writeRows(dir, of, rows),
    rows: (query) => warehouse.rows(query),
    async moved(of, tick, memberKeySecret) {
      const query = movedQuery(of, tick, memberKeySecret);
      if (query === null) return null;
      const files = await warehouse.materialize(query, join(dir, `moved-${found++}`));
      return files.rows === 0 ? null : { files, columns: MOVED_COLUMNS };
    },
    async snapshot(spec) {
      const query = decisionsQuery(spec);
      const files = query && (await warehouse.materialize(query, join(dir, `decisions-${found++}`)));
      return warehouse.rows(snapshotQuery({ ...spec, decisions: files && { files, columns: DECISION_COLUMNS } }));
    },
    async close() {
      await warehouse.close();
      rmSync(dir, { recursive: true });
    },
  };
}

export const audience = (name: string, of: Rule | { readonly sql: string }, more: Partial<Audience> = {}): Audience => ({
  name,
  file: `audiences/${name}.yaml`,
  description: name,
  owner: 'crm@example.com',
  timeZone: 'UTC',
  ...('sql' in of ? { sql: { text: of.sql, line: 1, column: 1 } } : { where: of }),
  exclude: [],
  holdout: 0,
  schedule: { kind: 'manual' },
  guardrails: { maxRemoved: { percent: 100, floor: 0 } },
  syncs: [],
  ...more,
});

export const purpose = (name: string, more: Partial<PurposePolicy> = {}): PurposePolicy => ({
  name,
  basis: 'opt-in',
  jurisdictions: {},
  sharedIdentifiers: 'keep-for-entitled',
  ...more,
});

export function workspace(
  tables: readonly Table[],
  audiences: readonly Audience[],
  purposes: readonly PurposePolicy[] = [purpose('ads')],
): Workspace {
  return {
    audiences: Object.fromEntries(audiences.map((one) => [one.name, one])),
    tables,
    destinations: {},
    consent: {
      purposes: Object.fromEntries(purposes.map((one) => [one.name, one])),
      jurisdiction: { column: 'country', region: 'state' },
      version: '0',
    },
    identity: USUAL_IDENTITY,
    retention: { storage: {}, version: 'none' },
  };
}

export function columnOf(of: Table, name: string): Column {
  const found = of.columns.find((one) => one.name === name);
  if (found === undefined) throw new Error(`${of.name} has no ${name}`);
  return found;
}

/** A test of a column of the customers. */
export const is = (name: string, test: Test, of = CUSTOMERS): Rule => ({ kind: 'test', column: columnOf(of, name), test });
export const all = (...rules: readonly Rule[]): Rule => ({ kind: 'all', rules });
export const any = (...rules: readonly Rule[]): Rule => ({ kind: 'any', rules });
export const not = (rule: Rule): Rule => ({ kind: 'not', rule });
export const days = (amount: number) => ({ amount, unit: 'day' }) as const;
