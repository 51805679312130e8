/**
 * The files of a workspace after parsing: typed by the contracts, every name resolved.
 * `core/files` makes these from YAML; everything after it reads only these.
 */

/** ODCS 3.1 `logicalType`, the ones an audience can speak about. */
export type LogicalType = 'string' | 'integer' | 'number' | 'boolean' | 'date' | 'timestamp';

export type Role = 'customers' | 'identifiers' | 'consents' | 'events' | 'identity-changes' | 'erasures';

/** A column of an activation table, as its contract declares it. */
export interface Column {
  readonly name: string;
  readonly type: LogicalType;
  /** ODCS `required`: no NULL. */
  readonly required: boolean;
  readonly unique: boolean;
  readonly primaryKey: boolean;
  /** Digits after the point of a `number` in hashes and payloads; 6 unless the contract says otherwise. */
  readonly scale: number;
  /** `true` when the physical type is `timestamp with time zone`. Plain timestamps are UTC. */
  readonly zoned: boolean;
  /** customProperty `sluice.field`: what the column is to Sluice (`customer_id`, `effective_from`, ...). */
  readonly field?: string;
  /** customProperty `sluice.namespace`: the column holds an identifier of this namespace. */
  readonly namespace?: string;
  /** customProperty `sluice.purposes`: the only purposes the column may be sent for. */
  readonly purposes?: readonly string[];
  /** ODCS `classification` (`public`, `internal`, `restricted`, ...). */
  readonly classification?: string;
}

/** Where an environment keeps a table (ODCS `servers`). */
export type Server =
  | { readonly type: 'local'; readonly path: string; readonly format: 'parquet' | 'csv' | 'json' }
  | { readonly type: 'duckdb'; readonly database: string; readonly schema: string }
  | { readonly type: 'athena'; readonly database: string; readonly catalog: string };

/** One activation table: a schema object of a contract. */
export interface Table {
  /** Schema object name; for `events` the name of the event. Unique in the workspace per (name, major version). */
  readonly name: string;
  /** The table's name in SQL text: `physicalName`, else `name`. May be `schema.table`. */
  readonly physicalName: string;
  readonly role: Role;
  /** Contract `version` (semver) and `status`; only `active` and `deprecated` contracts are read. */
  readonly version: string;
  readonly status: string;
  readonly columns: readonly Column[];
  /** field -> column name, for the fields its role needs (see `ROLE_FIELDS` in core/files/contract.ts). */
  readonly fields: Readonly<Record<string, string>>;
  readonly servers: Readonly<Record<string, Server>>;
  /** ODCS slaProperties `latency`/`freshness`: the newest row of `column` may be this old. */
  readonly freshness?: { readonly column: string; readonly maxAge: Duration };
  /** Quality rules of the contract that the gate runs. */
  readonly quality: readonly QualityRule[];
  /** `consents` only: the source's own status words -> ours. Any other word refuses. */
  readonly statuses?: Readonly<Record<string, ConsentStatus>>;
  /** `events` only: versions that conditions count, where the table has the field `event_version`. */
  readonly activeVersions?: readonly string[];
  /** How long its rows and values may be used; for ever when left out. */
  readonly retention?: TableRetention;
  /** File it came from, relative to the workspace. */
  readonly file: string;
}

/** How long something may be used (policies/retention.yaml): until it is as old as `period`, by the column that says how old it is. */
export interface Period {
  readonly by: Column;
  readonly period: Duration;
}

export interface TableRetention {
  readonly rows?: Period;
  /** Column -> how long its values may be used; NULL afterwards. */
  readonly fields: Readonly<Record<string, Period>>;
}

/** How long our own storage keeps what it has; what is left out stays, deltas a week. */
export interface RetentionPolicy {
  readonly storage: Readonly<Partial<Record<'deltas' | 'generations' | 'runs' | 'receipts', Duration>>>;
  /** Hex SHA-256 of the file, cut to 12; `none` without a file. */
  readonly version: string;
}

export type QualityRule =
  | { readonly kind: 'row-count'; readonly min?: number; readonly max?: number }
  | { readonly kind: 'null-values'; readonly column: string; readonly maxPercent: number }
  | { readonly kind: 'unique'; readonly column: string };

/** `confirmed`: a grant that the person confirmed (double opt-in), as one record. */
export type ConsentStatus = 'granted' | 'confirmed' | 'denied' | 'withdrawn' | 'pending';

