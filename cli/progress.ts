import type { Progress } from '../core/run/ports.ts';
import { count } from './render/table.ts';
import type { Terminal } from './terminal.ts';

const BAR = 24;
/** On plain output a delivery is told about this many times. */
const TOLD = 4;

/** What a run is doing, on stderr: bars that are drawn over on a terminal, plain lines elsewhere. */
export function progressOn(terminal: Terminal): (event: Progress) => void {
  return terminal.errIsTty ? bars(terminal) : lines(terminal);
}

function bars(terminal: Terminal): (event: Progress) => void {
  const deliveries = new Map<string, { readonly done: number; readonly of: number }>();
  let now = '';
  return (event) => {
    if (event.kind === 'step') {
      if (event.step === 'gate') deliveries.clear();
      now = `${event.audience}: ${event.step}${event.destination === undefined ? '' : ` ${event.destination}`}`;
    } else deliveries.set(event.destination, event);
    const width = Math.max(0, ...[...deliveries.keys()].map((name) => name.length));
    terminal.live.draw([
      now,
      ...[...deliveries].map(([name, { done, of }]) => {
        const filled = of === 0 ? BAR : Math.floor((done / of) * BAR);
        return `  ${name.padEnd(width)}  ${'█'.repeat(filled)}${'░'.repeat(BAR - filled)}  ${count(done)} of ${count(of)}`;
      }),
    ]);
  };
}

function lines(terminal: Terminal): (event: Progress) => void {
  const told = new Map<string, number>();
  return (event) => {
    if (event.kind === 'step') {
      terminal.say(`${event.audience}: ${event.step}${event.destination === undefined ? '' : ` ${event.destination}`}`);
      return;
    }
    const key = `${event.audience}/${event.destination}/${event.of}`;
    const quarter = event.of === 0 ? TOLD : Math.floor((event.done / event.of) * TOLD);
    if (quarter <= (told.get(key) ?? 0)) return;
    told.set(key, quarter);
    terminal.say(`${event.audience}: ${event.destination} ${count(event.done)} of ${count(event.of)}`);
  };
}
