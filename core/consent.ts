import { type Evidence, type EvidenceStatus, SEPARATOR } from './evidence.ts';
import { COUNTRIES, subdivisionsOf } from './iso-3166.ts';
import type { Basis, ConsentStatus, PurposePolicy } from './model.ts';
import { type SignalKind, signalsOf, stricter } from './signals.ts';
import { minus } from './time.ts';

/**
 * The consent decision, to be read: the readings of docs/laws.md as code. `core/sql/consent.ts` computes the same for millions,
 * and a test compares the two on random histories.
 */

/** One record of a person's consent for the purpose asked about. Times are epoch milliseconds. */
export interface ConsentRecord {
  /** The contract's mapping applied; `null` for a word it does not list (or no word at all). */
  readonly status: ConsentStatus | null;
  /** When it began; `null` is a broken record, which may refuse but never grant. */
  readonly from: number | null;
  /** When it ended; `null` while it is open. */
  readonly to: number | null;
  /** There is no word at all, not even an unknown one: a string may speak for the record. */
  readonly wordless?: boolean;
  /** Strings of the advertising industry, where the table keeps them (core/signals.ts). */
  readonly tcf?: string | null;
  readonly gpp?: string | null;
  /** The company's names for where it came from and for the record itself, where the table keeps them. */
  readonly source?: string | null;
  readonly id?: string | null;
}

/** What the customers table says of where a person lives, as it is written there. */
export interface Residence {
  readonly country: string | null;
  readonly region: string | null;
}

export type ConsentReason =
  | 'granted'
  | 'not-refused'
  | 'no-record'
  | 'denied'
  | 'withdrawn'
  | 'unknown-status'
  | 'pending'
  | 'unconfirmed'
  | 'expired'
  | 'ended'
  | 'no-policy';

export interface ConsentDecision {
  readonly allowed: boolean;
  readonly reason: ConsentReason;
  readonly basis: Basis;
  /** ISO 3166 code whose law was applied; null when unknown. */
  readonly jurisdiction: string | null;
  /** The record that decided. */
  readonly evidence: Evidence;
}

/**
 * Which record decides is a number, so that engines can compute it as a maximum: the later start wins, and among records that started
 * together the higher code, that is an open one before an ended one, and the stricter before the laxer. `unconfirmed` is what a grant
 * becomes where it would have to be confirmed; no record has it.
 */
export const CODES = {
  ended: 1,
  confirmed: 2,
  granted: 3,
  pending: 4,
  unconfirmed: 5,
  'unknown-status': 8,
  denied: 9,
  withdrawn: 10,
} as const;
/** Our own words, which a contract maps those of a source to. */
export const STATUSES: readonly ConsentStatus[] = ['granted', 'confirmed', 'denied', 'withdrawn', 'pending'];
/** From here on a record refuses. */
export const REFUSAL = 8;
/** A record's place in the order: its start times this, plus its code. */
export const RADIX = 16;
/** Namespaces of which SQL can tell whether two values are the same for every platform; `check` refuses others where that is asked. */
export const COMPARABLE: readonly string[] = ['email', 'maid'];
/** How many sources an order can have: their level is part of a number of 63 bits in SQL. */
export const MAX_SOURCES = 100;

/**
 * Whether a customer may be sent for a purpose.
 * @param records all records of the customer for the purpose, in any order
 * @param policy the purpose's policy, undefined when the policy file does not know the purpose: nothing is allowed then
 * @param now the run's tick, epoch milliseconds
 */
export function decide(
  records: readonly ConsentRecord[],
  policy: PurposePolicy | undefined,
  residence: Residence,
  now: number,
): ConsentDecision {
  if (policy === undefined)
    return { allowed: false, reason: 'no-policy', basis: 'opt-in', jurisdiction: null, evidence: noRecord('no-policy') };
  const where = jurisdictionOf(residence, policy);
  const started = records.flatMap((record) => startedOf(record, policy, now));
  const record = deciding(started);
  const confirmed = record !== undefined && (policy.doubleOptIn !== true || isConfirmed(record, started));
  const { allowed, reason } = judge(record, confirmed, policy, where.basis, now);
  const evidence: Evidence =
    record === undefined
      ? noRecord(reason)
      : { reason, status: statusOf(record.code), began: record.from, source: opaque(record.source), record: opaque(record.id) };
  return { allowed, reason, ...where, evidence };
}

/** A record that has started. */
interface Started {
  readonly from: number;
  /** What it says as of now, and what it said when it was open. */
  readonly code: number;
  readonly said: number;
  /** Of its source: the higher outranks. */
  readonly level: number;
  readonly source?: string | null | undefined;
  readonly id?: string | null | undefined;
}

function startedOf(written: ConsentRecord, policy: PurposePolicy, now: number): Started[] {
  const { from, to, source, id } = written;
  const { sources = [] } = policy;
  const said = saidBy(written, policy);
  if (said === undefined) return [];
  const code = to !== null && to <= now ? CODES.ended : said;
  const place = sources.indexOf(source ?? '');
  const record = { code, said, level: place === -1 ? 0 : sources.length - place, source, id };
  // Nobody knows when it began: a refusal counts as the latest, anything else as nothing.
  if (from === null) return code >= REFUSAL ? [{ from: now, ...record }] : [];
  return from <= now ? [{ from, ...record }] : [];
}

/**
 * The code of what a record says: its word, unless a string refuses. Where there is no word the string speaks; undefined when it says
 * nothing of the purpose, and then there is no record of it.
 */
