import { history, status as statusOf } from '../../core/run/operations.ts';
import { erasures } from '../../core/forget/forget.ts';
import { orphans } from '../../core/run/demanded.ts';
import { type Command, EXIT, WHERE } from '../command.ts';
import { erasureText } from '../render/erasure.ts';
import { demandedText } from '../render/report.ts';
import { count, plural, table } from '../render/table.ts';
import { instant } from '../render/time.ts';
import { selectAudiences } from '../selection.ts';
import { inWorkspace } from '../session.ts';

export const status: Command = {
  name: 'status',
  summary: 'where every sync stands: members, last run, what waits for a person',
  arguments: '[audience...]',
  takes: [0, Number.POSITIVE_INFINITY],
  options: WHERE,
  details: `Exit code 3 when a plan is held, 1 when a ledger is damaged.

  sluice status --json | jq '.syncs[] | {audience, destination, members}'`,
  run: (call) =>
    inWorkspace(call, 'sluice status', async ({ workspace, operations }) => {
      const names = selectAudiences(workspace, call.arguments).map(({ name }) => name);
      const syncs = await statusOf(operations, names);
      const all = call.arguments.length === 0;
      const left = all ? await orphans(operations.ports) : [];
      const open = all ? (await erasures(operations.ports)).filter(({ receipt }) => receipt === undefined) : [];
      // Only the newest run of an audience can wait for anybody: a newer one has decided anew.
      const newest = new Map((await history(operations)).toReversed().map((run) => [run.audience, run]));
      const held = [...newest.values()].filter((run) => run.state === 'held' && names.includes(run.audience));
      const exit = syncs.some((sync) => sync.damaged !== undefined) ? EXIT.failed : held.length > 0 ? EXIT.held : EXIT.done;
      if (call.json) {
        call.terminal.print(
          JSON.stringify(
            {
              syncs,
              held: held.map(({ run, audience, held: why }) => ({ plan: run, audience, held: why })),
              left: left.map(({ audience, destination, members, reachable }) => ({ audience, destination, members, reachable })),
              erasures: open.map(({ id, status: state }) => ({ id, status: state })),
            },
            null,
            2,
          ),
        );
        return exit;
      }
      const { print, style } = call.terminal;
      const [header = '', ...rows] = table(
        ['audience', 'destination', 'mode', 'members', 'as of', 'last run'].map((title) => ({
          title,
          ...(title === 'members' && { align: 'right' as const }),
        })),
        syncs.map((sync) => [
          sync.audience,
          sync.destination,
          sync.mode,
          sync.damaged === undefined ? sync.members : undefined,
          sync.at === null ? 'never' : instant(sync.at),
          sync.lastRun === null ? '' : `${sync.lastRun.state} ${sync.lastRun.id}`,
        ]),
      );
      print(style('dim', header));
      for (const [index, sync] of syncs.entries()) {
        print(rows[index] ?? '');
        if (sync.uncertain > 0)
          print(
            style(
              'yellow',
              `  ${count(sync.uncertain)} more may be held there: no clear answer came yet. The next run settles it`,
            ),
          );
        if (sync.demanded !== null) print(style('dim', `  ${demandedText(sync.demanded)}`));
        for (const { reason, count: people } of sync.parked) print(style('yellow', `  ${count(people)} parked: ${reason}`));
        if (sync.damaged !== undefined) print(style('red', sync.damaged.replaceAll(/^/gm, '  ')));
      }
      for (const one of left) print(style('yellow', leftText(one)));
      for (const erasure of open) print(`\n${erasureText(erasure, style)}`);
      for (const run of held) print(style('yellow', `\nHeld: ${run.held ?? run.run}`));
      return exit;
    }),
};

/** People who are still held by a destination though no file speaks of their list any more. */
const leftText = ({ audience, destination, members, reachable }: Awaited<ReturnType<typeof orphans>>[number]): string =>
  `\nLeft over: ${plural(members, 'member')} of "${audience}" at ${destination}; ${
    reachable ? 'no file sends them any more' : `and destinations/${destination}.yaml is gone`
  }. To take them out: sluice retire ${audience} ${destination}`;
