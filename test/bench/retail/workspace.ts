import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CONSENT_WORDS } from './derive.ts';

/** An ODCS 3.1 contract for one derived table. `columns`: name -> `logicalType physicalType`, with `!` where NULL is not allowed. */
const contract = (
  name: string,
  role: string,
  columns: Readonly<Record<string, string>>,
  options: { readonly key?: string; readonly table?: string; readonly schema?: string; readonly tail?: string } = {},
): string => `apiVersion: v3.1.0
kind: DataContract
id: retail-${name}
name: ${name}
version: 1.0.0
status: active
servers:
  - { server: local, type: local, path: tables/${options.table ?? name}.parquet, format: parquet }
schema:
  - name: ${options.table ?? name}
    physicalType: table
    customProperties:
      - { property: sluice.role, value: ${role} }
${options.schema ?? ''}    properties:
${Object.entries(columns)
  .map(([column, types]) => {
    const [logical, physical] = types.replace('!', '').split(' ');
    const required = types.endsWith('!') ? ', required: true' : '';
    const key = column === options.key ? ', unique: true, primaryKey: true, primaryKeyPosition: 1' : '';
    return `      - { name: ${column}, logicalType: ${logical}, physicalType: "${physical}"${required}${key} }`;
  })
  .join('\n')}
${options.tail ?? ''}team: { name: retail }
`;

// The shop closed for Christmas, 23 December to 4 January: the newest order is then 12 days old.
const freshness = (element: string): string => `slaProperties:
  - { property: freshness, value: 14, unit: d, element: ${element} }
`;

const audience = (description: string, rule: string): string => `description: ${description}
owner: crm@example.com
${rule}
exclude: [wholesale]
schedule: every monday at 00:00 UTC
guardrails: { min_size: 0, max_added: { percent: 100, floor: 100000 }, max_removed: { percent: 100, floor: 100000 } }
syncs:
  - to: meta
    mode: mirror
    identifiers: [email, phone]
  - to: braze
    mode: mirror
    traits: { orders: orders_count, country: country }
`;

const SPENDERS = `where:
  any:
    - all: [{ country: GB }, { lifetime_value: { gte: 2000 } }]
    - all: [{ country: { in: [DE, FR, IE, NL, ES, BE] } }, { lifetime_value: { gte: 1000 } }]`;

const FILES: Readonly<Record<string, string>> = {
  'contracts/customers.yaml': contract(
    'customers',
    'customers',
    {
      customer_id: 'string varchar!',
      country: 'string varchar',
      first_seen_at: 'timestamp timestamp!',
      last_order_at: 'timestamp timestamp',
      orders_count: 'integer bigint!',
      lifetime_value: 'number decimal(14,3)!',
    },
    { key: 'customer_id', tail: freshness('customers.last_order_at') },
  ),
  'contracts/orders.yaml': contract(
    'orders',
    'events',
    {
      line_id: 'string varchar!',
      customer_id: 'string varchar!',
      occurred_at: 'timestamp timestamp!',
      category: 'string varchar!',
      amount: 'number decimal(14,3)!',
    },
    { key: 'line_id', table: 'order_completed', tail: freshness('order_completed.occurred_at') },
  ),
  'contracts/identifiers.yaml': contract('identifiers', 'identifiers', {
    customer_id: 'string varchar!',
    namespace: 'string varchar!',
    value: 'string varchar!',
    first_seen: 'timestamp timestamp',
  }),
  'contracts/consents.yaml': contract(
    'consents',
    'consents',
    {
      record_id: 'integer bigint!',
      customer_id: 'string varchar!',
      purpose: 'string varchar!',
      status: 'string varchar!',
      effective_from: 'timestamp timestamp!',
      effective_to: 'timestamp timestamp',
    },
    { key: 'record_id', schema: `      - { property: sluice.statuses, value: ${JSON.stringify(CONSENT_WORDS)} }\n` },
  ),
  'contracts/erasures.yaml': contract('erasures', 'erasures', {
    customer_id: 'string varchar!',
    requested_at: 'timestamp timestamp!',
  }),
  'policies/consent.yaml': `purposes:
  ads: { basis: opt-in, expires_after: 240 days, jurisdictions: { US: opt-out, CH: opt-out, AU: opt-out } }
  email: { basis: opt-in, jurisdictions: { US: opt-out, CH: opt-out, AU: opt-out } }
jurisdiction: { column: country }
`,
  'audiences/wholesale.yaml': `description: Buyers of 20,000 and more. A building block, sent nowhere.
owner: crm@example.com
where: { lifetime_value: { gte: 20000 } }
schedule: manual
`,
  'audiences/big-spenders.yaml': audience('Big spenders, by the purchasing power of their country', SPENDERS),
  'audiences/lapsed-buyers.yaml': audience(
    'Bought twice or more, nothing in the last 60 days',
    `where:
  all:
    - orders_count: { gte: 2 }
    - last_order_at: { before: 60 days ago }
    - event: order_completed
      never: true
      within: 60 days`,
  ),
  'audiences/bag-buyers.yaml': audience(
    'Three bags or more in 120 days, for 50 or more',
    `where:
  all:
    - event: order_completed
      where: { category: bags }
      count: { gte: 3 }
      within: 120 days
    - event: order_completed
      where: { category: { in: [bags] } }
      sum: { property: amount, gte: 50 }
      within: 120 days`,
  ),
  'audiences/steady-buyers.yaml': audience(
    'Ordered in three different months or more',
    `sql: |
  SELECT customer_id
  FROM order_completed
  GROUP BY customer_id
  HAVING count(DISTINCT date_trunc('month', occurred_at)) >= 3`,
  ),
  'audiences/quiet-spenders.yaml': audience(
    'Big spenders without an order in the last 30 days',
    `where:
  all:
    - audience: big-spenders
    - not: { event: order_completed, count: { gte: 1 }, within: 30 days }`,
  ),
};

/** Writes the files of the workspace into `folder`; `endpoints` are the sandbox's. The tables come later, week by week. */
export function writeWorkspace(folder: string, endpoints: { readonly meta: string; readonly braze: string }): void {
  const files: Readonly<Record<string, string>> = {
    ...FILES,
    'destinations/meta.yaml': `connector: meta
purpose: ads
settings: { ad_account_id: "1234567890", audience_prefix: "retail " }
secret: retail/meta
budget: { requests: 3000, per: minute, concurrency: 4 }
endpoint: ${endpoints.meta}
`,
    'destinations/braze.yaml': `connector: braze
purpose: email
settings: {}
secret: retail/braze
budget: { requests: 3000, per: minute, concurrency: 4 }
endpoint: ${endpoints.braze}
`,
  };
  mkdirSync(join(folder, 'tables'), { recursive: true });
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
}
