import { createHash } from 'node:crypto';
import { isMap, isScalar } from 'yaml';
import type { Node } from 'yaml';
import * as z from 'zod';
import type { Column, Duration, Period, RetentionPolicy, Role, Table, TableRetention } from '../model.ts';
import { didYouMean } from '../problems.ts';
import { DELTAS_KEPT } from '../retention.ts';
import { OPEN_CLASSIFICATIONS } from './contract.ts';
import type { ContractTable } from './contract.ts';
import { readDuration } from './literal.ts';
import { namedColumn } from './scope.ts';
import { checkShape } from './shape.ts';
import { keyOf, nodeAt, valueOf } from './source.ts';
import type { Source } from './source.ts';
import { daysIn } from './words-of-time.ts';

const KEEP = 'keep';

const period = z.union([
  z.string().describe('How long: 730 days; or keep, as long as the table has it.'),
  z.strictObject({
    period: z.string().describe('How long: 730 days.'),
    by: z.string().optional().describe('The column that says how old a row is.'),
  }),
]);

/** What our own storage keeps, by the word the file has for it. */
const STORED = ['deltas', 'generations', 'runs', 'receipts'] as const;
type Stored = (typeof STORED)[number];

const storage: Readonly<Record<Stored, z.ZodType>> = {
  deltas: z.string().describe('Snapshots, deltas and journals of runs; a week when left out.'),
  generations: z.string().describe('Ledger generations that are no longer current; for ever when left out.'),
  runs: z.string().describe('The books: what is known of each run and plan; for ever when left out.'),
  receipts: z.string().describe('Receipts; for ever when left out.'),
};

/** The whole file, for editors. */
export const retentionSchema = z.strictObject({
  datasets: z.record(z.string(), period).optional().describe('Table, contract or role -> how long its rows are used.'),
  fields: z.record(z.string(), period).optional().describe('table.column -> how long the value is used.'),
  storage: z.strictObject(storage).partial().optional().describe('How long our own storage keeps what it has.'),
});

/** What the shape check uses: lengths of time are read apart, with better messages. */
const shape = z.strictObject({
  datasets: z.record(z.string(), z.unknown()).optional(),
  fields: z.record(z.string(), z.unknown()).optional(),
  storage: z
    .strictObject({ deltas: z.unknown(), generations: z.unknown(), runs: z.unknown(), receipts: z.unknown() })
    .partial()
    .optional(),
});

/** Roles whose rows may go; the column that says how old they are, where no `by` does. */
const AGES: Readonly<Partial<Record<Role, string | undefined>>> = {
  customers: undefined,
  identifiers: 'last_seen',
  events: 'occurred_at',
};

const hasAge = (role: Role): boolean => Object.hasOwn(AGES, role);

/** Plans may be sent for a day, and a delivery that was interrupted is closed from its files: they must be there. */
const SHORTEST_DAYS = 2;

export interface ReadRetention {
  readonly policy: RetentionPolicy;
  readonly byTable: ReadonlyMap<Table, TableRetention>;
}

/** Nothing is said: snapshots and deltas go after a week, everything else stays. */
export const NO_RETENTION: ReadRetention = { policy: { storage: {}, version: 'none' }, byTable: new Map() };

/**
 * policies/retention.yaml, and what has no period as warnings. Undefined when it has errors.
 *
 * @param complete whether every contract could be read: else a name that is not there is no mistake of this file
 */
export function readRetention(source: Source, tables: readonly ContractTable[], complete: boolean): ReadRetention | undefined {
  const words = { nouns: { '': 'the retention policy', storage: 'the storage', datasets: 'the datasets', fields: 'the fields' } };
  const file = checkShape(source, shape, words);
  const before = source.problems.length;
  const datasets = new Map<ContractTable, Reading>();
  const wrong = new Map<ContractTable, string>();
  const keys = Object.keys(file?.datasets ?? {});
  for (const entry of tables) {
    // The nearest name wins: a table's own, then its contract's, then its role's.
    const key = [entry.table.name, contractOf(entry), entry.table.role].find((name) => keys.includes(name));
    if (key === undefined) continue;
    // A mistake is told once, however many tables the key means.
    const found = [...wrong.values()].includes(key) ? undefined : readDataset(source, key, entry);
    if (found) datasets.set(entry, found);
    else wrong.set(entry, key);
  }
  const fields = new Map<ContractTable, Record<string, Reading>>();
  for (const key of Object.keys(file?.fields ?? {})) readField(source, key, tables, datasets, fields, complete);
  if (complete) {
    for (const key of keys) if (named(key, tables).length === 0) reportUnknown(source, key, tables);
    reportMissing(
      source,
      tables.filter((entry) => !wrong.has(entry)),
      datasets,
      fields,
    );
  }
  const stored = readStorage(source);
  if (!file || source.problems.slice(before).some(({ severity }) => severity === 'error')) return undefined;
  const byTable = new Map<Table, TableRetention>();
  for (const entry of tables) {
    const rows = datasets.get(entry);
    const own = Object.entries(fields.get(entry) ?? {}).filter((one): one is [string, Period] => one[1] !== KEEP);
    if ((rows === undefined || rows === KEEP) && own.length === 0) continue;
    byTable.set(entry.table, { fields: Object.fromEntries(own), ...(rows !== undefined && rows !== KEEP && { rows }) });
  }
  const version = createHash('sha256').update(source.text).digest('hex').slice(0, 12);
  return { policy: { storage: stored, version }, byTable };
}

