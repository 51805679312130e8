import { GetSecretValueCommand, ResourceNotFoundException, type SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { Clock, Secrets } from '../core/ports.ts';
import { SecretUnusable } from '../core/store-errors.ts';
import { codeOf, toldByAws } from './aws-errors.ts';
import { secretFromText } from './secret-text.ts';

/** A value is kept this long: a rotation is noticed by then at the latest, and at once where a platform says 401. */
const KEPT_MS = 5 * 60_000;

/**
 * Secrets of Secrets Manager, by the name that a destination's file gives. The value is a JSON object of strings, or one text, which is
 * `{ value: <text> }`. Throws `SecretUnusable`, `StoreUnavailable` and `StoreRefused`; no message holds any part of a secret.
 */
export function awsSecrets(client: SecretsManagerClient, clock: Pick<Clock, 'now'>): Secrets {
  const kept = new Map<string, { readonly at: number; readonly value: Promise<Record<string, string> | null> }>();
  return {
    get(name, fresh = false) {
      const known = kept.get(name);
      if (!fresh && known !== undefined && clock.now() - known.at < KEPT_MS) return known.value;
      const value = read(client, name);
      kept.set(name, { at: clock.now(), value });
      // A failure is not kept.
      value.catch(() => kept.delete(name));
      return value;
    },
    wayToSet: (name) =>
      `put a JSON object of strings into Secrets Manager: aws secretsmanager put-secret-value --secret-id ${name} --secret-string file://secret.json`,
  };
}

async function read(client: SecretsManagerClient, name: string): Promise<Record<string, string> | null> {
  try {
    const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: name }));
    if (SecretString === undefined) throw new SecretUnusable(`The secret ${name} is binary; it must be text.`);
    return SecretString.trim() === '' ? null : secretFromText(`The secret ${name}`, SecretString.trim());
  } catch (error) {
    if (error instanceof SecretUnusable) throw error;
    if (error instanceof ResourceNotFoundException || codeOf(error) === 'ResourceNotFoundException') return null;
    throw toldByAws(error, `Secrets Manager (${name})`);
  }
}
