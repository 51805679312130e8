import type { LedgerFile, Pointer, Relation } from '../ports.ts';
import { sealed } from '../run/ledger-check.ts';
import { attemptOf } from '../run/diff.ts';
import { withLeases } from '../run/lease.ts';
import type { Ledger } from '../run/ledgers.ts';
import type { RunDocument, RunPorts } from '../run/ports.ts';
import { ledgerFilesOf, ledgerRelation, rejectionRelation, snapshotRelation } from '../run/relations.ts';
import { REMOVE_LINE_COLUMNS } from '../sql/delta.ts';
import { ulid, ulidTime } from '../ulid.ts';

/** A run without a plan in the books is one that died early, once it is this old. Milliseconds. */
const DEAD = 3_600_000;

/**
 * Writes every kept generation of a ledger that holds one of the members anew without them, under the same version, and deletes files that no
 * pointer names. Killed anywhere it can be done again: a file is deleted only when no pointer speaks of it any more. The current
 * generation holds none of them by now. Throws `LeaseHeld`.
 *
 * @returns how many generations were written anew
 */
export async function cleanLedger(ports: RunPorts, { sync, audience, destination }: Ledger, who: Relation): Promise<number> {
  const of = { run: ulid(ports.clock.now(), ports.clock.random), audience };
  return withLeases(ports, of, [destination], async () => {
    const { store } = ports;
    const clean = new Map<string, LedgerFile>();
    let rewritten = 0;
    for (const pointer of await store.pointers.history(sync)) {
      const members = await without(ports, pointer, 'members', who, clean);
      const rejections = await without(ports, pointer, 'rejections', who, clean);
      if (members === pointer.members && rejections === pointer.rejections) continue;
      await store.pointers.rewrite(sync, { ...pointer, members, rejections });
      rewritten += 1;
    }
    const named = new Set(
      (await store.pointers.history(sync))
        .flatMap((pointer) => ledgerFilesOf(pointer).flatMap(({ files }) => files.locations))
        .map((location) => store.files.keyOf(location)),
    );
    const found = await store.files.list(`ledger/${sync}/`);
    for (const key of found) if (!named.has(key)) await store.files.remove(key);
    return rewritten;
  });
}

async function without(
  ports: RunPorts,
  pointer: Pointer,
  what: 'members' | 'rejections',
  who: Relation,
  clean: Map<string, LedgerFile>,
): Promise<LedgerFile> {
  const file = pointer[what];
  if (file.files.locations.length === 0) return file;
  const name = file.files.locations.join();
  const known = clean.get(name);
  if (known !== undefined) return known;
  const relation = what === 'members' ? ledgerRelation(file) : rejectionRelation(file);
  const [row] =
    file.files.rows === 0
      ? []
      : await ports.warehouse.rows({
          sql: 'SELECT count(*) AS n FROM kept k JOIN who w ON w.member = k.member',
          relations: { kept: relation, who },
        });
  if (Number(row?.['n'] ?? 0) === 0) {
    clean.set(name, file);
    return file;
  }
  const columns = Object.keys(relation.columns).map((column) => `k.${column} AS ${column}`);
  const [first] = file.files.locations;
  const folder = ports.store.files
    .keyOf(first ?? '')
    .split('/')
    .slice(0, 4)
    .join('/');
  const written = await ports.warehouse.materialize(
    {
      sql: `SELECT ${columns.join(', ')} FROM kept k LEFT JOIN who w ON w.member = k.member WHERE w.member IS NULL`,
      relations: { kept: relation, who },
    },
    ports.store.files.location(`${folder}/${attemptOf(ports)}/${what}`),
  );
  const cleaned = await sealed(ports, written);
  clean.set(name, cleaned);
  return cleaned;
}

/**
 * Deletes the snapshots and deltas of past runs, in which the members may be: they are kept to look into a run, and a person's erasure
 * outweighs that. A plan that still waits is dropped when one of them is in it, and kept otherwise. Deliveries that run are left alone.
 *
 * @returns how many runs were cleaned, and whether one that is delivering still has its files
 */
export async function cleanRuns(ports: RunPorts, who: Relation): Promise<{ readonly cleaned: number; readonly busy: boolean }> {
  const { documents, files } = ports.store;
  let cleaned = 0;
  let busy = false;
  const known = new Set<string>();
  for (const { id, document } of await documents.list<RunDocument>('run')) {
    known.add(id);
    if (document.dropped === true || document.state === 'rejected') continue;
    if (document.state === 'delivering') {
      busy ||= await isIn(ports, document, who);
      continue;
    }
    const waits = document.state === 'planned' || document.state === 'held';
    if (waits && !(await isIn(ports, document, who))) continue;
    await files.remove(`runs/${id}`);
    await documents.put('run', id, { ...document, ...(waits && { state: 'rejected' }), dropped: true } satisfies RunDocument);
    cleaned += 1;
  }
  const folders = new Set((await files.list('runs/')).map((key) => key.split('/')[1] ?? ''));
  for (const id of folders) {
    if (known.has(id) || !/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(id) || ports.clock.now() - ulidTime(id) < DEAD) continue;
    await files.remove(`runs/${id}`);
    cleaned += 1;
  }
  await files.remove('demanded');
  return { cleaned, busy };
}

async function isIn(ports: RunPorts, { snapshot, plans }: RunDocument, who: Relation): Promise<boolean> {
  const parts = [
    ...(snapshot.files.locations.length === 0
      ? []
      : [{ sql: 'SELECT s.member FROM part s JOIN who w ON w.member = s.member', part: snapshotRelation(snapshot) }]),
    ...plans
      .filter(({ removes }) => removes.rows > 0)
      .map(({ removes }) => ({
        sql: 'SELECT r.k AS member FROM part r JOIN who w ON w.member = r.k',
        part: { files: removes, columns: REMOVE_LINE_COLUMNS },
      })),
  ];
  for (const { sql, part } of parts) {
    const [row] = await ports.warehouse.rows({ sql: `SELECT count(*) AS n FROM (${sql}) x`, relations: { part, who } });
    if (Number(row?.['n'] ?? 0) > 0) return true;
  }
  return false;
}
