import { type Command, EXIT, WHERE } from '../command.ts';
import { selectAudiences, selectDestination } from '../selection.ts';
import { inWorkspace } from '../session.ts';

export const rollback: Command = {
  name: 'rollback',
  summary: 'make an earlier generation of a ledger the current one',
  arguments: '<audience> <destination> <generation>',
  takes: [3, 3],
  options: WHERE,
  details: `A way out of a damaged ledger file, not an undo at the platform: what was sent since then is unknown to the ledger afterwards, so the
next run sends that difference again. "sluice history <audience>" lists the generations.

  sluice rollback lapsed-vips meta-eu 01JD0V3Z5Q4X8R2N6M9K7H1GTB`,
  run: (call) =>
    inWorkspace(call, `sluice rollback ${call.arguments.join(' ')}`, async ({ workspace, actions }) => {
      const [name = '', destination = '', generation = ''] = call.arguments;
      selectDestination(selectAudiences(workspace, [name]), destination);
      const pointer = await actions.rollback(name, destination, generation);
      if (call.json)
        call.terminal.print(
          JSON.stringify({ audience: name, destination, generation: pointer.generation, members: pointer.members.files.rows }),
        );
      else
        call.terminal.say(
          `The ledger of "${name}" at ${destination} is generation ${generation} again. Look before you send: sluice plan ${name}`,
        );
      return EXIT.done;
    }),
};
