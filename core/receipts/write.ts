import { PointerConflict } from '../ports.ts';
import type { RunPorts } from '../run/ports.ts';
import { syncKey } from '../run/ports.ts';
import type { Query } from '../ports.ts';
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

/**
 * Writes the receipts of one run at one destination once, and ties them to the chain of the sync: first the Parquet files, then the link
 * that names them, then the head in the books. Done again after a crash it finds its own link and writes nothing; files without a
 * link are of an attempt that died and are removed first. The caller holds the lease of the sync.
 *
 * @returns undefined when there is nothing to write a receipt of. Throws `PointerConflict` when another run was faster, `ChainDamaged`.
 */
export async function writeReceipts(
  ports: Pick<RunPorts, 'store' | 'warehouse'>,
  of: ReceiptsOf,
  query: Query,
): Promise<Written | undefined> {
  const { receipts } = ports.store;
  const { run, audience, destination } = of;
  const last = await lastLink(receipts, audience, destination);
  if (last?.link.run === run) return remember(ports, last.link, last.hash);

  const folder = receiptsFolder(of.tick, run, destination);
  if ((await receipts.list(`${folder}/`)).length > 0) await receipts.remove(folder);
  const files = await ports.warehouse.materialize(query, receipts.location(`${folder}/${of.attempt}`));
  if (files.rows === 0) {
    await receipts.remove(folder);
    return undefined;
  }
  const sealed = [];
  for (const location of files.locations) sealed.push({ key: receipts.keyOf(location), ...(await receipts.checksum(location)) });
  const counts = await countsOf(ports, files);
  const link: Link = {
    link: (last?.link.link ?? 0) + 1,
    audience,
    destination,
    run,
    tick: of.tick,
    at: of.committedAt,
    previous: last === undefined ? null : { hash: last.hash, run: last.link.run },
    files: sealed,
    rows: files.rows,
    counts,
  };
  try {
    await receipts.write(linkKey(link), [linkText(link)]);
  } catch (error) {
    if (!(error instanceof FileExists)) throw error;
    await receipts.remove(`${folder}/${of.attempt}`);
    throw new PointerConflict(
      `Receipts of ${syncKey(audience, destination)} were written by another run meanwhile. Nothing was committed by this one.`,
    );
  }
  return remember(ports, link, await hashOf(receipts, linkKey(link)));
}

async function remember({ store }: Pick<RunPorts, 'store'>, link: Link, hash: string): Promise<Written> {
  const head = headOf(link, hash);
  await store.documents.put(HEADS, syncKey(link.audience, link.destination), head);
  return { ...head, rows: link.rows };
}

async function countsOf(ports: Pick<RunPorts, 'warehouse'>, files: Awaited<ReturnType<RunPorts['warehouse']['materialize']>>) {
  const counts: Record<string, Record<string, number>> = {};
  for (const row of await ports.warehouse.rows(receiptCountsQuery({ files, columns: RECEIPT_COLUMNS }))) {
    const of = (counts[String(row['operation'])] ??= {});
    of[String(row['outcome'])] = Number(row['n']);
  }
  return counts satisfies ReceiptCounts;
}
