import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

/** What runs the SQL behind the endpoint. Addresses are `s3://bucket/key`. Errors are `QueryFailure`. */
export interface AthenaEngine {
  /** Values as Athena prints them, NULL is null; types by Athena's names without arguments. */
  select(sql: string): Promise<EngineResult>;
  /** Writes files under `to`, which ends in a slash, and gives their addresses; nothing for no rows. */
  unload(statement: Unload): Promise<{ readonly files: readonly string[]; readonly scannedBytes: number }>;
  close(): Promise<void>;
}

export interface EngineResult {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly (string | null)[])[];
  readonly scannedBytes: number;
}

export interface Unload {
  readonly sql: string;
  readonly to: string;
  readonly format: 'PARQUET' | 'JSON';
  readonly partitionedBy: readonly string[];
}

/** A query that ends as FAILED or CANCELLED, in Athena's words. */
export class QueryFailure extends Error {
  readonly state: 'FAILED' | 'CANCELLED';
  readonly category: number;
  readonly retryable: boolean;
  constructor(
    message: string,
    {
      state = 'FAILED',
      category = 2,
      retryable = false,
    }: { state?: 'FAILED' | 'CANCELLED'; category?: number; retryable?: boolean } = {},
  ) {
    super(message);
    this.name = 'QueryFailure';
    this.state = state;
    this.category = category;
    this.retryable = retryable;
  }
}

export interface GlueTable {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly parameters?: Readonly<Record<string, string>>;
}

export interface EndpointOptions {
  readonly engine: AthenaEngine;
  /** Folder whose folders are the buckets: manifests are written there, and targets of UNLOAD looked at. */
  readonly root: string;
  readonly workGroup: string;
  /** `catalog.database.table` -> what Glue knows of it. */
  readonly tables?: Readonly<Record<string, GlueTable>>;
  /** `bytesScannedCutoffPerQuery` of the workgroup. */
  readonly cutoffBytes?: number;
  /** Queries that may run or wait at once. */
  readonly active?: number;
  /** Answers the first question for a query when it has ended, as Athena does for one that was quick: then nobody has to wait between two. */
  readonly prompt?: boolean;
}

export interface AthenaEndpoint {
  readonly endpoint: string;
  /** Texts of the queries that were really started, in their order. */
  readonly started: readonly string[];
  readonly stopped: readonly string[];
  /** What the engine said of queries that failed. */
  readonly failures: readonly string[];
  /** The next query whose text matches ends with this failure, after it has run where `after` says so. */
  failNext(match: RegExp, failure: QueryFailure, options?: { readonly after?: boolean }): void;
  /** The next requests for an operation are answered with this error instead; 0 times: no more. */
  refuseNext(operation: string, type: string, times?: number): void;
  /** Queries that match stay RUNNING until this is called again with nothing. */
  hold(match?: RegExp): void;
  close(): Promise<void>;
}

interface Execution {
  readonly id: string;
  readonly sql: string;
  readonly token: string;
  state: 'QUEUED' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELLED';
  looks: number;
  done: boolean;
  end?: Promise<void>;
  failure?: QueryFailure;
  result?: EngineResult;
  manifest?: string;
  scannedBytes: number;
}

const LONGEST = 262_144;
const PAGE = 1000;

/**
 * Athena's HTTP API (AWS JSON 1.1) over an engine that really runs what it is sent, as strict as Athena where the product leans on it: tokens
 * that start nothing twice, states that have to be waited for, targets of UNLOAD that must be empty, 100 partitions, the longest
 * query, the workgroup's cutoff, pages of results.
 */
