import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { type ConsentReason, type ConsentRecord, decide, jurisdictionOf, type Residence } from '../../core/consent.ts';
import { COUNTRIES, subdivisionsOf } from '../../core/iso-3166.ts';
import type { PurposePolicy } from '../../core/model.ts';
import type { Warehouse } from '../../core/ports.ts';
import { openDuckDb } from '../../warehouses/duckdb.ts';
import { gppString, tcString } from './consent-strings.ts';
import { decideWithSql, type History } from './consent-with-sql.ts';

const NOW = Date.parse('2026-06-01T06:00:00Z');
const DAY = 86_400_000;
const ago = (days: number): number => NOW - days * DAY;

const policy = (more: Partial<PurposePolicy> = {}): PurposePolicy => ({
  name: 'ads',
  basis: 'opt-in',
  jurisdictions: {},
  sharedIdentifiers: 'keep-for-entitled',
  ...more,
});
const OPT_IN = policy();
const OPT_OUT = policy({ basis: 'opt-out' });
const EXPIRING = policy({ expiresAfter: { amount: 730, unit: 'day' } });
const US = policy({ basis: 'opt-in', jurisdictions: { US: 'opt-out', 'US-CA': 'opt-in' } });
const STRICT_US = policy({ basis: 'opt-out', jurisdictions: { US: 'opt-in', 'US-TX': 'opt-out' } });

const record = (status: ConsentRecord['status'], from: number | null, to: number | null = null): ConsentRecord => ({
  status,
  from,
  to,
});
const granted = (from: number | null, to: number | null = null) => record('granted', from, to);
const denied = (from: number | null, to: number | null = null) => record('denied', from, to);
const withdrawn = (from: number | null, to: number | null = null) => record('withdrawn', from, to);
const pending = (from: number | null, to: number | null = null) => record('pending', from, to);
const strange = (from: number | null, to: number | null = null) => record(null, from, to);

const ORDERED = policy({ sources: ['centre', 'shop'] });
const DOUBLE = policy({ doubleOptIn: true });
const STRINGS = policy({ tcf: { purposes: [1, 3] }, gpp: { optOuts: ['sale'] } });
const by = (source: string, of: ConsentRecord): ConsentRecord => ({ ...of, source });
const confirmed = (from: number | null, to: number | null = null) => record('confirmed', from, to);

const HOME: Residence = { country: 'DE', region: null };
const yes = (reason: ConsentReason) => ({ allowed: true, reason });
const no = (reason: ConsentReason) => ({ allowed: false, reason });

