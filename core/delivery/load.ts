import type { Connector, Identifier, Item, Member, Op } from '../connector.ts';
import type { RemoveLine, UpsertLine } from '../delta.ts';
import { evidenceOf } from '../evidence.ts';

/** A line of the shard on its way: the connector sees the item, the delivery the rest. */
export interface Entry extends Item {
  readonly line: number;
  /** It went out at least once without a clear answer, in this delivery or before it: the destination may hold it. */
  maybe: boolean;
  /** It has its outcome already; it is here only to complete the batch of a job. */
  readonly answered: boolean;
}

/** A shard holds a line that no delta has. Its text is not repeated, because it may hold personal data. */
export class DamagedShard extends Error {
  constructor(key: string, line: number) {
    super(`Line ${line + 1} of ${key} is not a line of a delta: the file was altered after it was written. Make a new plan.`);
    this.name = 'DamagedShard';
  }
}

const KEY = /^[0-9a-f]{32}$/;
const NO_TRAITS: Member['traits'] = {};

/** Namespaces and consents are few and members many: each is kept once. */
const FEW = 64;
const namespaces: string[] = [];
const consents: NonNullable<Member['consent']>[] = [];

function kept<T>(known: T[], same: (one: T) => boolean, make: () => T): T {
  for (const one of known) if (same(one)) return one;
  // More than a platform or a policy has: then they are not few, and keeping them would cost more than it saves.
  const made = make();
  if (known.length < FEW) known.push(made);
  return made;
}

/** As `identifierOf` of core/delta.ts. */
function identifierOf(text: string): Identifier {
  const colon = text.indexOf(':');
  const namespace = kept(
    namespaces,
    (one) => one.length === colon && text.startsWith(one),
    () => text.slice(0, colon),
  );
  return { namespace, value: text.slice(colon + 1) };
}

const consentOf = ([purpose, basis, jurisdiction, grant]: UpsertLine['c']): Member['consent'] =>
  kept(
    consents,
    (one) => one.jurisdiction === jurisdiction && one.purpose === purpose && one.basis === basis && one.grant === grant,
    () => ({ purpose, basis, jurisdiction, ...(grant && { grant }) }),
  );

/** The member of a line of a shard. Throws `DamagedShard`. */
export function memberOf(text: string, op: Op, key: string, line: number): Member {
  let parsed: UpsertLine | RemoveLine;
  try {
    parsed = JSON.parse(text) as UpsertLine | RemoveLine;
  } catch {
    // Not as `cause`: the message of a SyntaxError repeats the text.
    throw new DamagedShard(key, line);
  }
  if (typeof parsed !== 'object' || parsed === null || !Array.isArray(parsed.ids) || !KEY.test(parsed.k))
    throw new DamagedShard(key, line);
  const identifiers = parsed.ids.map(identifierOf);
  if (op === 'remove' || !('c' in parsed)) {
    const withdrawn = 'why' in parsed && parsed.why === 'no-consent' ? { withdrawn: true as const } : {};
    return { key: parsed.k, identifiers, traits: NO_TRAITS, consent: null, ...withdrawn };
  }
  const merged = parsed.m === undefined ? {} : { formerly: parsed.m };
  const began = parsed.c[3] === undefined ? null : (evidenceOf(parsed.e)?.began ?? null);
  const granted = began === null ? {} : { granted: began };
  return { key: parsed.k, identifiers, traits: parsed.t ?? NO_TRAITS, consent: consentOf(parsed.c), ...merged, ...granted };
}

/** The limits of a connector for one operation. `bytes` is what is left for rows. */
export interface BatchLimits {
  readonly rows: number;
  readonly bytes: number;
}

export function batchLimits({ limits }: Pick<Connector, 'limits'>, op: Op): BatchLimits {
  const own = limits.perOp?.[op];
  return { rows: own?.rows ?? limits.rows, bytes: (own?.bytes ?? limits.bytes) - limits.overhead };
}

/** UTF-8 bytes of a row in a body, its separator included. */
export const bytesOf = (text: string): number => Buffer.byteLength(text) + 1;

/** Why a member fits no request of the platform, or undefined when it fits. `bytes` as `bytesOf`. */
export function misfit(rows: number, bytes: number, limits: BatchLimits): string | undefined {
  if (rows > limits.rows) return 'too-many-rows';
  return bytes > limits.bytes ? 'too-large' : undefined;
}

/** Entries of one request, filled by rows and by bytes, whichever comes first. */
export class Filling {
  readonly #limits: BatchLimits;
  #entries: Entry[] = [];
  #rows = 0;
  #bytes = 0;

  constructor(limits: BatchLimits) {
    this.#limits = limits;
  }

  /** True when rows need a new request. An item of no rows (nothing to send for it) takes the place of one all the same. */
  full(rows: number, bytes: number): boolean {
    return (
      this.#entries.length > 0 && (this.#rows + Math.max(1, rows) > this.#limits.rows || this.#bytes + bytes > this.#limits.bytes)
    );
  }

  add(entry: Entry, bytes: number): void {
    this.#entries.push(entry);
    this.#rows += Math.max(1, entry.rows);
    this.#bytes += bytes;
  }

  take(): { readonly entries: Entry[]; readonly bytes: number } {
    const taken = { entries: this.#entries, bytes: this.#bytes };
    this.#entries = [];
    this.#rows = 0;
    this.#bytes = 0;
    return taken;
  }
}
