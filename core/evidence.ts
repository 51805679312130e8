import type { ConsentReason } from './consent.ts';
import type { ConsentStatus } from './model.ts';

/**
 * What a decision rests on, as it travels from the snapshot through the delta into receipts. It names the company's own record and
 * holds nothing of the person: `record_id` and `source` of a consents table must be opaque (docs/files.md).
 */
export interface Evidence {
  /** Why it was decided so; `erased`: an erasure was asked for, `began` says when. */
  readonly reason: ConsentReason | 'erased';
  /** What the deciding record says as of the run's tick; null when no record decided. */
  readonly status: EvidenceStatus | null;
  /** When the deciding record began, epoch milliseconds; null when no record decided. */
  readonly began: number | null;
  /** Its `source`, and its `record_id`; null where the table keeps none. */
  readonly source: string | null;
  readonly record: string | null;
}

export type EvidenceStatus = ConsentStatus | 'unknown-status' | 'ended';

/** Between the fields of the text: a sign that neither an id nor the name of a source has. */
export const SEPARATOR = '\u001f';

/**
 * The evidence of its text: reason, status, began, source, record, with `chr(31)` between them and nothing where there is nothing, as
 * `evidenceSql` of core/sql/consent.ts writes it. In SQL the fields are `split_part(e, chr(31), 1)` to `5`. Undefined for a text that is none.
 */
export function evidenceOf(text: string | null | undefined): Evidence | undefined {
  const [reason, status = '', began = '', source = '', ...record] = (text ?? '').split(SEPARATOR);
  if (!reason || record.length === 0) return undefined;
  const id = record.join(SEPARATOR);
  return {
    reason: reason as Evidence['reason'],
    status: status === '' ? null : (status as EvidenceStatus),
    began: began === '' ? null : Number(began),
    source: source === '' ? null : source,
    record: id === '' ? null : id,
  };
}
