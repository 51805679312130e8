import type { RunReport } from '../core/run/report.ts';
import type { Outcome } from './outcome.ts';
import { pointed } from './where.ts';

/** What a person reads of a run that ended: counts and ways out, nobody's data. */
export interface Notice {
  /** At most 100 characters of ASCII, as the topic wants it. */
  readonly subject: string;
  readonly text: string;
  readonly state: string;
}

/** @param stage of the deployment, for the commands that are named */
export function noticeOf(run: string, audience: string, outcome: Outcome, stage: string): Notice {
  const { text, ...notice } = told(run, audience, outcome);
  return { ...notice, text: pointed(text, stage) };
}

function told(run: string, audience: string, outcome: Outcome): Notice {
  if (outcome.ended === 'continued') return noticed(audience, 'continued', [`Run ${run} goes on.`]);
  if (outcome.ended !== 'report') return noticed(audience, outcome.ended, [outcome.message, '', `Run ${run}`]);
  const { report } = outcome;
  const lines = [
    ...(report.held === undefined ? [] : [report.held, '']),
    ...(report.findings ?? []).map(({ table, message }) => `${table}: ${message}`),
    ...report.syncs.flatMap(syncLines),
    ...(report.usage === undefined
      ? []
      : [`Athena read ${number(Math.round(report.usage.scannedBytes / 1e6))} MB, $${report.usage.usd.toFixed(4)}.`]),
    '',
    `Run ${run}, ${report.matched.toLocaleString('en-US')} matched. More: sluice history ${audience}`,
  ];
  return noticed(audience, report.state, lines);
}

function syncLines(sync: RunReport['syncs'][number]): string[] {
  const { destination, add, update, remove, outcomes, error } = sync;
  const rejected = outcomes === undefined || outcomes.rejected === 0 ? '' : `, ${number(outcomes.rejected)} rejected`;
  const line = `${destination}: ${number(add)} added, ${number(update)} updated, ${number(remove)} removed${rejected}.`;
  return error === undefined ? [line] : [line, `  ${error.message} ${error.wayOut}`];
}

const noticed = (audience: string, state: string, lines: readonly string[]): Notice => ({
  subject: `Sluice: ${audience} ${state}`.slice(0, 100),
  text: lines.join('\n'),
  state,
});

const number = (n: number): string => n.toLocaleString('en-US');
