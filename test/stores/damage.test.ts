import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Pointer, Store } from '../../core/ports.ts';
import { PointerDamaged } from '../../core/pointer-damaged.ts';
import { assertLedgerWhole, LedgerDamaged } from '../../core/run/ledger-check.ts';
import { StoreDamaged, StoreFull } from '../../core/store-errors.ts';
import { openLocalStore } from '../../stores/local.ts';
import { pointerOf, testClock } from '../contracts/store.ts';
import { start } from './started.ts';

const SYNC = 'lapsed-vips/meta-eu';
const clock = testClock();
let root: string;
let store: Store;
const opened: Store[] = [];
const openStore = async (at: string): Promise<Store> => {
  const one = await openLocalStore({ root: at, clock });
  opened.push(one);
  return one;
};
const collect = async (lines: AsyncIterable<string>): Promise<string[]> => {
  const all: string[] = [];
  for await (const line of lines) all.push(line);
  return all;
};
const errorOf = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => new Error('it was not refused'),
    (error: Error) => error,
  );

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'sluice-damage-'));
  store = await openStore(join(root, 'store'));
});
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
  rmSync(root, { recursive: true });
});

describe('a log with a torn last line', () => {
  const log = 'runs/01/log.jsonl';

  it.each<string | Buffer>(['{"n":3', Buffer.from('\u00fc').subarray(0, 1), 'x'.repeat(200_000)])(
    'gives its whole lines, and the next append does not glue onto %#',
    async (torn) => {
      await store.files.append(log, ['{"n":1}', '{"n":2}']);
      appendFileSync(store.files.location(log), torn);
      expect(await collect(store.files.lines(log))).toEqual(['{"n":1}', '{"n":2}']);
      await store.files.append(log, ['{"n":4}']);
      expect(readFileSync(store.files.location(log), 'utf8')).toBe('{"n":1}\n{"n":2}\n{"n":4}\n');
    },
  );

  it('is repaired by an append of nothing, so that SQL can read the file', async () => {
    await store.files.append(log, ['{"n":1}']);
    appendFileSync(store.files.location(log), '{"n"');
    await store.files.append(log, []);
    expect(readFileSync(store.files.location(log), 'utf8')).toBe('{"n":1}\n');
  });

  it('is empty when its only line is torn', async () => {
    writeFileSync(store.files.location(log), '{"n"');
    expect(await collect(store.files.lines(log))).toEqual([]);
    await store.files.append(log, ['{"n":1}']);
    expect(await collect(store.files.lines(log))).toEqual(['{"n":1}']);
  });
});

describe('a compressed file', () => {
  const key = 'runs/01/delta.jsonl.gz';

  it.each<[string, (path: string) => void]>([
    ['cut short', (path) => truncateSync(path, statSync(path).size - 20)],
    ['cut to nothing but its header', (path) => truncateSync(path, 10)],
    ['altered in the middle', (path) => writeFileSync(path, readFileSync(path).fill(0x55, 200, 260))],
  ])('that is %s is refused by name before its end is reached', async (_, damage) => {
    const written = await store.files.write(
      key,
      Array.from({ length: 5_000 }, (_line, i) => `${i} ${Math.sin(i)}`),
    );
    damage(written.location);
    const error = await errorOf(collect(store.files.lines(key)));
    expect(error).toBeInstanceOf(StoreDamaged);
    expect(error.message).toContain(`${key} is cut short or altered. Nothing was sent, and nothing was changed.`);
  });

  it('of another writer is read whole: several members, and a last line without its end', async () => {
    writeFileSync(store.files.location(key), Buffer.concat([gzipSync('one\ntw'), gzipSync('o\nthree')]));
    expect(await collect(store.files.lines(key))).toEqual(['one', 'two', 'three']);
  });
});

