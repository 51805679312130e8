import { ulidTime } from '../ulid.ts';
import { commitTask } from './commit.ts';
import type { RunDocument, RunPorts } from './ports.ts';
import { syncKey } from './ports.ts';
import { deliveringRuns, putRun } from './run-documents.ts';

/** An interrupted delivery is carried on only while its decisions are young; later it is closed and everything is decided anew. */
export const RESUME_MAX_AGE = 3_600_000;

/** The delivery of the audience that died, if one did. `young`: its decisions may still be acted on; else it is to be closed. */
export async function interruptedRun(
  ports: RunPorts,
  audience: string,
): Promise<{ readonly id: string; readonly document: RunDocument; readonly young: boolean } | undefined> {
  const [found] = await deliveringRuns(ports.store.documents, audience);
  if (found === undefined) return undefined;
  const young =
    ports.clock.now() - ulidTime(found.id) <= RESUME_MAX_AGE &&
    found.document.digest === ports.digest &&
    found.document.removal !== true;
  return { ...found, young };
}

/** Commits what is known of an interrupted delivery and sends nothing more of it. */
export async function closeInterrupted(ports: RunPorts, document: RunDocument): Promise<void> {
  const commit = commitTask(ports);
  const { run, audience, tick } = document.of;
  for (const one of document.plans) {
    const pointer = await ports.store.pointers.get(syncKey(audience, one.destination));
    if ((pointer?.version ?? 0) !== one.version) continue;
    await commit({
      run,
      audience,
      tick,
      plan: one,
      snapshot: document.snapshot,
      requests: 0,
      failure: INTERRUPTED,
      ...(pointer?.list && { list: pointer.list }),
    });
  }
  await putRun(ports.store.documents, { ...document, state: 'interrupted' });
}

/** What a delivery that died is committed with when nothing more of it is sent. */
export const INTERRUPTED = {
  message: 'The run was interrupted.',
  wayOut: 'What it had not finished is decided anew by the next run.',
};
