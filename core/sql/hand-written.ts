import { dateLiteral, timestampLiteral } from './literal.ts';

/** A piece of SQL text: `code` where words mean something, else a text, a quoted name or a comment. */
export interface Piece {
  readonly kind: 'code' | 'text' | 'name' | 'comment';
  readonly text: string;
}

/** Cuts SQL into pieces without reading it: enough to tell code from what is written inside quotes and comments. */
export function piecesOf(sql: string): readonly Piece[] {
  const pieces: Piece[] = [];
  const pattern = /'(?:[^']|'')*'?|"(?:[^"]|"")*"?|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/g;
  let end = 0;
  for (const match of sql.matchAll(pattern)) {
    if (match.index > end) pieces.push({ kind: 'code', text: sql.slice(end, match.index) });
    const [text] = match;
    pieces.push({ kind: text.startsWith("'") ? 'text' : text.startsWith('"') ? 'name' : 'comment', text });
    end = match.index + text.length;
  }
  if (end < sql.length) pieces.push({ kind: 'code', text: sql.slice(end) });
  return pieces;
}

/**
 * Hand-written SQL with "now" as the run's tick, one instant for the whole run: the engine's own clock would give every engine, every
 * retry and every replay another audience. Comments and a closing semicolon go.
 */
export function atTick(sql: string, tick: number): string {
  const now = timestampLiteral(tick, true);
  const words: Readonly<Record<string, string>> = {
    current_timestamp: now,
    now: now,
    localtimestamp: timestampLiteral(tick),
    current_date: dateLiteral(timestampLiteral(tick).slice(11, 21)),
  };
  return piecesOf(sql)
    .map(({ kind, text }) => {
      if (kind === 'comment') return ' ';
      if (kind !== 'code') return text;
      // A column may be called `now`: only the call with its parentheses is the clock.
      return text.replace(
        /\b(?<![.@])(?:(current_timestamp|localtimestamp)\b(?:\s*\(\s*\d*\s*\))?|(current_date)\b|(now)\s*\(\s*\))/gi,
        (match, stamp?: string, date?: string, call?: string) => words[(stamp ?? date ?? call ?? '').toLowerCase()] ?? match,
      );
    })
    .join('')
    .trim()
    .replace(/;$/, '')
    .trim();
}
