import type { DuckDBConnection } from '@duckdb/node-api';

/**
 * What every destination must hold after a week, computed straight from the transactions file: no activation table, no compiler,
 * no consent records, no ledger. Rules are written out as plain SQL, consents as the intervals in which somebody may be sent,
 * identifiers as the hashes that must arrive.
 */
export interface Expectation {
  /** Of the rule alone. */
  readonly matched: number;
  readonly withheld: Readonly<Record<string, number>>;
  /** People, not identifiers. */
  readonly sent: number;
  /** Meta: `email:<sha256>`, `phone:<sha256>`; Braze: customer ids. */
  readonly held: ReadonlySet<string>;
}

/** UK local to UTC by the dates of 2010/11 (summer time 27 March to 30 October 2011), not by a time zone library. */
const UTC = `InvoiceDate - CASE WHEN InvoiceDate >= TIMESTAMP '2011-03-27 02:00' AND InvoiceDate < TIMESTAMP '2011-10-30 02:00'
  THEN INTERVAL 1 HOUR ELSE INTERVAL 0 HOUR END`;

/** The audiences of workspace.ts, said again over transactions. `o` are order lines, `t` all lines, both before the tick. */
const RULES: Readonly<Record<string, string>> = {
  'big-spenders': `
    SELECT CustomerID FROM latest WHERE
      (place = 'United Kingdom' AND spent >= 2000) OR (place IN ('Germany', 'France', 'EIRE', 'Netherlands', 'Spain', 'Belgium') AND spent >= 1000)`,
  'lapsed-buyers': `
    SELECT CustomerID FROM o GROUP BY CustomerID
    HAVING count(DISTINCT InvoiceNo) >= 2 AND max(utc) < tick() - INTERVAL 60 DAY`,
  'bag-buyers': `
    SELECT CustomerID FROM o WHERE regexp_matches(Description, '(^|[^A-Z0-9_])BAGS?($|[^A-Z0-9_])') AND utc >= tick() - INTERVAL 120 DAY
    GROUP BY CustomerID HAVING count(*) >= 3 AND sum(Quantity * UnitPrice) >= 50`,
  'steady-buyers': `
    SELECT CustomerID FROM (SELECT DISTINCT CustomerID, year(utc) AS y, month(utc) AS m FROM o) GROUP BY CustomerID HAVING count(*) >= 3`,
  'quiet-spenders': `
    SELECT CustomerID FROM latest WHERE CustomerID IN (
      SELECT CustomerID FROM latest WHERE
        (place = 'United Kingdom' AND spent >= 2000) OR (place IN ('Germany', 'France', 'EIRE', 'Netherlands', 'Spain', 'Belgium') AND spent >= 1000))
      AND CustomerID NOT IN (SELECT CustomerID FROM o WHERE utc >= tick() - INTERVAL 30 DAY)`,
};
export const ORACLE_AUDIENCES: readonly string[] = Object.keys(RULES);

/** Whether a customer may be sent for a purpose: the derived consents as intervals. `d` is the age in days of their first transaction. */
const allowed = (salt: number, expires: number | null): string => {
  const kind = `((CustomerID * 7919 + ${salt}) % 20)`;
  const age = 'epoch(tick() - first_utc) / 86400.0';
  const fresh = (since: number): string => (expires === null ? 'true' : `${age} < ${since + expires}`);
  const leaves = '30 + CustomerID % 200';
  const optOut = "place IN ('USA', 'Switzerland', 'Australia')";
  return `CASE WHEN ${kind} <= 9 THEN ${optOut} OR ${fresh(0)}
    WHEN ${kind} IN (10, 11, 19) THEN false
    WHEN ${kind} IN (12, 13, 14) THEN ${age} < ${leaves} AND (${optOut} OR ${fresh(0)})
    WHEN ${kind} = 15 THEN ${optOut} OR (${age} < 10 + CustomerID % 150 AND ${fresh(0)})
    WHEN ${kind} = 16 THEN (${age} < 40 OR ${age} >= 90) AND (${optOut} OR ${age} < 40 OR ${fresh(90)})
    ELSE ${optOut} END`;
};

const PURPOSES = { ads: allowed(3, 240), email: allowed(8, null) } as const;

