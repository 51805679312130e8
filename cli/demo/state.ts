import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandFailed } from '../command.ts';

/** Says that the state beside it was made by the demo, and may be thrown away by the next one. */
const MARK = 'made-by-npm-start';
/** What a person put there stays. */
const KEPT = ['secrets.yaml'];

/**
 * An empty state folder, whatever an earlier demo left. Refuses where there is state that no demo made: ledgers of real runs are
 * nobody's to throw away.
 */
export async function startOver(state: string): Promise<void> {
  const found = existsSync(state) ? (await readdir(state)).filter((name) => !KEPT.includes(name)) : [];
  if (found.length > 0 && !found.includes(MARK)) {
    throw new CommandFailed(
      `${state} holds the state of real runs, and the demo starts from nothing. Nothing was done. Run it in a clone of its own, or move that folder away.`,
    );
  }
  // The mark goes last: a demo that was killed here starts over all the same.
  for (const name of [...found.filter((one) => one !== MARK), MARK])
    await rm(join(state, name), { recursive: true, force: true });
  await mkdir(state, { recursive: true, mode: 0o700 });
  await writeFile(join(state, MARK), 'npm start throws this folder away when it begins.\n');
}
