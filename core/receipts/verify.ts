import type { Files, Relation, Row } from '../ports.ts';
import type { RunDocument, RunPorts } from '../run/ports.ts';
import { syncKey } from '../run/ports.ts';
import type { RunReport, SyncReport } from '../run/report.ts';
import { RECEIPT_COLUMNS, receiptCountsQuery } from '../sql/receipts.ts';
import {
  CHAIN,
  type ChainHead,
  hashOf,
  headOf,
  HEADS,
  isLinkKey,
  keptSince,
  type Link,
  linkKey,
  linkOf,
  type ReceiptCounts,
  textOf,
} from './chain.ts';

/** What is wrong with the receipts of one run, or of one link where nobody can say of which run it was. */
export interface ChainProblem {
  readonly audience: string;
  readonly destination: string;
  readonly run: string | null;
  /** `dropped`: not there any more. `altered`: not as it was written. `added`: nobody wrote it. `counts`: not what the run reported. */
  readonly kind: 'dropped' | 'altered' | 'added' | 'counts';
  readonly message: string;
}

/** One sync's chain as it is now. Keep it elsewhere: a later verification can be held against it. */
export interface SyncChain {
  readonly audience: string;
  readonly destination: string;
  readonly head: ChainHead | null;
  readonly receipts: number;
  readonly bytes: number;
}

export interface Verdict {
  readonly whole: boolean;
  readonly syncs: readonly SyncChain[];
  readonly problems: readonly ChainProblem[];
  /** Runs whose commit has not ended: their files are not tied yet. */
  readonly unfinished: readonly string[];
}

/** The head of a chain as somebody kept it. */
export type KeptHead = ChainHead & Pick<SyncChain, 'audience' | 'destination'>;

/** What the books say of a run's receipts at one destination. */
interface Reported {
  readonly run: string;
  readonly sync: SyncReport;
}

/**
 * Looks at every receipt that was ever written: links without a gap, each as the next one and the books know it, files as they were sealed,
 * counts as the runs reported, and nothing beside them. Reads only; needs no key. `known` are heads that somebody kept elsewhere; `now`
 * says what is past its period, epoch milliseconds.
 */
export async function verifyReceipts(
  ports: Pick<RunPorts, 'store' | 'warehouse' | 'workspace'>,
  { known = [], now }: { readonly known?: readonly KeptHead[]; readonly now: number },
): Promise<Verdict> {
  const since = keptSince(ports.workspace, now);
  const { receipts, documents } = ports.store;
  const keys = await receipts.list('');
  const heads = new Map((await documents.list<ChainHead>(HEADS)).map(({ id, document }) => [id, document]));
  const runs = await documents.list<RunDocument>('run');
  const reported = Map.groupBy(runs.flatMap(reportsOf), ({ sync }) => sync.key);
  const chains = Map.groupBy(keys.filter(isLinkKey), (key) => key.split('/').slice(1, 3).join('/'));
  const names = [...new Set([...chains.keys(), ...heads.keys(), ...reported.keys()])].toSorted();

  const problems: ChainProblem[] = [];
  const syncs: SyncChain[] = [];
  const named = new Set<string>();
  const sound: { readonly link: Link; readonly say: Say }[] = [];
  for (const name of names) {
    const [audience = '', destination = ''] = name.split('/');
    const say: Say = (run, kind, message) => problems.push({ audience, destination, run, kind, message });
    const kept = known.filter((one) => syncKey(one.audience, one.destination) === name);
    const chain = await chainOf(receipts, name, chains.get(name) ?? []);
    const books = booksOf(reported.get(name) ?? [], heads.get(name), kept);
    const links = looked(name, chain, books, say);
    for (const { link } of links) for (const { key } of link.files) named.add(key);
    for (const one of reported.get(name) ?? []) compareReport(one, links, say);
    for (const { link } of links) {
      // A link past the head in the books is of a run that died before it wrote the head; one of no run at all was put there.
      if (link.link > (heads.get(name)?.link ?? 0) && !runs.some(({ id }) => id === link.run))
        say(link.run, 'added', `link ${link.link} of ${name} is of no run in the books`);
    }
    for (const { link } of links) if (await filesWhole(receipts, link, since, say)) sound.push({ link, say });
    const last = links.at(-1);
    syncs.push({
      audience,
      destination,
      head: last === undefined ? null : headOf(last.link, last.hash),
      receipts: links.reduce((sum, { link }) => sum + link.rows, 0),
      bytes: links.reduce((sum, { link }) => sum + link.files.reduce((all, file) => all + file.bytes, 0), 0),
    });
  }
  await recount(ports, sound);
  const delivering = new Set(runs.filter(({ document }) => document.state === 'delivering').map(({ id }) => id));
  const unfinished = new Set<string>();
  for (const key of keys) {
    if (named.has(key) || isLinkKey(key)) continue;
    const [, run = '', destination = ''] = key.split('/');
    if (delivering.has(run)) unfinished.add(run);
    else if (!problems.some((problem) => problem.run === run)) {
      const audience = runs.find(({ id }) => id === run)?.document.of.audience ?? '';
      const message = key.startsWith(CHAIN) ? 'is no link' : 'is named by no link';
      problems.push({ audience, destination, run: run === '' ? null : run, kind: 'added', message: `${key} ${message}` });
    }
  }
  return { whole: problems.length === 0, syncs, problems, unfinished: [...unfinished] };
}

