import { REMOVED, WITHHELD } from '../../core/delta.ts';
import type { Demanded, RunState } from '../../core/run/ports.ts';
import type { RunReport, SyncReport } from '../../core/run/report.ts';
import type { Terminal } from '../terminal.ts';
import { bytes, type Cell, count, duration, plural, table } from './table.ts';

type Style = Terminal['style'];
type Colour = Parameters<Style>[0];

/**
 * The report of one run for people: a heading, a line a sync, and under each where everybody is (law 14), why people are removed
 * and what the destination answered; then what holds the run, or what to do next.
 * @param owner of the audience, who is named where a sync failed: nobody looks at what is nobody's
 */
export function reportText(report: RunReport, style: Style, owner?: string): string {
  const sent = report.syncs.some((sync) => sync.outcomes !== undefined);
  const lines = [heading(report, style)];
  for (const [name, { version, before }] of Object.entries(report.policies ?? {}))
    if (before !== undefined)
      lines.push(style('cyan', `  policies/${name}.yaml changed since the last run: ${before} -> ${version}`));
  if (report.syncs.length > 0) {
    const [header = '', ...rows] = table(
      columnsFor(sent),
      report.syncs.map((sync) => cellsOf(sync, sent)),
    );
    lines.push(style('dim', `  ${header}`));
    for (const [index, sync] of report.syncs.entries()) {
      lines.push(`  ${rows[index]}`, ...notesOn(report, sync, owner).map((note) => style(note.colour, `    ${note.text}`)));
    }
  }
  if (report.usage !== undefined) lines.push(style('dim', `  ${costOf(report.usage)}`));
  for (const { message } of report.quality ?? []) lines.push(style('yellow', indent(message)));
  for (const finding of report.findings ?? [])
    lines.push(style(finding.kind === 'schema' ? 'red' : 'yellow', indent(finding.message)));
  if (report.findings !== undefined)
    lines.push(indent(`Nothing was sent. Mend the table or its contract, then run it again: sluice plan ${report.audience}`));
  if (report.held !== undefined) lines.push(style('yellow', indent(report.held)));
  else if (report.state === 'planned') lines.push(indent(nextAfterPlan(report)));
  return lines.join('\n');
}

/** What the engine that bills read for the run: `4.2 GB read in 31 queries, $0.021`. */
const costOf = ({ queries, scannedBytes, usd }: NonNullable<RunReport['usage']>): string =>
  `${bytes(scannedBytes)} read in ${plural(queries, 'query', 'queries')}, $${usd.toFixed(usd < 0.1 ? 4 : 2)}`;

const indent = (text: string) => text.replaceAll(/^/gm, '  ');

const COLOUR: Readonly<Record<RunState, Colour>> = {
  planned: 'cyan',
  held: 'yellow',
  rejected: 'yellow',
  delivering: 'cyan',
  done: 'green',
  failed: 'red',
  interrupted: 'yellow',
};

function heading(report: RunReport, style: Style): string {
  const matched = report.findings === undefined ? `  ${plural(report.matched, 'customer')} matched` : '';
  const id = report.findings === undefined && report.state !== 'done' ? `  ${style('dim', report.run)}` : '';
  return `${style('bold', report.audience)}${matched}  ${style(COLOUR[report.state], report.state)}${id}`;
}

function nextAfterPlan(report: RunReport): string {
  const changes = report.syncs.reduce((sum, sync) => sum + sync.add + sync.update + sync.remove, 0);
  return changes === 0
    ? 'Nothing changed: a sync would send nothing.'
    : `Nothing was sent. To send exactly this: sluice sync --plan ${report.run}`;
}

const columnsFor = (sent: boolean) => [
  { title: 'destination' },
  { title: 'mode' },
  ...['add', 'update', 'remove', 'unchanged', 'withheld', 'requests'].map((title) => ({ title, align: 'right' as const })),
  ...(sent ? ['taken', 'members'] : ['time']).map((title) => ({ title, align: 'right' as const })),
];

