import { Logger } from '@aws-lambda-powertools/logger';

const logger = new Logger({ serviceName: 'sluice' });

/** All that a function ever logs: names of our own, counts and times. Nothing of a row, a secret or an event (law 9). */
export interface Fields {
  readonly run?: string | undefined;
  readonly audience?: string | undefined;
  readonly destination?: string | undefined;
  readonly task?: string | undefined;
  readonly state?: string | undefined;
  readonly execution?: string | undefined;
  /** The class of an error, never its message: what others threw may quote data. */
  readonly error?: string | undefined;
  /** Files and lines of our own bundle, without the message. */
  readonly frames?: readonly string[] | undefined;
  readonly ms?: number | undefined;
  readonly attempt?: number | undefined;
  readonly operations?: number | undefined;
}

export const log = {
  info: (message: string, fields: Fields = {}): void => logger.info(message, { ...fields }),
  warn: (message: string, fields: Fields = {}): void => logger.warn(message, { ...fields }),
  error: (message: string, fields: Fields = {}): void => logger.error(message, { ...fields }),
};

/** Where an error came from, without what it said. */
export const framesOf = (error: unknown): readonly string[] =>
  error instanceof Error
    ? (error.stack ?? '')
        .split('\n')
        .filter((line) => /^\s+at /.test(line))
        .slice(0, 12)
        .map((line) => line.trim())
    : [];
