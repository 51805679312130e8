import { createHash } from 'node:crypto';
import type { Node } from 'yaml';
import * as z from 'zod';
import { COUNTRIES, subdivisionsOf } from '../iso-3166.ts';
import type { Basis, ConsentPolicy, PurposePolicy } from '../model.ts';
import { MAX_SOURCES } from '../consent.ts';
import type { ContractTable } from './contract.ts';
import { readDuration } from './literal.ts';
import { namedColumn, placeOf } from './scope.ts';
import { checkShape } from './shape.ts';
import type { Words } from './shape.ts';
import { keyOf, nodeAt } from './source.ts';
import type { Source } from './source.ts';

const basis = z.enum(['opt-in', 'opt-out']);

const purpose = z.strictObject({
  description: z.string().optional(),
  basis: basis.describe('opt-in: a grant is needed. opt-out: sent unless refused.'),
  expires_after: z.string().optional().describe('How long a grant lasts: 730 days.'),
  double_opt_in: z
    .boolean()
    .optional()
    .describe('A grant counts when the person confirmed it: status confirmed, or pending and then granted.'),
  tcf: z
    .strictObject({
      purposes: z.array(z.int().min(1).max(24)).min(1).describe('TCF purposes that must all have consent.'),
      vendor: z.int().min(1).max(65_535).optional().describe('Id in the Global Vendor List that must have consent too.'),
    })
    .optional()
    .describe("What a TC string (the consents' field tcf) must say for a grant. It refuses otherwise."),
  gpp: z
    .strictObject({ opt_outs: z.array(z.enum(['sale', 'sharing', 'targeted_advertising'])).min(1) })
    .optional()
    .describe("Which opt-outs of a GPP string (the consents' field gpp) refuse."),
  jurisdictions: z.record(z.string(), basis).optional().describe('Where another basis holds: US or US-CA -> opt-out.'),
  shared_identifiers: z
    .enum(['keep-for-entitled', 'refuse'])
    .optional()
    .describe('An identifier shared by one who refused and one who is entitled: kept for the second, or sent for nobody.'),
});

const jurisdiction = z
  .strictObject({ column: z.string(), region: z.string().optional() })
  .optional()
  .describe('Columns of the customers contract that hold the country and its region (ISO 3166).');

const sources = z
  .array(z.string().min(1))
  .min(1)
  .max(MAX_SOURCES)
  .optional()
  .describe("Words of the consents' source, the highest first. Of lower ones only refusals count once a higher one has spoken.");

/** The whole file, for editors. */
export const consentSchema = z.strictObject({ purposes: z.record(z.string(), purpose), jurisdiction, sources });

/** What the shape check uses: lengths of time are read apart, with better messages. */
const consentShape = z.strictObject({
  purposes: z.record(z.string(), purpose.extend({ expires_after: z.unknown().optional() })),
  jurisdiction,
  sources,
});

const WORDS: Words = {
  nouns: {
    '': 'the consent policy',
    jurisdictions: 'the jurisdictions',
    tcf: 'what a TC string must say',
    gpp: 'what a GPP string must say',
    jurisdiction: 'the jurisdiction',
    purposes: 'the purposes',
    sources: 'the sources',
  },
  otherNames: {
    expiry: 'expires_after',
    expires: 'expires_after',
    valid_for: 'expires_after',
    default: 'basis',
    legal_basis: 'basis',
    country: 'column',
    confirmed: 'double_opt_in',
    precedence: 'sources',
  },
};

/** The tables the policy speaks of; undefined when their contract cannot be read. */
export interface PolicyTables {
  /** Types the jurisdiction's columns. */
  readonly customers: ContractTable | undefined;
  readonly consents: ContractTable | undefined;
}

/** policies/consent.yaml. */
export function readConsentPolicy(source: Source, { customers, consents }: PolicyTables): ConsentPolicy | undefined {
  const file = checkShape(source, consentShape, purposeWords(source));
  if (!file) return undefined;
  const before = source.problems.length;
  if (file.sources) checkSources(source, file.sources, consents);
  const purposes = Object.create(null) as Record<string, PurposePolicy>;
  for (const [name, given] of Object.entries(file.purposes)) {
    const at = ['purposes', name];
    const expiresAfter =
      given.expires_after === undefined
        ? undefined
        : readDuration(source, 'expires_after', nodeAt(source.root, [...at, 'expires_after']));
    const jurisdictions = Object.create(null) as Record<string, Basis>;
    for (const [code, own] of Object.entries(given.jurisdictions ?? {})) {
      checkCode(source, code, keyOf(nodeAt(source.root, [...at, 'jurisdictions']), code));
      jurisdictions[code] = own;
    }
    checkStrings(source, name, given, consents);
    if (given.jurisdictions && !file.jurisdiction) {
      source.report(keyOf(nodeAt(source.root, at), 'jurisdictions'), {
        rule: 'missing-key',
        message: `"${name}" differs by jurisdiction, and the policy does not say which column holds it.`,
        hint: 'Add "jurisdiction: { column: country }" at the top of the file.',
      });
    }
    purposes[name] = {
      name,
      basis: given.basis,
      expiresAfter,
      jurisdictions,
      ...(given.double_opt_in === true && { doubleOptIn: true }),
      ...(given.tcf && {
        tcf: { purposes: given.tcf.purposes, ...(given.tcf.vendor !== undefined && { vendor: given.tcf.vendor }) },
      }),
      ...(given.gpp && { gpp: { optOuts: given.gpp.opt_outs } }),
      ...(file.sources && { sources: file.sources }),
      sharedIdentifiers: given.shared_identifiers ?? 'keep-for-entitled',
    };
  }
  const columns = file.jurisdiction && readColumns(source, file.jurisdiction, customers);
  if (source.problems.slice(before).some((problem) => problem.severity === 'error')) return undefined;
  return {
    purposes,
    jurisdiction: columns,
    version: versionOf(source.text, consents),
  };
}

