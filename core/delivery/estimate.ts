import type { Connector, Op } from '../connector.ts';
import type { Destination } from '../model.ts';

/**
 * What a delta will take: rows over the connector's rows a request, at the pace of the destination's slowest window.
 *
 * @param counts rows to send by operation
 * @param budget the destination's
 * @returns requests, and whole seconds; a lower bound where bytes or several exchanges a batch bind before rows do
 */
export function estimate(
  connector: Pick<Connector, 'limits'>,
  counts: Readonly<Record<Op, number>>,
  budget: Pick<Destination['budget'], 'windows'>,
): { readonly requests: number; readonly seconds: number } {
  const { limits } = connector;
  let requests = 0;
  for (const op of ['remove', 'upsert'] as const) requests += Math.ceil(counts[op] / (limits.perOp?.[op]?.rows ?? limits.rows));
  // Requests are spread evenly over a window and the first costs no waiting; a window that is never filled does not bind.
  const seconds = budget.windows.map((window) => ((requests - 1) * window.seconds) / window.requests);
  return { requests, seconds: requests === 0 ? 0 : Math.ceil(Math.max(0, ...seconds)) };
}
