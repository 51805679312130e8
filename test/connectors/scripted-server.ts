import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createHttp } from '../../connectors/http.ts';
import type { Batch, Connector, Context, Member, Op, RemoteList } from '../../core/connector.ts';
import { sha256Hex } from '../../core/identifiers.ts';

/** What the server gives back, one a request, in order. */
export interface ScriptedReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: unknown;
}

/**
 * Runs `use` against a real loopback server that answers with `replies` and nothing else: for answers that a platform has been seen to
 * give and its stand-in has no reason to. All of them must be used up.
 */
export async function scripted<Settings, Secret, T>(
  given: {
    readonly settings: Settings;
    readonly secret: Secret;
    readonly now?: number;
    readonly replies: readonly ScriptedReply[];
  },
  use: (context: Context<Settings, Secret>, seen: readonly SeenRequest[]) => Promise<T>,
): Promise<T> {
  const left = [...given.replies];
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString('utf8');
      const headers = request.headers as Record<string, string>;
      seen.push({
        method: request.method ?? '',
        path: request.url ?? '',
        headers,
        body: text === '' ? undefined : JSON.parse(text),
      });
      const reply = left.shift() ?? { status: 599, body: { message: 'not in the script' } };
      response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers });
      response.end(reply.body === undefined ? '' : JSON.stringify(reply.body));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const http = createHttp({ endpoint, timeoutMs: 2_000 });
  try {
    const { settings, secret } = given;
    const result = await use({ settings, secret, endpoint, http, now: () => given.now ?? Date.now() }, seen);
    if (left.length > 0) throw new Error(`${left.length} scripted replies were not asked for`);
    return result;
  } finally {
    await http.close();
    server.closeAllConnections();
    server.close();
  }
}

/** A member by external id and, where the test needs them, other identifiers. */
export const member = (id: string, others: Readonly<Record<string, string>> = {}, traits: Member['traits'] = {}): Member => ({
  key: sha256Hex(id).slice(0, 32),
  identifiers: Object.entries({ external_id: id, ...others }).map(([namespace, value]) => ({ namespace, value })),
  traits,
  consent: null,
});

export function batchOf<Settings, Secret>(
  connector: Connector<Settings, Secret>,
  context: Context<Settings, Secret>,
  list: RemoteList,
  op: Op,
  members: readonly Member[],
  id = 'b'.repeat(32),
): Batch {
  const items = members.map((one) => ({ member: one, ...connector.encode(context, list, op, one) }));
  return { op, items, id, sequence: 1 };
}

/** What a promise is rejected with; undefined when it is kept. */
export const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );
