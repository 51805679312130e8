import { type Command, EXIT, WHERE } from '../command.ts';
import { selectAudiences, selectDestination } from '../selection.ts';
import { inWorkspace } from '../session.ts';

export const retry: Command = {
  name: 'retry',
  summary: 'let rows that a destination keeps rejecting be sent again',
  arguments: '<audience> [destination]',
  takes: [1, 2],
  options: WHERE,
  details: `A row rejected three times running with the same payload is parked. This forgets the rejections, so the next run sends the rows again.

  sluice retry lapsed-vips braze-eu && sluice sync lapsed-vips`,
  run: (call) =>
    inWorkspace(call, `sluice retry ${call.arguments.join(' ')}`, async ({ workspace, actions }) => {
      const [name = '', destination] = call.arguments;
      const [audience] = selectAudiences(workspace, [name]);
      if (audience === undefined) return EXIT.done;
      const only = selectDestination([audience], destination);
      const done = audience.syncs.map(({ to }) => to).filter((to) => only === undefined || to === only);
      for (const to of done) await actions.retry(name, to);
      if (call.json) call.terminal.print(JSON.stringify({ audience: name, destinations: done }));
      else
        call.terminal.say(
          `The next run of "${name}" sends rejected and parked rows to ${done.join(', ')} again: sluice sync ${name}`,
        );
      return EXIT.done;
    }),
};
