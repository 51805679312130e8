import { namespacePolicy } from '../identity.ts';
import type { IdentityPolicy, Precedence, Table } from '../model.ts';
import { fieldOf } from './event.ts';
import { millisecondsOf, NO_TEXTS, numberText, quoteName, quoteText } from './literal.ts';
import { usableRows } from './retention.ts';

/**
 * A customer's identifiers as one row, best first. Not an `array_agg`: engines keep its lists in memory, a window sorts and spills.
 * The first SLOTS are side by side, the rest, which hardly anybody has, are gathered.
 */
export const SLOTS = 6;

/** White space by Unicode's definition: a value of nothing else is no identifier. Trimming the others is core's, after SQL. */
const WHITE_SPACE =
  '\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000';

/** Between namespace and value. */
const UNIT = 'chr(31)';

/** A search for one other character: engines take many times as long to translate all of them away. */
export const notBlank = (value: string): string => `regexp_like(${value}, ${quoteText(`[^${WHITE_SPACE}]`)})`;

/** `namespace || chr(31) || value`, as the diff reads it. */
export const entryOf = (namespace: string, value: string): string => `${quoteText(namespace)} || ${UNIT} || ${value}`;

export interface IdentifierSource {
  readonly customers: Table;
  /** Tables of role identifiers. */
  readonly tables: readonly Table[];
  /** All namespaces that any sync sends, but the customer id. */
  readonly namespaces: readonly string[];
  readonly policy: IdentityPolicy;
  /** "Now" of the run: by it rows are past their period. */
  readonly tick: number;
  /** Relation `customer_id`, `bound`, `level_<i>`: what a consent says of one identifier, per purpose. */
  readonly consents?:
    | { readonly relation: string; readonly purposes: number; readonly refused?: Refusals | undefined }
    | undefined;
  /** Relation `customer_id` to which the work can be limited. */
  readonly wanted?: string | undefined;
  /** That nobody has more identifiers than SLOTS is known: the rest is not looked for, which is two looks at the tables. */
  readonly few?: boolean | undefined;
  /** Relation of merged ids, columns MOVED_COLUMNS of core/sql/merges.ts: an id stands for its survivor then. */
  readonly moved?: string | undefined;
}

/** Who refuses, for purposes whose policy lets nobody be sent with an identifier that somebody who refused holds. */
export interface Refusals {
  /** Indexes of those purposes. */
  readonly purposes: readonly number[];
  /** FROM of the customers' states, alias `s`, and SQL of whether one refuses purpose `i`, never NULL. */
  readonly customers: string;
  readonly customer: (i: number) => string;
  /** The same of one identifier, over alias `b` of the levels. */
  readonly identifier: (i: number) => string;
}

/** Identifiers that somebody who refused holds: `shared`, and `refused_<i>` (1 or 0). */
const REFUSED = 'sluice_refused';

/** Name of the relation that `identifierExpressions` makes. */
const NUMBERED = 'sluice_numbered';
const MANY = 'sluice_many';
const REST = 'sluice_rest';

/** A tag is one character for the namespace, then one a purpose: `=` as the customer, `0` never, `1` under opt-out, `2` always. */
const tagOf = (index: number): string => String.fromCharCode(65 + index);

