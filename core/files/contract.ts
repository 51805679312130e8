import type { Node } from 'yaml';
import type { Column, Role, Table } from '../model.ts';
import { didYouMean } from '../problems.ts';
import { fieldsOf } from './contract-fields.ts';
import { freshnessOf, qualityOf } from './contract-quality.ts';
import { contractSchema } from './contract-schema.ts';
import type { ContractFile, Property, SchemaObject } from './contract-schema.ts';
import { checkEnvironment, readServers, serversFor } from './contract-servers.ts';
import { integerRange, logicalTypeOf, scaleOf, zonedOf } from './physical-type.ts';
import type { IntegerRange } from './physical-type.ts';
import { isRole, ROLES } from './role-fields.ts';
import { checkShape } from './shape.ts';
import {
  activeVersionsOf,
  COLUMN_PROPERTIES,
  scaleSetting,
  sluiceProperties,
  statusesOf,
  TABLE_PROPERTIES,
  textSetting,
  textsSetting,
} from './sluice-properties.ts';
import type { Setting } from './sluice-properties.ts';
import { nodeAt } from './source.ts';
import type { Source } from './source.ts';

export { ROLE_FIELDS, ROLES } from './role-fields.ts';
export type { RoleField } from './role-fields.ts';

/** A table as rules need it: how columns are called in files, and what the model does not keep. */
export interface ContractTable {
  readonly table: Table;
  /** Columns by the contract's name for them, and by `physicalName`. */
  readonly columns: ReadonlyMap<string, Column>;
  readonly integers: ReadonlyMap<string, IntegerRange>;
  /** Columns of types no rule can speak about (objects, arrays, times of day), by name. */
  readonly otherTypes: ReadonlyMap<string, string>;
  /** Where the contract names the table. */
  readonly source: Source;
  readonly node: Node;
}

const NOUNS = {
  '': 'a contract',
  servers: 'a server',
  schema: 'a schema object',
  properties: 'a property',
  items: 'items',
  quality: 'a quality rule',
  slaProperties: 'an SLA property',
  team: 'the team',
  members: 'a team member',
  customProperties: 'a custom property',
  relationships: 'a relationship',
  description: 'the description',
};

/** Classifications that say a column may be sent for any purpose; another one needs the purposes to be named. */
export const OPEN_CLASSIFICATIONS: readonly string[] = ['public', 'internal'];

const STATUSES = ['proposed', 'draft', 'active', 'deprecated', 'retired'];

/** Tables of a contract file that Sluice reads: those with a role, of an active or deprecated contract. */
export function readContract(source: Source, environment: string): ContractTable[] {
  const contract = checkShape(source, contractSchema, { nouns: NOUNS });
  // With errors in the columns every rule over them would be wrong too: their own problems say enough.
  if (!contract || source.problems.some(({ severity }) => severity === 'error')) return [];
  if (!STATUSES.includes(contract.status)) {
    // The standard allows any word. On a table of erasures or consents a slip would leave people unprotected, so there it is an error.
    const ours = [contract, ...(contract.schema ?? [])].some(({ customProperties = [] }) =>
      customProperties.some(({ property }) => property === 'sluice.role'),
    );
    source.report(nodeAt(source.root, ['status']), {
      rule: 'unknown-status',
      severity: ours ? 'error' : 'warning',
      message: `"${contract.status}" is not a status that Sluice knows, so this contract is not read.`,
      hint: didYouMean(contract.status, STATUSES) ?? 'Contracts that are active or deprecated are read.',
    });
  }
  const servers = readServers(source, contract.servers ?? []);
  const read = contract.status === 'active' || contract.status === 'deprecated';
  const tables: ContractTable[] = [];
  for (const [index, object] of (contract.schema ?? []).entries()) {
    const before = source.problems.filter((problem) => problem.severity === 'error').length;
    const table = readTable(source, contract, object, index);
    const after = source.problems.filter((problem) => problem.severity === 'error').length;
    if (!table) continue;
    checkEnvironment(source, servers, contract.servers ?? [], object.name, environment);
    const { physicalName } = table.table;
    if (read && before === after)
      tables.push({ ...table, table: { ...table.table, servers: serversFor(servers, physicalName) } });
  }
  return tables;
}

