import { once } from 'node:events';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { deserialize, serialize } from 'node:v8';
import type { BudgetWindow } from '../core/model.ts';
import { answerControl } from './control.ts';
import { type Fault, Faults } from './faults.ts';
import { RateWindows } from './rate.ts';
import { type Call, type Handler, Refusal, type Reply, type StandIn } from './stand-in.ts';

export interface SandboxOptions {
  /** 0 (default): any free one. */
  readonly port?: number;
  /** States are read from here at the start and written at `close` and once a second after changes. */
  readonly file?: string;
  /** Other rate windows than the platform's own, by platform: tests of budgets have no hour to wait. */
  readonly windows?: Readonly<Record<string, readonly BudgetWindow[]>>;
}

/** What the log keeps of a request: nothing of its body, its query or its parameters. */
export interface LoggedRequest {
  readonly at: number;
  readonly method: string;
  readonly route: string;
  readonly status: number;
  readonly bytes: number;
  readonly rows: number;
}

export interface SandboxPlatform {
  readonly name: string;
  readonly title: string;
  /** For `endpoint:` in a destination file. */
  readonly endpoint: string;
  readonly secret: Readonly<Record<string, string>>;
  /** List name -> external ids or `namespace:value` it holds. */
  held(): ReadonlyMap<string, ReadonlySet<string>>;
  /** The stand-in's own state, for tests that know its shape. */
  state<T>(): T;
  /** Since the start or the last reset, oldest first; the newest 100,000. */
  requests(): readonly LoggedRequest[];
  /** Empties state, log, faults and rate windows. */
  reset(): void;
  /** Replaces the faults; none ends them all. */
  faults(...faults: readonly Fault[]): void;
  /** The faults that are set, and how often each has struck. */
  faultsSet(): readonly (Fault & { readonly struck: number })[];
}

export interface Sandbox {
  readonly url: string;
  readonly platforms: readonly SandboxPlatform[];
  platform(name: string): SandboxPlatform;
  close(): Promise<void>;
}

const LOG_LENGTH = 100_000;

