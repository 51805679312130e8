import type { Cell } from '../../core/ports.ts';
import type { Audit, Receipt, RunAudit } from '../../core/receipts/audit.ts';
import { fieldsOf } from '../../core/receipts/audit.ts';
import type { Verdict } from '../../core/receipts/verify.ts';
import type { Terminal } from '../terminal.ts';
import { count, plural, table } from './table.ts';
import { instant } from './time.ts';

const at = (cell: Cell): string => instant(Date.parse(text(cell)));
const text = (cell: Cell): string => (typeof cell === 'string' ? cell : '');

/** One receipt a line, oldest first, and what each rests on under it. */
export function customerAuditText({ members, receipts, erasures }: Audit): readonly string[] {
  const who = members.length > 1 ? `member ${members[0]} and ${plural(members.length - 1, 'merged id')}` : `member ${members[0]}`;
  const forgotten = erasures.map(erasureText);
  if (receipts.length === 0) return [`${who}: nothing was ever sent`, ...forgotten];
  const [header = '', ...lines] = table(
    ['committed', 'audience', 'destination', 'operation', 'fields', 'outcome'].map((title) => ({ title })),
    receipts.map((receipt) => [
      at(receipt.committed_at),
      text(receipt.audience),
      text(receipt.destination),
      [receipt.operation, receipt.why].filter(Boolean).join(': '),
      fieldsOf(receipt).join(', '),
      [receipt.outcome, receipt.reason].filter(Boolean).join(': '),
    ]),
  );
  return [
    `${who}: ${plural(receipts.length, 'receipt')}`,
    header,
    ...lines.flatMap((line, i) => [line, `  ${termsOf(receipts[i])}`]),
    ...forgotten,
  ];
}

/** `Request 4f1c... to forget them: completed 2026-11-22 06:00:00Z; meta-eu erased` */
function erasureText({ id, status, submittedAt, completedAt, destinations }: Audit['erasures'][number]): string {
  const when =
    completedAt === undefined
      ? `${status.replace('_', ' ')}, asked for ${instant(submittedAt)}`
      : `${status} ${instant(completedAt)}`;
  const each = Object.entries(destinations).map(([name, state]) => `${name} ${state}`);
  return `Request ${id} to forget them: ${when}${each.length === 0 ? '' : `; ${each.join(', ')}`}`;
}

/** `ads_personalisation, opt-in (DE), granted by web-form record 17 since 2026-01-01, policy 3f2a...; run 01JD...` */
function termsOf(receipt: Receipt | undefined): string {
  if (receipt === undefined) return '';
  const basis = receipt.basis === null ? '' : `${text(receipt.basis)} (${text(receipt.jurisdiction) || 'unknown jurisdiction'})`;
  return [receipt.purpose, basis, evidenceText(receipt), `policy ${text(receipt.policy_version)}`, `run ${text(receipt.run)}`]
    .filter(Boolean)
    .join(', ');
}

function evidenceText(receipt: Receipt): string {
  if (receipt.consent_reason === null) return '';
  const record = receipt.consent_record === null ? '' : ` record ${text(receipt.consent_record)}`;
  const source = receipt.consent_source === null ? '' : ` of ${text(receipt.consent_source)}`;
  const since = receipt.consent_began === null ? '' : ` since ${at(receipt.consent_began)}`;
  return `${text(receipt.consent_reason)}${record}${source}${since}`;
}

/** What a run sent, a line an operation and outcome. */
export function runAuditText(rows: readonly RunAudit[]): readonly string[] {
  const [first] = rows;
  if (first === undefined) return [];
  return [
    `${first.audience}, as of ${at(first.tick)}, committed ${at(first.committedAt)}, policy ${first.policyVersion}`,
    ...table(
      ['destination', 'operation', 'fields', 'outcome', 'receipts'].map((title) => ({ title })),
      rows.map((row) => [
        row.destination,
        [row.operation, row.why].filter(Boolean).join(': '),
        row.fields.join(', '),
        [row.outcome, row.reason].filter(Boolean).join(': '),
        row.receipts,
      ]),
    ),
  ];
}

/** A line a sync with the end of its chain, then every problem with its run. */
export function verdictText({ whole, syncs, problems, unfinished }: Verdict, style: Terminal['style']): readonly string[] {
  if (syncs.length === 0 && problems.length === 0) return ['There are no receipts yet.'];
  const [header = '', ...lines] = table(
    ['audience', 'destination', 'runs', 'receipts', 'head'].map((title) => ({ title })),
    syncs.map(({ audience, destination, head, receipts }) => [
      audience,
      destination,
      head?.link ?? 0,
      receipts,
      head?.hash ?? 'none',
    ]),
  );
  const said = problems.map(({ audience, destination, run, kind, message }) =>
    style('red', `${kind}: run ${run ?? 'unknown'} of ${audience || 'an unknown audience'} at ${destination}: ${message}`),
  );
  const total = syncs.reduce((sum, { receipts }) => sum + receipts, 0);
  return [
    style('dim', header),
    ...lines,
    ...unfinished.map((run) => style('yellow', `Run ${run} was interrupted while it committed; its next sync finishes that.`)),
    ...said,
    whole
      ? style('green', `All ${count(total)} receipts are as they were written.`)
      : style(
          'red',
          `${plural(problems.length, 'problem')}. What these runs sent is not proven; put the files back from a backup, and ask who changed them.`,
        ),
  ];
}
