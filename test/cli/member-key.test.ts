import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CommandFailed } from '../../cli/command.ts';
import { memberKey } from '../../cli/member-key.ts';

let root = '';
beforeEach(() => {
  root = join(mkdtempSync(join(tmpdir(), 'sluice-key-')), '.sluice');
});
afterEach(() => rmSync(join(root, '..'), { recursive: true, force: true }));

describe('the member key', () => {
  it('is made once: any number at the same time get the same one, readable by its owner alone', async () => {
    const keys = await Promise.all(Array.from({ length: 20 }, () => memberKey(root)));
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toMatch(/^[0-9a-f]{64}$/);
    expect(readFileSync(join(root, 'member.key'), 'utf8')).toBe(`${keys[0]}\n`);
    expect(readdirSync(root)).toEqual(['member.key']);
    if (process.platform !== 'win32') expect(statSync(join(root, 'member.key')).mode & 0o777).toBe(0o600);
  });

  it('differs between workspaces', async () => {
    expect(await memberKey(root)).not.toBe(await memberKey(join(root, 'other')));
  });

  it('is not made anew beside ledgers that were written with a lost one', async () => {
    mkdirSync(join(root, 'ledger'), { recursive: true });
    await expect(memberKey(root)).rejects.toThrow(CommandFailed);
    await expect(memberKey(root)).rejects.toThrow(
      /member\.key is gone, but there are ledgers\. Nothing was done\. Put it back from a backup/,
    );
    expect(readdirSync(root)).toEqual(['ledger']);
  });

  it('is refused, and not replaced, when the file holds something else', async () => {
    mkdirSync(root, { recursive: true });
    writeFileSync(join(root, 'member.key'), 'secret');
    await expect(memberKey(root)).rejects.toThrow(/does not hold a member key \(64 hex digits\)/);
    expect(readFileSync(join(root, 'member.key'), 'utf8')).toBe('secret');
  });
});
