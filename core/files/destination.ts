import { z } from 'zod';
import type { Connector, Limits } from '../connector.ts';
import type { BudgetWindow, Destination } from '../model.ts';
import { didYouMean } from '../problems.ts';
import { checkShape } from './shape.ts';
import type { Words } from './shape.ts';
import { keyOf, nodeAt, valueOf } from './source.ts';
import type { Source } from './source.ts';

const PER = { second: 1, minute: 60, hour: 3600, day: 86_400 } as const;

const count = z.int().min(1);
const per = z.enum(['second', 'minute', 'hour', 'day']);
const concurrency = z.int().min(1).max(1000).optional().describe('Requests under way at once.');

/** Names Secrets Manager takes. A key or token that was pasted here is seldom one. */
const SECRET_NAME = /^[A-Za-z0-9][A-Za-z0-9/_+=.@-]{0,511}$/;

/** The whole file, for editors. */
export const destinationSchema = z.strictObject({
  connector: z.string().describe('The platform: meta, braze, files, ...'),
  purpose: z.string().describe('What the people sent here must have consented to: a purpose of policies/consent.yaml.'),
  settings: z
    .record(z.string(), z.unknown())
    .optional()
    .describe('What the connector needs to know; see its page in docs/connectors/.'),
  secret: z.string().regex(SECRET_NAME).optional().describe('The name of a secret, never the secret itself: sluice/meta-eu.'),
  budget: z
    .union([
      z.strictObject({ requests: count.optional(), per: per.optional(), concurrency }),
      z.strictObject({
        windows: z
          .array(z.strictObject({ requests: count, per }))
          .min(1)
          .max(8),
        concurrency,
      }),
    ])
    .optional()
    .describe("Requests the destination may get; the connector's documented limit less 10 % when left out."),
  endpoint: z.string().optional().describe('Another host than the usual one: a region, a proxy, a stand-in.'),
});

/** What the shape check uses: a secret's name is checked apart, because the problem must not show what stands there. */
const destinationShape = destinationSchema.extend({ secret: z.string().optional() });

type DestinationFile = z.infer<typeof destinationShape>;

const WORDS: Words = {
  nouns: { '': 'a destination', budget: 'the budget', windows: 'a window of the budget' },
  otherNames: {
    type: 'connector',
    platform: 'connector',
    rate: 'budget',
    rate_limit: 'budget',
    url: 'endpoint',
    host: 'endpoint',
    credentials: 'secret',
  },
};

/** A destination file. `purposes` are those the consent policy maps, undefined when the policy itself cannot be read. */
export function readDestination(
  source: Source,
  name: string,
  connectors: Readonly<Record<string, Connector>>,
  purposes: readonly string[] | undefined,
): Destination | undefined {
  const file = checkShape(source, destinationShape, WORDS);
  if (!file) return undefined;
  const at = (key: string) => nodeAt(source.root, [key]);
  if (purposes && !purposes.includes(file.purpose)) {
    source.report(at('purpose'), {
      rule: 'unknown-purpose',
      message: `policies/consent.yaml has no purpose "${file.purpose}", so nobody can be sent to ${name}.`,
      hint: didYouMean(file.purpose, purposes) ?? 'Add it there with its basis: opt-in or opt-out.',
    });
  }
  const connector = Object.hasOwn(connectors, file.connector) ? connectors[file.connector] : undefined;
  if (!connector) {
    const known = Object.keys(connectors);
    source.report(at('connector'), {
      rule: 'unknown-connector',
      message: `There is no connector "${file.connector}".`,
      hint: didYouMean(file.connector, known) ?? `There are ${known.join(', ')}.`,
    });
    return undefined;
  }
  checkSecret(source, file, connector);
  const settings = readSettings(source, connector);
  const endpoint = file.endpoint === undefined ? undefined : readEndpoint(source, file.endpoint);
  const budget = readBudget(source, file.budget, connector.limits);
  if (!settings || !budget) return undefined;
  return {
    name,
    file: source.file,
    connector: file.connector,
    purpose: file.purpose,
    settings,
    secret: file.secret,
    budget,
    endpoint,
  };
}

function checkSecret(source: Source, file: DestinationFile, connector: Connector): void {
  if (file.secret !== undefined && !SECRET_NAME.test(file.secret)) {
    source.report(nodeAt(source.root, ['secret']), {
      rule: 'secret-in-file',
      message: '"secret" must be the name of a secret, such as sluice/meta-eu, and never the secret itself.',
      hint: 'If a real one stood here, replace it at the platform: it is in the history of the files now.',
    });
  }
  if (connector.secret !== null && !keyOf(source.root, 'secret')) {
    source.report(keyOf(source.root, 'connector'), {
      rule: 'missing-secret-name',
      message: `A destination of ${connector.title} needs a secret.`,
      hint: `Add "secret: sluice/<name>", the name of the secret that holds ${secretKeys(connector.secret).join(', ')}.`,
    });
  } else if (connector.secret === null && file.secret !== undefined) {
    source.report(keyOf(source.root, 'secret'), {
      rule: 'needless-secret',
      severity: 'warning',
      message: `A destination of ${connector.title} needs no secret; this one is never read.`,
    });
  }
}

