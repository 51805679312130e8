import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { createHttp } from '../connectors/http.ts';
import { connectors } from '../connectors/index.ts';
import type { Store } from '../core/ports.ts';
import { openDestinations } from '../core/run/destinations.ts';
import type { RunPorts } from '../core/run/ports.ts';
import { awsSecrets } from '../stores/secrets-aws.ts';
import { systemClock } from '../stores/system-clock.ts';

/** What connectors are called with, their secrets from Secrets Manager. For the functions that send. */
export const deployedDestinations = (store: Store): RunPorts['contextFor'] =>
  openDestinations({
    connectors,
    secrets: awsSecrets(new SecretsManagerClient({ maxAttempts: 5 }), systemClock),
    createHttp,
    overrideFor: () => undefined,
    timeoutMs: undefined,
    now: () => systemClock.now(),
    tokens: store.tokens,
    resolvePath: (path) => path,
  }).contextFor;
