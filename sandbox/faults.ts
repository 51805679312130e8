import * as z from 'zod';

/**
 * What can be made to go wrong on demand. The first group happens before the platform sees the request, the second after it has
 * done the work (the sender cannot know), the third inside the platform, which asks for it.
 */
export const faultSchema = z.strictObject({
  kind: z.enum([
    'throttle',
    'error',
    'html',
    'false-success',
    'unauthorised',
    'forbidden',
    'hang',
    'slow',
    'cut',
    'duplicate',
    'refuse-rows',
    'terms',
    'list-deleted',
    'quota',
  ]),
  /** How many requests it strikes; absent: until the faults are set again. */
  times: z.int().positive().optional(),
  /** Only every nth matching request (a slow answer in ten). */
  every: z.int().positive().optional(),
  /** Only requests whose route contains this text, so that a fault can spare set-up calls: `/users`. */
  route: z.string().optional(),
  method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']).optional(),
  /** `slow`: how long; `throttle`: what the platform says to wait. */
  ms: z.int().nonnegative().optional(),
  /** `error`: the status, 500 unless said. */
  status: z.int().min(500).max(599).optional(),
  /** `refuse-rows`: every nth row of a request, counted from 1. */
  rows: z.int().positive().optional(),
});

export type Fault = z.infer<typeof faultSchema>;

/** The faults set for one platform, and how often each has struck. */
export class Faults {
  #set: { readonly fault: Fault; seen: number; struck: number }[] = [];

  replace(faults: readonly Fault[]): void {
    this.#set = faults.map((fault) => ({ fault, seen: 0, struck: 0 }));
  }

  /** What is set, and how often each has struck. */
  list(): readonly (Fault & { readonly struck: number })[] {
    return this.#set.map(({ fault, struck }) => ({ ...fault, struck }));
  }

  /** The faults that strike this request; each is counted once. */
  take(method: string, route: string): readonly Fault[] {
    const striking: Fault[] = [];
    for (const entry of this.#set) {
      const { fault } = entry;
      if (fault.method !== undefined && fault.method !== method) continue;
      if (fault.route !== undefined && !route.includes(fault.route)) continue;
      if (fault.times !== undefined && entry.struck >= fault.times) continue;
      entry.seen += 1;
      if (fault.every !== undefined && entry.seen % fault.every !== 0) continue;
      entry.struck += 1;
      striking.push(fault);
    }
    return striking;
  }
}