function secretKeys(schema: z.ZodType): readonly string[] {
  return schema instanceof z.ZodObject ? Object.keys(schema.shape as Record<string, unknown>) : ['its keys'];
}

/** Settings as the connector's own schema gives them back, with its defaults. `sync` belongs to the syncs, not to the destination. */
function readSettings(source: Source, connector: Connector): Readonly<Record<string, unknown>> | undefined {
  const given = valueOf(source.root, 'settings');
  if (given) {
    const words: Words = { nouns: { settings: `the settings of ${connector.title}` } };
    return checkShape(source, connector.settings, words, ['settings']);
  }
  const result = connector.settings.safeParse({});
  if (result.success) return result.data;
  for (const issue of result.error.issues) {
    const key = String(issue.path.at(-1) ?? '');
    source.report(keyOf(source.root, 'settings') ?? keyOf(source.root, 'connector'), {
      rule: 'missing-key',
      message:
        key === ''
          ? `The settings of ${connector.title} are missing.`
          : `"${key}" is missing in the settings of ${connector.title}.`,
      hint: 'Add it under "settings".',
    });
  }
  return undefined;
}

/** Without a slash at its end. HTTP is for this machine alone: identifiers must not travel in clear. */
function readEndpoint(source: Source, text: string): string | undefined {
  const refuse = (message: string, hint?: string, rule = 'bad-endpoint'): undefined => {
    source.report(nodeAt(source.root, ['endpoint']), { rule, message, hint });
    return undefined;
  };
  if (!URL.canParse(text)) return refuse(`"${text}" is not an address.`, 'Write one such as https://rest.fra-01.braze.eu.');
  const url = new URL(text);
  if (url.username !== '' || url.password !== '')
    return refuse('The endpoint holds a user name or password.', 'Put it into the secret.');
  if (url.search !== '' || url.hash !== '') return refuse('The endpoint must not have a query or a fragment.');
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    return refuse(
      'The endpoint is not encrypted.',
      `Write https://${url.host}; http is only for this machine (127.0.0.1, ::1, localhost).`,
    );
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    return refuse(`The endpoint cannot be reached over "${url.protocol}".`, 'Write https://.');
  return text.replace(/\/+$/, '');
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);

/** Of the documented limit, what a destination uses unless its file says otherwise: other programs use the same account. */
const SHARE_OF_LIMIT = 0.9;

function readBudget(source: Source, given: DestinationFile['budget'], limits: Limits): Destination['budget'] | undefined {
  const concurrencyOf = (value: number | undefined) => value ?? limits.concurrency;
  const usual = limits.windows.map(({ requests, seconds }) => ({
    requests: Math.max(1, Math.floor(requests * SHARE_OF_LIMIT)),
    seconds,
  }));
  if (given === undefined) return { windows: usual, concurrency: concurrencyOf(undefined) };
  const own = 'windows' in given ? given.windows : [given];
  const windows: BudgetWindow[] = [];
  for (const window of own) {
    if ((window.requests === undefined) !== (window.per === undefined)) {
      const missing = window.requests === undefined ? 'requests' : 'per';
      source.report(keyOf(source.root, 'budget'), {
        rule: 'missing-key',
        message: `"${missing}" is missing in the budget.`,
        hint: 'Write both, such as { requests: 60, per: minute }.',
      });
      return undefined;
    }
    if (window.requests !== undefined && window.per !== undefined)
      windows.push({ requests: window.requests, seconds: PER[window.per] });
  }
  const budget = { windows: windows.length > 0 ? windows : usual, concurrency: concurrencyOf(given.concurrency) };
  warnOverLimit(source, budget, limits);
  return budget;
}

function warnOverLimit(source: Source, budget: Destination['budget'], limits: Limits): void {
  const over = limits.windows.find(({ requests, seconds }) => allowedIn(budget.windows, seconds) > requests);
  const place = keyOf(source.root, 'budget');
  if (over) {
    source.report(place, {
      rule: 'budget-over-limit',
      severity: 'warning',
      message: `The budget allows more than the ${over.requests} requests in ${spanOf(over.seconds)} that the platform documents.`,
      hint: `Keep it only if the platform raised the limit for this account: ${limits.source}.`,
    });
  }
  if (budget.concurrency > limits.concurrency) {
    source.report(place, {
      rule: 'budget-over-limit',
      severity: 'warning',
      message: `The budget allows ${budget.concurrency} requests at once; the connector is made for ${limits.concurrency}.`,
    });
  }
}

/** Requests that all windows together let through in so many seconds; they are spaced evenly, so a window is a rate. */
const allowedIn = (windows: readonly BudgetWindow[], seconds: number): number =>
  Math.min(...windows.map((window) => (window.requests * seconds) / window.seconds));

function spanOf(seconds: number): string {
  const unit = (Object.entries(PER) as [string, number][]).findLast(([, length]) => seconds % length === 0) ?? ['second', 1];
  const amount = seconds / unit[1];
  return amount === 1 ? `a ${unit[0]}`.replace('a hour', 'an hour') : `${amount} ${unit[0]}s`;
}
