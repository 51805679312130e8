import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { LogTaken } from '../core/store-errors.ts';
import { type Objects, Occupied } from './s3-objects.ts';

/** S3 cannot add to an object, so each append is one of its own: `<log>.parts/0000000042`. */
const PART = /\.parts\/(\d{10})$/;
/** Parts read at once, ahead of the reader. */
const AHEAD = 8;

export const isPart = (object: string): boolean => /\.parts(?:\/|$)/.test(object);
/** The log that a part belongs to; any other object is its own. */
export const logOf = (object: string): string => object.replace(PART, '');
const partOf = (log: string, n: number): string => `${log}.parts/${String(n).padStart(10, '0')}`;

/**
 * Append-only logs in a bucket. An append is durable when it resolves and never torn, because an object appears whole. Parts are
 * numbered without gaps, each written only where none is, and a writer goes on from what it has read: whoever writes the next number
 * first has the log, and the other is told `LogTaken` before it can mix its lines in (a fence without a clock).
 *
 * An append of no lines settles the log: an object under the log's own name holds all lines, for SQL. Its metadata says how many parts
 * are in it; later parts are read behind it.
 */
export class S3Logs {
  readonly #objects: Objects;
  /** The next number of each log, as this writer knows it. */
  readonly #next = new Map<string, number>();
  readonly #queues = new Map<string, Promise<void>>();

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  append(log: string, lines: readonly string[]): Promise<void> {
    const before = this.#queues.get(log) ?? Promise.resolve();
    const turn = before.catch(() => undefined).then(() => (lines.length === 0 ? this.#settle(log) : this.#add(log, lines)));
    this.#queues.set(log, turn);
    return turn.finally(() => {
      if (this.#queues.get(log) === turn) this.#queues.delete(log);
    });
  }

  async #add(log: string, lines: readonly string[]): Promise<void> {
    const n = this.#next.get(log) ?? (await this.#lastPart(log)) + 1;
    const writer = randomUUID();
    try {
      await this.#objects.put(partOf(log, n), Buffer.from(`${lines.join('\n')}\n`), true, { writer });
    } catch (error) {
      if (!(error instanceof Occupied)) throw error;
      // A request whose answer was lost was sent again by the client, and met itself.
      if ((await this.#objects.head(partOf(log, n)))?.metadata['writer'] !== writer) {
        this.#next.delete(log);
        throw new LogTaken(log, { cause: error });
      }
    }
    this.#next.set(log, n + 1);
  }

  async #settle(log: string): Promise<void> {
    const parts = await this.#lastPart(log);
    if (parts === 0) return;
    const settled = await this.#objects.head(log);
    if (Number(settled?.metadata['parts'] ?? 0) >= parts) return;
    await this.#objects.upload(log, this.#partsOf(log, 1, parts), false, { parts: String(parts) });
  }

  /** All bytes under a name, be it a file or a log; undefined when nothing is there. */
  async read(object: string): Promise<Readable | undefined> {
    const whole = await this.#objects.read(object);
    const settled = whole?.object.metadata['parts'];
    if (whole !== undefined && settled === undefined) return whole.body;
    const last = await this.#lastPart(object);
    if (last === 0 && whole === undefined) return undefined;
    // What comes after this is not ours: an append goes on from here or not at all.
    this.#next.set(object, last + 1);
    const parts = this.#partsOf(object, Number(settled ?? 0) + 1, last);
    async function* bytes(): AsyncGenerator<Buffer> {
      if (whole !== undefined) yield* whole.body as AsyncIterable<Buffer>;
      yield* parts;
    }
    return Readable.from(bytes(), { objectMode: false });
  }

  async exists(object: string): Promise<boolean> {
    return (await this.#objects.head(object)) !== undefined || (await this.#lastPart(object)) > 0;
  }

  async #lastPart(log: string): Promise<number> {
    let last = 0;
    for await (const object of this.#objects.list(`${log}.parts/`)) last = Number(PART.exec(object)?.[1] ?? last);
    return last;
  }

  async *#partsOf(log: string, from: number, to: number): AsyncGenerator<Buffer> {
    const one = async (n: number): Promise<Buffer> => {
      const read = await this.#objects.read(partOf(log, n));
      if (read === undefined) throw new LogTaken(partOf(log, n));
      const chunks: Buffer[] = [];
      for await (const chunk of read.body as AsyncIterable<Buffer>) chunks.push(chunk);
      return Buffer.concat(chunks);
    };
    const coming: Promise<Buffer>[] = [];
    for (let n = from, asked = from; n <= to; n++) {
      for (; asked <= to && asked < n + AHEAD; asked++) {
        const next = one(asked);
        next.catch(() => undefined);
        coming.push(next);
      }
      yield (await coming.shift()) as Buffer;
    }
  }
}
