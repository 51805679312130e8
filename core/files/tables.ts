import type { Role, Table } from '../model.ts';
import type { ContractTable } from './contract.ts';
import type { RuleId } from './rule-ids.ts';

const byNameAndVersion = (table: Table): string => `${table.name} ${majorOf(table)}`;
const majorOf = (table: Table): number => Number(table.version.split('.')[0]);

/** The table of a role that has one: the active contract's, else a deprecated one's. */
export const oneOfRole = (tables: readonly Table[], role: Role): Table | undefined => tables.find((table) => table.role === role);

/** The same of contracts as they were read. */
export const oneOf = (tables: readonly ContractTable[], role: Role): ContractTable | undefined =>
  tables.find(({ table }) => table.role === role);

/**
 * The tables of all contracts, the one to use first: active before deprecated, newer before older. Reported at the later file:
 * two of one name and version, two that SQL could not tell apart, two active ones of a role that has one, ids of different types.
 */
export function tablesOf(found: readonly ContractTable[]): readonly ContractTable[] {
  const tables = [...found].sort((a, b) => rank(a.table) - rank(b.table) || majorOf(b.table) - majorOf(a.table));
  const names = new Map<string, ContractTable>();
  const physical = new Map<string, ContractTable>();
  const roles = new Map<Role, ContractTable>();
  for (const entry of tables) {
    const { table } = entry;
    const twin = names.get(byNameAndVersion(table));
    const alike = physical.get(table.physicalName);
    const active = roles.get(table.role);
    if (twin) {
      report(
        entry,
        'duplicate-name',
        `"${table.name}" of version ${majorOf(table)} is defined twice: here and in ${twin.table.file}.`,
        'Remove one, or give it a new major version.',
      );
    } else if (alike) {
      report(
        entry,
        'duplicate-name',
        `"${table.physicalName}" means two tables in SQL: this one and ${alike.table.name} of ${alike.table.file}.`,
        'Give one a physicalName of its own.',
      );
    } else if (active && table.role !== 'events' && table.status === 'active') {
      report(
        entry,
        'several-contracts',
        `Two active contracts have a table of role ${table.role}: this one and ${active.table.file}.`,
        'Set the status of one to deprecated or draft.',
      );
    }
    names.set(byNameAndVersion(table), twin ?? entry);
    physical.set(table.physicalName, alike ?? entry);
    if (!active) roles.set(table.role, entry);
  }
  checkIds(tables);
  for (const entry of roles.values()) {
    if (entry.table.status !== 'deprecated' || entry.table.role === 'events') continue;
    entry.source.report(entry.node, {
      rule: 'deprecated-contract',
      severity: 'warning',
      message: `The only contract of role ${entry.table.role} is deprecated.`,
    });
  }
  return tables;
}

const rank = (table: Table): number => (table.status === 'active' ? 0 : 1);

function report(entry: ContractTable, rule: RuleId, message: string, hint: string): void {
  entry.source.report(entry.node, { rule, message, hint });
}

const ID_FIELDS = ['customer_id', 'from_id', 'to_id'];

/** An id is compared across tables, so it has one type everywhere. */
function checkIds(tables: readonly ContractTable[]): void {
  const customers = oneOf(tables, 'customers');
  const typeOf = ({ table }: ContractTable, field: string) =>
    table.columns.find((column) => column.name === table.fields[field])?.type;
  const wanted = customers && typeOf(customers, 'customer_id');
  if (wanted === undefined) return;
  for (const entry of tables) {
    for (const field of ID_FIELDS) {
      const type = typeOf(entry, field);
      if (type === undefined || type === wanted) continue;
      const message = `"${entry.table.fields[field]}" of ${entry.table.name} is of type ${type}, and the customer id is of type ${wanted} in ${customers?.table.file}.`;
      report(entry, 'id-type', message, 'Give both the same type in the activation tables.');
    }
  }
}
