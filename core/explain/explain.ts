import { type Evidence, evidenceOf } from '../evidence.ts';
import type { WithheldReason } from '../delta.ts';
import type { Basis, Duration, Mode } from '../model.ts';
import type { Pointer, Row } from '../ports.ts';
import { idsOf, memberKeyOf, type Receipt, readableLinks, receiptsOf } from '../receipts/audit.ts';
import { ledgersOf, snapshotSpec } from '../run/materialize.ts';
import type { RunPorts } from '../run/ports.ts';
import { syncKey } from '../run/ports.ts';
import { ledgerRelation, rejectionRelation, type Resolved, resolveSync } from '../run/relations.ts';
import { withSignals } from '../run/signals.ts';
import { policyOf } from '../sql/consent.ts';
import { candidatesQuery, PARK_AFTER } from '../sql/delta.ts';
import { forOne, memberQuery } from '../sql/explain.ts';
import { snapshotQuery } from '../sql/snapshot.ts';
import { ulid } from '../ulid.ts';
import { type Clause, clauseQuestion } from './clauses.ts';
import { identifiersFor, type IdentifierUse, IdentifierCounts } from './identifiers.ts';
import { decisionOf, type Next } from './next.ts';

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
  /** How many other ids are this person too. */
  readonly mergedIds: number;
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
  const ids = await idsOf(ports, customerId, options.tick);
  const member = memberKeyOf(ports.memberKey, customerId);
  const { links } = await readableLinks(ports);
  const receipts = await receiptsOf(
    ports,
    ids.map((id) => memberKeyOf(ports.memberKey, id)),
    links,
  );
  const counts = new IdentifierCounts(ports, customerId);
  const audiences: AudienceExplanation[] = [];
  for (const { name } of Object.values(workspace.audiences)) {
    if (options.audiences?.includes(name) === false) continue;
    audiences.push(await explainAudience(ports, { customerId, ids, member, receipts, counts, options }, name));
  }
  return { member, known: audiences.some(({ rule }) => rule !== null), mergedIds: ids.length - 1, audiences };
}

interface Asked {
  readonly customerId: string;
  /** The id, and those that were merged into it. */
  readonly ids: readonly string[];
  readonly member: string;
  readonly receipts: readonly Receipt[];
  readonly counts: IdentifierCounts;
  readonly options: ExplainOptions;
}

async function explainAudience(ports: RunPorts, asked: Asked, name: string): Promise<AudienceExplanation> {
  const { workspace, warehouse, store } = ports;
  const { customerId, member, options } = asked;
  const { tick, values = false } = options;
  const audience = workspace.audiences[name];
  if (audience === undefined) throw new RangeError(`There is no audience "${name}"`);
  const question = clauseQuestion(audience, workspace, { customerId, tick, values });
  const rule = question.read((await warehouse.rows(question.query))[0]);
  const destinations = audience.syncs.map(({ to }) => to);
  const ledgers = await ledgersOf(ports, name, destinations);
  const bare = snapshotSpec(ports, name, destinations, tick, ledgers);
  // A folder of a run that is none: what is written of the consent strings is gone with it.
  const folder = `runs/${ulid(ports.clock.now(), ports.clock.random)}`;
  const spec = await withSignals(ports, bare, `${folder}/signals`, asked.ids);
  const [row] =
    rule === null || destinations.length === 0 ? [] : await warehouse.rows(snapshotQuery({ ...spec, only: customerId }));
  if (spec.signals !== undefined) await store.files.remove(folder);

  const held = [];
  for (const [index, destination] of destinations.entries()) {
    const pointer = await store.pointers.get(syncKey(name, destination));
    const own = (
      await warehouse.rows(memberQuery(member, ledgerRelation(pointer?.members), rejectionRelation(pointer?.rejections)))
    )[0];
    held.push({ index, destination, pointer, own });
  }
  // A run's snapshot has a row of whom the rule matches, and of whom a ledger holds and must not, or is outside its rollout.
  const inSnapshot =
    row?.['matched'] === true ||
    held.some(
      ({ index, destination, own }) =>
        ledgers.has(destination) &&
        own?.['member'] != null &&
        (row?.[`withheld_${index}`] != null || row?.[`outside_${index}`] === true),
    );
  const syncs: SyncExplanation[] = [];
  for (const one of held) {
    const resolved = resolveSync(ports, name, one.destination);
    syncs.push(await explainSync(ports, asked, resolved, one, row, inSnapshot, (rule?.excludedBy.length ?? 0) > 0));
  }
  return {
    audience: name,
    rule: rule?.clause ?? null,
    matched: rule?.clause.is === 'met',
    excludedBy: rule?.excludedBy ?? [],
    holdout: row?.['holdout'] === true,
    syncs,
  };
}

