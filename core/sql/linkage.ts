import type { Table, Workspace } from '../model.ts';
import type { Query, Relation } from '../ports.ts';
import { customersOf } from './audience.ts';
import { fieldOf } from './event.ts';
import { quoteName, quoteTable, quoteText } from './literal.ts';
import { MOVED } from './merges.ts';

/**
 * How many customers have how many identifiers of the namespaces, one row a number: `namespace`, `n`, `customers`, and `orphans`, the
 * identifiers of those who have no row among the customers. Ids that were merged away count as the survivor. Reads no value of an identifier.
 * Null where no table holds identifiers.
 */
export function linkageQuery(workspace: Workspace, namespaces: readonly string[], moved: Relation | null): Query | null {
  const tables = workspace.tables.filter(({ role }) => role === 'identifiers');
  if (tables.length === 0 || namespaces.length === 0) return null;
  const customers = customersOf(workspace);
  const idOf = (alias: string, table: Table): string =>
    `CAST(${alias}.${quoteName(fieldOf(table, 'customer_id').name)} AS varchar)`;
  const rows = tables.map((table) => {
    const namespace = `r.${quoteName(fieldOf(table, 'namespace').name)}`;
    return `SELECT ${idOf('r', table)} AS customer_id, ${namespace} AS namespace FROM ${quoteTable(table.physicalName)} r
      WHERE ${namespace} IN (${namespaces.map(quoteText).join(', ')})`;
  });
  const survivor = (id: string): string => (moved === null ? id : `coalesce(g.to_id, ${id})`);
  const join = (id: string): string => (moved === null ? '' : ` LEFT JOIN ${MOVED} g ON g.from_id = ${id}`);
  const alive = moved === null ? '' : ' WHERE g.from_id IS NULL OR g.stands';
  const id = idOf('c', customers);
  return {
    sql: `SELECT i.namespace AS namespace, i.n AS n, count(*) AS customers, sum(CASE WHEN c.id IS NULL THEN i.n ELSE 0 END) AS orphans
FROM (
  SELECT ${survivor('r.customer_id')} AS id, r.namespace AS namespace, count(*) AS n
  FROM (
    ${rows.join('\n    UNION ALL\n    ')}
  ) r${join('r.customer_id')}
  GROUP BY 1, 2
) i
LEFT JOIN (SELECT ${survivor(id)} AS id FROM ${quoteTable(customers.physicalName)} c${join(id)}${alive}) c ON c.id = i.id
GROUP BY i.namespace, i.n`,
    tables: [customers, ...tables],
    relations: moved === null ? {} : { [MOVED]: moved },
  };
}
