import { trimmed } from './text.ts';

const number = (raw: string, min: number, max: number): string | undefined => {
  const value = trimmed(raw);
  if (!/^\d{1,4}$/.test(value)) return undefined;
  const parsed = Number(value);
  return parsed >= min && parsed <= max ? String(parsed).padStart(2, '0') : undefined;
};

/** `YYYY`, from 1900 on. */
export const birthYear = (raw: string): string | undefined => number(raw, 1900, 2100);

/** `01` to `12`. */
export const birthMonth = (raw: string): string | undefined => number(raw, 1, 12);

/** `01` to `31`. */
export const birthDay = (raw: string): string | undefined => number(raw, 1, 31);

/** `m` or `f`, the only two Meta takes; anything else is not sent. */
export function gender(raw: string): string | undefined {
  const value = trimmed(raw).toLowerCase();
  if (value === 'm' || value === 'male') return 'm';
  return value === 'f' || value === 'female' ? 'f' : undefined;
}
