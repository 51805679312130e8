import type { BudgetWindow } from '../../core/model.ts';
import { PointerConflict } from '../../core/ports.ts';
import { latenessOf } from '../../core/reservation.ts';
import { thisProcess } from '../../stores/holder.ts';
import { openLocalStore } from '../../stores/local.ts';
import { systemClock } from '../../stores/system-clock.ts';
import { pointerOf } from '../contracts/store.ts';

/** One of several processes that use a store at once: `node store-child.ts <root> <what> [...]`. Says what it did on stdout. */
const [root = '', what, ...rest] = process.argv.slice(2);

const store = await openLocalStore({ root, clock: systemClock });
switch (what) {
  case 'hold': {
    // Takes the lease and works on until it is killed.
    const lease = await store.leases.acquire('audience/destination', `run@${thisProcess()}`, 3_600_000);
    console.log(JSON.stringify(lease));
    setInterval(() => undefined, 1_000);
    break;
  }
  case 'commit': {
    // Commits as often as it is told, against whoever else does.
    for (let done = 0, conflicts = 0; done < Number(rest[0]); ) {
      const version = (await store.pointers.get('audience/destination'))?.version ?? 0;
      try {
        await store.pointers.move('audience/destination', version, pointerOf(store, version + 1));
        done += 1;
        if (done === Number(rest[0])) console.log(JSON.stringify({ done, conflicts }));
      } catch (error) {
        if (!(error instanceof PointerConflict)) throw error;
        conflicts += 1;
      }
    }
    break;
  }
  case 'send': {
    // Uses a budget until the time is up; says when each permit was for, and when it was used.
    const windows = JSON.parse(rest[0] ?? '') as BudgetWindow[];
    const until = Number(rest[1]);
    const reserved: number[] = [];
    const used: number[] = [];
    while (Date.now() < until) {
      const grant = await store.budgets.reserve('destination', windows, 10);
      for (let i = 0; i < grant.permits; i++) {
        const at = grant.startAt + i * grant.intervalMs;
        reserved.push(at);
        await systemClock.sleep(Math.ceil(at - Date.now()));
        const now = Date.now();
        if (now - at <= latenessOf(windows)) used.push(now);
      }
    }
    console.log(JSON.stringify({ reserved, used }));
    break;
  }
  case 'append': {
    // Appends numbered lines until it is killed; each is on stdout once it was durable.
    for (let i = 0; ; i++) {
      await store.files.append('runs/log.jsonl', [`${i} ${'x'.repeat(2_000)}`]);
      console.log(i);
    }
  }
  case 'write': {
    // Writes a long file until it is killed or there is no room.
    function* long(): Generator<string> {
      for (let i = 0; i < Number(rest[0]); i++) yield `${i} ${'y'.repeat(1_000)}`;
    }
    try {
      await store.files.write('runs/long.jsonl', long());
      console.log('written');
    } catch (error) {
      console.log(`${(error as Error).name}: ${(error as Error).message}`);
    }
    break;
  }
  default:
    throw new Error(`There is no ${what} here.`);
}
if (what !== 'hold') await store.close();