describe('the ledger', () => {
  const sealed = async (): Promise<Pointer> => {
    const pointer = pointerOf(store, 1);
    const seal = async (file: Pointer['members']): Promise<Pointer['members']> => {
      for (const location of file.files.locations) {
        mkdirSync(join(location, '..'), { recursive: true });
        writeFileSync(location, `PAR1 ${location.slice(-20)} PAR1`);
      }
      return { ...file, checksums: await Promise.all(file.files.locations.map((one) => store.files.checksum(one))) };
    };
    return { ...pointer, members: await seal(pointer.members), rejections: await seal(pointer.rejections) };
  };

  it.each<[string, string, (path: string) => void]>([
    ['cut short', 'members.parquet has 20 bytes, 30 were written', (path) => truncateSync(path, 20)],
    [
      'altered without changing its size',
      'members.parquet was altered',
      (path) => writeFileSync(path, readFileSync(path).fill(0x20, 5, 6).fill(0x21, 6, 7)),
    ],
    ['gone', 'members.parquet cannot be read (MissingFile)', (path) => rmSync(path)],
  ])('with a file that is %s is refused, with its generation and the way back', async (_, what, damage) => {
    const pointer = await sealed();
    await store.pointers.move(SYNC, 0, pointer);
    await assertLedgerWhole(store.files, SYNC, await store.pointers.get(SYNC));
    damage(pointer.members.files.locations[0]!);
    const error = await errorOf(assertLedgerWhole(store.files, SYNC, await store.pointers.get(SYNC)));
    expect(error).toBeInstanceOf(LedgerDamaged);
    expect(error.message).toContain(
      `The ledger of "lapsed-vips" at meta-eu (generation ${pointer.generation}) is damaged: ${what}.`,
    );
    expect(error.message).toContain('sluice rollback lapsed-vips meta-eu <generation>');
    expect(await store.pointers.get(SYNC)).toEqual(pointer);
  });

  it.each<[string, string]>([
    ['its generation was edited', `UPDATE pointers SET body = replace(body, '02"', '01"') WHERE version = 2`],
    ['its fence was edited', `UPDATE pointers SET body = replace(body, '"fence":1', '"fence":2') WHERE version = 2`],
    ['its row was deleted', 'DELETE FROM pointers WHERE version = 2'],
    ['it was set back to an earlier version', 'UPDATE current SET version = 1'],
    ['the mark of what is current was deleted', 'DELETE FROM current'],
    [
      'another version was put in its place',
      'UPDATE pointers SET body = (SELECT body FROM pointers WHERE version = 1) WHERE version = 2',
    ],
  ])('is refused when %s, and the sound generations are listed, to go back to', async (_, edit) => {
    const [first, second] = [pointerOf(store, 1), pointerOf(store, 2)];
    await store.pointers.move(SYNC, 0, first);
    await store.pointers.move(SYNC, 1, second);
    const database = new DatabaseSync(join(root, 'store', 'store.db'));
    expect(database.prepare(edit).run().changes).toBe(1);
    database.close();
    const error = await errorOf(store.pointers.get(SYNC));
    expect(error).toBeInstanceOf(PointerDamaged);
    expect(error.message).toMatch(
      /^The ledger of "lapsed-vips" at meta-eu \(generation (01JD\w+|unknown)\) is damaged: the pointer to it is not as it/,
    );
    expect(await store.pointers.history(SYNC)).toContainEqual(first);
    expect((error as PointerDamaged).version).toBe(2);
    const back = { ...first, version: 3 };
    await store.pointers.move(SYNC, 2, back);
    expect(await store.pointers.get(SYNC)).toEqual(back);
  });

  it('moves with its folder: a pointer read in another place names the files of that place', async () => {
    await store.pointers.move(SYNC, 0, pointerOf(store, 1));
    await store.close();
    opened.length = 0;
    execFileSync('mv', [join(root, 'store'), join(root, 'moved')]);
    const moved = await openStore(join(root, 'moved'));
    expect(await moved.pointers.get(SYNC)).toEqual(pointerOf(moved, 1));
    expect((await moved.pointers.get(SYNC))?.members.files.locations[0]).toContain(join(root, 'moved'));
  });
});

describe('a database', () => {
  it('that is not one any more is refused by name, and left as it is', async () => {
    const at = join(root, 'other');
    mkdirSync(at);
    writeFileSync(join(at, 'store.db'), 'no database at all, '.repeat(300));
    const error = await errorOf(openStore(at));
    expect(error).toBeInstanceOf(StoreDamaged);
    expect(error.message).toContain('store.db is damaged');
    expect(readFileSync(join(at, 'store.db'), 'utf8')).toBe('no database at all, '.repeat(300));
  });

  it.skipIf(process.platform === 'win32')('is in a folder that only its owner can look into', () => {
    expect(statSync(join(root, 'store')).mode & 0o077).toBe(0);
  });
});

