import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('lambda-child.ts', import.meta.url));
const ARN = 'arn:aws:lambda:eu-central-1:123456789012:function:';
/** https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, read 2026-11-22. */
const LIMITS = { operations: 3_000, checkpointBytes: 256 * 1024, asyncBytes: 1024 * 1024, name: /^[a-zA-Z0-9-_]{1,64}$/ };

export interface LambdaFunction {
  readonly bundle: string;
  readonly env: Readonly<Record<string, string>>;
  readonly durable?: boolean;
  readonly timeoutMs?: number;
}

/** What is done to one invocation: the process is killed before it begins, or after it has answered and before anybody hears of it. */
export type Fate = 'lives' | 'dies before' | 'dies after';

/** When a durable function is killed: before the checkpoint it asks for is taken, or after and before it hears of it. */
export type Death = 'before' | 'after';

export interface LambdaOptions {
  readonly functions: Readonly<Record<string, LambdaFunction>>;
  /** A second of a durable wait takes this long here, milliseconds. */
  readonly secondMs?: number;
  /** `nth` counts the invocations of a function from 1. */
  readonly fateOf?: (name: string, nth: number, event: unknown) => Fate | Promise<Fate>;
  /** Kills the process of a durable function at a checkpoint, counted from 1 over all that were asked for with anything in them. */
  readonly deathAt?: (nth: number) => Death | undefined;
}

interface Operation {
  Id: string;
  Type: string;
  Status: string;
  Name?: string;
  StartTimestamp: number;
  [detail: string]: unknown;
}

export interface Execution {
  readonly arn: string;
  readonly name: string;
  readonly functionName: string;
  readonly input: string;
  status: 'RUNNING' | 'SUCCEEDED' | 'FAILED';
  result?: string;
  error?: { ErrorType?: string; ErrorMessage?: string };
  readonly operations: Map<string, Operation>;
  /** Operations that the function has not been told of. */
  readonly news: Set<string>;
  invocations: number;
}

export interface LambdaService {
  readonly endpoint: string;
  readonly executions: readonly Execution[];
  /** Invokes a plain function as the SDK would, and waits for its answer. */
  call(name: string, event: unknown): Promise<unknown>;
  /** Waits until every execution has ended. */
  settled(): Promise<readonly Execution[]>;
  /** What functions wrote to their logs. */
  readonly logs: readonly string[];
  /** Function -> milliseconds its import took, of the first. */
  readonly imports: ReadonlyMap<string, number>;
  readonly kills: number;
  /** Kills the processes of a function that are at work, and says how many there were. */
  kill(name: string): number;
  close(): Promise<void>;
}

class Refusal extends Error {
  readonly status: number;
  readonly type: string;
  constructor(status: number, type: string, message: string) {
    super(message);
    this.status = status;
    this.type = type;
  }
}

/**
 * Lambda's API over bundles in processes of their own: Invoke, and what durable executions ask for (checkpoints, state), as strict as Lambda
 * where the product leans on it. A process that dies is what it is on Lambda: a worker's invocation fails, a durable one begins again.
 */
