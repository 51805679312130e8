import { afterEach, describe, expect, it } from 'vitest';
import { sha256Hex } from '../../../core/identifiers.ts';
import { type Operations, plan, sync } from '../../../core/run/operations.ts';
import { syncKey } from '../../../core/run/ports.ts';
import { ledgerRelation } from '../../../core/run/relations.ts';
import { type Day, makeWorld, type World } from './world.ts';

const META = 'connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n';
const T = Date.parse('2026-06-01T06:00:00Z');

let world: World;
afterEach(() => world.close());

const people = (...ids: string[]): Day['customers'] => ids.map((id) => ({ id, tier: 'gold', country: 'DE' }));
const granted = (...ids: string[]): NonNullable<Day['consents']> =>
  ids.map((id) => ({ id, purpose: 'ads', status: 'granted', from: '2026-01-01T00:00:00' }));
const hashes = (...addresses: string[]): Set<string> => new Set(addresses.map((address) => `email:${sha256Hex(address)}`));

/** Everything the ledger says of who is held. */
async function ledgerOf({ ports }: Operations, destination: string) {
  const pointer = await ports.store.pointers.get(syncKey('gold', destination));
  const rows = await ports.warehouse.rows({
    sql: 'SELECT member, hash, array_sort(identifiers) AS identifiers, outcome FROM ledger ORDER BY member',
    relations: { ledger: ledgerRelation(pointer?.members) },
  });
  return rows;
}

describe('the identity policy of a run', () => {
  it('changed and taken back it ends with the same ledger, and sends those alone of whom something else is sent', async () => {
    world = await makeWorld({ syncs: '  - { to: meta, mode: mirror, identifiers: [email] }', destinations: { meta: META } });
    world.write({
      customers: people('a', 'b', 'c'),
      consents: granted('a', 'b', 'c'),
      identifiers: [
        { id: 'a', namespace: 'email', value: 'a@x.example', verified: true },
        { id: 'b', namespace: 'email', value: 'b@x.example', verified: true },
        { id: 'b', namespace: 'email', value: 'b.old@x.example' },
        { id: 'c', namespace: 'email', value: 'c@x.example', verified: false },
      ],
    });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    const before = await world.open((ops) => ledgerOf(ops, 'meta'));
    const all = hashes('a@x.example', 'b@x.example', 'b.old@x.example', 'c@x.example');
    expect(world.held('meta')).toEqual(all);

    world.file('policies/identity.yaml', 'namespaces: { email: { unverified: ignore } }\n');
    const planned = await world.open((ops) => plan(ops, 'gold', { tick: T }));
    expect(planned.policies?.identity).toEqual({ version: expect.stringMatching(/^[0-9a-f]{12}$/) as string, before: 'none' });
    expect(planned.syncs[0]).toMatchObject({ update: 1, remove: 1, unchanged: 1, withheld: { 'no-identifier': 1 } });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(world.held('meta')).toEqual(hashes('a@x.example', 'b@x.example'));

    world.file('policies/identity.yaml', '# as before\nunverified: use\n');
    const back = await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(back.syncs[0]).toMatchObject({ add: 1, update: 1, unchanged: 1 });
    expect(world.held('meta')).toEqual(all);
    expect(await world.open((ops) => ledgerOf(ops, 'meta'))).toEqual(before);
  });

  it('sends as many as it says, the best ones that the platform can use', async () => {
    world = await makeWorld({ syncs: '  - { to: meta, mode: mirror, identifiers: [email] }', destinations: { meta: META } });
    world.file('policies/identity.yaml', 'namespaces: { email: { max: 2 } }\ndestinations: { meta: { email: 1 } }\n');
    world.write({
      customers: people('a'),
      consents: granted('a'),
      identifiers: [
        { id: 'a', namespace: 'email', value: 'not an address', verified: true },
        { id: 'a', namespace: 'email', value: 'a@x.example', verified: true },
        { id: 'a', namespace: 'email', value: 'b@x.example' },
        { id: 'a', namespace: 'email', value: 'c@x.example' },
      ],
    });
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(world.held('meta')).toEqual(hashes('a@x.example'));
    world.file('policies/identity.yaml', 'namespaces: { email: { max: 2 } }\n');
    await world.open((ops) => sync(ops, 'gold', { tick: T }));
    expect(world.held('meta')).toEqual(hashes('a@x.example', 'b@x.example'));
  });
});
