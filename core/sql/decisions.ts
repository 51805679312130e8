import type { PurposePolicy } from '../model.ts';
import {
  allowedSql,
  ASKED,
  bindsIdentifiers,
  type ConsentSource,
  countedRecords,
  decidedWhere,
  joinStates,
  namesRecords,
  NUMBER,
  numberOf,
  OBJECTED,
  rankOf,
  recordNumber,
  REFUSES,
  type State,
} from './consent.ts';
import { quoteText } from './literal.ts';

/**
 * Consent decisions that are kept as files beside a snapshot, where records have names or speak of identifiers: each takes more than one
 * look at the records, and Trino runs a `WITH` expression anew wherever it is named. They come from one pass over the consents.
 */

/** Name of the relation. */
export const DECISIONS = 'sluice_decisions';

/** What an identifier's own decision allows: nothing, sending under opt-out, sending. */
export const LEVELS_OF = ['0', '1', '2'] as const;

/**
 * A row is about one customer and purpose, and where `bound` is not NULL about one identifier: what decides there (`decided`, a number of
 * core/sql/consent.ts) and what it allows (`level`). One row a customer and purpose `leads`, whatever it is about: it says what decides of
 * the customer's own records (`own`, NULL where there are none), and of identifiers with each level what was last decided (`last_<level>`).
 * `ref` is the name of the record.
 */
export const DECISION_COLUMNS = {
  customer_id: 'varchar',
  purpose: 'varchar',
  bound: 'varchar',
  decided: 'bigint',
  level: 'varchar',
  leads: 'boolean',
  own: 'bigint',
  own_ref: 'varchar',
  last_0: 'bigint',
  ref_0: 'varchar',
  last_1: 'bigint',
  ref_1: 'varchar',
  last_2: 'bigint',
  ref_2: 'varchar',
} as const;

interface Shape {
  readonly source: ConsentSource;
  readonly policies: readonly PurposePolicy[];
  readonly named: boolean;
  readonly bound: boolean;
  readonly ordered: boolean;
}

/** SELECT of DECISION_COLUMNS. @param policies in the order of the source's purposes */
export function decisionsSql(source: ConsentSource, policies: readonly PurposePolicy[]): string {
  const { tables, sources } = source;
  const shape: Shape = {
    source,
    policies,
    named: namesRecords(tables),
    bound: bindsIdentifiers(tables),
    ordered: sources !== undefined,
  };
  const leading = (column: string) => (shape.bound ? `CASE WHEN x.leads THEN x.${column} END` : `x.${column}`);
  const last = LEVELS_OF.flatMap((level) =>
    shape.bound
      ? [`${leading(`last_${level}`)} AS last_${level}`, `${shape.named ? leading(`ref_${level}`) : NO_TEXT} AS ref_${level}`]
      : [`${NO_NUMBER} AS last_${level}`, `${NO_TEXT} AS ref_${level}`],
  );
  return `SELECT x.customer_id AS customer_id, x.purpose AS purpose, x.bound AS bound, x.decided AS decided, x.level AS level, x.leads AS leads,
  ${leading('own')} AS own, ${shape.named ? leading('own_ref') : NO_TEXT} AS own_ref, ${last.join(', ')}
FROM (
  ${shape.bound ? lastOf(shape) : decidedOf(shape)}
) x`;
}

const NO_NUMBER = 'CAST(NULL AS bigint)';
const NO_TEXT = 'CAST(NULL AS varchar)';

/** Of the decisions about identifiers the last of each level, on every row of a customer and purpose. */
function lastOf(shape: Shape): string {
  const all = 'OVER (PARTITION BY x.customer_id, x.purpose)';
  const last = LEVELS_OF.flatMap((level) => [
    `max(CASE WHEN x.level = '${level}' THEN x.decided END) ${all} AS last_${level}`,
    ...(shape.named ? [`max(CASE WHEN x.level = '${level}' AND x.n = 1 THEN x.ref END) ${all} AS ref_${level}`] : []),
  ]);
  const inOrder = `SELECT x.*, row_number() OVER (PARTITION BY x.customer_id, x.purpose, x.level ORDER BY x.decided DESC, x.ref) AS n FROM (
  ${decidedOf(shape)}
  ) x`;
  return `SELECT x.*, ${last.join(', ')} FROM (
  ${shape.named ? inOrder : decidedOf(shape)}
  ) x`;
}

