import { LeaseHeld } from '../run/lease.ts';
import { closeInterrupted } from '../run/interrupted.ts';
import { withLeases } from '../run/lease.ts';
import { everyLedger, type Ledger } from '../run/ledgers.ts';
import type { RunDocument, RunPorts } from '../run/ports.ts';
import { linesRelation } from '../run/relations.ts';
import { LedgerDamaged } from '../run/ledger-check.ts';
import { PointerDamaged } from '../pointer-damaged.ts';
import { type Relation, WarehouseError } from '../ports.ts';
import { erasureRows, memberSql, STOPS } from '../sql/stops.ts';
import { listedStops, writeStops } from '../run/stops.ts';
import { memberOf } from '../run/withdraw.ts';
import { ulid, ulidTime } from '../ulid.ts';
import { cleanLedger, cleanRuns } from './clean.ts';
import { eraseAt, type Erased, isFinal, type Sent, sentFrom } from './erase.ts';
import { ERASURE, type Erasure } from './erasure.ts';
import { Ambiguous, findPerson, holdersOf, marksOfSent, type Person } from './person.ts';
import { signedReceipt } from './receipt.ts';
import { digestOf, type ForgetRequest, RequestRefused } from './request.ts';
import { putTombstones } from './tombstones.ts';

/** There is no such erasure, or it is past the state in which that can be done. Nothing was done. */
export class ErasureRefused extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ErasureRefused';
  }
}

/**
 * Forgets somebody: registers the request and carries the erasure as far as it goes now. The same request again goes on with it. What is
 * not done then (a destination that is down, a delivery that runs) is gone on with by `continueForget`.
 *
 * Law 3: the request is on the disk before anything is done, every destination's answer after it was given; killed anywhere, the next call
 * converges. Throws `ErasureRefused`, `RequestRefused`, and what the ports throw.
 */
export async function forget(ports: RunPorts, request: ForgetRequest): Promise<Erasure> {
  const erasure = await registerErasure(ports, request);
  return erasure.status === 'completed' || erasure.status === 'cancelled' ? erasure : proceed(ports, erasure);
}

/**
 * Goes on with every erasure that is not done, oldest first, those of the `erasures` tables that nobody registered yet among them.
 * @param until epoch ms: requests of a table that are dated later are not made yet
 */
export async function continueForget(ports: RunPorts, until = ports.clock.now()): Promise<readonly Erasure[]> {
  await sweep(ports);
  await registerFromTables(ports, until);
  const open = (await ports.store.documents.list<Erasure>(ERASURE))
    .map(({ document }) => document)
    .filter(({ status }) => status === 'pending' || status === 'in_progress')
    .toSorted((a, b) => a.receivedAt - b.receivedAt);
  const ended: Erasure[] = [];
  for (const erasure of open) ended.push(await proceed(ports, erasure));
  return ended;
}

/** Writes a request down: pending, and nothing else done yet. */
export async function registerErasure(ports: RunPorts, request: ForgetRequest): Promise<Erasure> {
  signerOf(ports);
  if (request.customerIds.length + request.identities.length === 0) throw new RequestRefused(['It names nobody.']);
  const { store, clock, memberKey } = ports;
  const digest = digestOf(memberKey, request);
  const known = await store.documents.get<Erasure>(ERASURE, request.id);
  if (known !== null && known.digest !== digest)
    throw new ErasureRefused(`There is another request ${request.id}. Give this one an id of its own.`);
  if (known !== null) return known;
  // A folder of its own for every attempt to register: one that died left nothing that counts.
  const folder = `forget/${ulid(clock.now(), clock.random)}`;
  await store.files.write(`${folder}/request.json`, [JSON.stringify(request)]);
  const erasure: Erasure = {
    id: request.id,
    status: 'pending',
    source: request.source,
    submittedAt: request.submittedAt,
    receivedAt: clock.now(),
    digest,
    folder,
    destinations: {},
  };
  await store.documents.put(ERASURE, request.id, erasure);
  return erasure;
}

/** Takes a request back while nothing was done for it. */
export async function cancelErasure(ports: RunPorts, id: string): Promise<Erasure> {
  const erasure = await erasureOf(ports, id);
  if (erasure.status !== 'pending')
    throw new ErasureRefused(
      `The erasure ${id} is ${erasure.status.replace('_', ' ')}; only one that is pending can be cancelled.`,
    );
  const cancelled = await ended(ports, { ...erasure, status: 'cancelled', completedAt: ports.clock.now() });
  return cancelled;
}

