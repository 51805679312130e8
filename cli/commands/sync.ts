import { type Command, EXIT, UsageError, WHERE } from '../command.ts';
import { runEach, tickOf } from '../runs.ts';
import { tend } from '../tend.ts';
import { selectAudiences, selectDestination } from '../selection.ts';
import { inWorkspace, worst } from '../session.ts';

export const sync: Command = {
  name: 'sync',
  summary: 'plan, check against the guardrails, and send the difference',
  arguments: '[audience...]',
  takes: [0, Number.POSITIVE_INFINITY],
  options: {
    plan: { value: 'id', help: 'send exactly this plan, or nothing' },
    tick: { value: 'instant', help: '"now" of the run, such as 2026-11-22T06:00:00Z; default: now' },
    only: { value: 'destination', help: 'leave out the other destinations' },
    ...WHERE,
  },
  details: `Without names: every audience that is sent somewhere. A run that would change more than its guardrails allow is held, and sends nothing.
Ctrl-C stops after the batch in flight; the same command goes on from there.

  sluice sync lapsed-vips
  sluice sync --plan 01JD0V3Z5Q4X8R2N6M9K7H1GTB`,
  async run(call) {
    const { plan, only: destination } = call.values;
    if (plan !== undefined && (call.arguments.length > 0 || destination !== undefined || call.values.tick !== undefined)) {
      throw new UsageError('A plan says already what is sent, where and as of when: "--plan" stands alone.');
    }
    const tick = tickOf(call.values.tick);
    return inWorkspace(call, ['sluice sync', ...call.arguments].join(' '), async (open) => {
      const { workspace, actions, ports } = open;
      if (plan !== undefined) return runEach(call, workspace, [plan], async (id) => [await actions.syncPlan(id)]);
      const audiences = selectAudiences(workspace, call.arguments);
      const only = selectDestination(audiences, destination);
      const names = audiences
        .filter(({ syncs }) => only === undefined || syncs.some(({ to }) => to === only))
        .map(({ name }) => name);
      // A deployment tends its ledgers and erasures itself, every hour.
      const tended = open.deployment === undefined ? await tend(call, ports, tick ?? call.clock.now()) : EXIT.done;
      const sent = await runEach(call, workspace, names, async (name) => {
        const {
          report,
          continued,
          demanded = [],
        } = await actions.sync(name, {
          ...(tick !== undefined && { tick }),
          ...(only !== undefined && { destinations: [only] }),
        });
        if (continued !== undefined)
          call.terminal.say(`"${name}": run ${continued.run} had been interrupted and was carried to its end first.`);
        if (demanded.length > 0)
          call.terminal.say(`"${name}" was held; who refused or asked to be forgotten was taken out all the same.`);
        return [...(continued ? [continued] : []), ...demanded, report];
      });
      return worst([tended, sent]);
    });
  },
};
