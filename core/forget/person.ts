import type { Relation } from '../ports.ts';
import { everyLedger } from '../run/ledgers.ts';
import type { RunPorts } from '../run/ports.ts';
import { ledgerRelation, linesRelation } from '../run/relations.ts';
import { memberOf } from '../run/withdraw.ts';
import { entriesQuery, looseOf, samePersonQuery, tailOf, WANTED_COLUMNS } from '../sql/person.ts';
import type { ForgetRequest, Identity } from './request.ts';
import { hashesOf, hashesOfSent, markOf, namespaceOf, strongNamespaces } from './tombstones.ts';

/** Who is to be forgotten. Keyed hashes only. */
export interface Person {
  /** Member keys: of the ids asked for, of those merged with them, and of members who were sent with an identity asked for. */
  readonly members: readonly string[];
  /** How many customers the tables know of them. */
  readonly customers: number;
  /** Tombstones of their identifiers, and who else held each at the time. */
  readonly marks: readonly { readonly mark: string; readonly keepers: readonly string[] }[];
}

/** An identity asked for is held by several customers, and the request does not say who is meant. */
export class Ambiguous extends Error {
  constructor(holders: number) {
    super(
      `${holders} customers hold an identity that the request names, and it does not say who of them asked. Nobody was erased. ` +
        `Name the customer (controller_customer_id, --customer), or say that all of them are meant (--all-holders, or the extension sluice.all_holders).`,
    );
    this.name = 'Ambiguous';
  }
}

interface Entry {
  readonly id: string;
  readonly namespace: string;
  readonly hashes: readonly string[];
  readonly value: string;
}

/** Finds the person in the tables and, where the tables have forgotten them, in the ledgers. `prefix`: a folder for what is looked for. */
export async function findPerson(ports: RunPorts, request: ForgetRequest, prefix: string): Promise<Person> {
  const found = await samePeople(ports, request.customerIds, `${prefix}/ids`);
  const asked = request.identities.map((one) => ({ namespace: one.namespace, hashes: hashesOfIdentity(one) }));
  const named = await entriesOf(ports, wantedOf(request.identities, []), `${prefix}/identities`);
  const holders = new Set(named.filter((entry) => asked.some((one) => matches(entry, one))).map(({ id }) => id));
  let ids = found;
  if (ids.length === 0 && holders.size > 0) {
    if (holders.size > 1 && !request.allHolders) throw new Ambiguous(holders.size);
    ids = await samePeople(ports, [...holders], `${prefix}/holders`);
  }
  const theirs = ids.length === 0 ? [] : await entriesOf(ports, wantedOf([], ids), `${prefix}/theirs`);
  const strong = strongNamespaces(ports.connectors);
  const all = [...asked, ...theirs.filter((entry) => ids.includes(entry.id))].filter(({ namespace }) => strong.has(namespace));
  const members = new Set(ids.map((id) => memberOf(ports.memberKey, id)));
  if (ids.length === 0) for (const member of await sentWith(ports, asked, prefix)) members.add(member);
  const marks = new Map<string, Set<string>>();
  for (const { namespace, hashes } of all)
    for (const hash of hashes) marks.set(markOf(ports.memberKey, namespace, hash), new Set());
  // Whoever else the tables know with one of these now keeps it (law 6).
  const alike = await entriesOf(ports, wantedOf(request.identities, [], theirs), `${prefix}/alike`);
  for (const entry of alike) {
    const member = memberOf(ports.memberKey, entry.id);
    if (members.has(member)) continue;
    for (const hash of entry.hashes) marks.get(markOf(ports.memberKey, entry.namespace, hash))?.add(member);
  }
  return {
    members: [...members].toSorted(),
    customers: ids.length,
    marks: [...marks].map(([mark, keepers]) => ({ mark, keepers: [...keepers].toSorted() })),
  };
}

const hashesOfIdentity = ({ namespace, value, format }: Identity): readonly string[] =>
  format === 'sha256' ? [value] : hashesOf(namespace, value, null);

const matches = (entry: Entry, one: { readonly namespace: string; readonly hashes: readonly string[] }): boolean =>
  entry.namespace === one.namespace && entry.hashes.some((hash) => one.hashes.includes(hash));

type Wanted = { readonly kind: string; readonly value: string };

function wantedOf(
  identities: readonly Identity[],
  ids: readonly string[],
  entries: readonly Entry[] = [],
): { readonly lines: readonly Wanted[]; readonly hashed: boolean } {
  const lines: Wanted[] = ids.map((value) => ({ kind: 'id', value }));
  const look = (value: string): void => {
    lines.push({ kind: 'loose', value: looseOf(value) });
    const tail = tailOf(value);
    if (tail !== undefined) lines.push({ kind: 'tail', value: tail });
  };
  for (const { value, format } of identities) if (format === 'raw') look(value);
  for (const { value } of entries) look(value);
  const hashes = [...identities.flatMap(hashesOfIdentity), ...entries.flatMap((entry) => entry.hashes)];
  for (const value of new Set(hashes)) lines.push({ kind: 'hex', value });
  return { lines, hashed: identities.some(({ format }) => format === 'sha256') };
}