/** Throws `ErasureRefused` when there is none of this id. */
export async function erasureOf(ports: RunPorts, id: string): Promise<Erasure> {
  const erasure = await ports.store.documents.get<Erasure>(ERASURE, id);
  if (erasure === null) throw new ErasureRefused(`There is no erasure ${id}. They are listed by: sluice forget --status all`);
  return erasure;
}

/** Every erasure, newest first. */
export const erasures = async (ports: RunPorts): Promise<readonly Erasure[]> =>
  (await ports.store.documents.list<Erasure>(ERASURE))
    .map(({ document }) => document)
    .toSorted((a, b) => b.receivedAt - a.receivedAt);

/** A request without its erasure in the books, this long after it was written, was never registered. Milliseconds. */
const NEVER = 3_600_000;

/** Deletes requests that a process left behind when it died: of erasures that have ended, and of such as never began. */
async function sweep(ports: RunPorts): Promise<void> {
  const { documents, files } = ports.store;
  const all = (await documents.list<Erasure>(ERASURE)).map(({ document }) => document);
  const open = new Set(all.filter(({ receipt }) => receipt === undefined).map(({ folder }) => folder));
  const past = new Set(all.filter(({ receipt }) => receipt !== undefined).map(({ folder }) => folder));
  const found = new Set((await files.list('forget/')).map((key) => key.split('/').slice(0, 2).join('/')));
  for (const folder of found) {
    const id = folder.slice('forget/'.length);
    const old = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(id) && ports.clock.now() - ulidTime(id) > NEVER;
    if (past.has(folder) || (old && !open.has(folder))) await files.remove(folder);
  }
}

/** Requests in the `erasures` tables that have no tombstone yet, as one request. Undefined when there are none. */
async function registerFromTables(ports: RunPorts, until: number): Promise<Erasure | undefined> {
  const tables = ports.workspace.tables.filter(({ role }) => role === 'erasures');
  if (tables.length === 0) return undefined;
  const now = ports.clock.now();
  const prefix = `forget/tables/${ulid(now, ports.clock.random)}`;
  try {
    const stops = await writeStops(ports, `${prefix}/stops`, await listedStops(ports, prefix, now));
    const union = tables.map((table) => erasureRows(table, until)).join(' UNION ALL ');
    const known =
      stops === undefined
        ? ''
        : ` LEFT JOIN ${STOPS} t ON t.why = 'erased' AND t.member = ${memberSql(ports.memberKey, 'e.customer_id')} WHERE t.member IS NULL`;
    const rows = await ports.warehouse.rows({
      sql: `SELECT e.customer_id AS customer_id, min(e.since) AS since FROM (${union}) e${known} GROUP BY e.customer_id`,
      tables,
      relations: stops === undefined ? {} : { [STOPS]: stops },
    });
    const ids = rows.map((row) => String(row['customer_id'])).filter((id) => id !== 'null');
    const pending = await pendingIds(ports);
    const fresh = ids.filter((id) => !pending.has(memberOf(ports.memberKey, id)));
    if (fresh.length === 0) return undefined;
    const since = rows.reduce((least, row) => Math.min(least, Number(row['since'] ?? now)), now);
    return await registerErasure(ports, {
      id: `table-${ulid(now, ports.clock.random)}`,
      source: 'table',
      submittedAt: since,
      customerIds: fresh.toSorted(),
      identities: [],
      allHolders: false,
    });
  } finally {
    await ports.store.files.remove(prefix);
  }
}

/** Members whom a request of a table names that was not begun yet. */
async function pendingIds(ports: RunPorts): Promise<ReadonlySet<string>> {
  const members = new Set<string>();
  for (const { document } of await ports.store.documents.list<Erasure>(ERASURE)) {
    if (document.status !== 'pending' || document.source !== 'table') continue;
    for (const id of (await requestOf(ports, document)).customerIds) members.add(memberOf(ports.memberKey, id));
  }
  return members;
}

async function requestOf(ports: RunPorts, { folder }: Erasure): Promise<ForgetRequest> {
  let text = '';
  for await (const line of ports.store.files.lines(`${folder}/request.json`)) text += line;
  return JSON.parse(text) as ForgetRequest;
}

function signerOf({ signer }: RunPorts): NonNullable<RunPorts['signer']> {
  if (signer === undefined) throw new ErasureRefused('There is no key to sign receipts with, so nobody was forgotten.');
  return signer;
}

