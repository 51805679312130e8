import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { standIns } from '../../sandbox/index.ts';
import { type Sandbox, startSandbox } from '../../sandbox/server.ts';
import { type Command, CommandFailed, EXIT, UsageError } from '../command.ts';
import { count, plural, table } from '../render/table.ts';
import type { Terminal } from '../terminal.ts';

const PORT = 4010;
const REFRESH_MS = 1_000;
/** Where no terminal is drawn over, what came is told at most this often. */
const TOLD_MS = 5_000;

export const sandbox: Command = {
  name: 'sandbox',
  summary: 'stand-ins of the platforms on this machine, strict as the real ones',
  arguments: '[platform...]',
  takes: [0, Number.POSITIVE_INFINITY],
  options: {
    port: { value: 'number', help: `default: ${PORT}; 0 takes any free one` },
    keep: { value: 'file', help: 'remember what the stand-ins hold in this file' },
  },
  details: `Put an endpoint into a destination file, and the secret shown into SLUICE_SECRET_<NAME> or .sluice/secrets.yaml, and sync.
Stand-ins refuse what the platforms refuse, and enforce their rate limits. Faults on demand, for a look at bad days:

  curl -d '{"kind":"throttle","times":3}' http://127.0.0.1:${PORT}/_sandbox/meta/faults
  curl -X DELETE http://127.0.0.1:${PORT}/_sandbox/meta/faults
  curl http://127.0.0.1:${PORT}/_sandbox/meta?entries=1

  throttle      429, or what the platform says instead; "ms" to wait       hang, cut     no answer, half of one
  error         "status", 500 unless said                                  slow          an answer after "ms"
  unauthorised  wrong or expired credentials                               html          a page instead of an answer
  forbidden     a missing permission                                       false-success a failure under a 200
  list-deleted, terms, quota   as the platform says it                     duplicate     the request counts twice
  refuse-rows   every nth row of a request: "rows": n
  With "times": n only the first n requests, with "every": n every nth, with "route" or "method" only those.

Ends with Ctrl-C. --json prints one object when it is ready, and one with what was held and received when it ends.`,
  async run({ arguments: names, values, json, dir, terminal }) {
    const port = Number(values.port ?? PORT);
    if (!Number.isInteger(port) || port < 0 || port > 65_535)
      throw new UsageError(`"--port" is 0 to 65535; got "${values.port}".`);
    const unknown = names.find((name) => !Object.hasOwn(standIns, name));
    if (unknown !== undefined) {
      throw new UsageError(`There is no stand-in "${unknown}". There are: ${Object.keys(standIns).sort().join(', ')}.`);
    }
    const chosen = Object.values(standIns).filter(({ name }) => names.length === 0 || names.includes(name));
    const file = values.keep === undefined ? undefined : join(dir, values.keep);
    if (file !== undefined) await mkdir(join(file, '..'), { recursive: true });
    const open = await startSandbox(chosen, { port, ...(file !== undefined && { file }) }).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EADDRINUSE') throw error;
        throw new CommandFailed(
          `Port ${port} is taken, perhaps by another sandbox. Choose another: sluice sandbox --port ${port + 1}`,
        );
      },
    );
    if (json)
      terminal.print(
        JSON.stringify({
          url: open.url,
          platforms: open.platforms.map(({ name, title, endpoint, secret }) => ({ name, title, endpoint, secret })),
        }),
      );
    else for (const line of endpoints(open)) terminal.print(line);

    const ended = new AbortController();
    const watching = json ? Promise.resolve() : watch(open, terminal, ended.signal);
    await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
    ended.abort();
    await watching;
    if (json) terminal.print(JSON.stringify({ platforms: open.platforms.map(summary) }));
    else for (const line of activity(open)) terminal.print(line);
    await open.close();
    return EXIT.done;
  },
};

function endpoints(open: Sandbox): readonly string[] {
  return [
    ...table(
      [{ title: 'platform' }, { title: 'endpoint' }, { title: 'secret' }],
      open.platforms.map(({ name, endpoint, secret }) => [
        name,
        endpoint,
        Object.keys(secret).length === 0 ? 'none' : JSON.stringify(secret),
      ]),
    ),
    '',
    `Faults and contents: ${open.url}/_sandbox (see "sluice sandbox --help"). Ctrl-C ends it.`,
    '',
  ];
}

/** Draws what the stand-ins received and hold, every second on a terminal, else when something came. */
async function watch(open: Sandbox, terminal: Terminal, ended: AbortSignal): Promise<void> {
  let told = 0;
  while (!ended.aborted) {
    const received = open.platforms.reduce((sum, platform) => sum + platform.requests().length, 0);
    if (terminal.errIsTty) terminal.live.draw(activity(open));
    else if (received > told) {
      for (const line of activity(open)) terminal.say(line);
      told = received;
    }
    await sleep(terminal.errIsTty ? REFRESH_MS : TOLD_MS, undefined, { signal: ended }).catch(() => undefined);
  }
  terminal.live.done();
}

type Platform = Sandbox['platforms'][number];

function summary(platform: Platform) {
  const requests = platform.requests();
  return {
    name: platform.name,
    requests: requests.length,
    rows: requests.reduce((sum, request) => sum + request.rows, 0),
    refused: requests.filter(({ status }) => status >= 400).length,
    lists: [...platform.held()].map(([name, held]) => ({ name, size: held.size })),
  };
}

function activity(open: Sandbox): readonly string[] {
  const rows = open.platforms
    .map((platform) => ({ ...summary(platform), faults: platform.faultsSet() }))
    .filter((one) => one.requests > 0 || one.lists.length > 0 || one.faults.length > 0);
  if (rows.length === 0) return ['Nothing has come yet.'];
  const faulty = rows.some(({ faults }) => faults.length > 0);
  return table(
    [
      { title: 'platform' },
      { title: 'requests' },
      { title: 'refused' },
      { title: 'rows' },
      { title: 'holds' },
      ...(faulty ? [{ title: 'faults set (struck)' }] : []),
    ],
    rows.map(({ name, requests, refused, rows: sent, lists, faults }) => [
      name,
      requests,
      refused,
      sent,
      lists.map((list) => `"${list.name}" ${count(list.size)}`).join(', ') || plural(0, 'list'),
      ...(faulty ? [faults.map((fault) => `${fault.kind} (${fault.struck})`).join(', ')] : []),
    ]),
  );
}
