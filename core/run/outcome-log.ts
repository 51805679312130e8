import type { LogLine } from '../delta.ts';
import type { Files } from '../ports.ts';
import type { Shard } from './ports.ts';

/**
 * Ends the log of a shard that nobody will go on with: every line that has an intent and no outcome gets the outcome `unknown`,
 * because it may have been taken. Closing twice changes nothing.
 */
export async function closeLog(files: Files, shard: Shard): Promise<void> {
  if (!(await files.exists(shard.log))) return;
  const intents: (readonly [number, number])[] = [];
  const answered = new Set<number>();
  for await (const text of files.lines(shard.log)) {
    const line = JSON.parse(text) as LogLine;
    if ('i' in line) intents.push(line.i);
    else answered.add(line.n);
  }
  const open = intents.flatMap(([from, to]) => range(from, to).filter((n) => !answered.has(n))).toSorted((a, b) => a - b);
  if (open.length === 0) return;
  const wanted = new Set(open);
  const lines: string[] = [];
  let n = 0;
  for await (const text of files.lines(shard.key)) {
    if (wanted.has(n)) lines.push(JSON.stringify({ n, k: (JSON.parse(text) as { k: string }).k, o: 'unknown', r: 'no answer' } satisfies LogLine));
    n += 1;
  }
  await files.append(shard.log, lines);
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
