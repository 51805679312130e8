import { purposesSentFor } from '../../core/run/withdraw.ts';
import { didYouMean } from '../arguments.ts';
import { type Command, EXIT, UsageError, WHERE } from '../command.ts';
import { plural } from '../render/table.ts';
import { instant } from '../render/time.ts';
import { tickOf } from '../runs.ts';
import { inWorkspace } from '../session.ts';

export const withdraw: Command = {
  name: 'withdraw',
  summary: 'stop sending somebody who withdrew, before the tables know',
  arguments: '<customer-id...>',
  takes: [1, Number.POSITIVE_INFINITY],
  options: {
    purpose: { value: 'name', help: 'only for this purpose; default: every purpose that a destination sends for' },
    at: { value: 'instant', help: 'when they withdrew, such as 2026-11-22T06:00:00Z; default: now' },
    lift: { help: 'take it back: it was a mistake' },
    ...WHERE,
  },
  details: `Reaches deliveries that are running, on every machine that shares the store; the next run removes who was sent already. The consents table
remains the source of truth: the entry holds until the table has a record of that person and purpose that began then or later, whatever it
says. Only a keyed hash of the id is kept. To forget somebody for good: sluice forget.

  sluice withdraw C-10442
  sluice withdraw C-10442 --purpose ads_personalisation --at 2026-11-22T06:00:00Z`,
  run: (call) =>
    inWorkspace(
      call,
      `sluice withdraw ${call.arguments.length === 1 ? '<customer-id>' : '<customer-id...>'}`,
      async ({ ports, actions }) => {
        const known = purposesSentFor(ports);
        const { purpose } = call.values;
        if (purpose !== undefined && !known.includes(purpose))
          throw new UsageError(`No destination sends for the purpose "${purpose}".${didYouMean(purpose, known)}`);
        const purposes = purpose === undefined ? known : [purpose];
        const people = plural(call.arguments.length, 'person', 'people');
        if (call.switches.has('lift')) {
          const lifted = await actions.lift(call.arguments, purposes);
          if (call.json) call.terminal.print(JSON.stringify({ lifted, purposes }));
          else call.terminal.say(`${plural(lifted, 'entry', 'entries')} of ${people} lifted. What the tables say counts again.`);
          return EXIT.done;
        }
        const at = tickOf(call.values.at) ?? call.clock.now();
        await actions.withdraw(call.arguments, purposes, at);
        if (call.json)
          call.terminal.print(JSON.stringify({ stopped: call.arguments.length, purposes, at: new Date(at).toISOString() }));
        else
          call.terminal.say(
            `${people} will not be sent any more for ${purposes.join(', ')} (withdrawn ${instant(at)}). Who was sent already is removed by the next run: sluice sync`,
          );
        return EXIT.done;
      },
    ),
};