/** What decides of the customer's own records, and of all records that speak of an identifier and of the customer: they are one history. */
function decidedOf(shape: Shape): string {
  const { source, policies, named, bound, ordered } = shape;
  const must = source.confirm ?? [];
  const confirm =
    must.length === 0 || must.length === source.purposes.length
      ? must[0] && 'TRUE'
      : `x.purpose IN (${must.map(quoteText).join(', ')})`;
  const decided = (state: State) => decidedWhere({ ordered, confirm }, state);
  const self = bound ? 'own_' : '';
  const own = stateIn(self);
  const about = 'x.customer_id, x.purpose, x.bound, x.leads';
  if (!bound)
    return `SELECT ${about}, ${NO_NUMBER} AS decided, ${NO_TEXT} AS level, x.own${named ? `, ${refOf(shape, 'x.own', [self])} AS own_ref` : ''} FROM (
  SELECT x.*, TRUE AS leads, ${decided(own)} AS own FROM (
  ${groupsOf(shape)}
  ) x
  ) x`;
  const level = source.purposes.map((purpose, i) => {
    const policy = policies[i];
    if (policy === undefined) return '';
    const allowed = (basis: string) => allowedSql(policy, 'x.decided', `'${basis}'`, source.tick);
    return `WHEN x.purpose = ${quoteText(purpose)} THEN CASE WHEN ${allowed('opt-in')} THEN '2' WHEN ${allowed('opt-out')} THEN '1' ELSE '0' END`;
  });
  const refs = named ? `, ${refOf(shape, 'x.own', [self])} AS own_ref, ${refOf(shape, 'x.decided', [self, ''])} AS ref` : '';
  return `SELECT ${about}, x.decided, CASE WHEN x.bound IS NULL THEN NULL ${level.join(' ')} END AS level, x.own${refs} FROM (
  SELECT x.*, ${decided(own)} AS own, CASE WHEN x.bound IS NOT NULL THEN ${decided(joinStates(stateIn(''), own))} END AS decided FROM (
  ${withOwn(shape)}
  ) x
  ) x`;
}

/** The name of the record that a number stands for: the customer's own before one about an identifier. */
function refOf({ ordered }: Shape, decided: string, groups: readonly string[]): string {
  const cases = groups.flatMap((group) => [
    `WHEN ${recordNumber(decided)} = ${numberOf(ordered, `x.${group}latest`)} THEN x.${group}latest_ref`,
    `WHEN ${recordNumber(decided)} = x.${group}refused THEN x.${group}refused_ref`,
  ]);
  return `CASE ${cases.join(' ')} END`;
}

const stateIn = (group: string): State => ({
  rank: `x.${group}latest`,
  refused: `x.${group}refused`,
  asked: `x.${group}asked`,
  objected: `x.${group}objected`,
});

const columnsOf = ({ source, named }: Shape): readonly string[] => [
  'latest',
  'refused',
  ...(source.confirm?.length ? ['asked', 'objected'] : []),
  ...(named ? ['latest_ref', 'refused_ref'] : []),
];

/** The groups, beside each what the customer's own records say: they are first in the order. */
function withOwn(shape: Shape): string {
  const first = 'OVER (PARTITION BY x.customer_id, x.purpose ORDER BY x.bound NULLS FIRST)';
  const own = columnsOf(shape).map((column) => `first_value(x.${column}) ${first} AS first_${column}`);
  const there = columnsOf(shape).map((column) => `CASE WHEN x.first_bound IS NULL THEN x.first_${column} END AS own_${column}`);
  return `SELECT x.*, x.n = 1 AS leads, ${there.join(', ')} FROM (
  SELECT x.*, row_number() ${first} AS n, first_value(x.bound) ${first} AS first_bound, ${own.join(', ')} FROM (
  ${groupsOf(shape)}
  ) x
  ) x`;
}

/** One row a customer, purpose and identifier (or none): the last record, the last open refusal, and their names. */
function groupsOf({ source, named, bound }: Shape): string {
  const { id, from } = countedRecords(source);
  const confirm = source.confirm?.length ? [`CASE WHEN ${ASKED} THEN r.began END`, `CASE WHEN ${OBJECTED} THEN r.began END`] : [];
  const refusal = `CASE WHEN ${REFUSES} THEN ${NUMBER} END`;
  if (!named) {
    const [asked, objected] = confirm;
    const more = asked && objected ? `, max(${asked}) AS asked, max(${objected}) AS objected` : '';
    return `SELECT ${id} AS customer_id, r.purpose AS purpose, ${bound ? 'r.bound' : NO_TEXT} AS bound, max(${rankOf(source)}) AS latest, max(${refusal}) AS refused${more}
  ${from}
  GROUP BY ${bound ? '1, 2, 3' : '1, 2'}`;
  }
  // Windows and no aggregates, because engines keep the texts of an aggregation in memory.
  const group = `PARTITION BY x.customer_id, x.purpose${bound ? ', x.bound' : ''}`;
  const best = `OVER (${group} ORDER BY x.latest DESC, x.ref ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)`;
  const refused = `OVER (${group} ORDER BY x.refusal DESC NULLS LAST, ${source.sources === undefined ? '' : 'x.below, '}x.ref)`;
  const [asked, objected] = confirm;
  const inner = [
    `${id} AS customer_id, r.purpose AS purpose, ${bound ? 'r.bound' : NO_TEXT} AS bound, r.ref AS ref`,
    `${rankOf(source)} AS latest, ${refusal} AS refusal`,
    ...(source.sources === undefined ? [] : ['-r.level AS below']),
    ...(asked && objected ? [`${asked} AS asked, ${objected} AS objected`] : []),
  ];
  const outer = [
    'x.customer_id, x.purpose, x.bound, x.latest, x.ref AS latest_ref',
    `first_value(x.refusal) ${refused} AS refused, first_value(x.ref) ${refused} AS refused_ref`,
    ...(confirm.length > 0 ? [`max(x.asked) ${best} AS asked, max(x.objected) ${best} AS objected`] : []),
    `row_number() OVER (${group} ORDER BY x.latest DESC, x.ref) AS place`,
  ];
  return `SELECT * FROM (
  SELECT ${outer.join(',\n    ')} FROM (
  SELECT ${inner.join(', ')}
  ${from}
  ) x
  ) x WHERE x.place = 1`;
}
