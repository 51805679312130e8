import type { Places } from './durable.ts';
import type { environmentOf } from './environment.ts';

/** Which function has the privileges for which step. */
export const workersOf = (env: ReturnType<typeof environmentOf<'run'>>): Places['workers'] => ({
  gate: env.SLUICE_MATERIALIZE,
  materialize: env.SLUICE_MATERIALIZE,
  withdrawn: env.SLUICE_MATERIALIZE,
  recheck: env.SLUICE_MATERIALIZE,
  diff: env.SLUICE_DIFF,
  begin: env.SLUICE_DELIVER,
  deliver: env.SLUICE_DELIVER,
  finish: env.SLUICE_DELIVER,
  commit: env.SLUICE_COMMIT,
  demanded: env.SLUICE_FORGET,
  publish: env.SLUICE_PUBLISH,
});
