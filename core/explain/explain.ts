import { type Evidence, evidenceOf } from '../evidence.ts';
import { returnedFor } from '../forget/tombstones.ts';
import type { WithheldReason } from '../delta.ts';
import type { Basis, Duration, Mode } from '../model.ts';
import type { Relation, Row, StopEntry } from '../ports.ts';
import { type Receipt, readableLinks, receiptsOf } from '../receipts/audit.ts';
import { consentDecisions, ledgersOf, snapshotSpec } from '../run/materialize.ts';
import type { RunPorts } from '../run/ports.ts';
import { syncKey } from '../run/ports.ts';
import { ledgerRelation, linesRelation, movedRelation, rejectionRelation, type Resolved, resolveSync } from '../run/relations.ts';
import { withSignals } from '../run/signals.ts';
import { policyOf } from '../sql/consent.ts';
import { candidatesQuery, LEDGER_COLUMNS, PARK_AFTER, REJECTION_COLUMNS } from '../sql/delta.ts';
import { membersQuery, type RowsAtHand, withRows } from '../sql/explain.ts';
import { MOVED, survivorsQuery } from '../sql/merges.ts';
import { snapshotQuery } from '../sql/snapshot.ts';
import { STOP_COLUMNS, STOPS } from '../sql/stops.ts';
import { ulid } from '../ulid.ts';
import { type Clause, clauseQuestion } from './clauses.ts';
import { identifiersFor, type IdentifierUse, IdentifierCounts } from './identifiers.ts';
import { decisionOf, type Next } from './next.ts';
import { movedRows, type Person, personOf, stopRows } from './person.ts';

export interface ExplainOptions {
  /** "Now", epoch milliseconds. */
  readonly tick: number;
  /** Also the person's values that the rules test; personal data. */
  readonly values?: boolean;
  /** Only these audiences; all when left out. */
  readonly audiences?: readonly string[];
}

/** Where one customer stands everywhere. Without `values` it holds no personal data: counts, names of fields, keyed hashes. */
export interface Explanation {
  /** The key in ledgers and receipts. */
  readonly member: string;
  /** Whether the customers table has a row of theirs. */
  readonly known: boolean;
  /** Whether the id was merged into another one, which stands for the person: then that one is explained. */
  readonly mergedAway: boolean;
  /** How many ids were merged into theirs. */
  readonly mergedIds: number;
  /** What the stop list holds of them: a withdrawal that the tables do not know yet, or the tombstone of an erasure. */
  readonly stops: readonly { readonly why: StopEntry['why']; readonly purpose: string | null; readonly since: number }[];
  readonly audiences: readonly AudienceExplanation[];
}

export interface AudienceExplanation {
  readonly audience: string;
  /** Null when the customers table has no row. */
  readonly rule: Clause | null;
  readonly matched: boolean;
  /** Audiences that keep them out. */
  readonly excludedBy: readonly string[];
  readonly holdout: boolean;
  readonly syncs: readonly SyncExplanation[];
}

export interface SyncExplanation {
  readonly destination: string;
  readonly mode: Mode;
  /** What a run as of the tick would do. */
  readonly next: Next;
  /** Everything that keeps them from being sent, in the order in which the first counts. */
  readonly reasons: readonly WithheldReason[];
  readonly consent: ConsentExplanation | null;
  readonly identifiers: readonly IdentifierUse[];
  /** What the destination holds by the ledger. */
  readonly ledger: LedgerExplanation | null;
  /** Records of ids that were merged into theirs, which the next run takes away. */
  readonly mergedRecords: number;
  readonly rejected: { readonly times: number; readonly reason: string | null; readonly parked: boolean } | null;
  /** The last receipt. */
  readonly last: Receipt | null;
}

export interface ConsentExplanation extends Evidence {
  readonly purpose: string;
  readonly basis: Basis;
  readonly jurisdiction: string | null;
  readonly expiresAfter: Duration | null;
  readonly policyVersion: string;
}

export interface LedgerExplanation {
  /** Tick of the run that took them in, epoch milliseconds. */
  readonly since: number;
  /** False: something went out without a clear answer, and the next run looks at them again. */
  readonly certain: boolean;
  readonly outcome: string;
  readonly namespaces: readonly string[];
}

/** Explains where a customer stands, by the SQL and the functions of a run, so that it cannot say anything else than a run would do. */
export async function explain(ports: RunPorts, customerId: string, options: ExplainOptions): Promise<Explanation> {
  const { workspace } = ports;
  const person = await personOf(ports, customerId, options.tick);
  const [member = ''] = person.keys;
  const { links } = await readableLinks(ports, options.tick);
  const receipts = await receiptsOf(ports, person.keys, links);
  const counts = new IdentifierCounts(ports, [person.id, ...person.moved.map((row) => String(row['from_id']))], person.rowId);
  const audiences: AudienceExplanation[] = [];
  for (const { name } of Object.values(workspace.audiences)) {
    if (options.audiences?.includes(name) === false) continue;
    audiences.push(await explainAudience(ports, { person, member, receipts, counts, options }, name));
  }
  return {
    member,
    known: audiences.some(({ rule }) => rule !== null),
    mergedAway: person.id !== customerId,
    mergedIds: person.moved.length,
    stops: person.stops.map(({ why, purpose, since }) => ({
      why: why as StopEntry['why'],
      purpose: (purpose ?? null) as string | null,
      since: Number(since),
    })),
    audiences,
  };
}