const LEASE_MS = 60_000;

/** One process at a time for one erasure: another one finds it as it is. */
async function proceed(ports: RunPorts, erasure: Erasure): Promise<Erasure> {
  const { leases } = ports.store;
  const lease = await leases.acquire(`forget/${erasure.id}`, `${erasure.id}@${ports.holder}`, LEASE_MS);
  if ('heldBy' in lease) return erasure;
  const stop = new AbortController();
  const beating = (async () => {
    while (!stop.signal.aborted) {
      await ports.clock.sleep(LEASE_MS / 4, stop.signal).catch(() => undefined);
      if (!stop.signal.aborted) await leases.renew(lease, LEASE_MS);
    }
  })();
  try {
    return await carry(ports, await erasureOf(ports, erasure.id));
  } finally {
    stop.abort();
    await beating;
    await leases.release(lease);
  }
}

async function carry(ports: RunPorts, known: Erasure): Promise<Erasure> {
  if (known.status === 'completed' || known.status === 'cancelled') return known;
  const keep = async (next: Erasure): Promise<Erasure> => {
    await ports.store.documents.put(ERASURE, next.id, next);
    return next;
  };
  let erasure = known;
  const { waits: _waits, ...rest } = erasure;
  if (erasure.person === undefined) {
    try {
      erasure = await begin(ports, rest);
    } catch (error) {
      if (!(error instanceof Ambiguous)) throw error;
      return keep({ ...rest, waits: { message: error.message, wayOut: `Or take it back: sluice forget --cancel ${rest.id}` } });
    }
  } else erasure = rest;
  const { person } = erasure;
  if (person === undefined) return erasure;
  const who = await membersRelation(ports, erasure, person.members);
  await putStops(ports, erasure, person.members);
  const busy = await closeAll(ports);

  const ledgers = await everyLedger(ports);
  const sent: Sent[] = [];
  const damaged = new Map<string, Erased>();
  for (const ledger of ledgers) {
    try {
      sent.push(await sentFrom(ports, ledger, who));
    } catch (error) {
      damaged.set(ledger.destination, failedBy(ports, error));
    }
  }
  await markSent(ports, erasure, sent, person.members);
  for (const destination of new Set([...ledgers.map((one) => one.destination), ...busy])) {
    const before = erasure.destinations[destination];
    const here = sent.filter(({ ledger }) => ledger.destination === destination);
    // A delivery that was under way may have brought them back since.
    const again = here.some(({ current }) => current.size > 0);
    if (before !== undefined && isFinal(before) && !again) continue;
    let next = damaged.get(destination);
    if (next === undefined && busy.has(destination)) next = waiting(ports, destination);
    next ??= await eraseAt(ports, destination, here, {
      who,
      since: erasure.submittedAt,
      prefix: `${erasure.folder}/${ulid(ports.clock.now(), ports.clock.random)}`,
    }).catch((error: unknown) => failedBy(ports, error));
    if (before !== undefined && isFinal(before) && next.state === 'not-held') next = before;
    erasure = await keep({ ...erasure, destinations: { ...erasure.destinations, [destination]: next } });
  }
  if (!Object.values(erasure.destinations).every(isFinal)) return erasure;
  // Also where no generation holds them any more: who died after the last was written anew left the old file behind.
  const found = ({ ever, ledger }: Sent): boolean =>
    ever.size > 0 || ['erased', 'removed'].includes(erasure.destinations[ledger.destination]?.state ?? '');
  const theirs = sent.filter(found).map(({ ledger }) => ledger);
  return clean(ports, erasure, { who, ledgers: theirs }, keep);
}

/** Finds the person and puts up their tombstones: from here on nothing sends them, whatever a table says. */
async function begin(ports: RunPorts, erasure: Erasure): Promise<Erasure> {
  const request = await requestOf(ports, erasure);
  const prefix = `${erasure.folder}/${ulid(ports.clock.now(), ports.clock.random)}`;
  const person: Person = await findPerson(ports, request, prefix);
  await putStops(ports, erasure, person.members);
  await putTombstones(ports.store.documents, person.marks, new Set(person.members), erasure.submittedAt);
  const begun: Erasure = {
    ...erasure,
    status: 'in_progress',
    person: { customers: person.customers, members: person.members, marks: person.marks.length },
  };
  await ports.store.documents.put(ERASURE, erasure.id, begun);
  return begun;
}

