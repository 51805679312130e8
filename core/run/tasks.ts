import { commitTask } from './commit.ts';
import { beginTask, deliverTask, finishTask } from './deliver.ts';
import { diffTask } from './diff.ts';
import { gateTask } from './gate.ts';
import { guardTask } from './guard.ts';
import { materializeTask } from './materialize.ts';
import type { RunDocument, RunPorts, Tasks } from './ports.ts';
import { recheckTask } from './recheck.ts';
import type { RunReport } from './report.ts';

/** The steps of a run over the world that `ports` gives them. On AWS each function has the ones its privileges allow. */
export const createTasks = (ports: RunPorts): Tasks => ({
  gate: gateTask(ports),
  materialize: materializeTask(ports),
  diff: diffTask(ports),
  guard: guardTask(ports),
  plan: planTask(ports),
  begin: beginTask(ports),
  deliver: deliverTask(ports),
  recheck: recheckTask(ports),
  finish: finishTask(ports),
  commit: commitTask(ports),
  record: recordTask(ports),
});

/** Writes the plan down before anything is sent: `sync --plan`, `approve` and a resumption after a crash all start from it. */
function planTask(ports: RunPorts): Tasks['plan'] {
  return async ({ of, snapshot, plans, held }) => {
    const document: RunDocument = {
      of,
      digest: ports.digest,
      state: held === undefined ? 'planned' : 'held',
      snapshot,
      plans,
      ...(held !== undefined && { held }),
    };
    await ports.store.documents.put('run', of.run, document);
    return null;
  };
}

/** Ends the run in the books. One that its gate stopped has no plan there yet. */
function recordTask(ports: RunPorts): Tasks['record'] {
  return async ({ of, report }) => {
    const known = await ports.store.documents.get<RunDocument>('run', of.run);
    const document = known ?? { of, digest: ports.digest, snapshot: NO_SNAPSHOT, plans: [] };
    const { state, findings = [] } = report as RunReport;
    const held = state === 'held' ? { held: findings.map(({ message }) => message).join('\n') } : {};
    const ended: RunDocument = { ...document, ...held, state, report };
    await ports.store.documents.put('run', of.run, ended);
    return null;
  };
}

const NO_SNAPSHOT = { files: { format: 'parquet', locations: [], rows: 0, bytes: 0 }, matched: 0 } as const;
