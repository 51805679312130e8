import { type HistoryEntry, history as historyOf } from '../../core/run/operations.ts';
import { type Command, EXIT, UsageError, WHERE } from '../command.ts';
import { table } from '../render/table.ts';
import { instant } from '../render/time.ts';
import { selectAudiences } from '../selection.ts';
import { inWorkspace } from '../session.ts';

const SHOWN = 20;

export const history: Command = {
  name: 'history',
  summary: 'runs and plans, newest first, and the generations that are kept',
  arguments: '[audience]',
  takes: [0, 1],
  options: { limit: { value: 'number', help: `how many runs; default: ${SHOWN}` }, ...WHERE },
  details: `A generation is what a destination had accepted after that run; it is named after the run. "current" is what the next plan compares with.

  sluice history lapsed-vips --limit 5`,
  async run(call) {
    const limit = Number(call.values.limit ?? SHOWN);
    if (!Number.isSafeInteger(limit) || limit < 1)
      throw new UsageError(`"--limit" needs a whole number from 1; got "${call.values.limit}".`);
    return inWorkspace(call, 'sluice history', async ({ workspace, operations }) => {
      const [name] = call.arguments;
      if (name !== undefined) selectAudiences(workspace, [name]);
      const runs = await historyOf(operations, name, limit);
      if (call.json) call.terminal.print(JSON.stringify(runs, null, 2));
      else if (runs.length === 0) call.terminal.say('No run yet. Start with: sluice plan');
      else for (const line of lines(runs)) call.terminal.print(line);
      return EXIT.done;
    });
  },
};

const lines = (runs: readonly HistoryEntry[]) =>
  table(
    ['run', 'as of', 'audience', 'state', 'destination', 'add', 'update', 'remove', 'generation'].map((title) => ({ title })),
    runs.flatMap((run) =>
      run.plans.map(({ destination, counts }, index) => [
        ...(index === 0 ? [run.run, instant(run.tick), run.audience, run.state] : ['', '', '', '']),
        destination,
        counts.add,
        counts.update,
        counts.remove,
        run.generations[destination] === undefined ? '' : run.generations[destination] ? 'current' : 'kept',
      ]),
    ),
  );
