import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';

/** Customers of the shop on day one. */
export const CUSTOMERS = 20_000;

/** How many of the shop's customers did what during the second day. */
export interface SecondDay {
  readonly ordered: number;
  readonly changedAddress: number;
  readonly consented: number;
  readonly withdrew: number;
  readonly erased: number;
}

/**
 * Writes the activation tables of the example contracts as Parquet files under `folder`, as they stand on the morning of
 * `dayOne` (epoch milliseconds). Everything is made from the customer's number by hashing, so two shops of the same day are
 * the same, and all times lie relative to that day, so counts don't depend on when it is run.
 * People are invented: addresses end in example.com, and phone numbers come from the ranges that the regulators of their
 * countries keep free for films (Bundesnetzagentur, Arcep, Ofcom, and 555-01xx of the North American plan).
 */
export async function openShop(folder: string, dayOne: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  await inDatabase(async (run) => {
    await run(`SET VARIABLE morning = ${timestamp(dayOne)}`);
    for (const sql of [DRAW, PEOPLE, ORDERS, TABLES]) await run(sql);
    await write(run, folder);
  });
}

/**
 * Moves the shop one day on: `folder` gets the tables as they stand on the morning of `dayTwo`.
 * During the day some lapsed customers order again, some change their e-mail address, some consent to advertising,
 * some withdraw consent, some ask to be erased.
 */
export async function nextDay(folder: string, dayTwo: number): Promise<SecondDay> {
  return inDatabase(async (run) => {
    await run(`SET VARIABLE morning = ${timestamp(dayTwo)}`);
    await run(DRAW);
    for (const name of NAMES) await run(`CREATE TABLE ${name} AS FROM '${file(folder, name)}'`);
    await run(SECOND_DAY);
    const [counts] = await run(`
      SELECT (SELECT count(*) FROM ordered_again)::INTEGER AS ordered, (SELECT count(*) FROM moved)::INTEGER AS "changedAddress",
             (SELECT count(*) FROM persuaded)::INTEGER AS consented, (SELECT count(DISTINCT customer_id) FROM withdrawn)::INTEGER AS withdrew, (SELECT count(*) FROM forgotten)::INTEGER AS erased`);
    await write(run, folder);
    return counts as unknown as SecondDay;
  });
}

type Run = (sql: string) => Promise<Record<string, unknown>[]>;

/** Runs SQL on a database in memory that is gone afterwards. */
export async function inDatabase<T>(work: (run: Run) => Promise<T>): Promise<T> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '2' });
  try {
    const connection = await instance.connect();
    await connection.run("SET TimeZone = 'UTC'");
    return await work(async (sql) => (await connection.runAndReadAll(sql)).getRowObjectsJS());
  } finally {
    instance.closeSync();
  }
}

const NAMES = ['customers', 'identifiers', 'consents', 'order_completed', 'support_ticket_opened', 'erasures'] as const;

const file = (folder: string, name: string) => join(folder, `${name}.parquet`).replaceAll("'", "''");
const timestamp = (epochMs: number) => `TIMESTAMP '${new Date(epochMs).toISOString().slice(0, 19)}'`;

async function write(run: Run, folder: string): Promise<void> {
  for (const name of NAMES) {
    await run(`COPY (FROM ${name} ORDER BY ALL) TO '${file(folder, name)}' (FORMAT parquet, COMPRESSION zstd)`);
  }
}

/** `draw(i, what)`: a number in [0, 1) that belongs to customer i and to what is being decided. */
const DRAW = `
  CREATE MACRO draw(i, what) AS (hash(i::BIGINT, what::VARCHAR) % 1000003) / 1000003.0;
  CREATE MACRO pick(i, what, list) AS list[1 + floor(draw(i, what) * len(list))::INTEGER];
  CREATE MACRO id_of(i) AS 'c' || lpad(i::VARCHAR, 6, '0');`;

