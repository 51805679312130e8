import { reject as rejectPlan } from '../../core/run/operations.ts';
import { type Command, EXIT } from '../command.ts';
import { inWorkspace } from '../session.ts';

export const reject: Command = {
  name: 'reject',
  summary: 'drop a held plan; it is never sent',
  arguments: '<plan>',
  takes: [1, 1],
  options: {},
  details: `What the plan would have sent is deleted. The next run makes a new one.

  sluice reject 01JD0V3Z5Q4X8R2N6M9K7H1GTB`,
  run: (call) =>
    inWorkspace(call, `sluice reject ${call.arguments.join(' ')}`, async ({ operations }) => {
      const [id = ''] = call.arguments;
      const { of } = await rejectPlan(operations, id);
      if (call.json) call.terminal.print(JSON.stringify({ plan: id, audience: of.audience, state: 'rejected' }));
      else call.terminal.say(`Plan ${id} of "${of.audience}" is dropped. Nothing was sent.`);
      return EXIT.done;
    }),
};
