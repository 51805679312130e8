import { expect } from 'vitest';
import { main } from '../../cli/main.ts';
import type { Terminal } from '../../cli/terminal.ts';
import { systemClock } from '../../stores/system-clock.ts';
import type { Role } from './files.ts';

/** A deployment of the files of `workspaceFiles`, wherever it is. */
export interface Stage {
  /** Folder of the workspace. */
  readonly dir: string;
  readonly stage: string;
  rows(rows: Readonly<Record<Role, readonly Readonly<Record<string, string>>[]>>): Promise<void>;
  /** Entries that a platform holds. */
  held(platform: string): Promise<number>;
  /** Requests that a platform ever got. */
  requests(platform: string): Promise<number>;
}

export interface Said {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

/** One command line in this process. */
export async function sluice(dir: string, ...args: readonly string[]): Promise<Said> {
  const [out, err]: [string[], string[]] = [[], []];
  const terminal: Terminal = {
    print: (text) => void out.push(text),
    say: (text) => void err.push(text),
    style: (_style, text) => text,
    live: { draw: () => undefined, done: () => undefined },
    errIsTty: false,
  };
  const exit = await main([...args, '--dir', dir], { terminal, clock: systemClock });
  return { exit, out: out.join('\n'), err: err.join('\n') };
}

/** A first audience, a day without a change, a withdrawal, an erasure and the proof of it all, by the commands of a user. */
export async function story({ dir, stage, rows, held, requests }: Stage): Promise<void> {
  const run = (...args: readonly string[]): Promise<Said> => sluice(dir, ...args, '--env', 'aws', '--stage', stage);
  const good = async (...args: readonly string[]): Promise<string> => {
    const said = await run(...args);
    if (said.exit !== 0) throw new Error(`sluice ${args.join(' ')} ended with ${said.exit}:\n${said.out}\n${said.err}`);
    return said.out;
  };
  const people = (granted: readonly string[]) => ({
    customers: ['a', 'b', 'c'].map((id) => ({ id, tier: 'gold', country: 'DE' })),
    identifiers: ['a', 'b', 'c'].map((id) => ({ id, namespace: 'email', value: `${id}@x.example` })),
    consents: ['a', 'b', 'c'].map((id) => ({
      id,
      purpose: 'ads',
      status: granted.includes(id) ? 'granted' : 'withdrawn',
      from: '2026-01-01 00:00:00',
    })),
  });

  await rows(people(['a', 'b', 'c']));
  const planned = await good('plan');
  expect(planned).toMatch(/meta +mirror +3 +0 +0 +0 +0 /);
  expect(await held('meta')).toBe(0);
  const [plan = ''] = /\b[0-9A-HJKMNP-TV-Z]{26}\b/.exec(planned) ?? [];
  await good('sync', '--plan', plan);
  expect([await held('meta'), await held('braze')]).toEqual([3, 3]);

  // Law 13.
  const before = [await requests('meta'), await requests('braze')];
  await good('sync');
  expect([await requests('meta'), await requests('braze')]).toEqual(before);

  // Law 8.
  await rows(people(['a', 'c']));
  expect(await good('sync')).toContain('removed because: no-consent 1');
  expect([await held('meta'), await held('braze')]).toEqual([2, 2]);
  await good('forget', '--customer', 'c');
  expect([await held('meta'), await held('braze')]).toEqual([1, 1]);
  expect(await good('plan')).toMatch(/meta +mirror +0 +0 +0 +1 +2 /);

  expect(await good('status')).toMatch(/meta +mirror +1 /);
  expect(await good('explain', 'b')).toContain('withheld: no-consent');
  expect(await good('audit', 'c')).toMatch(/braze +remove/);
  expect(await good('audit', '--verify')).toMatch(/All \d+ receipts are as they were written\./);
}
