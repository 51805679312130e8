import type { AthenaError } from '@aws-sdk/client-athena';
import { WarehouseError } from '../core/ports.ts';

/** Trino's names of errors whose messages name tables, columns and functions, and nothing of the data. */
const NAMES_ONLY =
  /^(COLUMN_NOT_FOUND|TABLE_NOT_FOUND|SCHEMA_NOT_FOUND|CATALOG_NOT_FOUND|FUNCTION_NOT_FOUND|MISSING_TABLE|MISSING_COLUMN_NAME|MISSING_SCHEMA_NAME|AMBIGUOUS_NAME|COLUMN_TYPE_UNKNOWN|DUPLICATE_COLUMN_NAME)\b/;
const VALUES =
  /^(INVALID_CAST_ARGUMENT|INVALID_FUNCTION_ARGUMENT|NUMERIC_VALUE_OUT_OF_RANGE|DIVISION_BY_ZERO|HIVE_BAD_DATA|HIVE_CURSOR_ERROR)\b/;
const BEYOND =
  /exhausted resources|exceeded.{0,40}(memory|time) limit|EXCEEDED_(LOCAL_|GLOBAL_)?(MEMORY|TIME)_LIMIT|EXCEEDED_TIME_LIMIT|INSUFFICIENT_RESOURCES|timed? ?out/i;
const DENIED = /access denied|not authorized|insufficient (lake formation )?permission|PERMISSION_DENIED/i;

/**
 * A query that Athena did not finish, as our error: what happened and the way out. Messages that may quote a value of the data or the SQL
 * text are not repeated (law 9).
 * @param state FAILED or CANCELLED
 */
export function queryError(
  state: 'FAILED' | 'CANCELLED',
  query: string,
  reason: string,
  error: AthenaError | undefined,
): WarehouseError {
  const message = (error?.ErrorMessage ?? reason).trim();
  const at = ` Query ${query}.`;
  if (/bytes scanned limit|data (usage|scanned).{0,20}limit|cutoff/i.test(reason)) {
    return new WarehouseError(
      `Athena stopped the query: it read more than the workgroup allows one query to read (bytesScannedCutoffPerQuery). Raise the limit of ` +
        `the workgroup, or let the rule read less of the table, by its partition column.${at}`,
      'capacity',
    );
  }
  if (state === 'CANCELLED')
    return new WarehouseError(`Somebody or something cancelled the query in Athena. Run it again.${at}`, 'retryable');
  if (BEYOND.test(message)) {
    return new WarehouseError(
      `The query needs more than Athena gives one query (memory, or 30 minutes). Ask for a higher quota, or let the rule read less.${at}`,
      'capacity',
    );
  }
  if (DENIED.test(message)) {
    return new WarehouseError(
      `Athena may not read what the query reads. Give the role of the function access to the table and its files, in Lake Formation too ` +
        `where that governs them.${at}`,
      'user',
    );
  }
  if (error?.Retryable === true || error?.ErrorCategory === 1)
    return new Momentary(`Athena failed for a moment. Run it again.${at}`);
  if (NAMES_ONLY.test(message)) return new WarehouseError(`Athena refuses the query: ${message}.${at}`, 'user');
  if (VALUES.test(message))
    return new WarehouseError(
      `A value of a table can not be read as the type its contract declares (${nameOf(message)}).${at}`,
      'user',
    );
  return new WarehouseError(`Athena failed the query (${nameOf(message)}).${at}`, 'user');
}

/** A failure of Athena's own (category 1) or one that it calls retryable: the same query may succeed. */
export class Momentary extends WarehouseError {
  constructor(message: string) {
    super(message, 'retryable');
    this.name = 'Momentary';
  }
}

const nameOf = (message: string): string => /^[A-Z][A-Z_]+(?=\b|:)/.exec(message)?.[0] ?? 'no name for it';

/** What a request to Athena itself was answered with, as our error. */
export function requestError(error: unknown): WarehouseError {
  if (error instanceof WarehouseError) return error;
  const { name = '', message = '' } = error as { name?: string; message?: string };
  if (isBusy(error))
    return new WarehouseError(
      'Athena takes no more queries now: the account runs or queues as many as its quota allows. Run it again later, or ask for a higher quota.',
      'retryable',
    );
  if (/AccessDenied|UnrecognizedClient|ExpiredToken|InvalidSignature|CredentialsProvider/.test(name) || DENIED.test(message))
    return new WarehouseError(
      'Athena refuses the caller. Look at the credentials and at the permissions of its role: the workgroup, the Glue tables, the buckets.',
      'user',
    );
  if (name === 'InvalidRequestException')
    return new WarehouseError(
      `Athena refuses the request. ${/WorkGroup \S+ is not found/i.test(message) ? 'There is no such workgroup in this region.' : 'Look at the workgroup and its result location.'}`,
      'user',
    );
  if (name === 'MetadataException')
    return new WarehouseError(
      'The catalog could not be read. Look at the permissions on the Glue database and its tables.',
      'user',
    );
  return new WarehouseError(`Athena could not be asked (${name || 'no answer'}). Run it again.`, 'retryable');
}

export const isBusy = (error: unknown): boolean =>
  /^(TooManyRequestsException|ThrottlingException|Throttling|RequestLimitExceeded|ServiceUnavailable)$/.test(
    (error as { name?: string }).name ?? '',
  );
