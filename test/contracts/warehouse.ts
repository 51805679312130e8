import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Cell,
  type FileSet,
  type Query,
  type Relation,
  type Row,
  type Warehouse,
  WarehouseError,
} from '../../core/ports.ts';
import { timestampOf } from '../../core/sql/literal.ts';

/** What the suite needs to run against an engine: the engine, a folder (or bucket) it writes to, and a way to read the lines it wrote. */
export interface WarehouseUnderTest {
  readonly warehouse: Warehouse;
  /** An address nothing was written to yet. */
  prefix(): string;
  /** Text of a JSON lines file the engine wrote. */
  read(location: string): Promise<string> | string;
  close(): Promise<void>;
}

/** One SQL text and the one value every engine answers with. Integers are compared as numbers. */
export const GOLDEN: readonly (readonly [title: string, sql: string, expected: Cell])[] = [
  // Hashes: a hash of a hash would be sent without anybody noticing.
  ['hashes the UTF-8 bytes of a text', `lower(to_hex(sha256(to_utf8('foo@example.com'))))`, sha('foo@example.com')],
  ['hashes text beyond the basic plane', `lower(to_hex(sha256(to_utf8('Zoë 🦊'))))`, sha('Zoë 🦊')],
  ['hashes the empty text', `lower(to_hex(sha256(to_utf8(''))))`, sha('')],
  ['hashes NULL to NULL', `lower(to_hex(sha256(to_utf8(CAST(NULL AS varchar)))))`, null],
  ['reads hex digits as an integer', `mod(from_base('ffffffffffff', 16), 10000)`, Number(0xffffffffffffn % 10000n)],
  // Text.
  ['counts characters, not bytes', `length('Zoë🦊')`, 4],
  ['cuts text by characters', `substr('aë🦊b', 2, 2)`, 'ë🦊'],
  ['joins text and NULL to NULL', `'a' || CAST(NULL AS varchar)`, null],
  ['concat of NULL is NULL', `concat('a', CAST(NULL AS varchar))`, null],
  ['keeps a quote inside a text', `'it''s'`, "it's"],
  ['keeps a backslash as it is', `'a\\b'`, 'a\\b'],
  ['matches % literally when escaped', `'100%' LIKE '100\\%' ESCAPE '\\'`, true],
  ['does not match % as a wildcard when escaped', `'1000' LIKE '100\\%' ESCAPE '\\'`, false],
  ['does not match _ as a wildcard when escaped', `'axb' LIKE 'a\\_b' ESCAPE '\\'`, false],
  ['matches an escaped backslash', `'a\\b' LIKE 'a\\\\b' ESCAPE '\\'`, true],
  ['matches over line ends', `'a' || chr(10) || 'b' LIKE 'a%b'`, true],
  ['does not match another case', `'Abc' LIKE 'a%'`, false],
  ['compares text by its bytes', `'Z' < 'a'`, true],
  ['compares text without trimming it', `'a' = 'a '`, false],
  ['finds the place of a text', `strpos('hello', 'll')`, 3],
  ['translates away characters of any plane', `translate('a' || chr(160) || 'b', ' ' || chr(160), '')`, 'ab'],
  ['searches with a regular expression anywhere', `regexp_like('xay', 'a')`, true],
  ['replaces every match', `regexp_replace('a1b2', '[0-9]', '')`, 'ab'],
  ['keeps text of a control character', `'email' || chr(31) || 'x'`, 'email\u001fx'],
  // Numbers.
  ['divides integers to an integer', '7 / 2', 3],
  ['divides negative integers towards zero', '(-7) / 2', -3],
  ['has the sign of the dividend in a remainder', 'mod(-7, 2)', -1],
  ['holds integers of 64 bits', 'CAST(9223372036854775807 AS varchar)', '9223372036854775807'],
  ['prints a decimal with its scale', `CAST(TRY_CAST(0.1 AS decimal(38,6)) AS varchar)`, '0.100000'],
  ['prints a double through a decimal', `CAST(TRY_CAST(CAST('120.5' AS double) AS decimal(38,2)) AS varchar)`, '120.50'],
  [
    'prints a large double without an exponent',
    `CAST(TRY_CAST(CAST('1e12' AS double) AS decimal(38,2)) AS varchar)`,
    '1000000000000.00',
  ],
  ['prints a negative number below one', `CAST(TRY_CAST(CAST('-0.5' AS double) AS decimal(38,2)) AS varchar)`, '-0.50'],
  ['rounds half away from zero', `CAST(CAST(2.345 AS decimal(38,2)) AS varchar)`, '2.35'],
  ['has no negative zero in a decimal', `CAST(TRY_CAST(CAST('-0.0' AS double) AS decimal(38,1)) AS varchar)`, '0.0'],
  ['makes NaN unknown in a decimal', `CAST(TRY_CAST(CAST('NaN' AS double) AS decimal(38,6)) AS varchar)`, null],
  ['makes infinity unknown in a decimal', `CAST(TRY_CAST(CAST('Infinity' AS double) AS decimal(38,6)) AS varchar)`, null],
  ['makes what does not fit unknown in a decimal', `CAST(TRY_CAST(CAST('1e40' AS double) AS decimal(38,6)) AS varchar)`, null],
  ['adds decimals exactly', `CAST(sum(x) AS varchar)`, '0.30'],
  ['sums nothing to NULL', `sum(x) FILTER (WHERE x > 100)`, null],
  ['takes the greatest of nothing unknown', `greatest(1, CAST(NULL AS integer))`, null],
  // Unknown values.
  ['does not know NOT of the unknown', `coalesce(NOT (CAST(NULL AS boolean)), FALSE)`, false],
  ['is false when one is false and one unknown', `coalesce(FALSE AND CAST(NULL AS boolean), TRUE)`, false],
  ['is true when one is true and one unknown', `coalesce(TRUE OR CAST(NULL AS boolean), FALSE)`, true],
  ['does not know whether NULL is in a list', `coalesce(CAST(NULL AS varchar) NOT IN ('a'), FALSE)`, false],
  ['tells NULL from a value', `CAST(NULL AS varchar) IS DISTINCT FROM 'a'`, true],
  // Time.
  [
    'counts milliseconds since 1970',
    `date_diff('millisecond', TIMESTAMP '1970-01-01 00:00:00', TIMESTAMP '2026-01-01 00:00:00.123')`,
    1767225600123,
  ],
  [
    'counts milliseconds before 1970',
    `date_diff('millisecond', TIMESTAMP '1970-01-01 00:00:00', TIMESTAMP '1969-12-31 23:59:59.000')`,
    -1000,
  ],
  [
    'reads a time with a zone as its instant',
    `date_diff('millisecond', CAST('1970-01-01 00:00:00 UTC' AS timestamp with time zone), CAST('2026-03-29 03:30:00 Europe/Berlin' AS timestamp with time zone))`,
    Date.parse('2026-03-29T01:30:00Z'),
  ],
  [
    'compares times of different zones as instants',
    `CAST('2026-10-25 12:00:00 Europe/Berlin' AS timestamp with time zone) = CAST('2026-10-25 11:00:00 UTC' AS timestamp with time zone)`,
    true,
  ],
  ['counts whole days between', `date_diff('day', TIMESTAMP '2026-01-01 23:00:00', TIMESTAMP '2026-01-10 01:00:00')`, 8],
  [
    'adds a month to the end of a month',
    `CAST(CAST(date_add('month', 1, TIMESTAMP '2026-01-31 00:00:00') AS date) AS varchar)`,
    '2026-02-28',
  ],
  [
    'adds days before a moment',
    `CAST(CAST(date_add('day', -30, TIMESTAMP '2026-03-01 00:00:00') AS date) AS varchar)`,
    '2026-01-30',
  ],
  [
    'adds nothing known to a moment',
    `date_add('millisecond', CAST(nullif(split_part('granted' || chr(31) || chr(31), chr(31), 2), '') AS bigint), TIMESTAMP '1970-01-01 00:00:00.000') IS NULL`,
    true,
  ],
  ['has nothing past the last part of a text', `nullif(split_part('a' || chr(31) || 'b', chr(31), 3), '') IS NULL`, true],
  [
    'finds a name behind a separator',
    `strpos(chr(30) || array_join(ARRAY['a:1', 'email:2'], chr(30)), chr(30) || 'email:') > 0`,
    true,
  ],
  ['takes an element of an array by its place from 1', `element_at(ARRAY['a', 'b'], 2)`, 'b'],
  [
    'makes a moment of milliseconds since 1970, by days and the rest of a day',
    `date_diff('millisecond', TIMESTAMP '1970-01-01 00:00:00.000', ${timestampOf(`CAST(1767225600123 AS bigint)`)})`,
    1767225600123,
  ],
  [
    'makes a moment of milliseconds before 1970',
    `date_diff('millisecond', TIMESTAMP '1970-01-01 00:00:00.000', ${timestampOf(`CAST(-86400001 AS bigint)`)})`,
    -86400001,
  ],
  ['prints a date', `CAST(DATE '2026-02-03' AS varchar)`, '2026-02-03'],
  ['compares a date with midnight', `CAST(DATE '2026-02-03' AS timestamp) = TIMESTAMP '2026-02-03 00:00:00.000'`, true],
  ['cuts to the month', `CAST(CAST(date_trunc('month', TIMESTAMP '2026-02-03 10:00:00') AS date) AS varchar)`, '2026-02-01'],
  ['has Monday as the first day of the week', `day_of_week(DATE '2026-11-23')`, 1],
  // Arrays.
  ['has an array of texts with nothing in it', `cardinality(array_remove(ARRAY[''], ''))`, 0],
  ['takes a value out of an array', `array_join(array_remove(ARRAY['a', '', 'b'], ''), ',')`, 'a,b'],
  ['joins arrays in order', `array_join(ARRAY['b'] || ARRAY['a'] || array_remove(ARRAY[''], ''), ',')`, 'b,a'],
  ['takes one array out of another, in order', `array_join(array_except(ARRAY['c', 'b', 'a'], ARRAY['b']), ',')`, 'c,a'],
  ['puts texts of an array in order by their bytes', `array_join(array_sort(ARRAY['b', 'é', 'Z', 'a']), ',')`, 'Z,a,b,é'],
  ['puts an array with nothing in it in order', `cardinality(array_sort(array_remove(ARRAY[''], '')))`, 0],
  ['takes every occurrence out of a text', `replace('a.b.c', '.b', '')`, 'a.c'],
  ['unites arrays, each value once, in order', `array_join(array_union(ARRAY['c', 'a'], ARRAY['b', 'a']), ',')`, 'c,a,b'],
  ['has no place in an array that is too short', `cardinality(ARRAY['a', 'b'])`, 2],
];

