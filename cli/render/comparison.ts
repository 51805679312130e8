import type { Comparison, Standing, SyncComparison } from '../../core/run/compare.ts';
import type { Terminal } from '../terminal.ts';
import { count, plural, table } from './table.ts';

/** What `plan --compare` says of one audience. `ref` is the other revision as it was asked for. */
export function comparisonText(one: Comparison, ref: string, style: Terminal['style']): string {
  const lines = [`${style('bold', one.audience)}  ${KIND[one.kind](ref)}`];
  if (one.syncs.length > 0) {
    const [header = '', ...rows] = table(
      ['destination', 'mode', ref, 'now', 'enter', 'leave', 'both'].map((title) => ({
        title,
        ...(title !== 'destination' && title !== 'mode' && { align: 'right' as const }),
      })),
      one.syncs.map(({ destination, mode, before, now, enter, leave, both }) => [
        destination,
        mode,
        before,
        now,
        enter,
        leave,
        both,
      ]),
    );
    lines.push(style('dim', `  ${header}`));
    for (const [i, sync] of one.syncs.entries()) {
      lines.push(`  ${rows[i]}`, ...notesOn(sync).map((note) => style('dim', `    ${note}`)));
    }
  }
  for (const { side, kind, message } of one.findings ?? [])
    lines.push(
      style(kind === 'schema' ? 'red' : 'yellow', `  by the files ${side === 'before' ? `at ${ref}` : 'here'}: ${message}`),
    );
  if (one.findings !== undefined) lines.push('  Nothing was compared: mend the table or its contract.');
  return lines.join('\n');
}

const KIND: Readonly<Record<Comparison['kind'], (ref: string) => string>> = {
  compared: (ref) => `compared with ${ref}`,
  same: (ref) => `the same as at ${ref}`,
  new: (ref) => `new: not sent at ${ref}`,
  gone: (ref) => `sent at ${ref}, and not here: whom it sent stays at its destinations until somebody removes them there`,
};

/** Adds up to the columns: everybody who enters or leaves is in one of these, and so is who is withheld for another reason. */
function notesOn({ mode, enter, leave, both, before, now, changed, moves }: SyncComparison): readonly string[] {
  const listed = (of: SyncComparison['moves'], word: (move: SyncComparison['moves'][number]) => string): string =>
    of.map((move) => `${word(move)} ${count(move.count)}`).join(', ');
  const entering = moves.filter((move) => move.now === 'in');
  const leaving = moves.filter((move) => move.before === 'in');
  const others = moves.filter((move) => move.before !== 'in' && move.now !== 'in');
  const either = before + now - both;
  return [
    ...(enter > 0 ? [`${count(enter)} enter; before: ${listed(entering, (move) => words(move.before))}`] : []),
    ...(leave > 0
      ? [
          `${count(leave)} leave; now: ${listed(leaving, (move) => words(move.now))}${mode === 'mirror' ? '' : ` (${mode}: who no longer matches is not removed)`}`,
        ]
      : []),
    ...(others.length > 0
      ? [`otherwise not sent: ${listed(others, (move) => `${words(move.before)} -> ${words(move.now)}`)}`]
      : []),
    ...(changed > 0 ? [`of ${plural(changed, 'person', 'people')} in both something else would be sent`] : []),
    ...(before > 0 && now > 0 && (enter > 0 || leave > 0)
      ? [`${((both * 100) / either).toFixed(1)} % of ${count(either)} who are in one of them are in both`]
      : []),
  ];
}

const words = (standing: Standing): string => (standing === 'not-matched' ? 'not matched' : standing);

/** One element of what `plan --compare --json` prints. */
export const comparisonJson = (one: Comparison, ref: string, commit: string): Record<string, unknown> => ({
  audience: one.audience,
  compare: { ref, commit },
  tick: new Date(one.tick).toISOString(),
  kind: one.kind,
  ...(one.findings && { error: one.findings.map(({ side, message }) => `${side}: ${message}`).join('\n') }),
  syncs: one.syncs,
});
