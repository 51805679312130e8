import type { Erasure } from '../../core/forget/erasure.ts';
import { isFinal } from '../../core/forget/erase.ts';
import type { Terminal } from '../terminal.ts';
import { plural } from './table.ts';
import { instant } from './time.ts';

const STATUS = { pending: 'pending', in_progress: 'in progress', completed: 'completed', cancelled: 'cancelled' } as const;
const COLOUR = { pending: 'cyan', in_progress: 'yellow', completed: 'green', cancelled: 'dim' } as const;

/** One erasure for people: its state, a line a destination, and what it waits for. */
export function erasureText(erasure: Erasure, style: Terminal['style']): string {
  const { id, status, person, submittedAt, completedAt, destinations, cleaned, waits } = erasure;
  const whom =
    person === undefined ? '' : `  ${plural(person.customers, 'customer')}, ${plural(person.members.length, 'member')}`;
  const ended = completedAt === undefined ? '' : `, ${STATUS[status]} ${instant(completedAt)}`;
  const lines = [`${style('bold', id)}  ${style(COLOUR[status], STATUS[status])}${whom}  asked ${instant(submittedAt)}${ended}`];
  for (const [destination, one] of Object.entries(destinations)) {
    const what = one.state === 'erased' ? `erased (${one.answer ?? 'delivered'})` : one.state.replace('-', ' ');
    const lists = one.lists === 0 ? '' : `, out of ${plural(one.lists, 'list')}`;
    lines.push(style(isFinal(one) ? 'dim' : 'yellow', `  ${destination}: ${what}${lists}`));
    if (!isFinal(one) && one.failure !== undefined) lines.push(indented(one.failure.message), indented(one.failure.wayOut));
  }
  if (cleaned !== undefined && status === 'completed')
    lines.push(
      style('dim', `  cleaned: ${plural(cleaned.generations, 'generation')} of ledgers, files of ${plural(cleaned.runs, 'run')}`),
    );
  if (waits !== undefined) lines.push(style('yellow', indented(waits.message)), indented(waits.wayOut));
  return lines.join('\n');
}

const indented = (text: string): string => text.replaceAll(/^/gm, '    ');
