import { isMap } from 'yaml';
import * as z from 'zod';
import type { Connector } from '../connector.ts';
import type { Destination } from '../model.ts';
import { didYouMean } from '../problems.ts';
import { budgetSchema, budgetShape, readBudget } from './budget.ts';
import type { RuleId } from './rule-ids.ts';
import { checkShape } from './shape.ts';
import type { Words } from './shape.ts';
import { keyOf, nodeAt, valueOf } from './source.ts';
import type { Source } from './source.ts';

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
  budget: budgetSchema
    .optional()
    .describe("Requests the destination may get; the connector's documented limit less 10 % when left out."),
  endpoint: z.string().optional().describe('Another host than the usual one: a region, a proxy, a stand-in.'),
});

/** What the shape check uses: a secret's name is checked apart, because the problem must not show what stands there. */
const destinationShape = destinationSchema.extend({ secret: z.string().optional(), budget: budgetShape.optional() });

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
  const shape: Readonly<Record<string, z.ZodType>> = schema instanceof z.ZodObject ? schema.shape : {};
  const needed = Object.keys(shape).filter((key) => shape[key]?.safeParse(undefined).success === false);
  return needed.length > 0 ? needed : ['its keys'];
}

/** Settings as the connector's own schema gives them back, with its defaults. `sync` belongs to the syncs, not to the destination. */
function readSettings(source: Source, connector: Connector): Readonly<Record<string, unknown>> | undefined {
  const given = valueOf(source.root, 'settings');
  if (given && !isMap(given)) return undefined;
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
  const refuse = (message: string, hint?: string, rule: RuleId = 'bad-endpoint'): undefined => {
    source.report(nodeAt(source.root, ['endpoint']), { rule, message, hint });
    return undefined;
  };
  if (/[@?#]/.test(text)) {
    const hint = 'Leave the host alone, and put what the platform needs to know into the settings or the secret.';
    return refuse('The endpoint holds more than a host: a user name, a password or a query.', hint, 'secret-in-file');
  }
  if (!URL.canParse(text)) return refuse(`"${text}" is not an address.`, 'Write one such as https://rest.fra-01.braze.eu.');
  const url = new URL(text);
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    return refuse(
      'The endpoint is not encrypted.',
      `Write https://${url.host}; http is only for this machine (127.0.0.1, ::1, localhost).`,
    );
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    return refuse(`The endpoint cannot be reached over "${url.protocol}".`, 'Write https://.');
  }
  return text.replace(/\/+$/, '');
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
