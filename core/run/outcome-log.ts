import { outcomeLine, readProgress } from '../delivery/outcome-log.ts';
import type { Files } from '../ports.ts';
import type { Shard } from './ports.ts';

/**
 * Ends the log of a shard that nobody will go on with: every line that was announced and has no outcome gets the outcome `unknown`,
 * because it may have been taken. Closing twice changes nothing.
 */
export async function closeLog(files: Files, shard: Shard): Promise<void> {
  const { answered, announced } = await readProgress(files, shard.log);
  const lines: string[] = [];
  let n = 0;
  for await (const text of files.lines(shard.key)) {
    if (announced.has(n) && !answered.has(n))
      lines.push(outcomeLine(n, (JSON.parse(text) as { k: string }).k, 'unknown', 'no-answer'));
    n += 1;
  }
  if (lines.length > 0) await files.append(shard.log, lines);
  // SQL reads the log next.
  await files.append(shard.log, []);
}
