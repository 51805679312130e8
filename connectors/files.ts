import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { z } from 'zod';
import {
  type Connector,
  DestinationBroken,
  type Outcome,
  type RemoteList,
  TryAgain,
  type TraitValue,
} from '../core/connector.ts';
import { email, maid, phone, plainText } from '../core/identifiers.ts';

/** Change sets as files in a folder, for whatever picks them up: parts first, the manifest last. docs/connectors/files.md */

const settings = z.strictObject({
  /** Relative to the workspace. */
  folder: z
    .string()
    .min(1)
    .refine((text) => !/^[a-z][a-z\d+.-]*:\/\//i.test(text), 'must be a folder: addresses like s3:// are not written to')
    .default('.sluice/outbox'),
  format: z.enum(['jsonl', 'csv']).default('jsonl'),
  compress: z.enum(['none', 'gzip']).default('none'),
});

type Settings = z.infer<typeof settings>;

/** Columns of a CSV part before the traits; a trait of one of these names would be two columns in one. */
const FIRST_COLUMNS = ['op', 'external_id'];
const MANIFEST = 'manifest.json';
/** Beside the runs of an audience: the run whose manifest is not written yet. */
const OPEN = '.open';

export const files: Connector<Settings, Record<string, string>> = {
  name: 'files',
  title: 'Files in a folder',
  settings,
  secret: null,
  namespaces: {
    external_id: { normalise: plainText(1024), hash: 'none', max: 1 },
    email: { normalise: email, hash: 'none' },
    phone: { normalise: phone, hash: 'none' },
    maid: { normalise: maid, hash: 'none' },
  },
  defaultIdentifiers: ['external_id'],
  membership: 'member',
  modes: ['mirror', 'upsert', 'add-only'],
  traits: true,
  limits: {
    // A part is held in memory until it is written.
    rows: 20_000,
    bytes: 8_000_000,
    overhead: 4_000,
    windows: [{ requests: 1_000, seconds: 1 }],
    concurrency: 2,
    source: 'ours, 2026-11-22: parts that a spreadsheet still opens',
  },

  endpoint: ({ folder }) => folder,

  async ensure(context, list) {
    const others = list.identifiers.filter((name) => name !== 'external_id');
    const columns = [...FIRST_COLUMNS, ...others, ...list.traits];
    if (new Set(columns).size < columns.length) {
      throw new DestinationBroken(
        `A trait of "${list.audience}" has the name of another column of its files (${columns.join(', ')}).`,
        'Give the trait another name under `traits` of the sync.',
      );
    }
    const name = `${encodeURIComponent(list.destination)}/${encodeURIComponent(list.audience)}`;
    const run = `dt=${new Date(list.tick).toISOString().slice(0, 10)}/run=${list.run}`;
    const about = {
      audience: list.audience,
      destination: list.destination,
      mode: list.mode,
      run: list.run,
      at: new Date(list.tick).toISOString(),
    };
    const remote = {
      id: name,
      run,
      others: JSON.stringify(others),
      traits: JSON.stringify(list.traits),
      about: JSON.stringify(about),
    };
    const folder = resolve(context.endpoint, name);
    await touching(async () => {
      const before = await openRun(folder);
      // Its parts were taken and are in the ledger: a delivery that stopped half-way must not leave them without a manifest.
      if (before !== undefined && before.run !== run) await seal(context, before);
      await mkdir(join(folder, run), { recursive: true, mode: 0o700 });
      await writeWhole(join(folder, OPEN), Buffer.from(JSON.stringify(remote)));
    });
    return remote;
  },

  encode({ settings: { format } }, list, op, { identifiers, traits }) {
    const external = identifiers.find((one) => one.namespace === 'external_id')?.value;
    if (external === undefined) return { text: '', rows: 0 };
    const others = op === 'remove' ? [] : identifiers.filter((one) => one.namespace !== 'external_id');
    if (format === 'jsonl') {
      const row = op === 'remove' ? { op, external_id: external } : { op, external_id: external, identifiers: others, traits };
      return { text: JSON.stringify(row), rows: 1 };
    }
    const values = namesIn(list.others).map((name) =>
      others.flatMap((one) => (one.namespace === name ? one.value : [])).join(' '),
    );
    const cells = [
      op,
      external,
      ...values,
      ...namesIn(list.traits).map((name) => (op === 'remove' ? null : (traits[name] ?? null))),
    ];
    return { text: cells.map(csvCell).join(','), rows: 1 };
  },

  async send(context, list, batch) {
    const rows = batch.items.filter((item) => item.rows > 0);
    const outcomes = batch.items.map((item): Outcome => (item.rows > 0 ? { kind: 'delivered' } : NO_KEY));
    if (rows.length === 0) return outcomes;
    const { format, compress } = context.settings;
    const end = format === 'csv' ? '\r\n' : '\n';
    const header = [...FIRST_COLUMNS, ...namesIn(list.others), ...namesIn(list.traits)].map(csvCell).join(',');
    const lines = [...(format === 'csv' ? [header] : []), ...rows.map((item) => item.text)];
    const text = Buffer.from(lines.join(end) + end);
    // The name is the batch's own, so sending it again writes the same file; the sequence orders the parts of a run.
    const part = `part-${String(batch.sequence).padStart(5, '0')}-${batch.op}-${rows.length}-${batch.id}.${format}${compress === 'gzip' ? '.gz' : ''}`;
    const path = join(resolve(context.endpoint, list.id), list.run ?? '', part);
    await touching(() => writeWhole(path, compress === 'gzip' ? gzipSync(text) : text));
    return outcomes;
  },

  async finish(context, list) {
    await touching(() => seal(context, list));
  },
};

const NO_KEY: Outcome = { kind: 'rejected', reason: 'no-external-id' };

const namesIn = (text: string | undefined): readonly string[] => (text === undefined ? [] : (JSON.parse(text) as string[]));

/**
 * A cell of RFC 4180. What a spreadsheet would run as a formula (`=`, `+`, `-`, `@`, also full-width, tab, return and line feed at the start,
 * or behind white space there) gets an apostrophe in front; plain numbers and phone numbers, which run to themselves, do not. https://owasp.org/www-community/attacks/CSV_Injection, read 2026-11-22.
 */
export function csvCell(value: TraitValue): string {
  if (value === null) return '';
  const text = String(value);
  const safe =
    /^(?:[\t\r\n]|[\s\p{Cf}]*[=+\-@\uff1d\uff0b\uff0d\uff20])/u.test(text) && !/^[+-]?\d+(?:\.\d+)?$/.test(text)
      ? `'${text}`
      : text;
  return /[",\r\n]|^\s|\s$|^'/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const opened = z.looseObject({ id: z.string(), run: z.string() });

async function openRun(folder: string): Promise<(RemoteList & { readonly run: string }) | undefined> {
  try {
    return opened.parse(JSON.parse(await readFile(join(folder, OPEN), 'utf8'))) as RemoteList & { readonly run: string };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Writes the manifest over all parts of a run, and forgets that it is open. Doing it again writes the same. */
async function seal(context: { readonly endpoint: string }, list: RemoteList): Promise<void> {
  const audience = resolve(context.endpoint, list.id);
  const folder = join(audience, list.run ?? '');
  const parts: { file: string; op: string; rows: number; bytes: number; sha256: string }[] = [];
  for (const file of (await readdir(folder)).sort()) {
    const [, op, rows] = /^part-\d+-(upsert|remove)-(\d+)-/.exec(file) ?? [];
    if (op === undefined) continue;
    // Read back, not remembered: the manifest says what is in the folder.
    const content = await readFile(join(folder, file));
    parts.push({
      file,
      op,
      rows: Number(rows),
      bytes: content.length,
      sha256: createHash('sha256').update(content).digest('hex'),
    });
  }
  const rows = (op: string): number => parts.reduce((sum, part) => sum + (part.op === op ? part.rows : 0), 0);
  const about = JSON.parse(list.about ?? '{}') as object;
  const manifest = { ...about, rows: { upsert: rows('upsert'), remove: rows('remove') }, parts };
  await writeWhole(join(folder, MANIFEST), Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));
  await rm(join(audience, OPEN), { force: true });
}

/** All or nothing, and on the disk when it resolves: readers see whole files only. For the owner's eyes: the rows are people. */
async function writeWhole(path: string, content: Buffer): Promise<void> {
  const handle = await open(`${path}.new`, 'w', 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${path}.new`, path);
}

const WAYS_OUT: Readonly<Record<string, string>> = {
  ENOSPC: 'Make room on the disk, or set another `folder`.',
  EDQUOT: 'Make room in the quota, or set another `folder`.',
  EACCES: 'Let the user that runs Sluice write there, or set another `folder`.',
  EPERM: 'Let the user that runs Sluice write there, or set another `folder`.',
  EROFS: 'The disk is read-only: set another `folder`.',
  ENOTDIR: 'A part of the path is a file: set another `folder`.',
  ENAMETOOLONG: 'Set a shorter `folder`.',
  ENOENT: 'The folder of this run was taken away while it was being written: leave it until its manifest is there.',
};

/** What goes wrong with files, in the three kinds of a connector. Paths stay out of the text: they are the company's own. */
async function touching<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const wayOut = WAYS_OUT[code];
    if (wayOut !== undefined) throw new DestinationBroken(`The folder cannot be written (${code}).`, wayOut);
    throw new TryAgain(`The folder cannot be written now (${/^[A-Z]+$/.test(code) ? code : 'unknown'}).`, { ambiguous: true });
  }
}