interface Held {
  readonly index: number;
  readonly destination: string;
  readonly pointer: Pointer | null;
  /** Row of `memberQuery`. */
  readonly own: Row | undefined;
}

async function explainSync(
  ports: RunPorts,
  { member, receipts, counts }: Asked,
  resolved: Resolved,
  { index, destination, pointer, own }: Held,
  row: Row | undefined,
  inSnapshot: boolean,
  excluded: boolean,
): Promise<SyncExplanation> {
  const { sync, audience } = resolved;
  const rollout = sync.rollout < 100;
  const columns: Readonly<Record<string, 'varchar' | 'boolean'>> = {
    member: 'varchar',
    matched: 'boolean',
    holdout: 'boolean',
    [`withheld_${index}`]: 'varchar',
    [`hash_${index}`]: 'varchar',
    [`evidence_${index}`]: 'varchar',
    ...(rollout && { [`outside_${index}`]: 'boolean' as const }),
  };
  // `snapshot` is replaced by the row at hand.
  const none = ledgerRelation(null);
  const relations = {
    snapshot: none,
    ledger: ledgerRelation(pointer?.members),
    rejections: rejectionRelation(pointer?.rejections),
  };
  const candidates = candidatesQuery(index, sync.mode, relations, rollout);
  const [candidate] = await ports.warehouse.rows(forOne(candidates, member, inSnapshot ? row : undefined, columns));
  const identifiers = await identifiersFor(resolved, index, row, counts);
  const usable = identifiers.some((one) => one.usable > 0);
  const parked = candidate?.['op'] === 'parked';
  const next = decisionOf(candidate, usable, own?.['member'] != null);
  const withheld = row?.[`withheld_${index}`] ?? null;
  const evidence = evidenceOf(row?.[`evidence_${index}`] as string | null | undefined);
  const reasons: (readonly [WithheldReason, boolean])[] = [
    ['erased', withheld === 'erased'],
    ['excluded', excluded],
    ['no-consent', withheld === 'no-consent' || (evidence !== undefined && withheld !== null && !allows(evidence))],
    ['no-identifier', row !== undefined && !usable],
    ['holdout', row?.['holdout'] === true],
    ['rollout', row?.[`outside_${index}`] === true && own?.['member'] == null],
    ['parked', parked],
  ];
  const rejectedHash = own?.['rejected_hash'] ?? null;
  return {
    destination,
    mode: sync.mode,
    next,
    reasons: reasons.flatMap(([reason, holds]) => (holds ? [reason] : [])),
    consent: row === undefined ? null : consentOf(ports, resolved, row[`consent_${index}`] as string, evidence),
    identifiers,
    ledger: own?.['member'] == null ? null : ledgerOf(own),
    rejected:
      rejectedHash === null
        ? null
        : {
            times: Number(own?.['times'] ?? 0),
            reason: (own?.['rejected_reason'] ?? null) as string | null,
            parked: Number(own?.['times'] ?? 0) >= PARK_AFTER && rejectedHash === row?.[`hash_${index}`],
          },
    last: receipts.findLast((one) => one.audience === audience.name && one.destination === destination) ?? null,
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
  const texts = (own['identifiers'] ?? []) as readonly string[];
  return {
    since: Number(own['since']),
    certain: own['hash'] !== '',
    outcome: String(own['outcome'] as string),
    namespaces: [...new Set(texts.map((text) => text.slice(0, text.indexOf(':'))))],
  };
}
