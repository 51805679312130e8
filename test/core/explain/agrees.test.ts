import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { explain } from '../../../core/explain/explain.ts';
import { hashesOf, markOf, putTombstones } from '../../../core/forget/tombstones.ts';
import { memberKeyOf } from '../../../core/receipts/audit.ts';
import { WITHHELD } from '../../../core/delta.ts';
import { plan, sync } from '../../../core/run/operations.ts';
import type { Operations } from '../../../core/run/operations.ts';
import type { RunDocument, SyncPlan } from '../../../core/run/ports.ts';
import { type Day, makeWorld } from '../run/world.ts';
import { DAY, HOOK, META, T } from '../receipts/world.ts';

const PEOPLE = ['p0', 'p1', 'p2', 'p3', 'p4', 'p5'];
const MAILS = ['m0@x.example', 'm1@x.example', 'no address', ' '];
const person = fc.record({
  /** Row in the customers table. */
  there: fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, fc.constant(false)),
  tier: fc.constantFrom('gold', 'gold', 'silver', null),
  country: fc.constantFrom('DE', 'US', null),
  spent: fc.constantFrom(1, 500, null),
  ads: fc.constantFrom('granted', 'granted', 'withdrawn', 'denied', 'pending', null),
  mail: fc.constantFrom('granted', 'granted', 'withdrawn', null),
  mails: fc.subarray(MAILS, { maxLength: 2 }),
  erased: fc.oneof({ weight: 8, arbitrary: fc.constant(false) }, fc.constant(true)),
});
type Person = typeof person extends fc.Arbitrary<infer P> ? P : never;

const merge = fc.record({
  from_id: fc.constantFrom('p0', 'p1'),
  to_id: fc.constantFrom('p1', 'p2', 'p3'),
  kind: fc.constant('merge'),
  changed_at: fc.constantFrom('2026-05-01T00:00:00', '2026-06-02T00:00:00'),
});
const stop = fc.record({
  id: fc.constantFrom(...PEOPLE),
  why: fc.constantFrom('no-consent', 'no-consent', 'erased'),
  at: fc.constantFrom(T - 400 * DAY, T - DAY),
});
const CHANGES = `apiVersion: v3.1.0
kind: DataContract
id: world-changes
name: identity-changes
version: 1.0.0
status: active
servers:
  - { server: local, type: local, path: rows/changes.json, format: json }
schema:
  - name: changes
    customProperties: [{ property: sluice.role, value: identity-changes }]
    properties:
      - { name: from_id, logicalType: string }
      - { name: to_id, logicalType: string }
      - { name: kind, logicalType: string }
      - { name: changed_at, logicalType: timestamp }
`;

const dayOf = (all: readonly Person[]): Day => {
  const named = all.map((one, i) => ({ ...one, id: PEOPLE[i] ?? '' }));
  return {
    customers: named.filter(({ there }) => there).map(({ id, tier, country, spent }) => ({ id, tier, country, spent })),
    identifiers: named.flatMap(({ id, mails }) => mails.map((value) => ({ id, namespace: 'email', value }))),
    consents: named.flatMap(({ id, ads, mail }) =>
      Object.entries({ ads, mail }).flatMap(([purpose, status]) =>
        status === null ? [] : [{ id, purpose, status, from: '2026-01-01T00:00:00' }],
      ),
    ),
    erasures: named.filter(({ erased }) => erased).map(({ id }) => ({ id, at: '2026-02-01T00:00:00' })),
  };
};

const audienceOf = (mode: string, holdout: number, rollout: number): string => `description: everybody with a gold card
owner: crm@example.com
where: { any: [ { tier: gold }, { all: [ { spent: { gte: 100 } }, { not: { country: US } } ] } ] }
exclude: rich
${holdout > 0 ? `holdout: ${holdout}%\n` : ''}schedule: manual
guardrails: { max_removed: { percent: 100, floor: 1000 }, min_size: 0 }
syncs:
  - { to: meta, mode: mirror, identifiers: [email] }
  - { to: hook, mode: ${mode}, identifiers: [email]${rollout < 100 ? `, rollout: ${rollout}%` : ''} }
`;

/** What a plan would do with each person at one destination, from its delta alone. */
async function planned({ ports }: Operations, one: SyncPlan): Promise<ReadonlyMap<string, string>> {
  const done = new Map<string, string>();
  const { files } = ports.store;
  const removes = await ports.warehouse.rows({
    sql: 'SELECT k, why FROM removes',
    relations: { removes: { files: one.removes, columns: { k: 'varchar', why: 'varchar' } } },
  });
  for (const { k, why } of removes) if (why !== 'changed') done.set(String(k), `remove: ${String(why)}`);
  for (const { key } of one.upsertShards) {
    for await (const text of files.lines(key)) {
      const { k, op } = JSON.parse(text) as { k: string; op: string };
      // Sent again for the sake of somebody else's removal: of the person themselves nothing has changed.
      if (op !== 'resend') done.set(k, op);
    }
  }
  return done;
}

