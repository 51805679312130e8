/** What every store says in the same way, whatever it keeps its state in. Each is thrown with the cause of the machine below. */

/** There is no file of this key. */
export class MissingFile extends Error {
  readonly key: string;
  constructor(key: string, options: { cause?: unknown } = {}) {
    super(`There is no file ${key}.`, options);
    this.name = 'MissingFile';
    this.key = key;
  }
}

/** A write-once file is there already, with other content. It was left as it is. */
export class FileExists extends Error {
  readonly key: string;
  constructor(key: string, options: { cause?: unknown } = {}) {
    super(
      `${key} is written once and holds other content already. It was not changed. A new attempt writes under a name of its own.`,
      options,
    );
    this.name = 'FileExists';
    this.key = key;
  }
}

/** A file or database of the store is not what was written: cut short, altered, not readable. Nothing was changed. */
export class StoreDamaged extends Error {
  constructor(what: string, wayOut: string, options: { cause?: unknown } = {}) {
    super(`${what} Nothing was sent, and nothing was changed.\n${wayOut}`, options);
    this.name = 'StoreDamaged';
  }
}

/** No room is left. What was acknowledged before is unchanged; what was being written is gone as a whole. */
export class StoreFull extends Error {
  constructor(what: string, where: string, options: { cause?: unknown } = {}) {
    super(
      `No room is left in ${where}: ${what} was not written. Nothing that was acknowledged has changed.\n` +
        `Free space on that disk, then run the same command again: it goes on where it stopped. Of our own files, the folders of ` +
        `ended runs under runs/ may go (sluice history lists them); ledger/ and the databases must stay.`,
      options,
    );
    this.name = 'StoreFull';
  }
}

/** Other processes kept the database for longer than anybody should. Nothing was changed by this one. */
export class StoreBusy extends Error {
  constructor(where: string, seconds: number, options: { cause?: unknown } = {}) {
    super(
      `${where} was in use by other processes for more than ${seconds} seconds. Nothing was changed. Run the same command again.`,
      options,
    );
    this.name = 'StoreBusy';
  }
}

/** Another worker writes this log now: what it wrote is not ours to go on from. This one wrote nothing; read the log again first. */
export class LogTaken extends Error {
  constructor(key: string, options: { cause?: unknown } = {}) {
    super(`Another worker has written to ${key} since this one read it. This one wrote nothing more.`, options);
    this.name = 'LogTaken';
  }
}

/** The service a store keeps its state in does not answer, or asks for fewer requests, for longer than its client tries. */
export class StoreUnavailable extends Error {
  constructor(where: string, why: string, options: { cause?: unknown } = {}) {
    super(
      `${where} does not answer or asks for fewer requests (${why}). Nothing that was acknowledged has changed. ` +
        `A run tries again by itself; if it stays, look at the health of the service in your region.`,
      options,
    );
    this.name = 'StoreUnavailable';
  }
}

/** The service a store keeps its state in refuses us: no permission, no such bucket, table or key. */
export class StoreRefused extends Error {
  constructor(where: string, why: string, options: { cause?: unknown } = {}) {
    super(
      `${where} refuses the request (${why}). Nothing was changed. The role that runs this needs the grants that cdk/ writes; ` +
        `look whether a policy, a key's grants or the account's guard rails take them away.`,
      options,
    );
    this.name = 'StoreRefused';
  }
}

/** A secret that is there and cannot be used. No message of it holds any part of a secret. */
export class SecretUnusable extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SecretUnusable';
  }
}

/** A key that is not a plain relative path. Keys come from names that `sluice check` has passed, so this is never a person's slip alone. */
export class BadKey extends Error {
  constructor(key: string, why: string) {
    super(`${JSON.stringify(key)} cannot be a key of a file: ${why}.`);
    this.name = 'BadKey';
  }
}

/** The first error of this class in a chain of causes, itself included. */
export function causeOf<E extends Error>(error: unknown, type: abstract new (...args: never[]) => E): E | undefined {
  for (let one = error; one instanceof Error; one = one.cause) if (one instanceof type) return one;
  return undefined;
}
