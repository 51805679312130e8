import * as z from 'zod';
import { faultSchema } from './faults.ts';
import type { SandboxPlatform } from './server.ts';
import type { Reply } from './stand-in.ts';

const ENTRIES = 1000;

/**
 * The control API of a sandbox, for people and for `sluice sandbox`:
 * `GET /_sandbox` lists the stand-ins; `GET /_sandbox/<name>[?entries=1]` what one holds and received;
 * `POST /_sandbox/<name>/faults` replaces its faults (one, or an array), `DELETE` ends them; `POST /_sandbox/<name>/reset` empties it.
 */
export function answerControl(method: string, address: URL, body: string, platforms: readonly SandboxPlatform[]): Reply {
  const [, , name, action] = address.pathname.split('/');
  if (name === undefined || name === '') {
    return shown(platforms.map((one) => ({ name: one.name, title: one.title, endpoint: one.endpoint, secret: one.secret })));
  }
  const platform = platforms.find((one) => one.name === name);
  if (platform === undefined)
    return { status: 404, json: { error: `no stand-in "${name}"`, known: platforms.map((one) => one.name) } };
  if (method === 'GET' && action === undefined) {
    return shown(describe(platform, address.searchParams.get('entries') === '1'));
  }
  if (method === 'POST' && action === 'reset') {
    platform.reset();
    return { status: 204 };
  }
  if (action === 'faults' && (method === 'POST' || method === 'DELETE')) {
    if (method === 'DELETE') {
      platform.faults();
      return { status: 204 };
    }
    const given = jsonOf(body);
    const faults = z.array(faultSchema).safeParse(Array.isArray(given) ? given : [given]);
    if (!faults.success) return { status: 400, json: { error: z.prettifyError(faults.error) } };
    platform.faults(...faults.data);
    return { status: 200, json: faults.data };
  }
  return { status: 404, json: { error: 'no such call' } };
}

function describe(platform: SandboxPlatform, entries: boolean): unknown {
  const received: Record<string, { requests: number; rows: number; bytes: number; statuses: Record<string, number> }> = {};
  for (const request of platform.requests()) {
    received[request.route] ??= { requests: 0, rows: 0, bytes: 0, statuses: {} };
    const sum = received[request.route] as (typeof received)[string];
    sum.requests += 1;
    sum.rows += request.rows;
    sum.bytes += request.bytes;
    sum.statuses[request.status] = (sum.statuses[request.status] ?? 0) + 1;
  }
  const lists = [...platform.held()].map(([name, held]) => ({
    name,
    size: held.size,
    ...(entries ? { entries: [...held.values().take(ENTRIES)] } : {}),
  }));
  return {
    name: platform.name,
    title: platform.title,
    endpoint: platform.endpoint,
    faults: platform.faultsSet(),
    lists,
    received,
  };
}

/** For people, who read it in a terminal. */
const shown = (value: unknown): Reply => ({
  status: 200,
  headers: { 'content-type': 'application/json' },
  text: `${JSON.stringify(value, null, 2)}\n`,
});

function jsonOf(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
