import { createHash } from 'node:crypto';
import { type SignalKind, signalsOf } from '../signals.ts';
import { policiesRead } from '../sql/purposes.ts';
import { digitOf, keyText, SIGNAL_COLUMNS, signalStringsQuery } from '../sql/signals.ts';
import type { BareSpec } from '../sql/snapshot.ts';
import type { RunPorts } from './ports.ts';
import { linesRelation } from './relations.ts';

/**
 * The spec of a snapshot with what the consent strings say (core/signals.ts), where a policy reads them: every distinct string is read
 * once, in a stream. What the snapshot reads holds hashes of strings only.
 * @param prefix key under which the files of this attempt may be written
 * @param customers ids of the only ones whose strings are wanted
 */
export async function withSignals<Spec extends BareSpec>(
  ports: RunPorts,
  spec: Spec,
  prefix: string,
  customers?: readonly string[],
): Promise<Spec> {
  const { purposes, policies } = policiesRead(
    spec.workspace.consent,
    spec.syncs.map(({ purpose }) => purpose),
  );
  const tables = spec.workspace.tables.filter(({ role }) => role === 'consents');
  const query = signalStringsQuery(tables, purposes, policies, customers);
  if (query === undefined) return spec;
  const { files } = ports.store;
  const sets = await ports.warehouse.unload(query, files.location(`${prefix}/strings`), 1);
  async function* lines(): AsyncIterable<string> {
    for (const location of sets.flatMap(({ locations }) => locations)) {
      for await (const line of files.lines(files.keyOf(location))) {
        const { kind, s } = JSON.parse(line) as { kind: SignalKind; s: string };
        const read = policies.flatMap((policy) => policy ?? []);
        const signals = signalsOf(kind, s, read);
        const v = policies
          .map((policy) => digitOf(policy === undefined ? null : (signals[read.indexOf(policy)] ?? null)))
          .join('');
        yield JSON.stringify({ k: createHash('sha256').update(keyText(kind, s)).digest('hex').slice(0, 32), v });
      }
    }
  }
  const { location, lines: written } = await files.write(`${prefix}/read/signals.jsonl.gz`, lines());
  // Where a worker may delete nothing, the bucket does after the period of deltas.
  await files.remove(`${prefix}/strings`).catch(() => undefined);
  return { ...spec, signals: linesRelation(written === 0 ? [] : [location], SIGNAL_COLUMNS) };
}
