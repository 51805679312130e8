import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { RunReport } from '../../core/run/report.ts';
import type { Sandbox } from '../../sandbox/server.ts';
import { count } from '../render/table.ts';
import { inDatabase } from './shop.ts';

/**
 * Sentences about what the stand-ins hold after the last runs, from the tables and by SQL that shares nothing with the engine:
 * nobody who refused or was erased is held, by any value that is theirs alone.
 */
export async function proofOf(
  shop: string,
  now: number,
  reports: readonly RunReport[],
  sandbox: Sandbox,
): Promise<readonly string[]> {
  const at = new Date(now).toISOString().slice(0, 19);
  const barred = (purpose: string) =>
    inDatabase((run) => run(barredQuery(shop, purpose, at)) as Promise<unknown> as Promise<readonly Barred[]>);
  const lines: string[] = [];
  for (const { connector, purpose, who } of [
    { connector: 'meta', purpose: 'ads_personalisation', who: 'Meta' },
    { connector: 'braze', purpose: 'email_marketing', who: 'Braze' },
  ]) {
    const lists = [...sandbox.platform(connector).held().values()];
    const held = new Set(lists.flatMap((list) => [...list]));
    const people = await barred(purpose);
    const found = people.filter(
      ({ customer_id: id, email }) => held.has(id) || held.has(`external_id:${id}`) || (email !== null && isHeld(held, email)),
    );
    const ledger = reports.flatMap(({ syncs }) => syncs).filter(({ destination }) => destination.startsWith(connector));
    const members = ledger.reduce((sum, { members: some }) => sum + some, 0);
    lines.push(
      `${who} holds ${count(held.size)} entries for ${count(members)} members. ${count(people.length)} customers may not be sent there ` +
        `(no consent, withdrawn, expired or erased): ${count(found.length)} of them are held.`,
    );
  }
  return lines;
}

interface Barred {
  readonly customer_id: string;
  readonly email: string | null;
}

/** Customers without a valid grant, or erased; with their e-mail address where nobody else has it. */
const barredQuery = (shop: string, purpose: string, at: string) => `
  WITH latest AS (
    SELECT customer_id, arg_max(status, effective_from) AS status, max(effective_from) AS since
    FROM '${join(shop, 'consents.parquet')}' WHERE purpose = '${purpose}' AND effective_from <= TIMESTAMP '${at}' GROUP BY customer_id),
  barred AS (
    SELECT c.customer_id FROM '${join(shop, 'customers.parquet')}' AS c LEFT JOIN latest AS l USING (customer_id)
    WHERE c.customer_id IN (SELECT customer_id FROM '${join(shop, 'erasures.parquet')}')
       OR l.status IN ('denied', 'withdrawn')
       -- In the United States advertising goes by opt-out; everywhere else it takes a grant, not older than two years.
       OR (NOT (c.country IS NOT DISTINCT FROM 'US' AND '${purpose}' = 'ads_personalisation')
           AND (l.status IS DISTINCT FROM 'granted'
                OR ('${purpose}' = 'ads_personalisation' AND l.since <= TIMESTAMP '${at}' - INTERVAL 730 DAY)))),
  emails AS (SELECT customer_id, lower(trim(value)) AS email FROM '${join(shop, 'identifiers.parquet')}' WHERE namespace = 'email')
  SELECT b.customer_id, any_value(e.email) AS email
  FROM barred AS b LEFT JOIN emails AS e ON e.customer_id = b.customer_id
    AND e.email NOT IN (SELECT email FROM emails WHERE customer_id NOT IN (FROM barred))
  GROUP BY b.customer_id`;

const isHeld = (held: ReadonlySet<string>, email: string): boolean =>
  held.has(`email:${createHash('sha256').update(email).digest('hex')}`);
