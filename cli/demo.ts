import { fileURLToPath } from 'node:url';
import { EXIT } from './command.ts';
import { runDemo } from './demo/story.ts';
import { failureOf } from './session.ts';
import { processTerminal } from './terminal.ts';

/** `npm start`: two days of a small shop on this machine, in the workspace of this repository. */
const terminal = processTerminal();
try {
  process.exitCode = await runDemo(fileURLToPath(new URL('../', import.meta.url)), terminal, Date.now());
} catch (error) {
  terminal.live.done();
  const failure = failureOf(error);
  if (failure === undefined) throw error;
  terminal.say(failure.message);
  process.exitCode = EXIT.failed;
}
