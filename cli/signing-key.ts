import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { existsSync } from 'node:fs';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Signer } from '../core/ports.ts';
import { CommandFailed } from './command.ts';

/**
 * The key that signs receipts of erasures, made once and kept in `signing.key` under `state` (`.sluice`), readable only by its owner; beside
 * it `signing.pub`, which anybody who checks a receipt may have. Ed25519, PEM.
 */
export async function openSigner(state: string): Promise<Signer> {
  const file = join(state, 'signing.key');
  if (!existsSync(file)) await makeKey(state, file);
  const key = privateKeyOf(await readFile(file, 'utf8'), file);
  const pub = createPublicKey(key);
  const pem = pub.export({ type: 'spki', format: 'pem' });
  await writeFile(join(state, 'signing.pub'), pem);
  return {
    keyId: keyIdOf(pub),
    async sign(text) {
      return sign(null, Buffer.from(text), key).toString('base64');
    },
    verify: verifierOf(pub),
  };
}

/** What can check receipts and sign none, from the PEM of a public key. */
export function openVerifier(pem: string): Signer {
  let pub: KeyObject;
  try {
    pub = createPublicKey(pem);
  } catch {
    throw new CommandFailed('That is no public key in PEM. The one of this workspace is .sluice/signing.pub.');
  }
  return {
    keyId: keyIdOf(pub),
    sign: () => Promise.reject(new CommandFailed('A public key signs nothing.')),
    verify: verifierOf(pub),
  };
}

const keyIdOf = (pub: KeyObject): string =>
  createHash('sha256')
    .update(pub.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .slice(0, 16);

const verifierOf =
  (pub: KeyObject): Signer['verify'] =>
  async (text, signature) => {
    try {
      return verify(null, Buffer.from(text), pub, Buffer.from(signature, 'base64'));
    } catch {
      return false;
    }
  };

function privateKeyOf(pem: string, file: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    // Without the cause: it could quote the key.
    throw new CommandFailed(`${file} holds no private key in PEM. Put it back from a backup; receipts are signed with it.`);
  }
}

async function makeKey(state: string, file: string): Promise<void> {
  await mkdir(state, { recursive: true, mode: 0o700 });
  const fresh = `${file}.${process.pid}`;
  try {
    const { privateKey } = generateKeyPairSync('ed25519');
    await writeFile(fresh, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flush: true });
    // A link appears whole or not at all, and never replaces the key of a process that was faster.
    await link(fresh, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(fresh, { force: true });
  }
}
