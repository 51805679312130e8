/**
 * One erasure of a world in a process of its own, killed with SIGKILL at a chosen moment. Arguments: folder, destinations as JSON
 * (name -> {endpoint, secret}), the request as JSON, and when to die: `after:N` right after the Nth effect (a write to the store, or an
 * HTTP exchange whose answer nobody looked at); `never`.
 */
import { openWorkspace } from '../../../cli/wiring.ts';
import type { ForgetRequest } from '../../../core/forget/request.ts';
import { forget } from '../../../core/forget/forget.ts';

const [dir = '', overrides = '{}', request = '{}', when = 'never'] = process.argv.slice(2);
const known = JSON.parse(overrides) as Record<string, { endpoint: string; secret: Record<string, string> }>;
const nth = Number(when.split(':')[1] ?? 0);
let effects = 0;
const happened = (): void => {
  effects += 1;
  if (effects === nth) process.kill(process.pid, 'SIGKILL');
};

const open = await openWorkspace(dir, { overrideFor: ({ name }) => known[name] });
if ('problems' in open) throw new Error(open.problems.map((one) => one.message).join('\n'));
const { ports } = open;
/** Every one of these changes something that another process sees. */
const EFFECTS = new Set(['write', 'append', 'remove', 'put', 'move', 'rewrite', 'add', 'release', 'acquire', 'materialize']);
const counted = <T extends object>(of: T): T =>
  new Proxy(of, {
    get(target, name, receiver) {
      const member: unknown = Reflect.get(target, name, receiver);
      if (typeof member !== 'function') return member;
      const call = member.bind(target) as (...args: unknown[]) => unknown;
      if (!EFFECTS.has(String(name))) return call;
      return async (...args: unknown[]) => {
        const result = await call(...args);
        happened();
        return result;
      };
    },
  });
const { store } = ports;
const dying: typeof ports = {
  ...ports,
  warehouse: counted(ports.warehouse),
  store: {
    ...store,
    files: counted(store.files),
    pointers: counted(store.pointers),
    documents: counted(store.documents),
    stops: counted(store.stops),
    leases: counted(store.leases),
  },
  async contextFor(destination) {
    const context = await ports.contextFor(destination);
    return {
      ...context,
      async http(exchange) {
        const response = await context.http(exchange);
        happened();
        return response;
      },
    };
  },
};
const erasure = await forget(dying, JSON.parse(request) as ForgetRequest);
await open.close();
process.stdout.write(JSON.stringify({ effects, status: erasure.status }));
