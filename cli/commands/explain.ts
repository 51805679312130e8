import { explain as explainCustomer } from '../../core/explain/explain.ts';
import { type Command, EXIT, type Exit, WHERE } from '../command.ts';
import { customerIdOf } from '../customer-id.ts';
import { explanationText } from '../render/explain.ts';
import { tickOf } from '../runs.ts';
import { selectAudiences } from '../selection.ts';
import { inWorkspace } from '../session.ts';
import type { OpenWorkspace } from '../wiring.ts';

export const explain: Command = {
  name: 'explain',
  summary: 'why a person is in an audience or out, and what a run would do with them',
  arguments: '<customer-id | ->',
  takes: [1, 1],
  options: {
    audience: { value: 'name', help: 'only this audience; default: all' },
    values: { help: "also the person's values that the rules test: personal data" },
    tick: { value: 'instant', help: '"now", such as 2026-11-22T06:00:00Z; default: now' },
    ...WHERE,
  },
  details: `For every audience: each clause of the rule, met or not. For every destination: what a run would do, consent and the record it rests on, which
identifiers could be sent, what the ledger holds, and the last receipt. Reads tables and sends nothing. Without --values it prints no personal data.

  sluice explain c-1017 --audience lapsed-vips
  printf %s "$CUSTOMER" | sluice explain -          the id is in no shell history`,
  async run(call) {
    const tick = tickOf(call.values.tick) ?? call.clock.now();
    const id = await customerIdOf(call.arguments[0] ?? '');
    const work = async ({ workspace, ports }: OpenWorkspace): Promise<Exit> => {
      const { audience } = call.values;
      if (audience !== undefined) selectAudiences(workspace, [audience]);
      const found = await explainCustomer(ports, id, {
        tick,
        values: call.switches.has('values'),
        ...(audience !== undefined && { audiences: [audience] }),
      });
      if (call.json) call.terminal.print(JSON.stringify(found, null, 2));
      else for (const line of explanationText(found, call.terminal.style)) call.terminal.print(line);
      return EXIT.done;
    };
    return inWorkspace(call, 'sluice explain', work, { memberKey: true });
  },
};
