import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Column, LogicalType, Role, Server, Table } from '../../core/model.ts';

/** A column of a contract, everything else as contracts leave it. */
export const column = (name: string, type: LogicalType, more: Partial<Column> = {}): Column => ({
  name,
  type,
  required: false,
  unique: false,
  primaryKey: false,
  scale: 2,
  zoned: false,
  ...more,
});

/** A table whose fields are the columns of their names. */
export function table(
  name: string,
  role: Role,
  columns: readonly Column[],
  more: Partial<Table> & { readonly server?: Server } = {},
): Table {
  const { server = { type: 'local', path: `${name}.json`, format: 'json' }, ...rest } = more;
  return {
    name,
    physicalName: name,
    role,
    version: '1.0.0',
    status: 'active',
    columns,
    fields: Object.fromEntries(columns.map((one) => [one.field ?? one.name, one.name])),
    servers: { local: server },
    quality: [],
    file: `contracts/${name}.yaml`,
    ...rest,
  };
}

/** Writes the rows of a table where its local JSON server is; every declared column is in every row. */
export function writeRows(dir: string, of: Table, rows: readonly Readonly<Record<string, unknown>>[]): void {
  const server = of.servers['local'];
  if (server?.type !== 'local') throw new Error('only local tables are written');
  const empty = Object.fromEntries(of.columns.map(({ name }) => [name, null]));
  writeFileSync(join(dir, server.path), rows.map((row) => `${JSON.stringify({ ...empty, ...row })}\n`).join(''));
}
