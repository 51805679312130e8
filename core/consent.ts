import { type Evidence, type EvidenceStatus, SEPARATOR } from './evidence.ts';
import { COUNTRIES, subdivisionsOf } from './iso-3166.ts';
import type { Basis, ConsentStatus, PurposePolicy } from './model.ts';
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
 * together the higher code, that is an open one before an ended one, and the stricter before the laxer.
 */
export const CODES = { ended: 1, granted: 2, pending: 3, 'unknown-status': 5, denied: 6, withdrawn: 7 } as const;
/** From here on a record refuses. */
export const REFUSAL = 5;
/** A record's place in the order: its start times this, plus its code. */
export const RADIX = 16;

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
  const record = deciding(records, now);
  const { allowed, reason } = judge(record, policy, where.basis, now);
  const evidence: Evidence =
    record === undefined
      ? noRecord(reason)
      : { reason, status: statusOf(record.code), began: record.from, source: opaque(record.source), record: opaque(record.id) };
  return { allowed, reason, ...where, evidence };
}

interface Started {
  readonly from: number;
  readonly code: number;
  readonly source?: string | null | undefined;
  readonly id?: string | null | undefined;
}

/** The record that decides, undefined when none has started. */
function deciding(records: readonly ConsentRecord[], now: number): Started | undefined {
  const started = records
    .flatMap(({ status, from, to, source, id }): Started[] => {
      const code = to !== null && to <= now ? CODES.ended : CODES[status ?? 'unknown-status'];
      // Nobody knows when it began: a refusal counts as the latest, anything else as nothing.
      if (from === null) return code >= REFUSAL ? [{ from: now, code, source, id }] : [];
      return from <= now ? [{ from, code, source, id }] : [];
    })
    .toSorted((a, b) => b.from - a.from || b.code - a.code || (nameOf(a) < nameOf(b) ? -1 : 1));
  const [last] = started;
  // The last one has ended: an earlier refusal that is still open counts again, an earlier grant does not revive.
  return last?.code === CODES.ended ? (started.find(({ code }) => code >= REFUSAL) ?? last) : last;
}

/** Of records that say the same since the same moment, the first by name is named as the one that decided. */
const nameOf = ({ source, id }: Started): string => `${opaque(source) ?? ''}${SEPARATOR}${opaque(id) ?? ''}`;

/** What looks like an address is no name for a record: it would live on in receipts. */
const opaque = (name: string | null | undefined): string | null => (name && !name.includes('@') ? name : null);

function judge(
  record: Started | undefined,
  policy: PurposePolicy,
  basis: Basis,
  now: number,
): { readonly allowed: boolean; readonly reason: ConsentReason } {
  if (record !== undefined && record.code >= REFUSAL) return no(statusOf(record.code) as ConsentReason);
  if (basis === 'opt-out') return yes('not-refused');
  if (record === undefined) return no('no-record');
  if (record.code !== CODES.granted) return no(statusOf(record.code) as ConsentReason);
  // Exactly as old as its expiry has expired.
  return policy.expiresAfter !== undefined && record.from <= minus(now, policy.expiresAfter, 'UTC')
    ? no('expired')
    : yes('granted');
}

const yes = (reason: ConsentReason) => ({ allowed: true, reason });
const no = (reason: ConsentReason) => ({ allowed: false, reason });

const noRecord = (reason: ConsentReason): Evidence => ({ reason, status: null, began: null, source: null, record: null });

const statusOf = (code: number): EvidenceStatus =>
  (Object.keys(CODES) as EvidenceStatus[]).find((status) => CODES[status] === code) ?? 'unknown-status';

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
