/**
 * What is wrong in the files, where, and the way out (law 15). Everything that reads files answers with a list of these;
 * nothing throws for what a person wrote.
 */
export interface Problem {
  /** Rule id, kebab-case; each has its section in docs/errors.md. */
  readonly rule: string;
  /** An error stops what it is about; a warning stops nothing. */
  readonly severity: 'error' | 'warning';
  /** Relative to the workspace, with `/`. */
  readonly file: string;
  /** Counts from 1. */
  readonly line: number;
  /** Counts from 1, in UTF-16 code units, as editors and GitHub do. */
  readonly column: number;
  /** The first column after the offending text, on the same line. */
  readonly endColumn?: number;
  /** One sentence or two: what is wrong. */
  readonly message: string;
  /** The way out. */
  readonly hint?: string;
}

/** Of these the source line is never shown: what is wrong is that it holds a secret. */
const WITHOUT_FRAME: ReadonlySet<string> = new Set(['secret-in-file']);

/** Longest piece of a source line that a frame shows. */
const FRAME_WIDTH = 120;

/**
 * A problem as a person reads it: place, message and rule id, the line with the place marked, the way out.
 * `sourceText` is the whole file, or undefined when there is none (the frame is left out). No line break at the end.
 */
export function renderProblem(problem: Problem, sourceText: string | undefined): string {
  const severity = problem.severity === 'warning' ? 'Warning: ' : '';
  const head = `${problem.file}:${problem.line}:${problem.column}  ${severity}${problem.message} [${problem.rule}]`;
  const frame = sourceText === undefined || WITHOUT_FRAME.has(problem.rule) ? [] : codeFrame(problem, sourceText);
  const hint = problem.hint === undefined ? [] : [`  ${problem.hint}`];
  return [head, ...frame, ...hint].join('\n');
}

function codeFrame(problem: Problem, sourceText: string): string[] {
  const source = sourceText.split(/\r?\n/)[problem.line - 1];
  if (source === undefined || source.trim() === '') return [];
  const end = Math.max(problem.endColumn ?? problem.column + 1, problem.column + 1);
  // A long line is shown around the place, not from its start.
  const from = problem.column - 1 < FRAME_WIDTH - 20 ? 0 : problem.column - 21;
  const piece = source.slice(from, from + FRAME_WIDTH);
  const before = printable(piece.slice(0, problem.column - 1 - from));
  const marked = printable(piece.slice(problem.column - 1 - from, end - 1 - from));
  const gutter = String(problem.line);
  const left = from === 0 ? '' : '…';
  const right = from + FRAME_WIDTH < source.length ? '…' : '';
  return [
    `  ${gutter} | ${left}${printable(piece)}${right}`,
    `  ${' '.repeat(gutter.length)} | ${' '.repeat([...left, ...before].length)}${'^'.repeat(Math.max(1, [...marked].length))}`,
  ];
}

/** One column a character: tabs and control characters would push the marks away from what they mark. */
// oxlint-disable-next-line no-control-regex
const printable = (text: string): string => text.replace(/[\u0000-\u001f\u007f\u2028\u2029]/g, ' ');

/** By file, line, column, then rule: the order in which a person goes through them. */
export function inOrder(problems: readonly Problem[]): Problem[] {
  return [...problems].sort(
    (a, b) =>
      compare(a.file, b.file) ||
      a.line - b.line ||
      a.column - b.column ||
      compare(a.rule, b.rule) ||
      compare(a.message, b.message),
  );
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * The candidate a person most likely meant, or undefined when none is near: at most a third of the letters wrong
 * (Damerau-Levenshtein: a swap of neighbours is one mistake), or one name contained in the other, when only one is.
 * Case and `-`, `_`, space and `.` make no difference.
 */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  const wanted = plain(name);
  if (wanted === '') return undefined;
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  const containing = new Set<string>();
  for (const candidate of candidates) {
    const other = plain(candidate);
    if (other === '') continue;
    const threshold = Math.max(1, Math.floor(Math.max(wanted.length, other.length) / 3));
    // Lengths alone can rule most names out, and names of a thousand letters are nobody's slip.
    if (Math.abs(wanted.length - other.length) <= threshold && wanted.length <= 200) {
      const found = distance(wanted, other);
      if (found <= threshold && found < Math.min(wanted.length, other.length) && found < bestDistance) {
        best = candidate;
        bestDistance = found;
      }
    }
    const [short, long] = wanted.length < other.length ? [wanted, other] : [other, wanted];
    if (short.length >= 4 && long.includes(short)) containing.add(candidate);
  }
  if (best !== undefined) return best;
  return containing.size === 1 ? [...containing][0] : undefined;
}

/** `Did you mean "x"?`, or undefined when nothing is near. */
export function didYouMean(name: string, candidates: Iterable<string>): string | undefined {
  const near = nearest(name, candidates);
  return near === undefined ? undefined : `Did you mean "${near}"?`;
}

const plain = (name: string): string => name.toLowerCase().replace(/[-_\s.]/g, '');

/** Damerau-Levenshtein distance in its common form (optimal string alignment). */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let cost = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, (beforeLast[j - 2] ?? 0) + 1);
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
