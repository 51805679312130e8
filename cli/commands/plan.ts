import { plan as makePlan } from '../../core/run/operations.ts';
import type { Command } from '../command.ts';
import { runEach, tickOf } from '../runs.ts';
import { selectAudiences, selectDestination } from '../selection.ts';
import { inWorkspace } from '../session.ts';

export const plan: Command = {
  name: 'plan',
  summary: 'compare audiences with what destinations hold; send nothing',
  arguments: '[audience...]',
  takes: [0, Number.POSITIVE_INFINITY],
  options: {
    tick: { value: 'instant', help: '"now" of the run, such as 2026-11-22T06:00:00Z; default: now' },
    only: { value: 'destination', help: 'leave out the other destinations' },
  },
  details: `Without names: every audience that is sent somewhere. The plan is kept for 24 hours; "sluice sync --plan <id>" sends exactly it.

  sluice plan lapsed-vips
  sluice plan --json | jq '.[].syncs[].add'`,
  async run(call) {
    const tick = tickOf(call.values.tick);
    return inWorkspace(call, ['sluice plan', ...call.arguments].join(' '), ({ workspace, operations }) => {
      const audiences = selectAudiences(workspace, call.arguments);
      const only = selectDestination(audiences, call.values.only);
      const names = audiences
        .filter(({ syncs }) => only === undefined || syncs.some(({ to }) => to === only))
        .map(({ name }) => name);
      return runEach(call, names, async (name) => [
        await makePlan(operations, name, {
          ...(tick !== undefined && { tick }),
          ...(only !== undefined && { destinations: [only] }),
        }),
      ]);
    });
  },
};