/** One row a sentence of docs/laws.md, in its words. */
const TABLE: readonly (readonly [
  sentence: string,
  records: readonly ConsentRecord[],
  policy: PurposePolicy | undefined,
  expected: { allowed: boolean; reason: ConsentReason },
])[] = [
  ['opt-in needs granted', [granted(ago(1))], OPT_IN, yes('granted')],
  ['opt-in without any record is a no', [], OPT_IN, no('no-record')],
  ['opt-out needs the absence of a refusal', [], OPT_OUT, yes('not-refused')],
  ['opt-out with a refusal is a no', [denied(ago(1))], OPT_OUT, no('denied')],
  ['an unmapped purpose means no, whatever the records say', [granted(ago(1))], undefined, no('no-policy')],
  [
    'the one that started last decides: a withdrawal after a grant',
    [granted(ago(9)), withdrawn(ago(2))],
    OPT_IN,
    no('withdrawn'),
  ],
  ['the one that started last decides: a grant after a withdrawal', [withdrawn(ago(9)), granted(ago(2))], OPT_IN, yes('granted')],
  ['the one that started last decides, in any order of the rows', [granted(ago(2)), withdrawn(ago(9))], OPT_IN, yes('granted')],
  ['if it has ended, it grants nothing', [granted(ago(9), ago(1))], OPT_IN, no('ended')],
  [
    'if it has ended, an earlier refusal that is still open counts again',
    [denied(ago(9)), granted(ago(5), ago(1))],
    OPT_OUT,
    no('denied'),
  ],
  ['if it has ended, an earlier grant does not revive', [granted(ago(9)), withdrawn(ago(5), ago(1))], OPT_IN, no('ended')],
  ['an ended refusal refuses nothing', [denied(ago(9), ago(1))], OPT_OUT, yes('not-refused')],
  ['records in the future do not count', [granted(ago(5)), withdrawn(NOW + 1)], OPT_IN, yes('granted')],
  ['a grant in the future does not count', [granted(NOW + 1)], OPT_IN, no('no-record')],
  ['ties go to the stricter', [granted(ago(5)), denied(ago(5))], OPT_IN, no('denied')],
  ['ties go to the stricter: pending before granted', [pending(ago(5)), granted(ago(5))], OPT_IN, no('pending')],
  ['effective_from = now counts', [granted(NOW)], OPT_IN, yes('granted')],
  ['effective_to = now has ended', [granted(ago(5), NOW)], OPT_IN, no('ended')],
  ['effective_to after now is open', [granted(ago(5), NOW + 1)], OPT_IN, yes('granted')],
  ['a grant exactly as old as its expiry has expired', [granted(ago(730))], EXPIRING, no('expired')],
  ['a grant a millisecond younger than its expiry has not expired', [granted(ago(730) + 1)], EXPIRING, yes('granted')],
  [
    'of several that started last together, those still open decide',
    [denied(ago(5), ago(1)), granted(ago(5))],
    OPT_IN,
    yes('granted'),
  ],
  [
    'when the last has ended, any earlier open refusal counts, even one that an earlier grant had superseded',
    [denied(ago(9)), granted(ago(7)), granted(ago(5), ago(1))],
    OPT_OUT,
    no('denied'),
  ],
  [
    'when the last has ended, an earlier refusal that has ended too does not count',
    [denied(ago(9), ago(8)), granted(ago(5), ago(1))],
    OPT_OUT,
    yes('not-refused'),
  ],
  ['expiry has no effect under opt-out', [granted(ago(2000))], { ...EXPIRING, basis: 'opt-out' }, yes('not-refused')],
  ['a refusal never expires', [withdrawn(ago(2000))], { ...EXPIRING, basis: 'opt-out' }, no('withdrawn')],
  ['pending is never a grant', [pending(ago(1))], OPT_IN, no('pending')],
  ['pending is not a refusal either', [pending(ago(1))], OPT_OUT, yes('not-refused')],
  ['pending that started last decides over an earlier grant', [granted(ago(9)), pending(ago(1))], OPT_IN, no('pending')],
  ['any other status refuses under opt-in', [strange(ago(1))], OPT_IN, no('unknown-status')],
  ['any other status refuses under opt-out', [strange(ago(1))], OPT_OUT, no('unknown-status')],
  ['any other status after a grant refuses', [granted(ago(9)), strange(ago(1))], OPT_IN, no('unknown-status')],
  ['a record without a start may refuse', [granted(ago(1)), denied(null)], OPT_IN, no('denied')],
  ['a record without a start never grants', [granted(null)], OPT_IN, no('no-record')],
  ['a record without a start that has ended says nothing', [granted(ago(3)), denied(null, ago(1))], OPT_IN, yes('granted')],
  ['a confirmed grant is a grant', [confirmed(ago(1))], OPT_IN, yes('granted')],
  ['a confirmed grant expires as any other', [confirmed(ago(730))], EXPIRING, no('expired')],
  [
    'a lower source does not lift the refusal of a higher one',
    [by('centre', denied(ago(9))), by('shop', granted(ago(1)))],
    ORDERED,
    no('denied'),
  ],
  [
    'a source that is not in the order is the lowest',
    [by('shop', denied(ago(9))), by('import', granted(ago(1)))],
    ORDERED,
    no('denied'),
  ],
  ['a record without a source is the lowest', [by('shop', denied(ago(9))), granted(ago(1))], ORDERED, no('denied')],
  [
    'a refusal counts wherever it was made',
    [by('centre', granted(ago(9))), by('import', withdrawn(ago(1)))],
    ORDERED,
    no('withdrawn'),
  ],
  [
    'a refusal of a lower source at the very moment of a higher grant counts',
    [by('centre', granted(ago(9))), by('shop', denied(ago(9)))],
    ORDERED,
    no('denied'),
  ],
  [
    'an unknown status of a lower source refuses too',
    [by('centre', granted(ago(9))), by('shop', strange(ago(1)))],
    ORDERED,
    no('unknown-status'),
  ],
  [
    'the higher source lifts an earlier refusal of a lower one',
    [by('shop', withdrawn(ago(9))), by('centre', granted(ago(1)))],
    ORDERED,
    yes('granted'),
  ],
  [
    'a lower source does not lift its own refusal once a higher one has spoken',
    [by('centre', granted(ago(9))), by('shop', withdrawn(ago(5))), by('shop', granted(ago(1)))],
    ORDERED,
    no('withdrawn'),
  ],
  [
    'a pending of a lower source takes no grant of a higher one away',
    [by('centre', granted(ago(9))), by('shop', pending(ago(1)))],
    ORDERED,
    yes('granted'),
  ],
  [
    'an ended record of the highest source has spoken',
    [by('centre', granted(ago(9), ago(8))), by('shop', granted(ago(1)))],
    ORDERED,
    no('ended'),
  ],
  [
    'while only lower sources have spoken, the latest of them decides',
    [by('import', withdrawn(ago(9))), by('import', granted(ago(1)))],
    ORDERED,
    yes('granted'),
  ],
  [
    'a higher source in the future has not spoken',
    [by('centre', denied(NOW + 1)), by('shop', granted(ago(1)))],
    ORDERED,
    yes('granted'),
  ],
  [
    'without an order of sources the latest decides, whoever wrote it',
    [by('centre', denied(ago(9))), by('shop', granted(ago(1)))],
    OPT_IN,
    yes('granted'),
  ],
  ['double opt-in: a grant alone is not confirmed', [granted(ago(1))], DOUBLE, no('unconfirmed')],
  ['double opt-in: pending and then granted is confirmed', [pending(ago(2)), granted(ago(1))], DOUBLE, yes('granted')],
  [
    'double opt-in: a pending that ended with the grant tells of it too',
    [pending(ago(2), ago(1)), granted(ago(1))],
    DOUBLE,
    yes('granted'),
  ],
  ['double opt-in: a record that says confirmed is confirmed', [confirmed(ago(1))], DOUBLE, yes('granted')],
  ['double opt-in: a second grant confirms nothing', [granted(ago(2)), granted(ago(1))], DOUBLE, no('unconfirmed')],
  ['double opt-in: a grant after a confirmed one is confirmed', [confirmed(ago(2)), granted(ago(1))], DOUBLE, yes('granted')],
  [
    'double opt-in: after a refusal it must be confirmed anew',
    [pending(ago(9)), granted(ago(8)), withdrawn(ago(5)), granted(ago(1))],
    DOUBLE,
    no('unconfirmed'),
  ],
  [
    'double opt-in: also after a refusal that has ended',
    [pending(ago(9)), granted(ago(8)), withdrawn(ago(5), ago(3)), granted(ago(1))],
    DOUBLE,
    no('unconfirmed'),
  ],
  [
    'double opt-in: confirmed anew after a refusal',
    [pending(ago(9)), granted(ago(8)), withdrawn(ago(5)), pending(ago(2)), granted(ago(1))],
    DOUBLE,
    yes('granted'),
  ],
  [
    'double opt-in: pending after the grant is pending',
    [pending(ago(9)), granted(ago(8)), pending(ago(1))],
    DOUBLE,
    no('pending'),
  ],
  ['double opt-in has no effect under opt-out', [granted(ago(1))], { ...DOUBLE, basis: 'opt-out' }, yes('not-refused')],
  ['a word and a string: the string may refuse', [{ ...granted(ago(1)), tcf: tcString([1]) }], STRINGS, no('denied')],
  [
    'a word and a string: the string grants nothing beyond the word',
    [{ ...denied(ago(1)), tcf: tcString([1, 3]) }],
    STRINGS,
    no('denied'),
  ],
  ['a word and a string that grants', [{ ...granted(ago(1)), tcf: tcString([1, 3]) }], STRINGS, yes('granted')],
  [
    'a string alone speaks for the record',
    [{ ...strange(ago(1)), wordless: true, tcf: tcString([1, 3]) }],
    STRINGS,
    yes('granted'),
  ],
  [
    'a string alone that cannot be read refuses',
    [{ ...strange(ago(1)), wordless: true, tcf: 'what' }],
    STRINGS,
    no('unknown-status'),
  ],
  [
    'a string that says nothing of the purpose is no record: an earlier refusal stands',
    [denied(ago(9)), { ...strange(ago(1)), wordless: true, gpp: gppString({ usnat: { SaleOptOut: 2 } }) }],
    { ...STRINGS, basis: 'opt-out' },
    no('denied'),
  ],
  [
    'an opt-out in a string refuses',
    [{ ...strange(ago(1)), wordless: true, gpp: gppString({ usnat: { SaleOptOut: 1 } }) }],
    { ...STRINGS, basis: 'opt-out' },
    no('denied'),
  ],
  ['a string whose purpose maps none is not read', [{ ...granted(ago(1)), tcf: 'what' }], OPT_IN, yes('granted')],
  ['no word and no string refuses', [{ ...strange(ago(1)), wordless: true }], STRINGS, no('unknown-status')],
  ['an end before its start is an end', [granted(ago(2), ago(5))], OPT_IN, no('ended')],
];

