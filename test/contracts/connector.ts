// oxlint-disable vitest/valid-title, vitest/expect-expect, vitest/no-disabled-tests, vitest/no-conditional-tests -- a suite: titles are RULES, skips are exceptions that say why
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createHttp, type ClosableHttp } from '../../connectors/http.ts';
import {
  type Connector,
  type Context,
  DestinationBroken,
  type ListSpec,
  type Member,
  type Op,
  type Outcome,
  type RemoteList,
  RowsRefused,
  TryAgain,
} from '../../core/connector.ts';
import { ENTRY_SEPARATOR, prepareIdentifiers, sha256Hex } from '../../core/identifiers.ts';
import type { Fault } from '../../sandbox/faults.ts';
import { type SandboxPlatform, startSandbox } from '../../sandbox/server.ts';
import type { StandIn } from '../../sandbox/stand-in.ts';

/**
 * The promises of plug point 1, kept by every connector against its stand-in over real sockets. A connector that cannot keep one says
 * which and why; the title of the skipped test prints it.
 */
export const RULES = [
  'says where its limits come from, and the day it was read',
  'refuses an unknown setting',
  'refuses a secret without its keys',
  'makes the list once, however often it is asked',
  'finds the list again by what it answered before',
  'answers once for every member, in order',
  'an upsert adds the member, and sending it again changes nothing',
  'a request delivered twice changes nothing',
  'a remove takes out the member and nobody else',
  'a remove needs only the identifiers as sent',
  'a changed member is held once, as it is now',
  'members that are not there can be removed',
  'keeps an id beyond 2^53 exact',
  'takes characters of four bytes',
  'a member without a usable identifier is not prepared',
  'a member without identifiers is rejected and costs no request',
  'takes as many rows a request as its limits say, and the platform no more',
  'a poison row is rejected alone',
  'every row is answered while the platform refuses some',
  'wrong credentials break the destination, with a way out',
  'expired credentials break the destination, with a way out',
  'a missing scope breaks the destination, with a way out',
  'a deleted list breaks the destination, with a way out',
  'terms not accepted break the destination, with a way out',
  'quota spent until tomorrow is tried again later, or breaks the destination',
  'a 429 is tried again, and says when',
  'a 500 is tried again',
  'a 503 is tried again',
  'an HTML page for an answer is tried again',
  'a 200 that means failure is never taken for a success',
  'half an answer is tried again',
  'no answer in time is tried again',
  'a refused connection is tried again',
  'a slow answer is waited for',
  'erases a person from the whole account, and nobody else',
  'erasing again, or somebody who is not there, changes nothing',
  'says how many the list holds',
  'no error and no reason holds personal data or the secret',
] as const;

export type Rule = (typeof RULES)[number];

export interface Exception {
  readonly rule: Rule;
  readonly because: string;
}

/** For a platform without such a call. */
export const noErasure = (because: string): readonly Exception[] => [
  { rule: 'erases a person from the whole account, and nobody else', because },
  { rule: 'erasing again, or somebody who is not there, changes nothing', because },
];

export interface ConnectorCase {
  // oxlint-disable-next-line typescript/no-explicit-any -- every connector has settings and a secret of its own
  readonly connector: Connector<any, any>;
  /** Over HTTP, or what is reached otherwise (a folder). */
  readonly standIn: StandIn | (() => Promise<PlatformUnderTest>);
  readonly settings: Readonly<Record<string, unknown>>;
  /** The stand-in's own unless said. */
  readonly secret?: Readonly<Record<string, string>>;
  /** Well formed, and refused by the platform; left out where there is no secret. */
  readonly wrongSecret?: Readonly<Record<string, string>>;
  /** Namespaces to send; the connector's default unless said. */
  readonly identifiers?: readonly string[];
  readonly traits?: Member['traits'];
  /** A member the platform refuses, made past the normaliser: a value over the field limit. */
  readonly poison: (person: Member) => Member;
  /** What the stand-in holds of a member, when it is not the external id (or, for `membership: 'identifier'`, its strong identifiers). */
  readonly entries?: (member: Member) => readonly string[];
  readonly exceptions?: readonly Exception[];
}

/** What the suite needs of a platform. */
export type PlatformUnderTest = Pick<SandboxPlatform, 'endpoint' | 'held' | 'requests' | 'reset' | 'faults'> & {
  close(): Promise<void>;
};