function sha(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

const plain = (cell: Cell | undefined): Cell =>
  typeof cell === 'bigint' ? Number(cell) : Array.isArray(cell) ? (cell as readonly Cell[]).map(plain) : (cell ?? null);
const plainRow = (row: Row): Row => Object.fromEntries(Object.entries(row).map(([name, cell]) => [name, plain(cell)]));

/** What every warehouse promises (core/ports.ts). `open` is called once. */
export function warehouseContract(name: string, open: () => Promise<WarehouseUnderTest>): void {
  describe(`${name} keeps the promises of a warehouse`, () => {
    let under: WarehouseUnderTest;
    beforeAll(async () => {
      under = await open();
    });
    afterAll(() => under?.close());

    const rows = async (query: Query): Promise<readonly Row[]> => (await under.warehouse.rows(query)).map(plainRow);
    const relation = (files: FileSet, columns: Readonly<Record<string, string>>): Relation => ({ files, columns });

    describe('golden vectors', () => {
      it.each(GOLDEN)('%s', async (_title, sql, expected) => {
        const from = `FROM (VALUES (CAST(0.1 AS decimal(10,2))), (CAST(0.2 AS decimal(10,2)))) AS v (x)`;
        const aggregate = /\bsum\(/.test(sql);
        const [row] = await rows({ sql: `SELECT ${sql} AS answer ${aggregate ? from : ''}` });
        expect(row?.['answer']).toBe(expected);
      });

      it('sorts NULL last in either direction', async () => {
        const sorted = await rows({ sql: `SELECT x FROM (VALUES (2), (NULL), (1)) AS v (x) ORDER BY x DESC NULLS LAST` });
        expect(sorted.map((row) => row['x'])).toEqual([2, 1, null]);
      });

      it('joins full outer, keeping what is on one side only', async () => {
        const joined = await rows({
          sql: `SELECT coalesce(a.k, b.k) AS k, a.k IS NULL AS added FROM (VALUES ('x'), ('y')) AS a (k) FULL OUTER JOIN (VALUES ('y'), ('z')) AS b (k) ON a.k = b.k ORDER BY 1`,
        });
        expect(joined).toEqual([
          { k: 'x', added: false },
          { k: 'y', added: false },
          { k: 'z', added: true },
        ]);
      });

      it('unnests an array into rows beside their own', async () => {
        const unnested = await rows({
          sql: `SELECT t.k, u.v FROM (SELECT 'a' AS k, ARRAY['1', '2'] AS vs) t CROSS JOIN UNNEST(t.vs) AS u (v) ORDER BY v`,
        });
        expect(unnested).toEqual([
          { k: 'a', v: '1' },
          { k: 'a', v: '2' },
        ]);
      });
    });

    it('materializes a result that another query reads, with its types', async () => {
      const files = await under.warehouse.materialize(
        {
          sql: `SELECT 'a' AS member, ARRAY['x', 'y'] AS ids, CAST(5 AS bigint) AS n, TRUE AS matched UNION ALL SELECT 'b', array_remove(ARRAY[''], ''), NULL, FALSE`,
        },
        under.prefix(),
      );
      expect(files).toMatchObject({ format: 'parquet', rows: 2 });
      expect(files.bytes).toBeGreaterThan(0);
      const read = await rows({
        sql: 'SELECT member, ids, n, matched FROM mine ORDER BY member',
        relations: { mine: relation(files, { member: 'varchar', ids: 'array(varchar)', n: 'bigint', matched: 'boolean' }) },
      });
      expect(read).toEqual([
        { member: 'a', ids: ['x', 'y'], n: 5, matched: true },
        { member: 'b', ids: [], n: null, matched: false },
      ]);
    });

    it('materializes nothing as files without rows that still have their columns', async () => {
      const files = await under.warehouse.materialize({ sql: `SELECT 'a' AS member, 1 AS n WHERE 1 = 0` }, under.prefix());
      expect(files.rows).toBe(0);
      const mine = relation(files, { member: 'varchar', n: 'bigint' });
      expect(await rows({ sql: 'SELECT member, n FROM mine', relations: { mine } })).toEqual([]);
    });

    it('unloads every row once, to the shard it names, without the shard', async () => {
      const values = Array.from({ length: 50 }, (_, i) => `('m${i}', ${i}, CAST(${i % 4} AS integer))`).join(', ');
      const sets = await under.warehouse.unload(
        { sql: `SELECT k, n, ARRAY[k] AS ids, shard FROM (VALUES ${values}) AS v (k, n, shard)` },
        under.prefix(),
        5,
      );
      expect(sets.map(({ rows: count }) => count)).toEqual([13, 13, 12, 12, 0]);
      for (const [shard, set] of sets.entries()) {
        const lines = (await Promise.all(set.locations.map(async (location) => under.read(location))))
          .join('')
          .split('\n')
          .filter(Boolean);
        expect(lines.length).toBe(set.rows);
        for (const line of lines) {
          const { k, n, ids, ...rest } = JSON.parse(line) as { k: string; n: number; ids: string[] };
          expect({ k, ids, rest }).toEqual({ k: `m${n}`, ids: [`m${n}`], rest: {} });
          expect(n % 4).toBe(shard);
        }
      }
    });

    it('unloads texts that JSON must escape, and NULL, as they are', async () => {
      const [set] = await under.warehouse.unload(
        {
          sql: `SELECT 'a"b\\c' || chr(10) || chr(31) || '🦊' AS k, CAST(NULL AS varchar) AS nothing, CAST(9007199254740991 AS bigint) AS n, CAST(0 AS integer) AS shard`,
        },
        under.prefix(),
        1,
      );
      const [line] = (await Promise.all(set!.locations.map(async (location) => under.read(location)))).join('').split('\n');
      const read = JSON.parse(line!) as { k: string; nothing?: null; n: number };
      expect({ ...read, nothing: read.nothing ?? null }).toEqual({ k: 'a"b\\c\n\u001f🦊', nothing: null, n: 9007199254740991 });
    });

    it('reads JSON lines it unloaded under the types it is told', async () => {
      const sets = await under.warehouse.unload(
        { sql: `SELECT 'a' AS k, ARRAY['x'] AS ids, CAST(0 AS integer) AS shard` },
        under.prefix(),
        1,
      );
      const read = await rows({
        sql: 'SELECT k, ids, n FROM lines',
        relations: { lines: relation(sets[0]!, { k: 'varchar', ids: 'array(varchar)', n: 'bigint' }) },
      });
      expect(read).toEqual([{ k: 'a', ids: ['x'], n: null }]);
    });

    it('takes no files at all as an empty relation of the declared types', async () => {
      const empty = relation(
        { format: 'parquet', locations: [], rows: 0, bytes: 0 },
        { member: 'varchar', ids: 'array(varchar)', since: 'bigint' },
      );
      const read = await rows({
        sql: `SELECT count(*) AS n, sum(since) AS since, sum(cardinality(ids)) AS ids FROM ledger`,
        relations: { ledger: empty },
      });
      expect(read).toEqual([{ n: 0, since: null, ids: null }]);
    });

    it('lets no query see the names of another that runs beside it', async () => {
      const made = await Promise.all(
        ['one', 'two', 'three'].map((word) => under.warehouse.materialize({ sql: `SELECT '${word}' AS k` }, under.prefix())),
      );
      const answers = await Promise.all(
        Array.from({ length: 30 }, (_, i) =>
          rows({ sql: 'SELECT k FROM snapshot', relations: { snapshot: relation(made[i % 3]!, { k: 'varchar' }) } }),
        ),
      );
      expect(answers.map((answer) => answer[0]?.['k'])).toEqual(
        Array.from({ length: 30 }, (_, i) => ['one', 'two', 'three'][i % 3]),
      );
      await expect(under.warehouse.rows({ sql: 'SELECT k FROM snapshot' })).rejects.toBeInstanceOf(WarehouseError);
    });

    it('answers with an error of kind user, which does not repeat the query, when a name does not exist', async () => {
      const failure: unknown = await under.warehouse
        .rows({ sql: `SELECT nobody FROM (SELECT 'anna@example.com' AS email) x` })
        .catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(WarehouseError);
      expect((failure as WarehouseError).kind).toBe('user');
      expect(JSON.stringify([(failure as Error).message, (failure as Error).cause])).not.toContain('anna');
    });

    it('never repeats a value of the data in an error (law 9)', async () => {
      const failure: unknown = await under.warehouse
        .rows({ sql: `SELECT CAST(email AS integer) AS n FROM (SELECT 'anna@example.com' AS email) x` })
        .catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(WarehouseError);
      expect(
        `${(failure as Error).message} ${(failure as Error).stack} ${JSON.stringify((failure as Error).cause)}`,
      ).not.toContain('anna');
    });
  });
}

/** Reads a file of the machine this runs on. */
export const readLocal = (location: string): string => readFileSync(location, 'utf8');
