import type { RemoteList } from './connector.ts';
import type { BudgetWindow, Column, Table } from './model.ts';

/** Files the engine wrote and can name in SQL. `locations` are absolute paths or `s3://` addresses. */
export interface FileSet {
  readonly format: 'parquet' | 'jsonl';
  readonly locations: readonly string[];
  readonly rows: number;
  readonly bytes: number;
}

/**
 * A file set under the name that SQL text uses for it. `columns` (name -> SQL type): every column that SQL may read; an engine that reads files
 * through a catalog knows no other, and an empty set has no types but these.
 */
export interface Relation {
  readonly files: FileSet;
  readonly columns: Readonly<Record<string, string>>;
}

/**
 * SQL text in the Trino subset of docs/sql.md, the same for every engine, and what its names mean:
 * `tables` are activation tables under their `physicalName`, `relations` our own files.
 */
export interface Query {
  readonly sql: string;
  readonly tables?: readonly Table[];
  readonly relations?: Readonly<Record<string, Relation>>;
}

export type Cell = string | number | bigint | boolean | null | readonly Cell[];
export type Row = Readonly<Record<string, Cell>>;

/** Plug point 2: an engine that runs our SQL over the company's tables. Errors are `WarehouseError`. */
export interface Warehouse {
  readonly name: 'duckdb' | 'athena';
  /** Columns as the engine sees them (its own type names, lower case), or null when the table is not there. */
  describe(table: Table): Promise<readonly { readonly name: string; readonly type: string }[] | null>;
  /** All rows of a small result (counts, findings), integers as bigint or number. */
  rows(query: Query): Promise<readonly Row[]>;
  /** Writes the result as Parquet (ZSTD) under `prefix`, an address from `Files.location`. `prefix` is new for every attempt. */
  materialize(query: Query, prefix: string): Promise<FileSet>;
  /**
   * Writes the result as JSON lines, one file set a shard; the query's last column is an integer `shard` (0 to shards - 1), which is not
   * written. 100 shards at most.
   * Integers are JSON numbers, arrays JSON arrays, NULL is null or left out.
   */
  unload(query: Query, prefix: string, shards: number): Promise<readonly FileSet[]>;
  /**
   * Validates hand-written SQL: one SELECT, allowed functions only, tables of `tables` only, and its output columns.
   * Positions count from 0 in `sql`.
   */
  validate(sql: string, tables: readonly Table[]): Promise<SqlVerdict>;
  /** What was read so far and what it cost, where an engine bills. */
  usage?(): WarehouseUsage;
  close(): Promise<void>;
}

export interface WarehouseUsage {
  readonly queries: number;
  readonly scannedBytes: number;
  /** With each query rounded up to what is billed at least. */
  readonly billedBytes: number;
  readonly usd: number;
}

export type SqlVerdict =
  | { readonly ok: true; readonly columns: readonly { readonly name: string; readonly type: string }[] }
  | { readonly ok: false; readonly message: string; readonly offset?: number; readonly suggestion?: string };

export class WarehouseError extends Error {
  /** `user`: the SQL or the table is wrong. `retryable`: ask again. `capacity`: disk, memory or a cutoff. */
  readonly kind: 'user' | 'retryable' | 'capacity';
  constructor(message: string, kind: 'user' | 'retryable' | 'capacity', options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = 'WarehouseError';
    this.kind = kind;
  }
}

/** Plug point 3, files: write-once objects and append-only logs. Keys are relative, `/`-separated. */
export interface Files {
  /** The address a warehouse reads and writes at. Local: an absolute path whose folder exists. */
  location(key: string): string;
  /** The key of an address that `location` could have given. */
  keyOf(location: string): string;
  /** Writes once, all or nothing; gzip when the key ends in `.gz`. Refuses to overwrite with other content. */
  write(key: string, lines: AsyncIterable<string> | Iterable<string>): Promise<Written>;
  /**
   * Takes a file that lies in another of our stores, byte for byte, under a key that is written once like any other. Answers with the
   * checksum of what stands there then. Throws `MissingFile`, and `FileExists` when the key holds other content.
   */
  adopt(key: string, location: string): Promise<{ readonly sha256: string; readonly bytes: number }>;
  /** Lines without their ends; gunzips `.gz`. `from` skips that many lines. Throws `MissingFile`. */
  lines(key: string, from?: number): AsyncIterable<string>;
  /**
   * Durable when it resolves. A torn last line (the process died) is not returned by `lines`. One writer at a time: who writes behind
   * another's back is refused where the store can tell (`LogTaken`). An append of no lines settles the log: what stands at its
   * `location` is then exactly its lines, for SQL; a log without lines stays absent.
   */
  append(key: string, lines: readonly string[]): Promise<void>;
  exists(key: string): Promise<boolean>;
  list(prefix: string): Promise<readonly string[]>;
  remove(prefix: string): Promise<void>;
  /** Hex SHA-256 and size of files a warehouse wrote, by address. Reads the file. */
  checksum(location: string): Promise<{ readonly sha256: string; readonly bytes: number }>;
  /**
   * What a file is known by from now on, by address: enough to tell later whether it is still the same. No more of it is read than the
   * store must to know: none where the store keeps sums of its own. Throws `MissingFile`.
   */
  seal(location: string): Promise<Seal>;
  /** How a file is other than when it was sealed, in words that say nothing of its content; undefined when it is the same. Throws `MissingFile`. */
  broken(location: string, seal: Seal): Promise<string | undefined>;
}

