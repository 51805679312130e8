import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { continueForget, erasures, forget } from '../../../core/forget/forget.ts';
import { verifyReceipt } from '../../../core/forget/receipt.ts';
import type { ForgetRequest } from '../../../core/forget/request.ts';
import { sha256Hex } from '../../../core/identifiers.ts';
import { verifyReceipts } from '../../../core/receipts/verify.ts';
import { status, sync } from '../../../core/run/operations.ts';
import type { RunPorts } from '../../../core/run/ports.ts';
import type { RunReport } from '../../../core/run/report.ts';
import { withdraw } from '../../../core/run/withdraw.ts';
import {
  Died,
  dyingAfter,
  dyingAfterDocument,
  type Event,
  FAULTS,
  history,
  History,
  IDS,
  type Purpose,
  Tables,
} from './history.ts';
import { type Entitled, Truth } from './truth.ts';
import { makeWorld, type World } from './world.ts';

const T = Date.parse('2026-06-01T06:00:00Z');
const DAY = 86_400_000;
const BUDGET = 'budget: { requests: 100000, per: second, concurrency: 4 }\n';

interface Platform {
  readonly name: string;
  readonly purpose: Purpose;
  readonly file: string;
  readonly namespaces: readonly string[];
  /** How a list of identifiers writes a phone number before it is hashed; undefined where members are held by their id. */
  readonly phone?: (e164: string) => string;
}
const META: Platform = {
  name: 'meta',
  purpose: 'ads',
  file: `connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n${BUDGET}`,
  namespaces: ['email', 'phone'],
  phone: (e164) => e164.slice(1),
};
const GOOGLE: Platform = {
  name: 'google',
  purpose: 'ads',
  file: `connector: google\npurpose: ads\nsettings: { operating_account_id: "1234567890", customer_match_terms: accepted, consent_covers: [ad_user_data, ad_personalization] }\nsecret: google\n${BUDGET}`,
  namespaces: ['email', 'phone'],
  phone: (e164) => e164,
};
const BRAZE: Platform = {
  name: 'braze',
  purpose: 'mail',
  file: `connector: braze\npurpose: mail\nsettings: { instance: EU-01 }\nsecret: braze\n${BUDGET}`,
  namespaces: ['external_id', 'email'],
};
const HUBSPOT: Platform = {
  name: 'hubspot',
  purpose: 'mail',
  file: `connector: hubspot\npurpose: mail\nsettings: {}\nsecret: hubspot\n${BUDGET}`,
  namespaces: ['external_id'],
};

/** How much was tried, for whoever asks for a long run. */
const tried = {
  histories: 0,
  events: 0,
  withdrawals: 0,
  erasures: 0,
  runs: 0,
  failed: 0,
  died: 0,
  compared: 0,
  people: 0,
  unsure: 0,
};

const makePair = (platforms: readonly Platform[]): Promise<World> =>
  makeWorld({
    merges: true,
    bound: true,
    syncs: '',
    audience: `description: everybody with a gold card who does not work here
owner: crm@example.com
where: { tier: gold }
exclude: [staff]
schedule: manual
guardrails: { max_removed: { percent: 100, floor: 1000 }, min_size: 0 }
syncs:
${platforms.map(({ name, namespaces }) => `  - { to: ${name}, mode: mirror, identifiers: [${namespaces.join(', ')}] }`).join('\n')}
`,
    destinations: Object.fromEntries(platforms.map(({ name, file }) => [name, file])),
    speed: 20,
  });

const POLICY = `purposes:
  ads: { basis: opt-in, expires_after: 30 days }
  mail: { basis: opt-in, jurisdictions: { US: opt-out } }
jurisdiction: { column: country }
`;
const STAFF = 'description: who works here\nowner: crm@example.com\nwhere: { spent: { gte: 1 } }\n';

const heldOf = ({ phone }: Platform, people: readonly Entitled[]): ReadonlySet<string> => {
  if (phone === undefined) return new Set(people.map(({ id }) => id));
  const hashed = (one: string): string => {
    const [namespace = '', value = ''] = one.split(':');
    return `${namespace}:${sha256Hex(namespace === 'phone' ? phone(value) : value)}`;
  };
  return new Set(people.flatMap(({ identifiers }) => identifiers.map(hashed)));
};

/** Law 14, from the numbers of the report. */
function expectAccounted(report: RunReport | undefined): void {
  for (const { destination, add, update, unchanged, withheld } of report?.syncs ?? []) {
    const sum = add + update + unchanged + Object.values(withheld).reduce((total, one) => total + one, 0);
    expect([destination, sum]).toEqual([destination, report?.matched]);
  }
}

/** One history, lived through against two destinations. */
class Lived {
  readonly world: World;
  readonly platforms: readonly Platform[];
  readonly tables = new Tables(T - 10 * DAY);
  readonly truth = new Truth(this.tables);
  #requests = 0;

