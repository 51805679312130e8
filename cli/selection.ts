import type { Audience, Rule, Workspace } from '../core/model.ts';
import { didYouMean } from './arguments.ts';
import { UsageError } from './command.ts';

/**
 * The audiences a command is about: those named, or all that are sent somewhere; an audience comes after those it refers to.
 * Refuses (`UsageError`) a name that is no audience, and one that is sent nowhere.
 */
export function selectAudiences(workspace: Workspace, names: readonly string[]): readonly Audience[] {
  const all = Object.keys(workspace.audiences);
  const chosen = new Set<string>();
  for (const name of names) {
    const audience = Object.hasOwn(workspace.audiences, name) ? workspace.audiences[name] : undefined;
    if (audience === undefined) throw new UsageError(`There is no audience "${name}".${didYouMean(name, all)}`);
    if (audience.syncs.length === 0) throw new UsageError(`"${name}" is sent nowhere: ${audience.file} has no syncs.`);
    chosen.add(name);
  }
  return inOrder(workspace).filter((audience) => (names.length === 0 ? audience.syncs.length > 0 : chosen.has(audience.name)));
}

/** Refuses (`UsageError`) a destination that none of the audiences is sent to. */
export function selectDestination(audiences: readonly Audience[], name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  const known = [...new Set(audiences.flatMap((audience) => audience.syncs.map((sync) => sync.to)))];
  if (known.includes(name)) return name;
  const whose = audiences.length === 1 ? `"${audiences[0]?.name}" is` : 'These audiences are';
  throw new UsageError(`${whose} not sent to "${name}".${didYouMean(name, known)}`);
}

/** All audiences, each after those it refers to, otherwise by name. References have no cycles: `loadWorkspace` refuses them. */
function inOrder(workspace: Workspace): readonly Audience[] {
  const ordered = new Map<string, Audience>();
  const visit = (name: string) => {
    const audience = workspace.audiences[name];
    if (audience === undefined || ordered.has(name)) return;
    for (const other of [...audience.exclude, ...(audience.where === undefined ? [] : referred(audience.where))].sort())
      visit(other);
    ordered.set(name, audience);
  };
  for (const name of Object.keys(workspace.audiences).sort()) visit(name);
  return [...ordered.values()];
}

function referred(rule: Rule): readonly string[] {
  switch (rule.kind) {
    case 'all':
    case 'any':
      return rule.rules.flatMap(referred);
    case 'not':
      return referred(rule.rule);
    case 'audience':
      return [rule.name];
    case 'test':
    case 'event':
      return [];
  }
}
