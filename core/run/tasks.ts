import { planTask, recordTask } from './books.ts';
import { commitTask } from './commit.ts';
import { beginTask, deliverTask, finishTask } from './deliver.ts';
import { diffTask } from './diff.ts';
import { gateTask } from './gate.ts';
import { guardTask } from './guard.ts';
import { materializeTask } from './materialize.ts';
import type { RunPorts, Tasks } from './ports.ts';
import { metered } from './usage.ts';
import { recheckTask } from './recheck.ts';

/** The steps of a run over the world that `ports` gives them. On AWS each function has the ones its privileges allow. */
export const createTasks = (ports: RunPorts): Tasks => ({
  ...queryingTasks(ports),
  guard: guardTask(ports),
  plan: planTask(ports),
  begin: beginTask(ports),
  deliver: deliverTask(ports),
  finish: finishTask(ports),
  record: recordTask(ports),
});

/** The steps that ask a warehouse, each with what that read and cost. */
export function queryingTasks(ports: RunPorts): Pick<Tasks, 'gate' | 'materialize' | 'diff' | 'recheck' | 'commit'> {
  const billed = metered(ports.warehouse);
  return {
    gate: billed(gateTask(ports)),
    materialize: billed(materializeTask(ports)),
    diff: billed(diffTask(ports)),
    recheck: billed(recheckTask(ports)),
    commit: billed(commitTask(ports)),
  };
}
