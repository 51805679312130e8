import { type Command, WHERE } from '../command.ts';
import { runEach } from '../runs.ts';
import { inWorkspace } from '../session.ts';

export const approve: Command = {
  name: 'approve',
  summary: 'send exactly the held plan',
  arguments: '<plan>',
  takes: [1, 1],
  options: WHERE,
  details: `The id stands in the message of the hold, and in "sluice status". A plan that the ledger or the files have overtaken is refused.

  sluice approve 01JD0V3Z5Q4X8R2N6M9K7H1GTB`,
  run: (call) =>
    inWorkspace(call, `sluice approve ${call.arguments.join(' ')}`, ({ workspace, actions }) =>
      runEach(call, workspace, call.arguments, async (id) => [await actions.approve(id)]),
    ),
};