/** A small file system in memory, which only root may mount. */
function mountSmall(at: string): boolean {
  mkdirSync(at);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', at], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe('a full disk', () => {
  it('says StoreFull to every kind of write, keeps all that was acknowledged, and goes on when there is room again', async (test) => {
    const disk = join(root, 'disk');
    if (!mountSmall(disk))
      test.skip('left out because only root may mount a small file system; the size limit below holds for everybody');
    try {
      const small = await openLocalStore({ root: join(disk, '.sluice'), clock });
      await small.files.append('runs/log.jsonl', ['first']);
      await small.files.write('runs/kept.jsonl.gz', ['kept']);
      await small.pointers.move(SYNC, 0, pointerOf(small, 1));
      await small.documents.put('run', '01A', { state: 'planned' });
      const { fence } = (await small.leases.acquire(SYNC, 'holder', 60_000)) as { fence: number };

      const filler = join(disk, 'filler');
      for (const size of [100_000, 4_096]) {
        try {
          for (;;) appendFileSync(filler, Buffer.alloc(size));
        } catch {
          // Full, to the last page of this size.
        }
      }
      const noise = Array.from({ length: 20_000 }, (_, i) => `${Math.sin(i)} ${Math.cos(i)}`);
      const attempts: Record<string, () => Promise<unknown>> = {
        write: () => small.files.write('runs/new.jsonl', noise),
        'write, compressed': () => small.files.write('runs/new.jsonl.gz', noise),
        append: () => small.files.append('runs/log.jsonl', noise),
        document: () => small.documents.put('run', '01A', { state: 'x'.repeat(100_000) }),
        pointer: () => small.pointers.move(SYNC, 1, { ...pointerOf(small, 2, fence), list: { id: 'x'.repeat(100_000) } }),
      };
      for (const [name, attempt] of Object.entries(attempts)) {
        const error = await errorOf(attempt());
        expect({ name, error: error.name }).toEqual({ name, error: StoreFull.name });
        expect(error.message).toMatch(
          /^No room is left in .*\. Nothing that was acknowledged has changed\.\nFree space on that disk, then run the same command again: .*ledger\/ and the databases must stay\.$/s,
        );
      }
      expect(await collect(small.files.lines('runs/log.jsonl'))).toEqual(['first']);
      expect(await small.files.list('')).toEqual(['runs/kept.jsonl.gz', 'runs/log.jsonl']);
      expect(await collect(small.files.lines('runs/kept.jsonl.gz'))).toEqual(['kept']);
      expect(await small.pointers.get(SYNC)).toEqual(pointerOf(small, 1));
      expect(await small.documents.get('run', '01A')).toEqual({ state: 'planned' });

      rmSync(filler);
      await small.files.append('runs/log.jsonl', ['second']);
      await small.pointers.move(SYNC, 1, pointerOf(small, 2, fence));
      expect(await collect(small.files.lines('runs/log.jsonl'))).toEqual(['first', 'second']);
      expect((await small.files.write('runs/new.jsonl', noise)).lines).toBe(noise.length);
      await small.close();
    } finally {
      execFileSync('umount', ['-l', disk]);
    }
  });

  it.skipIf(process.platform === 'win32')('is a size limit of the process too: StoreFull, and no part of the file', async () => {
    const at = join(root, 'limited');
    // 2,048 blocks of 512 bytes: enough for the databases, not for the file.
    const writer = start('store-child.ts', [at, 'write', '50000'], "trap '' XFSZ; ulimit -f 2048");
    const { stdout, stderr } = await writer.end();
    expect(stderr).toBe('');
    expect(stdout.join('\n')).toMatch(
      /^StoreFull: No room is left in .*runs\/long\.jsonl was not written\. Nothing that was acknowledged has changed\./,
    );
    expect(existsSync(join(at, 'runs', 'long.jsonl'))).toBe(false);
    expect(await (await openStore(at)).files.list('')).toEqual([]);
  });
});
