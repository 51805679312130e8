import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../cli/command.ts';
import { customerIdOf } from '../../cli/customer-id.ts';

describe('a customer id on the command line', () => {
  it('is the argument itself, or what stdin holds where the argument is "-"', async () => {
    expect(await customerIdOf('c-17', Readable.from(['other']))).toBe('c-17');
    expect(await customerIdOf('-', Readable.from(['c-1', '8\n']))).toBe('c-18');
    expect(await customerIdOf('-', Readable.from([' with spaces ']))).toBe(' with spaces ');
  });

  it('is refused when stdin holds none, or several, and the refusal repeats none of them', async () => {
    for (const given of ['', '\n', 'c-19\nc-20\n']) {
      const refused = await customerIdOf('-', Readable.from([given])).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(UsageError);
      expect(String(refused)).not.toMatch(/c-19|c-20/);
    }
  });
});