const cellsOf = (sync: SyncReport, sent: boolean): readonly Cell[] => [
  sync.destination,
  sync.mode,
  sync.add,
  sync.update,
  sync.remove,
  sync.unchanged,
  withheldOf(sync),
  sync.requests,
  ...(sent ? [sync.outcomes && sync.outcomes.delivered + sync.outcomes.accepted, sync.members] : [duration(sync.seconds)]),
];

const withheldOf = (sync: SyncReport): number => WITHHELD.reduce((sum, reason) => sum + sync.withheld[reason], 0);

interface Note {
  readonly text: string;
  readonly colour: Colour;
}

function notesOn(report: RunReport, sync: SyncReport, owner: string | undefined): readonly Note[] {
  const notes: Note[] = [{ text: accounted(report.matched, sync), colour: 'dim' }];
  const reasons = REMOVED.map((reason) => [reason, sync.removeReasons[reason] ?? 0] as const).filter(([, people]) => people > 0);
  if (reasons.length > 0) notes.push({ text: `removed because: ${listed(reasons)}`, colour: 'dim' });
  if (sync.rollout !== undefined)
    notes.push({
      text: `rolled out to ${sync.rollout} %: ${count(sync.withheld.rollout)} more would be sent, and members outside it stay as they are`,
      colour: 'dim',
    });
  if (sync.demanded !== undefined) notes.push({ text: demandedText(sync.demanded), colour: 'dim' });
  if (sync.resent > 0)
    notes.push({
      text: `${count(sync.resent)} of the updates repeat an identifier that somebody else's removal took`,
      colour: 'dim',
    });
  if (sync.outcomes !== undefined && sync.outcomes.rejected > 0) {
    const why = listed((sync.rejections ?? []).map((entry) => [entry.reason, entry.count] as const));
    notes.push({ text: `rejected ${count(sync.outcomes.rejected)}${why === '' ? '' : `: ${why}`}`, colour: 'yellow' });
  }
  if (sync.outcomes !== undefined && sync.outcomes.retry > 0) {
    notes.push({ text: `not taken yet ${count(sync.outcomes.retry)}; the next run sends them again`, colour: 'yellow' });
  }
  if (sync.withheld.parked > 0) {
    notes.push({
      text: `${count(sync.withheld.parked)} parked; to try them again: sluice retry ${report.audience} ${sync.destination}`,
      colour: 'yellow',
    });
  }
  if (sync.error !== undefined) {
    const whose = owner === undefined ? '' : `\nThe owner of "${report.audience}" is ${owner}.`;
    const text = `${sync.error.message}\n${sync.error.wayOut}${whose}`;
    notes.push(...text.split('\n').map((line) => ({ text: line, colour: 'red' as const })));
  }
  return notes;
}

/** `refused or erased: 3 removed, within 44 h 0 min of the record (half of them 2 h 5 min)` */
export const demandedText = ({ removed, p50Ms, maxMs }: Demanded): string =>
  `refused or erased: ${count(removed)} removed, within ${duration(maxMs / 1000)} of the record (half of them ${duration(p50Ms / 1000)})`;

const listed = (entries: readonly (readonly [string, number])[]): string =>
  entries.map(([name, value]) => `${name} ${count(value)}`).join(', ');

/** Law 14 as a sentence: `9,800 matched = 120 add + 14 update + 9,000 unchanged + 666 withheld (no-consent 600, holdout 66)`. */
export function accounted(matched: number, sync: SyncReport): string {
  const withheld = withheldOf(sync);
  const reasons = WITHHELD.filter((reason) => sync.withheld[reason] > 0).map(
    (reason) => [reason, sync.withheld[reason]] as const,
  );
  const why = reasons.length === 0 ? '' : ` (${listed(reasons)})`;
  return `${count(matched)} matched = ${count(sync.add)} add + ${count(sync.update)} update + ${count(sync.unchanged)} unchanged + ${count(withheld)} withheld${why}`;
}
