import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { checkFiles } from '../../../cli/wiring.ts';
import { readWorkspaceFiles } from '../../../cli/workspace-files.ts';
import { explain } from '../../../core/explain/explain.ts';
import { continueForget, forget } from '../../../core/forget/forget.ts';
import { sha256Hex } from '../../../core/identifiers.ts';
import { auditCustomer, auditRun } from '../../../core/receipts/audit.ts';
import { verifyReceipts } from '../../../core/receipts/verify.ts';
import { compare } from '../../../core/run/compare.ts';
import { abandon, retire, tendLedgers } from '../../../core/run/demanded.ts';
import { everyLedger } from '../../../core/run/ledgers.ts';
import { approve, plan, PlanRefused, retryRejected, rollback, status, sync } from '../../../core/run/operations.ts';
import type { RunDocument } from '../../../core/run/ports.ts';
import { stopRefused } from '../../../core/run/recheck.ts';
import { linesRelation, rejectionRelation } from '../../../core/run/relations.ts';
import { withdraw } from '../../../core/run/withdraw.ts';
import { customersOf } from '../../../core/sql/audience.ts';
import { REMOVE_LINE_COLUMNS } from '../../../core/sql/delta.ts';
import { identifierColumnsQuery } from '../../../core/sql/explain.ts';
import { rejectionsLeftQuery } from '../../../core/sql/ledger.ts';
import { tcString } from '../consent-strings.ts';
import { type Day, makeWorld, type World } from './world.ts';

/** One life of one workspace in which the product asks a warehouse everything it can ask: it is lived on a real Trino too. */
let world: World;
afterEach(() => world.close());

const T = Date.parse('2026-06-01T06:00:00Z');
const BUDGET = 'budget: { requests: 100000, per: second, concurrency: 2 }\n';
const HOOK = `connector: webhook\npurpose: mail\nsecret: hook\n${BUDGET}`;
const META = `connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n${BUDGET}`;
const AUDIENCE = `description: everybody with a gold card
owner: crm@example.com
where: { tier: gold }
schedule: manual
holdout: 1%
guardrails: { max_removed: { percent: 100, floor: 1000 }, min_size: 0 }
syncs:
  - { to: meta, mode: mirror, identifiers: [email, maid] }
  - { to: hook, mode: upsert, identifiers: [email], traits: { spent: spent } }
`;
const POLICY = `purposes:
  ads: { basis: opt-in, shared_identifiers: refuse, tcf: { purposes: [1, 3] } }
  mail: { basis: opt-in, double_opt_in: true, expires_after: 3650 days, jurisdictions: { US: opt-out } }
sources: [centre, shop]
jurisdiction: { column: country }
`;
const NOBODY_SAYS = { namespace: null, value: null, tcf: null, source: 'centre', record_id: null };
const says = (id: string, purpose: string | null, status: string | null, day: string, more: object = {}) => ({
  ...NOBODY_SAYS,
  id,
  purpose: purpose as string,
  status: status as string,
  from: `2026-0${day}T00:00:00`,
  record_id: `${id}-${day}`,
  ...more,
});
const ALL = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const people = (ids: readonly string[]): Day['customers'] =>
  ids.map((id, i) => ({ id, tier: 'gold', country: i % 3 === 0 ? 'US' : 'DE', spent: i }));
