import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { openWorkspace } from '../../../cli/wiring.ts';
import type { Clock } from '../../../core/ports.ts';
import type { Operations } from '../../../core/run/operations.ts';
import { standIns, startSandbox } from '../../../sandbox/index.ts';
import type { Sandbox } from '../../../sandbox/server.ts';
import { systemClock } from '../../../stores/system-clock.ts';

/** Rows of the tables of a world on one day. Everything but `customers` may be left out. */
export interface Day {
  readonly customers: readonly {
    id: string;
    country?: string | null;
    tier?: string | null;
    spent?: number | null;
    joined?: string | null;
  }[];
  readonly identifiers?: readonly { id: string; namespace: string; value: string; verified?: boolean | null }[];
  /** `namespace` and `value`: of the one identifier that it is about; only in a world with `bound`. */
  readonly consents?: readonly {
    id: string;
    purpose: string;
    status: string;
    from: string;
    to?: string | null;
    namespace?: string | null;
    value?: string | null;
  }[];
  readonly erasures?: readonly { id: string; at: string }[];
  /** Merges and splits; only of a world with `merges`. */
  readonly changes?: readonly { from: string; to: string; kind: string; at: string }[];
}

/** A real workspace in a folder of its own, real DuckDB, real files, real stand-ins over loopback. */
export interface World {
  readonly dir: string;
  readonly sandbox: Sandbox;
  /** Replaces the rows of every table. */
  write(day: Day): void;
  /** Adds or replaces a file of the workspace. */
  file(path: string, text: string): void;
  /** Opens the workspace for `work`, as one process would, and closes it. `clock`: another one than the machine's. */
  open<T>(work: (operations: Operations) => Promise<T>, clock?: Clock): Promise<T>;
  /** What a stand-in holds of the audience: external ids, or `namespace:value`. */
  held(platform: string): ReadonlySet<string>;
  close(): Promise<void>;
}

const property = (name: string, logicalType: string, extra = ''): string =>
  `      - { name: ${name}, logicalType: ${logicalType}${extra} }\n`;

const contract = (role: string, properties: string, dir: string): string => `apiVersion: v3.1.0
kind: DataContract
id: world-${role}
name: ${role}
version: 1.0.0
status: active
servers:
  - { server: local, type: local, path: ${join(dir, 'rows', `${role}.json`)}, format: json }
schema:
  - name: ${role}
    customProperties: [{ property: sluice.role, value: ${role} }]
    properties:
${properties}`;

const field = (name: string): string => `, customProperties: [{ property: sluice.field, value: ${name} }]`;

const COUNTRY = `
jurisdiction: { column: country }
`;

/** `syncs` is the YAML of the audience's syncs; the audience matches everybody whose tier is gold. */
export async function makeWorld(options: {
  syncs: string;
  destinations: Readonly<Record<string, string>>;
  audience?: string;
  /** Whether there is a table of role identity-changes. */
  merges?: boolean;
  /** Whether consents can be about one identifier. */
  bound?: boolean;
  /** Further columns of the consents, texts. */
  consents?: readonly string[];
  /** Sluice's own waits (back-offs, polls) pass this many times faster; the stand-ins stay in real time. */
  speed?: number;
}): Promise<World> {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-world-'));
  const sandbox = await startSandbox(Object.values(standIns));
  const file = (path: string, text: string): void => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  };
  file(
    'contracts/customers.yaml',
    contract(
      'customers',
      property('id', 'string', `, required: true, unique: true, primaryKey: true${field('customer_id')}`) +
        property('country', 'string') +
        property('tier', 'string') +
        property('spent', 'number') +
        property('joined', 'date'),
      dir,
    ),
  );
  file(
    'contracts/identifiers.yaml',
    contract(
      'identifiers',
      property('id', 'string', `, required: true${field('customer_id')}`) +
        property('namespace', 'string') +
        property('value', 'string') +
        property('verified', 'boolean'),
      dir,
    ),
  );
  file(
    'contracts/consents.yaml',
    contract(
      'consents',
      property('id', 'string', `, required: true${field('customer_id')}`) +
        property('purpose', 'string') +
        property('status', 'string') +
        property('from', 'timestamp', field('effective_from')) +
        property('to', 'timestamp', field('effective_to')) +
        (options.bound === true ? property('namespace', 'string') + property('value', 'string') : '') +
        (options.consents ?? []).map((name) => property(name, 'string')).join(''),
      dir,
    ),
  );
  file(
    'contracts/erasures.yaml',
    contract(
      'erasures',
      property('id', 'string', `, required: true${field('customer_id')}`) + property('at', 'timestamp', field('requested_at')),
      dir,
    ),
  );
  if (options.merges === true) {
    file(
      'contracts/changes.yaml',
      contract(
        'identity-changes',
        property('from', 'string', `, required: true${field('from_id')}`) +
          property('to', 'string', `, required: true${field('to_id')}`) +
          property('kind', 'string') +
          property('at', 'timestamp', field('changed_at')),
        dir,
      ).replace('- name: identity-changes', '- name: identity_changes'),
    );
  }
  file('policies/consent.yaml', `purposes:\n  ads: { basis: opt-in }\n  mail: { basis: opt-in }\n${COUNTRY}`);
  for (const [name, text] of Object.entries(options.destinations)) file(`destinations/${name}.yaml`, text);
  file(
    'audiences/gold.yaml',
    options.audience ??
      `description: everybody with a gold card
owner: crm@example.com
where: { tier: gold }
schedule: manual
guardrails: { max_removed: { percent: 100, floor: 1000 }, min_size: 0 }
syncs:
${options.syncs}`,
  );

  const overrides = Object.fromEntries(
    Object.entries(options.destinations).map(([name, text]) => {
      const platform = sandbox.platform(/connector: (\S+)/.exec(text)?.[1] ?? '');
      return [name, { endpoint: platform.endpoint, secret: platform.secret }];
    }),
  );
  return {
    dir,
    sandbox,
    file,
    write(day) {
      const rows = (role: string, all: readonly object[]): void =>
        file(`rows/${role}.json`, all.map((row) => `${JSON.stringify(row)}\n`).join(''));
      rows(
        'customers',
        day.customers.map((one) => ({
          id: one.id,
          country: one.country ?? null,
          tier: one.tier ?? null,
          spent: one.spent ?? null,
          joined: one.joined ?? null,
        })),
      );
      rows(
        'identifiers',
        (day.identifiers ?? []).map((one) => ({ ...one, verified: one.verified ?? null })),
      );
      rows(
        'consents',
        (day.consents ?? []).map((one) => ({
          ...(options.bound === true && { namespace: null, value: null }),
          ...one,
          to: one.to ?? null,
        })),
      );
      rows('erasures', day.erasures ?? []);
      rows('identity-changes', day.changes ?? []);
    },
    async open(work, clock = fastClock(options.speed ?? 1)) {
      const open = await openWorkspace(dir, { overrideFor: ({ name }) => overrides[name], clock });
      if ('problems' in open) throw new Error(open.problems.map((one) => `${one.file}:${one.line} ${one.message}`).join('\n'));
      try {
        return await work(open.operations);
      } finally {
        await open.close();
      }
    },
    held: (platform) => new Set([...sandbox.platform(platform).held().values()].flatMap((one) => [...one])),
    async close() {
      await sandbox.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const STARTED = Date.now();

/** The machine's clock, with waits that pass so many times faster. */
export const fastClock = (speed: number): Clock => ({
  now: () => STARTED + (Date.now() - STARTED) * speed,
  sleep: (ms, signal) => systemClock.sleep(ms / speed, signal),
  random: () => systemClock.random(),
});
