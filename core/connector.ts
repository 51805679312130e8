import type * as z from 'zod';
import type { Basis, BudgetWindow, Mode } from './model.ts';
import type { Tokens } from './ports.ts';

/**
 * Plug point 1: what the engine and a platform's connector promise each other.
 *
 * A connector is data and a few functions. It knows nothing of retries, clocks, files, budgets or other connectors.
 * It answers once for every member it is given and throws for none of them; what it throws is about the whole request,
 * and is one of the three errors below.
 */
export interface Connector<Settings = Record<string, unknown>, Secret = Record<string, string>> {
  readonly name: string;
  /** How people call the platform: `Meta Custom Audiences`. */
  readonly title: string;
  /** Settings of a destination file. Unknown keys are refused by the schema (`z.strictObject`). */
  readonly settings: z.ZodType<Settings>;
  /** Keys the secret must hold; `null` when the platform needs no secret. */
  readonly secret: z.ZodType<Secret> | null;
  /** Identifiers the platform takes, and how it wants each written. */
  readonly namespaces: Readonly<Record<string, Namespace>>;
  /** Namespaces a sync sends when its file names none. */
  readonly defaultIdentifiers: readonly string[];
  /**
   * What membership hangs on at the platform. `member`: one record a person, under `external_id`, so a change replaces it.
   * `identifier`: the list is a set of identifiers; a person is in it while any of theirs is (law 6 applies).
   */
  readonly membership: 'member' | 'identifier';
  /** Namespaces a later removal needs, which the ledger keeps as sent. Default: all for `identifier`, `external_id` for `member`. */
  readonly removalNeeds?: readonly string[];
  readonly modes: readonly Mode[];
  /** Whether traits can be sent at all. */
  readonly traits: boolean;
  readonly limits: Limits;
  /** The host, unless a destination's `endpoint` says otherwise. May depend on the settings (regions). */
  endpoint(settings: Settings): string;
  /** Creates or finds the audience at the platform. Called once a delivery, before the first batch. Idempotent. */
  ensure(context: Context<Settings, Secret>, list: ListSpec): Promise<RemoteList>;
  /**
   * The member as a fragment of a request body. Called once a member; the engine counts its bytes (UTF-8) against `limits.bytes`
   * and its rows against `limits.rows`, and hands the fragment back in `Batch.items`.
   */
  encode(context: Context<Settings, Secret>, list: RemoteList, op: Op, member: Member): Encoded;
  /** Sends one operation for at most `limits.rows` rows. One outcome a member, in order; or a job that `poll` follows. */
  send(context: Context<Settings, Secret>, list: RemoteList, batch: Batch): Promise<readonly Outcome[] | Job>;
  /** Asks for the state of a job: outcomes in the order of the batch, or the job again with a new `afterMs`. */
  poll?(context: Context<Settings, Secret>, list: RemoteList, job: Job, batch: Batch): Promise<readonly Outcome[] | Job>;
  /**
   * What an answer's headers say of the platform's limit, where it says so: the share of it that is used (percent, by everybody who uses
   * the account), or how long to send nothing. The engine slows down by it, below the budget. Must not throw.
   */
  headroom?(response: HttpResponse): { readonly usedPercent?: number; readonly waitMs?: number } | undefined;
  /** Called once after the last batch of the delivery has its outcomes (a manifest, a session's end). */
  finish?(context: Context<Settings, Secret>, list: RemoteList, totals: Totals): Promise<void>;
  /**
   * Erases people from the whole platform account, whoever put them there and in whatever list they are; absent where the platform has no
   * such call, and an erasure is a removal from every list. Any number of members, in as many requests as the platform needs.
   * One outcome a member, in order: `delivered` when nothing of them is there any more (or never was), `accepted` when the platform has
   * taken the request and works on it, `rejected` when they have no identifier that it erases by, `retry` when it was busy with them.
   * Idempotent: after an error, or in doubt, the same call is made again. By identifiers as sent: where membership is by `identifier`, the
   * caller leaves out those that somebody else who is entitled still holds (law 6).
   */
  erase?(context: Context<Settings, Secret>, members: readonly Member[]): Promise<readonly Outcome[]>;
  /** How many the platform says the list holds; undefined when it does not say. Not exact anywhere. */
  size?(context: Context<Settings, Secret>, list: RemoteList): Promise<number | undefined>;
}

/** How one platform wants one namespace. */
export interface Namespace {
  /** The normalised value, or undefined when it can't be used (never a guess). `country`: ISO alpha-2 of the customer, or null. */
  normalise(raw: string, hints: { readonly country: string | null }): string | undefined;
  /** What is sent of the normalised value: itself, or its lower-case hex SHA-256. */
  readonly hash: 'none' | 'sha256';
  /** How many a person may send; the best ones are taken. Default: all. */
  readonly max?: number;
  /** Does not identify anybody alone (a first name, a postal code): sent only beside a strong one. */
  readonly weak?: true;
}

export interface Limits {
  /** Rows a request. */
  readonly rows: number;
  /** Bytes a request body; the engine keeps `overhead` of it for what surrounds the rows. */
  readonly bytes: number;
  readonly overhead: number;
  /** The documented rate; a destination's default budget is this less 10 %. */
  readonly windows: readonly BudgetWindow[];
  readonly concurrency: number;
  /** Per operation, where it differs (`remove` of 1,000 ids a call). */
  readonly perOp?: Partial<Record<Op, { readonly rows?: number; readonly bytes?: number }>>;
  /** Where the platform says so, and the day it was read. */
  readonly source: string;
}

export type Op = 'upsert' | 'remove';

