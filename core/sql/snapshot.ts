import type { Audience, Column, Role, Table, Workspace } from '../model.ts';
import type { Query, Relation } from '../ports.ts';
import { Audiences } from './audience.ts';
import { canonicalText, field, hash16, hashHex } from './canonical.ts';
import {
  allowedWith,
  identifierColumns,
  identifierExpressions,
  identifierJoins,
  type IdentifierSource,
  identifiersSql,
} from './identifiers.ts';
import { NO_TEXTS, quoteName, quoteText } from './literal.ts';
import { MOVED } from './merges.ts';
import { DECISIONS } from './decisions.ts';
import { LEVELS, Purposes } from './purposes.ts';
import { usableRows, usableSql } from './retention.ts';
import { SIGNALS } from './signals.ts';
import {
  ERASED,
  erasedExpression,
  erasureEvidence,
  memberSql,
  STOPPED,
  stopEvidence,
  stoppedExpression,
  STOPS,
} from './stops.ts';

export interface SnapshotSpec {
  readonly audience: Audience;
  readonly workspace: Workspace;
  /** "Now" of the run, epoch milliseconds. */
  readonly tick: number;
  /** Key of the member hashes. */
  readonly memberKeySecret: string;
  readonly syncs: readonly SnapshotSync[];
  /** Only this customer, whether the rule matches them or not: what a run would decide of one person, for `explain`. */
  readonly only?: string;
  /** The stop list (STOP_COLUMNS); left out when it is empty. */
  readonly stops?: Relation;
  /**
   * Who was merged into whom (`movedQuery`), null where nobody was. Always a relation of its own: Trino computes an expression anew
   * wherever it is named, and this query names it all over.
   */
  readonly moved: Relation | null;
  /** Nobody has more identifiers than a person's row has room for (SLOTS): the few who might are not looked for. */
  readonly few?: boolean;
  /** Most customers are in the audience: nothing is limited to whom the rule matches, which would only be another look at the rule. */
  readonly broad?: boolean;
  /** What consent strings say (core/run/signals.ts); without it every string refuses the purposes whose policies read them. */
  readonly signals?: Relation;
  /** What `decisionsQuery` found; null where it is null, and where the query is only looked at: it has the decisions in itself then. */
  readonly decisions: Relation | null;
}

/** What is known of a snapshot before its merges and decisions are found. */
export type BareSpec = Omit<SnapshotSpec, 'moved' | 'decisions'>;

export interface SnapshotSync {
  /** Suffix of the sync's columns. */
  readonly index: number;
  readonly purpose: string;
  /** In the order they are sent; `external_id` is the customer id. */
  readonly namespaces: readonly string[];
  /** Columns of the customers table. */
  readonly traits: readonly Column[];
  /** Goes into every hash of the sync. */
  readonly salt: string;
  /** Namespaces of which a person sends so many at most, in the sync's `namespaces`; all usable ones of the others. */
  readonly most?: Readonly<Record<string, number>>;
  /** What the destination holds (`member`), for modes that do not remove who left the rule: withdrawing removes them all the same. */
  readonly ledger?: Relation;
  /** Percent of the customers for whom the sync acts; 100 when left out. Below it, `ledger` must be there once there is one. */
  readonly rollout?: number;
}

/** The steps of the query, as relations. */
const PEOPLE = 'sluice_people';
const DECIDED = 'sluice_decided';

/** Namespaces that are read the same in every country. */
const WITHOUT_COUNTRY = /^(email|maid|external_id|.*_sha256)$/;

