import type { Identifier, Member, Outcome } from '../connector.ts';
import { identifierOf } from '../delta.ts';
import type { Pointer, Relation } from '../ports.ts';
import { remotely } from '../run/deliver.ts';
import { LeaseHeld } from '../run/lease.ts';
import type { Ledger } from '../run/ledgers.ts';
import type { Failure, RunPorts } from '../run/ports.ts';
import { ledgerRelation, linesRelation } from '../run/relations.ts';
import { removeFrom } from '../run/removal.ts';
import { erasureEvidence, WHO_COLUMNS } from '../sql/stops.ts';

/** What became of a person at one destination. */
export interface Erased {
  /** Final: `erased`, `removed`, `not-held`. Tried again: `waiting` (a delivery is under way), `failed`, `unreachable` (its file is gone). */
  readonly state: 'erased' | 'removed' | 'not-held' | 'waiting' | 'failed' | 'unreachable';
  readonly connector?: string;
  /** What the destination answered: `delivered`, or `accepted` (taken, and not confirmed). */
  readonly answer?: 'delivered' | 'accepted';
  /** Lists the person was taken out of. */
  readonly lists: number;
  /** Epoch ms. */
  readonly at: number;
  readonly failure?: Failure;
}

export const isFinal = ({ state }: Erased): boolean => state === 'erased' || state === 'removed' || state === 'not-held';

