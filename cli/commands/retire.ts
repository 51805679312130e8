import { orphans } from '../../core/run/demanded.ts';
import { type Command, CommandFailed, EXIT, WHERE } from '../command.ts';
import { plural } from '../render/table.ts';
import { runEach } from '../runs.ts';
import { inWorkspace } from '../session.ts';

export const retire: Command = {
  name: 'retire',
  summary: 'take everybody out of a list that no file speaks of any more',
  arguments: '<audience> <destination>',
  takes: [2, 2],
  options: { abandon: { help: 'the destination is gone for good: empty our ledger and ask nobody' }, ...WHERE },
  details: `When an audience or one of its syncs is deleted, its people stay at the destination and in the ledger: "sluice status" shows how many. Until
they are taken out, withdrawals and erasures still reach them in every sync. A sync that is still in a file is not retired: delete it there
first.

  sluice retire old-customers meta-eu`,
  run: (call) =>
    inWorkspace(call, `sluice retire ${call.arguments.join(' ')}`, async ({ ports, actions }) => {
      const [audience = '', destination = ''] = call.arguments;
      const known = await orphans(ports);
      const found = known.find((one) => one.audience === audience && one.destination === destination);
      if (found === undefined) {
        const others = known.map((one) => `${one.audience} ${one.destination}`).join(', ');
        throw new CommandFailed(
          `No ledger of "${audience}" at ${destination} is left over. ${others === '' ? 'None is at all.' : `Left over are: ${others}.`}`,
        );
      }
      if (call.switches.has('abandon')) {
        await actions.abandon(audience, destination, call.clock.now());
        call.terminal.say(
          `The ledger of "${audience}" at ${destination} is empty now. ${destination} was not asked; ${plural(found.members, 'member')} may still be there.`,
        );
        return EXIT.done;
      }
      if (!found.reachable)
        throw new CommandFailed(
          `destinations/${destination}.yaml is gone, so ${destination} cannot be asked to let ${plural(found.members, 'member')} go. ` +
            `Put it back, or give the ledger up when the account is closed: sluice retire ${audience} ${destination} --abandon`,
        );
      return runEach(call, ports.workspace, [audience], async () => {
        const report = await actions.retire(audience, destination, call.clock.now());
        return report === undefined ? [] : [report];
      });
    }),
};