function readTable(source: Source, contract: ContractFile, object: SchemaObject, index: number): ContractTable | undefined {
  const at = ['schema', index];
  const settings = sluiceProperties(source, object, at, TABLE_PROPERTIES, 'a schema object');
  const shared = sluiceProperties(source, contract, [], TABLE_PROPERTIES, 'a contract');
  const setting = (key: string) => settings.get(key) ?? shared.get(key);
  const node = nodeAt(source.root, [...at, 'name']);
  const role = roleOf(source, setting('sluice.role'), node, object.name);
  if (role === undefined) return undefined;

  checkName(
    source,
    object.physicalName ?? object.name,
    nodeAt(source.root, [...at, object.physicalName === undefined ? 'name' : 'physicalName']),
    'table',
  );
  const columns = new Map<string, Column>();
  const integers = new Map<string, IntegerRange>();
  const otherTypes = new Map<string, string>();
  for (const [position, property] of (object.properties ?? []).entries()) {
    const place = [...at, 'properties', position];
    const column = readColumn(source, property, place);
    if (typeof column === 'string') otherTypes.set(property.name, column);
    if (typeof column !== 'object') continue;
    if (columns.has(property.name) || columns.has(column.name)) {
      source.report(nodeAt(source.root, [...place, 'name']), {
        rule: 'duplicate-column',
        message: `"${property.name}" is declared twice in ${object.name}.`,
      });
    }
    columns.set(property.name, column);
    columns.set(column.name, column);
    if (column.type === 'integer') integers.set(column.name, integerRange(property));
  }
  const all = [...new Set(columns.values())];
  const fields = fieldsOf(source, role, object.name, all, node);
  if (role === 'consents') checkNames(source, all, fields, node);
  const table: Table = {
    name: object.name,
    physicalName: object.physicalName ?? object.name,
    role,
    version: contract.version,
    status: contract.status,
    columns: all,
    fields,
    servers: {},
    freshness: freshnessOf(source, contract, object, role, columns),
    quality: qualityOf(source, object, at, columns),
    statuses: role === 'consents' ? statusesOf(source, setting('sluice.statuses')) : undefined,
    activeVersions: role === 'events' ? activeVersionsOf(source, setting('sluice.active_versions')) : undefined,
    file: source.file,
  };
  return { table, columns, integers, otherTypes, source, node };
}

/** What names a consent record stands in receipts for years, so it must say nothing of the person. */
function checkNames(source: Source, columns: readonly Column[], fields: Readonly<Record<string, string>>, node: Node): void {
  for (const field of ['record_id', 'source']) {
    const column = columns.find(({ name }) => name === fields[field]);
    if (column?.classification === undefined || OPEN_CLASSIFICATIONS.includes(column.classification.toLowerCase())) continue;
    source.report(node, {
      rule: 'classified-column',
      message: `"${column.name}" is classified ${column.classification}, and as ${field} it stands in every receipt.`,
      hint: 'Name the records by an id that says nothing of the person, and mark that column with sluice.field.',
    });
  }
}

/** Names go into SQL, and a table's into paths (`{table}`). Whatever is quoted, these would lead elsewhere. */
function checkName(source: Source, name: string, node: Node, what: 'table' | 'column'): void {
  // oxlint-disable-next-line no-control-regex
  const control = /[\u0000-\u001f\u007f]/.test(name) || !name.isWellFormed() || name === '';
  if (!control && (what === 'column' || !/[/\\*?[\]{}]|^\.|\.\.|\.$/.test(name))) return;
  source.report(node, {
    rule: 'invalid-value',
    message: control
      ? `The name of a ${what} must not be empty nor hold control characters.`
      : `"${name}" cannot be the name of a table in a warehouse: it may not hold / \\ * ? [ ] { } nor an empty part.`,
    hint: what === 'table' && !control ? 'Where the files of the table lie says the path of its server.' : undefined,
  });
}

function roleOf(source: Source, setting: Setting | undefined, node: Node, name: string): Role | undefined {
  if (!setting) {
    source.report(node, {
      rule: 'no-role',
      severity: 'warning',
      message: `"${name}" has no role, so Sluice does not read it.`,
      hint: `Add the custom property sluice.role: ${ROLES.join(', ')}.`,
    });
    return undefined;
  }
  if (typeof setting.value === 'string' && isRole(setting.value)) return setting.value;
  const given = String(setting.value);
  source.report(setting.node, {
    rule: 'invalid-value',
    message: `"${given}" is not a role.`,
    hint: didYouMean(given, ROLES) ?? `Roles are ${ROLES.join(', ')}.`,
  });
  return undefined;
}

/** A column; the name of its type when no rule can speak about it; undefined when it is wrong. */
function readColumn(source: Source, property: Property, at: readonly PropertyKey[]): Column | string | undefined {
  const settings = sluiceProperties(source, property, at, COLUMN_PROPERTIES, 'a property');
  const type = logicalTypeOf(property);
  if (type === undefined) {
    source.report(nodeAt(source.root, [...at, 'name']), {
      rule: 'no-type',
      message: `"${property.name}" has no type that Sluice knows.`,
      hint: 'Give it a logicalType: string, integer, number, boolean, date or timestamp.',
    });
    return undefined;
  }
  if (type === 'object' || type === 'array' || type === 'time') return type;
  checkName(source, property.physicalName ?? property.name, nodeAt(source.root, [...at, 'name']), 'column');
  const text = (key: string) => textSetting(source, settings.get(key), key);
  return {
    name: property.physicalName ?? property.name,
    type,
    required: property.required ?? property.primaryKey ?? false,
    unique: property.unique ?? false,
    primaryKey: property.primaryKey ?? false,
    scale: scaleSetting(source, settings.get('sluice.scale')) ?? scaleOf(property),
    zoned: zonedOf(property),
    field: text('sluice.field'),
    namespace: text('sluice.namespace'),
    purposes: textsSetting(source, settings.get('sluice.purposes'), 'sluice.purposes'),
    classification: property.classification,
  };
}
