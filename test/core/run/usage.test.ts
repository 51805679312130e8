import { describe, expect, it } from 'vitest';
import type { Warehouse, WarehouseUsage } from '../../../core/ports.ts';
import { metered, together, usedSince } from '../../../core/run/usage.ts';

const used = (queries: number): WarehouseUsage => ({
  queries,
  scannedBytes: queries * 1_000,
  billedBytes: queries * 4_000,
  usd: queries / 4,
});

describe('what queries read and cost', () => {
  it('stands in the result of the step that asked them, without what was asked before', async () => {
    let asked = 3;
    const warehouse = { usage: () => used(asked) } as Warehouse;
    const step = metered(warehouse)(async (n: number) => {
      asked += n;
      return { rows: n };
    });
    expect(await step(2)).toEqual({ rows: 2, usage: used(2) });
    expect(await step(1)).toEqual({ rows: 1, usage: used(1) });
    expect(usedSince(warehouse, undefined)).toEqual({ usage: used(6) });
  });

  it('is left out where the engine bills nothing', async () => {
    const warehouse = {} as Warehouse;
    expect(await metered(warehouse)(async () => ({ rows: 1 }))(null)).toEqual({ rows: 1 });
    expect(together({}, undefined, {})).toEqual({});
  });

  it('is added up over the steps that have any', () => {
    expect(together({ usage: used(1) }, {}, undefined, { usage: used(4) })).toEqual({ usage: used(5) });
  });
});