/** By what a file is known. Either is enough: `sha256` of the content (hex), or what the store itself says of it. */
export interface Seal {
  readonly bytes: number;
  readonly sha256?: string;
  readonly stored?: StoredSeal;
}

/** S3's own words: an object that is written anew has another `version` and `etag`; `sum` is over the whole content, `algorithm:base64`. */
export interface StoredSeal {
  readonly etag: string;
  readonly version?: string;
  readonly sum?: string;
}

export interface Written {
  readonly key: string;
  readonly location: string;
  readonly lines: number;
  /** Of the object as stored. */
  readonly bytes: number;
}

/** What a sync's current generation is. */
export interface Pointer {
  /** ULID of the run that wrote it. */
  readonly generation: string;
  /** Counts from 1; moves by one with every commit. */
  readonly version: number;
  /** The fence of the lease it was written under. */
  readonly fence: number;
  readonly members: LedgerFile;
  readonly rejections: LedgerFile;
  readonly list?: RemoteList;
  /** Epoch milliseconds of the run's tick. */
  readonly at: number;
  /** What the people of it were sent for: the destination's purpose then. Left out by generations older than this. */
  readonly purpose?: string;
  /** Percent of the customers for whom the sync acted then; left out for all. */
  readonly rollout?: number;
}

export interface LedgerFile {
  readonly files: FileSet;
  /** In the order of `files.locations`. */
  readonly checksums: readonly Seal[];
}

/** The pointer moved under us, or a newer lease holder exists. Nothing was written. */
export class PointerConflict extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'PointerConflict';
  }
}

export interface Pointers {
  get(sync: string): Promise<Pointer | null>;
  /** Compare-and-swap: refuses (`PointerConflict`) unless the stored version is `expected` (0: none) and no newer fence was seen. */
  move(sync: string, expected: number, next: Pointer): Promise<void>;
  /** Every generation that was ever current and is still kept, newest first. */
  history(sync: string): Promise<readonly Pointer[]>;
  /** Every sync that ever had a pointer, in the order of their names: also those that no file speaks of any more. */
  syncs(): Promise<readonly string[]>;
  /**
   * Erasure alone: puts `next` in the place of the kept pointer of the same version. Only `members` and `rejections` may differ, and the
   * caller holds the sync's lease. Refuses (`PointerConflict`) when there is no such version, and `RangeError` when anything else differs.
   */
  rewrite(sync: string, next: Pointer): Promise<void>;
  /** Retention alone: takes versions out of the history, when their files are gone. The current one is refused (`RangeError`); others may be gone already. */
  forget(sync: string, versions: readonly number[]): Promise<void>;
}

export interface Lease {
  readonly sync: string;
  readonly holder: string;
  /** Grows with every new holder. */
  readonly fence: number;
}

export interface Leases {
  /** null when somebody else holds it and lives; `by` tells who, `since` when (epoch ms). A holder takes its own again under the same fence. */
  acquire(sync: string, holder: string, ttlMs: number): Promise<Lease | { readonly heldBy: string; readonly since: number }>;
  /** Never shortens. False when the lease was lost: stop at once. */
  renew(lease: Lease, ttlMs: number): Promise<boolean>;
  release(lease: Lease): Promise<void>;
}

/**
 * Budgets shared by every worker of every audience: reservation GCRA. A grant is a reservation of `permits` requests;
 * permit i may be used at `startAt + i * intervalMs`, not before. All windows hold at once.
 */
export interface Budgets {
  reserve(
    destination: string,
    windows: readonly BudgetWindow[],
    permits: number,
  ): Promise<{ readonly startAt: number; readonly intervalMs: number; readonly permits: number }>;
  /** A 429 or its like: nobody sends to the destination before `until` (epoch ms). */
  pause(destination: string, until: number): Promise<void>;
  pausedUntil(destination: string): Promise<number>;
}

/**
 * Access tokens, shared by every worker: one makes a token, all use it until it ends. What is kept is sealed by who made it
 * (connectors/oauth.ts), so a store holds nothing that could be used; `grant` is a name that tells nothing either.
 */