const PEOPLE = `
  CREATE TABLE people AS
  SELECT i, id_of(i) AS customer_id,
    CASE WHEN draw(i, 'country') < 0.40 THEN 'DE' WHEN draw(i, 'country') < 0.62 THEN 'FR' WHEN draw(i, 'country') < 0.78 THEN 'US'
         WHEN draw(i, 'country') < 0.90 THEN 'GB' WHEN draw(i, 'country') < 0.985 THEN 'NL' END AS country,
    -- How lively a customer is; a few buy very much.
    CASE WHEN draw(i, 'buys') < 0.08 THEN 0 ELSE least(24, 1 + floor(-ln(1 - draw(i, 'orders')) * 4))::INTEGER END AS orders,
    floor(pow(draw(i, 'last'), 1.7) * 480)::INTEGER AS last_days_ago,
    8 + floor(draw(i, 'gap') * 50)::INTEGER AS gap_days,
    pick(i, 'favourite', ['shoes', 'bags', 'coats', 'sports', 'home']) AS favourite,
    i % 333 = 7 AS is_staff
  FROM range(${CUSTOMERS}) AS t(i);`;

const ORDERS = `
  CREATE TABLE order_completed AS
  SELECT 'o' || lpad(i::VARCHAR, 6, '0') || '-' || n AS order_id, customer_id,
    getvariable('morning') - to_days(last_days_ago + n * gap_days) - to_seconds(1800 + (draw(i, 'second' || n) * 80000)::INTEGER) AS occurred_at,
    CASE WHEN last_days_ago + n * gap_days > 200 THEN '1' ELSE '2' END AS event_version,
    CASE WHEN draw(i, 'category' || n) < 0.5 THEN favourite ELSE pick(i, 'other' || n, ['shoes', 'bags', 'coats', 'sports', 'home']) END AS category,
    (12 + pow(draw(i, 'amount' || n), 2) * 240)::DECIMAL(12, 2) AS amount
  FROM people, LATERAL (SELECT unnest(range(orders)) AS n);`;

/** What the customers table says of orders, from the orders themselves. */
const CUSTOMER_COLUMNS = `
  c.customer_id, c.country, c.state, c.signed_up_on,
  o.last_order_at, coalesce(o.orders_count, 0)::BIGINT AS orders_count, coalesce(o.lifetime_value, 0)::DECIMAL(12, 2) AS lifetime_value,
  CASE WHEN coalesce(o.lifetime_value, 0) >= 1000 THEN 'top' WHEN o.lifetime_value >= 500 THEN 'high' WHEN o.lifetime_value >= 150 THEN 'mid' ELSE 'low' END AS ltv_band,
  c.loyalty_tier, o.favourite_category, c.is_staff`;
const ORDER_SUMS = `
  (SELECT customer_id, max(occurred_at) AS last_order_at, count(*) AS orders_count, sum(amount) AS lifetime_value,
          mode(category ORDER BY category) AS favourite_category
   FROM order_completed GROUP BY customer_id)`;