type Reading = Period | typeof KEEP;

const contractOf = ({ table }: ContractTable): string => /([^/]*)\.ya?ml$/.exec(table.file)?.[1] ?? '';

/** The tables that a key means: those of that name, else of a contract of that name, else of that role. */
function named(key: string, tables: readonly ContractTable[]): readonly ContractTable[] {
  const names: readonly ((entry: ContractTable) => string)[] = [({ table }) => table.name, contractOf, ({ table }) => table.role];
  return names.map((nameOf) => tables.filter((entry) => nameOf(entry) === key)).find((found) => found.length > 0) ?? [];
}

function readDataset(source: Source, key: string, entry: ContractTable): Reading | undefined {
  const { table } = entry;
  const node = nodeAt(source.root, ['datasets', key]);
  const place = keyOf(nodeAt(source.root, ['datasets']), key);
  if (hasAge(table.role)) return readPeriod(source, node, key, entry, undefined);
  if (isScalar(node) && node.value === KEEP) return KEEP;
  source.report(place, {
    rule: 'needed-for-refusal',
    message: `Rows of "${table.name}" may not be forgotten: they are what keeps people from being sent.`,
    hint:
      table.role === 'consents'
        ? 'Write keep. How long a grant lasts says expires_after in policies/consent.yaml; a refusal never expires.'
        : 'Write keep.',
  });
  return undefined;
}

/** `730 days`, `keep`, or a mapping with `by`. `usual` is the column that counts where none is named. */
function readPeriod(
  source: Source,
  node: Node,
  key: string,
  entry: ContractTable,
  usual: Column | undefined,
): Reading | undefined {
  if (isScalar(node) && node.value === KEEP) return KEEP;
  const length = readDuration(source, 'period', isMap(node) ? (valueOf(node, 'period') ?? null) : node);
  if (isMap(node)) {
    for (const { key: inner } of node.items) {
      const name = String(isScalar(inner) ? inner.value : '');
      if (name === 'period' || name === 'by') continue;
      source.report(inner as Node, {
        rule: 'unknown-key',
        message: `Unknown key "${name}" in the period of "${key}".`,
        hint: didYouMean(name, ['period', 'by']) ?? 'It takes period and by.',
      });
    }
  }
  const by = columnOf(source, node, key, entry, usual);
  return length === undefined || by === undefined ? undefined : { by, period: length };
}

function columnOf(source: Source, node: Node, key: string, entry: ContractTable, usual: Column | undefined): Column | undefined {
  const { table } = entry;
  const at = valueOf(node, 'by');
  if (at !== undefined) {
    const name = isScalar(at) && typeof at.value === 'string' ? at.value : '';
    const found = namedColumn(source, entry, name, at ?? node);
    if (found === undefined || found.type === 'date' || found.type === 'timestamp') return found;
    source.report(at ?? node, {
      rule: 'wrong-field-type',
      message: `"${name}" is of type ${found.type}; how old a row is must be a date or a timestamp.`,
    });
    return undefined;
  }
  const field = AGES[table.role];
  const own = field === undefined ? undefined : table.columns.find(({ name }) => name === table.fields[field]);
  const found = usual ?? own;
  if (found) return found;
  const times = table.columns.filter(({ type }) => type === 'date' || type === 'timestamp').map(({ name }) => name);
  source.report(node, {
    rule: 'missing-key',
    message: `Nothing says how old a row of "${table.name}" is, so "${key}" needs "by".`,
    hint: `Write { period: ..., by: ${times[0] ?? '<a date or timestamp of the table>'} }${times.length > 1 ? `; there are ${times.join(', ')}` : ''}.`,
  });
  return undefined;
}

function readField(
  source: Source,
  key: string,
  tables: readonly ContractTable[],
  datasets: ReadonlyMap<ContractTable, Reading>,
  fields: Map<ContractTable, Record<string, Reading>>,
  complete: boolean,
): void {
  const place = keyOf(nodeAt(source.root, ['fields']), key);
  const node = nodeAt(source.root, ['fields', key]);
  const dot = key.indexOf('.');
  if (dot < 1 || dot === key.length - 1) {
    source.report(place, { rule: 'invalid-value', message: `"${key}" must be a table and a column of it: customers.phone.` });
    return;
  }
  const [dataset, column] = [key.slice(0, dot), key.slice(dot + 1)];
  const entries = named(dataset, tables);
  if (entries.length === 0 && complete) reportUnknown(source, dataset, tables, place);
  for (const entry of entries) {
    const { table } = entry;
    const found = namedColumn(source, entry, column, place ?? node);
    if (!found) continue;
    if (!hasAge(table.role) || found.name === table.fields['customer_id']) {
      if (isScalar(node) && node.value === KEEP) continue;
      source.report(place, {
        rule: 'needed-for-refusal',
        message: `"${key}" may not be forgotten: without it people could not be kept from being sent.`,
        hint: 'Write keep, or leave it out.',
      });
      continue;
    }
    const rows = datasets.get(entry);
    const reading = readPeriod(source, node, key, entry, rows === undefined || rows === KEEP ? undefined : rows.by);
    if (reading !== undefined) fields.set(entry, { ...fields.get(entry), [found.name]: reading });
  }
}

