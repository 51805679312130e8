import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandFailed } from './command.ts';

/** 256 bits, hex. */
const FORM = /^[0-9a-f]{64}$/;

/**
 * The key of the member hashes of a workspace, made once and kept in `member.key` under `state` (`.sluice`), readable only by its owner.
 * Refuses to make a second one beside ledgers that were written with the first.
 */
export async function memberKey(state: string): Promise<string> {
  const file = join(state, 'member.key');
  if (!existsSync(file)) await makeKey(state, file);
  const key = (await readFile(file, 'utf8')).trim();
  if (FORM.test(key)) return key;
  throw new CommandFailed(`${file} does not hold a member key (64 hex digits). ${WAY_OUT}`);
}

const WAY_OUT = 'Nothing was done. Put it back from a backup: under a new key nobody in the ledgers would be known again.';

async function makeKey(state: string, file: string): Promise<void> {
  if (existsSync(join(state, 'ledger'))) throw new CommandFailed(`${file} is gone, but there are ledgers. ${WAY_OUT}`);
  await mkdir(state, { recursive: true, mode: 0o700 });
  const fresh = `${file}.${randomBytes(8).toString('hex')}`;
  try {
    await writeFile(fresh, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600, flush: true });
    // A link appears whole or not at all, and never replaces the key of a process that was faster.
    await link(fresh, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(fresh, { force: true });
  }
}
