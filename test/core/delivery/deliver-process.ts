import { createHttp } from '../../../connectors/http.ts';
import { deliverShard } from '../../../core/delivery/deliver-shard.ts';
import { openLocalStore } from '../../../stores/local.ts';
import { systemClock } from '../../../stores/system-clock.ts';
import { bulk } from './platform.ts';

/** A process that delivers a shard, to be killed: `node deliver-process.ts <folder of the store> <endpoint>`. Prints the result. */
const [root = '', endpoint = ''] = process.argv.slice(2);
const store = await openLocalStore({ root, clock: systemClock });
const http = createHttp({ endpoint });
const result = await deliverShard({
  connector: bulk({ rows: 50 }),
  context: { settings: {}, secret: {}, endpoint, http, now: () => Date.now() },
  list: { id: 'list' },
  op: 'upsert',
  shard: { key: 'delta/upsert.jsonl', log: 'log/upsert.jsonl' },
  destination: { name: 'bulk-eu', budget: { windows: [], concurrency: 4 } },
  run: '01JDRUN',
  files: store.files,
  budgets: store.budgets,
  clock: systemClock,
});
await http.close();
await store.close();
process.stdout.write(JSON.stringify(result));
