import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { Signer } from '../core/ports.ts';
import { awsSecrets } from '../stores/secrets-aws.ts';
import { systemClock } from '../stores/system-clock.ts';

/** An Ed25519 private key in PKCS #8 is this and its 32 bytes: RFC 8410, 7. */
const PKCS8 = '302e020100300506032b657004220420';

/** The key of the member hashes, from the secret of this name. */
export const memberKeyIn = (name: string): Promise<string> =>
  keyIn(
    name,
    'The secret of the member key does not hold 64 hex digits. Put it back: under a new key nobody in the ledgers is known.',
  );

/** Signs receipts of erasures, Ed25519, with the 32 bytes that the secret of this name holds in hex: a stack can make such a secret, and no key pair. */
export async function signerIn(name: string): Promise<Signer> {
  const seed = await keyIn(
    name,
    'The secret of the signing key does not hold 64 hex digits. Put it back: receipts are checked with it.',
  );
  const key = createPrivateKey({ key: Buffer.from(PKCS8 + seed, 'hex'), format: 'der', type: 'pkcs8' });
  const pub = createPublicKey(key);
  const keyId = createHash('sha256')
    .update(pub.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .slice(0, 16);
  return {
    keyId,
    sign: async (text) => sign(null, Buffer.from(text), key).toString('base64'),
    verify: async (text, signature) => verify(null, Buffer.from(text), pub, Buffer.from(signature, 'base64')),
  };
}

async function keyIn(name: string, missing: string): Promise<string> {
  const secret = await awsSecrets(new SecretsManagerClient({ maxAttempts: 5 }), systemClock).get(name);
  const key = secret?.['value'];
  if (key !== undefined && /^[0-9a-f]{64}$/.test(key)) return key;
  throw new Error(missing);
}
