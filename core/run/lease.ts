import type { Lease } from '../ports.ts';
import { type RunPorts, syncKey } from './ports.ts';

/** A lease is renewed while its holder works and lasts this long after the holder's last sign of life, where `RunPorts` says no other. */
const TTL = 60_000;

/** Somebody else is sending this sync. */
export class LeaseHeld extends Error {
  constructor(audience: string, destination: string, by: string, since: number) {
    super(
      `"${audience}" is being sent to ${destination} by another run (${by}) since ${new Date(since).toISOString()}. This one has sent nothing. ` +
        `Wait for it to end, or look at it: sluice status`,
    );
    this.name = 'LeaseHeld';
  }
}

export interface HeldLease {
  readonly lease: Lease;
  /** Renews when a third of the time is gone. False when the lease was lost: stop. */
  keep(): Promise<boolean>;
  /** Keeps it through a time in which nobody works, until the usual time after `until` (epoch ms). */
  keepUntil(until: number): Promise<void>;
}

/** Law 7: takes the lease of a sync, or takes it again under the same fence. Throws `LeaseHeld`. */
export async function holdLease(ports: RunPorts, run: string, audience: string, destination: string): Promise<HeldLease> {
  const { leases } = ports.store;
  const ttl = ports.leaseMs ?? TTL;
  const taken = await leases.acquire(syncKey(audience, destination), holderOf(ports, run), ttl);
  if ('heldBy' in taken) throw new LeaseHeld(audience, destination, taken.heldBy, taken.since);
  let renewed = ports.clock.now();
  return {
    lease: taken,
    async keep() {
      if (ports.clock.now() - renewed < ttl / 3) return true;
      renewed = ports.clock.now();
      return leases.renew(taken, ttl);
    },
    async keepUntil(until) {
      // A budget grants at fractions of a millisecond; stores keep whole ones.
      await leases.renew(taken, Math.ceil(Math.max(0, until - ports.clock.now())) + ttl);
    },
  };
}

/** The same process carrying on the same run is the same holder; another process is not. */
export const holderOf = (ports: RunPorts, run: string): string => `${run}@${ports.holder}`;

/** Law 7: the leases of all syncs of a run are held from before the first step until its end. */
export async function withLeases<T>(
  ports: RunPorts,
  of: { run: string; audience: string },
  destinations: readonly string[],
  fn: () => Promise<T>,
): Promise<T> {
  const held: HeldLease[] = [];
  const stop = new AbortController();
  try {
    for (const destination of destinations) held.push(await holdLease(ports, of.run, of.audience, destination));
    const beat = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        await ports.clock.sleep(10_000, stop.signal).catch(() => undefined);
        for (const lease of held) if (!stop.signal.aborted) await lease.keep();
      }
    };
    const beating = beat();
    try {
      return await fn();
    } finally {
      stop.abort();
      await beating;
    }
  } finally {
    for (const { lease } of held) await ports.store.leases.release(lease);
  }
}