function reportUnknown(source: Source, key: string, tables: readonly ContractTable[], place?: Node): void {
  const names = [...new Set(tables.flatMap((entry) => [entry.table.name, contractOf(entry), entry.table.role]))];
  source.report(place ?? keyOf(nodeAt(source.root, ['datasets']), key), {
    rule: 'unknown-dataset',
    message: `No contract has a table "${key}", nor is it the name of a contract or a role.`,
    hint: didYouMean(key, names) ?? `There are ${[...new Set(tables.map(({ table }) => table.name))].join(', ')}.`,
  });
}

/** Every dataset, and every sensitive field of one, of which nothing says how long it may be used. */
function reportMissing(
  source: Source,
  tables: readonly ContractTable[],
  datasets: ReadonlyMap<ContractTable, Reading>,
  fields: ReadonlyMap<ContractTable, Readonly<Record<string, Reading>>>,
): void {
  const warn = (message: string, hint: string) =>
    source.report(source.root.items[0]?.key ?? source.root, { rule: 'no-retention', severity: 'warning', message, hint });
  const seen = new Set<string>();
  for (const entry of tables) {
    const { table } = entry;
    if (!hasAge(table.role)) continue;
    const rows = datasets.get(entry);
    if (rows === undefined && !seen.has(table.name)) {
      const by = AGES[table.role] === undefined ? '{ period: 730 days, by: <column> }' : '730 days';
      warn(
        `Nothing says how long rows of "${table.name}" (${table.file}) may be used.`,
        `Add "${table.name}: ${by}" under datasets, or "${table.name}: keep" where the table itself is kept clean.`,
      );
    }
    for (const column of table.columns) {
      const key = `${table.name}.${column.name}`;
      const open = column.classification === undefined || OPEN_CLASSIFICATIONS.includes(column.classification.toLowerCase());
      if (open || seen.has(key) || (rows !== undefined && rows !== KEEP) || fields.get(entry)?.[column.name] !== undefined)
        continue;
      warn(
        `Nothing says how long "${key}" may be used, which is classified ${column.classification}.`,
        `Add "${key}: 730 days" under fields, or "${key}: keep".`,
      );
      seen.add(key);
    }
    seen.add(table.name);
  }
}

function readStorage(source: Source): RetentionPolicy['storage'] {
  const found: Partial<Record<Stored, Duration>> = {};
  const all = valueOf(source.root, 'storage');
  for (const key of STORED) {
    const node = valueOf(all, key);
    if (node === undefined) continue;
    const length = readDuration(source, key, node);
    if (length === undefined) continue;
    if (daysOf(length) < SHORTEST_DAYS) {
      source.report(node, {
        rule: 'out-of-range',
        message: `"${key}" must be at least ${SHORTEST_DAYS} days: a plan may be sent for a day, and an interrupted delivery is closed from its files.`,
      });
      continue;
    }
    found[key] = length;
  }
  return found;
}

/** Whole days of a length of time, rounded up. */
const daysOf = (length: Duration): number => Math.ceil(daysIn(length));

/** A rule of a bucket's lifecycle, for what age alone decides. */
export interface LifecycleRule {
  /** `state`: runs and ledgers. `receipts`: the bucket of the receipts, whose Object Lock lasts as long. */
  readonly store: 'state' | 'receipts';
  readonly prefix: string;
  /** Objects go so many days after they were written; left out where age does not decide. */
  readonly days?: number;
  /** In a bucket with versions: what was deleted or replaced is really gone so many days later. */
  readonly deletedDays: number;
  readonly what: string;
}

/** A mistaken deletion of a ledger can be mended for so long; an erasure is complete afterwards. */
const LEDGER_DELETED_DAYS = 7;

/**
 * What a bucket can delete by itself. Ledger generations go by no age: the current one may be years old, so the sweep before a run deletes
 * what is no longer current (core/run/sweep.ts), and the bucket only what was deleted.
 */
export function lifecycleOf({ storage: kept }: RetentionPolicy): readonly LifecycleRule[] {
  return [
    {
      store: 'state',
      prefix: 'runs/',
      days: daysOf(kept.deltas ?? DELTAS_KEPT),
      deletedDays: 1,
      what: 'snapshots, deltas and journals of runs',
    },
    { store: 'state', prefix: 'ledger/', deletedDays: LEDGER_DELETED_DAYS, what: 'deleted generations of ledgers' },
    ...(kept.receipts === undefined
      ? []
      : [{ store: 'receipts' as const, prefix: '', days: daysOf(kept.receipts), deletedDays: 1, what: 'receipts' }]),
  ];
}