function saidBy({ status, wordless, tcf, gpp }: ConsentRecord, policy: PurposePolicy): number | undefined {
  const word = CODES[status ?? 'unknown-status'];
  if (!tcf && !gpp) return word;
  const of = (kind: SignalKind, text: string | null | undefined) => (text ? (signalsOf(kind, text, [policy])[0] ?? null) : null);
  const signal = stricter(of('tcf', tcf), of('gpp', gpp));
  const code = signal === null ? undefined : CODES[signal];
  if (wordless === true) return code;
  return code !== undefined && code >= REFUSAL ? Math.max(word, code) : word;
}

/** The record that decides, undefined when none has started. */
function deciding(started: readonly Started[]): Started | undefined {
  const highest = Math.max(...started.map(({ level }) => level));
  const counting = started
    // A lower source never lifts what a higher one says; a refusal counts wherever it was made.
    .filter(({ code, level }) => level === highest || code >= REFUSAL)
    .toSorted((a, b) => b.from - a.from || b.code - a.code || b.level - a.level || (nameOf(a) < nameOf(b) ? -1 : 1));
  const [last] = counting;
  // The last one has ended: an earlier refusal that is still open counts again, an earlier grant does not revive.
  return last?.code === CODES.ended ? (counting.find(({ code }) => code >= REFUSAL) ?? last) : last;
}

/**
 * Double opt-in: a grant that says itself that it was confirmed, or one before which the person was asked to confirm (`pending`), or
 * confirmed an earlier one, and has not refused since. Records that have ended tell of it too.
 */
function isConfirmed(record: Started, started: readonly Started[]): boolean {
  if (record.code === CODES.confirmed) return true;
  const last = (those: readonly Started[]) => Math.max(...those.map(({ from }) => from));
  const asked = last(started.filter(({ said }) => said === CODES.pending || said === CODES.confirmed));
  const refused = last(started.filter(({ said }) => said >= REFUSAL));
  return asked < record.from && asked > refused;
}

/** Of records that say the same since the same moment, the first by name is named as the one that decided. */
const nameOf = ({ source, id }: Started): string => `${opaque(source) ?? ''}${SEPARATOR}${opaque(id) ?? ''}`;

/** What looks like an address is no name for a record: it would live on in receipts. */
const opaque = (name: string | null | undefined): string | null => (name && !name.includes('@') ? name : null);

function judge(
  record: Started | undefined,
  confirmed: boolean,
  policy: PurposePolicy,
  basis: Basis,
  now: number,
): { readonly allowed: boolean; readonly reason: ConsentReason } {
  if (record !== undefined && record.code >= REFUSAL) return no(statusOf(record.code) as ConsentReason);
  if (basis === 'opt-out') return yes('not-refused');
  if (record === undefined) return no('no-record');
  if (record.code !== CODES.granted && record.code !== CODES.confirmed) return no(statusOf(record.code) as ConsentReason);
  if (!confirmed) return no('unconfirmed');
  // Exactly as old as its expiry has expired.
  return policy.expiresAfter !== undefined && record.from <= minus(now, policy.expiresAfter, 'UTC')
    ? no('expired')
    : yes('granted');
}

const yes = (reason: ConsentReason) => ({ allowed: true, reason });
const no = (reason: ConsentReason) => ({ allowed: false, reason });

const noRecord = (reason: ConsentReason): Evidence => ({ reason, status: null, began: null, source: null, record: null });

const statusOf = (code: number): EvidenceStatus =>
  (Object.entries(CODES).find(([, own]) => own === code)?.[0] ?? 'unknown-status') as EvidenceStatus;

/** Under whose law a person stands, and what it asks for. Unknown takes the strictest basis that the purpose has anywhere. */
export function jurisdictionOf(
  residence: Residence,
  policy: PurposePolicy,
): { readonly jurisdiction: string | null; readonly basis: Basis } {
  const country = countryOf(residence.country);
  if (country === null) return { jurisdiction: null, basis: strictest([policy.basis, ...Object.values(policy.jurisdictions)]) };
  const national = policy.jurisdictions[country] ?? policy.basis;
  const regional = Object.entries(policy.jurisdictions).filter(([code]) => code.startsWith(`${country}-`));
  if (regional.length === 0) return { jurisdiction: country, basis: national };
  const region = regionOf(country, residence.region);
  if (region === null) return { jurisdiction: country, basis: strictest([national, ...regional.map(([, basis]) => basis)]) };
  const own = policy.jurisdictions[region];
  return own === undefined ? { jurisdiction: country, basis: national } : { jurisdiction: region, basis: own };
}

/** ISO 3166-1 alpha-2 in upper case, or null when the text is no code that is assigned. */
export function countryOf(text: string | null): string | null {
  const code = upper(text ?? '');
  return COUNTRIES.has(code) ? code : null;
}

/** ISO 3166-2 of `CA` or `US-CA`, or null when the country has no such subdivision. */
export function regionOf(country: string, text: string | null): string | null {
  const written = upper(text ?? '');
  const code = written.startsWith(`${country}-`) ? written : `${country}-${written}`;
  return subdivisionsOf(country).has(code) ? code : null;
}

/** Of the letters of codes only: elsewhere engines disagree, and a dotless i is no India. */
const upper = (text: string): string => text.replace(/[a-z]/g, (letter) => letter.toUpperCase());

export const strictest = (bases: readonly Basis[]): Basis => (bases.includes('opt-in') ? 'opt-in' : 'opt-out');
