import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * Who holds a lease, written so that another process of this machine can see whether it still lives:
 * `host:boot:namespace:pid:start`. `start` is the process's start time in clock ticks since boot (proc(5), field 22), so that a pid
 * that was given out again is not mistaken for its earlier owner. What the system does not tell is `-`.
 */
export function thisProcess(): string {
  return [...machine(), process.pid, startOf(process.pid) ?? '-'].join(':');
}

/**
 * False when the holder is a process of this machine that has ended (also one that is dead but not yet reaped), or of an earlier boot
 * of it. True when it lives, and for everybody this machine cannot see: their lease ends by its time.
 *
 * @param holder what `thisProcess()` gave, with or without `<something>@` before it
 */
export function isAlive(holder: string): boolean {
  const [host, boot, namespace, pid, start] = holder.slice(holder.lastIndexOf('@') + 1).split(':');
  const [ourHost, ourBoot, ourNamespace] = machine();
  if (start === undefined || !/^[1-9]\d*$/.test(pid ?? '') || host !== ourHost) return true;
  if (boot !== ourBoot) return false;
  // Another container on this machine: its pids mean nothing here.
  if (namespace !== ourNamespace) return true;
  const now = startOf(Number(pid));
  if (now !== undefined && start !== '-') return now === start;
  return exists(Number(pid));
}

/** The start time of a living process; `dead` for one that ended or was never there; undefined where there is no /proc. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command's name, in brackets, may hold anything; what follows its last bracket does not.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? 'dead' : fields[19];
  } catch {
    return boot() === '-' ? undefined : 'dead';
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Hashed, because the name of a laptop is often the name of a person. */
const machine = (): readonly [host: string, boot: string, namespace: string] => [short(hostname()), boot(), namespaceOf()];
const short = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8);

function boot(): string {
  try {
    return short(readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim());
  } catch {
    return '-';
  }
}

function namespaceOf(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '-';
  } catch {
    return '-';
  }
}
