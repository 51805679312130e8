import type { Op } from '../connector.ts';
import type { Resolved } from './relations.ts';

/**
 * Requests and seconds a delta will take: rows over the connector's rows a request, at the pace of the destination's slowest window.
 * A lower bound where the byte limit binds before the row limit.
 */
export function estimateOf({ connector, destination }: Resolved, rows: Readonly<Record<Op, number>>): { requests: number; seconds: number } {
  const { limits } = connector;
  const requests = (['remove', 'upsert'] as const).reduce((sum, op) => sum + Math.ceil(rows[op] / (limits.perOp?.[op]?.rows ?? limits.rows)), 0);
  // A window that is not filled costs no time; one that is, costs its length for every filling.
  const seconds = Math.max(0, ...destination.budget.windows.map((window) => ((requests - 1) * window.seconds) / window.requests));
  return { requests, seconds: requests === 0 ? 0 : Math.ceil(seconds) };
}
