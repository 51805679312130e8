export type Cell = string | number | undefined;

export interface TableColumn {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** `4,120`: whole numbers as people read them, whatever the locale of the machine. */
export const count = (value: number | bigint): string => value.toLocaleString('en-US');

/** Decimal units, as Athena bills them: `512 B`, `4.2 GB`. */
export function bytes(value: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let [left, at] = [value, 0];
  for (; left >= 999.5 && at < units.length - 1; at++) left /= 1000;
  return `${left.toFixed(at === 0 || left >= 99.95 ? 0 : 1)} ${units[at]}`;
}

/** `0.4 s`, `2 min 5 s`. `seconds` >= 0. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${whole % 60} s`;
}

/** `1 member`, `4,120 members`. */
export const plural = (value: number, one: string, many = `${one}s`): string => `${count(value)} ${value === 1 ? one : many}`;

/**
 * Lines of a table without borders: a header, then a line a row. Numbers are set to the right with thousands separators;
 * a cell that is undefined stays blank. `width` is of text without escapes.
 */
export function table(columns: readonly TableColumn[], rows: readonly (readonly Cell[])[]): readonly string[] {
  const set = columns.map(({ title, align }, index) => {
    const cells = rows.map((row) => row[index]);
    const texts = [title, ...cells.map(cellText)];
    const width = Math.max(...texts.map((text) => text.length));
    const right = align === 'right' || cells.some((cell) => typeof cell === 'number');
    return texts.map((text) => (right ? text.padStart(width) : text.padEnd(width)));
  });
  return ['', ...rows].map((_, line) =>
    set
      .map((texts) => texts[line] ?? '')
      .join('  ')
      .trimEnd(),
  );
}

const cellText = (cell: Cell): string => (cell === undefined ? '' : typeof cell === 'number' ? count(cell) : cell);
