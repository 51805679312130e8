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

/** Recomputes size and SHA-256 of every file of the current generation. Throws `LedgerDamaged` at the first that differs. */
export async function assertLedgerWhole(files: Files, sync: string, pointer: Pointer | null): Promise<void> {
  for (const file of ledgerFilesOf(pointer)) {
    for (const [i, location] of file.files.locations.entries()) {
      const name = location.slice(location.lastIndexOf('/') + 1);
      const expected = file.checksums[i];
      if (expected === undefined) throw new LedgerDamaged(sync, pointer?.generation ?? '?', `${name} has no checksum`);
      const found = await files.checksum(location).catch((cause: unknown) => {
        throw new LedgerDamaged(sync, pointer?.generation ?? '?', `${name} cannot be read (${(cause as Error).name})`);
      });
      if (found.bytes !== expected.bytes) {
        throw new LedgerDamaged(
          sync,
          pointer?.generation ?? '?',
          `${name} has ${found.bytes} bytes, ${expected.bytes} were written`,
        );
      }
      if (found.sha256 !== expected.sha256) throw new LedgerDamaged(sync, pointer?.generation ?? '?', `${name} was altered`);
    }
  }
}

/** Files of a ledger with the checksums they are looked at by from now on. */
export async function sealed({ store }: Pick<RunPorts, 'store'>, files: LedgerFile['files']): Promise<LedgerFile> {
  const checksums = [];
  for (const location of files.locations) checksums.push(await store.files.checksum(location));
  return { files, checksums };
}