interface Asked {
  readonly person: Person;
  readonly member: string;
  readonly receipts: readonly Receipt[];
  readonly counts: IdentifierCounts;
  readonly options: ExplainOptions;
}

async function explainAudience(ports: RunPorts, asked: Asked, name: string): Promise<AudienceExplanation> {
  const { workspace, warehouse } = ports;
  const { person, options } = asked;
  const { tick, values = false } = options;
  const audience = workspace.audiences[name];
  if (audience === undefined) throw new RangeError(`There is no audience "${name}"`);
  const question = clauseQuestion(audience, workspace, { customerId: person.rowId, tick, values });
  const rule = question.read((await warehouse.rows(question.query))[0]);
  const destinations = audience.syncs.map(({ to }) => to);
  const ledgers = await ledgersOf(ports, name, destinations);
  const row = rule === null || destinations.length === 0 ? undefined : await snapshotRow(ports, person, name, tick, ledgers);

  const held: Held[] = [];
  for (const [index, destination] of destinations.entries())
    held.push(await heldOf(ports, person, resolveSync(ports, name, destination), index));
  // A run's snapshot has a row of whom the rule matches, and of whom a ledger holds and must not, or is outside its rollout.
  const inSnapshot =
    row?.['matched'] === true ||
    held.some(
      ({ index, resolved, any }) =>
        ledgers.has(resolved.destination.name) &&
        any &&
        (row?.[`withheld_${index}`] != null || row?.[`outside_${index}`] === true),
    );
  const syncs: SyncExplanation[] = [];
  for (const one of held) syncs.push(await explainSync(ports, asked, one, row, inSnapshot, (rule?.excludedBy.length ?? 0) > 0));
  return {
    audience: name,
    rule: rule?.clause ?? null,
    matched: rule?.clause.is === 'met',
    excludedBy: rule?.excludedBy ?? [],
    holdout: row?.['holdout'] === true,
    syncs,
  };
}

/** The person's row of the snapshot that a run would make, whether the rule matches them or not. */
async function snapshotRow(
  ports: RunPorts,
  { id, moved, stops }: Person,
  audience: string,
  tick: number,
  ledgers: ReadonlyMap<string, Relation>,
): Promise<Row | undefined> {
  const destinations = (ports.workspace.audiences[audience]?.syncs ?? []).map(({ to }) => to);
  const bare = snapshotSpec(ports, audience, destinations, tick, ledgers);
  // A folder of a run that is none: what is written of the consents is gone with it.
  const folder = `runs/${ulid(ports.clock.now(), ports.clock.random)}`;
  const ids = [id, ...moved.map((row) => String(row['from_id']))];
  const known = {
    ...(await withSignals(ports, bare, `${folder}/signals`, ids)),
    only: id,
    moved: moved.length > 0 ? movedRelation(null) : null,
    ...(stops.length > 0 && { stops: linesRelation([], STOP_COLUMNS) }),
  };
  const merges: Readonly<Record<string, RowsAtHand>> = moved.length > 0 ? { [MOVED]: movedRows(moved) } : {};
  const decisions = await consentDecisions(ports, known, `${folder}/decisions`, { filled: (query) => withRows(query, merges) });
  const given = { ...merges, ...(stops.length > 0 && { [STOPS]: stopRows(stops) }) };
  const [row] = await ports.warehouse.rows(withRows(snapshotQuery({ ...known, decisions }), given));
  if (known.signals !== undefined || decisions !== null) await ports.store.files.remove(folder);
  return row;
}

interface Held {
  readonly index: number;
  readonly resolved: Resolved;
  /** Rows of the ledger as the diff would see it, LEDGER_COLUMNS, of identifiers only their namespaces. */
  readonly ledger: readonly Row[];
  /** Whether the ledger has them under any of their keys. */
  readonly any: boolean;
  readonly rejections: readonly Row[];
}

async function heldOf(ports: RunPorts, { keys, moved }: Person, resolved: Resolved, index: number): Promise<Held> {
  const { warehouse, store } = ports;
  const pointer = await store.pointers.get(syncKey(resolved.audience.name, resolved.destination.name));
  const found = await warehouse.rows(membersQuery(LEDGER_COLUMNS, keys, ledgerRelation(pointer?.members)));
  const rows = found.map((row) => ({ ...row, identifiers: namespacesOf(row) }));
  const rejections = await warehouse.rows(membersQuery(REJECTION_COLUMNS, keys, rejectionRelation(pointer?.rejections)));
  const none = ledgerRelation(null);
  const underSurvivor = moved.length > 0 && resolved.connector.membership === 'identifier';
  const ledger = underSurvivor
    ? await warehouse.rows(
        withRows(survivorsQuery({ ledger: none, moved: none }), {
          ledger: { columns: LEDGER_COLUMNS, rows },
          moved: movedRows(moved),
        }),
      )
    : rows;
  return { index, resolved, ledger, any: rows.length > 0, rejections };
}

