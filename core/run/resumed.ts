import type { Durable } from '../ports.ts';
import type { RunDocument, Tasks } from './ports.ts';

/**
 * A run from its plan on: everything up to the plan is answered from the document, and the rest is done. For whoever carries a run on
 * without the journal it began with: an approval, an interrupted delivery, an execution that came to the end of its operations.
 */
export function resumed(durable: Durable<Tasks>, { snapshot, plans, held, gate }: RunDocument): Durable<Tasks> {
  const known = new Map<string, unknown>([
    ['gate', { findings: [], ...gate }],
    ['materialize', snapshot],
    ['guard', held === undefined ? {} : { held }],
    ['plan', null],
  ]);
  return {
    call: (name, task, input) => (known.has(task) ? Promise.resolve(known.get(task) as never) : durable.call(name, task, input)),
    map: (name, items, concurrency, fn) =>
      name === 'diff' ? Promise.resolve(plans as never) : durable.map(name, items, concurrency, fn),
    waitUntil: (name, epochMs) => durable.waitUntil(name, epochMs),
  };
}
