import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { ROOT } from '../../project-files.ts';

export const VERSION = '435';
/** Where `npm run pre-test:trino` puts it. */
export const TRINO = `${ROOT}.cache/trino`;

/** A real Trino on loopback, its one catalog `awsdatacatalog` over an S3 endpoint; metastore and data in its buckets. */
export interface Trino {
  readonly endpoint: string;
  close(): Promise<void>;
}

export interface TrinoOptions {
  /** MiB of the machine it runs in, and of what one query may have. Default: enough for tests. */
  readonly memory?: { readonly machine: number; readonly query: number };
  /** More of the catalog's properties. */
  readonly catalog?: Readonly<Record<string, string>>;
}

/** @param s3 endpoint; it has a bucket `metastore` */
export async function startTrino(
  s3: string,
  { memory = { machine: 1536, query: 400 }, catalog = {} }: TrinoOptions = {},
): Promise<Trino> {
  if (!existsSync(join(TRINO, 'plugin', 'hive'))) throw new Error('Trino is not installed: npm run pre-test:trino');
  const dir = mkdtempSync(join(tmpdir(), 'sluice-trino-'));
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  mkdirSync(join(dir, 'catalog'));
  writeFileSync(
    join(dir, 'config.properties'),
    properties({
      coordinator: 'true',
      'node-scheduler.include-coordinator': 'true',
      'http-server.http.port': String(port),
      'discovery.uri': endpoint,
      'node.environment': 'test',
      'node.internal-address': '127.0.0.1',
      'plugin.dir': join(TRINO, 'plugin'),
      'catalog.config-dir': join(dir, 'catalog'),
      // Small tables, two processors: little of everything.
      'query.max-memory-per-node': `${memory.query}MB`,
      'query.max-memory': `${memory.query}MB`,
      'task.concurrency': '2',
      'query.min-expire-age': '1s',
      'query.max-history': '10',
    }),
  );
  writeFileSync(
    join(dir, 'catalog', 'awsdatacatalog.properties'),
    properties({
      'connector.name': 'hive',
      'hive.metastore': 'file',
      'hive.metastore.catalog.dir': 's3://metastore/',
      'hive.metastore.disable-location-checks': 'true',
      'hive.non-managed-table-writes-enabled': 'true',
      'hive.non-managed-table-creates-enabled': 'true',
      'hive.partition-projection-enabled': 'true',
      // As Athena reads a folder.
      'hive.recursive-directories': 'true',
      'hive.security': 'allow-all',
      'fs.hadoop.enabled': 'false',
      'fs.native-s3.enabled': 'true',
      's3.endpoint': s3,
      's3.region': 'eu-central-1',
      's3.path-style-access': 'true',
      's3.aws-access-key': 'test',
      's3.aws-secret-key': 'test',
      ...catalog,
    }),
  );
  const args = [
    `-Xmx${memory.machine}m`,
    '-XX:+UseSerialGC',
    // Queries are small and many: compiling them well costs more than running them badly.
    '-XX:TieredStopAtLevel=1',
    '-Duser.timezone=UTC',
    '-cp',
    join(TRINO, 'lib', '*'),
    `-Dconfig=${join(dir, 'config.properties')}`,
    `${ROOT}test/support/trino/Main.java`,
  ];
  const server = spawn('java', args, { cwd: dir, stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [server.stdout, server.stderr])
    stream.on('data', (data: Buffer) => {
      said = (said + data.toString()).slice(-5_000);
    });
  await ready(server, endpoint, () => said);
  return {
    endpoint,
    async close() {
      server.kill('SIGKILL');
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function ready(server: ChildProcess, endpoint: string, said: () => string): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    const info = await fetch(`${endpoint}/v1/info`)
      .then((answer) => answer.json() as Promise<{ starting?: boolean }>)
      .catch(() => ({ starting: true }));
    if (info.starting === false) return;
    if (server.exitCode !== null) break;
    await wait(200);
  }
  server.kill('SIGKILL');
  throw new Error(`Trino did not start: ${said()}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const properties = (values: Readonly<Record<string, string>>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
