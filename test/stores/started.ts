import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** A process of this test: its lines as they come, and its end. */
export interface Started {
  readonly child: ChildProcess;
  readonly lines: AsyncIterator<string, undefined>;
  /** Everything printed that `lines` was not asked for, and how it ended. */
  readonly end: () => Promise<{ stdout: string[]; stderr: string; code: number | null; signal: NodeJS.Signals | null }>;
  /** kill -9; resolves when the process is gone. */
  readonly kill: () => Promise<void>;
}

/** Starts a TypeScript file beside this one with the Node that runs the tests. `shell` puts it behind a shell command such as `ulimit`. */
export function start(file: string, args: readonly string[], shell?: string): Started {
  const script = fileURLToPath(new URL(file, import.meta.url));
  const command = [process.execPath, script, ...args];
  const child =
    shell === undefined ? spawn(command[0]!, command.slice(1)) : spawn('sh', ['-c', `${shell}; exec "$@"`, 'sh', ...command]);
  let stderr = '';
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]() as AsyncIterator<string, undefined>;
  const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  return {
    child,
    lines,
    async end() {
      const stdout: string[] = [];
      for (let next = await lines.next(); next.done !== true; next = await lines.next()) stdout.push(next.value);
      const [code, signal] = await exit;
      return { stdout, stderr, code, signal };
    },
    async kill() {
      child.kill('SIGKILL');
      await exit;
    },
  };
}