  constructor(world: World, platforms: readonly Platform[]) {
    this.world = world;
    this.platforms = platforms;
    world.file('policies/consent.yaml', POLICY);
    world.file('audiences/staff.yaml', STAFF);
  }

  at(where: number): readonly ReturnType<World['sandbox']['platform']>[] {
    const some = where < this.platforms.length ? [this.platforms[where] as Platform] : this.platforms;
    return some.map(({ name }) => this.world.sandbox.platform(name));
  }

  write(): void {
    this.world.write(this.tables.day());
  }

  async act(one: Event, now: number): Promise<void> {
    tried.events += 1;
    this.tables.write(one, now);
    if (one.what === 'tend') await this.tend();
    if (one.what === 'withdraw') {
      const id = IDS[one.who] ?? '';
      tried.withdrawals += 1;
      await this.world.open(({ ports }) => withdraw(ports, [id], [one.purpose], now));
      this.truth.withdraw(id, one.purpose, now);
    }
    if (one.what === 'forget') await this.forget(one, now);
  }

  async forget({ who, byMail, dies, refused }: Event & { what: 'forget' }, now: number): Promise<void> {
    const id = IDS[who] ?? '';
    const mail = byMail ? [...(this.tables.identifiers.get(id) ?? [])].find((one) => one.startsWith('email:')) : undefined;
    this.write();
    tried.erasures += 1;
    this.#requests += 1;
    const request: ForgetRequest = {
      id: `r${this.#requests}`,
      source: 'by-hand',
      submittedAt: now,
      customerIds: mail === undefined ? [id] : [],
      identities: mail === undefined ? [] : [{ namespace: 'email', value: mail.slice('email:'.length), format: 'raw' }],
      allHolders: true,
    };
    for (const platform of this.at(0)) platform.faults(...(refused ? ([{ kind: 'unauthorised' }] as const) : []));
    const ask = (n: number): Promise<unknown> =>
      this.world.open(({ ports }: { ports: RunPorts }) => forget(dyingAfterDocument(n, ports), request));
    await unlessDied(() => ask(dies));
    // Whoever died is asked again at once: who a person is, is found when the erasure begins.
    if (dies > 0) await ask(0);
    for (const platform of this.at(0)) platform.faults();
    if (mail === undefined) this.truth.forget([id]);
    else this.truth.forget(this.truth.holders(mail), [mail]);
  }

  async tend(): Promise<void> {
    this.write();
    tried.erasures += this.tables.erasures.size;
    await this.world.open(({ ports }) => continueForget(ports));
    this.truth.tend();
    this.write();
  }

  people({ purpose, namespaces, phone }: Platform, now: number): readonly Entitled[] {
    return this.truth.entitled(purpose, namespaces, phone === undefined, now);
  }

  /** What each destination holds that it may not, and lacks that must be there. */
  compare(
    now: number,
  ): readonly { readonly at: string; readonly leaked: readonly string[]; readonly missing: readonly string[] }[] {
    return this.platforms.map((platform) => {
      const people = this.people(platform, now);
      const sure = people.filter((one) => one.sure);
      const held = this.world.held(platform.name);
      const all = heldOf(platform, people);
      tried.compared += 1;
      tried.people += people.length;
      tried.unsure += people.length - sure.length;
      const leaked = [...held].filter((one) => !all.has(one));
      const missing = [...heldOf(platform, sure)].filter((one) => !held.has(one));
      if (platform.phone !== undefined && leaked.length + missing.length === 0) this.truth.ran(people);
      return { at: platform.name, leaked, missing };
    });
  }

  async run(now: number, dies = 0): Promise<RunReport | undefined> {
    this.write();
    this.truth.running();
    tried.runs += 1;
    const report = await unlessDied(() =>
      this.world.open((ops) =>
        sync(dies === 0 ? ops : { ...ops, journal: dyingAfter(dies, ops.journal) }, 'gold', { tick: now }),
      ),
    );
    if (report === undefined) tried.died += 1;
    else if (report.code !== 0) tried.failed += 1;
    expectAccounted(report);
    return report;
  }
}

/** Everybody entitled is there, and nothing of anybody else. */
function expectExact(when: string, lived: Lived, now: number): void {
  const exact = lived.platforms.map(({ name }) => ({ at: name, leaked: [], missing: [] }));
  expect([when, lived.compare(now)]).toEqual([when, exact]);
}

async function unlessDied<R>(work: () => Promise<R>): Promise<R | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Died) return undefined;
    throw error;
  }
}