const TABLES = `
  CREATE TABLE customers AS
  SELECT ${CUSTOMER_COLUMNS}
  FROM (SELECT *, CASE WHEN country = 'US' THEN pick(i, 'state', ['CA', 'NY', 'TX', 'WA']) END AS state,
          (getvariable('morning') - to_days(last_days_ago + greatest(orders, 1) * gap_days + 30))::DATE AS signed_up_on,
          CASE WHEN draw(i, 'tier') < 0.10 THEN 'gold' WHEN draw(i, 'tier') < 0.30 THEN 'silver' WHEN draw(i, 'tier') < 0.65 THEN 'bronze' END AS loyalty_tier
        FROM people) AS c
  LEFT JOIN ${ORDER_SUMS} AS o USING (customer_id);

  CREATE TABLE identifiers AS
  WITH seen AS (SELECT *, getvariable('morning') - to_days(last_days_ago + orders * gap_days + 30) AS first_seen,
                  getvariable('morning') - to_days(last_days_ago) AS last_seen FROM people),
  email AS (
    SELECT *, CASE
        WHEN draw(i, 'email') < 0.03 THEN 'no address'                                  -- typed into the wrong field
        WHEN draw(i, 'email') < 0.06 AND i > 0 THEN 'family' || (i - i % 2) || '@example.com'  -- a household shares it
        WHEN draw(i, 'email') < 0.20 THEN ' Customer.' || i || '@Example.com '          -- as people type
        ELSE 'customer.' || i || '@example.com' END AS value
    FROM seen WHERE draw(i, 'email') < 0.97),
  numbered AS (SELECT *, row_number() OVER (PARTITION BY country ORDER BY i) - 1 AS n FROM seen WHERE draw(i, 'phone') < 0.5 AND country IS NOT NULL),
  phone AS (
    SELECT *, CASE
        WHEN country = 'DE' AND n < 5000 THEN ['030 23125 ', '069 90009 ', '040 66969 ', '0221 4710 ', '089 99998 '][1 + n // 1000] || lpad((n % 1000)::VARCHAR, 3, '0')
        WHEN country = 'FR' AND n < 10000 THEN '06 39 98 ' || lpad((n // 100)::VARCHAR, 2, '0') || ' ' || lpad((n % 100)::VARCHAR, 2, '0')
        WHEN country = 'GB' AND n < 2000 THEN ['07700 900', '020 7946 0'][1 + n // 1000] || lpad((n % 1000)::VARCHAR, 3, '0')
        WHEN country = 'US' AND n < 2000 THEN '(' || [212, 213, 303, 305, 312, 404, 415, 503, 512, 602, 617, 646, 702, 713, 718, 773, 808, 818, 917, 972][1 + n // 100]
          || ') 555-01' || lpad((n % 100)::VARCHAR, 2, '0') END AS value
    FROM numbered)
  SELECT customer_id, namespace, value, verified, trust::INTEGER AS trust, first_seen, last_seen FROM (
    SELECT customer_id, 'email' AS namespace, value, draw(i, 'verified') < 0.8 AS verified, 80 AS trust, first_seen, last_seen FROM email
    UNION ALL SELECT customer_id, 'phone', value, draw(i, 'reached') < 0.5, 60, first_seen, last_seen FROM phone WHERE value IS NOT NULL
    UNION ALL SELECT customer_id, 'maid', CASE WHEN i % 50 = 0 THEN '00000000-0000-0000-0000-000000000000' ELSE md5('maid' || i)::UUID::VARCHAR END,
      NULL, 30, first_seen, last_seen FROM seen WHERE draw(i, 'app') < 0.3);

  CREATE TABLE consents AS
  WITH asked AS (
    SELECT *, CASE purpose WHEN 'ads_personalisation' THEN 0.72 WHEN 'email_marketing' THEN 0.66 ELSE 0.45 END AS share,
      getvariable('morning') - to_days(2 + floor(draw(i, purpose || 'since') * 900)::INTEGER) AS since
    FROM people, (SELECT unnest(['ads_personalisation', 'email_marketing', 'partner_offers']) AS purpose)),
  records AS (
    SELECT *, 'a' AS part, CASE WHEN draw(i, purpose) < share THEN 'granted' WHEN draw(i, purpose) < share + 0.10 THEN 'denied' ELSE 'pending' END AS status, since AS effective_from
    FROM asked WHERE draw(i, purpose) < share + 0.13
    UNION ALL
    SELECT *, 'b', 'withdrawn', since + to_hours(30) FROM asked WHERE draw(i, purpose) < share AND draw(i, purpose || 'withdrawn') < 0.05)
  SELECT 'r' || lpad(i::VARCHAR, 6, '0') || '-' || left(purpose, 1) || part AS record_id, customer_id, purpose, status, effective_from,
    NULL::TIMESTAMP AS effective_to, pick(i, 'source', ['checkout', 'preference_centre', 'newsletter']) AS source, NULL::VARCHAR AS namespace, NULL::VARCHAR AS value
  FROM records;

  CREATE TABLE support_ticket_opened AS
  SELECT 't' || lpad(i::VARCHAR, 6, '0') AS ticket_id, customer_id, getvariable('morning') - to_seconds((3600 + draw(i, 'ticket') * 86400 * 200)::BIGINT) AS occurred_at,
    pick(i, 'topic', ['delivery', 'return', 'payment', 'other']) AS topic
  FROM people WHERE draw(i, 'complains') < 0.10;

  CREATE TABLE erasures AS
  SELECT customer_id, getvariable('morning') - to_days(1 + i % 60) AS requested_at FROM people WHERE i % 500 = 3;`;

