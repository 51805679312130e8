import { join } from 'node:path';
import { standIns } from '../../sandbox/index.ts';
import { type Sandbox, startSandbox } from '../../sandbox/server.ts';
import { sync } from '../../core/run/operations.ts';
import type { RunReport } from '../../core/run/report.ts';
import { CommandFailed, EXIT, type Exit } from '../command.ts';
import { progressOn } from '../progress.ts';
import { problemsText } from '../render/problems.ts';
import { reportText } from '../render/report.ts';
import { count } from '../render/table.ts';
import { instant } from '../render/time.ts';
import { selectAudiences } from '../selection.ts';
import type { Terminal } from '../terminal.ts';
import { type OpenWorkspace, openWorkspace, STATE } from '../wiring.ts';
import { proofOf } from './proof.ts';
import { CUSTOMERS, nextDay, openShop } from './shop.ts';
import { startOver } from './state.ts';

const DAY = 86_400_000;
/** The runs' tick, hours after midnight UTC. */
const MORNING = 6 * 3_600_000;

/**
 * Two days of a shop, in the workspace of this repository, against stand-ins in this process: prints what was sent and why. Deterministic
 * but for the dates: day two is today. Throws away what an earlier demo left, and nothing else.
 */
export async function runDemo(root: string, terminal: Terminal): Promise<Exit> {
  const state = join(root, STATE);
  const shop = join(state, 'shop');
  const dayTwo = Math.floor((Date.now() - MORNING) / DAY) * DAY + MORNING;
  const dayOne = dayTwo - DAY;
  const { print, style } = terminal;
  const title = (text: string) => print(`\n${style('bold', text)}`);

  await startOver(state);
  await openShop(shop, dayOne);
  const sandbox = await startSandbox(Object.values(standIns));
  try {
    print(
      `A small shop of ${count(CUSTOMERS)} customers, made by SQL; the tables are in ${STATE}/shop, what they promise is in contracts/.`,
    );
    print('audiences/ say who is wanted where. Meta and Braze are stand-ins on this machine; nothing leaves it.');

    title(`DAY ONE, ${instant(dayOne)}: everybody is new`);
    await runs(root, sandbox, dayOne, terminal);

    const changes = await nextDay(shop, dayTwo);
    title(
      `OVERNIGHT: ${count(changes.ordered)} lapsed customers order again, ${count(changes.changedAddress)} change their e-mail address,`,
    );
    print(`           ${count(changes.withdrew)} withdraw consent, ${count(changes.erased)} ask to be erased.`);

    title(`DAY TWO, ${instant(dayTwo)}: only the difference is sent`);
    const second = await runs(root, sandbox, dayTwo, terminal);

    title('PROOF, by SQL of its own against what the stand-ins hold');
    for (const line of await proofOf(shop, dayTwo, second, sandbox)) print(line);

    title('ONCE MORE: nothing changed, so nothing is sent');
    const third = await runs(root, sandbox, dayTwo, { ...terminal, print: () => undefined });
    const requests = third.flatMap(({ syncs }) => syncs).reduce((sum, one) => sum + one.requests, 0);
    print(`${third.length} audiences compared again, ${count(requests)} requests made.`);

    title('GO ON');
    print('npx sluice status              what each destination holds');
    print('npx sluice history lapsed-vips the runs of this demo');
    print('npx sluice plan                change audiences/lapsed-vips.yaml first, and see what it would do');
    return [...second, ...third].every(({ code }) => code === EXIT.done) ? EXIT.done : EXIT.failed;
  } finally {
    await sandbox.close();
  }
}

/** One run of every audience that is sent somewhere; prints the reports. */
async function runs(root: string, sandbox: Sandbox, tick: number, terminal: Terminal): Promise<readonly RunReport[]> {
  const open = await opened(root, sandbox, terminal);
  try {
    const reports: RunReport[] = [];
    for (const { name } of selectAudiences(open.workspace, [])) {
      const report = await sync(open.operations, name, { tick });
      terminal.live.done();
      terminal.print(reportText(report, terminal.style));
      reports.push(report);
    }
    return reports;
  } finally {
    terminal.live.done();
    await open.close();
  }
}

/** The workspace with every destination that has a stand-in pointed at it; the committed files stay as they are. */
async function opened(root: string, sandbox: Sandbox, terminal: Terminal): Promise<OpenWorkspace> {
  const standInFor = (connector: string) => sandbox.platforms.find(({ name }) => name === connector);
  const open = await openWorkspace(root, {
    overrideFor: ({ connector }) => standInFor(connector),
    ...(terminal.errIsTty && { onProgress: progressOn(terminal) }),
  });
  if ('problems' in open) throw new CommandFailed(problemsText(open), EXIT.files);
  return open;
}