/** Customers' identifiers that look like what is wanted, each read as platforms read it. */
async function entriesOf(
  ports: RunPorts,
  { lines, hashed }: ReturnType<typeof wantedOf>,
  key: string,
): Promise<readonly Entry[]> {
  if (lines.length === 0) return [];
  const wanted = await written(ports, key, lines);
  const source = { tables: ports.workspace.tables, consent: ports.workspace.consent, tick: ports.clock.now() };
  const rows = await ports.warehouse.rows(entriesQuery(source, wanted, hashed));
  return rows.map((row) => {
    const [name, value] = [String(row['namespace']), String(row['value'])];
    const country = row['country'] === null || row['country'] === undefined ? null : String(row['country']);
    return { id: String(row['customer_id']), namespace: namespaceOf(name), value, hashes: hashesOf(name, value, country) };
  });
}

async function samePeople(ports: RunPorts, ids: readonly string[], key: string): Promise<readonly string[]> {
  if (ids.length === 0) return [];
  const wanted = await written(
    ports,
    key,
    ids.map((value) => ({ kind: 'id', value })),
  );
  const source = { tables: ports.workspace.tables, consent: ports.workspace.consent, tick: ports.clock.now() };
  const rows = await ports.warehouse.rows(samePersonQuery(source, wanted));
  return [...new Set([...ids, ...rows.map((row) => String(row['customer_id']))])];
}

async function written(ports: RunPorts, key: string, lines: readonly Wanted[]): Promise<Relation> {
  const file = await ports.store.files.write(
    `${key}.jsonl`,
    lines.map((line) => JSON.stringify(line)),
  );
  return linesRelation([file.location], WANTED_COLUMNS);
}

/** Members of current ledgers who were sent with an identity, where no table knows it any more (law 4). */
async function sentWith(
  ports: RunPorts,
  asked: readonly { readonly namespace: string; readonly hashes: readonly string[] }[],
  prefix: string,
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  if (asked.length === 0) return found;
  for (const { sync } of await everyLedger(ports)) {
    const pointer = await ports.store.pointers.get(sync);
    if (pointer === null || pointer.members.files.rows === 0) continue;
    const values = asked.flatMap(({ namespace, hashes }) => hashes.map((hash) => `${namespace}:${hash}`));
    const wanted = await written(
      ports,
      `${prefix}/sent/${sync}`,
      values.map((value) => ({ kind: 'sent', value })),
    );
    const rows = await ports.warehouse.rows({
      sql: `SELECT DISTINCT h.member AS member
FROM (SELECT l.member AS member, u.value AS value FROM ledger l CROSS JOIN UNNEST(l.identifiers) AS u(value)) h
JOIN wanted w ON w.value = h.value OR w.value = substr(h.value, 1, strpos(h.value, ':')) || lower(to_hex(sha256(to_utf8(substr(h.value, strpos(h.value, ':') + 1)))))`,
      relations: { ledger: ledgerRelation(pointer.members), wanted },
    });
    for (const row of rows) found.add(String(row['member']));
  }
  return found;
}

/** Hashes of an identifier as sent, as marks; none for one that identifies nobody alone. */
export function marksOfSent(ports: RunPorts, sent: string): readonly string[] {
  const { namespace, hashes } = hashesOfSent(sent);
  if (!strongNamespaces(ports.connectors).has(namespace)) return [];
  return hashes.map((hash) => markOf(ports.memberKey, namespace, hash));
}

/** Marks of identifiers as sent, and whom the tables know with each. */
export async function holdersOf(
  ports: RunPorts,
  sent: readonly string[],
  prefix: string,
): Promise<readonly { readonly mark: string; readonly keepers: readonly string[] }[]> {
  const marks = new Map<string, Set<string>>(sent.flatMap((one) => marksOfSent(ports, one)).map((mark) => [mark, new Set()]));
  const identities = sent.flatMap((one): Identity[] => {
    const { namespace, hashes } = hashesOfSent(one);
    return hashes.map((value) => ({ namespace, value, format: 'sha256' }));
  });
  for (const { id, namespace, hashes } of await entriesOf(ports, wantedOf(identities, []), `${prefix}/holders`))
    for (const hash of hashes) marks.get(markOf(ports.memberKey, namespace, hash))?.add(memberOf(ports.memberKey, id));
  return [...marks].map(([mark, keepers]) => ({ mark, keepers: [...keepers].toSorted() }));
}
