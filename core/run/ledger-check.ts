import pLimit from 'p-limit';
import type { Files, LedgerFile, Pointer } from '../ports.ts';
import type { RunPorts } from './ports.ts';
import { ledgerFilesOf } from './relations.ts';

/** A ledger file is not what was written. Nothing is planned or sent on it. */
export class LedgerDamaged extends Error {
  constructor(sync: string, generation: string, what: string) {
    const [audience, destination] = sync.split('/');
    super(
      `The ledger of "${audience}" at ${destination} (generation ${generation}) is damaged: ${what}. Nothing was sent, and nothing was changed.\n` +
        `Put the file back from a backup, or go back to an earlier generation: sluice history ${audience}, then ` +
        `sluice rollback ${audience} ${destination} <generation>.`,
    );
    this.name = 'LedgerDamaged';
  }
}

/** So many files are looked at together: each is a request where they lie in a bucket. */
const AT_ONCE = 16;
const ofEach = async <O>(locations: readonly string[], work: (location: string, index: number) => Promise<O>): Promise<O[]> => {
  const limit = pLimit(AT_ONCE);
  return Promise.all(locations.map((location, i) => limit(() => work(location, i))));
};

/** Asks of every file of the current generation whether it is as it was sealed. Throws `LedgerDamaged` for the first that is not. */
export async function assertLedgerWhole(files: Files, sync: string, pointer: Pointer | null): Promise<void> {
  const damaged = (what: string): LedgerDamaged => new LedgerDamaged(sync, pointer?.generation ?? '?', what);
  for (const file of ledgerFilesOf(pointer)) {
    const wrong = await ofEach(file.files.locations, async (location, i) => {
      const name = location.slice(location.lastIndexOf('/') + 1);
      const seal = file.checksums[i];
      if (seal === undefined) return `${name} has no checksum`;
      try {
        const what = await files.broken(location, seal);
        return what && `${name} ${what}`;
      } catch (cause) {
        return `${name} cannot be read (${(cause as Error).name})`;
      }
    });
    const first = wrong.find((what) => what !== undefined);
    if (first !== undefined) throw damaged(first);
  }
}

/** Files of a ledger with the seals they are looked at by from now on. */
export async function sealed({ store }: Pick<RunPorts, 'store'>, files: LedgerFile['files']): Promise<LedgerFile> {
  return { files, checksums: await ofEach(files.locations, (location) => store.files.seal(location)) };
}
