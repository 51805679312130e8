import { type Command, UsageError, WHERE } from '../command.ts';
import { compareEach } from '../compare.ts';
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
    compare: { value: 'revision', help: 'who would enter and leave, compared with the files of a git branch, tag or commit' },
    list: { value: 'file', help: 'with --compare: write who moves, a line of JSON for each member key' },
    ...WHERE,
  },
  details: `Without names: every audience that is sent somewhere. The plan is kept for 24 hours; "sluice sync --plan <id>" sends exactly it.

  sluice plan lapsed-vips
  sluice plan --json | jq '.[].syncs[].add'
  sluice plan --compare origin/main          in a pull request: what the change would do, per destination`,
  async run(call) {
    const tick = tickOf(call.values.tick);
    const { compare: ref, list } = call.values;
    if (list !== undefined && ref === undefined) throw new UsageError('"--list" goes with "--compare <revision>".');
    if (ref !== undefined)
      return inWorkspace(
        call,
        ['sluice plan', ...call.arguments, '--compare', ref].join(' '),
        (open) => compareEach(call, open, { ref, tick, only: call.values.only, list }),
        { memberKey: true },
      );
    return inWorkspace(call, ['sluice plan', ...call.arguments].join(' '), ({ workspace, actions }) => {
      const audiences = selectAudiences(workspace, call.arguments);
      const only = selectDestination(audiences, call.values.only);
      const names = audiences
        .filter(({ syncs }) => only === undefined || syncs.some(({ to }) => to === only))
        .map(({ name }) => name);
      return runEach(call, workspace, names, async (name) => [
        await actions.plan(name, {
          ...(tick !== undefined && { tick }),
          ...(only !== undefined && { destinations: [only] }),
        }),
      ]);
    });
  },
};