/**
 * The snapshot of a run: an audience, once for all its syncs. One row for every customer the rule matches, and, where a sync names its
 * ledger, for every member of it whom the rule matches no more and who may not be held either, or is outside its rollout.
 *
 * Columns: `member` (32 hex), `matched`, `holdout`, `country` (ISO alpha-2 or NULL), and per sync `i`: `withheld_i` (`erased`, `excluded`,
 * `no-consent` or NULL; `expired` for members whose row is past its period), `hash_i` (16 hex), `identifiers_i` (`namespace chr(31) value`
 * as in the tables, best first), `traits_i` (canonical texts), `consent_i` (`basis|jurisdiction|grant`), `evidence_i` (core/evidence.ts: what the decision rests on; in no hash, because a new
 * record of the same decision changes nothing that is sent), and where the sync has a rollout `outside_i`, a boolean: nothing changes for them.
 *
 * Every table is read once, but the identifiers and consents of a narrow rule: they are limited to whom the rule matches, which costs
 * a second look at the columns of the rule.
 */
export function snapshotQuery(spec: SnapshotSpec): Query {
  const { audience, workspace, tick } = spec;
  const { audiences, consent, matched, usable, wanted, survivors, customerId, alive, only, moved } = peopleOf(spec);
  const { customers } = audiences;
  const excluded = audience.exclude.map((name) => audiences.named(name));
  const ledgers = spec.syncs.filter(({ ledger }) => ledger !== undefined);
  const tables = (role: Role): readonly Table[] => workspace.tables.filter((table) => table.role === role);
  const { only: one } = spec;
  const all = ledgers.length > 0 || one !== undefined;
  const erasures = tables('erasures');
  const { stops } = spec;
  const identifiers: IdentifierSource = {
    customers,
    tables: tables('identifiers'),
    namespaces: [...new Set(spec.syncs.flatMap(({ namespaces }) => namespaces))].filter(
      (namespace) => namespace !== 'external_id',
    ),
    policy: workspace.identity,
    tick,
    consents: consent.levels ? { relation: LEVELS, purposes: consent.purposes.length, refused: consent.refusals() } : undefined,
    wanted: wanted && WANTED,
    few: spec.few,
    moved,
  };
  const traits = new Map(spec.syncs.flatMap((sync) => sync.traits.map((column) => [column.name, column] as const)));
  const columns = [
    `${customerId} AS customer_id`,
    `${memberSql(spec.memberKeySecret, customerId)} AS member`,
    ...(all ? [`${matched} AS matched`, `NOT ${usable} AS expired`] : []),
    `${excluded.length === 0 ? 'FALSE' : excluded.join(' OR ')} AS excluded`,
    ...consent.residence(customers),
    ...identifierColumns(customers, identifiers.namespaces).map(
      ({ name }) => `CAST(c.${quoteName(name)} AS varchar) AS ${quoteName(`id ${name}`)}`,
    ),
    ...[...traits.values()].map(
      (column) => `${canonicalText(`c.${quoteName(column.name)}`, column)} AS ${quoteName(`trait ${column.name}`)}`,
    ),
  ];
  const people = `${PEOPLE} AS (
  SELECT ${columns.join(',\n    ')}
  FROM ${audiences.from(all ? 'all rows' : 'usable rows')}${survivors}${whereOf([...(all && one === undefined ? [] : [only]), ...alive])}
)`;
  const perSync = spec.syncs.map((sync) =>
    syncColumns(sync, identifiers, consent, { erasures: erasures.length > 0, stops: stops !== undefined, expired: all }),
  );
  const inner = [
    'p.member',
    `${all ? 'p.matched' : 'TRUE'} AS matched`,
    `${holdoutSql(audience)} AS holdout`,
    'p.country',
    ...ledgers.map(({ index }) => `l_${index}.member IS NOT NULL AS held_${index}`),
    ...spec.syncs.filter(hasRollout).map((one) => `${outsideSql(audience, one)} AS outside_${one.index}`),
    ...erasedAt(erasures.length > 0, stops !== undefined),
    ...perSync.flat(),
  ];
  const joins = [
    ...ledgers.map(({ index }) => `LEFT JOIN ${heldSql(index, moved)} l_${index} ON l_${index}.member = p.member`),
    ...(erasures.length === 0 ? [] : [`LEFT JOIN ${ERASED} x ON x.customer_id = p.customer_id`]),
    ...(stops === undefined ? [] : [`LEFT JOIN ${STOPPED} t ON t.member = p.member`]),
    ...identifierJoins(identifiers, 'p.customer_id'),
  ];
  const outer = [
    'member, matched, holdout, country',
    ...spec.syncs.map(
      (sync) =>
        `withheld_${sync.index}, ${hashSql(sync)} AS hash_${sync.index}, identifiers_${sync.index}, traits_${sync.index}, consent_${sync.index},
  ${evidenceCase(sync.index, erasures.length > 0, stops !== undefined)} AS evidence_${sync.index}${hasRollout(sync) ? `, outside_${sync.index}` : ''}`,
    ),
  ];
  const where = [
    'matched',
    ...ledgers.map((one) => {
      const kept = hasRollout(one) ? ` OR outside_${one.index}` : '';
      return `(held_${one.index} AND (withheld_${one.index} IS NOT NULL${kept}))`;
    }),
  ];
  const expressions = [
    ...audiences.expressions(),
    ...(wanted === undefined ? [] : [wanted]),
    people,
    ...erasedExpression(erasures, tick, moved),
    ...(stops === undefined ? [] : [stoppedExpression(spec.syncs, moved, spec.memberKeySecret)]),
    ...consent.expressions(spec.decisions !== null),
    `${DECIDED} AS (
  ${consent.decided(PEOPLE)}
)`,
    ...identifierExpressions(identifiers),
  ];
  const sql = `WITH ${expressions.join(', ')}
SELECT ${outer.join(',\n  ')}
FROM (
  SELECT ${inner.join(',\n    ')}
  FROM ${[`${DECIDED} p`, ...joins].join('\n  ')}
) y${ledgers.length === 0 || one !== undefined ? '' : `\nWHERE ${where.join(' OR ')}`}`;
  const given = consent.kept && spec.decisions !== null;
  const read = [...audiences.tables(), ...identifiers.tables, ...(given ? [] : tables('consents')), ...erasures];
  return {
    sql,
    tables: [...new Map(read.map((table) => [table.physicalName, table])).values()],
    relations: {
      ...(spec.moved && { [MOVED]: spec.moved }),
      ...Object.fromEntries(
        ledgers.flatMap(({ index, ledger }) => (ledger === undefined ? [] : [[`sluice_ledger_${index}`, ledger]])),
      ),
      ...(stops && { [STOPS]: stops }),
      ...(given ? spec.decisions && { [DECISIONS]: spec.decisions } : spec.signals && { [SIGNALS]: spec.signals }),
    },
  };
}

