import type { Signer } from '../ports.ts';
import type { Erasure } from './erasure.ts';

/** A signed receipt: JSON whose last key is `processor_signature`, base64 of Ed25519 over the text of everything before it. */
export type Receipt = Readonly<Record<string, unknown>> & { readonly processor_signature: string };

/** An erasure is expected to be done within a month of the request (GDPR article 12(3)). Milliseconds. */
const MONTH = 30 * 86_400_000;

const iso = (ms: number): string => new Date(ms).toISOString();

/**
 * What is told of an erasure, in the words of OpenDSR where it has them, and without personal data: keyed hashes, counts, and each
 * destination's answer. https://github.com/opengdpr/OpenDSR/blob/master/specification.md#8-opencompliance-status, read 2026-11-25.
 */
export function receiptBody(erasure: Erasure, keyId: string): Readonly<Record<string, unknown>> {
  const { id, status, receivedAt, submittedAt, completedAt, source, digest, person, destinations, cleaned } = erasure;
  return {
    controller_id: keyId,
    subject_request_id: id,
    subject_request_type: 'erasure',
    request_status: status,
    api_version: '1.0',
    submitted_time: iso(submittedAt),
    received_time: iso(receivedAt),
    expected_completion_time: iso(receivedAt + MONTH),
    ...(completedAt !== undefined && { completed_time: iso(completedAt) }),
    source,
    request_digest: `hmac-sha256:${digest}`,
    ...(person && { customers: person.customers, members: person.members, tombstones: person.marks }),
    destinations: Object.entries(destinations).map(([destination, { state, connector, answer, lists, at, failure }]) => ({
      destination,
      ...(connector !== undefined && { connector }),
      result: state,
      ...(answer !== undefined && { answer }),
      lists,
      time: iso(at),
      ...(failure && { message: failure.message, way_out: failure.wayOut }),
    })),
    ...(cleaned && { generations_rewritten: cleaned.generations, runs_cleaned: cleaned.runs }),
  };
}

/** Signs the body as it is written. */
export async function signedReceipt(erasure: Erasure, signer: Signer): Promise<Receipt> {
  const body = receiptBody(erasure, signer.keyId);
  return { ...body, processor_signature: await signer.sign(JSON.stringify(body)) };
}

/** Whether a receipt is as it was signed by this key. `text`: the JSON, whatever its white space. */
export async function verifyReceipt(text: string, signer: Signer): Promise<'sound' | 'altered' | 'other-key' | 'no-receipt'> {
  let receipt: Receipt;
  try {
    receipt = JSON.parse(text) as Receipt;
  } catch {
    return 'no-receipt';
  }
  const { processor_signature: signature, ...body } = receipt ?? {};
  if (typeof signature !== 'string' || typeof body['controller_id'] !== 'string') return 'no-receipt';
  if (body['controller_id'] !== signer.keyId) return 'other-key';
  return (await signer.verify(JSON.stringify(body), signature)) ? 'sound' : 'altered';
}
