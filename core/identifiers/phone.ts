import {
  getCountryCallingCode,
  isSupportedCountry,
  parsePhoneNumberFromString as parse,
  type CountryCode,
  type PhoneNumber,
} from 'libphonenumber-js/max';
import { trimmed } from './text.ts';

/** Longer than any spelling of 15 digits; libphonenumber itself stops at 250. */
const MAX_SPELLING = 100;

const valid = (number: PhoneNumber | undefined): string | undefined =>
  // An extension names a desk behind a switchboard: the number without it is not the person's.
  number !== undefined && number.ext === undefined && number.isValid() ? number.number : undefined;

/**
 * A phone number in E.164 with `+`, by libphonenumber's full metadata.
 * With `+` (or `tel:+`) the country is in the number. Without, the customer's country reads it: nationally, with its dialling prefix, or
 * with its calling code in front. Refused, never guessed: digits without a country, digits that read validly both ways with different
 * results, numbers that libphonenumber calls invalid, extensions, letters.
 */
export function phone(raw: string, hints: { readonly country: string | null }): string | undefined {
  const text = inAscii(trimmed(raw)).replace(/^tel:/i, '');
  if (text === '' || text.length > MAX_SPELLING) return undefined;
  if (text.startsWith('+')) return valid(parse(text, { extract: false }));
  const country = hints.country?.toUpperCase();
  if (country === undefined || !isSupportedCountry(country)) return undefined;
  const national = valid(parse(text, { defaultCountry: country, extract: false }));
  if (national === undefined) return undefined;
  const withCallingCode = readWithCallingCode(text, country);
  return withCallingCode === undefined || withCallingCode === national ? national : undefined;
}

/** Full-width forms and Arabic digits, which keyboards produce, as the ASCII they stand for; other scripts' digits stay and are refused. */
function inAscii(text: string): string {
  return text.replace(/[\uff01-\uff5e\u0660-\u0669\u06f0-\u06f9]/g, (one) => {
    const code = one.charCodeAt(0);
    return String.fromCharCode(code >= 0xff01 ? code - 0xfee0 : 0x30 + (code & 0xf));
  });
}

/** The digits as if a `+` had been lost. libphonenumber strips a calling code only where it must, so both readings are compared. */
function readWithCallingCode(text: string, country: CountryCode): string | undefined {
  const digits = text.replace(/\D/g, '');
  return digits.startsWith(getCountryCallingCode(country)) ? valid(parse(`+${digits}`, { extract: false })) : undefined;
}

/** Digits only, calling code first: E.164 without its `+` (Meta, Snap). */
export function phoneDigits(raw: string, hints: { readonly country: string | null }): string | undefined {
  return phone(raw, hints)?.slice(1);
}
