import { trimmed } from './text.ts';

/** RFC 5321 4.5.3.1: the longest path is 256 octets with its angle brackets; the local part has at most 64. */
const MAX_ADDRESS_BYTES = 254;
const MAX_LOCAL_BYTES = 64;

/** Dot-separated atoms, `@`, at least two labels, a top label that is no number. No quoted parts, comments or address literals. */
const ASCII_ADDRESS =
  /^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])$/;
/** RFC 6531: letters, marks, digits and symbols beyond ASCII join the atoms; labels take letters, marks and digits only. */
const UNICODE_ADDRESS =
  /^[a-z0-9!#$%&'*+/=?^_`{|}~\p{L}\p{M}\p{N}\p{S}-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~\p{L}\p{M}\p{N}\p{S}-]+)*@(?:[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}-]{0,61}[\p{L}\p{M}\p{N}])?\.)+[\p{L}](?:[\p{L}\p{M}\p{N}-]{0,61}[\p{L}\p{M}\p{N}])$/u;
// oxlint-disable-next-line no-control-regex -- the range is ASCII itself
const ASCII_ONLY = /^[\x00-\x7f]*$/;

/**
 * An e-mail address as most platforms want it: trimmed, lower case, the domain in NFC and otherwise as written (punycode stays punycode).
 * Refuses what is no deliverable address: white space or control characters inside, no or several `@`, empty parts or labels,
 * quoted parts, comments, address literals, domains without a dot, more than 254 bytes.
 */
export function email(raw: string): string | undefined {
  const value = trimmed(raw).toLowerCase();
  if (value.length > MAX_ADDRESS_BYTES) return undefined;
  const at = value.indexOf('@');
  if (at < 1) return undefined;
  if (ASCII_ONLY.test(value)) return at <= MAX_LOCAL_BYTES && ASCII_ADDRESS.test(value) ? value : undefined;
  const address = `${value.slice(0, at)}@${value.slice(at + 1).normalize('NFC')}`;
  if (Buffer.byteLength(address) > MAX_ADDRESS_BYTES || Buffer.byteLength(value.slice(0, at)) > MAX_LOCAL_BYTES) return undefined;
  return UNICODE_ADDRESS.test(address) ? address : undefined;
}

const GOOGLE_DOMAINS = ['@gmail.com', '@googlemail.com'];

/**
 * `email` as Google matches it: for gmail.com and googlemail.com only, dots and everything from `+` on leave the local part, before anything
 * is refused. The domain is not rewritten. https://developers.google.com/data-manager/api/devguides/concepts/formatting, read 2026-11-22.
 */
export function emailForGoogle(raw: string): string | undefined {
  const value = trimmed(raw).toLowerCase();
  const domain = GOOGLE_DOMAINS.find((one) => value.endsWith(one));
  if (domain === undefined) return email(raw);
  const [local = ''] = value.slice(0, -domain.length).split('+', 1);
  return email(local.replaceAll('.', '') + domain);
}