/** The day between the two mornings. */
const SECOND_DAY = `
  CREATE MACRO number_of(id) AS substr(id, 2)::INTEGER;
  CREATE TABLE ordered_again AS
    SELECT customer_id, favourite_category FROM customers
    WHERE last_order_at < getvariable('morning') - to_days(80) AND draw(number_of(customer_id), 'comes back') < 0.02;
  INSERT INTO order_completed
    SELECT 'o' || substr(customer_id, 2) || '-again', customer_id, getvariable('morning') - to_hours(9), '2', favourite_category,
      (20 + draw(number_of(customer_id), 'amount again') * 90)::DECIMAL(12, 2) FROM ordered_again
    UNION ALL  -- and everyday business
    SELECT 'o' || substr(customer_id, 2) || '-today', customer_id, getvariable('morning') - to_hours(6), '2', 'home',
      (20 + draw(number_of(customer_id), 'amount today') * 90)::DECIMAL(12, 2) FROM customers
    WHERE last_order_at >= getvariable('morning') - to_days(40) AND draw(number_of(customer_id), 'buys today') < 0.05;

  CREATE TABLE moved AS SELECT customer_id FROM customers WHERE draw(number_of(customer_id), 'moves') < 0.012;
  UPDATE identifiers SET value = 'new.' || substr(customer_id, 2) || '@example.com', verified = true,
      first_seen = getvariable('morning') - to_hours(12), last_seen = getvariable('morning') - to_hours(12)
    WHERE namespace = 'email' AND customer_id IN (FROM moved);
  DELETE FROM moved WHERE customer_id NOT IN (SELECT customer_id FROM identifiers WHERE namespace = 'email');

  CREATE TABLE withdrawn AS
    SELECT customer_id, purpose FROM consents WHERE status = 'granted' AND draw(number_of(customer_id), 'withdraws') < 0.012;
  INSERT INTO consents
    SELECT 'r' || substr(customer_id, 2) || '-' || left(purpose, 1) || 'w', customer_id, purpose, 'withdrawn', getvariable('morning') - to_hours(10),
      NULL, 'preference_centre', NULL, NULL FROM withdrawn;

  CREATE TABLE persuaded AS
    SELECT customer_id FROM customers WHERE draw(number_of(customer_id), 'is persuaded') < 0.08 AND customer_id NOT IN
      (SELECT customer_id FROM consents WHERE purpose = 'ads_personalisation' AND status <> 'pending');
  INSERT INTO consents
    SELECT 'r' || substr(customer_id, 2) || '-ay', customer_id, 'ads_personalisation', 'granted', getvariable('morning') - to_hours(11),
      NULL, 'preference_centre', NULL, NULL FROM persuaded;

  CREATE TABLE forgotten AS
    SELECT customer_id FROM customers WHERE draw(number_of(customer_id), 'forget me') < 0.006 AND customer_id NOT IN (SELECT customer_id FROM erasures);
  INSERT INTO erasures SELECT customer_id, getvariable('morning') - to_hours(8) FROM forgotten;

  CREATE OR REPLACE TABLE customers AS
  SELECT ${CUSTOMER_COLUMNS} FROM customers AS c LEFT JOIN ${ORDER_SUMS} AS o USING (customer_id);`;