/** Whose law: sentence, what the customers table says, policy, expected jurisdiction and basis. */
const RESIDENCES: readonly (readonly [string, Residence, PurposePolicy, string | null, 'opt-in' | 'opt-out'])[] = [
  ['a country the policy names', { country: 'US', region: 'NV' }, US, 'US', 'opt-out'],
  ['a country the policy does not name takes the basis of the purpose', { country: 'DE', region: null }, US, 'DE', 'opt-in'],
  ['a region the policy names', { country: 'US', region: 'CA' }, US, 'US-CA', 'opt-in'],
  ['a region written with its country', { country: 'US', region: 'US-CA' }, US, 'US-CA', 'opt-in'],
  ['codes in small letters', { country: 'us', region: 'ca' }, US, 'US-CA', 'opt-in'],
  ['NULL is unknown and takes the strictest basis anywhere', { country: null, region: null }, STRICT_US, null, 'opt-in'],
  ['blank is unknown', { country: ' ', region: null }, STRICT_US, null, 'opt-in'],
  ['the empty text is unknown', { country: '', region: 'CA' }, STRICT_US, null, 'opt-in'],
  ['a code that ISO 3166 does not assign is unknown', { country: 'XX', region: null }, STRICT_US, null, 'opt-in'],
  ['UK is not assigned', { country: 'UK', region: null }, STRICT_US, null, 'opt-in'],
  ['a name is no code', { country: 'Germany', region: null }, STRICT_US, null, 'opt-in'],
  ['a code with white space around it is no code', { country: ' US', region: null }, STRICT_US, null, 'opt-in'],
  ['a dotless i is no letter of a code', { country: 'ın', region: null }, STRICT_US, null, 'opt-in'],
  [
    'a known country with an unknown region takes the strictest of those',
    { country: 'US', region: null },
    STRICT_US,
    'US',
    'opt-in',
  ],
  ['a region that is not assigned is unknown', { country: 'US', region: 'ZZ' }, US, 'US', 'opt-in'],
  ['a blank region is unknown', { country: 'US', region: '' }, US, 'US', 'opt-in'],
  ['a region of another country is unknown', { country: 'US', region: 'DE-BY' }, US, 'US', 'opt-in'],
  ['a region the policy names may be laxer', { country: 'US', region: 'TX' }, STRICT_US, 'US-TX', 'opt-out'],
  ['the region does not matter where the policy distinguishes none', { country: 'DE', region: 'ZZ' }, STRICT_US, 'DE', 'opt-out'],
];

