import { afterEach, describe, expect, it } from 'vitest';
import { type Clock, type Pointer, PointerConflict, type StopEntry, type Store } from '../../core/ports.ts';
import { BadKey, FileExists, MissingFile } from '../../core/store-errors.ts';

/** A clock that stands still until it is moved. */
export interface TestClock extends Clock {
  readonly move: (ms: number) => void;
}

export function testClock(start = Date.UTC(2026, 10, 23, 6)): TestClock {
  let now = start;
  return {
    now: () => now,
    async sleep(ms) {
      now += ms;
    },
    random: () => 0.5,
    move(ms) {
      now += ms;
    },
  };
}

export interface StoreUnderTest {
  /** A new, empty store. */
  readonly open: (clock: Clock) => Promise<Store>;
  /** Another view of the store opened last, as a second process would have it. */
  readonly openAgain: (clock: Clock) => Promise<Store>;
}

const SYNC = 'lapsed-vips/meta-eu';
const MINUTE = 60_000;

export function pointerOf(store: Store, version: number, fence = 1): Pointer {
  const generation = `01JDAAAAAAAAAAAAAAAAAAAA${String(version).padStart(2, '0')}`;
  const file = (name: string): Pointer['members'] => ({
    files: {
      format: 'parquet',
      locations: [store.files.location(`ledger/${SYNC}/${generation}/${name}.parquet`)],
      rows: version,
      bytes: 26,
    },
    checksums: [{ sha256: 'a'.repeat(64), bytes: 26 }],
  });
  return {
    generation,
    version,
    fence,
    members: file('members'),
    rejections: file('rejections'),
    list: { id: 'list-1' },
    at: 1_000 + version,
  };
}

const collect = async (lines: AsyncIterable<string>): Promise<string[]> => {
  const all: string[] = [];
  for await (const line of lines) all.push(line);
  return all;
};

