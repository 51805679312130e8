import type { ConsentPolicy, Table } from '../model.ts';
import type { Query, Relation } from '../ports.ts';
import { fieldOf } from './event.ts';
import { countrySql } from './jurisdiction.ts';
import { quoteName, quoteTable, quoteText } from './literal.ts';
import { MERGED, mergeExpressions } from './merges.ts';
import { memberSql } from './stops.ts';

/**
 * Who a request to forget is about. What is looked for comes as a relation and never as text of the query, because engines keep the
 * texts of queries: JSON lines of `kind` and `value`, where `kind` is `id` (customer id), `loose` (`looseSql` of a value), `tail` (the last
 * digits of a phone) or `hex` (SHA-256 of a canonical form).
 */
export const WANTED_COLUMNS = { kind: 'varchar', value: 'varchar' } as const;

export interface PersonSource {
  readonly tables: readonly Table[];
  readonly consent: ConsentPolicy;
  readonly tick: number;
}

const tablesOf = ({ tables }: PersonSource, role: Table['role']): readonly Table[] =>
  tables.filter((table) => table.role === role);

/** A value without white space and in small letters, as `looseOf` makes it in TypeScript. */
const looseSql = (value: string): string => `regexp_replace(lower(normalize(${value})), '\\s', '')`;
export const looseOf = (value: string): string => value.normalize('NFC').toLowerCase().replaceAll(/\s/g, '');

const digitsSql = (value: string): string => `regexp_replace(${value}, '[^0-9]', '')`;
const TAIL = 6;
/** The last digits, which every spelling of a phone number ends with. Undefined when there are too few. */
export function tailOf(value: string): string | undefined {
  const digits = value.replaceAll(/\D/g, '');
  return digits.length < TAIL ? undefined : digits.slice(-TAIL);
}

/** The ids asked for and all that were ever merged with them: `customer_id`. */
export function samePersonQuery(source: PersonSource, wanted: Relation): Query {
  const changes = tablesOf(source, 'identity-changes');
  const merges = mergeExpressions(changes, source.tick);
  const asked = `SELECT value AS customer_id FROM wanted WHERE kind = 'id'`;
  if (merges.length === 0) return { sql: asked, relations: { wanted } };
  return {
    sql: `WITH ${merges.join(', ')}, asked AS (${asked})
SELECT customer_id FROM asked UNION SELECT u.id
FROM (
  SELECT m.from_id AS from_id, m.to_id AS to_id,
    max(CASE WHEN a.customer_id IS NOT NULL OR b.customer_id IS NOT NULL THEN 1 ELSE 0 END) OVER (PARTITION BY m.to_id) AS of_theirs
  FROM ${MERGED} m LEFT JOIN asked a ON a.customer_id = m.from_id LEFT JOIN asked b ON b.customer_id = m.to_id
) g CROSS JOIN UNNEST(ARRAY[g.from_id, g.to_id]) AS u(id)
WHERE g.of_theirs = 1`,
    tables: changes,
    relations: { wanted },
  };
}

/** Every identifier of every customer: `customer_id`, `namespace`, `value`. */
function entriesSql(source: PersonSource): string {
  const [customers] = tablesOf(source, 'customers');
  const tables = tablesOf(source, 'identifiers').map((table) => {
    const at = (name: string): string => `i.${quoteName(fieldOf(table, name).name)}`;
    return `SELECT CAST(${at('customer_id')} AS varchar) AS customer_id, ${at('namespace')} AS namespace, ${at('value')} AS value FROM ${quoteTable(table.physicalName)} i`;
  });
  const columns =
    customers === undefined
      ? []
      : customers.columns
          .filter(({ namespace }) => namespace !== undefined)
          .map(
            ({ name, namespace = '' }) =>
              `SELECT CAST(c.${quoteName(fieldOf(customers, 'customer_id').name)} AS varchar), ${quoteText(namespace)}, CAST(c.${quoteName(name)} AS varchar) FROM ${quoteTable(customers.physicalName)} c`,
          );
  const all = [...tables, ...columns];
  return all.length === 0
    ? `SELECT CAST(NULL AS varchar) AS customer_id, CAST(NULL AS varchar) AS namespace, CAST(NULL AS varchar) AS value WHERE 1 = 0`
    : all.join('\n    UNION ALL ');
}

/**
 * Identifiers of the customers asked for, and whoever else's look like one of the values: `customer_id`, `namespace`, `value`, `country`.
 * Looks alike only: the caller reads each as platforms do.
 */