type Say = (run: string | null, kind: ChainProblem['kind'], message: string) => void;

const reportsOf = ({
  id,
  document,
}: {
  readonly id: string;
  readonly document: RunDocument;
}): (Omit<Reported, 'sync'> & {
  readonly sync: SyncReport & { readonly key: string };
})[] =>
  ((document.report as RunReport | undefined)?.syncs ?? []).map((sync) => ({
    run: id,
    sync: { ...sync, key: syncKey(document.of.audience, sync.destination) },
  }));

interface Seen {
  readonly number: number;
  readonly hash: string;
  readonly link: Link | undefined;
}

async function chainOf(receipts: Files, name: string, keys: readonly string[]): Promise<readonly Seen[]> {
  const seen: Seen[] = [];
  for (const key of keys) {
    const found = linkOf(await textOf(receipts, key));
    // A link under another's name, or of another sync, is none here.
    const own = found !== undefined && linkKey(found) === key && key.startsWith(`${CHAIN}${name}/`) ? found : undefined;
    seen.push({ number: Number(key.slice(-13, -5)), hash: await hashOf(receipts, key), link: own });
  }
  return seen;
}

/** What is known of each link from outside the chain: its number -> run and hash. */
type Books = ReadonlyMap<number, { readonly run: string; readonly hash: string }>;

function booksOf(reports: readonly Reported[], head: ChainHead | undefined, kept: readonly ChainHead[]): Books {
  const heads = [
    ...reports.flatMap(({ sync }) => (sync.receipts === undefined ? [] : [sync.receipts])),
    ...(head ? [head] : []),
    ...kept,
  ];
  return new Map(heads.map(({ link, run, hash }) => [link, { run, hash }]));
}

/**
 * The links that can be read, after saying what is wrong with the chain. From its end to its beginning, because a link says what the one
 * before it was; where a link was altered itself, only the books are believed.
 */
function looked(
  name: string,
  chain: readonly Seen[],
  books: Books,
  say: Say,
): readonly { readonly link: Link; readonly hash: string }[] {
  const at = new Map(chain.map((one) => [one.number, one]));
  const last = Math.max(0, ...at.keys(), ...books.keys());
  const whole: { link: Link; hash: string }[] = [];
  let expected: { readonly run: string; readonly hash: string } | undefined;
  for (let number = last; number >= 1; number--) {
    const one = at.get(number);
    const known = [expected, books.get(number)].filter((two) => two !== undefined);
    const run = known[0]?.run ?? null;
    expected = undefined;
    if (one === undefined) {
      say(run, 'dropped', `its link ${number} of ${name} is gone`);
      continue;
    }
    const { link, hash } = one;
    if (link === undefined) {
      say(run, 'altered', `link ${number} of ${name} is not what was written there`);
      continue;
    }
    whole.unshift({ link, hash });
    if (known.some((two) => two.hash !== hash)) {
      say(
        run ?? link.run,
        'altered',
        `link ${number} of ${name} is not as the ${books.has(number) ? 'books' : 'next link'} know it`,
      );
      continue;
    }
    if (number > 1 && link.previous === null) say(link.run, 'altered', `link ${number} of ${name} names none before it`);
    expected = link.previous ?? undefined;
  }
  return whole;
}

