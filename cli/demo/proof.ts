import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { count } from '../render/table.ts';
import { inDatabase } from './shop.ts';

/** What a stand-in holds at a moment, over all its lists: external ids, or `namespace:value`. */
export type Held = ReadonlySet<string>;

export interface Claim {
  readonly who: string;
  readonly purpose: string;
  readonly before: Held;
  readonly after: Held;
}

/**
 * How many of the people who may not be sent for a purpose were held by a stand-in before and are held after, from the tables alone, by SQL
 * that shares nothing with the engine: by their customer id, and by an e-mail address that nobody entitled shares.
 * @param now epoch milliseconds of the last run
 */
export async function barredIn(
  shop: string,
  now: number,
  claim: Claim,
): Promise<{ readonly people: number; readonly before: number; readonly after: number }> {
  const at = new Date(now).toISOString().slice(0, 19);
  const people = (await inDatabase((run) => run(barredQuery(shop, claim.purpose, at)))) as unknown as readonly Barred[];
  const within = (held: Held) => people.filter((one) => isHeld(held, one)).length;
  return { people: people.length, before: within(claim.before), after: within(claim.after) };
}

/** The claim as sentences, with the verdict in it: true only when nobody who may not be sent is held. */
export async function proofOf(
  shop: string,
  now: number,
  claim: Claim,
): Promise<{ readonly holds: boolean; readonly text: string }> {
  const { people, before, after } = await barredIn(shop, now, claim);
  return {
    holds: after === 0,
    text: `${claim.who}: ${count(people)} customers may not be sent there (no consent, withdrawn, expired, erased). It held ${count(before)} of them yesterday, and holds ${count(after)} now.`,
  };
}

interface Barred {
  readonly customer_id: string;
  readonly email: string | null;
}

/** Customers without a valid decision for the purpose, or erased; with their e-mail address where nobody entitled has it too. */
const barredQuery = (shop: string, purpose: string, at: string) => {
  const table = (name: string) => `'${join(shop, `${name}.parquet`).replaceAll("'", "''")}'`;
  return `
  WITH latest AS (
    SELECT customer_id, arg_max(status, effective_from) AS status, max(effective_from) AS since
    FROM ${table('consents')} WHERE purpose = '${purpose}' AND effective_from <= TIMESTAMP '${at}' GROUP BY customer_id),
  barred AS (
    SELECT c.customer_id FROM ${table('customers')} AS c LEFT JOIN latest AS l USING (customer_id)
    WHERE c.customer_id IN (SELECT customer_id FROM ${table('erasures')})
       OR l.status IN ('denied', 'withdrawn')
       -- In the United States advertising goes by opt-out; everywhere else it takes a grant, not older than two years.
       OR (NOT (c.country IS NOT DISTINCT FROM 'US' AND '${purpose}' = 'ads_personalisation')
           AND (l.status IS DISTINCT FROM 'granted'
                OR ('${purpose}' = 'ads_personalisation' AND l.since <= TIMESTAMP '${at}' - INTERVAL 730 DAY)))),
  emails AS (SELECT customer_id, lower(trim(value)) AS email FROM ${table('identifiers')} WHERE namespace = 'email')
  SELECT b.customer_id, any_value(e.email) AS email
  FROM barred AS b LEFT JOIN emails AS e ON e.customer_id = b.customer_id
    AND e.email NOT IN (SELECT email FROM emails WHERE customer_id NOT IN (FROM barred))
  GROUP BY b.customer_id`;
};

const isHeld = (held: Held, { customer_id: id, email }: Barred): boolean =>
  held.has(id) ||
  held.has(`external_id:${id}`) ||
  (email !== null && held.has(`email:${createHash('sha256').update(email).digest('hex')}`));