export function entriesQuery(source: PersonSource, wanted: Relation, hashed: boolean): Query {
  const [customers] = tablesOf(source, 'customers');
  const column = source.consent.jurisdiction?.column;
  const lives =
    customers !== undefined && column !== undefined && customers.columns.some(({ name }) => name === column)
      ? {
          country: countrySql(`CAST(c.${quoteName(column)} AS varchar)`),
          join: `LEFT JOIN ${quoteTable(customers.physicalName)} c ON CAST(c.${quoteName(fieldOf(customers, 'customer_id').name)} AS varchar) = f.customer_id`,
        }
      : { country: 'CAST(NULL AS varchar)', join: '' };
  const sha = (text: string): string => `lower(to_hex(sha256(to_utf8(${text}))))`;
  const by = (kind: string, expression: string): string =>
    `SELECT e.customer_id, e.namespace, e.value FROM entries e JOIN wanted w ON w.kind = '${kind}' AND w.value = ${expression}`;
  const ways = [
    by('id', 'e.customer_id'),
    by('loose', looseSql('e.value')),
    by('tail', `substr(${digitsSql('e.value')}, -${TAIL})`),
    by('hex', 'lower(e.value)'),
    ...(hashed
      ? [looseSql('e.value'), `'+' || ${digitsSql('e.value')}`, digitsSql('e.value')].map((text) => by('hex', sha(text)))
      : []),
  ];
  const sql = `WITH entries AS (
    ${entriesSql(source)}
), found AS (
  SELECT DISTINCT f.customer_id, f.namespace, f.value FROM (
  ${ways.join('\n  UNION ALL ')}
  ) f
)
SELECT f.customer_id AS customer_id, f.namespace AS namespace, f.value AS value, ${lives.country} AS country
FROM found f ${lives.join}
WHERE f.customer_id IS NOT NULL AND f.namespace IS NOT NULL AND f.value IS NOT NULL`;
  return {
    sql,
    tables: [...tablesOf(source, 'identifiers'), ...(customers === undefined ? [] : [customers])],
    relations: { wanted },
  };
}

/** Tombstones as lines: a mark and one who keeps it, or a mark alone. */
export const MARK_COLUMNS = { mark: 'varchar', keeper: 'varchar' } as const;

/**
 * Members to whom an identifier of an erased person is attached and who did not hold it then: `member`. SQL reads e-mail addresses and texts
 * as `hashesOf` of core/forget/tombstones.ts does, and phones that are written with their calling code; others are found when they are
 * normalised to be sent.
 *
 * @param strong namespaces that have tombstones
 */
export function returnedQuery(source: PersonSource, marks: Relation, strong: readonly string[], secret: string): Query {
  const [customers] = tablesOf(source, 'customers');
  const sha = (text: string): string => `lower(to_hex(sha256(to_utf8(${text}))))`;
  const name = `regexp_replace(e.namespace, '_sha256$', '')`;
  const form = (hash: string, where: string): string =>
    `SELECT e.customer_id AS customer_id, ${name} AS namespace, ${hash} AS hash FROM entries e WHERE ${where}`;
  const hashed = `regexp_like(e.namespace, '_sha256$')`;
  const sql = `WITH all_entries AS (
    ${entriesSql(source)}
), entries AS (
  SELECT e.customer_id AS customer_id, e.namespace AS namespace, e.value AS value FROM all_entries e
  WHERE e.value IS NOT NULL AND regexp_replace(e.namespace, '_sha256$', '') IN (${strong.map(quoteText).join(', ')})
), forms AS (
  ${[
    form('lower(e.value)', hashed),
    form(sha(looseSql('e.value')), `NOT ${hashed}`),
    form(sha(`'+' || ${digitsSql('e.value')}`), `e.namespace = 'phone'`),
    // As Meta hashes it: of who was sent there with a number that no table knew any more, this is the only tombstone.
    form(sha(digitsSql('e.value')), `e.namespace = 'phone'`),
  ].join('\n  UNION ALL ')}
), held AS (
  SELECT DISTINCT ${memberSql(secret, 'f.customer_id')} AS member, substr(${sha(`${quoteText(`${secret}\n`)} || f.namespace || chr(10) || f.hash`)}, 1, 32) AS mark
  FROM forms f
)
SELECT DISTINCT h.member AS member
FROM held h JOIN (SELECT DISTINCT mark FROM marks) m ON m.mark = h.mark
LEFT JOIN marks k ON k.mark = h.mark AND k.keeper = h.member
WHERE k.mark IS NULL`;
  return {
    sql,
    tables: [...tablesOf(source, 'identifiers'), ...(customers === undefined ? [] : [customers])],
    relations: { marks },
  };
}
