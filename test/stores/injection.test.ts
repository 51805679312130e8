import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BadKey } from '../../core/store-errors.ts';
import { localFiles } from '../../stores/files-local.ts';
import { hostile } from '../hostile.ts';

it('a key names a file in the store, as itself, or is refused: no part of it leads out of the folder', async () => {
  const top = mkdtempSync(join(tmpdir(), 'sluice-keys-'));
  const root = join(top, 'store');
  const files = localFiles(root);
  await fc.assert(
    fc.asyncProperty(fc.array(hostile, { minLength: 1, maxLength: 3 }), async (parts) => {
      const key = parts.join('/').slice(0, 200).toWellFormed();
      // A file per try: one key may be a folder of another.
      const own = `${readdirSync(top).length}${Math.random().toString(36).slice(2)}/${key}`;
      let location: string;
      try {
        location = files.location(own);
      } catch (error) {
        expect(error).toBeInstanceOf(BadKey);
        await expect((async () => files.write(own, ['x']))()).rejects.toBeInstanceOf(BadKey);
        await expect((async () => files.remove(own))()).rejects.toBeInstanceOf(BadKey);
        return;
      }
      expect(location.startsWith(root + sep)).toBe(true);
      expect(files.keyOf(location)).toBe(own.replace(/\/$/, ''));
      expect(readdirSync(top)).toEqual(['store']);
    }),
    { numRuns: 1_000 },
  );
  rmSync(top, { recursive: true, force: true });
});