/**
 * The consent decisions that the snapshot of a spec joins, DECISION_COLUMNS; null where nothing decides.
 * @param take `where kept`: null too where the snapshot's own pass over the consents is enough
 */
export function decisionsQuery(
  spec: Omit<SnapshotSpec, 'decisions'>,
  take: 'where kept' | 'always' = 'where kept',
): Query | null {
  const { consent, wanted, audiences } = peopleOf(spec);
  if (consent.purposes.length === 0 || (take === 'where kept' && !consent.kept)) return null;
  const limit = consent.everybody ? undefined : wanted;
  return {
    sql: `${limit === undefined ? '' : `WITH ${limit}\n`}${consent.decisions()}`,
    tables: [
      ...spec.workspace.tables.filter(({ role }) => role === 'consents'),
      ...(limit === undefined ? [] : [audiences.customers]),
    ],
    relations: { ...(spec.moved && { [MOVED]: spec.moved }), ...(spec.signals && { [SIGNALS]: spec.signals }) },
  };
}

/** Who a snapshot is about, and their consents. */
function peopleOf(spec: Omit<SnapshotSpec, 'decisions'>) {
  const { audience, workspace, tick } = spec;
  const audiences = new Audiences(workspace, tick);
  const { customers } = audiences;
  const rule = audiences.condition(audience);
  const narrow = audiences.narrow;
  const moved = spec.moved === null ? undefined : MOVED;
  const { only: one } = spec;
  const looked = spec.syncs.some(({ ledger }) => ledger !== undefined);
  // Where members who left are looked at, so must be those whose row is past its period: they are removed in every mode.
  const usable = looked || one !== undefined ? usableSql(customers, tick, 'c') : 'TRUE';
  const matched = usable === 'TRUE' ? rule : `(${usable} AND ${rule})`;
  // Whoever was merged away is no person any more: their row counts only while the survivor has none, and then as the survivor's.
  const customerId = moved === undefined ? audiences.customerId : `coalesce(g.to_id, ${audiences.customerId})`;
  const survivors = moved === undefined ? '' : `\n  LEFT JOIN ${moved} g ON g.from_id = ${audiences.customerId}`;
  const alive = moved === undefined ? [] : ['(g.from_id IS NULL OR g.stands)'];
  const only = one === undefined ? matched : `${customerId} = ${quoteText(one)}`;
  const wanted =
    one !== undefined || (narrow && !looked && spec.broad !== true)
      ? `${WANTED} AS (SELECT ${customerId} AS customer_id FROM ${usableRows(customers, tick)} c${survivors}${whereOf([only, ...alive])})`
      : undefined;
  const consent = new Purposes(
    workspace.consent,
    {
      tables: workspace.tables.filter(({ role }) => role === 'consents'),
      purposes: spec.syncs.map(({ purpose }) => purpose),
      tick,
      merged: moved,
      wanted: wanted && WANTED,
    },
    spec.signals !== undefined,
  );
  return { audiences, consent, matched, usable, wanted, survivors, customerId, alive, only, moved };
}

