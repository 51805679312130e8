import type { Duration } from './model.ts';

/** How long snapshots, deltas and journals of runs are kept where policies/retention.yaml says nothing: enough to look into a run. */
export const DELTAS_KEPT: Duration = { amount: 7, unit: 'day' };