export interface Tokens {
  /**
   * The token of the grant while it lasts. Without one, the first who asks is told to `make` it within `leaseMs` and ends that with `put`
   * or `release`; everybody else is told to `wait`, and asks again. A maker that died loses its turn when its time is up.
   */
  take(
    grant: string,
    leaseMs: number,
  ): Promise<
    | { readonly kind: 'token'; readonly token: SealedToken }
    | { readonly kind: 'make'; readonly turn: number }
    | { readonly kind: 'wait' }
  >;
  /** Keeps what was made under the turn. Somebody whose turn is over changes nothing. */
  put(grant: string, turn: number, token: SealedToken): Promise<void>;
  /** Gives the turn to the next who asks: the token could not be made. */
  release(grant: string, turn: number): Promise<void>;
  /** Forgets a token that was refused before its end, unless another has taken its place already. */
  drop(grant: string, sealed: string): Promise<void>;
}

export interface SealedToken {
  readonly sealed: string;
  /** Epoch milliseconds: not handed out from then on. */
  readonly until: number;
}

/** Documents about runs: small JSON, found by run id, newest first. */
export interface Documents {
  put(kind: string, id: string, document: unknown): Promise<void>;
  get<T>(kind: string, id: string): Promise<T | null>;
  /** Newest first by id (ULIDs sort by time). */
  list<T>(kind: string, options?: { readonly limit?: number }): Promise<readonly { readonly id: string; readonly document: T }[]>;
  /** One that is not there is no mistake. */
  remove(kind: string, id: string): Promise<void>;
}

/** Somebody who is not to be sent, whatever a delta says that was made before. Keyed hashes only. */
export interface StopEntry {
  /** 32 hex: keyed hash of the customer id. */
  readonly member: string;
  /** Null: for every purpose. */
  readonly purpose: string | null;
  /** An `erased` entry is the tombstone of the customer id: it has no purpose, and is never lifted. */
  readonly why: 'no-consent' | 'erased';
  /** Epoch ms from which it holds: a consent record that began later overrides one of `no-consent`. */
  readonly at: number;
}

/**
 * The stop list of a workspace, shared by every worker of every audience: what reaches a delivery that is running. Small: withdrawals that
 * the tables do not know yet, and the erased. A member has at most one entry a purpose (and one for all).
 */
export interface StopList {
  /** Durable when it resolves. Of two entries for the same member and purpose the earlier `at` holds, and `erased` over `no-consent`. */
  add(entries: readonly StopEntry[]): Promise<void>;
  /**
   * Entries in force that were added or changed after `cursor` (null: all that are in force), and the cursor to ask with next time. May give
   * an entry again; never leaves one out that was durable before the call began. What was lifted is not told.
   */
  since(cursor: string | null): Promise<{ readonly entries: readonly StopEntry[]; readonly cursor: string }>;
  /** Ends entries of `no-consent`; those that are not there, and the erased, are left alone. */
  lift(entries: readonly Pick<StopEntry, 'member' | 'purpose'>[]): Promise<void>;
}

export interface Store {
  readonly files: Files;
  /** Receipts and their chain have a root of their own: what proves is kept apart from what changes, and may refuse deletion. */
  readonly receipts: Files;
  readonly pointers: Pointers;
  readonly leases: Leases;
  readonly budgets: Budgets;
  readonly tokens: Tokens;
  readonly documents: Documents;
  readonly stops: StopList;
  close(): Promise<void>;
}

/**
 * Durable execution: what the run needs of an orchestrator. Names are unique in their scope and never change under a running execution;
 * inputs and results are JSON under 256 KB. Everything that is not deterministic happens inside a task.
 */
export interface Durable<Tasks extends Record<string, (input: never) => Promise<unknown>>> {
  /** Runs the task once and remembers its result; on replay the result is returned without running. */
  call<K extends keyof Tasks & string>(
    name: string,
    task: K,
    input: Parameters<Tasks[K]>[0],
  ): Promise<Awaited<ReturnType<Tasks[K]>>>;
  /** `fn` for every item, at most `concurrency` at once, each in its own scope. The first failure is thrown after all have settled. */
  map<I, O>(
    name: string,
    items: readonly I[],
    concurrency: number,
    fn: (scope: Durable<Tasks>, item: I, index: number) => Promise<O>,
  ): Promise<O[]>;
  waitUntil(name: string, epochMs: number): Promise<void>;
}

/** Signs receipts of erasures, with a key that the company keeps. */
export interface Signer {
  /** Names the key: the first 16 hex of the SHA-256 of its public half. */
  readonly keyId: string;
  /** Ed25519 over the UTF-8 text, base64. */
  sign(text: string): Promise<string>;
  /** Whether a signature is of this text and this key. */
  verify(text: string, signature: string): Promise<boolean>;
}

export interface Secrets {
  /** The secret as an object of strings, or null when there is none of this name. `fresh`: as it is now, past any cache. */
  get(name: string, fresh?: boolean): Promise<Record<string, string> | null>;
  /** What a person would set, in one sentence, for messages: `set SLUICE_SECRET_META_EU or add ... to .sluice/secrets.yaml`. */
  wayToSet(name: string): string;
}

export interface Clock {
  /** Epoch milliseconds. */
  now(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** 0 <= r < 1, for jitter and ids. */
  random(): number;
}

export type { Column };