export async function startAthena(options: EndpointOptions): Promise<AthenaEndpoint> {
  const { engine, root } = options;
  const executions = new Map<string, Execution>();
  const started: string[] = [];
  const stopped: string[] = [];
  const said: string[] = [];
  const failures: { match: RegExp; failure: QueryFailure; after: boolean }[] = [];
  const refusals: { operation: string; type: string; times: number }[] = [];
  const running: Promise<void>[] = [];
  let held: RegExp | undefined;

  async function run(execution: Execution): Promise<void> {
    const at = failures.findIndex(({ match }) => match.test(execution.sql));
    const [fault] = at === -1 ? [] : failures.splice(at, 1);
    try {
      if (fault && !fault.after) throw fault.failure;
      const unload = unloadOf(execution.sql);
      if (unload === undefined) {
        execution.result = await engine.select(execution.sql);
        execution.scannedBytes = execution.result.scannedBytes;
      } else await write(execution, unload);
      if (options.cutoffBytes !== undefined && execution.scannedBytes > options.cutoffBytes)
        throw new QueryFailure('Bytes scanned limit was exceeded', { state: 'CANCELLED' });
      if (fault) throw fault.failure;
    } catch (error) {
      execution.failure =
        error instanceof QueryFailure ? error : new QueryFailure(`GENERIC_INTERNAL_ERROR: ${String(error)}`, { category: 1 });
    }
    if (execution.failure) said.push(execution.failure.message);
    execution.done = true;
  }

  async function write(execution: Execution, unload: Unload): Promise<void> {
    const folder = pathOf(root, unload.to);
    // A partitioned UNLOAD does not look, and adds to what is there.
    if (unload.partitionedBy.length === 0 && existsSync(folder) && readdirSync(folder, { recursive: true }).length > 0)
      throw new QueryFailure(
        `HIVE_PATH_ALREADY_EXISTS: Target directory for table 'tmp.unload' already exists: ${unload.to}. You may need to manually clean the data at location before retrying. Athena will not delete data in your account.`,
      );
    const { files, scannedBytes } = await engine.unload(unload);
    execution.scannedBytes = scannedBytes;
    const partitions = new Set(files.map((file) => dirname(file)));
    if (unload.partitionedBy.length > 0 && partitions.size > 100)
      throw new QueryFailure('HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100 open writers for partitions/buckets.');
    execution.manifest = `s3://results/${execution.id}-manifest.csv`;
    const path = pathOf(root, execution.manifest);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, files.map((file) => `${file}\n`).join(''));
  }

  const operations: Readonly<Record<string, (input: Record<string, unknown>) => unknown>> = {
    StartQueryExecution(input) {
      const sql = String(input['QueryString']);
      const token = String(input['ClientRequestToken']);
      if (input['WorkGroup'] !== options.workGroup)
        throw refusal('InvalidRequestException', `WorkGroup ${String(input['WorkGroup'])} is not found.`);
      if (sql === '' || Buffer.byteLength(sql) > LONGEST)
        throw refusal(
          'InvalidRequestException',
          `Value at 'queryString' failed to satisfy constraint: Member must have length less than or equal to ${LONGEST}`,
        );
      if (token.length < 32 || token.length > 128)
        throw refusal(
          'InvalidRequestException',
          `Value at 'clientRequestToken' failed to satisfy constraint: Member must have length between 32 and 128`,
        );
      const known = [...executions.values()].find((one) => one.token === token);
      if (known !== undefined && known.sql !== sql)
        throw refusal('InvalidRequestException', 'Idempotent parameters do not match');
      if (known !== undefined) return { QueryExecutionId: known.id };
      const active = [...executions.values()].filter(({ state }) => state === 'QUEUED' || state === 'RUNNING').length;
      if (active >= (options.active ?? 200))
        throw refusal(
          'TooManyRequestsException',
          'You have exceeded the limit for the number of queries you can run concurrently.',
        );
      const execution: Execution = { id: randomUUID(), sql, token, state: 'QUEUED', looks: 0, done: false, scannedBytes: 0 };
      executions.set(execution.id, execution);
      started.push(sql);
      execution.end = run(execution);
      running.push(execution.end);
      return { QueryExecutionId: execution.id };
    },
    async GetQueryExecution(input) {
      const execution = found(executions, input);
      if (options.prompt === true && execution.state === 'QUEUED') execution.state = 'RUNNING';
      // An engine that takes its time is not asked all the time.
      if (execution.state === 'RUNNING' && held === undefined)
        await Promise.race([execution.end, wait(1000, undefined, { ref: false })]);
      execution.looks += 1;
      if (execution.state === 'QUEUED' && execution.looks > 1) execution.state = 'RUNNING';
      else if (execution.state === 'RUNNING' && execution.done && held?.test(execution.sql) !== true)
        execution.state = execution.failure?.state ?? 'SUCCEEDED';
      const { failure, state } = execution;
      const ended = state === 'FAILED' || state === 'CANCELLED';
      return {
        QueryExecution: {
          QueryExecutionId: execution.id,
          Query: execution.sql,
          WorkGroup: options.workGroup,
          Status: {
            State: state,
            ...(ended && failure && { StateChangeReason: failure.message }),
            ...(ended &&
              failure && {
                AthenaError: {
                  ErrorCategory: failure.category,
                  ErrorType: 1,
                  Retryable: failure.retryable,
                  ErrorMessage: failure.message,
                },
              }),
          },
          Statistics: {
            DataScannedInBytes: execution.scannedBytes,
            ...(state === 'SUCCEEDED' && execution.manifest !== undefined && { DataManifestLocation: execution.manifest }),
          },
        },
      };
    },
    GetQueryResults(input) {
      const execution = found(executions, input);
      if (execution.state !== 'SUCCEEDED')
        throw refusal('InvalidRequestException', `Query has not yet finished. Current state: ${execution.state}`);
      const { columns, rows } = execution.result ?? { columns: [], rows: [] };
      const most = Number(input['MaxResults'] ?? PAGE);
      if (most < 1 || most > PAGE)
        throw refusal('InvalidRequestException', 'MaxResults is more than maximum allowed length 1000.');
      const all = [columns.map(({ name }) => name), ...rows];
      const from = Number(input['NextToken'] ?? 0);
      const page = all.slice(from, from + most);
      return {
        ResultSet: {
          ResultSetMetadata: { ColumnInfo: columns.map(({ name, type }) => ({ Name: name, Type: type, Nullable: 'UNKNOWN' })) },
          Rows: page.map((row) => ({ Data: row.map((value) => (value === null ? {} : { VarCharValue: value })) })),
        },
        ...(from + most < all.length && { NextToken: String(from + most) }),
      };
    },
    StopQueryExecution(input) {
      const execution = found(executions, input);
      if (execution.state === 'QUEUED' || execution.state === 'RUNNING') {
        execution.state = 'CANCELLED';
        stopped.push(execution.sql);
      }
      return {};
    },
    GetTableMetadata(input) {
      const name = ['CatalogName', 'DatabaseName', 'TableName'].map((key) => String(input[key]).toLowerCase()).join('.');
      const table = options.tables?.[name];
      if (table === undefined)
        throw refusal(
          'MetadataException',
          `EntityNotFoundException: Entity Not Found (Service: AmazonDataCatalog; Status Code: 400)`,
        );
      return {
        TableMetadata: {
          Name: input['TableName'],
          TableType: 'EXTERNAL_TABLE',
          Columns: table.columns.map((column) => ({ Name: column.name, Type: column.type })),
          PartitionKeys: [],
          Parameters: table.parameters ?? {},
        },
      };
    },
  };

  async function answer(request: IncomingMessage, body: string, response: ServerResponse): Promise<void> {
    const operation = String(request.headers['x-amz-target'] ?? '').replace(/^AmazonAthena\./, '');
    try {
      if (!(request.headers.authorization ?? '').startsWith('AWS4-HMAC-SHA256 '))
        throw refusal('MissingAuthenticationTokenException', 'Missing Authentication Token');
      const next = refusals.find((one) => one.operation === operation && one.times > 0);
      if (next) {
        next.times -= 1;
        throw refusal(next.type, 'Rate exceeded');
      }
      const handler = operations[operation];
      if (handler === undefined) throw refusal('UnknownOperationException', operation);
      reply(response, 200, await handler(JSON.parse(body) as Record<string, unknown>));
    } catch (error) {
      const { type = 'InternalServerException', message } = error as Partial<Refusal> & Error;
      reply(response, type === 'InternalServerException' ? 500 : 400, { __type: type, message });
    }
  }

  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk;
    });
    request.on('end', () => void answer(request, body, response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    started,
    stopped,
    failures: said,
    failNext: (match, failure, { after = false } = {}) => void failures.push({ match, failure, after }),
    refuseNext(operation, type, times = 1) {
      refusals.splice(0);
      refusals.push({ operation, type, times });
    },
    hold: (match) => {
      held = match;
    },
    async close() {
      await Promise.all(running);
      await engine.close();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

class Refusal extends Error {
  readonly type: string;
  constructor(type: string, message: string) {
    super(message);
    this.type = type;
  }
}
const refusal = (type: string, message: string): Refusal => new Refusal(type, message);

function found(executions: ReadonlyMap<string, Execution>, input: Record<string, unknown>): Execution {
  const execution = executions.get(String(input['QueryExecutionId']));
  if (execution === undefined)
    throw refusal('InvalidRequestException', `QueryExecution ${String(input['QueryExecutionId'])} was not found`);
  return execution;
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/x-amz-json-1.1' });
  response.end(JSON.stringify(body));
}

const pathOf = (root: string, address: string): string => join(root, address.replace(/^s3:\/\//, ''));

/** `UNLOAD (SELECT ...) TO 's3://...' WITH (...)`, or undefined when the statement is something else. */
function unloadOf(sql: string): Unload | undefined {
  if (!/^\s*UNLOAD\b/i.test(sql)) return undefined;
  const [, select, to, options = ''] = /^\s*UNLOAD\s*\(([\s\S]*)\)\s*TO\s*'([^']+)'\s*WITH\s*\(([\s\S]*)\)\s*$/i.exec(sql) ?? [];
  const format = /format\s*=\s*'(PARQUET|JSON)'/i.exec(options)?.[1]?.toUpperCase();
  const compression = /compression\s*=\s*'(\w+)'/i.exec(options)?.[1]?.toUpperCase();
  if (select === undefined || to === undefined || format === undefined || !to.startsWith('s3://') || !to.endsWith('/'))
    throw new QueryFailure('SYNTAX_ERROR: line 1:1: mismatched input');
  if (compression !== (format === 'PARQUET' ? 'ZSTD' : 'GZIP'))
    throw new QueryFailure(`INVALID_TABLE_PROPERTY: compression ${compression} is not one this stand-in writes`);
  const list = /partitioned_by\s*=\s*ARRAY\[([^\]]*)\]/i.exec(options)?.[1] ?? '';
  return {
    sql: select,
    to,
    format: format as Unload['format'],
    partitionedBy: [...list.matchAll(/'([^']+)'/g)].map(([, name = '']) => name),
  };
}