/** A person as a destination sees them. `key` is the only name for them in outcomes, logs and errors. */
export interface Member {
  /** 32 hex characters: keyed hash of the customer id. */
  readonly key: string;
  /** As sent: normalised, hashed where the platform wants hashes, best first in each namespace. */
  readonly identifiers: readonly Identifier[];
  readonly traits: Readonly<Record<string, TraitValue>>;
  /** Null on a removal, which needs none. */
  readonly consent: Consent | null;
  /** When the grant that the decision rests on began, epoch milliseconds, where there is one. */
  readonly granted?: number;
  /** On a removal: they are removed because they have no consent (any more), and not because they left the audience. */
  readonly withdrawn?: true;
  /** Customer ids that were merged into this one, as `external_id` may have been sent: whose record of an address theirs may be. */
  readonly formerly?: readonly string[];
}

/** The decision a member is sent under. */
export interface Consent {
  readonly purpose: string;
  readonly basis: Basis;
  /** ISO 3166 code whose law was applied; null when unknown. */
  readonly jurisdiction: string | null;
  /** The grant it rests on. Absent: on nothing but that they have not refused (opt-out), and then nobody may be told that they granted. */
  readonly grant?: Grant;
}

/** `confirmed`: the person confirmed it (double opt-in). */
export type Grant = 'granted' | 'confirmed';

export interface Identifier {
  readonly namespace: string;
  readonly value: string;
}

export type TraitValue = string | number | boolean | null;

export interface Encoded {
  /** UTF-8 text to be joined into a body, its separators left to `send`. */
  readonly text: string;
  /** Rows it takes of `limits.rows`; 1 for most. */
  readonly rows: number;
}

export interface Item {
  readonly member: Member;
  readonly text: string;
  readonly rows: number;
}

export interface Batch {
  readonly op: Op;
  readonly items: readonly Item[];
  /** Deterministic for the same run, shard and members: an idempotency key, 32 hex characters. */
  readonly id: string;
  /** Counts from 1 in one delivery (sessions). */
  readonly sequence: number;
}

export interface ListSpec {
  readonly audience: string;
  readonly description: string;
  readonly mode: Mode;
  readonly destination: string;
  readonly run: string;
  /** The tick of the run, epoch milliseconds: the only time a connector knows. */
  readonly tick: number;
  readonly identifiers: readonly string[];
  readonly traits: readonly string[];
  /** What `ensure` answered last time for this sync, undefined the first time. */
  readonly known?: RemoteList;
}

/** What the connector needs to address the list again; plain JSON, kept with the ledger's pointer. */
export type RemoteList = { readonly id: string } & Readonly<Record<string, string>>;

export interface Totals {
  readonly upserts: number;
  readonly removes: number;
  readonly batches: number;
}

/** What a connector may use of the world. */
export interface Context<Settings, Secret> {
  readonly settings: Settings;
  readonly secret: Secret;
  /** The base address: the destination's `endpoint`, else the connector's. No slash at its end. */
  readonly endpoint: string;
  /** One HTTP exchange, from `connectors/http.ts`: budgeted, timed out, never retried, never logged with bodies. */
  readonly http: Http;
  /** Epoch milliseconds now, for signatures and token expiry. */
  readonly now: () => number;
  /** Where workers of other processes find the access tokens that one of them made. Without it they are shared within this process. */
  readonly tokens?: Tokens;
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface HttpResponse {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

export type Http = (request: HttpRequest) => Promise<HttpResponse>;

/** The destination's answer for one member. `reason` is a code of the platform or ours, never a value of the member. */
export type Outcome =
  | { readonly kind: 'delivered' }
  | { readonly kind: 'accepted' }
  | { readonly kind: 'rejected'; readonly reason: string }
  | { readonly kind: 'retry'; readonly reason: string; readonly afterMs?: number };

/** The platform took the batch and works on it. */
export interface Job {
  readonly kind: 'job';
  readonly id: string;
  /** Ask again after this long. */
  readonly afterMs: number;
  /** Anything else `poll` needs; plain JSON. */
  readonly state?: Readonly<Record<string, string>>;
}

/** Try the same request again: throttled, overloaded, cut off. `afterMs` when the platform said when. */
export class TryAgain extends Error {
  readonly afterMs: number | undefined;
  /** `true` for a 429 or its like: every worker of the destination waits. */
  readonly throttled: boolean;
  /** `true` when the platform may have taken the request all the same (a timeout, a cut answer, a 5xx); not for a 429 or a refused connection. */
  readonly ambiguous: boolean;
  constructor(message: string, options: { afterMs?: number; throttled?: boolean; ambiguous?: boolean; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'TryAgain';
    this.afterMs = options.afterMs;
    this.throttled = options.throttled ?? false;
    this.ambiguous = options.ambiguous ?? false;
  }
}

/**
 * The platform refused the request because of rows. With `rows` (indexes into `Batch.items`) the engine drops those and sends the rest
 * at once; without, it halves the batch until the poison row stands alone.
 */
export class RowsRefused extends Error {
  readonly rows: readonly { readonly index: number; readonly reason: string }[];
  /** The reason given to a row that is found by halving. */
  readonly reason: string;
  constructor(reason: string, rows: readonly { index: number; reason: string }[] = [], options: { cause?: unknown } = {}) {
    super(reason, options);
    this.name = 'RowsRefused';
    this.reason = reason;
    this.rows = rows;
  }
}

/** The destination is broken for everybody: credentials, permission, a deleted list, terms not accepted. The sync stops and keeps everything. */
export class DestinationBroken extends Error {
  /** What a person can do about it, a sentence. */
  readonly wayOut: string;
  constructor(message: string, wayOut: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = 'DestinationBroken';
    this.wayOut = wayOut;
  }
}
