import { createHash } from 'node:crypto';
import * as z from 'zod';
import { ulid } from '../core/ulid.ts';

/** What the durable function is started with. The same event under the same name is the same execution. */
const RUN_EVENT = z.strictObject({
  /** ULID of the run. */
  run: z.string().length(26),
  audience: z.string().min(1),
  /** Epoch milliseconds: "now" for the whole run. */
  tick: z.number().int().nonnegative(),
  destinations: z.array(z.string()).optional(),
  /** `plan` and `record`: a new run, up to there. `send`: exactly the plan `run`. */
  until: z.enum(['plan', 'record', 'send']),
  approved: z.boolean().optional(),
  /** Name of the first execution, which holds the leases through all parts. */
  name: z.string().regex(/^[a-zA-Z0-9-_]{1,60}$/),
  /** Counts from 1: a run that comes to the end of an execution's operations goes on in the next. */
  part: z.number().int().min(1).max(999),
  /** Operations of one execution, instead of the usual allowance. */
  operations: z.number().int().min(20).max(2_500).optional(),
});
export type RunEvent = z.infer<typeof RUN_EVENT>;

/** The event, checked. Throws without quoting it. */
export function runEventOf(given: unknown): RunEvent {
  const parsed = RUN_EVENT.safeParse(given);
  if (parsed.success) return parsed.data;
  throw new Error(`This is no event of a run: look at ${parsed.error.issues.map(({ path }) => path.join('.')).join(', ')}.`);
}

/** `[a-zA-Z0-9-_]{1,64}`: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html (durable execution name), read 2026-11-22. */
const NAME_MAX = 60;

/** The name of an execution: the audience and what tells its runs apart. A long audience is cut and told apart by a hash. */
export function executionName(audience: string, which: string): string {
  const room = NAME_MAX - which.length - 1;
  const whole = /^[a-zA-Z0-9-_]+$/.test(audience) && audience.length <= room;
  const short = audience.replace(/[^a-zA-Z0-9-_]/g, '_').slice(0, room - 11);
  return `${whole ? audience : `${short}-${createHash('sha256').update(audience).digest('hex').slice(0, 10)}`}-${which}`;
}

/** The name of a later part of an execution. */
export const partName = (name: string, part: number): string => (part === 1 ? name : `${name}-${part}`);

/**
 * The run of a schedule's tick: everything in it follows from the audience and the tick, so that a schedule that fires twice for one tick
 * starts one execution. `scheduled` is an ISO 8601 instant. Throws `RangeError` when it is none.
 */
export function scheduledRun(audience: string, scheduled: string): RunEvent {
  const tick = Date.parse(scheduled);
  if (!/T.*(?:Z|[+-]\d\d:?\d\d)$/.test(scheduled) || !Number.isSafeInteger(tick))
    throw new RangeError('A schedule says when it fired as an ISO 8601 instant.');
  const seed = createHash('sha256').update(`${audience}\0${tick}`).digest();
  let i = 0;
  const run = ulid(tick, () => (seed[i++] ?? 0) / 256);
  const which = new Date(tick).toISOString().replace(/[^0-9TZ]/g, '');
  return { run, audience, tick, until: 'record', name: executionName(audience, which), part: 1 };
}