/** Common table expressions with the identifiers of every customer who has any. */
export function identifierExpressions(source: IdentifierSource): readonly string[] {
  const { namespaces, consents, wanted } = source;
  const rows = rowsOf(source);
  if (rows.length === 0) return [];
  // Every condition in full: Trino 435 does not compile `CASE x WHEN` where it finds a common part in two of them.
  const tags = namespaces.map((namespace, index) => `WHEN i.namespace = ${quoteText(namespace)} THEN ${quoteText(tagOf(index))}`);
  const tag = `CASE ${tags.join(' ')} END`;
  const refused = consents?.refused;
  const levels = Array.from({ length: consents?.purposes ?? 0 }, (_, i) => {
    const level = `coalesce(b.level_${i}, '=')`;
    return refused?.purposes.includes(i) === true
      ? ` || CASE WHEN f.refused_${i} = 1 THEN '0' ELSE ${level} END`
      : ` || ${level}`;
  }).join('');
  const tagged = levels !== '' || namespaces.length > 1;
  const order = ['i.tag_order', ...source.policy.precedence.map((name) => BEST_FIRST[name]), 'i.value'].join(', ');
  const window = `OVER (PARTITION BY i.customer_id ORDER BY ${order})`;
  const lead = (column: string, ahead: number): string => (ahead === 0 ? `i.${column}` : `lead(i.${column}, ${ahead}) ${window}`);
  const slots = Array.from(
    { length: SLOTS },
    (_, i) => `${lead('entry', i)} AS entry_${i}${tagged ? `, ${lead('tag', i)} AS tag_${i}` : ''}`,
  );
  const join =
    consents === undefined
      ? ''
      : `\n    LEFT JOIN ${consents.relation} b ON b.customer_id = i.customer_id AND b.bound = ${boundKey('i.namespace', 'i.value')}${
          refused === undefined
            ? ''
            : `\n    LEFT JOIN ${REFUSED} f ON f.shared = ${sharedKey(boundKey('i.namespace', 'i.value'))}`
        }`;
  const limits = wanted === undefined ? [] : [`i.customer_id IN (SELECT customer_id FROM ${wanted})`];
  const where = (conditions: readonly string[]): string => (conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`);
  const usable = usableConditions(source);
  const trust = trustSql(source);
  const union = asSurvivors(source, rows);
  const entries = (
    only: readonly string[],
  ): string => `SELECT i.customer_id, i.value, i.namespace || ${UNIT} || i.value AS entry, ${tag}${levels} AS tag, ${tag} AS tag_order,
      CASE WHEN i.verified THEN 1 ELSE 0 END AS verified, ${trust} AS trust, i.last_seen, i.first_seen
    FROM (
      ${union}
    ) i${join}${where([...only, ...usable])}`;
  const rest = [
    // Who they are is found without sorting, and without looking at values: a few too many do no harm.
    `${MANY} AS (
  SELECT i.customer_id FROM (
      ${asSurvivors(source, rowsOf(source, 'blank ones too'))}
    ) i${where(limits)} GROUP BY i.customer_id HAVING count(*) > ${SLOTS}
)`,
    `${REST} AS (
  SELECT i.customer_id, ${restColumns(source)
    .map(({ name, condition }) => `array_agg(i.entry ORDER BY i.n) FILTER (WHERE ${condition}) AS ${name}`)
    .join(', ')}
  FROM (
    SELECT i.customer_id, i.entry, i.tag, row_number() ${window} AS n
    FROM (
    ${entries([`i.customer_id IN (SELECT customer_id FROM ${MANY})`])}
    ) i
  ) i WHERE i.n > ${SLOTS} GROUP BY i.customer_id
)`,
  ];
  return [
    ...(consents === undefined || refused === undefined ? [] : [refusedExpression(source, rows, consents.relation, refused)]),
    `${NUMBERED} AS (
  SELECT * FROM (
    SELECT i.customer_id, ${slots.join(', ')}, row_number() ${window} AS n
    FROM (
    ${entries(limits)}
    ) i
  ) i WHERE i.n = 1
)`,
    ...(source.few === true ? [] : rest),
  ];
}

/** The identifiers of everybody who refused, also of whom no rule matches, and those that were refused one by one. */
function refusedExpression(source: IdentifierSource, rows: readonly string[], levels: string, of: Refusals): string {
  // What a merged id held its survivor holds, whatever may be sent of it.
  const all = asSurvivors({ ...source, policy: { ...source.policy, survivorship: 'all' } }, rows);
  const columns = (sql: (i: number) => string) => of.purposes.map((i) => `${sql(i)} AS refused_${i}`).join(', ');
  return `${REFUSED} AS (
  SELECT r.shared AS shared, ${of.purposes.map((i) => `max(CASE WHEN r.refused_${i} THEN 1 ELSE 0 END) AS refused_${i}`).join(', ')}
  FROM (
    SELECT ${sharedKey(boundKey('i.namespace', 'i.value'))} AS shared, ${columns(of.customer)}
    FROM (
      ${all}
    ) i JOIN ${of.customers} ON s.customer_id = i.customer_id
    UNION ALL
    SELECT ${sharedKey('b.bound')} AS shared, ${columns(of.identifier)} FROM ${levels} b
  ) r
  WHERE r.shared IS NOT NULL AND (${of.purposes.map((i) => `r.refused_${i}`).join(' OR ')})
  GROUP BY r.shared
)`;
}

/** All rows, those of merged ids under the survivor where the policy says that they are the survivor's, else left out. */
function asSurvivors({ moved, policy }: IdentifierSource, rows: readonly string[]): string {
  const union = rows.join('\n      UNION ALL\n      ');
  if (moved === undefined) return union;
  return `SELECT coalesce(g.to_id, r.customer_id) AS customer_id, r.namespace, r.value, r.verified, r.trust, r.last_seen, r.first_seen
      FROM (
      ${union}
      ) r (customer_id, namespace, value, verified, trust, last_seen, first_seen)
      LEFT JOIN ${moved} g ON g.from_id = r.customer_id${policy.survivorship === 'all' ? '' : '\n      WHERE g.from_id IS NULL OR g.stands'}`;
}

/** `chooseIdentifiers` of core/identity.ts in SQL: more is better, and unknown is worst. */
const BEST_FIRST: Readonly<Record<Precedence, string>> = {
  verified: 'i.verified DESC',
  trust: 'i.trust DESC NULLS LAST',
  last_seen: 'i.last_seen DESC NULLS LAST',
  first_seen: 'i.first_seen DESC NULLS LAST',
};

/** Which rows the policy lets be used, over alias `i`; nothing where it lets all. Never NULL. */
function usableConditions({ namespaces, policy }: IdentifierSource): readonly string[] {
  return namespaces.flatMap((name) => {
    const { unverified, minTrust, trust } = namespacePolicy(policy, name);
    const other = `i.namespace <> ${quoteText(name)}`;
    const stated = trust === undefined ? 'i.trust' : `coalesce(i.trust, ${double(trust)})`;
    return [
      ...(unverified === 'ignore' ? [`(${other} OR coalesce(i.verified, FALSE))`] : []),
      ...(minTrust === undefined ? [] : [`(${other} OR coalesce(${stated} >= ${double(minTrust)}, FALSE))`]),
    ];
  });
}

/** How far a row is trusted: what it says itself, else what the policy says of its namespace. */
function trustSql({ namespaces, policy }: IdentifierSource): string {
  const usual = namespaces.flatMap((name) => {
    const { trust } = namespacePolicy(policy, name);
    return trust === undefined ? [] : [`WHEN i.namespace = ${quoteText(name)} THEN ${double(trust)}`];
  });
  return usual.length === 0 ? 'i.trust' : `coalesce(i.trust, CASE ${usual.join(' ')} END)`;
}

const double = (value: number): string => `CAST(${numberText(String(value))} AS double)`;

/** Which arrays hold what is past the slots: a namespace each, and where consents speak of identifiers one for every level that may go. */
function restColumns({ namespaces, consents }: IdentifierSource): readonly RestColumn[] {
  return namespaces.flatMap((_, index): RestColumn[] => {
    const tag = tagOf(index);
    const only = `substr(i.tag, 1, 1) = ${quoteText(tag)}`;
    if (consents === undefined) return [{ name: `rest_${index}`, tag, condition: only }];
    return Array.from({ length: consents.purposes }, (_none, purpose) => purpose).flatMap((purpose) =>
      ['=', '1', '2'].map((level, i) => ({
        name: `rest_${index}_${purpose}_${i}`,
        tag,
        purpose,
        level,
        condition: `${only} AND substr(i.tag, ${purpose + 2}, 1) = ${quoteText(level)}`,
      })),
    );
  });
}

interface RestColumn {
  readonly name: string;
  readonly tag: string;
  readonly condition: string;
  readonly purpose?: number;
  readonly level?: string;
}

/** One name for an identifier, so that a consent finds it though it is spelled with other capitals or spaces. NULL when there is none. */
export const boundKey = (namespace: string, value: string): string =>
  `CASE WHEN ${namespace} <> '' AND ${value} <> '' THEN ${namespace} || ${UNIT} || lower(translate(${value}, ${quoteText(WHITE_SPACE)}, '')) END`;

/**
 * Of `boundKey`: equal for any two values that some platform would be sent the same of. Google leaves dots and what follows a plus out of
 * its own addresses; for the others that is two addresses taken for one, on the safe side. NULL for what cannot be told.
 */
export function sharedKey(bound: string): string {
  const key = `normalize(${bound})`;
  const local = `regexp_replace(regexp_replace(${key}, '[+].*@', '@'), '[.]', '')`;
  return `CASE WHEN ${bound} LIKE 'maid' || ${UNIT} || '%' THEN ${bound}
      WHEN regexp_like(${bound}, '@(gmail|googlemail)[.]com$') AND ${bound} LIKE 'email' || ${UNIT} || '%' THEN ${local}
      WHEN ${bound} LIKE 'email' || ${UNIT} || '%' THEN ${key} END`;
}

/** The tables' rows and the customers' own columns; none when the columns alone, read in the pass over the customers, say it all. */
function rowsOf(source: IdentifierSource, take: 'usable ones' | 'blank ones too' = 'usable ones'): readonly string[] {
  const { customers, tables, namespaces, consents, moved, tick } = source;
  const more = consents !== undefined || moved !== undefined || usableConditions(source).length > 0;
  const columnsAlone = tables.length === 0 && !more;
  if (namespaces.length === 0 || columnsAlone) return [];
  const wanted = namespaces.map(quoteText).join(', ');
  const fromTables = tables.map((table) => {
    const at = (field: string) => `i.${quoteName(fieldOf(table, field).name)}`;
    const optional = (field: string, type: string, sql: (expression: string) => string = (expression) => expression) =>
      table.fields[field] === undefined ? `CAST(NULL AS ${type})` : sql(at(field));
    const time = (field: string) => optional(field, 'bigint', (expression) => millisecondsOf(expression, fieldOf(table, field)));
    return `SELECT CAST(${at('customer_id')} AS varchar) AS customer_id, ${at('namespace')} AS namespace, ${at('value')} AS value,
        ${optional('verified', 'boolean')} AS verified, ${optional('trust', 'double', (expression) => `CAST(${expression} AS double)`)} AS trust,
        ${time('last_seen')} AS last_seen, ${time('first_seen')} AS first_seen
      FROM ${usableRows(table, tick)} i
      WHERE ${at('namespace')} IN (${wanted})${take === 'usable ones' ? ` AND ${notBlank(at('value'))}` : ''}`;
  });
  const id = `CAST(c.${quoteName(fieldOf(customers, 'customer_id').name)} AS varchar)`;
  const fromColumns = identifierColumns(customers, namespaces).map(
    ({
      name,
      namespace,
    }) => `SELECT ${id}, ${quoteText(namespace)}, CAST(c.${quoteName(name)} AS varchar), CAST(NULL AS boolean), CAST(NULL AS double), CAST(NULL AS bigint), CAST(NULL AS bigint)
      FROM ${usableRows(customers, tick)} c WHERE ${notBlank(`CAST(c.${quoteName(name)} AS varchar)`)}`,
  );
  return [...fromTables, ...fromColumns];
}

/** Columns of the customers table that hold an identifier of one of the namespaces. */
export const identifierColumns = (
  customers: Table,
  namespaces: readonly string[],
): readonly { readonly name: string; readonly namespace: string }[] =>
  customers.columns.flatMap(({ name, namespace }) =>
    namespace !== undefined && namespaces.includes(namespace) ? [{ name, namespace }] : [],
  );

/** Joins of the identifiers to a customer id. */
export const identifierJoins = (source: IdentifierSource, customerId: string): readonly string[] =>
  rowsOf(source).length === 0
    ? []
    : [
        `LEFT JOIN ${NUMBERED} i ON i.customer_id = ${customerId} `,
        ...(source.few === true ? [] : [`LEFT JOIN ${REST} o ON o.customer_id = ${customerId}`]),
      ];

/** Which identifiers a sync sends. */
export interface Selection {
  /** In the order of the sync; `external_id` is the customer id itself. */
  readonly namespaces: readonly string[];
  readonly customerId: string;
  /** What the customer's own consent says (SQL boolean), where consents can be about one identifier; `basis` is SQL of the basis. */
  readonly consent?: { readonly purpose: number; readonly allowed: string; readonly basis: string } | undefined;
}

/** SQL of the array: namespaces in the sync's order, best first in each. */
export function identifiersSql(source: IdentifierSource, selection: Selection): string {
  const tabled = rowsOf(source).length > 0;
  const pieces = runsOf(selection.namespaces, source.namespaces, tabled).map((run) => {
    if (run[0] === 'external_id') return `ARRAY[${entryOf('external_id', selection.customerId)}]`;
    if (!tabled) return columnsSql(source.customers, run, selection);
    return slotsSql(source, run, selection);
  });
  return pieces.length === 0 ? NO_TEXTS : pieces.join(' || ');
}

/** Namespaces that can be taken from the slots in one go, because they follow each other there as they do in the sync. */
function runsOf(wanted: readonly string[], order: readonly string[], tabled: boolean): readonly (readonly string[])[] {
  const runs: string[][] = [];
  for (const namespace of wanted) {
    const last = runs.at(-1);
    const before = last?.at(-1);
    const follows =
      before !== undefined &&
      before !== 'external_id' &&
      namespace !== 'external_id' &&
      (!tabled || order.indexOf(before) < order.indexOf(namespace));
    if (last !== undefined && follows) last.push(namespace);
    else runs.push([namespace]);
  }
  return runs;
}

function columnsSql(customers: Table, run: readonly string[], { consent }: Selection): string {
  const columns = run.flatMap((namespace) => identifierColumns(customers, [namespace]));
  if (columns.length === 0) return NO_TEXTS;
  const allowed = consent === undefined ? '' : `${consent.allowed} AND `;
  const values = columns.map(({ name, namespace }) => {
    const value = identifierColumn(name);
    return `CASE WHEN ${allowed}${notBlank(value)} THEN ${entryOf(namespace, value)} ELSE '' END`;
  });
  return `array_remove(ARRAY[${values.join(', ')}], '')`;
}

/** Where the snapshot's pass over the customers puts the text of an identifier column. */
export const identifierColumn = (name: string): string => `p.${quoteName(`id ${name}`)}`;

function slotsSql(source: IdentifierSource, run: readonly string[], { consent }: Selection): string {
  const tags = run.map((namespace) => tagOf(source.namespaces.indexOf(namespace)));
  const every = tags.length === source.namespaces.length;
  const values = Array.from({ length: SLOTS }, (_, slot) => {
    const conditions = [
      ...(every ? [] : [`substr(i.tag_${slot}, 1, 1) IN (${tags.map(quoteText).join(', ')})`]),
      ...(consent === undefined ? [] : [mayGo(`substr(i.tag_${slot}, ${consent.purpose + 2}, 1)`, consent)]),
    ];
    return conditions.length === 0
      ? `coalesce(i.entry_${slot}, '')`
      : `CASE WHEN ${conditions.join(' AND ')} THEN i.entry_${slot} ELSE '' END`;
  });
  const rest = (source.few === true ? [] : restColumns(source))
    .filter((column) => tags.includes(column.tag) && column.purpose === consent?.purpose)
    .map(({ name, level }) => {
      const all = `coalesce(o.${name}, ${NO_TEXTS})`;
      return consent === undefined || level === undefined
        ? all
        : `CASE WHEN ${mayGo(quoteText(level), consent)} THEN ${all} ELSE ${NO_TEXTS} END`;
    });
  const all = values.every((value) => value.startsWith('coalesce('));
  return [all ? entriesSql() : `array_remove(ARRAY[${values.join(', ')}], '')`, ...rest].join(' || ');
}

/** All slots that are taken, which are the first ones: cheaper than taking the empty ones out of an array. */
function entriesSql(): string {
  const entries = Array.from({ length: SLOTS }, (_, slot) => `i.entry_${slot}`);
  const cases = entries
    .slice(1)
    .map((entry, taken) => `WHEN ${entry} IS NULL THEN ARRAY[${entries.slice(0, taken + 1).join(', ')}]`);
  return `CASE WHEN i.entry_0 IS NULL THEN ${NO_TEXTS} ${cases.join(' ')} ELSE ARRAY[${entries.join(', ')}] END`;
}

/** May an identifier of this level go? One that no consent is about goes as the customer does. */
function mayGo(level: string, { allowed, basis }: NonNullable<Selection['consent']>): string {
  return `CASE WHEN ${level} = '=' THEN ${allowed} WHEN ${level} = '2' THEN TRUE WHEN ${level} = '1' THEN ${basis} = 'opt-out' ELSE FALSE END`;
}

/**
 * The decision about the person where consents can be about one identifier: allowed as the customer is, or by an identifier that may go.
 * A person all of whose identifiers were refused one by one is refused, unless the record hangs on the customer id. Never NULL.
 */
export function allowedWith(source: IdentifierSource, { namespaces, consent }: Selection): string {
  const tags = namespaces.flatMap((namespace) =>
    namespace === 'external_id' ? [] : [quoteText(tagOf(source.namespaces.indexOf(namespace)))],
  );
  if (consent === undefined) return 'FALSE';
  if (tags.length === 0 || rowsOf(source).length === 0) return consent.allowed;
  const slots = Array.from({ length: SLOTS }, (_, slot) => ({
    ours: `substr(i.tag_${slot}, 1, 1) IN (${tags.join(', ')})`,
    level: `substr(i.tag_${slot}, ${consent.purpose + 2}, 1)`,
  }));
  const some = `coalesce(${slots.map(({ ours, level }) => `(${ours} AND ${mayGo(level, consent)})`).join(' OR ')}, FALSE)`;
  if (namespaces.includes('external_id')) return `(${consent.allowed} OR ${some})`;
  const refused = slots.map(({ ours, level }) => `(${ours} AND ${level} <> '=' AND NOT ${mayGo(level, consent)})`).join(' OR ');
  return `(${some} OR (${consent.allowed} AND NOT coalesce(${refused}, FALSE)))`;
}
