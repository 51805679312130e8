import { type Command, EXIT, WHERE } from '../command.ts';
import { inWorkspace } from '../session.ts';

export const reject: Command = {
  name: 'reject',
  summary: 'drop a held plan; it is never sent',
  arguments: '<plan>',
  takes: [1, 1],
  options: WHERE,
  details: `What the plan would have sent is deleted. The next run makes a new one.

  sluice reject 01JD0V3Z5Q4X8R2N6M9K7H1GTB`,
  run: (call) =>
    inWorkspace(call, `sluice reject ${call.arguments.join(' ')}`, async ({ actions }) => {
      const [id = ''] = call.arguments;
      const audience = await actions.reject(id);
      if (call.json) call.terminal.print(JSON.stringify({ plan: id, audience, state: 'rejected' }));
      else call.terminal.say(`Plan ${id} of "${audience}" is dropped. Nothing was sent.`);
      return EXIT.done;
    }),
};