const putStops = (ports: RunPorts, { submittedAt }: Erasure, members: readonly string[]): Promise<void> =>
  ports.store.stops.add(members.map((member) => ({ member, purpose: null, why: 'erased', at: submittedAt })));

/** What they were sent with is theirs too, also where no table knows it as theirs any more. Whoever else the tables know with it keeps it. */
async function markSent(ports: RunPorts, erasure: Erasure, sent: readonly Sent[], members: readonly string[]): Promise<void> {
  const texts = new Set(sent.flatMap(({ ever }) => [...ever.values()].flatMap((one) => [...one])));
  if (texts.size === 0) return;
  const known = new Set<string>();
  for (const { id } of await ports.store.documents.list('tombstone')) known.add(id);
  const fresh = [...texts].filter((text) => marksOfSent(ports, text).some((mark) => !known.has(mark)));
  if (fresh.length === 0) return;
  const prefix = `${erasure.folder}/sent/${ulid(ports.clock.now(), ports.clock.random)}`;
  const stones = await holdersOf(ports, fresh, prefix);
  await putTombstones(ports.store.documents, stones, new Set(members), erasure.submittedAt);
}

async function membersRelation(ports: RunPorts, erasure: Erasure, members: readonly string[]): Promise<Relation> {
  const key = `${erasure.folder}/members.jsonl`;
  const written = await ports.store.files.write(
    key,
    members.map((member) => JSON.stringify({ member })),
  );
  return linesRelation([written.location], { member: 'varchar' });
}

/** Deliveries that died hold what their ledger does not know yet. Answers with the destinations of those that live. */
async function closeAll(ports: RunPorts): Promise<ReadonlySet<string>> {
  const busy = new Set<string>();
  for (const { document } of await ports.store.documents.list<RunDocument>('run')) {
    if (document.state !== 'delivering') continue;
    const destinations = document.of.destinations ?? document.plans.map((one) => one.destination);
    try {
      await withLeases(ports, document.of, destinations, () => closeInterrupted(ports, document));
    } catch (error) {
      if (!(error instanceof LeaseHeld)) throw error;
      for (const destination of destinations) busy.add(destination);
    }
  }
  return busy;
}

const waiting = (ports: RunPorts, destination: string): Erased => ({
  state: 'waiting',
  lists: 0,
  at: ports.clock.now(),
  failure: {
    message: `A delivery to ${destination} is under way. It sends them no more, and what it had sent is erased when it has ended.`,
    wayOut: 'Go on with: sluice forget --continue',
  },
});

/** What keeps one destination from being erased and says nothing of the others. Anything else is a defect and is thrown on. */
function failedBy(ports: RunPorts, error: unknown): Erased {
  if (!(error instanceof LedgerDamaged || error instanceof PointerDamaged || error instanceof WarehouseError)) throw error;
  return {
    state: 'failed',
    lists: 0,
    at: ports.clock.now(),
    failure: { message: error.message, wayOut: 'Then go on with: sluice forget --continue' },
  };
}

/** Last: nothing we keep names them by anything but a keyed hash. */
async function clean(
  ports: RunPorts,
  erasure: Erasure,
  { who, ledgers }: { readonly who: Relation; readonly ledgers: readonly Ledger[] },
  keep: (next: Erasure) => Promise<Erasure>,
): Promise<Erasure> {
  let generations = erasure.cleaned?.generations ?? 0;
  let held = false;
  for (const ledger of ledgers) {
    try {
      generations += await cleanLedger(ports, ledger, who);
    } catch (error) {
      if (!(error instanceof LeaseHeld)) throw error;
      held = true;
    }
  }
  const { cleaned, busy } = await cleanRuns(ports, who);
  const done = { ...erasure, cleaned: { generations, runs: cleaned + (erasure.cleaned?.runs ?? 0) } };
  if (held || busy) {
    const message =
      'Every destination is done; the ledgers and files of a delivery that is under way are cleaned when it has ended.';
    return keep({ ...done, waits: { message, wayOut: 'Go on with: sluice forget --continue' } });
  }
  return ended(ports, { ...done, status: 'completed', completedAt: ports.clock.now() });
}

/** Signs the receipt, writes the end down, and then deletes the request: it is the last that names anybody. */
async function ended(ports: RunPorts, erasure: Erasure): Promise<Erasure> {
  const signed: Erasure = { ...erasure, receipt: await signedReceipt(erasure, signerOf(ports)) };
  await ports.store.documents.put(ERASURE, erasure.id, signed);
  await ports.store.files.remove(erasure.folder);
  return signed;
}
