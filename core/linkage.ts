import type { LinkageLimits, SpikeLimit } from './model.ts';

/** How many identifiers customers have in one namespace. Counts only. */
export interface NamespaceLinkage {
  /** Customers who have any. */
  readonly customers: number;
  readonly identifiers: number;
  /** Identifiers of one customer: on average, of the one in the hundredth place from the top, the most. */
  readonly average: number;
  readonly p99: number;
  readonly most: number;
  /** Identifiers whose customer has no row among the customers, and was not merged into one who has. */
  readonly orphans: number;
}

/** How well the identifiers a run reads are linked to customers. */
export interface Linkage {
  readonly namespaces: Readonly<Record<string, NamespaceLinkage>>;
  /** Ids that are merged away; null without a table of merges. */
  readonly merged: number | null;
}

/** The linkage that a day ended with, of runs that nobody had to look at or that a person approved. */
export interface LinkageDay extends Linkage {
  /** `2026-05-31`, in UTC. */
  readonly day: string;
  /** Epoch milliseconds of the last run's tick. */
  readonly tick: number;
}

/** What policies/identity.yaml leaves out. */
export const USUAL_LINKAGE: LinkageLimits = {
  merges: { times: 5, floor: 100 },
  orphans: { times: 2, floor: 1_000 },
  average: { times: 1.5, floor: 1_000 },
  most: { times: 3, floor: 50 },
};

/** Days to look back, and how many of them are needed before anything is called usual. */
export const DAYS_KEPT = 28;
const DAYS_NEEDED = 3;
const DAY = 86_400_000;

export const dayOf = (tick: number): string => new Date(tick).toISOString().slice(0, 10);

/** A row of `linkageQuery`: so many customers have `n` identifiers of the namespace. */
export interface LinkageRow {
  readonly namespace: string;
  readonly n: number;
  readonly customers: number;
  readonly orphans: number;
}

export function linkageOf(rows: readonly LinkageRow[], merged: number | null): Linkage {
  const namespaces: Record<string, NamespaceLinkage> = {};
  for (const [name, all] of Map.groupBy(rows, ({ namespace }) => namespace)) {
    const sorted = all.toSorted((a, b) => a.n - b.n);
    const customers = sum(sorted.map((row) => row.customers));
    const identifiers = sum(sorted.map((row) => row.customers * row.n));
    let seen = 0;
    const p99 = sorted.find((row) => (seen += row.customers) >= customers * 0.99)?.n ?? 0;
    namespaces[name] = {
      customers,
      identifiers,
      average: customers === 0 ? 0 : Math.round((identifiers / customers) * 10_000) / 10_000,
      p99,
      most: sorted.at(-1)?.n ?? 0,
      orphans: sum(sorted.map((row) => row.orphans)),
    };
  }
  return { namespaces, merged };
}

/** A run's numbers beside those of earlier runs of the day: every namespace as it was seen last. */
export const nextDay = (before: LinkageDay | null, now: Linkage, tick: number): LinkageDay => ({
  day: dayOf(tick),
  tick,
  namespaces: { ...before?.namespaces, ...now.namespaces },
  merged: now.merged,
});

/**
 * What is suddenly otherwise, a sentence each; nothing while there are fewer than three earlier days to call usual. Usual is the median of
 * the days; a number is no spike either while it is within the limit of the last one, which somebody let pass.
 *
 * @param days newest first; those of the run's own day and earlier are looked at
 */
export function linkageSpikes(now: Linkage, tick: number, days: readonly LinkageDay[], limits: LinkageLimits): readonly string[] {
  const known = days.filter(({ day }) => day <= dayOf(tick));
  const earlier = known.filter(({ day }) => day < dayOf(tick)).slice(0, DAYS_KEPT);
  const spikes: string[] = [];
  for (const [name, one] of Object.entries(now.namespaces)) {
    const past = (of: (one: NamespaceLinkage) => number, all = earlier): number[] =>
      all.flatMap(({ namespaces }) => (Object.hasOwn(namespaces, name) ? [of(namespaces[name] as NamespaceLinkage)] : []));
    const usualOf = (of: (one: NamespaceLinkage) => number): number | undefined => {
      const values = past(of);
      return values.length < DAYS_NEEDED ? undefined : Math.max(median(values), past(of, known.slice(0, 1))[0] ?? 0);
    };
    const check = (
      of: (one: NamespaceLinkage) => number,
      limit: SpikeLimit,
      more: (usual: number) => number,
      say: (usual: string) => string,
    ) => {
      const usual = usualOf(of);
      if (usual === undefined || of(one) <= limit.times * usual || more(usual) <= limit.floor) return;
      spikes.push(`${say(number(usual))} ${limitText(limit)}`);
    };
    check(
      ({ orphans }) => orphans,
      limits.orphans,
      () => one.orphans,
      (usual) => `${number(one.orphans)} identifiers of ${name} belong to nobody among the customers; usual are ${usual}.`,
    );
    check(
      ({ average }) => average,
      limits.average,
      (usual) => Math.round((one.average - usual) * one.customers),
      (usual) => `Customers have ${number(one.average)} identifiers of ${name} on average; usual are ${usual}.`,
    );
    check(
      ({ most }) => most,
      limits.most,
      () => one.most,
      (usual) => `One customer has ${number(one.most)} identifiers of ${name}; usual is ${usual} at most.`,
    );
  }
  return [...mergeSpike(now, tick, known, earlier, limits.merges), ...spikes];
}

function mergeSpike(
  { merged }: Linkage,
  tick: number,
  known: readonly LinkageDay[],
  earlier: readonly LinkageDay[],
  limit: SpikeLimit,
): readonly string[] {
  const [last] = known;
  if (merged === null || last?.merged == null) return [];
  const rates = earlier.flatMap((day, i) => {
    const before = earlier[i + 1];
    if (day.merged === null || before?.merged == null) return [];
    return [Math.max(0, day.merged - before.merged) / Math.max(1, (Date.parse(day.day) - Date.parse(before.day)) / DAY)];
  });
  if (rates.length < DAYS_NEEDED - 1) return [];
  const usual = median(rates);
  const gap = Math.max(1, (tick - last.tick) / DAY);
  const fresh = merged - last.merged;
  if (fresh <= limit.floor || fresh <= limit.times * usual * gap) return [];
  return [
    `${number(fresh)} ids were merged away since ${new Date(last.tick).toISOString().slice(0, 16)}Z; usual are ${number(usual)} a day. ${limitText(limit)}`,
  ];
}

const limitText = ({ times, floor }: SpikeLimit): string =>
  `The limit is ${times} times that (never less than ${number(floor)}).`;

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? 0) + (sorted[Math.floor(middle)] ?? 0)) / 2;
}

const number = (n: number): string => n.toLocaleString('en-US', { maximumFractionDigits: 2 });
