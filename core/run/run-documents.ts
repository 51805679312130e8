import type { Documents } from '../ports.ts';
import type { RunDocument } from './ports.ts';

/** Kind of the entries of runs that are delivering: few, however many runs there were. */
const OPEN = 'delivering';
const ENDED = new Set<RunDocument['state']>(['done', 'failed', 'interrupted']);

/**
 * Writes a run into the books. One that delivers is entered apart before, and taken out after it has ended: whoever looks for a delivery that
 * died finds it, though thousands of runs of other audiences came after it.
 */
export async function putRun(documents: Documents, document: RunDocument): Promise<void> {
  const { run, audience } = document.of;
  if (document.state === 'delivering') await documents.put(OPEN, run, { audience });
  await documents.put('run', run, document);
  if (ENDED.has(document.state)) await documents.remove(OPEN, run);
}

/** Takes a run that has done nothing out of the books again. */
export async function dropRun(documents: Documents, run: string): Promise<void> {
  await documents.remove('run', run);
  await documents.remove(OPEN, run);
}

/** Runs of an audience that are in the books as delivering, newest first. */
export async function deliveringRuns(
  documents: Documents,
  audience: string,
): Promise<readonly { readonly id: string; readonly document: RunDocument }[]> {
  const found: { id: string; document: RunDocument }[] = [];
  for (const { id, document: entry } of await documents.list<{ readonly audience: string }>(OPEN)) {
    if (entry.audience !== audience) continue;
    const document = await documents.get<RunDocument>('run', id);
    if (document?.state === 'delivering') found.push({ id, document });
    // The process died between the last two lines of `putRun`.
    else if (document === null || ENDED.has(document.state)) await documents.remove(OPEN, id);
  }
  return found;
}
