import { text } from 'node:stream/consumers';
import { UsageError } from './command.ts';

/** The customer id of an argument; `-` reads it from stdin, so that it is in no shell history and no list of processes. */
export async function customerIdOf(argument: string, stdin: NodeJS.ReadableStream = process.stdin): Promise<string> {
  if (argument !== '-') return argument;
  const id = (await text(stdin as NodeJS.ReadStream)).replace(/\r?\n$/, '');
  if (id === '' || id.includes('\n')) throw new UsageError('stdin must hold one customer id: printf %s "$ID" | sluice ... -');
  return id;
}
