import { renameSync } from 'node:fs';
import { join } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';

/**
 * Activation tables out of "Online Retail" (Chen, Sain, Guo 2012, doi 10.1057/dbm.2012.17, CC BY 4.0): real transactions of a UK shop,
 * 2010-12-01 to 2011-12-09. Real are customers, countries, orders, products and amounts. The file has no e-mail, phone or consent:
 * those are derived here from the customer id alone, and `DERIVED` says how.
 */
export const DERIVED: readonly string[] = [
  'customers: one row an id; net revenue with cancellations; the latest of two countries; country names to ISO 3166-1 (Unspecified and European Community: unknown)',
  'orders: one event an order line; exact duplicates, cancellations, corrections and free items are left out; UK local times to UTC',
  'e-mail: derived from the id, on example.com; some in odd spelling, some shared by two, some changed after 120 days, some missing',
  'phone: derived from the id, in ranges Ofcom keeps for drama (020 7946 0xxx, 0113 496 0xxx, 0161 496 0xxx); 3,000 numbers, so ids 3,000 apart share one; some unusable (07700 900xxx), some missing',
  'consents: derived from the id, per purpose: granted, denied, withdrawn later, withdrawal filed ahead, ended, denied and granted again, pending, an unknown word, none',
  'erasures: some people 150 days after their first transaction; their rows stay in the tables',
];

/** Country names of the file -> ISO 3166-1 alpha-2. Left out: Unspecified and European Community, which are no country. */
const COUNTRIES: Readonly<Record<string, string>> = {
  Australia: 'AU',
  Austria: 'AT',
  Bahrain: 'BH',
  Belgium: 'BE',
  Brazil: 'BR',
  Canada: 'CA',
  // Jersey and Guernsey, not told apart by the shop; Jersey is the larger.
  'Channel Islands': 'JE',
  Cyprus: 'CY',
  'Czech Republic': 'CZ',
  Denmark: 'DK',
  EIRE: 'IE',
  Finland: 'FI',
  France: 'FR',
  Germany: 'DE',
  Greece: 'GR',
  'Hong Kong': 'HK',
  Iceland: 'IS',
  Israel: 'IL',
  Italy: 'IT',
  Japan: 'JP',
  Lebanon: 'LB',
  Lithuania: 'LT',
  Malta: 'MT',
  Netherlands: 'NL',
  Norway: 'NO',
  Poland: 'PL',
  Portugal: 'PT',
  RSA: 'ZA',
  'Saudi Arabia': 'SA',
  Singapore: 'SG',
  Spain: 'ES',
  Sweden: 'SE',
  Switzerland: 'CH',
  USA: 'US',
  'United Arab Emirates': 'AE',
  'United Kingdom': 'GB',
};

/** Reads the file once: `lines`, a row a distinct transaction row of a known customer, with its time in UTC. */
export async function readTransactions(connection: DuckDBConnection, file: string): Promise<void> {
  const countries = Object.entries(COUNTRIES).map(([name, code]) => `('${name}', '${code}')`);
  await connection.run(`
    CREATE TABLE countries AS SELECT * FROM (VALUES ${countries.join(', ')}) AS v(name, code);
    CREATE TABLE lines AS
      SELECT row_number() OVER (ORDER BY InvoiceDate, InvoiceNo, StockCode, Quantity, UnitPrice, Description) AS n,
        'c' || CustomerID AS customer_id, CustomerID AS id, InvoiceNo AS invoice, code AS country,
        (InvoiceDate AT TIME ZONE 'Europe/London') AT TIME ZONE 'UTC' AS happened_at,
        regexp_matches(InvoiceNo, '^[0-9]') AND Quantity > 0 AND UnitPrice > 0 AS is_order,
        CASE WHEN regexp_matches(Description, '\\bBAGS?\\b') THEN 'bags'
             WHEN regexp_matches(Description, '\\bCHRISTMAS\\b') THEN 'christmas'
             WHEN Description LIKE '%CAKE%' OR Description LIKE '%BAKING%' THEN 'baking' ELSE 'other' END AS category,
        CAST(Quantity * UnitPrice AS DECIMAL(14, 3)) AS amount
      FROM (SELECT DISTINCT * FROM read_parquet('${file.replaceAll("'", "''")}') WHERE CustomerID IS NOT NULL)
        LEFT JOIN countries ON Country = name;
    CREATE TABLE people AS SELECT id, any_value(customer_id) AS customer_id, min(happened_at) AS first_at FROM lines GROUP BY id;
  `);
}

/** A phone as its owner would write it: national in Great Britain, international elsewhere; every eleventh in a range no library calls valid. */
const PHONE = `(CASE WHEN country = 'GB' THEN '0' ELSE '+44 ' END) || CASE WHEN id % 11 = 0 THEN '7700 900'
  ELSE ['20 7946 0', '113 496 0', '161 496 0'][id % 3000 // 1000 + 1] END || lpad(CAST(id % 1000 AS varchar), 3, '0')`;