describe('explain says of everybody what a run does with them', () => {
  const asked = Number(process.env.SLUICE_HISTORIES ?? 4);

  it('for random people, merges, stop lists, tombstones, holdouts, rollouts and modes, over several days', {
    timeout: 120_000 + asked * 30_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(person, { minLength: PEOPLE.length, maxLength: PEOPLE.length }), { minLength: 2, maxLength: 3 }),
        fc.constantFrom('mirror', 'upsert'),
        fc.constantFrom(0, 30),
        fc.constantFrom(100, 50),
        fc.array(merge, { maxLength: 2 }),
        fc.array(stop, { maxLength: 2 }),
        fc.option(fc.subarray(PEOPLE)),
        async (days, mode, holdout, rollout, merges, stops, keepers) => {
          const world = await makeWorld({
            syncs: '',
            audience: audienceOf(mode, holdout, rollout),
            destinations: { meta: META, hook: HOOK },
          });
          try {
            world.file('audiences/rich.yaml', 'where: { all: [ { spent: { gte: 100 } }, { country: { is: unknown } } ] }\n');
            world.file('contracts/changes.yaml', CHANGES);
            world.file('rows/changes.json', merges.map((one) => `${JSON.stringify(one)}\n`).join(''));
            for (const [day, people] of days.entries()) {
              if (day === 1 && keepers !== null)
                await world.open(({ ports }) =>
                  putTombstones(
                    ports.store.documents,
                    hashesOf('email', 'm0@x.example', null).map((hash) => ({
                      mark: markOf(ports.memberKey, 'email', hash),
                      keepers: keepers.map((id) => memberKeyOf(ports.memberKey, id)),
                    })),
                    new Set(),
                    T,
                  ),
                );
              if (day === 1)
                await world.open(({ ports }) =>
                  ports.store.stops.add(
                    stops.map(({ id, ...entry }) => ({
                      ...entry,
                      member: memberKeyOf(ports.memberKey, id),
                      purpose: entry.why === 'erased' ? null : 'ads',
                    })),
                  ),
                );
              world.write(dayOf(people));
              const tick = T + day * DAY;
              const explained = await world.open((ops) =>
                Promise.all(PEOPLE.map((id) => explain(ops.ports, id, { tick, audiences: ['gold'] }))),
              );
              await world.open(async (ops) => {
                const report = await plan(ops, 'gold', { tick });
                const document = await ops.ports.store.documents.get<RunDocument>('run', report.run);
                for (const [index, one] of (document?.plans ?? []).entries()) {
                  const said = new Map<string, string>();
                  const withheld = Object.fromEntries(WITHHELD.map((reason) => [reason, 0]));
                  let matched = 0;
                  let mergedRecords = 0;
                  const away = new Set<string>();
                  for (const [i, { audiences, mergedAway }] of explained.entries()) {
                    const [gold] = audiences;
                    // The id of another person now, who is explained under their own.
                    if (mergedAway) {
                      away.add(memberKeyOf(ops.ports.memberKey, PEOPLE[i] ?? ''));
                      continue;
                    }
                    mergedRecords += gold?.syncs[index]?.mergedRecords ?? 0;
                    const { next, reasons } = gold?.syncs[index] ?? {};
                    const key = memberKeyOf(ops.ports.memberKey, PEOPLE[i] ?? '');
                    if (next?.do === 'add' || next?.do === 'update') said.set(key, next.do);
                    if (next?.do === 'remove') said.set(key, `remove: ${next.why}`);
                    matched += gold?.matched === true ? 1 : 0;
                    const why =
                      next?.do === 'withhold' ? next.why : next?.do === 'remove' && gold?.matched === true ? next.why : undefined;
                    if (why !== undefined) withheld[why] = (withheld[why] ?? 0) + 1;
                    // Who is withheld is so for the first of the reasons that are told.
                    if (next?.do === 'withhold') expect([next.why, ...(reasons ?? [])].slice(0, 2)).toEqual([next.why, next.why]);
                  }
                  const done = await planned(ops, one);
                  const ofOthers = [...done.keys()].filter((key) => away.has(key));
                  expect([day, one.destination, ofOthers.length]).toEqual([day, one.destination, mergedRecords]);
                  for (const key of ofOthers) expect(done.get(key)).toMatch(/^remove/);
                  expect([day, one.destination, said]).toEqual([
                    day,
                    one.destination,
                    new Map([...done].filter(([key]) => !away.has(key))),
                  ]);
                  expect([day, one.destination, withheld]).toEqual([day, one.destination, { ...one.counts.withheld }]);
                  expect(matched).toBe(report.matched);
                }
              });
              await world.open((ops) => sync(ops, 'gold', { tick }));
            }
          } finally {
            await world.close();
          }
        },
      ),
      { numRuns: Math.ceil(asked / 2), endOnFailure: process.env.CI !== undefined },
    );
  });
});