const mailOf = (id: string): string => (id === 'b' || id === 'c' ? 'home@x.example' : `${id}@x.example`);
const FIRST: Day = {
  customers: people(ALL),
  identifiers: [
    ...ALL.map((id) => ({ id, namespace: 'email', value: mailOf(id) })),
    { id: 'a', namespace: 'maid', value: 'c0ffee00-0000-4000-8000-000000000001' },
    { id: 'h', namespace: 'email', value: 'no address' },
  ],
  consents: [
    ...ALL.flatMap((id) => [
      says(id, 'mail', 'pending', '1-01'),
      says(id, 'mail', 'confirmed', '1-02'),
      says(id, 'mail', 'granted', '1-03'),
    ]),
    ...ALL.filter((id) => id !== 'd').map((id) => says(id, 'ads', 'granted', '1-03')),
    says('d', null, null, '1-03', { tcf: tcString([1, 3]) }),
  ],
  erasures: [],
  changes: [],
};
const SECOND: Day = {
  ...FIRST,
  customers: people(ALL.filter((id) => id !== 'g')).map((one) => (one.id === 'd' ? { ...one, tier: 'silver' } : one)),
  identifiers: [
    ...(FIRST.identifiers ?? []).filter(({ id }) => id !== 'd'),
    { id: 'd', namespace: 'email', value: 'new@x.example' },
  ],
  consents: [
    ...(FIRST.consents ?? []),
    says('g', 'mail', 'withdrawn', '5-01'),
    says('e', 'ads', 'withdrawn', '5-01', { namespace: 'email', value: 'E@x.example' }),
    says('d', null, null, '5-02', { tcf: tcString([1]) }),
  ],
  changes: [{ from: 'f', to: 'a', kind: 'merge', at: '2026-05-01T00:00:00' }],
};
const workspaceNow = async () => {
  const { workspace } = await checkFiles(world.dir, await readWorkspaceFiles(world.dir));
  if (workspace === null) throw new Error('no workspace');
  return workspace;
};
const mails = (...ids: readonly string[]) => new Set(ids.map((id) => `email:${sha256Hex(mailOf(id))}`));

