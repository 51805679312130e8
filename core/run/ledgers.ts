import type { Audience, Sync } from '../model.ts';
import type { RunPorts } from './ports.ts';

/** A sync that has a ledger, and what the files still say of it. */
export interface Ledger {
  /** `audience/destination`. */
  readonly sync: string;
  readonly audience: string;
  readonly destination: string;
  /** Its audience or its sync is in no file any more. */
  readonly orphan: boolean;
  /** Its destination has a file, so that it can be asked. */
  readonly reachable: boolean;
}

/** Every ledger there is, also those no file speaks of: who is in them is still held by a destination. */
export async function everyLedger({ store, workspace, connectors }: RunPorts): Promise<readonly Ledger[]> {
  return (await store.pointers.syncs()).map((sync) => {
    const [audience = '', destination = ''] = sync.split('/');
    const found = workspace.destinations[destination];
    return {
      sync,
      audience,
      destination,
      orphan: workspace.audiences[audience]?.syncs.some((one) => one.to === destination) !== true,
      reachable: found !== undefined && connectors[found.connector] !== undefined,
    };
  });
}

/**
 * The ports with a sync that is in no file any more, so that people can be taken out of it: an audience that matches nobody, in a mode in
 * which leaving the rule removes nobody. A sync that is in the files stays as it is.
 */
export function withSync<P extends RunPorts>(ports: P, audience: string, destination: string): P {
  const known = ports.workspace.audiences[audience];
  if (known?.syncs.some((one) => one.to === destination) === true) return ports;
  const sync: Sync = { to: destination, mode: 'upsert', identifiers: [], traits: [], settings: {}, rollout: 100 };
  const changed: Audience =
    known === undefined ? { ...nobody(audience), syncs: [sync] } : { ...known, syncs: [...known.syncs, sync] };
  return { ...ports, workspace: { ...ports.workspace, audiences: { ...ports.workspace.audiences, [audience]: changed } } };
}

/** The ports with the rule of an audience replaced by one that matches nobody: only its ledgers are looked at. */
export function matchingNobody<P extends RunPorts>(ports: P, audience: string): P {
  const { sql: _sql, ...known } = ports.workspace.audiences[audience] ?? nobody(audience);
  const changed: Audience = { ...known, where: NOBODY, exclude: [], holdout: 0 };
  return { ...ports, workspace: { ...ports.workspace, audiences: { ...ports.workspace.audiences, [audience]: changed } } };
}

const NOBODY = { kind: 'any', rules: [] } as const;

const nobody = (name: string): Audience => ({
  name,
  file: `audiences/${name}.yaml`,
  description: name,
  owner: '',
  timeZone: 'UTC',
  where: NOBODY,
  exclude: [],
  holdout: 0,
  schedule: { kind: 'manual' },
  guardrails: { maxRemoved: { percent: 100, floor: 0 } },
  syncs: [],
});
