import type { Warehouse, WarehouseUsage } from '../ports.ts';

/** What queries read and cost; left out where the engine bills nothing, as on a laptop. */
export interface Metered {
  readonly usage?: WarehouseUsage;
}

/**
 * A step, and in its result what its queries read and cost. Steps hand it on as values: a result that comes from a journal was paid for once.
 * What a step reads that then fails is not in anybody's result; a query that outlives its worker is in that of the worker that ends it.
 */
export const metered =
  (warehouse: Warehouse) =>
  <I, O extends object>(step: (input: I) => Promise<O>): ((input: I) => Promise<O & Metered>) =>
  async (input) => {
    const before = warehouse.usage?.();
    const result = await step(input);
    return { ...result, ...usedSince(warehouse, before) };
  };

/** What a warehouse was used for since it said `before`. */
export function usedSince(warehouse: Warehouse, before: WarehouseUsage | undefined): Metered {
  const now = warehouse.usage?.();
  if (now === undefined) return {};
  const { queries = 0, scannedBytes = 0, billedBytes = 0, usd = 0 } = before ?? {};
  return {
    usage: {
      queries: now.queries - queries,
      scannedBytes: now.scannedBytes - scannedBytes,
      billedBytes: now.billedBytes - billedBytes,
      usd: now.usd - usd,
    },
  };
}

/** All of them together. */
export function together(...parts: readonly (Metered | undefined)[]): Metered {
  const known = parts.flatMap((part) => part?.usage ?? []);
  const sum = (of: keyof WarehouseUsage): number => known.reduce((total, usage) => total + usage[of], 0);
  return known.length === 0
    ? {}
    : {
        usage: {
          queries: sum('queries'),
          scannedBytes: sum('scannedBytes'),
          billedBytes: sum('billedBytes'),
          usd: sum('usd'),
        },
      };
}