it('everything happens once: people come, change, merge, withdraw and are forgotten, and it all can be told', async () => {
  world = await makeWorld({
    syncs: '',
    destinations: { meta: META, hook: HOOK },
    audience: AUDIENCE,
    merges: true,
    bound: true,
    consents: ['tcf', 'source', 'record_id'],
  });
  world.file('policies/consent.yaml', POLICY);
  world.write(FIRST);
  const first = await world.open((ops) => sync(ops, 'gold', { tick: T }));
  expect([first.state, first.matched]).toEqual(['done', 8]);
  expect(world.held('webhook')).toEqual(new Set(ALL));
  expect([...mails(...ALL.filter((id) => id !== 'h'))].filter((mail) => !world.held('meta').has(mail))).toEqual([]);

  // The day after, first as a plan; then somebody withdraws by hand, before any table knows.
  world.write(SECOND);
  const planned = await world.open((ops) => plan(ops, 'gold', { tick: T + 1 }));
  const nobodyRefused = await world.open(async ({ ports }) => {
    const document = await ports.store.documents.get<RunDocument>('run', planned.run);
    return document && stopRefused(ports, document, T + 1);
  });
  expect(nobodyRefused).toBe(0);
  expect((await world.open((ops) => approve(ops, planned.run))).state).toBe('done');
  await world.open(({ ports }) => withdraw(ports, ['c'], ['mail'], T + 2));
  const second = await world.open((ops) => sync(ops, 'gold', { tick: T + 3 }));
  expect(second.state).toBe('done');
  expect(world.held('webhook').has('c')).toBe(false);
  // One address refused, one purpose refused by a string, one who left a mirror, one who is another one now.
  expect([...mails('d', 'e', 'g')].filter((mail) => world.held('meta').has(mail))).toEqual([]);
  const tended = await world.open(({ ports }) => tendLedgers(ports, T + 4));
  expect([tended.failed, tended.reports.map(({ syncs }) => syncs[0]?.removeReasons)]).toEqual([[], [{ 'no-consent': 1 }]]);

  // What it would be by other files, and why somebody stands where they stand.
  const then = await workspaceNow();
  world.file('audiences/gold.yaml', AUDIENCE.replace('tier: gold', 'spent: { gte: 3 }').replace('holdout: 1%', 'holdout: 50%'));
  const compared = await world.open(({ ports }) => compare(ports, then, 'gold', { tick: T + 5, onMove: async () => {} }));
  expect(compared.syncs.map(({ leave }) => leave > 0)).toEqual([true, true]);
  world.file('audiences/gold.yaml', AUDIENCE);
  const told = await world.open(({ ports }) => explain(ports, 'f', { tick: T + 5, values: true }));
  expect([told.mergedAway, told.known, told.audiences[0]?.matched]).toEqual([true, true, true]);

  // Forgotten: one by an identifier, while a plan waits that has them; one by the table; one whom no table knows any more.
  const waiting = await world.open((ops) => plan(ops, 'gold', { tick: T + 5 }));
  const forgotten = (id: string, value: string) =>
    world.open(({ ports }) =>
      forget(ports, {
        id,
        source: 'by-hand',
        submittedAt: T + 5,
        customerIds: [],
        identities: [{ namespace: 'email', value, format: 'raw' }],
        allHolders: false,
      }),
    );
  const erasure = await forgotten('r1', 'E@x.example');
  expect(erasure.status).toBe('completed');
  await expect(world.open((ops) => approve(ops, waiting.run))).rejects.toThrow(PlanRefused);
  world.write({ ...SECOND, erasures: [{ id: 'b', at: '2026-05-30T00:00:00' }] });
  const [byTable] = await world.open(({ ports }) => continueForget(ports, T + 6));
  expect(byTable?.status).toBe('completed');
  // Somebody new comes with the address of who was forgotten.
  world.write({
    ...SECOND,
    customers: [...SECOND.customers, ...people(['z'])],
    identifiers: [...(SECOND.identifiers ?? []), { id: 'z', namespace: 'email', value: 'e@x.example' }],
    consents: [...(SECOND.consents ?? []), says('z', 'mail', 'pending', '1-01'), says('z', 'mail', 'confirmed', '1-02')],
  });
  const third = await world.open((ops) => sync(ops, 'gold', { tick: T + 7 }));
  expect([third.state, world.held('webhook').has('z')]).toEqual(['done', false]);

  const without = <Row extends { readonly id: string }>(rows: readonly Row[] = []) => rows.filter(({ id }) => id !== 'h');
  world.write({
    customers: without(SECOND.customers),
    identifiers: without(SECOND.identifiers),
    consents: without(SECOND.consents),
    changes: SECOND.changes ?? [],
  });
  expect(await forgotten('r2', 'h@x.example')).toMatchObject({ status: 'completed', person: { customers: 0 } });

  // And what was done can be told and proven.
  const audit = await world.open(({ ports }) => auditCustomer(ports, 'a', T + 8));
  expect(audit.receipts.length).toBeGreaterThan(0);
  expect((await world.open(({ ports }) => auditRun(ports, first.run, T + 8))).length).toBeGreaterThan(0);
  expect((await world.open(({ ports }) => verifyReceipts(ports, { now: T + 8 }))).problems).toEqual([]);
  expect((await world.open((ops) => status(ops))).map(({ destination }) => destination).toSorted()).toEqual(['hook', 'meta']);
  await world.open((ops) => retryRejected(ops, 'gold', 'hook'));
  await world.open((ops) => rollback(ops, 'gold', 'meta', first.run));

  // The audience ends: one ledger is emptied, the other given up.
  rmSync(join(world.dir, 'audiences', 'gold.yaml'));
  expect((await world.open(({ ports }) => tendLedgers(ports, T + 9))).failed).toEqual([]);
  await world.open(({ ports }) => retire(ports, 'gold', 'meta', T + 9));
  expect(world.held('meta')).toEqual(new Set());
  await world.open(async ({ ports }) => {
    const left = (await everyLedger(ports)).find(({ destination }) => destination === 'hook');
    if (left === undefined) throw new Error('no ledger is left');
    await abandon(ports, left.audience, left.destination, T + 10);
    // What only other workspaces ask: one with identifiers among the customers' columns, and removals beside rejected rows.
    const { warehouse, workspace } = ports;
    expect(await warehouse.rows(identifierColumnsQuery(customersOf(workspace), ['country', 'tier'], 'a'))).toMatchObject([
      { n_0: 1, n_1: 1 },
    ]);
    const [rejections, removes] = [rejectionRelation(null), linesRelation([], REMOVE_LINE_COLUMNS)];
    expect(await warehouse.rows(rejectionsLeftQuery({ rejections, removes }))).toEqual([]);
  });
}, 600_000);
