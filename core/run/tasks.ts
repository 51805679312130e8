import { planTask, recordTask } from './books.ts';
import { commitTask } from './commit.ts';
import { beginTask, deliverTask, finishTask } from './deliver.ts';
import { diffTask } from './diff.ts';
import { gateTask } from './gate.ts';
import { guardTask } from './guard.ts';
import { materializeTask } from './materialize.ts';
import type { RunPorts, Tasks } from './ports.ts';
import { recheckTask } from './recheck.ts';

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