/** Of all that decides: the file, and what the words of the consents table mean. */
const versionOf = (text: string, consents: ContractTable | undefined): string =>
  createHash('sha256')
    .update(JSON.stringify([text, consents?.table.statuses ?? null]))
    .digest('hex')
    .slice(0, 12);

/** Each purpose is called "the purpose" in messages, whatever its name. */
function purposeWords(source: Source): Words {
  const names = nodeAt(source.root, ['purposes']).toJS(source.document) as unknown;
  const own = typeof names === 'object' && names !== null ? Object.keys(names) : [];
  return { ...WORDS, nouns: { ...Object.fromEntries(own.map((name) => [name, `the purpose ${name}`])), ...WORDS.nouns } };
}

/** An order of sources that no record can be in, or a place taken twice, is a rule that is silently not followed. */
function checkSources(source: Source, sources: readonly string[], consents: ContractTable | undefined): void {
  if (consents && consents.table.fields['source'] === undefined) {
    source.report(keyOf(source.root, 'sources'), {
      rule: 'missing-field',
      message: `The policy puts sources in order, and ${placeOf(consents)} has no field "source".`,
      hint: 'Add the column to the contract, mark the one it is with sluice.field: source, or take the order out.',
    });
  }
  for (const [index, name] of sources.entries()) {
    if (sources.indexOf(name) === index) continue;
    source.report(nodeAt(source.root, ['sources', index]), {
      rule: 'duplicate-name',
      message: `"${name}" stands in the order of sources twice.`,
      hint: 'Remove one.',
    });
  }
}

/** A mapping of strings that no record can hold is a rule that is silently not followed. */
function checkStrings(
  source: Source,
  name: string,
  given: { readonly tcf?: unknown; readonly gpp?: unknown },
  consents: ContractTable | undefined,
): void {
  if (!consents) return;
  for (const kind of ['tcf', 'gpp'] as const) {
    // A TC string may come inside a GPP string.
    const fields = kind === 'tcf' ? (['tcf', 'gpp'] as const) : (['gpp'] as const);
    if (given[kind] === undefined || fields.some((field) => consents.table.fields[field] !== undefined)) continue;
    source.report(keyOf(nodeAt(source.root, ['purposes', name]), kind), {
      rule: 'missing-field',
      message: `"${name}" asks what strings say, and ${placeOf(consents)} has no field "${kind}".`,
      hint: `Add the column to the contract, mark the one it is with sluice.field: ${kind}, or take the key out.`,
    });
  }
}

function checkCode(source: Source, code: string, node: Node | undefined): void {
  const [country = ''] = code.split('-');
  if (COUNTRIES.has(code) || subdivisionsOf(country).has(code)) return;
  const upper = code.toUpperCase();
  const hint =
    upper !== code && COUNTRIES.has(upper.split('-')[0] ?? '')
      ? `Write it in upper case: ${upper}.`
      : country.toUpperCase() === 'UK'
        ? 'The United Kingdom is GB.'
        : 'Write an ISO 3166 code: a country (US) or a region of it (US-CA).';
  source.report(node, { rule: 'unknown-jurisdiction', message: `ISO 3166 assigns no code "${code}".`, hint });
}

/** The columns of the jurisdiction by the names they have in the table. */
function readColumns(
  source: Source,
  { column, region }: { readonly column: string; readonly region?: string | undefined },
  customers: ContractTable | undefined,
): NonNullable<ConsentPolicy['jurisdiction']> {
  const read = (key: 'column' | 'region', name: string): string => {
    const node = nodeAt(source.root, ['jurisdiction', key]);
    const found = customers && namedColumn(source, customers, name, node);
    if (found && found.type !== 'string') {
      source.report(node, {
        rule: 'wrong-field-type',
        message: `"${name}" is of type ${found.type}; a ${key === 'column' ? 'country' : 'region'} must be a string.`,
      });
    }
    return found?.name ?? name;
  };
  return { column: read('column', column), region: region === undefined ? undefined : read('region', region) };
}