const HASHED = {
  email: `CASE WHEN CustomerID % 29 <> 0 THEN sha256(CASE
    WHEN CustomerID % 40 < 2 THEN 'h' || (CustomerID - CustomerID % 40)
    WHEN CustomerID % 37 = 0 AND tick() - first_utc >= INTERVAL 120 DAY THEN 'c' || CustomerID || '.new'
    ELSE 'c' || CustomerID END || '@example.com') END`,
  // Meta takes digits with the country code and no plus.
  phone: `CASE WHEN CustomerID % 11 <> 0 AND CustomerID % 17 <> 0 AND CustomerID % 113 <> 0 THEN sha256('44' ||
    CASE CAST(floor((CustomerID % 3000) / 1000) AS INTEGER) WHEN 0 THEN '2079460' WHEN 1 THEN '1134960' ELSE '1614960' END
    || lpad(CAST(CustomerID % 1000 AS varchar), 3, '0')) END`,
} as const;

export async function prepareOracle(connection: DuckDBConnection, file: string): Promise<void> {
  await connection.run(`
    CREATE TABLE transactions AS
      SELECT DISTINCT *, ${UTC} AS utc FROM read_parquet('${file.replaceAll("'", "''")}') WHERE CustomerID IS NOT NULL;
    CREATE TABLE firsts AS SELECT CustomerID, min(utc) AS first_utc FROM transactions GROUP BY CustomerID;
  `);
}

/** What every audience must look like at `tick` (epoch ms) at each kind of destination: `expectations.get('bag-buyers meta')`. */
export async function expectations(connection: DuckDBConnection, tick: number): Promise<ReadonlyMap<string, Expectation>> {
  await connection.run(`
    CREATE OR REPLACE MACRO tick() AS make_timestamp(${tick * 1000});
    CREATE OR REPLACE TABLE t AS SELECT * FROM transactions WHERE utc < tick();
    CREATE OR REPLACE TABLE o AS
      SELECT * FROM t WHERE InvoiceNo NOT LIKE 'C%' AND InvoiceNo NOT LIKE 'A%' AND Quantity > 0 AND UnitPrice > 0;
    CREATE OR REPLACE TABLE latest AS
      SELECT CustomerID, sum(Quantity * UnitPrice) AS spent,
        (SELECT Country FROM t AS u WHERE u.CustomerID = t.CustomerID ORDER BY utc DESC, InvoiceNo DESC, StockCode DESC LIMIT 1) AS place
      FROM t GROUP BY CustomerID;
  `);
  const all = new Map<string, Expectation>();
  for (const audience of ORACLE_AUDIENCES)
    for (const kind of ['meta', 'braze'] as const) all.set(`${audience} ${kind}`, await expected(connection, audience, kind));
  return all;
}

async function expected(connection: DuckDBConnection, audience: string, kind: 'meta' | 'braze'): Promise<Expectation> {
  await connection.run(`
    CREATE OR REPLACE TABLE people AS
      SELECT CustomerID, ${HASHED.email} AS email, ${HASHED.phone} AS phone,
        CASE WHEN CustomerID % 113 = 0 AND CustomerID % 40 >= 2 AND tick() - first_utc > INTERVAL 150 DAY THEN 'erased'
          WHEN spent >= 20000 THEN 'excluded'
          WHEN NOT coalesce(${PURPOSES[kind === 'meta' ? 'ads' : 'email']}, false) THEN 'no-consent'
          WHEN ${kind === 'meta'} AND email IS NULL AND phone IS NULL THEN 'no-identifier'
          ELSE 'sent' END AS state
      FROM (${RULES[audience]}) JOIN latest USING (CustomerID) JOIN firsts USING (CustomerID)`);
  const query = async (sql: string): Promise<readonly (readonly unknown[])[]> => (await connection.runAndReadAll(sql)).getRows();
  const states = await query('SELECT state, CAST(count(*) AS INTEGER) FROM people GROUP BY state');
  const held = await query(
    kind === 'braze'
      ? `SELECT 'c' || CustomerID FROM people WHERE state = 'sent'`
      : `SELECT DISTINCT value FROM (SELECT 'email:' || email AS value FROM people WHERE state = 'sent'
           UNION ALL SELECT 'phone:' || phone FROM people WHERE state = 'sent') WHERE value IS NOT NULL`,
  );
  return {
    matched: states.reduce((sum, [, n]) => sum + Number(n), 0),
    sent: Number(states.find(([state]) => state === 'sent')?.[1] ?? 0),
    withheld: Object.fromEntries(states.filter(([state]) => state !== 'sent').map(([state, n]) => [String(state), Number(n)])),
    held: new Set(held.map(([value]) => String(value))),
  };
}
