import type { LogicalType, Role } from '../model.ts';

/** One thing a role's table holds for Sluice. A column is it by `sluice.field`, else by having the default name. */
export interface RoleField {
  readonly field: string;
  /** The column's name when no column says `sluice.field`. */
  readonly column: string;
  readonly needed: boolean;
  readonly types: readonly LogicalType[];
}

const ID: readonly LogicalType[] = ['string', 'integer'];
const TEXT: readonly LogicalType[] = ['string'];
const TIME: readonly LogicalType[] = ['timestamp', 'date'];
const VERSION: readonly LogicalType[] = ['string', 'integer'];

const needed = (field: string, types: readonly LogicalType[]): RoleField => ({ field, column: field, needed: true, types });
const optional = (field: string, types: readonly LogicalType[]): RoleField => ({ field, column: field, needed: false, types });

/** What the table of each role must and may hold. */
export const ROLE_FIELDS: Readonly<Record<Role, readonly RoleField[]>> = {
  customers: [needed('customer_id', ID)],
  identifiers: [
    needed('customer_id', ID),
    needed('namespace', TEXT),
    needed('value', TEXT),
    optional('verified', ['boolean']),
    optional('trust', ['integer', 'number']),
    optional('first_seen', TIME),
    optional('last_seen', TIME),
  ],
  consents: [
    needed('customer_id', ID),
    needed('purpose', TEXT),
    needed('status', TEXT),
    needed('effective_from', TIME),
    optional('effective_to', TIME),
    optional('record_id', ID),
    optional('source', TEXT),
    optional('namespace', TEXT),
    optional('value', TEXT),
    optional('tcf', TEXT),
    optional('gpp', TEXT),
  ],
  events: [needed('customer_id', ID), needed('occurred_at', TIME), optional('event', TEXT), optional('event_version', VERSION)],
  'identity-changes': [needed('from_id', ID), needed('to_id', ID), needed('kind', TEXT), needed('changed_at', TIME)],
  erasures: [needed('customer_id', ID), needed('requested_at', TIME)],
};

export const ROLES = Object.keys(ROLE_FIELDS) as readonly Role[];

export const isRole = (name: string): name is Role => Object.hasOwn(ROLE_FIELDS, name);