const namespacesOf = (row: Row): readonly string[] => [
  ...new Set(((row['identifiers'] ?? []) as readonly string[]).map((text) => text.slice(0, text.indexOf(':')))),
];

async function explainSync(
  ports: RunPorts,
  { person, member, receipts, counts }: Asked,
  { index, resolved, ledger, rejections }: Held,
  row: Row | undefined,
  inSnapshot: boolean,
  excluded: boolean,
): Promise<SyncExplanation> {
  const { sync, audience, destination, connector } = resolved;
  const rollout = sync.rollout < 100;
  const snapshot: Readonly<Record<string, string>> = {
    member: 'varchar',
    matched: 'boolean',
    holdout: 'boolean',
    [`withheld_${index}`]: 'varchar',
    [`hash_${index}`]: 'varchar',
    [`evidence_${index}`]: 'varchar',
    ...(rollout && { [`outside_${index}`]: 'boolean' }),
  };
  const none = ledgerRelation(null);
  const moved = person.moved.length > 0 && connector.membership === 'member';
  const relations = { snapshot: none, ledger: none, rejections: none, ...(moved && { moved: none }) };
  const candidates = await ports.warehouse.rows(
    withRows(candidatesQuery(index, sync.mode, relations, rollout), {
      snapshot: { columns: snapshot, rows: inSnapshot && row !== undefined ? [row] : [] },
      ledger: { columns: { member: 'varchar', hash: 'varchar' }, rows: ledger },
      rejections: { columns: REJECTION_COLUMNS, rows: rejections },
      ...(moved && { moved: movedRows(person.moved) }),
    }),
  );
  const candidate = candidates.find((one) => one['member'] === member);
  const own = ledger.find((one) => one['member'] === member);
  const rejected = rejections.find((one) => one['member'] === member);
  const identifiers = await identifiersFor(resolved, index, row, counts);
  const usable = identifiers.some((one) => one.usable > 0);
  const survivors = new Map(person.moved.map((row) => [String(row['member']), member]));
  const returned = await returnedFor(ports.store.documents, ports.connectors, ports.memberKey, () => Promise.resolve(survivors));
  const entries = (row?.[`identifiers_${index}`] ?? []) as readonly string[];
  const erased = returned?.(member, entries, (row?.['country'] ?? null) as string | null) === true;
  const withheld = row?.[`withheld_${index}`] ?? null;
  const evidence = evidenceOf(row?.[`evidence_${index}`] as string | null | undefined);
  const reasons: (readonly [WithheldReason, boolean])[] = [
    ['erased', withheld === 'erased' || erased],
    ['excluded', excluded],
    ['no-consent', withheld === 'no-consent' || (withheld === 'excluded' && evidence !== undefined && !allows(evidence))],
    ['no-identifier', row !== undefined && !usable],
    ['holdout', row?.['holdout'] === true],
    ['rollout', row?.[`outside_${index}`] === true && own === undefined],
    ['parked', candidate?.['op'] === 'parked'],
  ];
  return {
    destination: destination.name,
    mode: sync.mode,
    next: decisionOf(candidate, usable, erased, own !== undefined),
    reasons: reasons.flatMap(([reason, holds]) => (holds ? [reason] : [])),
    consent: row === undefined ? null : consentOf(ports, resolved, row[`consent_${index}`] as string, evidence),
    identifiers,
    ledger: own === undefined ? null : ledgerOf(own),
    mergedRecords: candidates.filter((one) => one['member'] !== member && one['op'] === 'remove').length,
    rejected:
      rejected === undefined
        ? null
        : {
            times: Number(rejected['times']),
            reason: (rejected['reason'] ?? null) as string | null,
            parked: Number(rejected['times']) >= PARK_AFTER && rejected['hash'] === row?.[`hash_${index}`],
          },
    last: receipts.findLast((one) => one.audience === audience.name && one.destination === destination.name) ?? null,
  };
}

const allows = ({ reason }: Evidence): boolean => reason === 'granted' || reason === 'not-refused';

function consentOf(
  { workspace }: RunPorts,
  { destination: { purpose } }: Resolved,
  text: string,
  evidence: Evidence | undefined,
): ConsentExplanation | null {
  if (evidence === undefined) return null;
  const [basis = 'opt-in', jurisdiction = ''] = text.split('|');
  return {
    purpose,
    ...evidence,
    basis: basis as Basis,
    jurisdiction: jurisdiction === '' ? null : jurisdiction,
    expiresAfter: policyOf(workspace.consent, purpose)?.expiresAfter ?? null,
    policyVersion: workspace.consent.version,
  };
}

function ledgerOf(own: Row): LedgerExplanation {
  return {
    since: Number(own['since']),
    certain: own['hash'] !== '',
    outcome: String(own['outcome'] as string),
    namespaces: (own['identifiers'] ?? []) as readonly string[],
  };
}
