import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** Where a command writes: stdout is data, stderr is talk. */
export interface Terminal {
  /** Data. Adds the line break. */
  print(text: string): void;
  /** Talk. Adds the line break. */
  say(text: string): void;
  /** Colours for stdout (`print`); the text itself where there is no terminal or NO_COLOR is set. */
  style(style: Style, text: string): string;
  /** Draws over the same lines of stderr until `done`; where stderr is no terminal, writes nothing. */
  readonly live: { draw(lines: readonly string[]): void; done(): void };
  readonly errIsTty: boolean;
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  const { stdout, stderr } = process;
  // Who reads us may stop: `sluice history | head`. A run in progress goes on all the same.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  let drawn = 0;
  const erase = () => {
    if (drawn > 0) stderr.write(`\u001b[${drawn}A\u001b[0J`);
    drawn = 0;
  };
  return {
    print: (text) => {
      erase();
      stdout.write(`${text}\n`);
    },
    say: (text) => {
      erase();
      stderr.write(`${text}\n`);
    },
    style: (style, text) => styleText(style, text, { stream: stdout }),
    live: {
      draw: (lines) => {
        if (!stderr.isTTY) return;
        erase();
        // A terminal may not say how wide it is, or say 0.
        const width = (stderr.columns || 80) - 1;
        for (const line of lines) stderr.write(`${line.slice(0, width)}\n`);
        drawn = lines.length;
      },
      done: erase,
    },
    errIsTty: stderr.isTTY === true,
  };
}
