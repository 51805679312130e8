import type { Terminal } from './terminal.ts';

/** As shells report a process that Ctrl-C ended. */
const EXIT_AT_ONCE = 130;

/**
 * Ctrl-C, or a request to end: the first lets what is in flight finish (`stopped` turns true), the second ends the process at once.
 * Neither loses anything: intents are on disk before they are sent.
 * @param goOn the command that goes on from here
 * @param first what is said to the first
 */
export function stopOnInterrupt(
  terminal: Terminal,
  goOn: string,
  first = 'Stopping after the batch in flight; once more stops at once.',
): { readonly stopped: () => boolean; [Symbol.dispose](): void } {
  let asked = 0;
  const onSignal = () => {
    asked += 1;
    if (asked === 1) {
      terminal.say(first);
      return;
    }
    terminal.live.done();
    terminal.say(`Stopped. Nothing acknowledged is lost; to go on: ${goOn}`);
    process.exit(EXIT_AT_ONCE);
  };
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  return {
    stopped: () => asked > 0,
    [Symbol.dispose]: () => {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}
