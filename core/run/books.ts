import { keepLinkage } from './linkage.ts';
import type { RunDocument, RunPorts, Tasks } from './ports.ts';
import type { RunReport } from './report.ts';
import { putRun } from './run-documents.ts';

/** Writes the plan down before anything is sent: `sync --plan`, `approve` and a resumption after a crash all start from it. */
export function planTask(ports: RunPorts): Tasks['plan'] {
  return async ({ of, snapshot, plans, held, gate }) => {
    const document: RunDocument = {
      of,
      digest: ports.digest,
      state: held === undefined ? 'planned' : 'held',
      snapshot,
      plans,
      ...(held !== undefined && { held }),
      ...(gate?.usage && { gate }),
    };
    await putRun(ports.store.documents, document);
    if (held === undefined && snapshot.linkage !== undefined) await keepLinkage(ports, of.tick, snapshot.linkage.now);
    return null;
  };
}

/** Ends the run in the books. One that its gate stopped has no plan there yet. */
export function recordTask(ports: RunPorts): Tasks['record'] {
  return async ({ of, report }) => {
    const known = await ports.store.documents.get<RunDocument>('run', of.run);
    const document: RunDocument = known ?? { of, digest: ports.digest, snapshot: NO_SNAPSHOT, plans: [], state: 'failed' };
    const { state, findings = [] } = report as RunReport;
    const held = state === 'held' ? { held: findings.map(({ message }) => message).join('\n') } : {};
    const ended: RunDocument = { ...document, ...held, state, report };
    await putRun(ports.store.documents, ended);
    // Sent, so nobody had to look at its linkage, or somebody let it pass.
    const { linkage } = document.snapshot;
    if (linkage !== undefined && state !== 'held') await keepLinkage(ports, of.tick, linkage.now);
    return null;
  };
}

const NO_SNAPSHOT = { files: { format: 'parquet', locations: [], rows: 0, bytes: 0 }, matched: 0 } as const;