/** A calendar or exact length of time as written: `90 days`, `30 minutes`. */
export interface Duration {
  readonly amount: number;
  readonly unit: 'second' | 'minute' | 'hour' | 'day' | 'week' | 'month' | 'year';
}

/** A point in time as written in a rule. Resolved against the run's tick by `resolveInstant` (core/time.ts). */
export type Instant =
  | { readonly kind: 'absolute'; readonly iso: string }
  | { readonly kind: 'ago'; readonly duration: Duration }
  | { readonly kind: 'ahead'; readonly duration: Duration }
  | { readonly kind: 'now' | 'today' | 'yesterday' | 'tomorrow' };

export type Literal =
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'integer' | 'number'; readonly value: string }
  | { readonly type: 'boolean'; readonly value: boolean }
  | { readonly type: 'date' | 'timestamp'; readonly value: Instant };

/** One test of a column. Several keys in the file (`{ gte: 1, lt: 5 }`) become an `all` of tests. */
export type Test =
  | { readonly op: 'eq' | 'ne' | 'gt' | 'gte' | 'lt' | 'lte'; readonly value: Literal }
  | { readonly op: 'in' | 'not_in'; readonly values: readonly Literal[] }
  | { readonly op: 'known' | 'unknown' }
  | { readonly op: 'contains' | 'starts_with' | 'ends_with'; readonly text: string }
  /** strict: column < instant / column > instant */
  | { readonly op: 'before' | 'after'; readonly at: Instant }
  /** on the calendar day of the instant, in the audience's time zone */
  | { readonly op: 'on'; readonly at: Instant }
  /** within the last/next duration, edge included, up to (from) now */
  | { readonly op: 'within' | 'within_next'; readonly duration: Duration };

/** A numeric condition: count or sum of a property. All present bounds must hold. */
export interface NumberRange {
  readonly eq?: string;
  readonly ne?: string;
  readonly gt?: string;
  readonly gte?: string;
  readonly lt?: string;
  readonly lte?: string;
}

export type Rule =
  | { readonly kind: 'all' | 'any'; readonly rules: readonly Rule[] }
  | { readonly kind: 'not'; readonly rule: Rule }
  | { readonly kind: 'test'; readonly column: Column; readonly test: Test }
  | {
      readonly kind: 'event';
      readonly table: Table;
      /** Property filters, over columns of the event's table; all must hold for a row to count. */
      readonly where?: Rule;
      /** Rows not older than this, edge included, and not in the future. */
      readonly within?: Duration;
      /** Rows strictly before / after this. */
      readonly before?: Instant;
      readonly after?: Instant;
      readonly measure:
        | { readonly kind: 'count'; readonly range: NumberRange }
        | { readonly kind: 'sum'; readonly column: Column; readonly range: NumberRange }
        | { readonly kind: 'never' };
    }
  | { readonly kind: 'audience'; readonly name: string };

export type Mode = 'mirror' | 'upsert' | 'add-only';

export interface Sync {
  readonly to: string;
  readonly mode: Mode;
  /** Namespaces to send, in the order of the file; the connector's default when the file says nothing. */
  readonly identifiers: readonly string[];
  /** Destination field -> column of the customers contract, in the order of the file. */
  readonly traits: readonly { readonly name: string; readonly column: Column }[];
  /** Settings of this sync alone, validated by the connector (`sync` part of its settings). */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Percent of the customers for whom this sync acts, stable by customer; 100 for all. Outside it nothing changes (docs/adr/0040). */
  readonly rollout: number;
}

/** A share with its absolute floor: 20 % of 10 members is never a reason to hold. */
export interface Share {
  readonly percent: number;
  /** A change of at most this many members never holds. */
  readonly floor: number;
}

export interface Guardrails {
  readonly maxAdded?: Share;
  readonly maxRemoved: Share;
  readonly minSize?: number;
}

export type Schedule =
  | { readonly kind: 'manual' }
  | { readonly kind: 'rate'; readonly every: Duration }
  | { readonly kind: 'cron'; readonly expression: string; readonly timeZone: string };

export interface Audience {
  readonly name: string;
  readonly file: string;
  readonly description: string;
  readonly owner: string;
  /** IANA zone in which `today`, `on` and calendar durations are read. Default UTC. */
  readonly timeZone: string;
  /** Exactly one of `where` and `sql`. */
  readonly where?: Rule;
  readonly sql?: { readonly text: string; readonly line: number; readonly column: number };
  readonly exclude: readonly string[];
  /** Percent of customers, stable by customer, 0 for none. */
  readonly holdout: number;
  readonly schedule: Schedule;
  readonly guardrails: Guardrails;
  readonly syncs: readonly Sync[];
}