/** For the one answer that never comes; everything else may take as long as a busy machine needs. */
const IMPATIENT_MS = 700;

async function openPlatform(standIn: ConnectorCase['standIn']): Promise<PlatformUnderTest> {
  if (typeof standIn === 'function') return standIn();
  const sandbox = await startSandbox([standIn], { windows: { [standIn.name]: [{ requests: 100_000, seconds: 1 }] } });
  const platform = sandbox.platform(standIn.name);
  return {
    endpoint: platform.endpoint,
    held: () => platform.held(),
    requests: () => platform.requests(),
    reset: () => platform.reset(),
    faults: (...faults) => platform.faults(...faults),
    close: () => sandbox.close(),
  };
}

export function connectorContract(given: ConnectorCase): void {
  const { connector, standIn } = given;
  const secret = given.secret ?? (typeof standIn === 'function' ? {} : standIn.secret);
  const wrongSecret = given.wrongSecret ?? {};
  const namespaces = pick(connector, given.identifiers ?? connector.defaultIdentifiers);
  const spec: ListSpec = {
    audience: 'lapsed-vips',
    description: 'VIPs with no order in the last 90 days',
    mode: 'mirror',
    destination: `${connector.name}-eu`,
    run: '01JD0000000000000000000000',
    tick: Date.now(),
    identifiers: Object.keys(namespaces),
    traits: Object.keys(given.traits ?? {}),
  };
  const seen: unknown[] = [];

  let platform: PlatformUnderTest;
  let http: ClosableHttp;
  let batches = 0;
  let sequence = 0;

  // oxlint-disable-next-line typescript/no-explicit-any -- as above
  const context = (other: Partial<Context<any, any>> = {}): Context<any, any> => ({
    settings: connector.settings.parse(given.settings),
    secret,
    endpoint: platform.endpoint,
    http,
    now: Date.now,
    ...other,
  });

  /** One batch through `send` and `poll`, as it is. */
  const once = async (list: RemoteList, op: Op, members: readonly Member[], using = context()): Promise<readonly Outcome[]> => {
    batches += 1;
    sequence += 1;
    const items = members.map((member) => ({ member, ...connector.encode(using, list, op, member) }));
    const batch = { op, items, id: sha256Hex(`batch ${batches}`).slice(0, 32), sequence };
    let answer = await connector.send(using, list, batch);
    for (let polls = 0; 'kind' in answer; polls += 1) {
      expect(polls, 'a job ends').toBeLessThan(500);
      await sleep(10);
      const polled = await connector.poll?.(using, list, answer, batch);
      if (polled === undefined) throw new Error('a connector whose send answers with a job can poll');
      answer = polled;
    }
    for (const outcome of answer) seen.push(outcome);
    return answer;
  };

  /** As the engine delivers: refused rows are dropped, an unexplained refusal is halved. */
  const deliver = async (list: RemoteList, op: Op, members: readonly Member[]): Promise<readonly Outcome[]> => {
    if (members.length === 0) return [];
    try {
      return await once(list, op, members);
    } catch (error) {
      if (!(error instanceof RowsRefused)) throw error;
      seen.push(error);
      if (error.rows.length > 0) {
        const refused = new Map(error.rows.map((row) => [row.index, row.reason]));
        const rest = await deliver(
          list,
          op,
          members.filter((_, index) => !refused.has(index)),
        );
        let next = 0;
        return members.map((_, index): Outcome => {
          const reason = refused.get(index);
          return reason === undefined ? (rest[next++] as Outcome) : { kind: 'rejected', reason };
        });
      }
      if (members.length === 1) return [{ kind: 'rejected', reason: error.reason }];
      const half = Math.ceil(members.length / 2);
      return [...(await deliver(list, op, members.slice(0, half))), ...(await deliver(list, op, members.slice(half)))];
    }
  };

  const ensure = (using = context()): Promise<RemoteList> => connector.ensure(using, spec);
  const person = (n: number, over: Partial<Record<string, string>> = {}): Member => {
    const identifiers = prepareIdentifiers(namespaces, entriesOf(n, over), 'US');
    const consent = { purpose: 'ads_personalisation', basis: 'opt-in', jurisdiction: 'DE' } as const;
    return { key: sha256Hex(`member ${n}`).slice(0, 32), identifiers, traits: given.traits ?? {}, consent };
  };
  const people = (count: number, from = 1): Member[] => Array.from({ length: count }, (_, index) => person(from + index));
  const entries = (members: readonly Member[]): string[] =>
    [...new Set(members.flatMap((one) => entriesOfMember(given, one)))].sort();
  /** Everything the platform holds of the lists, sorted. */
  const held = (): string[] => [...platform.held().values()].flatMap((one) => [...one]).sort();
  const failure = async (run: () => Promise<unknown>): Promise<unknown> => {
    try {
      await run();
    } catch (error) {
      seen.push(error);
      return error;
    }
    return undefined;
  };
  /** What `send` throws while the faults strike. */
  const struck = async (...faults: readonly Fault[]): Promise<unknown> => {
    const list = await ensure();
    platform.faults(...faults);
    return failure(() => once(list, 'upsert', people(2)));
  };
  /** A token that was refused once may be renewed once: the engine tries again, and then it must be over. */
  const broken = async (...faults: readonly Fault[]): Promise<unknown> => {
    let error: unknown;
    for (let tries = 0; tries < 3; tries += 1) {
      error = await struck(...faults);
      if (!(error instanceof TryAgain)) break;
      platform.faults();
    }
    return error;
  };
  const expectBroken = (error: unknown): void => {
    expect(error).toBeInstanceOf(DestinationBroken);
    expect((error as DestinationBroken).wayOut).toMatch(/^[A-Z`].{15,}\.$/s);
  };

  /** The platform may have done the work: the ledger must not claim otherwise. */
  const expectAmbiguous = (error: unknown): void => {
    expect(error).toBeInstanceOf(TryAgain);
    expect((error as TryAgain).ambiguous).toBe(true);
  };

  const erase = async (members: readonly Member[]): Promise<readonly Outcome[]> => {
    if (connector.erase === undefined) throw new Error('there is no erase: an exception says why');
    return connector.erase(context(), members);
  };

  const exceptions = new Map((given.exceptions ?? []).map((one) => [one.rule, one.because]));
  const promise = (rule: Rule, keep: () => Promise<void> | void): void => {
    const because = exceptions.get(rule);
    if (because === undefined) test(rule, keep);
    else test.skip(`EXCEPTION ${rule} — because ${because}`, keep);
  };

  describe(`connector ${connector.name}`, () => {
    beforeAll(async () => {
      platform = await openPlatform(standIn);
      http = createHttp({ endpoint: platform.endpoint, timeoutMs: 20_000 });
    });
    beforeEach(() => platform.reset());
    afterAll(async () => {
      await http.close();
      await platform.close();
      // Titles of skipped tests are not always shown; what a platform cannot do always is.
      for (const [because, some] of Map.groupBy(given.exceptions ?? [], (one) => one.because)) {
        console.info(
          `${connector.name} makes exceptions, because ${because}:\n${some.map(({ rule }) => `  ${rule}`).join('\n')}`,
        );
      }
    });

    promise('says where its limits come from, and the day it was read', () => {
      expect(connector.limits.source).toMatch(/20\d\d-\d\d-\d\d/);
      expect(connector.limits.windows.length).toBeGreaterThan(0);
      expect(connector.limits.overhead).toBeLessThan(connector.limits.bytes);
    });
    promise('refuses an unknown setting', () => {
      expect(connector.settings.safeParse(given.settings).success).toBe(true);
      expect(connector.settings.safeParse({ ...given.settings, no_such_setting: 1 }).success).toBe(false);
    });
    promise('refuses a secret without its keys', () => {
      expect(connector.secret?.safeParse(secret).success).toBe(true);
      expect(connector.secret?.safeParse({}).success).toBe(false);
    });
    promise('makes the list once, however often it is asked', async () => {
      const first = await ensure();
      expect(await ensure()).toEqual(first);
      await deliver(first, 'upsert', people(1));
      expect(platform.held().size).toBe(1);
    });
    promise('finds the list again by what it answered before', async () => {
      const known = await ensure();
      const again = await connector.ensure(context(), { ...spec, description: 'Another text', known });
      expect(again.id).toBe(known.id);
      expect(JSON.parse(JSON.stringify(known))).toEqual(known);
    });
    promise('answers once for every member, in order', async () => {
      const list = await ensure();
      const outcomes = await deliver(list, 'upsert', people(7));
      expect(outcomes).toHaveLength(7);
      for (const outcome of outcomes) expect(['delivered', 'accepted']).toContain(outcome.kind);
    });
    promise('an upsert adds the member, and sending it again changes nothing', async () => {
      const list = await ensure();
      await deliver(list, 'upsert', people(5));
      expect(held()).toEqual(entries(people(5)));
      await deliver(list, 'upsert', people(5));
      expect(held()).toEqual(entries(people(5)));
    });
    promise('a request delivered twice changes nothing', async () => {
      const list = await ensure();
      platform.faults({ kind: 'duplicate' });
      await deliver(list, 'upsert', people(5));
      await deliver(list, 'remove', people(2));
      expect(held()).toEqual(entries(people(3, 3)));
    });
    promise('a remove takes out the member and nobody else', async () => {
      const list = await ensure();
      await deliver(list, 'upsert', people(5));
      const outcomes = await deliver(list, 'remove', people(2, 2));
      expect(outcomes).toHaveLength(2);
      expect(held()).toEqual(entries([person(1), person(4), person(5)]));
    });
    promise('a remove needs only the identifiers as sent', async () => {
      const list = await ensure();
      await deliver(list, 'upsert', people(2));
      await deliver(list, 'remove', [{ ...person(1), traits: {}, consent: null }]);
      expect(held()).toEqual(entries([person(2)]));
    });
    promise('a changed member is held once, as it is now', async () => {
      const list = await ensure();
      const now = person(1, { email: 'canary.new@example.com' });
      const gone = person(1).identifiers.filter((old) => !now.identifiers.some((one) => one.value === old.value));
      await deliver(list, 'upsert', people(2));
      if (connector.membership === 'identifier')
        await deliver(list, 'remove', [{ ...person(1), identifiers: gone, consent: null }]);
      await deliver(list, 'upsert', [now]);
      expect(held()).toEqual(entries([now, person(2)]));
    });
    promise('members that are not there can be removed', async () => {
      const list = await ensure();
      const outcomes = await deliver(list, 'remove', people(3));
      for (const outcome of outcomes) expect(['delivered', 'accepted']).toContain(outcome.kind);
      expect(held()).toEqual([]);
    });
    promise('keeps an id beyond 2^53 exact', async () => {
      const list = await ensure();
      const big = person(1, { external_id: '9007199254740993' });
      const next = person(2, { external_id: '9007199254740992' });
      await deliver(list, 'upsert', [big, next]);
      await deliver(list, 'remove', [next]);
      expect(held()).toEqual(entries([big]));
    });
    promise('takes characters of four bytes', async () => {
      const list = await ensure();
      const member = person(1, { external_id: 'canary-𐍈-😀', email: 'canary.𐍈@example.com' });
      expect(await deliver(list, 'upsert', [member, person(2)])).toHaveLength(2);
      expect(held()).toEqual(entries([member, person(2)]));
    });
    promise('a member without a usable identifier is not prepared', () => {
      const bad = ['email', 'phone', 'maid', 'external_id'].map((name) => `${name}${ENTRY_SEPARATOR}\u0000`);
      expect(prepareIdentifiers(connector.namespaces, bad, null)).toEqual([]);
    });
    promise('a member without identifiers is rejected and costs no request', async () => {
      const list = await ensure();
      const before = platform.requests().length;
      const [outcome] = await once(list, 'upsert', [{ ...person(1), identifiers: [] }]);
      expect(outcome?.kind).toBe('rejected');
      expect(platform.requests().length).toBe(before);
    });
    promise('takes as many rows a request as its limits say, and the platform no more', async () => {
      const list = await ensure();
      const rowsEach = connector.encode(context(), list, 'upsert', person(1)).rows;
      const most = Math.floor(connector.limits.rows / rowsEach);
      const outcomes = await once(list, 'upsert', people(most));
      expect(outcomes).toHaveLength(most);
      expect(held()).toEqual(entries(people(most)));
      platform.reset();
      const again = await ensure();
      expect(await failure(() => once(again, 'upsert', people(most + 1)))).toBeInstanceOf(Error);
      expect(held()).toEqual([]);
    });
    promise('a poison row is rejected alone', async () => {
      const list = await ensure();
      const members = people(5);
      const outcomes = await deliver(list, 'upsert', members.with(2, given.poison(person(3))));
      expect(outcomes.map((outcome) => outcome.kind === 'rejected')).toEqual([false, false, true, false, false]);
      expect(held()).toEqual(entries([person(1), person(2), person(4), person(5)]));
    });
    promise('every row is answered while the platform refuses some', async () => {
      const list = await ensure();
      platform.faults({ kind: 'refuse-rows', rows: 3, times: 1 });
      const outcomes = await deliver(list, 'upsert', people(7));
      expect(outcomes).toHaveLength(7);
      expect(outcomes.map((one) => one.kind === 'delivered' || one.kind === 'accepted')).toEqual([
        true,
        true,
        false,
        true,
        true,
        false,
        true,
      ]);
      expect(held()).toEqual(entries([1, 2, 4, 5, 7].map((n) => person(n))));
    });

    promise('wrong credentials break the destination, with a way out', async () => {
      const wrong = context({ secret: wrongSecret });
      expectBroken(await failure(async () => once(await ensure(wrong), 'upsert', people(1), wrong)));
    });
    promise('expired credentials break the destination, with a way out', async () => {
      expectBroken(await broken({ kind: 'unauthorised' }));
    });
    promise('a missing scope breaks the destination, with a way out', async () => {
      expectBroken(await struck({ kind: 'forbidden' }));
    });
    promise('a deleted list breaks the destination, with a way out', async () => {
      expectBroken(await struck({ kind: 'list-deleted' }));
    });
    promise('terms not accepted break the destination, with a way out', async () => {
      expectBroken(await struck({ kind: 'terms' }));
    });
    promise('quota spent until tomorrow is tried again later, or breaks the destination', async () => {
      const error = await struck({ kind: 'quota' });
      if (error instanceof TryAgain) expect(error.afterMs).toBeGreaterThanOrEqual(60_000);
      else expectBroken(error);
    });
    promise('a 429 is tried again, and says when', async () => {
      const error = await struck({ kind: 'throttle', ms: 5000 });
      expect(error).toBeInstanceOf(TryAgain);
      expect((error as TryAgain).throttled).toBe(true);
      expect((error as TryAgain).ambiguous).toBe(false);
      expect((error as TryAgain).afterMs).toBeGreaterThanOrEqual(4000);
    });
    promise('a 500 is tried again', async () => {
      expectAmbiguous(await struck({ kind: 'error' }));
    });
    promise('a 503 is tried again', async () => {
      expectAmbiguous(await struck({ kind: 'error', status: 503 }));
    });
    promise('an HTML page for an answer is tried again', async () => {
      expect(await struck({ kind: 'html' })).toBeInstanceOf(TryAgain);
    });
    promise('a 200 that means failure is never taken for a success', async () => {
      const list = await ensure();
      await deliver(list, 'upsert', people(1, 3));
      platform.faults({ kind: 'false-success' });
      const calls: Record<string, () => Promise<readonly Outcome[]>> = {
        upsert: () => once(list, 'upsert', people(2)),
        remove: () => once(list, 'remove', people(1, 3)),
        ...(connector.erase !== undefined && { erase: () => erase(people(1, 3)) }),
      };
      for (const [name, call] of Object.entries(calls)) {
        let outcomes: readonly Outcome[] = [];
        const error = await failure(async () => {
          outcomes = await call();
        });
        const known = [TryAgain, RowsRefused, DestinationBroken].some((kind) => error instanceof kind);
        const refused = outcomes.length > 0 && outcomes.every(({ kind }) => kind === 'retry' || kind === 'rejected');
        expect([name, known || refused]).toEqual([name, true]);
      }
      expect(held()).toEqual(entries([person(3)]));
    });
    promise('half an answer is tried again', async () => {
      expectAmbiguous(await struck({ kind: 'cut' }));
    });
    promise('no answer in time is tried again', async () => {
      const list = await ensure();
      const impatient = createHttp({ endpoint: platform.endpoint, timeoutMs: IMPATIENT_MS });
      platform.faults({ kind: 'hang' });
      expectAmbiguous(await failure(() => once(list, 'upsert', people(2), context({ http: impatient }))));
      await impatient.close();
    });
    promise('a refused connection is tried again', async () => {
      const list = await ensure();
      const nobody = context({ endpoint: platform.endpoint.replace(/:\d+/, ':9') });
      const error = await failure(() => once(list, 'upsert', people(1), nobody));
      expect(error).toBeInstanceOf(TryAgain);
      expect((error as TryAgain).ambiguous).toBe(false);
    });
    promise('a slow answer is waited for', async () => {
      const list = await ensure();
      platform.faults({ kind: 'slow', ms: 200, times: 1 });
      expect(await deliver(list, 'upsert', people(2))).toHaveLength(2);
      expect(held()).toEqual(entries(people(2)));
    });
    promise('erases a person from the whole account, and nobody else', async () => {
      const lists = [await ensure(), await connector.ensure(context(), { ...spec, audience: 'newsletter' })];
      for (const list of lists) await deliver(list, 'upsert', people(3));
      const outcomes = await erase([person(2)]);
      expect(outcomes).toHaveLength(1);
      for (const [name, some] of platform.held())
        expect([name, [...some].sort()]).toEqual([name, entries([person(1), person(3)])]);
      // What an audience takes back of somebody later must not bring them back.
      await deliver(lists[0] as RemoteList, 'remove', [person(2)]);
      expect([...(platform.held().values().next().value ?? [])].sort()).toEqual(entries([person(1), person(3)]));
    });
    promise('erasing again, or somebody who is not there, changes nothing', async () => {
      const list = await ensure();
      await deliver(list, 'upsert', people(2));
      for (let times = 0; times < 2; times += 1) {
        for (const { kind } of await erase([person(2), person(9)])) expect(['delivered', 'accepted']).toContain(kind);
        expect(held()).toEqual(entries([person(1)]));
      }
      expect(await erase([{ ...person(1), identifiers: [] }])).toMatchObject([{ kind: 'rejected' }]);
      expect(held()).toEqual(entries([person(1)]));
    });
    promise('says how many the list holds', async () => {
      const list = await ensure();
      // Platforms do not speak of small lists.
      await deliver(list, 'upsert', people(Math.min(1000, connector.limits.rows)));
      expect(await connector.size?.(context(), list)).toBeGreaterThan(0);
    });
    // The last one: it looks at everything thrown and answered above.
    promise('no error and no reason holds personal data or the secret', () => {
      expect(seen.some((one) => one instanceof Error)).toBe(true);
      const text = seen.map((one) => inspect(one, { depth: 20, maxStringLength: null })).join('\n');
      for (const n of [1, 2, 3, 4, 5]) {
        for (const { value } of person(n).identifiers) expect(text).not.toContain(value);
      }
      expect(text).not.toMatch(/canary/i);
      for (const value of [...Object.values(secret), ...Object.values(wrongSecret)]) expect(text).not.toContain(value);
    });
  });
}

// oxlint-disable-next-line typescript/no-explicit-any -- as in ConnectorCase
function pick(connector: Connector<any, any>, names: readonly string[]): Connector['namespaces'] {
  const wanted = connector.membership === 'member' ? ['external_id', ...names] : names;
  return Object.fromEntries(Object.entries(connector.namespaces).filter(([name]) => wanted.includes(name)));
}

/** Invented, recognisable in any text, and in ranges reserved for fiction. */
function entriesOf(n: number, over: Partial<Record<string, string>>): string[] {
  const values: Record<string, string | undefined> = {
    external_id: `canary-customer-${n}`,
    email: `canary.${n}@example.com`,
    phone: `+1${201 + (Math.floor(n / 100) % 8)}55501${String(n % 100).padStart(2, '0')}`,
    maid: `c0ffee00-0000-4000-8000-${String(n).padStart(12, '0')}`,
    ...over,
  };
  return Object.entries(values).map(([name, value]) => `${name}${ENTRY_SEPARATOR}${value ?? ''}`);
}

function entriesOfMember(given: ConnectorCase, member: Member): readonly string[] {
  if (given.entries !== undefined) return given.entries(member);
  const { membership, namespaces } = given.connector;
  return member.identifiers
    .filter((one) => (membership === 'member' ? one.namespace === 'external_id' : namespaces[one.namespace]?.weak !== true))
    .map((one) => (membership === 'member' ? one.value : `${one.namespace}:${one.value}`));
}
