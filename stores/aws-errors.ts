import { StoreRefused, StoreUnavailable } from '../core/store-errors.ts';

/** What S3, DynamoDB and Secrets Manager call "later". The client has tried several times when it throws one of these. */
const LATER = new Set([
  'SlowDown',
  'ServiceUnavailable',
  'ServiceUnavailableException',
  'InternalError',
  'InternalServerError',
  'InternalServiceError',
  'InternalServiceErrorException',
  'RequestTimeout',
  'RequestTimeTooSkewed',
  'TimeoutError',
  'ThrottlingException',
  'Throttling',
  'TooManyRequestsException',
  'ProvisionedThroughputExceededException',
  'RequestLimitExceeded',
  'TransactionConflictException',
  'TransactionInProgressException',
  'LimitExceededException',
  '503',
]);
const REFUSED = new Set([
  'AccessDenied',
  'AccessDeniedException',
  '403',
  'NoSuchBucket',
  'ResourceNotFoundException',
  'UnrecognizedClientException',
  'ExpiredToken',
  'ExpiredTokenException',
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'CredentialsProviderError',
  'KMSAccessDeniedException',
  'DecryptionFailure',
]);
/** System errors of a connection. */
const CONNECTION = /^(E[A-Z]+|UND_ERR_\w+)$/;

export const codeOf = (error: unknown): string => (error as { name?: string } | null)?.name ?? '';
export const statusOf = (error: unknown): number | undefined =>
  (error as { $metadata?: { httpStatusCode?: number } } | null)?.$metadata?.httpStatusCode;

/** The error of a service as the store tells it; what is none of these comes through as it is. `where` names the bucket or table. */
export function toldByAws(error: unknown, where: string): unknown {
  const code = codeOf(error);
  const system = (error as { code?: unknown } | null)?.code;
  const status = statusOf(error);
  if (LATER.has(code) || status === 503 || status === 500)
    return new StoreUnavailable(where, code === '' ? `HTTP ${status}` : code, { cause: error });
  if (REFUSED.has(code) || status === 403) return new StoreRefused(where, code, { cause: error });
  if (typeof system === 'string' && CONNECTION.test(system)) return new StoreUnavailable(where, system, { cause: error });
  return error;
}
