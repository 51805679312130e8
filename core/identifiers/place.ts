import { isSupportedCountry } from 'libphonenumber-js/max';
import { trimmed } from './text.ts';

interface Hints {
  readonly country: string | null;
}

/** ISO 3166-1 alpha-2 in upper case; the list is libphonenumber's, which holds every country with a telephone. */
export function countryCode(raw: string): string | undefined {
  const value = trimmed(raw).toUpperCase();
  return isSupportedCountry(value) ? value : undefined;
}

/** The same in lower case (Meta hashes it so). */
export const countryCodeLower = (raw: string): string | undefined => countryCode(raw)?.toLowerCase();

/** Meta's CT: a to z only, accents dropped with their marks, nothing else kept. A name in another script cannot be written so: refused. */
export function cityLetters(raw: string): string | undefined {
  return (
    raw
      .toLowerCase()
      .normalize('NFKD')
      .replace(/[^a-z]/g, '') || undefined
  );
}

/** Meta's ST: two letters in the US (`CA`, `US-CA`), elsewhere lower case without punctuation and spaces. */
export function region(raw: string, hints: Hints): string | undefined {
  const value = trimmed(raw).toLowerCase();
  if (hints.country?.toUpperCase() === 'US') return /^(?:us-)?([a-z]{2})$/.exec(value)?.[1];
  return value.normalize('NFC').replace(/[^\p{L}\p{M}\p{N}]/gu, '') || undefined;
}

/** Meta's ZIP: lower case, no spaces or dashes; the first five digits in the US; area, district and sector in the UK (`M1 1AE` is `m11`). */
export function postalCodeShort(raw: string, hints: Hints): string | undefined {
  const country = hints.country?.toUpperCase();
  const value = trimmed(raw).toLowerCase();
  if (country === 'US') return /^(\d{5})(?:-?\d{4})?$/.exec(value)?.[1];
  const packed = value.replace(/[\s-]/gu, '');
  if (country === 'GB') return /^([a-z]{1,2}\d[a-z\d]?\d)[a-z]{2}$/.exec(packed)?.[1];
  return /^[a-z\d]{2,10}$/.test(packed) ? packed : undefined;
}

/** Google's postal code: as written, trimmed, upper case; US codes have 5 digits or 5 and 4. Sent unhashed. */
export function postalCode(raw: string, hints: Hints): string | undefined {
  const value = trimmed(raw).toUpperCase();
  if (hints.country?.toUpperCase() === 'US') return /^\d{5}(?:-\d{4})?$/.test(value) ? value : undefined;
  return /^[A-Z\d](?:[A-Z\d -]{0,8}[A-Z\d])?$/.test(value) ? value : undefined;
}
