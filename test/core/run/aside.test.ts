import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { LinesAside } from '../../../core/run/aside.ts';
import { localFiles } from '../../../stores/files-local.ts';

it('keeps a bounded number of lines in memory and loses none, in the order they came', async () => {
  const root = mkdtempSync(join(tmpdir(), 'sluice-aside-'));
  try {
    const files = localFiles(root);
    const aside = new LinesAside(files, 'runs/01/raw-removes', 3);
    for (let i = 0; i < 7; i++) await aside.add(`line ${i}`);
    expect(aside.locations).toHaveLength(2);
    await aside.end();
    await aside.end();
    const read: string[][] = [];
    for (const location of aside.locations) {
      const lines: string[] = [];
      for await (const line of files.lines(files.keyOf(location))) lines.push(line);
      read.push(lines);
    }
    expect(read).toEqual([['line 0', 'line 1', 'line 2'], ['line 3', 'line 4', 'line 5'], ['line 6']]);
  } finally {
    rmSync(root, { recursive: true });
  }
});
