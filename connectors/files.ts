import { gzipSync } from 'node:zlib';
import * as z from 'zod';
import {
  type Connector,
  type Context,
  DestinationBroken,
  type Outcome,
  type RemoteList,
  type TraitValue,
} from '../core/connector.ts';
import { email, maid, phone, plainText } from '../core/identifiers.ts';
import { type Drop, folderDrop } from './drop.ts';

/** Change sets as files in a folder or a bucket, for whatever picks them up: parts first, the manifest last. docs/connectors/files.md */

const BUCKET = 's3://';

/**
 * What is wrong with an address of a bucket. Names of buckets: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html; characters
 * of keys that are safe everywhere, also in a policy: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html; both read 2026-11-25.
 */
function wrongAddress(folder: string): string | undefined {
  if (!folder.startsWith(BUCKET)) {
    return /^[a-z][a-z\d+.-]*:\/\//i.test(folder) ? 'must be a folder or an address s3://bucket/prefix' : undefined;
  }
  const [bucket = '', ...prefix] = folder.slice(BUCKET.length).replace(/\/$/, '').split('/');
  if (bucket === '') return 'must name a bucket: s3://bucket/prefix';
  const isName = /^[a-z\d][a-z\d.-]{1,61}[a-z\d]$/.test(bucket) && !/\.\.|^[\d.]+$|^xn--|^sthree-/.test(bucket);
  if (!isName)
    return 'must name a bucket as S3 does: 3 to 63 lower-case letters, digits, - and ., a letter or digit at both ends';
  if (/--x-s3$|--table-s3$/.test(bucket))
    return 'must be in a general purpose bucket: directory and table buckets are written to otherwise';
  if (prefix.some((part) => !/^[\w!.'()=-]+$/.test(part) || /^\.+$/.test(part)))
    return "must have a prefix of letters, digits and !-_.'()= between single slashes";
  return undefined;
}

const settings = z
  .strictObject({
    /** Relative to the workspace, or `s3://bucket/prefix`. */
    folder: z
      .string()
      .min(1)
      .superRefine((text, check) => {
        const message = wrongAddress(text);
        if (message !== undefined) check.addIssue({ code: 'custom', message });
      })
      .default('.sluice/outbox'),
    format: z.enum(['jsonl', 'csv']).default('jsonl'),
    compress: z.enum(['none', 'gzip']).default('none'),
    bucket_owner: z
      .string()
      .regex(/^\d{12}$/, 'must be the 12 digits of an account, in quotes')
      .optional(),
    region: z
      .string()
      .regex(/^[a-z]{2,}(-[a-z]+)+-\d+$/, 'must be a region such as eu-central-1')
      .optional(),
  })
  .superRefine(({ folder, bucket_owner, region }, check) => {
    if (folder.startsWith(BUCKET)) return;
    for (const [key, value] of Object.entries({ bucket_owner, region })) {
      if (value !== undefined)
        check.addIssue({ code: 'custom', path: [key], message: 'may only stand beside a `folder` that is an address s3://' });
    }
  });

type Settings = z.infer<typeof settings>;

/** Columns of a CSV part before the traits; a trait of one of these names would be two columns in one. */
const FIRST_COLUMNS = ['op', 'external_id'];
const MANIFEST = 'manifest.json';
/** Beside the runs of an audience: the run whose manifest is not written yet. */
const OPEN = '.open';

export const files: Connector<Settings, Record<string, string>> = {
  name: 'files',
  title: 'Files in a folder or a bucket',
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
    const drop = await dropOf(context);
    const before = await openRun(drop, name);
    // Its parts were taken and are in the ledger: a delivery that stopped half-way must not leave them without a manifest.
    if (before !== undefined && before.run !== run) await seal(drop, before);
    await drop.prepare(`${name}/${run}`);
    await drop.write(`${name}/${OPEN}`, Buffer.from(JSON.stringify(remote)), false);
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
    const drop = await dropOf(context);
    await drop.write(`${list.id}/${list.run ?? ''}/${part}`, compress === 'gzip' ? gzipSync(text) : text, true);
    return outcomes;
  },

  async finish(context, list) {
    await seal(await dropOf(context), list);
  },
};

/** A bucket is reached at the destination's `endpoint`, where there is one. Only who writes into one loads what speaks to S3. */
async function dropOf({ settings: { folder, region, bucket_owner }, endpoint }: Context<Settings, unknown>): Promise<Drop> {
  if (!folder.startsWith(BUCKET)) return folderDrop(endpoint);
  const { s3Drop } = await import('./drop-s3.ts');
  return s3Drop({
    address: folder.replace(/\/$/, ''),
    region,
    owner: bucket_owner,
    endpoint: endpoint.startsWith(BUCKET) ? undefined : endpoint,
  });
}

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

async function openRun(drop: Drop, audience: string): Promise<(RemoteList & { readonly run: string }) | undefined> {
  const text = await drop.read(`${audience}/${OPEN}`);
  if (text === undefined) return undefined;
  try {
    return opened.parse(JSON.parse(text.toString())) as RemoteList & { readonly run: string };
  } catch {
    throw new DestinationBroken(
      'The file `.open` of the audience, which names the run that has no manifest yet, cannot be read.',
      'Somebody else wrote it: take it away, and tell the reader to look at runs without a manifest.',
    );
  }
}

/** Writes the manifest over all parts of a run, and forgets that it is open. Doing it again writes the same. */
async function seal(drop: Drop, list: RemoteList): Promise<void> {
  const folder = `${list.id}/${list.run ?? ''}`;
  const parts: { file: string; op: string; rows: number; bytes: number; sha256: string }[] = [];
  for (const file of await drop.list(folder)) {
    const [, op, rows] = /^part-\d+-(upsert|remove)-(\d+)-/.exec(file) ?? [];
    if (op === undefined) continue;
    // Looked at, not remembered: the manifest says what is there.
    parts.push({ file, op, rows: Number(rows), ...(await drop.sum(`${folder}/${file}`)) });
  }
  const rows = (op: string): number => parts.reduce((sum, part) => sum + (part.op === op ? part.rows : 0), 0);
  const about = JSON.parse(list.about ?? '{}') as object;
  const manifest = { ...about, rows: { upsert: rows('upsert'), remove: rows('remove') }, parts };
  // Not once: a run that is sealed, and then goes on after all, has a manifest of everything.
  await drop.write(`${folder}/${MANIFEST}`, Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`), false);
  await drop.remove(`${list.id}/${OPEN}`);
}