/** Law 14's sum again, years later: what the run reported is what its receipts say. */
function compareReport({ run, sync }: Reported, links: readonly { readonly link: Link }[], say: Say): void {
  const { outcomes } = sync;
  if (outcomes === undefined) return;
  const link = links.find((one) => one.link.run === run)?.link;
  if (link === undefined) {
    const answers = outcomes.delivered + outcomes.accepted + outcomes.rejected;
    if (sync.receipts === undefined && answers > 0) say(run, 'dropped', `it reports ${answers} answers and has no receipts`);
    return;
  }
  const wrong = (['delivered', 'accepted', 'rejected'] as const).filter(
    (outcome) => total(link.counts, outcome) !== outcomes[outcome],
  );
  if (wrong.length > 0)
    say(
      run,
      'counts',
      wrong
        .map((outcome) => `${total(link.counts, outcome)} receipts say ${outcome}, its report ${outcomes[outcome]}`)
        .join('; '),
    );
}

const total = (counts: ReceiptCounts, outcome: string): number =>
  Object.values(counts).reduce((sum, byOutcome) => sum + (byOutcome[outcome] ?? 0), 0);

async function filesWhole(receipts: Files, link: Link, since: number | undefined, say: Say): Promise<boolean> {
  let whole = true;
  for (const { key, sha256, bytes } of link.files) {
    const found = (await receipts.exists(key)) ? await receipts.checksum(receipts.location(key)) : undefined;
    if (found?.sha256 === sha256) continue;
    whole = false;
    if (found === undefined && since !== undefined && link.at < since) continue;
    if (found === undefined) say(link.run, 'dropped', `${key} is gone`);
    else
      say(
        link.run,
        'altered',
        `${key} ${found.bytes === bytes ? 'was altered' : `has ${found.bytes} bytes, ${bytes} were written`}`,
      );
  }
  return whole;
}

/** Counts the receipts themselves: a link that was wrong from the beginning shows here. */
async function recount(
  { store, warehouse }: Pick<RunPorts, 'store' | 'warehouse'>,
  sound: readonly { readonly link: Link; readonly say: Say }[],
): Promise<void> {
  if (sound.length === 0) return;
  const rows: Row[] = [];
  for (const links of batched(sound.map(({ link }) => link)))
    rows.push(...(await warehouse.rows(receiptCountsQuery(relationOf(store.receipts, links)))));
  const found = new Map(
    rows.map((row) => [
      ['run', 'destination', 'operation', 'outcome'].map((name) => String(row[name])).join('/'),
      Number(row['n']),
    ]),
  );
  for (const { link, say } of sound) {
    const counted = Object.entries(link.counts).flatMap(([operation, outcomes]) =>
      Object.entries(outcomes).filter(
        ([outcome, n]) => found.get([link.run, link.destination, operation, outcome].join('/')) !== n,
      ),
    );
    if (counted.length > 0) say(link.run, 'counts', 'its files hold other receipts than its link counts');
  }
}

/** Links whose files are read by one query: a query names its files, and Athena takes 262,144 bytes of text. */
export const batched = (links: readonly Link[]): readonly (readonly Link[])[] => {
  const batches: Link[][] = [];
  let room = 0;
  for (const link of links) {
    room -= link.files.length;
    if (room < 0) {
      batches.push([]);
      room = FILES_A_QUERY - link.files.length;
    }
    batches.at(-1)?.push(link);
  }
  return batches;
};
const FILES_A_QUERY = 1_000;

/** The receipts of some links as a relation `receipts`. */
export const relationOf = (receipts: Files, links: readonly Link[]): Relation => ({
  files: {
    format: 'parquet',
    locations: links.flatMap(({ files }) => files.map(({ key }) => receipts.location(key))),
    rows: links.reduce((sum, { rows }) => sum + rows, 0),
    bytes: 0,
  },
  columns: RECEIPT_COLUMNS,
});