/** What every store promises, whatever it keeps its state in (plug point 3). */
export function storeContract(name: string, { open, openAgain }: StoreUnderTest): void {
  describe(`${name} as a store`, () => {
    const opened: Store[] = [];
    const clock = testClock();
    const begin = async (): Promise<Store> => {
      const store = await open(clock);
      opened.push(store);
      return store;
    };
    const again = async (): Promise<Store> => {
      const store = await openAgain(clock);
      opened.push(store);
      return store;
    };
    afterEach(async () => {
      for (const store of opened.splice(0)) await store.close();
    });

    describe('files', () => {
      for (const key of ['runs/01/delta.jsonl', 'runs/01/delta.jsonl.gz']) {
        it(`gives back the lines of ${key} as they were written, also from the middle, and says what it stored`, async () => {
          const { files } = await begin();
          const lines = [
            '',
            '{"a":1}',
            'ünïcödé 𝄞 \u2028 \r',
            'x'.repeat(700_000),
            ...Array.from({ length: 20_000 }, (_, i) => `line ${i}`),
          ];
          const written = await files.write(key, lines);
          expect(written).toMatchObject({ key, location: files.location(key), lines: lines.length });
          expect((await files.checksum(written.location)).bytes).toBe(written.bytes);
          expect(await collect(files.lines(key))).toEqual(lines);
          expect(await collect(files.lines(key, 3))).toEqual(lines.slice(3));
          expect(await collect(files.lines(key, 15_000))).toEqual(lines.slice(15_000));
          expect(await collect(files.lines(key, lines.length))).toEqual([]);
        });

        it(`writes ${key} once: the same lines again are fine, other lines are refused and change nothing`, async () => {
          const { files } = await begin();
          const first = await files.write(key, ['one', 'two']);
          async function* same(): AsyncGenerator<string> {
            yield 'one';
            yield 'two';
          }
          expect(await files.write(key, same())).toEqual(first);
          await expect(files.write(key, ['one', 'three'])).rejects.toThrow(FileExists);
          await expect(files.write(key, [])).rejects.toThrow(FileExists);
          expect(await collect(files.lines(key))).toEqual(['one', 'two']);
          expect(await files.list('')).toEqual([key]);
        });

        it(`leaves nothing behind when the source of ${key} fails in the middle`, async () => {
          const { files } = await begin();
          function* failing(): Generator<string> {
            for (let i = 0; i < 100_000; i++) yield `line ${i}`;
            throw new RangeError('the source broke');
          }
          await expect(files.write(key, failing())).rejects.toThrow(new RangeError('the source broke'));
          expect(await files.exists(key)).toBe(false);
          expect(await files.list('')).toEqual([]);
          expect((await files.write(key, ['whole'])).lines).toBe(1);
        });
      }

      it('stops reading when the reader stops, and an empty file has no lines', async () => {
        const { files } = await begin();
        await files.write('a/empty.jsonl.gz', []);
        expect(await collect(files.lines('a/empty.jsonl.gz'))).toEqual([]);
        await files.write(
          'a/long.jsonl.gz',
          Array.from({ length: 50_000 }, (_, i) => `${i}`),
        );
        const first: string[] = [];
        for await (const line of files.lines('a/long.jsonl.gz')) {
          first.push(line);
          if (first.length === 3) break;
        }
        expect(first).toEqual(['0', '1', '2']);
      });

      it('appends to a log, in order, from several callers at once, visible to another process', async () => {
        const { files } = await begin();
        await Promise.all(Array.from({ length: 20 }, (_, i) => files.append('runs/01/log.jsonl', [`${i}a`, `${i}b`])));
        const lines = await collect((await again()).files.lines('runs/01/log.jsonl'));
        expect(lines).toEqual(Array.from({ length: 20 }, (_, i) => [`${i}a`, `${i}b`]).flat());
        await files.append('runs/01/other.jsonl', []);
        expect(await files.exists('runs/01/other.jsonl')).toBe(false);
      });

      it('refuses a line that holds the end of a line, because it would come back as two', async () => {
        const { files } = await begin();
        await expect(files.write('a/b.jsonl', ['one\ntwo'])).rejects.toThrow(TypeError);
        await expect(files.append('a/c.jsonl', ['one\ntwo'])).rejects.toThrow(TypeError);
        expect(await files.list('')).toEqual([]);
      });

      it('says MissingFile for a file that is not there, to readers and to checksums', async () => {
        const { files } = await begin();
        await expect(collect(files.lines('no/such.jsonl'))).rejects.toThrow(MissingFile);
        await expect(collect(files.lines('no/such.jsonl.gz'))).rejects.toThrow(MissingFile);
        await expect(files.checksum(files.location('no/such.parquet'))).rejects.toThrow(MissingFile);
        expect(await files.exists('no/such.jsonl')).toBe(false);
      });

      it('knows a sealed file again when it was put back, and says how one is other than it was', async () => {
        const { files } = await begin();
        const key = 'ledger/vips/meta/01/members.jsonl';
        const lines = Array.from({ length: 100 }, (_, i) => `member ${i}`);
        const { location, bytes } = await files.write(key, lines);
        const seal = await files.seal(location);
        expect(seal.bytes).toBe(bytes);
        const replaced = async (by: readonly string[]): Promise<string | undefined> => {
          await files.remove(key);
          await files.write(key, by);
          return (await again()).files.broken(location, JSON.parse(JSON.stringify(seal)) as typeof seal);
        };
        expect(await files.broken(location, seal)).toBeUndefined();
        expect(await replaced(lines)).toBeUndefined();
        expect(await replaced(lines.with(50, 'member 5O'))).toBe('was altered');
        expect(await replaced(lines.slice(1))).toBe(`has ${bytes - 9} bytes, ${bytes} were written`);
        // As generations were sealed before the store was asked.
        const older = await files.checksum(location);
        expect(await files.broken(location, older)).toBeUndefined();
        expect(await files.broken(location, { ...older, sha256: 'f'.repeat(64) })).toBe('was altered');
        await files.remove(key);
        await expect(files.seal(location)).rejects.toThrow(MissingFile);
        await expect(files.broken(location, seal)).rejects.toThrow(MissingFile);
      });

      it('lists by the beginning of a key, removes a whole folder or one file, and never a neighbour with a longer name', async () => {
        const { files } = await begin();
        for (const key of ['ledger/meta/a.jsonl', 'ledger/meta/b/c.jsonl', 'ledger/meta-eu/a.jsonl', 'runs/x.jsonl'])
          await files.write(key, [key]);
        expect(await files.list('ledger/meta')).toEqual([
          'ledger/meta-eu/a.jsonl',
          'ledger/meta/a.jsonl',
          'ledger/meta/b/c.jsonl',
        ]);
        expect(await files.list('ledger/meta/')).toEqual(['ledger/meta/a.jsonl', 'ledger/meta/b/c.jsonl']);
        expect(await files.list('nothing/')).toEqual([]);
        await files.remove('ledger/meta');
        expect(await files.list('')).toEqual(['ledger/meta-eu/a.jsonl', 'runs/x.jsonl']);
        await files.remove('runs/x.jsonl');
        await files.remove('runs/never-there');
        expect(await files.list('')).toEqual(['ledger/meta-eu/a.jsonl']);
      });

      it('finds the key of an address it gave', async () => {
        const { files } = await begin();
        expect(files.keyOf(files.location('runs/01/snapshot/part-0.parquet'))).toBe('runs/01/snapshot/part-0.parquet');
        expect(() => files.keyOf('/somewhere/else.parquet')).toThrow(BadKey);
      });

      it('are taken from another store byte for byte, once, and what is done to the original is not done to them', async () => {
        const { files, receipts } = await begin();
        const from = await files.write(
          'runs/01/rows.jsonl',
          Array.from({ length: 30_000 }, (_, i) => `line ${i}`),
        );
        const sum = await files.checksum(from.location);
        expect(await receipts.adopt('dt=2026-03-01/rows.jsonl', from.location)).toEqual(sum);
        expect(await receipts.adopt('dt=2026-03-01/rows.jsonl', from.location)).toEqual(sum);
        const other = await files.write('runs/01/other.jsonl', ['another']);
        await expect(receipts.adopt('dt=2026-03-01/rows.jsonl', other.location)).rejects.toThrow(FileExists);
        await expect(receipts.adopt('dt=2026-03-01/none', files.location('runs/01/none'))).rejects.toThrow(MissingFile);
        await files.remove('runs/01');
        expect(await receipts.checksum(receipts.location('dt=2026-03-01/rows.jsonl'))).toEqual(sum);
        expect(await receipts.list('')).toEqual(['dt=2026-03-01/rows.jsonl']);
      });

      it('of receipts have a root of their own, written once too', async () => {
        const { files, receipts } = await begin();
        await receipts.write('chain/vips/meta/00000001.json', ['one']);
        await receipts.write('chain/vips/meta/00000001.json', ['one']);
        await expect(receipts.write('chain/vips/meta/00000001.json', ['another'])).rejects.toThrow(FileExists);
        expect(await files.exists('chain/vips/meta/00000001.json')).toBe(false);
        const later = (await again()).receipts;
        expect(await later.list('')).toEqual(['chain/vips/meta/00000001.json']);
        expect(await collect(later.lines('chain/vips/meta/00000001.json'))).toEqual(['one']);
        expect(later.keyOf(later.location('dt=2026-03-01/a.parquet'))).toBe('dt=2026-03-01/a.parquet');
      });

      it.each(['', '/', '/etc/passwd', '../out.jsonl', 'runs/../../out.jsonl', 'runs/./a', 'runs//a', '..', 'a\\..\\b', 'a\0b'])(
        'refuses the key %j everywhere, so that no name leads out of the store',
        async (key) => {
          const { files } = await begin();
          expect(() => files.location(key)).toThrow(BadKey);
          await expect((async () => files.write(key, ['x']))()).rejects.toThrow(BadKey);
          await expect((async () => files.append(key, ['x']))()).rejects.toThrow(BadKey);
          await expect((async () => files.remove(key))()).rejects.toThrow(BadKey);
          await expect((async () => collect(files.lines(key)))()).rejects.toThrow(BadKey);
          await expect((async () => files.exists(key))()).rejects.toThrow(BadKey);
        },
      );
    });

    describe('pointers', () => {
      it('move from version to version, are seen by another process, and keep their history, newest first', async () => {
        const store = await begin();
        expect(await store.pointers.get(SYNC)).toBeNull();
        expect(await store.pointers.history(SYNC)).toEqual([]);
        const all = [1, 2, 3].map((version) => pointerOf(store, version));
        for (const [i, pointer] of all.entries()) await store.pointers.move(SYNC, i, pointer);
        const other = await again();
        expect(await other.pointers.get(SYNC)).toEqual(all[2]);
        expect(await other.pointers.history(SYNC)).toEqual(all.toReversed());
        expect(await other.pointers.get('lapsed-vips/braze-eu')).toBeNull();
      });

      it('law 7: refuses a move from a version that is no longer current, and writes nothing', async () => {
        const store = await begin();
        await store.pointers.move(SYNC, 0, pointerOf(store, 1));
        await expect(
          (await again()).pointers.move(SYNC, 0, { ...pointerOf(store, 1), generation: '01JDZZZZZZZZZZZZZZZZZZZZZZ' }),
        ).rejects.toThrow(PointerConflict);
        await expect(store.pointers.move(SYNC, 4, pointerOf(store, 5))).rejects.toThrow(PointerConflict);
        expect(await store.pointers.history(SYNC)).toEqual([pointerOf(store, 1)]);
      });

      it('law 7: refuses a late worker whose fence is older than the last commit', async () => {
        const store = await begin();
        await store.pointers.move(SYNC, 0, pointerOf(store, 1, 7));
        await expect(store.pointers.move(SYNC, 1, pointerOf(store, 2, 6))).rejects.toThrow(PointerConflict);
        await store.pointers.move(SYNC, 1, pointerOf(store, 2, 7));
        expect((await store.pointers.get(SYNC))?.version).toBe(2);
      });

      it('law 7: refuses a late worker as soon as somebody else holds the lease, before that one has committed', async () => {
        const store = await begin();
        const late = await store.leases.acquire(SYNC, 'late', MINUTE);
        clock.move(MINUTE + 1);
        const next = await store.leases.acquire(SYNC, 'next', MINUTE);
        if ('heldBy' in late || 'heldBy' in next) throw new Error('both should have got the lease');
        await expect(store.pointers.move(SYNC, 0, pointerOf(store, 1, late.fence))).rejects.toThrow(PointerConflict);
        await store.pointers.move(SYNC, 0, pointerOf(store, 1, next.fence));
        expect((await store.pointers.get(SYNC))?.fence).toBe(next.fence);
      });

      it('name every sync that ever had one', async () => {
        const store = await begin();
        expect(await store.pointers.syncs()).toEqual([]);
        await store.pointers.move(SYNC, 0, pointerOf(store, 1));
        await store.pointers.move(SYNC, 1, pointerOf(store, 2));
        await store.pointers.move('churned/braze-eu', 0, pointerOf(store, 1));
        expect(await (await again()).pointers.syncs()).toEqual(['churned/braze-eu', SYNC]);
      });

      it('are rewritten with other files for an erasure, current or not, and keep their place in the history', async () => {
        const store = await begin();
        const all = [1, 2, 3].map((version) => pointerOf(store, version));
        for (const [i, pointer] of all.entries()) await store.pointers.move(SYNC, i, pointer);
        const cleaned = all.map((pointer) => ({
          ...pointer,
          members: { files: { ...pointer.members.files, rows: 0 }, checksums: [{ sha256: 'b'.repeat(64), bytes: 1 }] },
        }));
        await store.pointers.rewrite(SYNC, cleaned[0]!);
        await store.pointers.rewrite(SYNC, cleaned[2]!);
        const other = await again();
        expect(await other.pointers.get(SYNC)).toEqual(cleaned[2]);
        expect(await other.pointers.history(SYNC)).toEqual([cleaned[2], all[1], cleaned[0]]);
        await other.pointers.move(SYNC, 3, pointerOf(store, 4));
        expect((await store.pointers.get(SYNC))?.version).toBe(4);
      });

      it('are not rewritten with another generation, list or fence, nor where there is no such version', async () => {
        const store = await begin();
        await store.pointers.move(SYNC, 0, pointerOf(store, 1));
        await expect(store.pointers.rewrite(SYNC, pointerOf(store, 2))).rejects.toThrow(PointerConflict);
        await expect(store.pointers.rewrite('no/such', pointerOf(store, 1))).rejects.toThrow(PointerConflict);
        await expect(store.pointers.rewrite(SYNC, { ...pointerOf(store, 1), at: 5 })).rejects.toThrow(RangeError);
        await expect(store.pointers.rewrite(SYNC, { ...pointerOf(store, 1), fence: 9 })).rejects.toThrow(RangeError);
        expect(await store.pointers.history(SYNC)).toEqual([pointerOf(store, 1)]);
      });

      it('forget versions that are no longer current, for every process, and never the current one', async () => {
        const store = await begin();
        const all = [1, 2, 3].map((version) => pointerOf(store, version));
        for (const [i, pointer] of all.entries()) await store.pointers.move(SYNC, i, pointer);
        await expect(store.pointers.forget(SYNC, [1, 3])).rejects.toThrow(RangeError);
        expect(await store.pointers.history(SYNC)).toEqual([all[2], all[1], all[0]]);
        await store.pointers.forget(SYNC, [1, 7]);
        await store.pointers.forget(SYNC, []);
        const other = await again();
        expect(await other.pointers.history(SYNC)).toEqual([all[2], all[1]]);
        expect(await other.pointers.get(SYNC)).toEqual(all[2]);
        await other.pointers.move(SYNC, 3, pointerOf(store, 4));
        expect((await store.pointers.get(SYNC))?.version).toBe(4);
      });

      it('lets one of many win a race for the same version', async () => {
        const stores = [await begin(), await again(), await again()];
        const moves = await Promise.allSettled(stores.map((store) => store.pointers.move(SYNC, 0, pointerOf(store, 1))));
        expect(moves.map((one) => one.status).toSorted()).toEqual(['fulfilled', 'rejected', 'rejected']);
      });
    });

    describe('leases', () => {
      it('law 7: one holder at a time; others are told who holds it and since when', async () => {
        const store = await begin();
        const since = clock.now();
        expect(await store.leases.acquire(SYNC, 'first', MINUTE)).toEqual({ sync: SYNC, holder: 'first', fence: 1 });
        clock.move(10);
        expect(await (await again()).leases.acquire(SYNC, 'second', MINUTE)).toEqual({ heldBy: 'first', since });
        expect(await store.leases.acquire('other/meta-eu', 'second', MINUTE)).toMatchObject({ holder: 'second' });
      });

      it('gives a holder its own lease again under the same fence, and a new holder a greater one', async () => {
        const store = await begin();
        const first = await store.leases.acquire(SYNC, 'first', MINUTE);
        expect(await store.leases.acquire(SYNC, 'first', MINUTE)).toEqual(first);
        if ('heldBy' in first) throw new Error('unreachable');
        await store.leases.release(first);
        expect(await store.leases.acquire(SYNC, 'second', MINUTE)).toEqual({
          sync: SYNC,
          holder: 'second',
          fence: first.fence + 1,
        });
      });

      it('ends by its time unless it is renewed, and a renewal that comes too late says so', async () => {
        const store = await begin();
        const first = await store.leases.acquire(SYNC, 'first', MINUTE);
        if ('heldBy' in first) throw new Error('unreachable');
        clock.move(MINUTE - 1);
        expect(await store.leases.renew(first, MINUTE)).toBe(true);
        clock.move(MINUTE - 1);
        expect(await store.leases.acquire(SYNC, 'second', MINUTE)).toMatchObject({ heldBy: 'first' });
        clock.move(2);
        expect(await store.leases.acquire(SYNC, 'second', MINUTE)).toMatchObject({ holder: 'second', fence: first.fence + 1 });
        expect(await store.leases.renew(first, MINUTE)).toBe(false);
        await store.leases.release(first);
        expect(await store.leases.acquire(SYNC, 'third', MINUTE)).toMatchObject({ heldBy: 'second' });
      });
    });

    describe('budgets', () => {
      const windows = [
        { requests: 5, seconds: 1 },
        { requests: 20, seconds: 60 },
      ];

      it('law 12: grants of several processes stand one after the other, and no window is exceeded', async () => {
        const stores = [await begin(), await again()];
        const start = clock.now();
        const times: number[] = [];
        while (times.length < 50) {
          const grant = await stores[times.length % 2]!.budgets.reserve('meta-eu', windows, 4);
          expect(grant.permits).toBeGreaterThan(0);
          for (let i = 0; i < grant.permits; i++) times.push(grant.startAt + i * grant.intervalMs);
        }
        expect(times[0]).toBe(start);
        expect(times).toEqual(times.toSorted((a, b) => a - b));
        for (const { requests, seconds } of windows) {
          for (let i = requests; i < times.length; i++)
            expect(times[i]! - times[i - requests]!).toBeGreaterThanOrEqual(seconds * 1_000);
        }
        expect((await stores[0]!.budgets.reserve('braze-eu', windows, 1)).startAt).toBe(start);
      });

      it('a pause holds for every process, and a shorter one does not end it', async () => {
        const store = await begin();
        const other = await again();
        expect(await other.budgets.pausedUntil('meta-eu')).toBe(0);
        const until = clock.now() + 30_000;
        await store.budgets.pause('meta-eu', until);
        await other.budgets.pause('meta-eu', until - 20_000);
        expect(await other.budgets.pausedUntil('meta-eu')).toBe(until);
        expect((await other.budgets.reserve('meta-eu', windows, 3)).startAt).toBe(until);
        expect((await other.budgets.reserve('braze-eu', windows, 3)).startAt).toBe(clock.now());
      });
    });

    describe('tokens', () => {
      const turnOf = (answer: Awaited<ReturnType<Store['tokens']['take']>>): number => {
        if (answer.kind !== 'make') throw new Error(`should have been told to make it, not ${answer.kind}`);
        return answer.turn;
      };

      it('are made by one: everybody else waits, and then all are given the same', async () => {
        const stores = [await begin(), await again(), await again()];
        const answers = await Promise.all(stores.map((store) => store.tokens.take('grant', MINUTE)));
        expect(answers.map(({ kind }) => kind).toSorted()).toEqual(['make', 'wait', 'wait']);
        const token = { sealed: 'c2VhbGVk', until: clock.now() + MINUTE };
        const maker = answers.findIndex(({ kind }) => kind === 'make');
        await stores[maker]!.tokens.put('grant', turnOf(answers[maker]!), token);
        for (const store of stores) expect(await store.tokens.take('grant', MINUTE)).toEqual({ kind: 'token', token });
        expect((await stores[0]!.tokens.take('another grant', MINUTE)).kind).toBe('make');
      });

      it('are not handed out from their end on; then one makes the next', async () => {
        const store = await begin();
        const token = { sealed: 'one', until: clock.now() + 1_000 };
        await store.tokens.put('grant', turnOf(await store.tokens.take('grant', MINUTE)), token);
        clock.move(999);
        expect((await store.tokens.take('grant', MINUTE)).kind).toBe('token');
        clock.move(1);
        expect((await store.tokens.take('grant', MINUTE)).kind).toBe('make');
        expect(await (await again()).tokens.take('grant', MINUTE)).toEqual({ kind: 'wait' });
      });

      it('that could not be made are the turn of the next; a maker that died loses its turn by time', async () => {
        const store = await begin();
        const failed = turnOf(await store.tokens.take('grant', MINUTE));
        await store.tokens.release('grant', failed);
        turnOf(await store.tokens.take('grant', MINUTE));
        clock.move(MINUTE - 1);
        expect(await store.tokens.take('grant', MINUTE)).toEqual({ kind: 'wait' });
        clock.move(1);
        expect((await store.tokens.take('grant', MINUTE)).kind).toBe('make');
      });

      it('that come after the turn is over change nothing', async () => {
        const store = await begin();
        const late = turnOf(await store.tokens.take('grant', MINUTE));
        clock.move(MINUTE);
        const next = turnOf(await store.tokens.take('grant', MINUTE));
        const until = clock.now() + MINUTE;
        await store.tokens.put('grant', late, { sealed: 'late', until });
        await store.tokens.release('grant', late);
        expect(await store.tokens.take('grant', MINUTE)).toEqual({ kind: 'wait' });
        await store.tokens.put('grant', next, { sealed: 'next', until });
        expect(await store.tokens.take('grant', MINUTE)).toEqual({ kind: 'token', token: { sealed: 'next', until } });
      });

      it('that were refused are dropped, and never one that has taken their place', async () => {
        const store = await begin();
        const until = clock.now() + MINUTE;
        await store.tokens.put('grant', turnOf(await store.tokens.take('grant', MINUTE)), { sealed: 'one', until });
        await store.tokens.drop('grant', 'one');
        await store.tokens.put('grant', turnOf(await store.tokens.take('grant', MINUTE)), { sealed: 'two', until });
        await store.tokens.drop('grant', 'one');
        await store.tokens.drop('no such grant', 'one');
        expect(await store.tokens.take('grant', MINUTE)).toEqual({ kind: 'token', token: { sealed: 'two', until } });
      });
    });

    describe('the stop list', () => {
      const entry = (
        member: string,
        purpose: string | null = 'ads',
        at = 1_000,
        why: StopEntry['why'] = 'no-consent',
      ): StopEntry => ({ member: member.repeat(32), purpose, why, at });

      it('law 8: tells every process what is new since it asked last, each entry once at least', async () => {
        const store = await begin();
        const other = await again();
        const nothing = await other.stops.since(null);
        expect(nothing.entries).toEqual([]);
        await store.stops.add([entry('a'), entry('b', null, 2_000, 'erased')]);
        const first = await other.stops.since(nothing.cursor);
        expect(first.entries).toEqual([entry('a'), entry('b', null, 2_000, 'erased')]);
        await store.stops.add([entry('c'), entry('a', 'mail')]);
        await store.stops.add([]);
        const second = await other.stops.since(first.cursor);
        expect(second.entries).toEqual(expect.arrayContaining([entry('c'), entry('a', 'mail')]));
        expect((await store.stops.since(null)).entries).toHaveLength(4);
        expect((await store.stops.since(second.cursor)).entries.filter((one) => one.member === 'x'.repeat(32))).toEqual([]);
      });

      it('keeps the earliest time of a member and purpose, and never takes an erasure for less', async () => {
        const store = await begin();
        await store.stops.add([entry('a', 'ads', 3_000), entry('a', 'ads', 2_000), entry('a', 'ads', 4_000)]);
        await store.stops.add([entry('b', null, 1_000, 'erased'), entry('b', null, 900)]);
        await store.stops.add([entry('c', null, 1_000), entry('c', null, 2_000, 'erased')]);
        const { entries } = await (await again()).stops.since(null);
        expect(entries.toSorted((a, b) => (a.member < b.member ? -1 : 1))).toEqual([
          entry('a', 'ads', 2_000),
          entry('b', null, 900, 'erased'),
          entry('c', null, 1_000, 'erased'),
        ]);
      });

      it('tells an entry again when it changed, so that an erasure reaches who knew of a withdrawal', async () => {
        const store = await begin();
        await store.stops.add([entry('a', null)]);
        const { cursor } = await store.stops.since(null);
        await store.stops.add([entry('a', null, 5_000, 'erased')]);
        expect((await store.stops.since(cursor)).entries).toEqual([entry('a', null, 1_000, 'erased')]);
      });

      it('lifts what is no longer needed, never an erasure, and what comes back is new', async () => {
        const store = await begin();
        await store.stops.add([entry('a'), entry('b', null, 1_000, 'erased'), entry('c')]);
        const { cursor } = await store.stops.since(null);
        await store.stops.lift([entry('a'), entry('b', null), entry('d')]);
        expect((await store.stops.since(null)).entries).toEqual(
          expect.arrayContaining([entry('b', null, 1_000, 'erased'), entry('c')]),
        );
        expect((await store.stops.since(null)).entries).toHaveLength(2);
        await store.stops.add([entry('a', 'ads', 9_000)]);
        expect((await (await again()).stops.since(cursor)).entries).toEqual(expect.arrayContaining([entry('a', 'ads', 9_000)]));
      });
    });

    describe('documents', () => {
      it('keep the last version of each, by kind and id, newest id first', async () => {
        const store = await begin();
        expect(await store.documents.get('run', '01A')).toBeNull();
        await store.documents.put('run', '01A', { state: 'planned' });
        await store.documents.put('run', '01C', { state: 'held', why: 'ü' });
        await store.documents.put('run', '01B', { state: 'done' });
        await store.documents.put('run', '01A', { state: 'done', n: [1, null] });
        await store.documents.put('plan', '01Z', 'other kind');
        const other = await again();
        expect(await other.documents.get('run', '01A')).toEqual({ state: 'done', n: [1, null] });
        expect(await other.documents.get('plan', '01A')).toBeNull();
        expect(await other.documents.list('run')).toEqual([
          { id: '01C', document: { state: 'held', why: 'ü' } },
          { id: '01B', document: { state: 'done' } },
          { id: '01A', document: { state: 'done', n: [1, null] } },
        ]);
        expect((await other.documents.list('run', { limit: 2 })).map((one) => one.id)).toEqual(['01C', '01B']);
        expect(await other.documents.list('nothing')).toEqual([]);
        await other.documents.remove('run', '01B');
        await other.documents.remove('run', '01B');
        expect(await store.documents.get('run', '01B')).toBeNull();
        expect((await store.documents.list('run')).map((one) => one.id)).toEqual(['01C', '01A']);
        expect(await store.documents.get('plan', '01Z')).toBe('other kind');
      });
    });
  });
}
