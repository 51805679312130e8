import { join } from 'node:path';
import { sync } from '../../core/run/operations.ts';
import type { RunReport, SyncReport } from '../../core/run/report.ts';
import { standIns } from '../../sandbox/index.ts';
import { type Sandbox, startSandbox } from '../../sandbox/server.ts';
import { CommandFailed, EXIT, type Exit } from '../command.ts';
import { progressOn } from '../progress.ts';
import { problemsText } from '../render/problems.ts';
import { reportText } from '../render/report.ts';
import { count } from '../render/table.ts';
import { instant } from '../render/time.ts';
import { selectAudiences } from '../selection.ts';
import type { Terminal } from '../terminal.ts';
import { openWorkspace, STATE } from '../wiring.ts';
import { type Claim, proofOf } from './proof.ts';
import { CUSTOMERS, nextDay, openShop } from './shop.ts';
import { startOver } from './state.ts';

const DAY = 86_400_000;
/** The runs' tick, after midnight UTC. */
const MORNING = 6 * 3_600_000;
/** The audience that is shown in full; the others get a line each. */
const SHOWN = 'lapsed-vips';

/** Destinations of the repository that have a stand-in whose lists the proof can look into. */
const CLAIMED = [
  { connector: 'meta', purpose: 'ads_personalisation', who: 'Meta' },
  { connector: 'braze', purpose: 'email_marketing', who: 'Braze' },
] as const;

/**
 * Two days of a shop, in the workspace at `root`, against stand-ins in this process: prints what was sent and why. The same every day but
 * for the dates: day two is today. Throws away what an earlier demo left, and nothing else. Exit 1 when a claim it makes does not hold.
 */
export async function runDemo(root: string, terminal: Terminal, now: number): Promise<Exit> {
  const shop = join(root, STATE, 'shop');
  const dayTwo = Math.floor((now - MORNING) / DAY) * DAY + MORNING;
  const { print, style } = terminal;
  const title = (text: string) => print(`\n${style('bold', text)}`);

  await startOver(join(root, STATE));
  await openShop(shop, dayTwo - DAY);
  const sandbox = await startSandbox(Object.values(standIns));
  try {
    print(
      `A shop of ${count(CUSTOMERS)} customers. Its tables (${STATE}/shop) are promised in contracts/; audiences/ say who is wanted where.`,
    );
    print('Meta and Braze are stand-ins on this machine, strict as the real ones. Nothing leaves it.');

    title(`DAY ONE  ${instant(dayTwo - DAY)}: everybody is new`);
    const first = await runs(root, sandbox, dayTwo - DAY, terminal);
    printDay(first, terminal);
    for (const line of LEGEND) print(style('dim', line));
    const before = heldNow(sandbox);

    const night = await nextDay(shop, dayTwo);
    title('OVERNIGHT');
    print(
      `${count(night.ordered)} lapsed customers order again, ${count(night.changedAddress)} change their e-mail address, ${count(night.consented)} agree to advertising,`,
    );
    print(
      `${count(night.withdrew)} withdraw consent, and ${count(night.erased)} ask to be erased. For others a day has passed: they lapse, or their consent expires.`,
    );

    title(`DAY TWO  ${instant(dayTwo)}: only the difference is sent`);
    const second = await runs(root, sandbox, dayTwo, terminal);
    printDay(second, terminal);
    for (const line of whyOf(second)) print(style('dim', line));

    title('PROOF  by SQL that shares nothing with the engine, against what the stand-ins hold');
    const after = heldNow(sandbox);
    const claims = CLAIMED.map(
      ({ connector, ...claim }): Claim => ({ ...claim, before: before(connector), after: after(connector) }),
    );
    const proofs = await Promise.all(claims.map((claim) => proofOf(shop, dayTwo, claim)));
    for (const { text, holds } of proofs) print(style(holds ? 'green' : 'red', text));

    const third = await runs(root, sandbox, dayTwo, terminal);
    const requests = third.flatMap(({ syncs }) => syncs).reduce((sum, one) => sum + one.requests, 0);
    print(
      style(
        requests === 0 ? 'green' : 'red',
        `Once more on the same tables: ${count(third.length)} audiences compared, ${count(requests)} requests made. Nothing changed, nothing sent.`,
      ),
    );

    title('GO ON');
    print('npx sluice status                  what each destination holds now');
    print('npx sluice history lapsed-vips     the runs of this demo; every state can be gone back to');
    print('npx sluice plan lapsed-vips        what would change, after you edit audiences/lapsed-vips.yaml');
    const done = [...first, ...second, ...third].every(({ code }) => code === EXIT.done);
    return done && requests === 0 && proofs.every(({ holds }) => holds) ? EXIT.done : EXIT.failed;
  } finally {
    await sandbox.close();
  }
}

