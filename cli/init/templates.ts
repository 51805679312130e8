/**
 * The files of a new workspace: one example of each kind, on a small sample of data. Path -> text.
 * The schema lines are for editors; `init` copies the schemas beside them.
 */
export const TEMPLATES: Readonly<Record<string, string>> = {
  'audiences/lapsed-buyers.yaml': `# yaml-language-server: $schema=../schemas/audience.json
# What to send: who is in, what may change at once, and where it goes.
description: Buyers of shoes or bags who have not ordered for 90 days
owner: you@example.com
where:
  all:
    - last_order_at: { before: 90 days ago }
    - lifetime_value: { gte: 100 }
    - event: order_completed
      where: { category: { in: [shoes, bags] } }
      count: { gte: 2 }
      within: 730 days
holdout: 5%
schedule: every day at 06:00 Europe/Berlin
guardrails: { max_added: 20%, max_removed: 10% }
syncs:
  - to: outbox
    mode: mirror
    identifiers: [email]
`,
  'contracts/customers.yaml': `# yaml-language-server: $schema=../schemas/contract.json
# What your tables promise, in the Open Data Contract Standard. Replace the samples in data/ by your own tables.
apiVersion: v3.1.0
kind: DataContract
id: customers
name: customers
version: 1.0.0
status: active
servers:
  - server: local
    type: local
    path: data/customers.csv
    format: csv
schema:
  - name: customers
    physicalType: table
    customProperties:
      - property: sluice.role
        value: customers
    properties:
      - { name: customer_id, logicalType: string, physicalType: varchar, required: true, unique: true, primaryKey: true, primaryKeyPosition: 1 }
      - { name: country, logicalType: string, physicalType: varchar, description: "ISO 3166-1 alpha-2, such as DE" }
      - { name: last_order_at, logicalType: timestamp, physicalType: timestamp }
      - { name: lifetime_value, logicalType: number, physicalType: "decimal(12,2)", required: true }
`,
  'contracts/identifiers.yaml': `# yaml-language-server: $schema=../schemas/contract.json
apiVersion: v3.1.0
kind: DataContract
id: identifiers
name: identifiers
version: 1.0.0
status: active
servers:
  - server: local
    type: local
    path: data/identifiers.csv
    format: csv
schema:
  - name: identifiers
    physicalType: table
    customProperties:
      - property: sluice.role
        value: identifiers
    properties:
      - { name: customer_id, logicalType: string, physicalType: varchar, required: true }
      - { name: namespace, logicalType: string, physicalType: varchar, required: true, description: "email, phone, maid or external_id" }
      - { name: value, logicalType: string, physicalType: varchar, required: true, classification: restricted }
`,
  'contracts/consents.yaml': `# yaml-language-server: $schema=../schemas/contract.json
apiVersion: v3.1.0
kind: DataContract
id: consents
name: consents
version: 1.0.0
status: active
servers:
  - server: local
    type: local
    path: data/consents.csv
    format: csv
schema:
  - name: consents
    physicalType: table
    customProperties:
      - property: sluice.role
        value: consents
      - property: sluice.statuses
        value: { granted: granted, denied: denied, withdrawn: withdrawn, pending: pending }
    properties:
      - { name: record_id, logicalType: string, physicalType: varchar, required: true, unique: true, primaryKey: true, primaryKeyPosition: 1 }
      - { name: customer_id, logicalType: string, physicalType: varchar, required: true }
      - { name: purpose, logicalType: string, physicalType: varchar, required: true }
      - { name: status, logicalType: string, physicalType: varchar, required: true }
      - { name: effective_from, logicalType: timestamp, physicalType: timestamp, required: true }
      - { name: effective_to, logicalType: timestamp, physicalType: timestamp }
`,
  'contracts/orders.yaml': `# yaml-language-server: $schema=../schemas/contract.json
apiVersion: v3.1.0
kind: DataContract
id: orders
name: orders
version: 1.0.0
status: active
servers:
  - server: local
    type: local
    path: data/order_completed.csv
    format: csv
schema:
  - name: order_completed
    physicalType: table
    customProperties:
      - property: sluice.role
        value: events
    properties:
      - { name: order_id, logicalType: string, physicalType: varchar, required: true, unique: true, primaryKey: true, primaryKeyPosition: 1 }
      - { name: customer_id, logicalType: string, physicalType: varchar, required: true }
      - { name: occurred_at, logicalType: timestamp, physicalType: timestamp, required: true }
      - { name: category, logicalType: string, physicalType: varchar }
      - { name: amount, logicalType: number, physicalType: "decimal(12,2)", required: true }
`,
  'destinations/outbox.yaml': `# yaml-language-server: $schema=../schemas/destination.json
# Where to: one configured account of a platform. This one writes files into .sluice/ and needs no account.
connector: files
purpose: email_marketing
settings: {}
`,
  'policies/consent.yaml': `# yaml-language-server: $schema=../schemas/consent.json
# Nothing is sent for a purpose that is not here, nor to anybody whose consent does not cover it.
purposes:
  email_marketing: { basis: opt-in, expires_after: 730 days }
jurisdiction: { column: country }
`,
};
