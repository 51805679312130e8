import { durationText } from '../../core/files/rule-text.ts';
import type { Clause } from '../../core/explain/clauses.ts';
import type { AudienceExplanation, Explanation, SyncExplanation } from '../../core/explain/explain.ts';
import type { IdentifierUse } from '../../core/explain/identifiers.ts';
import type { Next } from '../../core/explain/next.ts';
import type { Terminal } from '../terminal.ts';
import { plural } from './table.ts';
import { instant } from './time.ts';

type Style = Terminal['style'];

/** Where a person stands, audience by audience and destination by destination, for people. */
export function explanationText(
  { member, known, mergedAway, mergedIds, stops, audiences }: Explanation,
  style: Style,
): readonly string[] {
  const away = mergedAway ? ': the id was merged into this one' : '';
  const merged = mergedIds === 0 ? '' : `, ${plural(mergedIds, 'merged id')} with it`;
  const gone = known ? '' : '. The customers table has no row of theirs: only ledgers and receipts can tell';
  const stopped = stops.map(({ why, purpose, since }) =>
    style(
      'yellow',
      `${why === 'erased' ? 'erased: a tombstone holds' : 'on the stop list'}${purpose === null ? '' : ` for ${purpose}`} since ${instant(since)}`,
    ),
  );
  return [
    `member ${member}${away}${merged}${gone}`,
    ...stopped,
    ...audiences.flatMap((one) => ['', ...audienceLines(one, style)]),
  ];
}

function audienceLines(
  { audience, rule, matched, excludedBy, holdout, syncs }: AudienceExplanation,
  style: Style,
): readonly string[] {
  const is = rule === null ? 'no row to match' : matched ? 'matched' : 'not matched';
  const excluded = excludedBy.length === 0 ? '' : `, excluded by ${excludedBy.join(', ')}`;
  const clauses =
    rule === null ? [] : (rule.clauses.length > 0 ? rule.clauses : [rule]).flatMap((one) => clauseLines(one, 1, style));
  return [
    `${style('bold', audience)}  ${style(matched ? 'green' : 'yellow', is)}${excluded}${holdout ? ', in the holdout' : ''}`,
    ...clauses,
    ...syncs.flatMap((sync) => syncLines(sync, style)),
  ];
}

const COLOUR = { met: 'green', 'not met': 'red', unknown: 'yellow' } as const;

function clauseLines({ text, is, value, clauses }: Clause, depth: number, style: Style): readonly string[] {
  const has = value === undefined ? '' : `  has ${value === null ? 'no value' : String(value)}`;
  const line = `${'  '.repeat(depth)}${style(COLOUR[is], is.padEnd(7))}  ${text}${has}`;
  return [line, ...clauses.flatMap((one) => clauseLines(one, depth + 1, style))];
}

function syncLines(sync: SyncExplanation, style: Style): readonly string[] {
  const { destination, mode, next, reasons, identifiers, ledger, rejected, last } = sync;
  const more = reasons.filter((reason) => !('why' in next) || reason !== next.why);
  const also =
    more.length === 0 ? '' : next.do === 'none' ? `; would be withheld too: ${more.join(', ')}` : `; also ${more.join(', ')}`;
  const lines: (readonly [string, string])[] = [
    ...consentLines(sync),
    ...(identifiers.length === 0 ? [] : [['identifiers', identifiers.map(identifierText).join(', ')] as const]),
    ['ledger', ledger === null ? 'not in it' : ledgerText(ledger)],
    ...(sync.mergedRecords === 0
      ? []
      : [['merged', `the next run takes away ${plural(sync.mergedRecords, 'record')} of merged ids`] as const]),
    ...(rejected === null
      ? []
      : [
          [
            'rejected',
            `${plural(rejected.times, 'time')} running${rejected.reason === null ? '' : `: ${rejected.reason}`}${rejected.parked ? '; parked' : ''}`,
          ] as const,
        ]),
    ['last sent', last === null ? 'never' : receiptText(last)],
  ];
  return [
    `  ${style('bold', destination)} (${mode})  ${nextText(next)}${also}`,
    ...lines.map(([title, text]) => `    ${style('dim', title.padEnd(11))}  ${text}`),
  ];
}

/** What the next run does, in words. */
function nextText(next: Next): string {
  switch (next.do) {
    case 'add':
      return 'the next run adds them';
    case 'update':
      return 'the next run sends them again';
    case 'remove':
      return `the next run removes them: ${next.why}`;
    case 'withhold':
      return `withheld: ${next.why}`;
    case 'unchanged':
      return 'held there, nothing to send';
    case 'none':
      return 'not held there, nothing to send';
  }
}

function consentLines({ consent }: SyncExplanation): (readonly [string, string])[] {
  if (consent === null) return [];
  const { purpose, reason, record, source, began, basis, jurisdiction, expiresAfter, policyVersion } = consent;
  const named = `${record === null ? '' : ` by record ${record}`}${source === null ? '' : ` of ${source}`}`;
  const since = began === null ? '' : ` since ${instant(began)}`;
  const expires = expiresAfter === null ? '' : `, grants last ${durationText(expiresAfter)}`;
  return [
    ['consent', `${purpose}: ${reason}${named}${since}`],
    ['policy', `${basis} (${jurisdiction ?? 'unknown jurisdiction'})${expires}, version ${policyVersion}`],
  ];
}

/** `email 1 of 2 (1 invalid)` */
function identifierText({ namespace, found, usable, notAllowed, invalid, surplus }: IdentifierUse): string {
  if (found === 0) return `${namespace} none`;
  const why = [
    [notAllowed, 'not allowed by consent or the identity policy'],
    [invalid, 'invalid'],
    [surplus, 'the same or beyond the number sent'],
  ] as const;
  const lost = why.filter(([n]) => n > 0).map(([n, text]) => `${n} ${text}`);
  return `${namespace} ${usable} of ${found} usable${lost.length === 0 ? '' : ` (${lost.join(', ')})`}`;
}

function ledgerText({ since, certain, namespaces }: NonNullable<SyncExplanation['ledger']>): string {
  const what = namespaces.length === 0 ? '' : `, by ${namespaces.join(', ')}`;
  return `since ${instant(since)}${what}${certain ? '' : '; what it holds exactly is not certain, the next run settles it'}`;
}

function receiptText({ tick, operation, outcome, reason, run }: NonNullable<SyncExplanation['last']>): string {
  const words = [operation, [outcome, reason].filter(Boolean).join(': ')].join(', ');
  return `${instant(Date.parse(tick as string))}, ${words}, run ${run as string}`;
}