let warehouse: Warehouse;
beforeAll(async () => {
  warehouse = await openDuckDb({ dir: '.' });
});
afterAll(() => warehouse.close());

describe('the consent decision', () => {
  it.each(TABLE)('%s', async (_sentence, records, of, expected) => {
    expect(decide(records, of, HOME, NOW)).toMatchObject(expected);
    if (of === undefined) return;
    const [answer] = await decideWithSql(warehouse, [{ records, residence: HOME }], of, NOW);
    expect(answer).toMatchObject(expected);
  });

  it.each(RESIDENCES)('jurisdiction: %s', async (_sentence, residence, of, jurisdiction, basis) => {
    expect(jurisdictionOf(residence, of)).toEqual({ jurisdiction, basis });
    const [answer] = await decideWithSql(warehouse, [{ records: [], residence }], of, NOW);
    expect(answer).toMatchObject({ jurisdiction, basis });
  });

  it('knows the 249 countries of ISO 3166-1, and that Puerto Rico is a country and a region', () => {
    expect(COUNTRIES.size).toBe(249);
    expect(COUNTRIES.has('PR') && subdivisionsOf('US').has('US-PR')).toBe(true);
    expect([...subdivisionsOf('VA')]).toEqual([]);
  });
});

/** Few distinct times, so that ties, ends at the very moment and exact expiries come up all the time. */
const times = fc.constantFrom(NOW, NOW + 1, NOW - 1, ...[1, 2, 3, 29, 30, 31].map(ago), ago(30) + 1, ago(30) - 1);
const tcf = fc.constantFrom(null, null, null, '', tcString([1, 3, 4]), tcString([1]), 'garbage');
const gpp = fc.constantFrom(
  null,
  null,
  null,
  '',
  gppString({ usca: { SaleOptOut: 1 } }),
  gppString({ usca: { SaleOptOut: 2 } }, [1, 3, 4]),
);
const records = fc.array(
  fc
    .record({
      wordless: fc.boolean(),
      tcf,
      gpp,
      status: fc.constantFrom('granted', 'granted', 'confirmed', 'denied', 'withdrawn', 'pending', null),
      from: fc.oneof({ weight: 12, arbitrary: times }, { weight: 1, arbitrary: fc.constant(null) }),
      to: fc.oneof({ weight: 2, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: times }),
      source: fc.constantFrom('centre', 'shop', 'import', null),
      id: fc.constantFrom('1', '2', '3', 'ann@example.com', '', null),
    })
    // Without a word the status is none either.
    .map((one) => (one.wordless ? { ...one, status: null } : one)),
  { maxLength: 5 },
);
const residences = fc.record({
  country: fc.constantFrom('DE', 'US', 'us', 'CA', 'XX', '', ' ', 'Germany', null),
  region: fc.constantFrom('CA', 'US-CA', 'tx', 'ON', 'CA-ON', 'ZZ', '', null),
});
const bases = fc.constantFrom('opt-in' as const, 'opt-out' as const);
const policies: fc.Arbitrary<PurposePolicy> = fc.record({
  name: fc.constant('ads'),
  basis: bases,
  expiresAfter: fc.constantFrom(undefined, { amount: 30, unit: 'day' as const }, { amount: 1, unit: 'month' as const }),
  jurisdictions: fc.dictionary(fc.constantFrom('US', 'US-CA', 'US-TX', 'US-XX', 'CA-ON', 'DE'), bases, { maxKeys: 4 }),
  sharedIdentifiers: fc.constant('keep-for-entitled' as const),
  doubleOptIn: fc.boolean(),
  tcf: fc.constantFrom(undefined, { purposes: [1, 3, 4] }),
  gpp: fc.constantFrom(undefined, { optOuts: ['sale' as const] }),
  sources: fc.constantFrom(undefined, ['centre', 'shop'], ['import']),
});

it('decides in SQL as in TypeScript, on thousands of random histories', async () => {
  await fc.assert(
    fc.asyncProperty(
      policies,
      fc.array(fc.record({ records, residence: residences }), { minLength: 300, maxLength: 300 }),
      async (of, histories: History[]) => {
        const answers = await decideWithSql(warehouse, histories, of, NOW);
        const wanted = histories.map((history) => decide(history.records, of, history.residence, NOW));
        expect(answers).toEqual(wanted);
      },
    ),
    { numRuns: 25 },
  );
}, 120_000);
