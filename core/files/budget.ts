import * as z from 'zod';
import type { Limits } from '../connector.ts';
import type { BudgetWindow, Destination } from '../model.ts';
import { keyOf, nodeAt } from './source.ts';
import type { Source } from './source.ts';

const PER = { second: 1, minute: 60, hour: 3600, day: 86_400 } as const;

const count = z.int().min(1);
const per = z.enum(['second', 'minute', 'hour', 'day']);
const concurrency = z.int().min(1).max(1000).optional().describe('Requests under way at once.');
const windows = z
  .array(z.strictObject({ requests: count, per }))
  .min(1)
  .max(8)
  .describe('All of them hold at once.');

/** The budget as editors know it: one window, or several. */
export const budgetSchema = z.union([
  z.strictObject({ requests: count.optional(), per: per.optional(), concurrency }),
  z.strictObject({ windows, concurrency }),
]);

/** The same without the choice, whose problems would be told twice. */
export const budgetShape = z.strictObject({
  requests: count.optional(),
  per: per.optional(),
  windows: windows.optional(),
  concurrency,
});

type BudgetFile = z.infer<typeof budgetShape>;
type Window = Pick<BudgetFile, 'requests' | 'per'>;

/** Of the documented limit, what a destination uses unless its file says otherwise: other programs use the same account. */
const SHARE_OF_LIMIT = 0.9;

/** The budget of a destination; more than the platform documents is a warning. Undefined when it is wrong. */
export function readBudget(source: Source, given: BudgetFile | undefined, limits: Limits): Destination['budget'] | undefined {
  const concurrencyOf = (value: number | undefined) => value ?? limits.concurrency;
  const usual = limits.windows.map(({ requests, seconds }) => ({
    requests: Math.max(1, Math.floor(requests * SHARE_OF_LIMIT)),
    seconds,
  }));
  if (given === undefined) return { windows: usual, concurrency: concurrencyOf(undefined) };
  if (given.windows && (given.requests !== undefined || given.per !== undefined)) {
    source.report(keyOf(nodeAt(source.root, ['budget']), 'windows'), {
      rule: 'budget-twice',
      message: 'A budget has either "windows" or "requests" and "per", and this has both.',
      hint: 'Move the second into the windows: all of them hold at once.',
    });
    return undefined;
  }
  const own: readonly Window[] = given.windows ?? [given];
  const windows: BudgetWindow[] = [];
  for (const window of own) {
    if ((window.requests === undefined) !== (window.per === undefined)) {
      const missing = window.requests === undefined ? 'requests' : 'per';
      source.report(keyOf(source.root, 'budget'), {
        rule: 'missing-key',
        message: `"${missing}" is missing in the budget.`,
        hint: 'Write both, such as { requests: 60, per: minute }.',
      });
      return undefined;
    }
    if (window.requests !== undefined && window.per !== undefined)
      windows.push({ requests: window.requests, seconds: PER[window.per] });
  }
  const budget = { windows: windows.length > 0 ? windows : usual, concurrency: concurrencyOf(given.concurrency) };
  warnOverLimit(source, budget, limits);
  return budget;
}

function warnOverLimit(source: Source, budget: Destination['budget'], limits: Limits): void {
  const over = limits.windows.find(({ requests, seconds }) => allowedIn(budget.windows, seconds) > requests);
  const place = keyOf(source.root, 'budget');
  if (over) {
    source.report(place, {
      rule: 'budget-over-limit',
      severity: 'warning',
      message: `The budget allows more than the ${over.requests} requests in ${spanOf(over.seconds)} that the platform documents.`,
      hint: `Keep it only if the platform raised the limit for this account: ${limits.source}.`,
    });
  }
  if (budget.concurrency > limits.concurrency) {
    source.report(place, {
      rule: 'budget-over-limit',
      severity: 'warning',
      message: `The budget allows ${budget.concurrency} requests at once; the connector is made for ${limits.concurrency}.`,
    });
  }
}

/** Requests that all windows together let through in so many seconds; they are spaced evenly, so a window is a rate. */
const allowedIn = (windows: readonly BudgetWindow[], seconds: number): number =>
  Math.min(...windows.map((window) => (window.requests * seconds) / window.seconds));

function spanOf(seconds: number): string {
  const unit = (Object.entries(PER) as [string, number][]).findLast(([, length]) => seconds % length === 0) ?? ['second', 1];
  const amount = seconds / unit[1];
  return amount === 1 ? `a ${unit[0]}`.replace('a hour', 'an hour') : `${amount} ${unit[0]}s`;
}