/** What a ledger says of some members: identifiers as sent, of every kept generation and of the current one. */
export interface Sent {
  readonly ledger: Ledger;
  /** Members of the current generation, whoever they are. */
  readonly rows: number;
  readonly current: ReadonlyMap<string, readonly string[]>;
  readonly ever: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Generations asked for in one query: few enough for an engine's text, many enough for a year of them. */
const AT_ONCE = 20;

/** Looks for members in every kept generation of a ledger. `who` has the column `member`. */
export async function sentFrom(ports: RunPorts, ledger: Ledger, who: Relation): Promise<Sent> {
  const history = await ports.store.pointers.history(ledger.sync);
  const current = await ports.store.pointers.get(ledger.sync);
  const ever = new Map<string, Set<string>>();
  for (const row of await rowsIn(ports, history, who)) {
    const known = ever.get(row.member) ?? new Set<string>();
    for (const one of row.identifiers) known.add(one);
    ever.set(row.member, known);
  }
  const now = current === null || ever.size === 0 ? [] : await rowsIn(ports, [current], who);
  return {
    ledger,
    rows: current?.members.files.rows ?? 0,
    ever,
    current: new Map(now.map((row) => [row.member, row.identifiers])),
  };
}

async function rowsIn(
  ports: RunPorts,
  pointers: readonly Pointer[],
  who: Relation,
): Promise<readonly { readonly member: string; readonly identifiers: readonly string[] }[]> {
  const files = [...new Map(pointers.map(({ members }) => [members.files.locations.join(), members])).values()].filter(
    ({ files: { rows } }) => rows > 0,
  );
  const found: { member: string; identifiers: readonly string[] }[] = [];
  for (let start = 0; start < files.length; start += AT_ONCE) {
    const some = files.slice(start, start + AT_ONCE);
    const relations = Object.fromEntries(some.map((file, i) => [`generation_${i}`, ledgerRelation(file)]));
    const sql = Object.keys(relations)
      .map((name) => `SELECT g.member AS member, g.identifiers AS identifiers FROM ${name} g JOIN who w ON w.member = g.member`)
      .join('\nUNION ALL ');
    for (const row of await ports.warehouse.rows({ sql, relations: { ...relations, who } }))
      found.push({ member: String(row['member']), identifiers: (row['identifiers'] ?? []) as readonly string[] });
  }
  return found;
}

/**
 * Erases members at one destination: from the whole platform where its connector can, from our lists otherwise. Never throws for a
 * destination that fails: that is an answer, and tried again. `prefix`: a folder of the erasure.
 */
export async function eraseAt(
  ports: RunPorts,
  destination: string,
  sent: readonly Sent[],
  { who, since, prefix }: { readonly who: Relation; readonly since: number; readonly prefix: string },
): Promise<Erased> {
  const at = ports.clock.now();
  const held = sent.filter(({ ever }) => ever.size > 0);
  if (held.length === 0) return { state: 'not-held', lists: 0, at };
  const file = ports.workspace.destinations[destination];
  const connector = file === undefined ? undefined : ports.connectors[file.connector];
  if ((file === undefined || connector === undefined) && sent.every(({ rows }) => rows === 0))
    return { state: 'not-held', lists: 0, at };
  if (file === undefined || connector === undefined) return { state: 'unreachable', lists: 0, at, failure: gone(destination) };
  const named = { connector: connector.name };
  const lists = sent.filter(({ current }) => current.size > 0);
  let answers: ReadonlyMap<string, Outcome> | undefined;
  if (connector.erase !== undefined) {
    const members = await membersOf(ports, connector.membership, sent, `${prefix}/shared/${destination}`);
    const asked = await remotely(ports, { destination: file }, async (context) => connector.erase?.(context, members));
    const outcomes = asked.value;
    if (asked.failure !== undefined || outcomes === undefined)
      return { state: 'failed', ...named, lists: 0, at, ...(asked.failure && { failure: asked.failure }) };
    answers = new Map(members.map((member, i) => [member.key, outcomes[i] ?? NO_ANSWER]));
    const again = [...answers.values()].find(({ kind }) => kind === 'retry');
    if (again !== undefined) return { state: 'failed', ...named, lists: 0, at, failure: asksAgain(destination) };
  }
  try {
    for (const { ledger } of lists) {
      // What the platform did not take as an erasure is taken out of our lists at least.
      const taken = answers !== undefined && [...answers.values()].every(({ kind }) => kind !== 'rejected');
      const people = await ports.warehouse.materialize(
        {
          sql: `SELECT w.member AS member, 'erased' AS why, ${erasureEvidence(String(Math.trunc(since)))} AS e FROM who w`,
          relations: { who },
        },
        ports.store.files.location(`${prefix}/who/${ledger.sync}/${at}`),
      );
      const report = await removeFrom(ports, {
        audience: ledger.audience,
        destination,
        tick: at,
        who: { files: people, columns: WHO_COLUMNS },
        ...(taken && answers && { answers }),
      });
      const failure = report?.syncs[0]?.error;
      if (failure !== undefined) return { state: 'failed', ...named, lists: 0, at, failure };
      const left = await rowsIn(
        ports,
        [await ports.store.pointers.get(ledger.sync)].filter((one) => one !== null),
        who,
      );
      if (left.length > 0) return { state: 'failed', ...named, lists: 0, at, failure: refused(destination, report?.syncs[0]) };
    }
  } catch (error) {
    if (!(error instanceof LeaseHeld)) throw error;
    return {
      state: 'waiting',
      ...named,
      lists: 0,
      at,
      failure: { message: error.message, wayOut: 'It is tried again: sluice forget --continue' },
    };
  }
  const kinds = [...(answers?.values() ?? [])].map(({ kind }) => kind);
  const erased = kinds.length > 0 && kinds.every((kind) => kind !== 'rejected');
  return {
    state: erased ? 'erased' : lists.length > 0 ? 'removed' : 'not-held',
    ...named,
    ...(erased && { answer: kinds.includes('accepted') ? 'accepted' : 'delivered' }),
    lists: lists.length,
    at,
  };
}

const NO_ANSWER: Outcome = { kind: 'retry', reason: 'no-answer' };

const gone = (destination: string): Failure => ({
  message: `Somebody of this request was sent to ${destination}, and destinations/${destination}.yaml is gone: nobody can be erased there.`,
  wayOut: `Put the file back until the erasure is done, or give its ledgers up when the account is closed: sluice retire <audience> ${destination} --abandon`,
});
const asksAgain = (destination: string): Failure => ({
  message: `${destination} asks to try the erasure again.`,
  wayOut: 'Go on with: sluice forget --continue',
});
const refused = (
  destination: string,
  sync: { readonly rejections?: readonly { readonly reason: string }[] } | undefined,
): Failure => ({
  message: `${destination} did not take a removal${sync?.rejections?.[0] === undefined ? '' : ` (${sync.rejections[0].reason})`}.`,
  wayOut: 'It is tried again: sluice forget --continue',
});

/** Who is erased, with every identifier they were ever sent with, but for those that somebody else still holds there (law 6). */
async function membersOf(
  ports: RunPorts,
  membership: 'member' | 'identifier',
  sent: readonly Sent[],
  prefix: string,
): Promise<readonly Member[]> {
  const ever = new Map<string, Set<string>>();
  for (const one of sent) {
    for (const [member, identifiers] of one.ever) {
      const known = ever.get(member) ?? new Set<string>();
      for (const identifier of identifiers) known.add(identifier);
      ever.set(member, known);
    }
  }
  const shared = membership === 'identifier' ? await heldByOthers(ports, sent, ever, prefix) : new Set<string>();
  return [...ever].map(([key, identifiers]) => ({
    key,
    identifiers: [...identifiers].filter((one) => !shared.has(one)).map((one): Identifier => identifierOf(one)),
    traits: {},
    consent: null,
  }));
}

async function heldByOthers(
  ports: RunPorts,
  sent: readonly Sent[],
  ever: ReadonlyMap<string, ReadonlySet<string>>,
  prefix: string,
): Promise<ReadonlySet<string>> {
  const values = [...new Set([...ever.values()].flatMap((one) => [...one]))];
  const written = await ports.store.files.write(
    `${prefix}/${ports.clock.now()}.jsonl`,
    [...values.map((value) => ({ value })), ...[...ever.keys()].map((member) => ({ member }))].map((line) =>
      JSON.stringify(line),
    ),
  );
  const wanted = linesRelation([written.location], { value: 'varchar', member: 'varchar' });
  const shared = new Set<string>();
  for (const { ledger } of sent) {
    const pointer = await ports.store.pointers.get(ledger.sync);
    if (pointer === null) continue;
    const rows = await ports.warehouse.rows({
      sql: `SELECT DISTINCT h.value AS value
FROM (SELECT l.member AS member, u.value AS value FROM ledger l CROSS JOIN UNNEST(l.identifiers) AS u(value)) h
JOIN wanted w ON w.value = h.value
LEFT JOIN wanted m ON m.member = h.member
WHERE m.member IS NULL`,
      relations: { ledger: ledgerRelation(pointer.members), wanted },
    });
    for (const row of rows) shared.add(String(row['value']));
  }
  return shared;
}
