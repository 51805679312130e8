import type { Workspace } from '../model.ts';
import type { Files } from '../ports.ts';
import { minus } from '../time.ts';

/** How many receipts by operation and outcome: `{ add: { delivered: 12 } }`. */
export type ReceiptCounts = Readonly<Record<string, Readonly<Record<string, number>>>>;

/**
 * A link of the chain of one sync: the receipts of one run, by their files' checksums, tied to the link before (docs/adr/0020).
 * Its hash is the SHA-256 of its file as it is stored, what `sha256sum` says of it.
 */
export interface Link {
  /** Counts from 1 without a gap. */
  readonly link: number;
  readonly audience: string;
  readonly destination: string;
  readonly run: string;
  /** Epoch milliseconds. */
  readonly tick: number;
  readonly at: number;
  /** Hash of the link before, and the run it is of; null for the first. */
  readonly previous: { readonly hash: string; readonly run: string } | null;
  /** Keys in the store's receipts. */
  readonly files: readonly { readonly key: string; readonly sha256: string; readonly bytes: number }[];
  readonly rows: number;
  readonly counts: ReceiptCounts;
}

/** Where a chain ends, as the books and the report of a run keep it. */
export interface ChainHead {
  readonly link: number;
  readonly hash: string;
  readonly run: string;
}

/** Kind of the documents that hold the head of each chain, under the sync's key: what is cut off at the end of a chain shows there. */
export const HEADS = 'receipts';

export const CHAIN = 'chain/';
const chainOf = (audience: string, destination: string): string => `${CHAIN}${audience}/${destination}/`;

/** A number in the name, written once: two runs can't write the same link. */
export const linkKey = ({ audience, destination, link }: Pick<Link, 'audience' | 'destination' | 'link'>): string =>
  `${chainOf(audience, destination)}${String(link).padStart(8, '0')}.json`;

/** Folder of the receipts of one run at one destination; `dt` is the day of its tick in UTC, which engines read as a partition. */
export const receiptsFolder = (tick: number, run: string, destination: string): string =>
  `dt=${new Date(tick).toISOString().slice(0, 10)}/${run}/${destination}`;

export const linkText = (link: Link): string => JSON.stringify(link);

export const headOf = ({ link, run }: Link, hash: string): ChainHead => ({ link, hash, run });

export const hashOf = async (receipts: Files, key: string): Promise<string> =>
  (await receipts.checksum(receipts.location(key))).sha256;

/** The newest link of a sync's chain with its hash, undefined when there is none. Throws what the store throws, `SyntaxError` never. */
export async function lastLink(
  receipts: Files,
  audience: string,
  destination: string,
): Promise<{ readonly link: Link; readonly hash: string } | undefined> {
  const key = (await receipts.list(chainOf(audience, destination))).filter(isLinkKey).at(-1);
  if (key === undefined) return undefined;
  const link = linkOf(await textOf(receipts, key));
  if (link === undefined) throw new ChainDamaged(key);
  return { link, hash: await hashOf(receipts, key) };
}

/**
 * From when on receipts must still be there (epoch milliseconds): what policies/retention.yaml lets go is older. Undefined where they are
 * kept for ever.
 */
export const keptSince = ({ retention }: Pick<Workspace, 'retention'>, now: number): number | undefined =>
  retention.storage.receipts === undefined ? undefined : minus(now, retention.storage.receipts, 'UTC');

export const isLinkKey = (key: string): boolean => /^chain\/[^/]+\/[^/]+\/\d{8}\.json$/.test(key);

export async function textOf(receipts: Files, key: string): Promise<string> {
  const lines: string[] = [];
  for await (const line of receipts.lines(key)) lines.push(line);
  return lines.join('\n');
}

/** The link of a text, undefined when it is none. */
export function linkOf(text: string): Link | undefined {
  try {
    const link = JSON.parse(text) as Partial<Link> | null;
    return typeof link?.link === 'number' && typeof link.run === 'string' && Array.isArray(link.files)
      ? (link as Link)
      : undefined;
  } catch {
    return undefined;
  }
}

/** The newest link of a chain cannot be read, so nothing can be tied to it. */
export class ChainDamaged extends Error {
  constructor(key: string) {
    super(
      `The newest link of the chain of receipts is damaged: receipts/${key}. The delivery's outcomes are kept, and are committed by the next sync once it is mended. ` +
        `Put the file back from a backup. What else is altered: sluice audit --verify`,
    );
    this.name = 'ChainDamaged';
  }
}
