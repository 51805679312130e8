/**
 * One `sync` of a world in a process of its own, killed with SIGKILL at a chosen moment.
 * Arguments: folder, destinations as JSON (name -> {endpoint, secret}), tick, and when to die:
 * `after:N` the Nth task has had its effect and the journal does not know it yet; `request:N` the Nth HTTP exchange is answered and the
 * answer not looked at; `before:N` it is about to be made; `commit:N` the Nth moment of commits: before and after receipts are written, tied
 * to the chain and remembered, and the pointer moved; `never`.
 */
import { openWorkspace } from '../../../cli/wiring.ts';
import type { Context } from '../../../core/connector.ts';
import { sync } from '../../../core/run/operations.ts';
import type { Tasks } from '../../../core/run/ports.ts';

const [dir = '', overrides = '{}', tick = '0', when = 'never'] = process.argv.slice(2);
const known = JSON.parse(overrides) as Record<string, { endpoint: string; secret: Record<string, string> }>;
const [moment, nth = '0'] = when.split(':');
const counts = { after: 0, before: 0, request: 0, commit: 0 };
const at = (what: keyof typeof counts): void => {
  counts[what] += 1;
  if (moment === what && counts[what] === Number(nth)) process.kill(process.pid, 'SIGKILL');
};

const open = await openWorkspace(dir, { overrideFor: ({ name }) => known[name] });
if ('problems' in open) throw new Error(open.problems.map((one) => one.message).join('\n'));
const { ports, journal } = open.operations;
const around = async <T>(work: () => Promise<T>): Promise<T> => {
  at('commit');
  const result = await work();
  at('commit');
  return result;
};
const { store, warehouse } = ports;
const dying = {
  ...ports,
  warehouse: {
    name: warehouse.name,
    describe: warehouse.describe.bind(warehouse),
    rows: warehouse.rows.bind(warehouse),
    unload: warehouse.unload.bind(warehouse),
    validate: warehouse.validate.bind(warehouse),
    close: () => warehouse.close(),
    materialize: (...given: Parameters<typeof warehouse.materialize>) =>
      given[1].includes('/receipts/') ? around(() => warehouse.materialize(...given)) : warehouse.materialize(...given),
  },
  store: {
    ...store,
    receipts: {
      ...store.receipts,
      write: (...given: Parameters<typeof store.receipts.write>) => around(() => store.receipts.write(...given)),
      adopt: (...given: Parameters<typeof store.receipts.adopt>) => around(() => store.receipts.adopt(...given)),
    },
    documents: {
      ...store.documents,
      put: (...given: Parameters<typeof store.documents.put>) =>
        given[0].startsWith('receipts') ? around(() => store.documents.put(...given)) : store.documents.put(...given),
    },
    pointers: {
      ...store.pointers,
      move: (...given: Parameters<typeof store.pointers.move>) => around(() => store.pointers.move(...given)),
    },
  },
  async contextFor(
    destination: Parameters<typeof ports.contextFor>[0],
  ): Promise<Context<Record<string, unknown>, Record<string, string>>> {
    const context = await ports.contextFor(destination);
    return {
      ...context,
      async http(request) {
        at('before');
        const response = await context.http(request);
        at('request');
        return response;
      },
    };
  },
};
const killing = (tasks: Tasks): Tasks =>
  Object.fromEntries(
    Object.entries(tasks).map(([name, task]) => [
      name,
      async (input: never) => {
        const result = await (task as (input: never) => Promise<unknown>)(input);
        at('after');
        return result;
      },
    ]),
  ) as unknown as Tasks;
const report = await sync({ ports: dying, journal: (run, tasks) => journal(run, killing(tasks)) }, 'gold', {
  tick: Number(tick),
});
await open.close();
process.stdout.write(
  JSON.stringify({
    code: report.code,
    tasks: counts.after,
    requests: counts.request,
    commits: counts.commit,
    continued: 'continued' in report,
  }),
);
