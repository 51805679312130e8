/** The company of the conformance run: three tables, two platforms, one audience each. */
export const ROLES = {
  customers: { id: 'string', tier: 'string', country: 'string' },
  identifiers: { id: 'string', namespace: 'string', value: 'string' },
  consents: { id: 'string', purpose: 'string', status: 'string', from: 'timestamp' },
} as const;
export type Role = keyof typeof ROLES;
/** Stack of what the company has, and the stage that is deployed for it. */
export const COMPANY = 'sluice-conformance-company';
export const STAGE = 'conformance';
export const DATABASE = 'sluice_conformance_company';
export const PLATFORMS = ['meta', 'braze'] as const;
/** Name of the secret of a platform. */
export const secretOf = (platform: string): string => `sluice-conformance/${platform}`;

/** @param endpointOf where a platform is reached */
export function workspaceFiles(endpointOf: (platform: string) => string): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const [role, columns] of Object.entries(ROLES)) files.set(`contracts/${role}.yaml`, contract(role, columns));
  for (const platform of PLATFORMS) {
    files.set(
      `destinations/${platform}.yaml`,
      `connector: ${platform}
purpose: ads
settings: ${platform === 'meta' ? '{ ad_account_id: "1234567890" }' : '{}'}
secret: ${secretOf(platform)}
endpoint: ${endpointOf(platform)}
# One request at a time: the stand-in keeps what it holds in one process.
budget: { requests: 20, per: second, concurrency: 1 }
`,
    );
  }
  files.set(
    'audiences/conformance.yaml',
    `description: everybody with a gold card
owner: crm@example.com
where: { tier: gold }
schedule: manual
guardrails: { max_removed: { percent: 10, floor: 1000 }, min_size: 0 }
syncs:
  - { to: meta, mode: mirror, identifiers: [email] }
  - { to: braze, mode: mirror }
`,
  );
  files.set('policies/consent.yaml', 'purposes:\n  ads: { basis: opt-in }\njurisdiction: { column: country }\n');
  return files;
}

function contract(role: string, columns: Readonly<Record<string, string>>): string {
  const field = (name: string): string | undefined =>
    name === 'id' ? 'customer_id' : name === 'from' ? 'effective_from' : undefined;
  const properties = Object.entries(columns).map(([name, type]) => {
    const known = field(name);
    const key = role === 'customers' && name === 'id' ? ', unique: true, primaryKey: true' : '';
    const needed = name === 'id' ? ', required: true' : '';
    const custom = known === undefined ? '' : `, customProperties: [{ property: sluice.field, value: ${known} }]`;
    return `      - { name: ${name}, logicalType: ${type}${needed}${key}${custom} }`;
  });
  return `apiVersion: v3.1.0
kind: DataContract
id: conformance-${role}
name: ${role}
version: 1.0.0
status: active
servers:
  - { server: aws, type: athena, schema: ${DATABASE} }
schema:
  - name: ${role}
    customProperties: [{ property: sluice.role, value: ${role} }]
    properties:
${properties.join('\n')}
`;
}
