import type { Node } from 'yaml';
import type { Column, Role } from '../model.ts';
import { didYouMean, nearest } from '../problems.ts';
import { ROLE_FIELDS } from './role-fields.ts';
import type { Source } from './source.ts';

/** Finds the column of each field of the role and checks its type. */
export function fieldsOf(
  source: Source,
  role: Role,
  table: string,
  columns: readonly Column[],
  node: Node,
): Readonly<Record<string, string>> {
  const fields: Record<string, string> = Object.create(null) as Record<string, string>;
  const known = ROLE_FIELDS[role].map((entry) => entry.field);
  for (const column of columns) {
    if (column.field === undefined || known.includes(column.field)) continue;
    source.report(node, {
      rule: 'unknown-field',
      message: `"${column.name}" says it is the field "${column.field}", which tables of role ${role} do not have.`,
      hint: didYouMean(column.field, known) ?? `Their fields are ${known.join(', ')}.`,
    });
  }
  for (const { field, column: usual, needed, types } of ROLE_FIELDS[role]) {
    const claiming = columns.filter((column) => column.field === field);
    const column = claiming[0] ?? columns.find((other) => other.name === usual && other.field === undefined);
    if (claiming.length > 1) {
      const names = claiming.map((other) => `"${other.name}"`).join(' and ');
      source.report(node, { rule: 'duplicate-field', message: `${names} both say they are the field "${field}".` });
    }
    if (!column) {
      if (!needed) continue;
      const near = nearest(
        usual,
        columns.map((other) => other.name),
      );
      source.report(node, {
        rule: 'missing-field',
        message: `"${table}" has no column for "${field}", which a table of role ${role} needs.`,
        hint: near
          ? `If it is "${near}", say so there with the custom property sluice.field: ${field}.`
          : `Add a column "${usual}", or mark one with the custom property sluice.field: ${field}.`,
      });
    } else if (types.includes(column.type)) fields[field] = column.name;
    else {
      source.report(node, {
        rule: 'wrong-field-type',
        message: `"${column.name}" is the field "${field}" and must be of type ${types.join(' or ')}, not ${column.type}.`,
      });
    }
  }
  return fields;
}