export async function startLambda(options: LambdaOptions): Promise<LambdaService> {
  const { functions, secondMs = 10 } = options;
  const executions: Execution[] = [];
  const logs: string[] = [];
  const imports = new Map<string, number>();
  const idle = new Map<string, ChildProcess[]>();
  const all = new Set<ChildProcess>();
  const ends = new Map<ChildProcess, Promise<void>>();
  const counts = new Map<string, number>();
  const endpoint = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const driving = new Set<Promise<void>>();
  const current = new Map<string, ChildProcess>();
  const working = new Map<ChildProcess, string>();
  const end = new AbortController();
  let [calls, checkpoints, asked, kills] = [0, 0, 0, 0];

  async function childOf(name: string): Promise<ChildProcess> {
    const free = idle.get(name)?.pop();
    if (free !== undefined) return free;
    const { bundle, env } = found(name);
    const child = fork(CHILD, [bundle], {
      env: { PATH: process.env.PATH, ...env, AWS_LAMBDA_FUNCTION_NAME: name, AWS_ENDPOINT_URL_LAMBDA: endpoint() },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      execArgv: [],
    });
    all.add(child);
    ends.set(
      child,
      once(child, 'exit').then(() => void all.delete(child)),
    );
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (data: Buffer) =>
        logs.push(
          ...data
            .toString()
            .split('\n')
            .filter((line) => line !== ''),
        ),
      );
    const [first] = (await Promise.race([once(child, 'message'), ends.get(child)?.then(() => [{}])])) as [{ ready?: number }];
    if (first.ready === undefined)
      throw new Error(
        `${name} cannot be imported:\n${logs.filter((line) => /Error/.test(line) && line.length < 2_000).join('\n')}`,
      );
    if (!imports.has(name)) imports.set(name, first.ready);
    return child;
  }

  /** One invocation in a process. Throws what the function threw, or `Runtime.ExitError` when its process died. */
  async function invoke(name: string, event: unknown, running?: Execution): Promise<string> {
    const nth = (counts.get(name) ?? 0) + 1;
    counts.set(name, nth);
    const fate = (await options.fateOf?.(name, nth, event)) ?? 'lives';
    const child = await childOf(name);
    working.set(child, name);
    if (running !== undefined) current.set(running.arn, child);
    const id = ++calls;
    const died = ends.get(child);
    const answered = new Promise<{ result?: string; error?: { errorType: string; errorMessage: string } }>((resolve) => {
      const hear = (message: { id?: number; result?: string; error?: { errorType: string; errorMessage: string } }): void => {
        if (message.id !== id) return;
        child.off('message', hear);
        resolve(message);
      };
      child.on('message', hear);
    });
    const { timeoutMs = 900_000 } = found(name);
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    if (fate === 'dies before') child.kill('SIGKILL');
    else child.send({ id, event, functionName: name, remainingMs: timeoutMs });
    const answer = await Promise.race([answered, died]);
    clearTimeout(timer);
    working.delete(child);
    if (fate === 'dies after') child.kill('SIGKILL');
    if (answer === undefined || fate === 'dies after') {
      kills += 1;
      await died;
      throw timedOut
        ? new Refusal(200, 'Sandbox.Timedout', `Task timed out after ${(timeoutMs / 1_000).toFixed(2)} seconds`)
        : new Refusal(200, 'Runtime.ExitError', 'Runtime exited with error: signal: killed');
    }
    idle.set(name, [...(idle.get(name) ?? []), child]);
    if (answer.error !== undefined) throw new Refusal(200, answer.error.errorType, answer.error.errorMessage);
    return answer.result ?? 'null';
  }

  function found(name: string): LambdaFunction {
    const one = functions[name];
    if (one === undefined) throw new Refusal(404, 'ResourceNotFoundException', `Function not found: ${ARN}${name}`);
    return one;
  }

  // ---- Durable executions

  function start(functionName: string, name: string, input: string): Execution {
    const known = executions.find((one) => one.functionName === functionName && one.name === name);
    if (known !== undefined) {
      if (known.input !== input)
        throw new Refusal(409, 'DurableExecutionAlreadyStartedException', `${name} was started with another payload.`);
      return known;
    }
    const execution: Execution = {
      arn: `${ARN}${functionName}:1/durable-execution/${name}/${executions.length + 1}`,
      name,
      functionName,
      input,
      status: 'RUNNING',
      operations: new Map(),
      news: new Set(),
      invocations: 0,
    };
    set(execution, {
      Id: 'execution',
      Type: 'EXECUTION',
      Status: 'STARTED',
      StartTimestamp: Date.now(),
      ExecutionDetails: { InputPayload: input },
    });
    executions.push(execution);
    const drive = driven(execution).catch((error: unknown) => {
      execution.status = 'FAILED';
      execution.error = { ErrorType: 'Stand-in', ErrorMessage: String(error) };
    });
    driving.add(drive);
    void drive.finally(() => driving.delete(drive));
    return execution;
  }

  function set(execution: Execution, operation: Operation): void {
    execution.operations.set(operation.Id, operation);
    execution.news.add(operation.Id);
  }

  async function driven(execution: Execution): Promise<void> {
    while (!end.signal.aborted) {
      execution.news.clear();
      execution.invocations += 1;
      const event = {
        DurableExecutionArn: execution.arn,
        CheckpointToken: `token-${checkpoints}`,
        InitialExecutionState: { Operations: [...execution.operations.values()].map(dated) },
      };
      let answer: { Status: string; Result?: string; Error?: Execution['error'] };
      try {
        answer = JSON.parse(await invoke(execution.functionName, event, execution)) as typeof answer;
      } catch (error) {
        if (error instanceof Refusal && ['Runtime.ExitError', 'Sandbox.Timedout'].includes(error.type)) continue;
        throw error;
      }
      if (answer.Status === 'PENDING') {
        while (execution.news.size === 0 && !end.signal.aborted) await new Promise((resolve) => setTimeout(resolve, 2));
        continue;
      }
      execution.status = answer.Status === 'SUCCEEDED' ? 'SUCCEEDED' : 'FAILED';
      if (answer.Result !== undefined) execution.result = answer.Result;
      if (answer.Error !== undefined) execution.error = answer.Error;
      return;
    }
  }

  function update(execution: Execution, change: Record<string, unknown>): void {
    const id = String(change['Id']);
    const before = execution.operations.get(id);
    const payload = change['Payload'] as string | undefined;
    if (Buffer.byteLength(payload ?? '') > LIMITS.checkpointBytes)
      throw new Refusal(400, 'InvalidParameterValueException', `The payload of ${String(change['Name'])} is larger than 256 KB.`);
    if (before === undefined && execution.operations.size >= LIMITS.operations)
      throw new Refusal(400, 'InvalidParameterValueException', 'The execution has more than 3,000 operations.');
    const operation: Operation = {
      Status: 'STARTED',
      StartTimestamp: Date.now(),
      ...before,
      ...pick(change, ['Id', 'ParentId', 'Name', 'Type', 'SubType']),
    } as Operation;
    const ended = { SUCCEED: 'SUCCEEDED', FAIL: 'FAILED' }[String(change['Action'])];
    if (ended !== undefined) Object.assign(operation, { Status: ended, EndTimestamp: Date.now() });
    const error = change['Error'];
    switch (`${operation.Type} ${String(change['Action'])}`) {
      case 'STEP START':
        operation['StepDetails'] = { Attempt: 1, ...(before?.['StepDetails'] as object) };
        break;
      case 'STEP SUCCEED':
      case 'STEP FAIL':
        operation['StepDetails'] = { Attempt: 1, ...(before?.['StepDetails'] as object), Result: payload, Error: error };
        break;
      case 'CONTEXT START':
        break;
      case 'CONTEXT SUCCEED':
      case 'CONTEXT FAIL':
        operation['ContextDetails'] = { Result: payload, Error: error, ...(change['ContextOptions'] as object) };
        break;
      case 'WAIT START': {
        const { WaitSeconds } = change['WaitOptions'] as { WaitSeconds: number };
        operation['WaitDetails'] = { ScheduledEndTimestamp: Date.now() + WaitSeconds * secondMs };
        setTimeout(() => set(execution, { ...operation, Status: 'SUCCEEDED', EndTimestamp: Date.now() }), WaitSeconds * secondMs);
        break;
      }
      case 'CHAINED_INVOKE START': {
        const { FunctionName } = change['ChainedInvokeOptions'] as { FunctionName: string };
        void worked(FunctionName, payload ?? 'null').then((details) => {
          const Status = 'Error' in details ? 'FAILED' : 'SUCCEEDED';
          set(execution, { ...operation, Status, EndTimestamp: Date.now(), ChainedInvokeDetails: details });
        });
        break;
      }
      default:
        throw new Refusal(
          400,
          'InvalidParameterValueException',
          `${operation.Type} ${String(change['Action'])} is not played here.`,
        );
    }
    set(execution, operation);
  }

  async function worked(target: string, payload: string): Promise<{ Result: string } | { Error: object }> {
    try {
      return { Result: await invoke(nameIn(target).name, JSON.parse(payload)) };
    } catch (error) {
      const { type = 'Unknown', message } = error as Partial<Refusal> & Error;
      return { Error: { ErrorType: type, ErrorMessage: message } };
    }
  }

  // ---- The API

  async function answer(request: IncomingMessage, body: string, response: ServerResponse): Promise<void> {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://x').pathname);
    const invocation = /^\/2015-03-31\/functions\/(.+)\/invocations$/.exec(path);
    if (invocation !== null) {
      const { name, qualifier } = nameIn(invocation[1] ?? '');
      const { durable = false } = found(name);
      const asynchronous = request.headers['x-amz-invocation-type'] === 'Event';
      if (asynchronous && Buffer.byteLength(body) > LIMITS.asyncBytes)
        throw new Refusal(413, 'RequestTooLargeException', 'The payload of an asynchronous invocation is larger than 1 MB.');
      if (!durable) return reply(response, 200, await invoke(name, JSON.parse(body)));
      if (qualifier === undefined)
        throw new Refusal(
          400,
          'InvalidParameterValueException',
          'You cannot invoke a durable function using an unqualified ARN.',
        );
      const execution = String(request.headers['x-amz-durable-execution-name'] ?? '');
      if (!LIMITS.name.test(execution)) throw new Refusal(400, 'ValidationException', `${execution} is no name of an execution.`);
      if (!asynchronous)
        throw new Refusal(400, 'InvalidParameterValueException', 'Only asynchronous invocations are played here.');
      response.setHeader('X-Amz-Durable-Execution-Arn', start(name, execution, body).arn);
      return reply(response, 202, '');
    }
    const [, arn = '', what] = /^\/2025-12-01\/durable-executions\/(.+?)(?:\/(checkpoint|state))?$/.exec(path) ?? [];
    const execution = executions.find((one) => one.arn === arn);
    if (execution === undefined) throw new Refusal(404, 'ResourceNotFoundException', path);
    if (what === undefined) {
      const { status, result, error, name, functionName } = execution;
      const about = { DurableExecutionArn: arn, DurableExecutionName: name, FunctionArn: `${ARN}${functionName}:1` };
      return reply(response, 200, JSON.stringify({ ...about, Status: status, StartTimestamp: 0, Result: result, Error: error }));
    }
    if (what === 'checkpoint') {
      const { Updates = [] } = JSON.parse(body) as { Updates?: Record<string, unknown>[] };
      const death = Updates.length > 0 ? options.deathAt?.(++asked) : undefined;
      if (death !== 'before') {
        for (const one of Updates) update(execution, one);
        checkpoints += 1;
      }
      if (death !== undefined) {
        current.get(execution.arn)?.kill('SIGKILL');
        return void response.destroy();
      }
    }
    const told = what === 'state' ? [...execution.operations.keys()] : [...execution.news];
    execution.news.clear();
    const Operations = told.map((id) => inSeconds(execution.operations.get(id) as Operation));
    const state =
      what === 'state' ? { Operations } : { CheckpointToken: `token-${checkpoints}`, NewExecutionState: { Operations } };
    return reply(response, 200, JSON.stringify(state));
  }

  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      answer(request, body, response).catch((error: unknown) => {
        const { status = 500, type = 'ServiceException', message } = error as Partial<Refusal> & Error;
        response.setHeader('X-Amzn-Errortype', type);
        if (status === 200) response.setHeader('X-Amz-Function-Error', 'Unhandled');
        reply(response, status, JSON.stringify({ message, Message: message, errorType: type, errorMessage: message }));
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    endpoint: endpoint(),
    executions,
    logs,
    imports,
    get kills() {
      return kills;
    },
    kill(name) {
      const found = [...working].filter(([, at]) => at === name);
      for (const [child] of found) child.kill('SIGKILL');
      return found.length;
    },
    call: async (name, event) => JSON.parse(await invoke(name, event)) as unknown,
    async settled() {
      while (driving.size > 0) await Promise.all(driving);
      return executions;
    },
    async close() {
      end.abort();
      for (const child of all) child.kill('SIGKILL');
      await Promise.all(driving);
      server.closeAllConnections();
      server.close();
    },
  };
}

/** `name`, `name:qualifier`, or an ARN of either. */
function nameIn(target: string): { readonly name: string; readonly qualifier: string | undefined } {
  const [name = '', qualifier] = target.replace(/^arn:aws:lambda:[\w-]+:\d{12}:function:/, '').split(':');
  return { name, qualifier };
}

const pick = (from: Record<string, unknown>, names: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(names.flatMap((name) => (from[name] === undefined ? [] : [[name, from[name]]])));

const TIMES = new Set(['StartTimestamp', 'EndTimestamp', 'ScheduledEndTimestamp', 'NextAttemptTimestamp']);
/** The API writes seconds, the event of an invocation milliseconds. */
const timed = (operation: Operation, of: (ms: number) => unknown): unknown =>
  JSON.parse(JSON.stringify(operation), (key, value: unknown) => (TIMES.has(key) ? of(value as number) : value));
const inSeconds = (operation: Operation): unknown => timed(operation, (ms) => ms / 1_000);
const dated = (operation: Operation): unknown => timed(operation, (ms) => ms);

function reply(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(body);
}