/** Two neighbours in forty share an address; one in 37 changes theirs; one in three writes it in capitals and with blanks. */
const EMAIL = `CASE WHEN id % 3 = 0 THEN '  ' || upper(address) || ' ' ELSE address END`;
const ADDRESS = `CASE WHEN id % 40 < 2 THEN 'h' || (id - id % 40)
  WHEN id % 37 = 0 AND first_at + INTERVAL 120 DAY <= now_at THEN 'c' || id || '.new' ELSE 'c' || id END || '@example.com'`;

/** The words of this shop's consent system; the contract maps them. `imported` is mapped to nothing and must refuse. */
export const CONSENT_WORDS = { in: 'granted', out: 'denied', revoked: 'withdrawn', asked: 'pending' } as const;

/** A record: days after the first transaction at which it starts and ends, and when it was filed (its start, unless said). */
const consents = (purpose: string, salt: number): string => {
  const kind = `((id * 7919 + ${salt}) % 20)`;
  const record = (where: string, status: string, from: string, options: { to?: string; filed?: string } = {}): string => `
    SELECT customer_id, '${purpose}' AS purpose, '${status}' AS status, first_at + to_days(CAST(${from} AS INTEGER)) AS effective_from,
      ${options.to === undefined ? 'CAST(NULL AS TIMESTAMP)' : `first_at + to_days(CAST(${options.to} AS INTEGER))`} AS effective_to,
      first_at + to_days(CAST(${options.filed ?? from} AS INTEGER)) AS filed_at
    FROM people WHERE ${kind} ${where}`;
  return [
    record('<= 9', 'in', '0'),
    record('IN (10, 11)', 'out', '0'),
    record('IN (12, 13, 14)', 'in', '0'),
    record('IN (12, 13)', 'revoked', '30 + id % 200'),
    record('= 14', 'revoked', '30 + id % 200', { filed: '0' }),
    record('= 15', 'in', '0', { to: '10 + id % 150' }),
    record('= 16', 'in', '0'),
    record('= 16', 'out', '40'),
    record('= 16', 'in', '90'),
    record('= 18', 'asked', '0'),
    record('= 19', 'imported', '0'),
  ].join(' UNION ALL ');
};

/** Every table of the workspace as it stood at `tick` (epoch ms): a file each, replaced as a whole. */
export async function writeTables(connection: DuckDBConnection, tick: number, folder: string): Promise<void> {
  const now = `make_timestamp(${tick * 1000})`;
  const tables: Readonly<Record<string, string>> = {
    customers: `
      SELECT customer_id, last(country ORDER BY happened_at, n) AS country, min(happened_at) AS first_seen_at,
        max(happened_at) FILTER (is_order) AS last_order_at, count(DISTINCT invoice) FILTER (is_order) AS orders_count,
        CAST(sum(amount) AS DECIMAL(14, 3)) AS lifetime_value
      FROM lines WHERE happened_at < ${now} GROUP BY customer_id`,
    order_completed: `
      SELECT 'l' || n AS line_id, customer_id, happened_at AS occurred_at, category, amount FROM lines WHERE is_order AND happened_at < ${now}`,
    identifiers: `
      WITH known AS (
        SELECT people.id, customer_id, people.first_at, last(country ORDER BY happened_at, n) AS country, ${now} AS now_at
        FROM people JOIN lines USING (customer_id) WHERE happened_at < ${now} GROUP BY ALL
      ), addresses AS (SELECT *, ${ADDRESS} AS address FROM known)
      SELECT customer_id, 'email' AS namespace, ${EMAIL} AS value, first_at AS first_seen FROM addresses WHERE id % 29 <> 0
      UNION ALL
      SELECT customer_id, 'phone', ${PHONE}, first_at FROM addresses WHERE id % 17 <> 0 AND id % 113 <> 0`,
    consents: `
      SELECT row_number() OVER (ORDER BY customer_id, purpose, filed_at, effective_from) AS record_id, customer_id, purpose, status,
        effective_from, effective_to
      FROM (${consents('ads', 3)} UNION ALL ${consents('email', 8)}) WHERE filed_at < ${now}`,
    erasures: `
      SELECT customer_id, first_at + INTERVAL 150 DAY AS requested_at FROM people
      WHERE id % 113 = 0 AND id % 40 >= 2 AND first_at + INTERVAL 150 DAY < ${now}`,
  };
  for (const [table, sql] of Object.entries(tables)) {
    const path = join(folder, `${table}.parquet`);
    await connection.run(`COPY (${sql}) TO '${path}.new' (FORMAT parquet)`);
    renameSync(`${path}.new`, path);
  }
}
