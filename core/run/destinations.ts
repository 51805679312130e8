import { type Connector, type Context, DestinationBroken, type Http } from '../connector.ts';
import type { Destination } from '../model.ts';
import type { Secrets, Tokens } from '../ports.ts';
import { SecretUnusable } from '../store-errors.ts';
import type { RunPorts } from './ports.ts';

/** A stand-in for one destination. */
export interface Override {
  readonly endpoint?: string;
  readonly secret?: Readonly<Record<string, string>>;
}

export interface DestinationsInput {
  readonly connectors: Readonly<Record<string, Connector>>;
  readonly secrets: Secrets;
  /** Keeps its connections: `connections` at most. */
  readonly createHttp: (options: {
    readonly endpoint?: string;
    readonly timeoutMs?: number;
    readonly connections?: number;
  }) => Http & { close(): Promise<void> };
  readonly overrideFor: (destination: Destination) => Override | undefined;
  readonly timeoutMs: number | undefined;
  readonly now: () => number;
  readonly tokens: Tokens;
  /** Where an endpoint is that is a path and no address. */
  readonly resolvePath: (path: string) => string;
}

export interface Destinations {
  readonly contextFor: RunPorts['contextFor'];
  close(): Promise<void>;
}

/**
 * What connectors are called with: settings, secret, endpoint, and HTTP that keeps its connections, one of each a destination.
 * A secret that is missing, or lacks a key, is `DestinationBroken`; its values are never part of a message.
 */
export function openDestinations(input: DestinationsInput): Destinations {
  const https = new Map<string, ReturnType<DestinationsInput['createHttp']>>();
  const httpFor = (destination: Destination, endpoint: string): ReturnType<DestinationsInput['createHttp']> => {
    const open = https.get(destination.name);
    if (open !== undefined) return open;
    const http = input.createHttp({
      ...(endpoint !== '' && { endpoint }),
      ...(input.timeoutMs !== undefined && { timeoutMs: input.timeoutMs }),
      connections: destination.budget.concurrency,
    });
    https.set(destination.name, http);
    return http;
  };
  return {
    async contextFor(destination, fresh = false): Promise<Context<Record<string, unknown>, Record<string, string>>> {
      const connector = input.connectors[destination.connector];
      if (connector === undefined) throw new Error(`no connector "${destination.connector}": the workspace was not checked`);
      const override = input.overrideFor(destination);
      const written = (override?.endpoint ?? destination.endpoint ?? connector.endpoint({ ...destination.settings })).replace(
        /\/+$/,
        '',
      );
      const endpoint = written === '' || URL.canParse(written) ? written : input.resolvePath(written);
      return {
        settings: { ...destination.settings },
        secret: override?.secret ?? (await secretFor(connector, destination, input.secrets, fresh)),
        endpoint,
        http: httpFor(destination, endpoint),
        now: input.now,
        tokens: input.tokens,
      };
    },
    async close() {
      await Promise.all([...https.values()].map((http) => http.close()));
    },
  };
}

async function secretFor(
  connector: Connector,
  destination: Destination,
  secrets: Secrets,
  fresh: boolean,
): Promise<Record<string, string>> {
  if (connector.secret === null) return {};
  const { name, file, secret } = destination;
  if (secret === undefined) {
    throw new DestinationBroken(
      `${name} names no secret, and ${connector.title} needs one.`,
      `Add "secret: sluice/${name}" to ${file}, then ${lowerFirst(secrets.wayToSet(`sluice/${name}`))}`,
    );
  }
  const value = await secrets.get(secret, fresh).catch((error: unknown) => {
    if (!(error instanceof SecretUnusable)) throw error;
    throw new DestinationBroken(`The secret of ${name} cannot be used.`, error.message);
  });
  if (value === null)
    throw new DestinationBroken(`The secret "${secret}" of ${name} is missing.`, sentence(secrets.wayToSet(secret)));
  const parsed = connector.secret.safeParse(value);
  if (parsed.success) return parsed.data;
  const keys = [
    ...new Set(
      parsed.error.issues.flatMap((issue) => (issue.code === 'unrecognized_keys' ? issue.keys : [issue.path.join('.')])),
    ),
  ];
  throw new DestinationBroken(
    `The secret "${secret}" of ${name} is not what ${connector.title} needs: look at ${keys.filter(Boolean).join(', ') || 'its keys'}.`,
    sentence(secrets.wayToSet(secret)),
  );
}

const lowerFirst = (text: string) => `${text.charAt(0).toLowerCase()}${text.slice(1)}`;
const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