const whereOf = (conditions: readonly string[]): string =>
  conditions.length === 0 ? '' : `\n  WHERE ${conditions.join(' AND ')}`;

const WANTED = 'sluice_wanted';

/** Who is held, by the key of who they are now. */
const heldSql = (index: number, moved: string | undefined): string =>
  moved === undefined
    ? `sluice_ledger_${index}`
    : `(SELECT DISTINCT coalesce(g.survivor, l.member) AS member FROM sluice_ledger_${index} l LEFT JOIN ${moved} g ON g.member = l.member)`;

/** A bucket out of 10,000 by the name of the audience and the customer: the same people for as long as both keep their names. */
const holdoutSql = ({ name, holdout }: Audience): string =>
  holdout <= 0 ? 'FALSE' : `${bucketOf(`${name}/`)} < ${Math.round(holdout * 100)}`;

/**
 * The same bucket for every sync of the audience, so that a person is cut over everywhere at once; by a salt that no holdout has (a name
 * holds no colon), so that knowing one says nothing of the other.
 */
const outsideSql = ({ name }: Audience, { rollout = 100 }: SnapshotSync): string =>
  `${bucketOf(`rollout:${name}/`)} >= ${Math.round(rollout * 100)}`;

const hasRollout = ({ rollout = 100 }: SnapshotSync): boolean => rollout < 100;

const bucketOf = (salt: string): string => `mod(from_base(${hashHex(`${quoteText(salt)} || p.customer_id`, 12)}, 16), 10000)`;

/** Since when the customer is erased, by a table or by a tombstone. */
function erasedAt(erasures: boolean, stops: boolean): readonly string[] {
  if (!erasures && !stops) return [];
  if (!stops) return ['x.since AS erased_at'];
  if (!erasures) return ['t.erased_at'];
  return ['least(coalesce(x.since, t.erased_at), coalesce(t.erased_at, x.since)) AS erased_at'];
}

function evidenceCase(i: number, erasures: boolean, stops: boolean): string {
  return `CASE${erasures || stops ? ` WHEN withheld_${i} = 'erased' THEN ${erasureEvidence('erased_at')}` : ''}${
    stops ? ` WHEN withheld_${i} = 'no-consent' AND stopped_${i} IS NOT NULL THEN ${stopEvidence(`stopped_${i}`)}` : ''
  } WHEN withheld_${i} = 'no-consent' THEN kept_${i} ELSE sent_${i} END`;
}

