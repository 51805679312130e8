import type { Audience, Share } from '../model.ts';
import type { RunPorts, SyncPlan, Tasks } from './ports.ts';
import { reportOf } from './report.ts';
import { resolveSync } from './relations.ts';

/**
 * Holds a run whose numbers a person should see first: an empty audience, one under its `min_size`, or more added or removed
 * than the guardrails allow, or identifiers and merges that are suddenly otherwise. Checks law 14 too, before anything can be sent.
 */
export function guardTask(ports: RunPorts): Tasks['guard'] {
  return async ({ run, audience, matched, plans, spikes = [] }) => {
    reportOf(
      { run, audience, tick: 0, until: 'plan' },
      { snapshot: { files: { format: 'parquet', locations: [], rows: 0, bytes: 0 }, matched }, plans },
    );
    const first = plans[0];
    if (first === undefined) return {};
    const held = guard(resolveSync(ports, audience, first.destination).audience, matched, plans, run, spikes);
    return held === undefined ? {} : { held };
  };
}

/** @returns the message for a person (the sum, the limit, what was sent, the next command), or undefined to go on. */
export function guard(
  audience: Audience,
  matched: number,
  plans: readonly SyncPlan[],
  run: string,
  spikes: readonly string[] = [],
): string | undefined {
  const found = [
    ...sizeProblems(audience, matched),
    ...plans.flatMap((plan) => changeProblems(audience, plan)),
    ...spikes,
    ...(spikes.length > 0 ? ['These limits are set under "linkage" in policies/identity.yaml.'] : []),
  ];
  if (found.length === 0) return undefined;
  return [...found, `Nothing was sent. If this is right: sluice approve ${run}. If not: sluice reject ${run}.`].join('\n');
}

function sizeProblems({ name, guardrails }: Audience, matched: number): string[] {
  const { minSize } = guardrails;
  // `min_size: 0` says in so many words that an empty audience is fine.
  if (matched === 0 && minSize !== 0) return [`"${name}" matches nobody.`];
  if (minSize !== undefined && matched < minSize)
    return [`"${name}" matches ${number(matched)} members; its min_size is ${number(minSize)}.`];
  return [];
}

function changeProblems({ name, guardrails }: Audience, plan: SyncPlan): string[] {
  const { members, counts, destination, rollout, purposeBefore } = plan;
  const problems: string[] = [];
  // From all customers to a share is a new cut-over; from a share to a smaller one takes back what was promised to only grow.
  if (rollout !== undefined && rollout.before < 100 && rollout.now < rollout.before) {
    problems.push(
      `"${name}" is rolled out to ${rollout.before} % in ${destination}, and its file now says ${rollout.now} %. A rollout only grows: ` +
        `who was sent stays, and nothing more changes for them. Write rollout: ${rollout.before}% or more; to take people out, change the rule.`,
    );
  }
  // A refusal was recorded for the purpose that people were asked about; under another name nobody finds it.
  if (purposeBefore !== undefined && counts.add + counts.update + counts.remove > 0) {
    problems.push(
      `${number(members)} members of "${name}" were sent to ${destination} for the purpose "${purposeBefore}"; it now has "${plan.receipt.purpose}". ` +
        `Refusals that are recorded for the old one do not count for the new one.`,
    );
  }
  // The first delivery adds everybody: there is nothing yet to compare it with.
  if (members === 0) return problems;
  // Law 8: who refused or asked to be forgotten goes in any case. A lost consents table has no such records, and is held.
  const removed = counts.remove - counts.demanded;
  if (exceeds(removed, members, guardrails.maxRemoved)) {
    problems.push(change(name, 'remove', removed, members, 'from', destination, guardrails.maxRemoved));
  }
  if (guardrails.maxAdded !== undefined && exceeds(counts.add, members, guardrails.maxAdded)) {
    problems.push(change(name, 'add', counts.add, members, 'to', destination, guardrails.maxAdded));
  }
  return problems;
}

const exceeds = (n: number, members: number, share: Share): boolean => n > share.floor && n * 100 > share.percent * members;

function change(
  name: string,
  verb: string,
  n: number,
  members: number,
  preposition: string,
  destination: string,
  share: Share,
): string {
  const percent = ((n * 100) / members).toFixed(1);
  const what = verb === 'remove' ? `${number(n)} of ${number(members)} members` : `${number(n)} members to ${number(members)}`;
  const limit = `its limit is ${share.percent} % (never less than ${number(share.floor)} ${share.floor === 1 ? 'member' : 'members'})`;
  return verb === 'remove'
    ? `"${name}" would remove ${what} (${percent} %) ${preposition} ${destination}; ${limit}.`
    : `"${name}" would add ${what} (${percent} %) in ${destination}; ${limit}.`;
}

const number = (n: number): string => n.toLocaleString('en-US');