/** Starts stand-ins of platforms on loopback, each under its own path: `http://127.0.0.1:<port>/<name>`. */
export async function startSandbox(standIns: readonly StandIn[], options: SandboxOptions = {}): Promise<Sandbox> {
  const server = createServer({ keepAliveTimeout: 60_000 });
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const saved = options.file !== undefined && existsSync(options.file) ? readStates(options.file) : {};
  const rooms = new Map(standIns.map((one) => [one.name, new Room(one, url, options.windows?.[one.name], saved[one.name])]));
  let changed = false;
  let resting = 0;
  const save = (): void => {
    if (options.file === undefined || !changed) return;
    changed = false;
    const begun = performance.now();
    writeFileSync(`${options.file}.new`, serialize(Object.fromEntries([...rooms].map(([name, room]) => [name, room.state()]))));
    renameSync(`${options.file}.new`, options.file);
    // Millions of members take a while to write: at most a tenth of the time goes into it.
    resting = performance.now() + 10 * (performance.now() - begun);
  };
  const saveSometimes = (): void => {
    if (performance.now() >= resting) save();
  };
  const timer = options.file === undefined ? undefined : setInterval(saveSometimes, 1000).unref();

  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const address = URL.parse(request.url ?? '/', url) ?? new URL(url);
    const [, first = ''] = address.pathname.split('/');
    changed = true;
    if (first === '_sandbox') {
      void readBody(request, 1_000_000).then((body) => {
        write(response, answerControl(request.method ?? 'GET', address, body ?? '', [...rooms.values()]));
      });
      return;
    }
    const room = rooms.get(first);
    if (room === undefined) write(response, { status: 404, json: { error: `no stand-in "${first}"`, known: [...rooms.keys()] } });
    else void room.serve(request, response, address);
  });

  return {
    url,
    platforms: [...rooms.values()],
    platform(name) {
      const room = rooms.get(name);
      if (room === undefined) throw new Error(`no stand-in "${name}"; there are ${[...rooms.keys()].join(', ')}`);
      return room;
    },
    async close() {
      clearInterval(timer);
      save();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** One stand-in with its state, log, faults and rate windows. */
class Room implements SandboxPlatform {
  readonly name: string;
  readonly title: string;
  readonly endpoint: string;
  readonly secret: Readonly<Record<string, string>>;
  readonly #standIn: StandIn;
  readonly #routes: readonly Route[];
  readonly #windows: readonly BudgetWindow[];
  readonly #faults = new Faults();
  #state: unknown;
  #log: LoggedRequest[] = [];
  #rate: RateWindows;

  constructor(definition: StandIn, url: string, windows: readonly BudgetWindow[] | undefined, state: unknown) {
    this.name = definition.name;
    this.title = definition.title;
    this.secret = definition.secret;
    this.endpoint = `${url}/${definition.name}`;
    this.#standIn = definition;
    this.#routes = Object.entries(definition.routes).map(([pattern, handler]) => compile(pattern, handler));
    this.#windows = windows ?? definition.windows;
    this.#rate = new RateWindows(this.#windows);
    this.#state = state ?? definition.create();
  }

  held(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#standIn.held(this.#state);
  }

  state<T>(): T {
    return this.#state as T;
  }

  requests(): readonly LoggedRequest[] {
    return this.#log;
  }

  reset(): void {
    this.#state = this.#standIn.create();
    this.#log = [];
    this.#faults.replace([]);
    this.#rate = new RateWindows(this.#windows);
  }

  faults(...faults: readonly Fault[]): void {
    this.#faults.replace(faults);
  }

  faultsSet(): readonly (Fault & { readonly struck: number })[] {
    return this.#faults.list();
  }

  async serve(request: IncomingMessage, response: ServerResponse, address: URL): Promise<void> {
    const method = request.method ?? 'GET';
    const path = address.pathname.slice(this.name.length + 1) || '/';
    const found = matchRoute(this.#routes, method, path);
    const route = found?.route.pattern ?? '(unknown)';
    const faults = this.#faults.take(method, route);
    const fault = (kind: Fault['kind']): Fault | undefined => faults.find((one) => one.kind === kind);
    const { replies } = this.#standIn;
    const body = await readBody(request, this.#standIn.maxBytes);
    const now = Date.now();
    let rows = 0;

    const decide = (): Reply => {
      const wait = this.#rate.admit(now);
      if (wait > 0) return replies.throttled(wait, now);
      const throttle = fault('throttle');
      if (throttle !== undefined) return replies.throttled(throttle.ms ?? 1000, now);
      const error = fault('error');
      if (error !== undefined) return replies.failed(error.status ?? 500);
      if (fault('html') !== undefined) return HTML;
      // The body of a failure under the status of a success, as proxies and some platforms answer.
      if (fault('false-success') !== undefined) return { ...replies.failed(500), status: 200 };
      if (fault('unauthorised') !== undefined) return replies.unauthorised();
      if (fault('forbidden') !== undefined) return replies.forbidden();
      if (body === undefined) return replies.tooLarge();
      const refusing = fault('refuse-rows')?.rows ?? 2;
      const call: Call<unknown> = {
        state: this.#state,
        params: found?.params ?? {},
        query: address.searchParams,
        headers: request.headers as Record<string, string>,
        body,
        now,
        endpoint: this.endpoint,
        parse: (schema) => {
          const parsed = schema.safeParse(jsonOf(body));
          if (parsed.success) return parsed.data;
          const issues = parsed.error.issues.map((issue) => ({ path: issue.path.join('.'), message: issue.code }));
          throw new Refusal(replies.invalid(issues));
        },
        fault: (kind) => fault(kind) !== undefined,
        refusesRow: (index) => fault('refuse-rows') !== undefined && (index + 1) % refusing === 0,
        rows: (count) => {
          rows = count;
        },
      };
      try {
        const refusal = this.#standIn.authorise(call);
        if (refusal !== undefined) return refusal;
        if (found === undefined) return replies.notFound();
        if (fault('duplicate') !== undefined) found.route.handler(call);
        return found.route.handler(call);
      } catch (error_) {
        if (error_ instanceof Refusal) return error_.reply;
        throw error_;
      }
    };

    if (fault('hang') !== undefined) {
      this.#note({ at: now, method, route, status: 0, bytes: body?.length ?? 0, rows });
      return;
    }
    const slow = fault('slow');
    if (slow !== undefined) await sleep(slow.ms ?? 1000);
    let reply: Reply;
    try {
      reply = decide();
    } catch {
      // A stand-in that fails must not look like a platform that answers: its own status, and no text of the request.
      reply = { status: 599, json: { error: 'the stand-in failed' } };
    }
    this.#note({ at: now, method, route, status: reply.status, bytes: body === undefined ? 0 : Buffer.byteLength(body), rows });
    const headers = this.#standIn.headers?.(this.#rate.remaining(), now);
    if (fault('cut') === undefined) write(response, { ...reply, headers: { ...headers, ...reply.headers } });
    else cutShort(response, reply);
  }

  #note(entry: LoggedRequest): void {
    if (this.#log.length >= LOG_LENGTH) this.#log = this.#log.slice(LOG_LENGTH / 2);
    this.#log.push(entry);
  }
}

interface Route {
  readonly pattern: string;
  readonly method: string;
  readonly path: RegExp;
  readonly handler: Handler<unknown>;
}

function compile(pattern: string, handler: Handler<unknown>): Route {
  const [method = '', path = ''] = pattern.split(' ');
  const source = path.replace(/[.*+?^$()|[\]\\]/g, String.raw`\$&`).replace(/\{(\w+)\}/g, '(?<$1>[^/]+)');
  return { pattern, method, path: new RegExp(`^${source}$`), handler };
}

function matchRoute(
  routes: readonly Route[],
  method: string,
  path: string,
): { route: Route; params: Record<string, string> } | undefined {
  for (const route of routes) {
    const match = route.method === method ? route.path.exec(path) : null;
    if (match === null) continue;
    const params = Object.entries(match.groups ?? {}).map(([name, value]) => [name, decoded(value)] as const);
    return { route, params: Object.fromEntries(params) };
  }
  return undefined;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const HTML: Reply = {
  status: 200,
  headers: { 'content-type': 'text/html' },
  text: '<!doctype html><html><body><h1>We will be right back</h1></body></html>',
};

/** The whole body, or undefined when it is larger than `max` (it is read to its end: the sender then sees the answer, not a reset). */
async function readBody(request: IncomingMessage, max: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes <= max) chunks.push(chunk);
    }
  } catch {
    return '';
  }
  return bytes > max ? undefined : Buffer.concat(chunks).toString('utf8');
}

function jsonOf(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

const textOf = (reply: Reply): string => reply.text ?? (reply.json === undefined ? '' : JSON.stringify(reply.json));

function write(response: ServerResponse, reply: Reply): void {
  const text = textOf(reply);
  const type = reply.json === undefined ? {} : { 'content-type': 'application/json' };
  response.writeHead(reply.status, { ...type, 'content-length': Buffer.byteLength(text), ...reply.headers });
  response.end(text);
}

/** Announces the whole answer, sends half of it, and breaks the connection. */
function cutShort(response: ServerResponse, reply: Reply): void {
  const text = textOf(reply) || '{}';
  response.writeHead(reply.status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) + 2 });
  response.write(text.slice(0, Math.ceil(text.length / 2)), () => response.destroy());
}

function readStates(file: string): Record<string, unknown> {
  try {
    return deserialize(readFileSync(file)) as Record<string, unknown>;
  } catch (error) {
    throw new Error(`${file} does not hold the state of a sandbox. Remove it to start with empty stand-ins.`, { cause: error });
  }
}
