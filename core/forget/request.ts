import { createHmac } from 'node:crypto';
import * as z from 'zod';

/** A request to forget somebody, wherever it came from. Holds personal data: it is kept only until the erasure is done. */
export interface ForgetRequest {
  /** OpenDSR `subject_request_id`, or an id of ours: letters, digits, dots, dashes. */
  readonly id: string;
  readonly source: 'opendsr' | 'by-hand' | 'table';
  /** Epoch ms at which the person asked. */
  readonly submittedAt: number;
  readonly customerIds: readonly string[];
  readonly identities: readonly Identity[];
  /** Identities that several customers hold stand for all of them. */
  readonly allHolders: boolean;
}

export interface Identity {
  /** Namespace of the contracts: `email`, `phone`, `maid`. */
  readonly namespace: string;
  readonly value: string;
  /** `sha256`: hex SHA-256 of the normalised value. */
  readonly format: 'raw' | 'sha256';
}

/** The request cannot be acted on. Nothing was done. Its message names fields, never what stands in them. */
export class RequestRefused extends Error {
  constructor(problems: readonly string[]) {
    super(`The request cannot be read, and nothing was done:\n${problems.map((one) => `  ${one}`).join('\n')}`);
    this.name = 'RequestRefused';
  }
}

/**
 * Identity types of OpenDSR and the namespaces they are here. https://github.com/opengdpr/OpenDSR/blob/master/specification.md#51-identity-type-keys,
 * read 2026-11-25. A type that is none of these is a namespace of the contracts by its own name (`phone`, which the specification lacks).
 */
const TYPES: Readonly<Record<string, string>> = {
  email: 'email',
  android_advertising_id: 'maid',
  ios_advertising_id: 'maid',
  fire_advertising_id: 'maid',
  microsoft_advertising_id: 'maid',
  roku_advertising_id: 'maid',
};
const CUSTOMER = 'controller_customer_id';
const NAME = /^[a-z][a-z0-9_]{0,63}$/;
const ID = /^[A-Za-z0-9][A-Za-z0-9.-]{0,127}$/;

const schema = z.object({
  subject_request_id: z.string().regex(ID),
  subject_request_type: z.literal('erasure'),
  submitted_time: z.iso.datetime({ offset: true }),
  subject_identities: z
    .array(
      z.object({
        identity_type: z.string().regex(NAME),
        identity_value: z.string().min(1).max(1_024),
        identity_format: z.enum(['raw', 'sha256']),
      }),
    )
    .min(1)
    .max(1_000),
  api_version: z
    .string()
    .regex(/^[1-3](\.\d+)*$/)
    .optional(),
  regulation: z.string().optional(),
  status_callback_urls: z.array(z.string()).optional(),
  extensions: z.record(z.string(), z.unknown()).optional(),
});

/**
 * Reads a request in OpenDSR form (JSON). An extension `sluice` with `all_holders: true` lets an identity that several customers hold
 * stand for all of them. Callback URLs are not called: who asked reads the status. Throws `RequestRefused` with everything that is wrong.
 */
export function parseOpenDsr(text: string): ForgetRequest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // Without the cause: its message would quote the request.
    throw new RequestRefused(['It is not JSON.']);
  }
  const read = schema.safeParse(json);
  if (!read.success) throw new RequestRefused(read.error.issues.map(problemOf));
  const { subject_request_id: id, submitted_time: submitted, subject_identities: identities, extensions } = read.data;
  const problems = identities.flatMap(({ identity_type: type, identity_format: format, identity_value: value }, i) => {
    if (type === CUSTOMER && format !== 'raw') return [`subject_identities[${i}]: a ${CUSTOMER} is taken raw only.`];
    if (format === 'sha256' && !/^[0-9a-f]{64}$/i.test(value.trim()))
      return [`subject_identities[${i}].identity_value: not 64 hex digits, which a sha256 is.`];
    return [];
  });
  if (problems.length > 0) throw new RequestRefused(problems);
  const ours = extensions?.['sluice'] as { readonly all_holders?: unknown } | undefined;
  const ids = identities.filter(({ identity_type: type }) => type === CUSTOMER || type === 'external_id');
  return {
    id,
    source: 'opendsr',
    submittedAt: Date.parse(submitted),
    customerIds: [...new Set(ids.map(({ identity_value: value }) => value))],
    identities: identities
      .filter((one) => !ids.includes(one))
      .map(({ identity_type: type, identity_value: value, identity_format: format }) => ({
        namespace: TYPES[type] ?? type,
        value: format === 'sha256' ? value.trim().toLowerCase() : value,
        format,
      })),
    allHolders: ours?.all_holders === true,
  };
}

/** Where and what is wrong, without the value. */
function problemOf(issue: z.core.$ZodIssue): string {
  const path = issue.path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  const field = path.replace(/^\./, '') || 'The request';
  const wanted: Readonly<Record<string, string>> = {
    subject_request_id: 'an id of letters, digits, dots and dashes (OpenDSR: a UUID).',
    subject_request_type: '"erasure"; no other type is served here.',
    submitted_time: 'an RFC 3339 time, such as 2026-11-22T06:00:00Z.',
    subject_identities: 'a list of at least one identity.',
    identity_type: `a name such as email, phone or ${CUSTOMER}.`,
    identity_value: 'a text that is not empty.',
    identity_format: 'raw or sha256; sha1 and md5 are not taken, because too much answers to them.',
    api_version: 'a version such as 1.0.',
  };
  const last = String(issue.path.findLast((part) => typeof part === 'string') ?? '');
  return `${field} must be ${wanted[last] ?? 'as the OpenDSR specification says.'}`;
}

/** A name for the request that proves which one it was to whoever has it and the key, and tells nothing else. */
export const digestOf = (secret: string, request: ForgetRequest): string =>
  createHmac('sha256', secret)
    .update(`forget\n${JSON.stringify([request.id, request.submittedAt, request.customerIds, request.identities])}`)
    .digest('hex');
