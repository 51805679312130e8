import type { Operations } from '../../../core/run/operations.ts';
import type { Row } from '../../../core/ports.ts';
import { sha256Hex } from '../../../core/identifiers.ts';
import { RECEIPT_COLUMNS } from '../../../core/sql/receipts.ts';
import type { Day, World } from '../run/world.ts';

export const T = Date.parse('2026-06-01T06:00:00Z');
export const DAY = 86_400_000;
const BUDGET = 'budget: { requests: 100000, per: second, concurrency: 4 }\n';
export const META = `connector: meta\npurpose: ads\nsettings: { ad_account_id: "1234567890" }\nsecret: meta\n${BUDGET}`;
export const HOOK = `connector: webhook\npurpose: mail\nsecret: hook\n${BUDGET}`;

export const people = (...ids: string[]): Day['customers'] => ids.map((id) => ({ id, tier: 'gold', country: 'DE' }));
export const mails = (of: Record<string, string>): NonNullable<Day['identifiers']> =>
  Object.entries(of).map(([id, value]) => ({ id, namespace: 'email', value }));
/** Grants of both purposes for everybody, withdrawn for some. */
export const consents = (ids: readonly string[], refused: readonly string[] = []): NonNullable<Day['consents']> =>
  ids.flatMap((id) =>
    ['ads', 'mail'].map((purpose) => ({
      id,
      purpose,
      status: refused.includes(id) ? 'withdrawn' : 'granted',
      from: '2026-01-01T00:00:00',
    })),
  );

export const memberOf = ({ ports }: Operations, id: string): string => sha256Hex(ports.memberKey + id).slice(0, 32);

/** Every receipt that lies in the folder, whether a link names it or not, as a query over the whole dataset would see it. */
export async function receiptsIn(world: World): Promise<readonly Row[]> {
  return world.open(async ({ ports }) => {
    const { receipts } = ports.store;
    const keys = (await receipts.list('dt=')).filter((key) => key.endsWith('.parquet'));
    const files = { format: 'parquet' as const, locations: keys.map((key) => receipts.location(key)), rows: 0, bytes: 0 };
    return ports.warehouse.rows({
      sql: `SELECT * FROM receipts ORDER BY tick, run, destination, member, operation DESC`,
      relations: { receipts: { files, columns: RECEIPT_COLUMNS } },
    });
  });
}
