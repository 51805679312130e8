import type { Node } from 'yaml';
import type { Column } from '../model.ts';
import { didYouMean } from '../problems.ts';
import type { ContractTable } from './contract.ts';
import type { Source } from './source.ts';

/** Stands in `brokenContracts` for whatever a contract declares that is not even YAML. */
export const ANY_NAME = '*';

/** What a rule may speak about. */
export interface Scope {
  readonly source: Source;
  /** The table whose columns are tested; undefined when its contract is unusable, which is reported there and once. */
  readonly table: ContractTable | undefined;
  /** The event a `where` filters, undefined in the rule itself. */
  readonly event?: string;
  /** Tables of role events by name, the one to use first. */
  readonly events: ReadonlyMap<string, readonly ContractTable[]>;
  /** Tables that contracts with errors declare, and the file of each. */
  readonly brokenContracts: ReadonlyMap<string, string>;
  /** Every audience that is named, for the checks across files. */
  readonly references: { readonly name: string; readonly node: Node }[];
}

/** `customers (contracts/customers.yaml, version 1.0.0)`. */
export const placeOf = ({ table }: ContractTable): string => `${table.name} (${table.file}, version ${table.version})`;

/** The column a key names, reported when there is none. */
export function namedColumn(source: Source, table: ContractTable, name: string, node: Node): Column | undefined {
  const column = table.columns.get(name);
  if (!column) {
    const other = table.otherTypes.get(name);
    source.report(node, {
      rule: other === undefined ? 'unknown-column' : 'unusable-column',
      message:
        other === undefined
          ? `"${name}" is not a column of ${placeOf(table)}.`
          : `"${name}" is of type ${other} in ${placeOf(table)}.`,
      hint: other === undefined ? didYouMean(name, table.columns.keys()) : undefined,
    });
  }
  return column;
}
