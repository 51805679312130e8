import { afterEach, describe, expect, it } from 'vitest';
import { auditCustomer, auditRun, memberKeyOf } from '../../../core/receipts/audit.ts';
import { sync } from '../../../core/run/operations.ts';
import { makeWorld, type World } from '../run/world.ts';
import { consents, DAY, HOOK, mails, people, T } from './world.ts';

let world: World;
afterEach(() => world.close());

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
const row = (from_id: string, to_id: string, kind: string, changed_at: string): string =>
  `${JSON.stringify({ from_id, to_id, kind, changed_at })}\n`;

describe('sluice audit of a customer', () => {
  it('tells of every id that is one person now: merged ones over chains, and not those that a split took apart again', async () => {
    world = await makeWorld({ syncs: '  - { to: hook, mode: mirror, identifiers: [email] }', destinations: { hook: HOOK } });
    world.file('contracts/changes.yaml', CHANGES);
    world.file('rows/changes.json', '');
    const all = ['a', 'b', 'c', 'd', 'e'];
    world.write({
      customers: people(...all),
      consents: consents(all),
      identifiers: mails(Object.fromEntries(all.map((id) => [id, `${id}@x.example`]))),
    });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    world.file(
      'rows/changes.json',
      row('a', 'b', 'merge', '2026-06-02T00:00:00') +
        row('b', 'c', 'merge', '2026-06-02T01:00:00') +
        row('d', 'e', 'merge', '2026-06-02T00:00:00') +
        row('e', 'd', 'split', '2026-06-03T00:00:00'),
    );
    const audited = (id: string) => world.open(({ ports }) => auditCustomer(ports, id, T + 10 * DAY));
    const key = await world.open(({ ports }) => Promise.resolve(ports.memberKey));
    for (const id of ['a', 'b', 'c']) {
      const { members, receipts } = await audited(id);
      expect([id, new Set(members)]).toEqual([id, new Set(['a', 'b', 'c'].map((one) => memberKeyOf(key, one)))]);
      expect(members[0]).toBe(memberKeyOf(key, id));
      expect(receipts).toHaveLength(3);
    }
    expect((await audited('d')).members).toEqual([memberKeyOf(key, 'd')]);
    expect((await audited('nobody')).receipts).toEqual([]);
  });

  it('takes an id as it is, quotes and all', async () => {
    world = await makeWorld({ syncs: '  - { to: hook, mode: mirror, identifiers: [email] }', destinations: { hook: HOOK } });
    world.file('contracts/changes.yaml', CHANGES);
    world.file('rows/changes.json', '');
    const odd = "x' OR '1'='1";
    world.write({
      customers: people('a', odd),
      consents: consents(['a', odd]),
      identifiers: mails({ a: 'a@x.example', [odd]: 'o@x.example' }),
    });
    const { run } = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect((await world.open(({ ports }) => auditCustomer(ports, odd, T))).receipts).toHaveLength(1);
    expect(await world.open(({ ports }) => auditRun(ports, run, T))).toMatchObject([
      { run, operation: 'add', outcome: 'delivered', receipts: 2 },
    ]);
    expect(await world.open(({ ports }) => auditRun(ports, "'; DROP TABLE receipts; --", T))).toEqual([]);
  });
});
