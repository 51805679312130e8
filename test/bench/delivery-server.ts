import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { RateWindows } from '../../sandbox/rate.ts';

/**
 * A server that costs as little as one can: it reads bodies and gives the shortest good answer of each platform. With `--limit n` it
 * enforces n requests a second in a sliding window with 429, and `/stats` tells what it saw; with `--slow-every n --slow-ms m` every
 * nth answer takes m milliseconds, the others `--ms`.
 */
const option = (name: string): number => Number(process.argv[process.argv.indexOf(`--${name}`) + 1] ?? 0) || 0;
const limit = process.argv.includes('--limit') ? option('limit') : 0;
const [slowEvery, slowMs, ms] = ['slow-every', 'slow-ms', 'ms'].map((name) =>
  process.argv.includes(`--${name}`) ? option(name) : 0,
) as [number, number, number];
const windows = new RateWindows(limit > 0 ? [{ requests: limit, seconds: 1 }] : []);
const taken: number[] = [];
let [requests, throttled] = [0, 0];

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const url = request.url ?? '';
    const reply = (status: number, body: string): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(body);
    };
    if (url === '/stats') return reply(200, JSON.stringify({ requests, throttled, taken }));
    requests += 1;
    if (windows.admit(performance.now()) > 0) {
      throttled += 1;
      return reply(429, '{}');
    }
    if (limit > 0) taken.push(performance.now());
    const wait = slowEvery > 0 && requests % slowEvery === 0 ? slowMs : ms;
    const answer = (): void => reply(url.startsWith('/users/track') ? 201 : 200, answerFor(url, chunks));
    if (wait > 0) setTimeout(answer, wait);
    else answer();
    return undefined;
  });
});

function answerFor(url: string, chunks: readonly Buffer[]): string {
  if (url === '/token') return '{"access_token":"token","expires_in":3600}';
  if (url.includes('audienceMembers')) return `{"requestId":"r${requests}"}`;
  if (url.includes('requestStatus')) return '{"requestStatusPerDestination":[{"requestStatus":"SUCCESS"}]}';
  if (url.startsWith('/users/track')) return '{"message":"success","attributes_processed":75}';
  if (url.endsWith('/users')) {
    const tail = chunks.at(-1)?.subarray(-100).toString() ?? '';
    const count = /"estimated_num_total":(\d+)/.exec(tail)?.[1] ?? '1';
    return `{"audience_id":"1","session_id":"1","num_received":${count},"num_invalid_entries":0,"invalid_entry_samples":[]}`;
  }
  return '{}';
}

server.listen(0, '127.0.0.1', () => process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`));
