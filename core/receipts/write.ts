import { PointerConflict, type Query } from '../ports.ts';
import type { RunPorts } from '../run/ports.ts';
import { syncKey } from '../run/ports.ts';
import { RECEIPT_COLUMNS, receiptCountsQuery } from '../sql/receipts.ts';
import { FileExists } from '../store-errors.ts';
import {
  type ChainHead,
  hashOf,
  headOf,
  HEADS,
  lastLink,
  type Link,
  linkKey,
  linkText,
  type ReceiptCounts,
  receiptsFolder,
} from './chain.ts';

/** What a run's receipts are of. */
export interface ReceiptsOf {
  readonly run: string;
  readonly audience: string;
  readonly destination: string;
  readonly tick: number;
  /** Epoch milliseconds, the `committed_at` of the query. */
  readonly committedAt: number;
  /** A name that no other attempt has. */
  readonly attempt: string;
}

export interface Written extends ChainHead {
  readonly rows: number;
}

/** Receipts that are written, and not yet in the store of receipts: what every later attempt at this commit takes over as it is. */
interface Sealed {
  readonly attempt: string;
  readonly at: number;
  /** Keys in the store's files. */
  readonly files: Link['files'];
  readonly rows: number;
  readonly counts: ReceiptCounts;
}

/** Kind of the documents with `Sealed`; their id is `<run>-<destination>`. */
const SEALED = 'receipts-sealed';

/**
 * Writes the receipts of one run at one destination once, and ties them to the chain of the sync. First among the files of the run, where an
 * attempt that dies leaves nothing that counts; then, remembered with their checksums, they are taken into the store of receipts, which
 * nothing is ever deleted from; then the link that names them; then the head in the books. Done again after a crash it goes on where
 * that attempt had come to. The caller holds the lease of the sync.
 *
 * @returns undefined when there is nothing to write a receipt of. Throws `PointerConflict` when another run was faster, `ChainDamaged`.
 */
export async function writeReceipts(
  ports: Pick<RunPorts, 'store' | 'warehouse'>,
  of: ReceiptsOf,
  query: Query,
): Promise<Written | undefined> {
  const { receipts, files } = ports.store;
  const { run, audience, destination } = of;
  const last = await lastLink(receipts, audience, destination);
  if (last?.link.run === run) return remember(ports, last.link, last.hash);

  const sealed = await sealedReceipts(ports, of, query);
  if (sealed === undefined) return undefined;
  const adopted: Link['files'][number][] = [];
  for (const { key, sha256, bytes } of sealed.files) {
    const own = `${receiptsFolder(of.tick, run, destination)}/${sealed.attempt}/${key.slice(key.lastIndexOf('/') + 1)}`;
    const found = await receipts.adopt(own, files.location(key));
    if (found.sha256 !== sha256)
      throw new PointerConflict(
        `The receipts of run ${run} at ${destination} were altered while they were committed. Nothing was committed.`,
      );
    adopted.push({ key: own, sha256, bytes });
  }
  const link: Link = {
    link: (last?.link.link ?? 0) + 1,
    audience,
    destination,
    run,
    tick: of.tick,
    at: sealed.at,
    previous: last === undefined ? null : { hash: last.hash, run: last.link.run },
    files: adopted,
    rows: sealed.rows,
    counts: sealed.counts,
  };
  try {
    await receipts.write(linkKey(link), [linkText(link)]);
  } catch (error) {
    if (!(error instanceof FileExists)) throw error;
    throw new PointerConflict(
      `Receipts of ${syncKey(audience, destination)} were written by another run meanwhile. Nothing was committed by this one.`,
    );
  }
  return remember(ports, link, await hashOf(receipts, linkKey(link)));
}

async function sealedReceipts(
  { store, warehouse }: Pick<RunPorts, 'store' | 'warehouse'>,
  { run, destination, attempt, committedAt }: ReceiptsOf,
  query: Query,
): Promise<Sealed | undefined> {
  const id = `${run}-${destination}`;
  const known = await store.documents.get<Sealed>(SEALED, id);
  if (known !== null) return known;
  const written = await warehouse.materialize(query, store.files.location(`runs/${run}/${destination}/receipts/${attempt}`));
  if (written.rows === 0) return undefined;
  const files = [];
  for (const location of written.locations)
    files.push({ key: store.files.keyOf(location), ...(await store.files.checksum(location)) });
  const counts: Record<string, Record<string, number>> = {};
  for (const row of await warehouse.rows(receiptCountsQuery({ files: written, columns: RECEIPT_COLUMNS }))) {
    const byOutcome = (counts[String(row['operation'])] ??= {});
    byOutcome[String(row['outcome'])] = Number(row['n']);
  }
  const sealed: Sealed = { attempt, at: committedAt, files, rows: written.rows, counts };
  await store.documents.put(SEALED, id, sealed);
  return sealed;
}

async function remember({ store }: Pick<RunPorts, 'store'>, link: Link, hash: string): Promise<Written> {
  const head = headOf(link, hash);
  await store.documents.put(HEADS, syncKey(link.audience, link.destination), head);
  return { ...head, rows: link.rows };
}
