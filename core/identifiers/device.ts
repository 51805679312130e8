import { trimmed } from './text.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const ZEROS = '00000000-0000-0000-0000-000000000000';

/** A mobile advertising id (IDFA, AAID): a UUID in lower case. All zeros, which is how a phone says "no", is refused. */
export function maid(raw: string): string | undefined {
  const value = trimmed(raw).toLowerCase();
  return UUID.test(value) && value !== ZEROS ? value : undefined;
}
