import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as z from 'zod';
import { json, statusError } from '../../../connectors/http.ts';
import { type Connector, type HttpResponse, type Job, type Outcome, RowsRefused } from '../../../core/connector.ts';

export interface Row {
  readonly key: string;
  readonly ids: readonly string[];
}

export interface Call {
  readonly method: string;
  readonly op: string;
  readonly rows: readonly Row[];
  readonly batch: string;
  readonly sequence: number;
  /** Epoch ms of the machine at which the request was complete. */
  readonly at: number;
}

/** `undefined`: the connection is cut without an answer. */
export type Reply = { readonly status: number; readonly body?: unknown; readonly headers?: Record<string, string> } | undefined;

export interface Platform {
  readonly endpoint: string;
  readonly calls: Call[];
  /** What the platform holds: key -> identifiers. */
  readonly held: Map<string, readonly string[]>;
  /** Requests being answered at once, at most. */
  readonly atOnce: number;
  close(): Promise<void>;
}

/**
 * A real HTTP server that stands for any platform. `reply` decides an answer; without one, or when it returns 'take', everything is
 * taken. What is answered with 200 is held.
 */
export async function startPlatform(
  reply: (call: Call, n: number, path: string) => Reply | 'take' | Promise<Reply | 'take'> = () => 'take',
): Promise<Platform> {
  const calls: Call[] = [];
  const held = new Map<string, readonly string[]>();
  let [now, atOnce] = [0, 0];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    now += 1;
    atOnce = Math.max(atOnce, now);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = chunks.length === 0 ? {} : (JSON.parse(Buffer.concat(chunks).toString()) as Partial<Call>);
    const call: Call = { method: request.method ?? '', op: '', rows: [], batch: '', sequence: 0, ...body, at: Date.now() };
    calls.push(call);
    const decided = await reply(call, calls.length, request.url ?? '');
    now -= 1;
    if (decided === undefined) {
      request.socket.destroy();
      return;
    }
    const { status, body: text, headers } = decided === 'take' ? { status: 200, body: {}, headers: {} } : decided;
    if (decided === 'take') {
      for (const row of call.rows)
        if (call.op === 'remove') held.delete(row.key);
        else held.set(row.key, row.ids);
    }
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(typeof text === 'string' ? text : JSON.stringify(text ?? {}));
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    held,
    get atOnce() {
      return atOnce;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const answerOf = z.object({
  outcomes: z.array(z.custom<Outcome>()).optional(),
  job: z.string().optional(),
  refused: z.array(z.object({ index: z.number(), reason: z.string() })).optional(),
  reason: z.string().optional(),
});

/** Speaks to `startPlatform`, in each of the ways in which platforms answer. */
export function bulk(limits: Partial<Connector['limits']> = {}): Connector {
  return {
    name: 'bulk',
    title: 'Bulk',
    settings: z.record(z.string(), z.unknown()),
    secret: null,
    namespaces: { email: { normalise: (raw) => raw, hash: 'none' } },
    defaultIdentifiers: ['email'],
    membership: 'identifier',
    modes: ['mirror'],
    traits: true,
    limits: { rows: 100, bytes: 1_000_000, overhead: 1_000, windows: [], concurrency: 4, source: 'a test', ...limits },
    endpoint: () => '',
    ensure: () => Promise.resolve({ id: 'list' }),
    encode: (_context, _list, _op, member) => ({
      text: JSON.stringify({ key: member.key, ids: member.identifiers.map((one) => one.value) }),
      rows: 1,
    }),
    async send(context, _list, { op, items, id, sequence }) {
      const body = `{"op":"${op}","batch":"${id}","sequence":${sequence},"rows":[${items.map((item) => item.text).join()}]}`;
      return outcomesOf(
        await context.http({ method: 'POST', url: `${context.endpoint}/rows`, body }),
        items.length,
        context.now(),
      );
    },
    async poll(context, _list, job, { items }) {
      return outcomesOf(
        await context.http({ method: 'GET', url: `${context.endpoint}/jobs/${job.id}` }),
        items.length,
        context.now(),
      );
    },
  };
}

function outcomesOf(response: HttpResponse, rows: number, now: number): readonly Outcome[] | Job {
  const { outcomes, job, refused, reason } = answerOf
    .catch({})
    .parse(response.status < 500 && response.status !== 429 ? json(response) : {});
  if (job !== undefined) return { kind: 'job', id: job, afterMs: 1_000 };
  if (refused !== undefined || reason !== undefined) throw new RowsRefused(reason ?? 'named', refused);
  if (response.status !== 200) throw statusError('Bulk', response, { now });
  return outcomes ?? Array.from({ length: rows }, () => ({ kind: 'delivered' as const }));
}
