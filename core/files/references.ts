import type { Audience } from '../model.ts';
import { didYouMean } from '../problems.ts';
import type { AudienceDraft } from './audience.ts';

/**
 * Audiences whose references hold: every name exists, none leads back to itself, and nothing they name is broken.
 * `all` are the names of all audience files, also of those that could not be read.
 */
export function resolveReferences(
  drafts: readonly AudienceDraft[],
  all: ReadonlySet<string>,
): Readonly<Record<string, Audience>> {
  const byName = new Map(drafts.map((draft) => [draft.name, draft]));
  const broken = new Set([...all].filter((name) => byName.get(name)?.audience === undefined));
  for (const draft of drafts) if (reportUnknown(draft, all)) broken.add(draft.name);
  for (const name of reportCycles(drafts, byName)) broken.add(name);
  spread(drafts, broken);
  const audiences = Object.create(null) as Record<string, Audience>;
  for (const { name, audience } of drafts) if (audience && !broken.has(name)) audiences[name] = audience;
  return audiences;
}

function reportUnknown({ source, name, references }: AudienceDraft, all: ReadonlySet<string>): boolean {
  const unknown = references.filter((reference) => !all.has(reference.name));
  for (const reference of unknown) {
    source.report(reference.node, {
      rule: 'unknown-audience',
      message: `There is no audience "${reference.name}".`,
      hint: didYouMean(
        reference.name,
        [...all].filter((other) => other !== name),
      ),
    });
  }
  return unknown.length > 0;
}

/** Reports each circle once, at the reference that closes it, and answers with everybody in one. */
function reportCycles(drafts: readonly AudienceDraft[], byName: ReadonlyMap<string, AudienceDraft>): ReadonlySet<string> {
  const inCycle = new Set<string>();
  const done = new Set<string>();
  for (const start of drafts) {
    // A stack of our own: a chain of audiences may be longer than the machine's.
    const path: { draft: AudienceDraft; next: number }[] = [{ draft: start, next: 0 }];
    const onPath = new Set([start.name]);
    if (done.has(start.name)) continue;
    for (let top = path.at(-1); top; top = path.at(-1)) {
      const reference = top.draft.references[top.next];
      top.next += 1;
      if (!reference) {
        done.add(top.draft.name);
        onPath.delete(top.draft.name);
        path.pop();
        continue;
      }
      if (onPath.has(reference.name)) {
        const names = path.map(({ draft }) => draft.name);
        const circle = names.slice(names.indexOf(reference.name));
        for (const name of circle) inCycle.add(name);
        top.draft.source.report(reference.node, {
          rule: 'audience-cycle',
          message:
            circle.length === 1
              ? `"${reference.name}" refers to itself.`
              : `Audiences refer to each other in a circle: ${[...circle, reference.name].join(' -> ')}.`,
          hint: 'Take one of the references out.',
        });
        continue;
      }
      const target = byName.get(reference.name);
      if (!target || done.has(reference.name)) continue;
      path.push({ draft: target, next: 0 });
      onPath.add(reference.name);
    }
  }
  return inCycle;
}

/** What names a broken audience is broken too, and says so. */
function spread(drafts: readonly AudienceDraft[], broken: Set<string>): void {
  for (let changed = true; changed; ) {
    changed = false;
    for (const { name, source, references } of drafts) {
      if (broken.has(name)) continue;
      const culprit = references.find((reference) => broken.has(reference.name));
      if (!culprit) continue;
      source.report(culprit.node, {
        rule: 'broken-audience',
        message: `The audience "${culprit.name}" has errors of its own, so this one cannot be made.`,
        hint: 'Correct that file first.',
      });
      broken.add(name);
      changed = true;
    }
  }
}
