/** A set of line numbers, a bit each: five million lines are 625 KB. */
export class LineSet {
  #bits = new Uint8Array(1024);

  add(n: number): void {
    const byte = n >>> 3;
    if (byte >= this.#bits.length) {
      const larger = new Uint8Array(Math.max(byte + 1, this.#bits.length * 2));
      larger.set(this.#bits);
      this.#bits = larger;
    }
    this.#bits[byte] = (this.#bits[byte] as number) | (1 << (n & 7));
  }

  delete(n: number): void {
    const byte = n >>> 3;
    if (byte < this.#bits.length) this.#bits[byte] = (this.#bits[byte] as number) & ~(1 << (n & 7));
  }

  has(n: number): boolean {
    return (((this.#bits[n >>> 3] ?? 0) >>> (n & 7)) & 1) === 1;
  }

  /** All of `[from, to)`. */
  hasAll(from: number, to: number): boolean {
    for (let n = from; n < to; n++) if (!this.has(n)) return false;
    return true;
  }

  /** The first number that is not in the set. */
  firstMissing(): number {
    let n = 0;
    while (this.#bits[n >>> 3] === 0xff) n += 8;
    while (this.has(n)) n += 1;
    return n;
  }
}