export interface BudgetWindow {
  readonly requests: number;
  /** Length of the window in seconds. */
  readonly seconds: number;
}

export interface Destination {
  readonly name: string;
  readonly file: string;
  readonly connector: string;
  readonly purpose: string;
  /** Already validated by the connector's settings schema. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Name of the secret; undefined when the connector needs none. */
  readonly secret?: string;
  /** All windows hold at once. */
  readonly budget: { readonly windows: readonly BudgetWindow[]; readonly concurrency: number };
  /** Overrides the connector's own host. */
  readonly endpoint?: string;
}

export type Basis = 'opt-in' | 'opt-out';

/** What the laws of US states let people opt out of. */
export type OptOut = 'sale' | 'sharing' | 'targeted_advertising';

export interface PurposePolicy {
  readonly name: string;
  readonly basis: Basis;
  readonly expiresAfter?: Duration;
  /** ISO 3166-1 alpha-2 (`US`) or 3166-2 (`US-CA`) -> basis there. */
  readonly jurisdictions: Readonly<Record<string, Basis>>;
  /** A grant counts when it was confirmed: `confirmed`, or a `pending` and then `granted`. */
  readonly doubleOptIn?: boolean;
  /** Words of the field `source`, the highest first: of lower ones only refusals count once a higher one has spoken. Others are the lowest. */
  readonly sources?: readonly string[];
  /** What a TC string (field `tcf`) must consent to. */
  readonly tcf?: { readonly purposes: readonly number[]; readonly vendor?: number };
  /** Which opt-outs of a GPP string (field `gpp`) refuse. */
  readonly gpp?: { readonly optOuts: readonly OptOut[] };
  /** Of an identifier that one who refused and one who is entitled hold: kept for the second (law 6), or not sent for anybody. */
  readonly sharedIdentifiers: 'keep-for-entitled' | 'refuse';
}

export interface ConsentPolicy {
  readonly purposes: Readonly<Record<string, PurposePolicy>>;
  readonly jurisdiction?: { readonly column: string; readonly region?: string };
  /** Hex SHA-256 of the file and the meaning of the consents' words, cut to 12: the policy version in plans and receipts. */
  readonly version: string;
}

/** By what of two identifiers of one namespace the better one is known, the first that tells them apart. */
export type Precedence = 'verified' | 'trust' | 'last_seen' | 'first_seen';

/** What policies/identity.yaml says of one namespace. */
export interface NamespacePolicy {
  /** How many a person sends at most, where the destination has no number of its own. */
  readonly max?: number;
  /** What happens to values that no row calls verified. */
  readonly unverified: 'use' | 'ignore';
  /** Values that are trusted less are not used. */
  readonly minTrust?: number;
  /** How far a value is trusted whose row does not say. */
  readonly trust?: number;
}

/** A number is a spike when it is more than `times` the usual one; one of at most `floor` never is. */
export interface SpikeLimit {
  readonly times: number;
  readonly floor: number;
}

export interface LinkageLimits {
  /** Ids merged away in a day. */
  readonly merges: SpikeLimit;
  /** Identifiers that belong to nobody among the customers. */
  readonly orphans: SpikeLimit;
  /** Identifiers a customer has on average; the floor counts the identifiers that are more than usual. */
  readonly average: SpikeLimit;
  /** The most identifiers one customer has. */
  readonly most: SpikeLimit;
}

export interface IdentityPolicy {
  readonly namespaces: Readonly<Record<string, NamespacePolicy>>;
  /** For namespaces that the file does not name. */
  readonly unverified: 'use' | 'ignore';
  /** Destination -> namespace -> how many a person sends at most. */
  readonly destinations: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly precedence: readonly Precedence[];
  /** Whose identifiers the survivor of a merge has: those filed under any of the merged ids, or under the survivor's own. */
  readonly survivorship: 'all' | 'survivor';
  /** When the linkage of identifiers and customers is so unusual that a person must look. */
  readonly linkage: LinkageLimits;
  /** Hex SHA-256 of the file, cut to 12; `none` without a file. */
  readonly version: string;
}

/** Everything in the files, parsed and checked. */
export interface Workspace {
  readonly audiences: Readonly<Record<string, Audience>>;
  readonly tables: readonly Table[];
  readonly destinations: Readonly<Record<string, Destination>>;
  readonly consent: ConsentPolicy;
  readonly identity: IdentityPolicy;
  readonly retention: RetentionPolicy;
}