function syncColumns(
  sync: SnapshotSync,
  identifiers: IdentifierSource,
  consent: Purposes,
  { erasures, stops, expired }: { readonly erasures: boolean; readonly stops: boolean; readonly expired: boolean },
): readonly string[] {
  const { index: i } = sync;
  const decision = consent.decision(sync.purpose);
  const selection = {
    namespaces: sync.namespaces,
    customerId: 'p.customer_id',
    consent:
      consent.levels && decision.index !== -1
        ? { purpose: decision.index, allowed: decision.allowed, basis: decision.basis }
        : undefined,
  };
  const allowed = selection.consent === undefined ? decision.allowed : allowedWith(identifiers, selection);
  const withheld = [
    ...(erasures ? [`WHEN x.customer_id IS NOT NULL THEN 'erased'`] : []),
    ...(stops ? [`WHEN t.erased_at IS NOT NULL THEN 'erased'`] : []),
    ...(expired ? [`WHEN p.expired THEN 'expired'`] : []),
    `WHEN p.excluded THEN 'excluded'`,
    ...(stops ? [`WHEN t.stopped_${i} IS NOT NULL THEN 'no-consent'`] : []),
    `WHEN NOT ${allowed} THEN 'no-consent'`,
  ];
  const traits = sync.traits.map((column) => `p.${quoteName(`trait ${column.name}`)}`);
  return [
    `CASE ${withheld.join(' ')} END AS withheld_${i}`,
    `${identifiersSql(identifiers, selection)} AS identifiers_${i}`,
    `${traits.length === 0 ? NO_TEXTS : `ARRAY[${traits.join(', ')}]`} AS traits_${i}`,
    `${traits.length === 0 ? `''` : traits.map(field).join(' || ')} AS trait_text_${i}`,
    `${decision.text} AS consent_${i}`,
    `${decision.sent} AS sent_${i}, ${decision.kept} AS kept_${i}${stops ? `, t.stopped_${i}` : ''}`,
  ];
}

/**
 * Everything of a row that is sent, so that a row changes only when what is sent of it may change: where all identifiers are sent, their
 * order is nothing; where a number bounds them, order and number count for those who have more.
 */
function hashSql({ index: i, salt, namespaces, most = {} }: SnapshotSync): string {
  const country = namespaces.some((namespace) => !WITHOUT_COUNTRY.test(namespace));
  const text = `chr(30) || array_join(identifiers_${i}, chr(30))`;
  const beyond = namespaces.flatMap((namespace) => {
    const max = Object.hasOwn(most, namespace) ? most[namespace] : undefined;
    if (max === undefined || namespace === 'external_id') return [];
    const mark = `chr(30) || ${quoteText(namespace)} || chr(31)`;
    const more = `length(${text}) - length(replace(${text}, ${mark}, '')) > ${max * (namespace.length + 2)}`;
    return [{ more, bound: `CASE WHEN ${more} THEN ${quoteText(`${namespace} ${max}/`)} ELSE '' END` }];
  });
  const sorted = `array_join(array_sort(identifiers_${i}), chr(30))`;
  const list =
    beyond.length === 0
      ? sorted
      : `CASE WHEN ${beyond.map(({ more }) => more).join(' OR ')} THEN array_join(identifiers_${i}, chr(30)) ELSE ${sorted} END`;
  return hash16(
    [
      quoteText(`${salt}/`),
      ...beyond.map(({ bound }) => bound),
      `CAST(cardinality(identifiers_${i}) AS varchar) || '/'`,
      field(list),
      ...(country ? [field('country')] : []),
      `trait_text_${i}`,
      field(`consent_${i}`),
    ].join(' || '),
  );
}