async function live({ days }: History, lived: Lived): Promise<void> {
  tried.histories += 1;
  const { world, platforms } = lived;
  for (const [i, { events, trouble, where, last }] of days.entries()) {
    const now = T + i * DAY;
    for (const [n, one] of events.entries()) await lived.act(one, now - 3_600_000 + n * 60_000);
    if (trouble !== 'dies') for (const platform of lived.at(where)) platform.faults(...FAULTS[trouble]);
    const report = await lived.run(now, trouble === 'dies' ? last : 0);
    for (const platform of lived.at(2)) platform.faults();
    if (trouble === 'none' && report?.code === 0) expectExact(`day ${i}`, lived, now);
  }
  // Law 8: every erasure comes to its end, and its receipt is sound.
  const end = T + days.length * DAY;
  await lived.tend();
  await lived.run(end);
  expectExact('the end', lived, end);
  const states = await world.open((ops) => status(ops));
  for (const [i, platform] of platforms.entries()) {
    const people = lived.people(platform, end);
    const [least, most] = [people.filter((one) => one.sure).length, people.length];
    expect(states[i]?.uncertain).toBe(0);
    expect(states[i]?.members).toBeGreaterThanOrEqual(least);
    expect(states[i]?.members).toBeLessThanOrEqual(most);
  }
  // Law 13: and then nothing is sent.
  const requests = () => lived.at(2).map((platform) => platform.requests().length);
  const before = requests();
  await lived.run(end + 1);
  expect(requests()).toEqual(before);
  await world.open(async ({ ports }) => {
    const asked = await erasures(ports);
    expect(asked.filter(({ status: of }) => of !== 'completed')).toEqual([]);
    const { signer } = ports;
    for (const { receipt } of asked)
      expect(signer && (await verifyReceipt(JSON.stringify(receipt, null, 2), signer))).toBe('sound');
    // Every run that failed on the way has its receipts too, as many as it reported.
    const verdict = await verifyReceipts(ports, { now: ports.clock.now() });
    expect([verdict.problems, verdict.unfinished]).toEqual([[], []]);
  });
}

/** Answers with the days lived through. */
async function livedThrough(one: History, platforms: readonly Platform[]): Promise<number> {
  const world = await makePair(platforms);
  try {
    await live(one, new Lived(world, platforms));
    return one.days.length;
  } finally {
    await world.close();
  }
}

/** Days of events after the first one, each run on a good day. */
const calm = (...days: readonly (readonly Event[])[]): History =>
  new History([[], ...days].map((events) => ({ events, trouble: 'none' as const, where: 0, last: 1 })));

const WORTH_A_NAME: readonly (readonly [string, History])[] = [
  [
    'who kept an address of somebody erased keeps it under the id they are merged into',
    calm(
      [{ what: 'forget', who: 0, byMail: false, dies: 0, refused: false }],
      [
        { what: 'row', who: 6, there: true },
        { what: 'merge', who: 1, to: 6 },
      ],
    ),
  ],
  [
    'a phone that somebody erased was once sent with brings nobody back, wherever it was sent and whatever the tables knew of it',
    calm(
      [{ what: 'loses', who: 2, identifier: 'phone:+4915123456702' }],
      [{ what: 'forget', who: 2, byMail: false, dies: 0, refused: false }],
      [
        { what: 'gets', who: 5, identifier: 'phone:+4915123456702' },
        { what: 'gets', who: 6, identifier: 'phone:+4915123456702' },
      ],
    ),
  ],
];

describe('laws 3, 6, 8, 13 and 14 while people consent, withdraw, move, merge, split, leave, are erased and come back, and runs fail or die', () => {
  // Each history is a world of its own with a real store, DuckDB and the strict stand-ins; more of them by SLUICE_HISTORIES.
  const asked = Number(process.env.SLUICE_HISTORIES ?? 4);
  afterAll(() => {
    if (process.env.SLUICE_HISTORIES !== undefined) process.stdout.write(`${JSON.stringify(tried)}\n`);
  });

  it.each(WORTH_A_NAME)('%s', { timeout: 120_000 }, async (_name, one) => {
    await expect(livedThrough(one, [META, BRAZE])).resolves.toBe(one.days.length);
  });

  it.each([
    { platforms: [META, BRAZE], share: 1 },
    { platforms: [GOOGLE, HUBSPOT], share: 0.5 },
  ])(
    '$platforms.0.name and $platforms.1.name end with exactly the entitled, each once, and with nothing of anybody else',
    { timeout: 120_000 + asked * 60_000 },
    async ({ platforms, share }) => {
      await fc.assert(
        fc.asyncProperty(history, async (one) => {
          expect(await livedThrough(one, platforms)).toBe(one.days.length);
        }),
        {
          numRuns: Math.max(1, Math.round(asked * share)),
          endOnFailure: process.env.CI !== undefined,
          ...(process.env.SLUICE_SEED !== undefined && { seed: Number(process.env.SLUICE_SEED) }),
        },
      );
    },
  );
});
