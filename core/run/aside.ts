import type { Files } from '../ports.ts';

/** So many lines are in memory at once: some 30 MB. Not fewer, because a query names every file, and its text has a longest length. */
const LINES = 100_000;

/** Lines that are found while others are written: into files of their own, so that a worker needs no more memory the more there are. */
export class LinesAside {
  /** Of the files so far. */
  readonly locations: string[] = [];
  readonly #files: Files;
  readonly #prefix: string;
  readonly #most: number;
  #lines: string[] = [];

  /** @param prefix of the files' keys, which no other attempt has */
  constructor(files: Files, prefix: string, most = LINES) {
    this.#files = files;
    this.#prefix = prefix;
    this.#most = most;
  }

  async add(line: string): Promise<void> {
    this.#lines.push(line);
    if (this.#lines.length >= this.#most) await this.end();
  }

  /** Writes what is left. */
  async end(): Promise<void> {
    if (this.#lines.length === 0) return;
    const key = `${this.#prefix}/${String(this.locations.length).padStart(4, '0')}.jsonl.gz`;
    this.locations.push((await this.#files.write(key, this.#lines)).location);
    this.#lines = [];
  }
}