/** What the reasons on day one mean in this workspace. */
const LEGEND = [
  'Withheld, each for the first reason that holds: excluded: our own staff. no-consent: no valid decision for what the destination is for',
  '(policies/consent.yaml): advertising for Meta, e-mail for Braze. no-identifier: nothing that Meta could match; Braze knows people by id.',
  'holdout: 5 % are never sent, to measure against. erased: asked to be forgotten.',
];

/** What the numbers of day two mean, with the numbers. */
function whyOf(reports: readonly RunReport[]): readonly string[] {
  const syncs = reports.find(({ audience }) => audience === SHOWN)?.syncs ?? [];
  const mirror = syncs.find(({ mode }) => mode === 'mirror');
  const upsert = syncs.find(({ mode }) => mode === 'upsert');
  if (mirror === undefined || upsert === undefined) return [];
  const why = (sync: SyncReport, reason: string) => count(sync.removeReasons[reason] ?? 0);
  return [
    `left: ${why(mirror, 'left')} are no longer lapsed, or opened a ticket, or now belong to "churned". ${mirror.destination} is a mirror, so they go; ${upsert.destination} is`,
    `an upsert: who merely left stays, but who withdrew (${why(upsert, 'no-consent')}) or was erased (${why(upsert, 'erased')}) goes there too. No row of theirs was needed: the ledger knows`,
    `what was sent. update: ${count(mirror.update)} have another address; the old one was taken off first, then the new one sent, so "taken" counts both.`,
  ];
}

/** The shown audience in full, and a line for each of the others. */
function printDay(reports: readonly RunReport[], { print, style }: Terminal): void {
  for (const report of reports.filter(({ audience, code }) => audience === SHOWN || code !== EXIT.done))
    print(reportText(report, style));
  for (const { audience, matched, syncs } of reports.filter(({ audience: name, code }) => name !== SHOWN && code === EXIT.done)) {
    const changes = syncs.map(
      ({ destination, add, update, remove }) => `${destination} +${count(add)} ~${count(update)} -${count(remove)}`,
    );
    print(`${style('bold', audience)}  ${count(matched)} customers matched  ${changes.join(', ')}`);
  }
}

/** One run of every audience that is sent somewhere, with every destination that has a stand-in pointed at it; the files stay as they are. */
async function runs(root: string, sandbox: Sandbox, tick: number, terminal: Terminal): Promise<readonly RunReport[]> {
  const open = await openWorkspace(root, {
    overrideFor: ({ connector }) => sandbox.platforms.find(({ name }) => name === connector),
    ...(terminal.errIsTty && { onProgress: progressOn(terminal) }),
  });
  if ('problems' in open) throw new CommandFailed(problemsText(open), EXIT.files);
  try {
    const reports: RunReport[] = [];
    for (const { name } of selectAudiences(open.workspace, [])) reports.push(await sync(open.operations, name, { tick }));
    return reports;
  } finally {
    terminal.live.done();
    await open.close();
  }
}

/** What each stand-in holds at this moment, by connector. */
function heldNow(sandbox: Sandbox): (connector: string) => ReadonlySet<string> {
  const held = new Map(
    sandbox.platforms.map((one) => [one.name, new Set([...one.held().values()].flatMap((list) => [...list]))]),
  );
  return (connector) => held.get(connector) ?? new Set();
}
