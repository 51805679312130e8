import { gateFindings, gateQuery, type QualityFinding, qualityFinding, schemaFindings, unknownStatusQuery } from '../sql/gate.ts';
import { snapshotQuery } from '../sql/snapshot.ts';
import { snapshotSpec } from './materialize.ts';
import type { Finding, RunPorts, Tasks } from './ports.ts';

/** Law 1: every table the audience reads keeps its contract, or nothing goes on. All findings of all tables at once. */
export function gateTask(ports: RunPorts): Tasks['gate'] {
  return async ({ audience, tick, destinations }) => {
    ports.onProgress?.({ kind: 'step', audience, step: 'gate' });
    const spec = snapshotSpec(ports, audience, destinations, tick, new Map());
    const { tables: read = [] } = snapshotQuery({ ...spec, moved: null, decisions: null });
    // The merges are found beside the snapshot.
    const tables = [...read, ...ports.workspace.tables.filter(({ role }) => role === 'identity-changes')];
    const findings: Finding[] = [];
    const quality: QualityFinding[] = [];
    for (const table of tables) {
      const described = await ports.warehouse.describe(table);
      // A table whose columns are wrong cannot be asked about its rows.
      const wrong = schemaFindings(table, described);
      findings.push(
        ...(wrong.length > 0 ? wrong : gateFindings(table, described, await ports.warehouse.rows(gateQuery(table, tick)), tick)),
      );
      if (wrong.length > 0 || table.role !== 'consents') continue;
      const found = qualityFinding(table, (await ports.warehouse.rows(unknownStatusQuery(table)))[0]);
      if (found !== undefined) quality.push(found);
    }
    return { findings, ...(quality.length > 0 && { quality }) };
  };
}
